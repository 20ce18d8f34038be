r"""Claims about the natural policy gradient.

What :class:`~mdpkit.solvers.policy_gradient.NaturalPolicyGradient` produces is checked against its definition by the judge's
own linear algebra, before any bound: a bound alone lets many wrong updates pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Rate, Row, all_equal, claim, leq, mutant, point
from mdpkit.claims.cases import bandits, discounted, joined, named, positive, ragged
from mdpkit.claims.judge import Judge, ball, exp, largest, log, norm
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import EntropyRegularized
from mdpkit.operators.step_sizes import Increasing
from mdpkit.solvers.policy_gradient import NaturalPolicyGradient


class Anchorless(NaturalPolicyGradient):
    """A wrong step: from the uniform policy, and not from the last one."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step of another algorithm."""
        return super().step(problem, state._replace(log_pi=0 * state.log_pi), rng)


NPG = NaturalPolicyGradient(eta=Fraction(1, 2))


def step_size(eta: Any, k: int) -> Any:
    """Step k of a constant or a geometrically increasing rule."""
    return ball(eta.eta) * ball(eta.factor) ** k if isinstance(eta, Increasing) else ball(eta)


def the_iterates(
    judge: Judge, solver: NaturalPolicyGradient, n: int, tested: NaturalPolicyGradient | None = None
) -> Iterator[tuple[list[Any], list[Any], list[Row]]]:
    """Policies and values of the tested solver, with the rows that say they follow the update of ``solver``."""
    expected = judge.log_uniform()
    for k, state in enumerate(iterates(judge.mdp, tested or solver, n)):
        pi = [exp(x) for x in state.log_pi]
        V = judge.value(pi)
        yield pi, V, [all_equal(state.log_pi, expected, f"log pi_{k}"), all_equal(state.V, V, f"V_{k}")]
        A = judge.advantage(V)
        step = step_size(solver.eta, k) / (1 - judge.gamma)
        expected = judge.log_softmax([ball(x) + step * y for x, y in zip(state.log_pi, A, strict=True)])


@claim(
    "agarwal2021:npg-rate",
    says=r"V^*(\rho) - V^{\pi_K}(\rho) \le \frac{1}{K}\Bigl(\frac{\log|A|}{\eta} + \frac{1}{(1-\gamma)^2}\Bigr)",
    where="Theorem 16, recalled; rewards in [0, 1], uniform start",
    kind="upper",
    mode="numeric",
    instances=joined(discounted(), named("riverswim?n_states=4&gamma=1/2")),
    controls=[
        mutant("the anchor forgotten: softmax of the advantage", tested=Anchorless(eta=Fraction(1, 2))),
        mutant("no first term", solver=NaturalPolicyGradient(eta=Fraction(1, 100)), first=0, second=0),
        mutant("no second term", solver=NaturalPolicyGradient(eta=Fraction(1000)), second=0),
    ],
    about=[NaturalPolicyGradient],
)
def rate(
    mdp: Any,
    *,
    solver: NaturalPolicyGradient = NPG,
    tested: NaturalPolicyGradient | None = None,
    first: int = 1,
    second: int = 1,
    steps: int = 20,
) -> Iterator[Row]:
    """The natural policy gradient closes in like 1/K, whatever the number of states."""
    judge = Judge(mdp)
    best = judge.objective(judge.optimal)
    actions = max(len(pairs) for pairs in judge.pairs)
    bound = first * log(actions) / ball(solver.eta) + second / (1 - judge.gamma) ** 2
    for k, (_, V, rows) in enumerate(the_iterates(judge, solver, steps, tested)):
        yield from rows
        if k:
            yield leq(best - judge.objective(V), bound / k, f"K={k}", k=k)


def references(judge: Judge) -> list[list[Fraction] | None]:
    """No reference, and one that prefers later actions."""
    rank = [Fraction(1 + k - judge.pairs[s][0]) for k, s in enumerate(judge.state)]
    return [None, [rank[k] / sum(rank[j] for j in judge.pairs[s]) for k, s in enumerate(judge.state)]]


def centered(judge: Judge, x: list[Any]) -> list[Any]:
    """Less the plain mean over the actions of each state: orthogonal to what the policy does not see."""
    means = [sum((x[k] for k in pairs), ball(0)) / len(pairs) for pairs in judge.pairs]
    return [x[k] - means[s] for k, s in enumerate(judge.state)]


