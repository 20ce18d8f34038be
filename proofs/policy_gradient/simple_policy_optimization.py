r"""Claims about simple policy optimization: its maximizer, the ascent that finds it, and the ratios that escape.

The maximizers are rational and are checked by their optimality conditions. The long ascent runs in floats; how far its end is
from the maximizer is bounded by strong concavity: with :math:`m_a = |A_a| / (\epsilon \pi_k(a))` and the objective's
derivatives g at a policy p, :math:`\sum_a m_a (p_a - p^*_a)^2 \le \sum_a (g_a - c)^2 / m_a` for every c.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.claims import Case, Row, all_equal, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import bandit, chosen, joined, positive
from mdpkit.claims.judge import Judge, ball, exp, log, norm
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.proofs.policy_gradient.minorize_maximize import AtPolicy
from mdpkit.proofs.policy_gradient.proximal_policy_optimization import clipped_slope
from mdpkit.solvers.policy_gradient import ProximalPolicyOptimization, SimplePolicyOptimization

FIFTH, ETA = Fraction(1, 5), Fraction(1, 2)
LONG = 1000
SPO = SimplePolicyOptimization()
BANDITS = chosen(
    [
        bandit(0, "3/5", "7/10", 1),
        bandit(0, "51/100", 1, "1/2"),
    ]
)
# A small advantage among many large ones, whose ratio is set to zero.
CORNER = chosen([bandit(0, "911/1000", *[1] * 10)])
RANDOM = positive(sizes=((2, 3), (2, 2), (3, 3)), gammas=(Fraction(1, 2), Fraction(9, 10)), fast=2, full=8)


class Unsigned(SimplePolicyOptimization):
    """A wrong step: every ratio at its own maximum, divided by the sum."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step of another algorithm."""
        from mdpkit.kernels import segments
        from mdpkit.operators.on_policy import OnPolicy

        on = OnPolicy(problem)
        A = self.advantages(on, state.pi, rng)
        signs = [1 + self.epsilon * ((a > 0) - (a < 0)) for a in A]
        raw = state.pi * signs
        return self.valued(on, raw / on.spread(segments.total(raw, on.pair_ptr)))


def conditions(
    exact: AtPolicy, new: list[Fraction], epsilon: Fraction, at: str, weight: Any, half: int
) -> Iterator[Row]:
    """Optimality of the policy ``new``: one derivative in all actions that are used, none larger in the others."""
    for s, pairs in enumerate(exact.judge.pairs):
        where = f"{at}, s={s}"
        yield equal(sum(new[j] for j in pairs), 1, f"sums to one, {where}")
        yield fact(all(new[j] >= 0 for j in pairs), f"not negative, {where}")
        yield fact(all(new[j] == 0 for j in pairs if exact.pi[j] == 0), f"nothing out of nothing, {where}")
        support = [j for j in pairs if exact.pi[j] > 0]
        slope = {
            j: exact.A[j] - 2 * weight(exact.A[j]) / (half * epsilon) * (new[j] / exact.pi[j] - 1) for j in support
        }
        used = [j for j in support if new[j] > 0]
        yield all_equal([slope[j] for j in used], [slope[used[0]]] * len(used), f"nu, {where}")
        yield fact(all(slope[j] <= slope[used[0]] for j in support), f"unused actions, {where}")


