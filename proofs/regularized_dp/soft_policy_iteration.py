r"""Claims about soft policy iteration, the exact core of the soft actor-critic.

Every check first compares the iterates with the definition, by the judge's own linear algebra: monotone improvement alone lets
through an improvement at another temperature, and a quadratic rate lets through soft value iteration in its first steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, leq, mutant
from mdpkit.claims.cases import chosen, discounted, joined, ragged_soft, regularized
from mdpkit.claims.judge import Judge, ball, exp, log, norm
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import Discounted, EntropyRegularized
from mdpkit.models.mdp import MDP
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.regularized_dp import SoftPolicyIteration

SIZES = ((2, 2), (3, 2), (2, 3), (4, 3))
COMMON = regularized(sizes=SIZES, full=12)


class Warm(SoftPolicyIteration):
    """The improvement at a temperature that is a tenth too high."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The softmax of ten elevenths of the action values."""
        on = OnPolicy(problem)
        return self._at(on, on.log_softmax(on.q(state.V) * 10 / 11))


class OneSweep(SoftPolicyIteration):
    """Soft value iteration in its clothes: one backup in place of the evaluation."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The softmax policy, with the value of one backup."""
        on = OnPolicy(problem)
        return super().step(problem, state, rng)._replace(V=on.soft_maximum(on.q(state.V)))


def first_policy(judge: Judge) -> list[Any]:
    """Logarithms of the reference policy, or of the uniform one."""
    mu = judge.log_reference
    return judge.log_uniform() if mu is None else mu


def the_iterates(mdp: MDP, n: int, tested: SoftPolicyIteration | None = None) -> Iterator[tuple[Judge, Any, list[Row]]]:
    """The judge, the states, and the rows that say that they are those of soft policy iteration."""
    judge = Judge(mdp)
    tau, mu = judge.temperature, judge.log_reference
    expected = first_policy(judge)
    for k, state in enumerate(iterates(mdp, tested or SoftPolicyIteration(), n)):
        V = judge.soft_value(state.log_pi, tau, mu)
        yield judge, state, [all_equal(state.log_pi, expected, f"log pi_{k}"), all_equal(state.V, V, f"V_{k}")]
        expected = judge.log_softmax(judge.q(state.V), tau, mu)


@claim(
    "sac:newton",
    says=r"V_{k+1} = V_k + (I - \gamma P_{\pi_{k+1}})^{-1} (T_\tau V_k - V_k), \qquad \pi_{k+1} \propto \mu e^{Q_k/\tau}",
    where="derived, see docs: the derivative of the soft backup at V is the discounted kernel of its softmax policy",
    kind="identity",
    mode="numeric",
    instances=joined(COMMON, chosen(ragged_soft)),
    controls=[
        mutant("improvement at 1.1 times the temperature", tested=Warm()),
        mutant("one sweep in place of the evaluation", tested=OneSweep()),
        mutant("the kernel of the policy before", before=True),
        mutant("without the inverse", inverse=False),
    ],
    about=[SoftPolicyIteration],
)
def newton(
    mdp: MDP, *, steps: int = 4, tested: SoftPolicyIteration | None = None, before: bool = False, inverse: bool = True
) -> Iterator[Row]:
    """Soft policy iteration is Newton's method for the soft Bellman equation."""
    last: Any = None
    for k, (judge, state, rows) in enumerate(the_iterates(mdp, steps, tested)):
        if last is not None:
            TV = judge.soft_backup(last.V, judge.temperature, judge.log_reference)
            rise = [x - y for x, y in zip(TV, last.V, strict=True)]
            pi = [exp(x) for x in (last if before else state).log_pi]
            correction = judge.value(pi, [rise[s] for s in judge.state]) if inverse else rise
            yield all_equal(
                state.V, [x + y for x, y in zip(last.V, correction, strict=True)], f"V_{k} by Newton's step"
            )
        yield from rows
        last = state


