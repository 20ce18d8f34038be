r"""Claims about FixPO: the hard trust region, the second phase that keeps it, and why that phase ends."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from mdpkit.claims import Case, Row, all_equal, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import chosen, positive
from mdpkit.claims.judge import Judge, ball, dot, exp, largest, log, log_sum_exp
from mdpkit.claims.trial import call, iterates
from mdpkit.kernels import surrogate
from mdpkit.proofs.policy_gradient.surrogate import gain, relative_entropies
from mdpkit.solvers.policy_gradient import FixPO

# Small balls and long first phases, so that the second one has something to do.
FIX = FixPO(Fraction(1, 50), eta=3, inner=4, beta=Fraction(1, 2), eta_beta=1, margin=2, floor=Fraction(49, 100))


class Mild(FixPO):
    """A wrong trust region: the radius is what the mean divergence must not exceed."""

    def size(self, divergence: Any, d: Any) -> Any:
        """The mean over the visits where the maximum belongs."""
        return d @ divergence


def phase(
    judge: Judge, solver: FixPO, log_old: Any, beta: Any, statistic: str, floor: Any
) -> tuple[Any, Any, Any, int]:
    """Both phases by their definition: the policy after each, the coefficient, and the number of repairs."""
    old = [exp(x) for x in log_old]
    A, d = judge.advantage(judge.value(old)), judge.occupancy(old)
    epsilon, eta = ball(solver.epsilon), ball(solver.eta)
    log_pi = list(log_old)

    def size(pi: Any) -> Any:
        far = relative_entropies(judge, old, pi)
        return largest(far) if statistic == "max" else dot(d, far)

    def pull(log_pi: Any, pi: Any, up: Any, back: Any) -> Any:
        mean = judge.mean(pi, A)
        raw = [
            x + d[s] * (up * p * (a - mean[s]) - back * (p - q))
            for x, p, q, a, s in zip(log_pi, pi, old, A, judge.state, strict=True)
        ]
        return judge.log_softmax(raw)

    def adapted(beta: Any, far: Any) -> Any:
        beta = beta + ball(solver.eta_beta) * (ball(solver.margin) * far - epsilon)
        return beta if beta >= ball(floor) else ball(floor)

    for _ in range(solver.inner):
        pi = [exp(x) for x in log_pi]
        far = size(pi)
        log_pi = pull(log_pi, pi, eta, eta * beta)
        beta = adapted(beta, far)
    first, repairs = log_pi, 0
    while True:
        pi = [exp(x) for x in log_pi]
        far = size(pi)
        if far <= epsilon or repairs > 100:
            return first, log_pi, beta, repairs
        log_pi = pull(log_pi, pi, ball(0), eta * beta if eta * beta <= 2 else ball(2))
        beta = adapted(beta, far)
        repairs += 1


@claim(
    "fixpo:trust-region",
    says=r"\max_s \mathrm{KL}(\pi_k \| \pi_{k+1})(s) \le \epsilon, \qquad "
    r"J(\pi_{k+1}) \ge L_{\pi_k}(\pi_{k+1}) - \frac{2\gamma\epsilon}{(1-\gamma)^2} \max_{s,a} |A^{\pi_k}(s,a)|",
    where="the paper's guarantee, recalled; the rule is read in code that states it; the bound is derived here",
    kind="upper",
    mode="numeric",
    instances=positive(sizes=((3, 3), (2, 2), (2, 3)), gammas=(Fraction(1, 2), Fraction(9, 10)), fast=3, full=9),
    controls=[
        mutant("no second phase", second=False),
        mutant("a mean divergence inside the radius", tested=Mild(**FIX.__dict__), statistic="mean"),
        mutant("half the radius", radius=Fraction(1, 2)),
        mutant("the margin forgotten", solver=FixPO(**{**FIX.__dict__, "margin": 1}), tested=FIX),
        mutant("the coefficient has no floor", floor=Fraction(-1), tested=FIX),
    ],
    about=[FixPO],
)
def trust_region(
    mdp: Any,
    *,
    solver: FixPO = FIX,
    tested: FixPO | None = None,
    statistic: str = "max",
    second: bool = True,
    radius: Fraction = Fraction(1),
    floor: Fraction | None = None,
    steps: int = 3,
) -> Iterator[Row]:
    """Every state is in the trust region after each update of FixPO, so that the surrogate bounds the return."""
    judge = Judge(mdp)
    expected = judge.log_uniform()
    beta: Any = ball(solver.beta)
    repairs = 0
    before: Any = None
    first: Any = None
    for k, state in enumerate(iterates(mdp, tested or solver, steps)):
        log_pi, at = list(state.log_pi), f"k={k}"
        pi = [exp(x) for x in log_pi]
        V = judge.value(pi)
        yield all_equal(log_pi, expected, f"log pi_{k}")
        yield all_equal(state.V, V, f"V_{k}")
        yield equal(state.beta, beta, f"beta_{k}")
        yield fact(state.repairs == repairs, f"repairs, {at}")
        if before is not None:
            old, W = before
            A, d = judge.advantage(W), judge.visits(old)
            shown = pi if second else [exp(x) for x in first]
            far = largest(relative_entropies(judge, old, shown))
            yield leq(far, ball(radius * solver.epsilon), at, k=k, series="largest divergence")
            missing = judge.objective(W) + gain(judge, d, A, pi) - judge.objective(V)
            size = largest([abs(x) for x in A])
            bound = 2 * judge.gamma * ball(solver.epsilon) / (1 - judge.gamma) ** 2 * size
            yield leq(missing, bound, f"surrogate less return, {at}", k=k, series="surrogate less return")
        least = solver.floor if floor is None else floor
        first, expected, beta, repairs = phase(judge, solver, log_pi, state.beta, statistic, least)
        before = pi, V


def divergence(old: Any, log_new: Any) -> Any:
    """KL(old || new) in one state, the new policy in unnormalized logarithms."""
    norm = log_sum_exp(list(log_new))
    return sum((ball(q) * (log(q) - x + norm) for q, x in zip(old, log_new, strict=True)), ball(0))


def starts() -> Iterator[Case]:
    """A policy, and another one in logarithms; the third is far away, where the divergence is nearly linear."""
    third, half = Fraction(1, 3), Fraction(1, 2)
    for old, new in (
        ((half, half), (half + Fraction(1, 100), half - Fraction(1, 100))),
        ((Fraction(1, 10), Fraction(9, 10)), (Fraction(4, 5), Fraction(1, 5))),
        ((half, half), (Fraction(1, 10**17), 1 - Fraction(1, 10**17))),
        ((third, third, third), (Fraction(1, 100), Fraction(9, 100), Fraction(9, 10))),
        ((Fraction(1, 100), Fraction(9, 100), Fraction(9, 10)), (third, third, third)),
    ):
        yield Case("KL({} || {})".format(*(tuple(map(str, p)) for p in (old, new))), (old, new))


@claim(
    "fixpo:repairs",
    says=r"f(\theta) = \mathrm{KL}(\pi_k \| \pi_\theta), \; \theta_{n+1} = \theta_n - h \nabla f(\theta_n): \quad "
    r"f(\theta_{n+1}) \le f(\theta_n) - h \bigl(1 - \tfrac{h}{4}\bigr) \|\nabla f(\theta_n)\|^2, \qquad "
    r"f(\theta_n) \le \frac{\|\theta_0 - \theta_k\|^2}{2 h n} \text{ for } h \le 2",
    where="derived, see docs",
    kind="upper",
    mode="numeric",
    instances=chosen(starts),
    controls=[
        mutant("a curvature of 1/3", curvature=Fraction(1, 3)),
        mutant("the gradient of the divergence with swapped arguments", swapped=True),
        mutant("three times as fast", speed=3),
    ],
    about=[FixPO],
)
def repairs_end(
    problem: Any, *, curvature: Fraction = Fraction(1, 2), swapped: bool = False, speed: int = 1
) -> Iterator[Row]:
    """Repairs bring each state's divergence down, and below any radius."""
    old, new = problem
    pointer = np.array([0, len(old)])
    log_old = np.array([log(x) for x in old], dtype=object)
    one = np.array([ball(1)], dtype=object)
    for h in (Fraction(1, 10), 2, Fraction(39, 10)):
        penalty = partial(surrogate.kl, beta=ball(h))
        log_pi = np.array([log(x) for x in new], dtype=object)
        apart = [x - y for x, y in zip(log_pi, log_old, strict=True)]
        shift = sum(apart, ball(0)) / len(old)
        distance = sum(((x - shift) ** 2 for x in apart), ball(0))
        f = divergence(old, log_pi)
        for n in range(1, 13 if h == 2 else 3):
            pi = [exp(x) for x in log_pi]
            gradient = [p - ball(q) for p, q in zip(pi, old, strict=True)]
            slope = gradient
            if swapped:
                ratio = [log(p / ball(q)) for p, q in zip(pi, old, strict=True)]
                mean = dot(pi, ratio)
                slope = [p * (x - mean) for p, x in zip(pi, ratio, strict=True)]
            step = call(surrogate.gradient, log_pi, log_old, 0 * log_old, one, pointer, penalty)
            yield all_equal(step, [-ball(h) * x for x in slope], f"h={h}, n={n}")
            raw = [x - ball(h) * y for x, y in zip(log_pi, gradient, strict=True)]
            norm = log_sum_exp(raw)
            log_pi = np.array([x - norm for x in raw], dtype=object)
            after = divergence(old, log_pi)
            square = sum((x * x for x in gradient), ball(0))
            fall = ball(h) * (1 - ball(h) * ball(curvature) / 2) * square
            yield leq(after, f - fall, f"h={h}, n={n}", k=n, series=f"one repair, h={h}")
            if h == 2:
                yield leq(after, distance / (2 * h * n * speed), f"n={n}", k=n, series="all repairs")
            f = after
            if not f > ball(Fraction(1, 2**60)):
                break