@claim(
    "simple-po:closed-form",
    says=r"\arg\max_\pi \sum_a \pi_k \Bigl(\rho A - \frac{|A|}{2\epsilon} (\rho - 1)^2\Bigr): \quad "
    r"\rho = \max\Bigl(0, 1 + \epsilon \Bigl(\mathrm{sign} A - \frac{\nu}{|A|}\Bigr)\Bigr), \qquad "
    r"\nu = \frac{\mathbb{E}_{\pi_k}\, \mathrm{sign} A}{\mathbb{E}_{\pi_k}\, 1/|A|} \text{ where no ratio is zero}",
    where="the objective: seen (text of 2025); the maximizer: derived, see docs",
    kind="identity",
    mode="exact",
    instances=joined(BANDITS, CORNER, RANDOM),
    controls=[
        mutant("A for |A| in the penalty", weight=lambda a: a),
        mutant("the penalty without its half", half=1),
        mutant("epsilon doubled", epsilon=2 * FIFTH),
        mutant("each ratio at its own maximum, divided by the sum", tested=Unsigned()),
        mutant("the multiplier is the mean of the signs", plain=True),
    ],
    about=[SimplePolicyOptimization],
)
def closed_form(
    mdp: Any,
    *,
    tested: SimplePolicyOptimization = SPO,
    epsilon: Fraction = FIFTH,
    weight: Any = abs,
    half: int = 2,
    plain: bool = False,
    steps: int = 3,
) -> Iterator[Row]:
    """SPO's policies are the exact maximizers of its surrogate, by the closed form."""
    judge = Judge(mdp)
    before: AtPolicy | None = None
    for k, state in enumerate(iterates(mdp, tested, steps, arithmetic="rational")):
        exact = AtPolicy(judge, state.pi)
        yield all_equal(state.V, exact.V, f"V_{k}")
        if before is None:
            yield all_equal(state.pi, judge.uniform(), "the uniform policy")
        else:
            yield from conditions(before, exact.pi, epsilon, f"k={k}", weight, half)
            for s, pairs in enumerate(judge.pairs):
                if all(before.A[j] and before.pi[j] for j in pairs):
                    balance = sum(before.pi[j] * (1 if before.A[j] > 0 else -1) for j in pairs)
                    beyond = max(abs(exact.pi[j] / before.pi[j] - 1) for j in pairs) > epsilon
                    yield fact(beyond == (balance != 0), f"a ratio escapes unless the signs balance, k={k}, s={s}")
                if any(before.A[j] == 0 or exact.pi[j] == 0 for j in pairs):
                    continue
                signs = {j: 1 if before.A[j] > 0 else -1 for j in pairs}
                nu = sum(before.pi[j] * signs[j] for j in pairs)
                nu /= 1 if plain else sum(before.pi[j] / abs(before.A[j]) for j in pairs)
                form = [before.pi[j] * (1 + epsilon * (signs[j] - nu / abs(before.A[j]))) for j in pairs]
                yield all_equal([exact.pi[j] for j in pairs], form, f"the closed form, k={k}")
        before = exact


@claim(
    "simple-po:ratios-escape",
    says=r"\text{false: } |\pi_{k+1}/\pi_k - 1| \le \epsilon \text{ for exact maximizers}",
    where="derived, see docs: some ratio escapes unless the signs of the advantages balance",
    kind="counterexample",
    mode="exact",
    instances=BANDITS,
    controls=[
        mutant("two actions, equally likely", model=bandit(0, 1).problem),
        mutant("ratios within four times the width", times=4),
        mutant("the pairs' own maxima, without normalization", separate=True),
    ],
    about=[SimplePolicyOptimization],
)
def ratios_escape(mdp: Any, *, model: Any = None, times: int = 1, separate: bool = False) -> Iterator[Row]:
    """SPO keeps its ratios within epsilon (its maximizer does not, at actions of small advantage)."""
    problem = mdp if model is None else model
    first, second = iterates(problem, SimplePolicyOptimization(FIFTH), 1, arithmetic="rational")
    for x, y, a in zip(first.pi, second.pi, AtPolicy(Judge(problem), first.pi).A, strict=True):
        ratio = 1 + FIFTH * ((a > 0) - (a < 0)) if separate else y / x
        yield leq(abs(ratio - 1), times * FIFTH, "|rho - 1|")


def slope_of(ratio: Any, a: Any, epsilon: Any, which: str) -> Any:
    """The derivative of a pair's objective in its ratio."""
    if which == "clip":
        return clipped_slope(ratio, a, epsilon)
    return a - (a if which == "signed" else abs(a)) / epsilon * (ratio - 1)


def small() -> Iterator[Case]:
    """A bandit and a model of two states, whose visits and curvatures are not far apart, so that the ascent is quick."""
    yield bandit(0, "1/4", 1)
    P = [[["3/4", "1/4"], ["1/4", "3/4"], ["1/2", "1/2"]], [["1/4", "3/4"], ["1/2", "1/2"], ["3/4", "1/4"]]]
    r = [["0", "1/2", "1"], ["1", "3/10", "0"]]
    yield Case("two states, three actions", MDP(P, r, Discounted(Fraction(1, 2))))


OBJECTIVE = "the objective: seen (text of 2025)"