@claim(
    "sac:monotone",
    says=r"V_{k+1} \ge T_\tau V_k \ge V_k, \qquad Q_{k+1} \ge Q_k",
    where="Lemma 2 (soft policy improvement), recalled",
    kind="monotone",
    mode="numeric",
    instances=COMMON,
    controls=[
        mutant("the backup of the new value in place of the last", later=True),
        mutant("improvement at 1.1 times the temperature", tested=Warm()),
        mutant("the values fall", sign=-1),
    ],
    about=[SoftPolicyIteration],
)
def monotone(
    mdp: MDP, *, steps: int = 3, later: bool = False, sign: int = 1, tested: SoftPolicyIteration | None = None
) -> Iterator[Row]:
    """No state's value falls from one policy to the next, and each step gains at least what a soft sweep gains."""
    last: Any = None
    for k, (judge, state, rows) in enumerate(the_iterates(mdp, steps, tested)):
        yield from rows
        if last is not None:
            TV = judge.soft_backup((state if later else last).V, judge.temperature, judge.log_reference)
            yield all_leq([sign * x for x in last.V], [sign * x for x in TV], f"T V_{k - 1} is above V_{k - 1}")
            yield all_leq([sign * x for x in TV], [sign * x for x in state.V], f"V_{k} is above T V_{k - 1}")
        last = state


@claim(
    "sac:quadratic-rate",
    says=r"\|V^*_\tau - V_{k+1}\|_\infty \le \frac{\gamma^2}{8\tau(1-\gamma)} \|V^*_\tau - V_k\|_\infty^2",
    where="derived, see docs: the second derivative of log-sum-exp is a variance, at most a quarter of the squared range",
    kind="upper",
    mode="numeric",
    instances=COMMON,
    controls=[
        mutant("the cubic rate", power=3),
        mutant("a hundredth of the constant", constant=Fraction(1, 800)),
        mutant("one sweep in place of the evaluation", tested=OneSweep()),
        mutant("improvement at 1.1 times the temperature", tested=Warm()),
    ],
    about=[SoftPolicyIteration],
    caveat="on random models the constant is from four to a hundred times what is measured",
)
def quadratic(
    mdp: MDP,
    *,
    steps: int = 4,
    power: int = 2,
    constant: Fraction = Fraction(1, 8),
    tested: SoftPolicyIteration | None = None,
) -> Iterator[Row]:
    """The error of soft policy iteration falls quadratically, from the first step on."""
    best: Any = None
    last: Any = None
    for k, (judge, state, rows) in enumerate(the_iterates(mdp, steps, tested)):
        yield from rows
        tau = judge.temperature
        best = judge.soft_optimal(tau, judge.log_reference) if best is None else best
        error = norm([x - y for x, y in zip(best, state.V, strict=True)])
        if last is not None:
            factor = ball(constant) * judge.gamma**2 / (tau * (1 - judge.gamma))
            yield leq(error, factor * last**power, f"k={k}", k=k)
        last = error


def twins() -> list[Case]:
    """Two states whose actions are all alike: the uniform policy is optimal, and the entropy counts in full."""
    found: list[Case] = []
    for A, gamma, tau in ((2, Fraction(1, 2), Fraction(1)), (3, Fraction(9, 10), Fraction(1, 7))):
        P = [[[Fraction(1, 3), Fraction(2, 3)]] * A, [[Fraction(1), Fraction(0)]] * A]
        mdp = MDP(P, [[Fraction(1)] * A, [Fraction(-2)] * A], EntropyRegularized(gamma, tau))
        found.append(Case(f"{A} equal actions, gamma={gamma}, tau={tau}", mdp))
    return found


@claim(
    "sac:entropy-gap",
    says=r"0 \le V^*_\tau - V^* \le \frac{\tau \log |A|}{1-\gamma}",
    where="folklore, derived, see docs",
    kind="upper",
    mode="numeric",
    instances=regularized(sizes=SIZES, references=False, full=12),
    controls=[
        mutant("log 2 in place of log |A|, halved", share=Fraction(1, 20)),
        mutant("without the horizon", horizon=False),
        mutant("the plain value is the larger one", least=1),
    ],
    about=[SoftPolicyIteration],
)
def entropy_gap(
    mdp: MDP, *, steps: int = 6, share: Fraction = Fraction(1), horizon: bool = True, least: int = 0
) -> Iterator[Row]:
    """Entropy raises the optimal value, by at most its largest amount in every step."""
    for k, (judge, state, rows) in enumerate(the_iterates(mdp, steps)):
        yield from rows
        if k < steps:
            continue
        best = judge.soft_optimal(judge.temperature)
        yield all_equal(state.V, best, "the last value is optimal")
        gap = [x - ball(y) for x, y in zip(best, judge.optimal, strict=True)]
        bound = ball(share) * judge.temperature * log(max(len(pairs) for pairs in judge.pairs))
        bound = bound / (1 - judge.gamma) if horizon else bound
        yield all_leq([ball(least) * bound] * judge.S, gap, "the least gain")
        for s in range(judge.S):
            yield leq(gap[s], bound, f"s={s}", k=s + 1)