@claim(
    "kakade2001:fisher",
    says=r"""\tfrac1\eta (\log \pi_{k+1} - \log \pi_k) \equiv F^\dagger \nabla_\theta V^{\pi_k}(\rho), \quad
             F = E_{s \sim (1-\gamma) d,\, a \sim \pi_k}[\psi \psi^\top], \quad \psi = \nabla_\theta \log \pi_k(a|s)""",
    where="the definition, with the Fisher information of agarwal2021, Section 5.3, recalled; up to a constant in each state",
    kind="identity",
    mode="numeric",
    instances=joined(
        positive(sizes=((1, 3), (2, 2), (3, 2)), gammas=(Fraction(1, 2), Fraction(9, 10)), fast=3, full=9), ragged()
    ),
    controls=[
        mutant("the initial law for the visits", law="rho"),
        mutant("visits that sum to 1/(1 - gamma)", law="unnormalized"),
        mutant("scores not centered: F = diag(d pi)", score=0),
        mutant("the gradient without the entropy's part", entropy=0),
    ],
    about=[NaturalPolicyGradient],
    domain="initial laws from which every state is visited",
)
def fisher(mdp: Any, *, law: str = "visits", score: int = 1, entropy: int = 1, steps: int = 2) -> Iterator[Row]:
    """The step is the gradient, preconditioned by the pseudo-inverse of the Fisher information."""
    judge = Judge(mdp)
    tau = Fraction(1, 5)
    eta = (1 - judge.gamma_exact) / tau / 3
    solver = NaturalPolicyGradient(eta=eta)
    problems = [(mdp, Fraction(0), None)]
    for law_ in references(judge):
        problems.append((mdp.under(EntropyRegularized(judge.gamma_exact, tau, law_)), tau, law_))
    for number, (problem, temperature, reference) in enumerate(problems):
        log_reference = [ball(0)] * judge.L if reference is None else [log(x) for x in reference]
        before: Any = None
        for k, state in enumerate(iterates(problem, solver, steps)):
            at = f"problem {number}, k={k}"
            log_pi = list(state.log_pi)
            pi = [exp(x) for x in log_pi]
            paid = judge.soft_rewards(log_pi, temperature, log_reference)
            yield all_equal(state.V, judge.value(pi, paid), f"{at}: V")
            if before is None:
                yield all_equal(log_pi, judge.log_uniform(), f"{at}: start")
            else:
                old, old_pi, old_paid = before
                w = centered(judge, [(x - y) / ball(eta) for x, y in zip(log_pi, old, strict=True)])
                d = {"visits": judge.occupancy, "unnormalized": judge.visits, "rho": lambda _: judge.rho}[law](old_pi)
                gradient = judge.logit_gradient(old_pi, old_paid if entropy else None)
                for s, pairs in enumerate(judge.pairs):
                    # F w, one state at a time: the blocks of the others are zero.
                    Fw = [ball(0)] * len(pairs)
                    for i, a in enumerate(pairs):
                        psi = [ball(int(i == j)) - score * old_pi[b] for j, b in enumerate(pairs)]
                        along = sum((x * w[b] for x, b in zip(psi, pairs, strict=True)), ball(0))
                        Fw = [f + d[s] * old_pi[a] * along * x for f, x in zip(Fw, psi, strict=True)]
                    yield all_equal(Fw, [gradient[b] for b in pairs], f"{at}, s={s}")
            before = log_pi, pi, paid


@claim(
    "khodadadian2022:geometric",
    says=r"""V^*(\rho) - V^{\pi_k}(\rho) \sim C \exp\Bigl(-\frac{\Delta}{1-\gamma} \sum_{j<k} \eta_j\Bigr), \qquad
             \Delta = \min_{s,\, a \ne a^*(s)} V^*(s) - Q^*(s,a)""",
    where="the rate of constant steps, recalled; the exact rate, and increasing steps, derived, see docs",
    kind="rate",
    mode="numeric",
    instances=joined(
        bandits(arms=(3, 2), fast=1, full=3),
        positive(sizes=((2, 2), (3, 2)), gammas=(Fraction(1, 2), Fraction(9, 10)), fast=1, full=4),
    ),
    controls=[
        mutant("the largest gap of an action", smallest=False),
        mutant("no factor 1/(1 - gamma) in the exponent", horizon=False),
        mutant("the gaps of actions twice", gaps=2),
    ],
    about=[NaturalPolicyGradient],
    rate=[
        Rate(-1, "exactly", within=0.08, scale="geometric", series="constant steps"),
        Rate(-1, "exactly", within=0.08, scale="geometric", series="increasing steps"),
    ],
    domain="unique optimal actions, and every state visited",
    caveat="C can be as large as one likes, so the rate says little about the first steps",
)
def geometric(mdp: Any, *, smallest: bool = True, horizon: bool = True, gaps: int = 1) -> Iterator[Row]:
    """In the end the gap falls geometrically in the sum of the steps, at exactly the rate of the closest wrong action."""
    judge = Judge(mdp)
    best, q = judge.optimal, judge.optimal_q
    lost = [best[s] - x for x, s in zip(q, judge.state, strict=True)]
    wrong = [x for x in lost if x > 0]
    if len(wrong) != judge.L - judge.S:
        return
    size = (1 - judge.gamma_exact) / min(wrong)
    runs = (
        ("constant steps", NaturalPolicyGradient(eta=4 * size), [4] * 12),
        (
            "increasing steps",
            NaturalPolicyGradient(Increasing(size, Fraction(3, 2))),
            [Fraction(3, 2) ** k for k in range(9)],
        ),
    )
    unit = (min(wrong) if smallest else max(wrong) + min(wrong)) / min(wrong)
    for series, solver, steps in runs:
        x, errors = Fraction(0), [ball(0)] * judge.L
        for k, (_, V, rows) in enumerate(the_iterates(judge, solver, len(steps))):
            yield from rows
            gap = judge.objective(best) - judge.objective(V)
            far = norm([ball(a) - b for a, b in zip(best, V, strict=True)])
            bound = largest(
                sum((ball(lost[j]) * exp(-errors[j]) for j in pairs if lost[j] > 0), ball(0)) for pairs in judge.pairs
            ) / (1 - judge.gamma)
            for s in range(judge.S):
                yield leq(ball(best[s]) - V[s], bound, f"{series}, k={k}, s={s}", k=k, series=f"{series}, s={s}, bound")
            if x > 18:
                yield point(float(x * unit if horizon else x * unit * (1 - judge.gamma_exact)), gap, series=series)
            if k < len(steps):
                step = size * steps[k] / (1 - judge.gamma_exact)
                errors = [
                    e + ball(step) * (gaps * ball(d) - judge.gamma * far) for e, d in zip(errors, lost, strict=True)
                ]
                x += steps[k]