@claim(
    "simple-po:ascent",
    says=r"\theta_{j+1} = \theta_j + \eta \nabla_\theta \mathbb{E}_{d,\pi_k}"
    r"\Bigl[\rho A - \frac{|A|}{2\epsilon}(\rho-1)^2\Bigr], "
    r"\quad \pi_{k+1} = \pi_{\theta_m}",
    where=OBJECTIVE + "; gradient ascent for Adam",
    kind="identity",
    mode="numeric",
    instances=joined(chosen(small), positive(sizes=((3, 2),), gammas=(Fraction(9, 10),), fast=1, full=4)),
    controls=[
        mutant("the clipped surrogate in the ascent", which="clip"),
        mutant("A for |A| in the penalty", which="signed"),
        mutant("the visits forgotten", visits=False),
        mutant("ratios turned over", turned=True),
    ],
    about=[SimplePolicyOptimization],
)
def ascent(
    mdp: Any, *, which: str = "quadratic", visits: bool = True, turned: bool = False, inner: int = 4, steps: int = 2
) -> Iterator[Row]:
    """SPO's ascent follows the gradient of its surrogate from the last policy."""
    judge = Judge(mdp)
    epsilon = ball(FIFTH)
    expected: Any = judge.uniform()
    for k, state in enumerate(iterates(mdp, SimplePolicyOptimization(FIFTH, ETA, inner), steps)):
        old = list(state.pi)
        yield all_equal(old, expected, f"pi_{k}")
        V = judge.value(old)
        yield all_equal(state.V, V, f"V_{k}")
        A = judge.advantage(V)
        d = judge.occupancy(old) if visits else [ball(1)] * judge.S
        log_pi = [log(x) for x in old]
        for _ in range(inner):
            pi = [exp(x) for x in log_pi]
            slope = [
                slope_of(q / p if turned else p / q, a, epsilon, which) for p, q, a in zip(pi, old, A, strict=True)
            ]
            mean = judge.mean(pi, slope)
            raw = [
                x + ball(ETA) * d[s] * p * (g - mean[s])
                for x, p, g, s in zip(log_pi, pi, slope, judge.state, strict=True)
            ]
            log_pi = judge.log_softmax(raw)
        expected = [exp(x) for x in log_pi]


@claim(
    "simple-po:limit",
    says=r"\pi_{\theta_m} \to \arg\max_\pi \mathbb{E}_{d,\pi_k}\Bigl[\rho A - \frac{|A|}{2\epsilon}(\rho-1)^2\Bigr] "
    r"\quad (m \to \infty)",
    where=OBJECTIVE + "; the limit and its error bound: derived, see docs",
    kind="identity",
    mode="numeric",
    instances=chosen(small),
    controls=[
        mutant("the limit of twice the width", width=2),
        mutant("no normalization", normalize=0),
        mutant("the clipped surrogate, ascended as long", tested=ProximalPolicyOptimization(FIFTH, 2, LONG)),
    ],
    about=[SimplePolicyOptimization],
    survivors={
        "η → η/2": "the limit of the ascent does not depend on its step size",
    },
)
def limit(mdp: Any, *, width: int = 1, normalize: int = 1, tested: Any = None) -> Iterator[Row]:
    """A long ascent on SPO's surrogate ends at the closed form, within a bound from its residual."""
    judge = Judge(mdp)
    epsilon = ball(FIFTH)
    solver = tested or SimplePolicyOptimization(FIFTH, 2, LONG)
    start, end = iterates(mdp, solver, 1, arithmetic="float")
    exact = AtPolicy(judge, judge.uniform())
    # Probabilities are rounded once, and the value of a well conditioned system of two equations some dozens of times.
    arb: Any = import_module("flint").arb
    first, policy = (np.exp(x.log_pi) if hasattr(x, "log_pi") else x.pi for x in (start, end))
    for state, pi in ((start, first), (end, policy)):
        wrong = [x - y for x, y in zip(judge.mean(pi, judge.q(state.V)), state.V, strict=True)]
        yield leq(norm(wrong), Fraction(1, 2**44), "the value solves its equation")
        yield leq(
            norm([ball(x) - y for x, y in zip(judge.optimal, judge.value(pi), strict=True)]),
            ball(state.gap) + ball(Fraction(1, 2**44)),
            "the gap",
        )
    for s, pairs in enumerate(judge.pairs):
        yield fact(all(abs(Fraction(first[j]) - exact.pi[j]) <= Fraction(1, 2**50) for j in pairs), f"pi_0, s={s}")
        total = sum((ball(policy[j]) for j in pairs), ball(0))
        p = {j: ball(policy[j]) / total for j in pairs}
        m = {j: abs(ball(exact.A[j])) / (epsilon * ball(exact.pi[j])) for j in pairs}
        g = {j: ball(exact.A[j]) - m[j] * (p[j] - ball(exact.pi[j])) for j in pairs}
        c = sum((g[j] / m[j] for j in pairs), ball(0)) / sum((1 / m[j] for j in pairs), ball(0))
        error = sum(((g[j] - c) ** 2 / m[j] for j in pairs), ball(0))
        enclosed = [p[j] + arb(0, (error / m[j]).sqrt().upper()) for j in pairs]
        signs = {j: (exact.A[j] > 0) - (exact.A[j] < 0) for j in pairs}
        nu = sum(exact.pi[j] * signs[j] for j in pairs) / sum(exact.pi[j] / abs(exact.A[j]) for j in pairs)
        nu *= normalize
        form = [exact.pi[j] * (1 + width * FIFTH * (signs[j] - nu / abs(exact.A[j]))) for j in pairs]
        yield fact(error < ball(Fraction(1, 10**20)), f"the ascent has come to rest, s={s}")
        yield all_equal(enclosed, form, f"the limit, s={s}")