@claim(
    "sac:entropy-gap-tight",
    says=r"V^*_\tau - V^* = \frac{\tau \log |A|}{1-\gamma} \quad\text{where all actions of a state are alike}",
    where="derived here",
    kind="tight",
    mode="numeric",
    instances=chosen(twins),
    controls=[
        mutant("half of the bound", share=Fraction(1, 2)),
        mutant("without the horizon", horizon=False),
    ],
    survivors={
        "off by one in k": "the first policy, uniform, is optimal: every state is the same",
    },
    about=[SoftPolicyIteration],
)
def entropy_gap_tight(mdp: MDP, *, share: Fraction = Fraction(1), horizon: bool = True) -> Iterator[Row]:
    """The bound on what entropy adds is attained where all actions are alike."""
    for k, (judge, state, rows) in enumerate(the_iterates(mdp, 2)):
        yield from rows
        bound = ball(share) * judge.temperature * log(len(judge.pairs[0]))
        bound = bound / (1 - judge.gamma) if horizon else bound
        yield all_equal([x - ball(y) for x, y in zip(state.V, judge.optimal, strict=True)], [bound] * judge.S, f"k={k}")


@claim(
    "sac:zero-temperature",
    says=r"""V^*_\tau \text{ increases with } \tau, \qquad 0 \le V^* - V^{\pi^*_\tau} \le \frac{\tau}{1-\gamma} \max_s
    H(\pi^*_\tau(\cdot|s)) \to 0 \text{ as } \tau \to 0""",
    where="derived, see docs; V of a policy is without entropy, pi*_tau the regularized optimum",
    kind="monotone",
    mode="numeric",
    instances=discounted(sizes=((2, 2), (3, 2)), fast=2, full=4, gammas=(Fraction(1, 2), Fraction(9, 10))),
    controls=[
        mutant("the value falls with the temperature", sign=-1),
        mutant("a tenth in place of the horizon", horizon=False),
        mutant("the fourth power of the entropy", cooled=True),
    ],
    about=[SoftPolicyIteration],
)
def zero_temperature(mdp: MDP, *, sign: int = 1, horizon: bool = True, cooled: bool = False) -> Iterator[Row]:
    """As the temperature falls to zero the regularized value falls to the plain one, and its policy becomes optimal."""
    c: Any = mdp.criterion
    gamma = Fraction(c.exact)
    plain = Judge(mdp.under(Discounted(gamma)))
    above: Any = None
    for k in range(3):
        tau = Fraction(1, 2) / 4**k
        soft = mdp.under(EntropyRegularized(gamma, tau))
        last: Any = None
        for judge, state, rows in the_iterates(soft, 5):
            yield from rows
            last = judge, state
        judge, state = last
        best = judge.soft_optimal(tau)
        yield all_equal(state.V, best, f"tau={tau}: the last value is optimal")
        if above is not None:
            yield all_leq(
                [sign * x for x in best], [sign * x for x in above], f"tau={tau}: below the value at four times tau"
            )
        above = best
        pi = [exp(x) for x in state.log_pi]
        loss = norm([ball(x) - y for x, y in zip(plain.optimal, plain.value(pi), strict=True)])
        entropy = norm(judge.mean(pi, [-x for x in state.log_pi]))
        if cooled:
            entropy = entropy**4
        bound = ball(tau) * entropy / (1 - judge.gamma) if horizon else ball(tau) * entropy / 10
        yield leq(loss, bound, f"tau={tau}", k=k + 1)