@claim(
    "cen2022:linear-rate",
    says=r"""\|Q_\tau^* - Q_\tau^{\pi_k}\|_\infty \le \gamma (1-\eta\tau)^{k-1} C, \quad
             \|\log \pi_\tau^* - \log \pi_k\|_\infty \le \tfrac2\tau (1-\eta\tau)^{k-1} C, \quad
             C = \|Q_\tau^* - Q_\tau^{\pi_0}\|_\infty + 2 \tau \bigl(1 - \tfrac{\eta\tau}{1-\gamma}\bigr)
             \|\log \pi_\tau^* - \log \pi_0\|_\infty""",
    where="Theorem 1, recalled; derived, see docs",
    kind="upper",
    mode="numeric",
    instances=joined(
        discounted(sizes=((1, 3), (2, 2), (3, 2)), gammas=(Fraction(1, 2), Fraction(9, 10)), fast=3, full=9), ragged()
    ),
    controls=[
        mutant("no second term of C", second=0),
        mutant("no first term of C", first=0),
        mutant("the weight 1 - eta tau/(1 - gamma) for the rate", fast_rate=True),
    ],
    about=[NaturalPolicyGradient],
    caveat="in the end the values close in like the square of the weight of the last policy, which is faster",
)
def entropy_rate(
    mdp: Any, *, first: int = 1, second: int = 1, fast_rate: bool = False, steps: int = 6
) -> Iterator[Row]:
    """With entropy, the natural policy gradient is linear."""
    judge = Judge(mdp)
    tau = Fraction(1, 5)
    for reference, part in zip(references(judge), (Fraction(1, 10), Fraction(1)), strict=True):
        solver = NaturalPolicyGradient(eta=part * (1 - judge.gamma_exact) / tau)
        problem = mdp.under(EntropyRegularized(judge.gamma_exact, tau, reference))
        log_reference = [ball(0)] * judge.L if reference is None else [log(x) for x in reference]
        best = judge.optimal_soft(tau, reference)
        kept, rate = 1 - ball(part), 1 - ball(part) * (1 - judge.gamma)
        rate = kept if fast_rate else rate
        C: Any = None
        expected: Any = judge.log_uniform()
        for k, state in enumerate(iterates(problem, solver, steps)):
            log_pi = list(state.log_pi)
            V = judge.value([exp(x) for x in log_pi], judge.soft_rewards(log_pi, tau, log_reference))
            q = judge.q(V)
            at = f"part {part}, k={k}"
            yield all_equal(log_pi, expected, f"{at}: log pi")
            yield all_equal(state.V, V, f"{at}: V")
            far_q = norm([x - y for x, y in zip(best.q, q, strict=True)])
            far_pi = norm([x - y for x, y in zip(best.log_pi, log_pi, strict=True)])
            if C is None:
                C = first * far_q + second * 2 * ball(tau) * kept * far_pi
            else:
                level = rate ** (k - 1) * C
                yield leq(far_q, judge.gamma * level, f"{at}: Q", k=k, series=f"Q, {part}")
                yield leq(far_pi, 2 * level / ball(tau), f"{at}: log pi", k=k, series=f"log pi, {part}")
            raw = [
                kept * x + ball(part) * (y / ball(tau) + z) for x, y, z in zip(log_pi, q, log_reference, strict=True)
            ]
            expected = judge.log_softmax(raw)
