r"""Claims about least-squares value iteration of linear MDPs.

With exact moments everything is rational. With samples, the bound is Hoeffding's for a sum whose coefficients are known; the
judge computes those, and the backups that the regressions aim at, by its own arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from fractions import Fraction
from math import ceil, log, sqrt
from typing import Any

import numpy as np

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import chosen, joined
from mdpkit.claims.claim import Cases, Level
from mdpkit.claims.exact import Exact, exactly, solve
from mdpkit.claims.rounding import factors
from mdpkit.claims.trial import call, iterates
from mdpkit.instances import make
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.linear import LinearMDP
from mdpkit.proofs.linear.optimal_design import gram, leverages
from mdpkit.solvers.linear import LeastSquaresValueIteration

F = Fraction
ZERO, ONE = F(0), F(1)


def staged() -> LinearMDP:
    """Laws and rewards that differ between stages, actions that differ between states, terminal rewards, costs."""
    phi = [["1", "0"], ["1/2", "1/2"], ["0", "1"], ["1/4", "3/4"], ["2/3", "1/3"]]
    mu = [[["1/2", "1/2", 0], [0, "1/3", "2/3"]], [["1/4", 0, "3/4"], [1, 0, 0]], [["1/5", "2/5", "2/5"], [0, 1, 0]]]
    theta = [[1, "-1/2"], ["1/3", 2], ["-1/4", "3/4"]]
    criterion = FiniteHorizon(3, terminal=np.array([F(1), F(0), F(-2)], dtype=object), gamma=F(9, 10))
    pairs = {"state": [0, 0, 1, 2, 2], "action": [0, 2, 1, 0, 1]}
    return LinearMDP(phi, mu, theta, criterion, **pairs, rho=0, minimize=True)


def one_hot() -> LinearMDP:
    """A model that is linear in the indicators of its pairs."""
    return LinearMDP.from_mdp(make("garnet", S=3, A=2, branching=2, seed=4, gamma="1/2"))


def discounted(*, fast: int = 2, full: int = 8, gammas: Sequence[Fraction] = (F(1, 2), F(9, 10))) -> Cases:
    """Random linear MDPs, with anchors and without, and the hypercube."""

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            options = {
                "S": 3 + i % 2,
                "A": 2 + i % 2,
                "d": 2 + i % 2,
                "anchors": i % 2 == 0,
                "seed": int(rng.integers(10_000)),
            }
            gamma = gammas[i % len(gammas)]
            name = "&".join(f"{key}={value}" for key, value in options.items())
            yield Case(f"linear-mdp?{name}&gamma={gamma}", make("linear-mdp", **options, gamma=gamma))
        yield Case("linear-hypercube?m=2&hidden=1&gamma=1/2", make("linear-hypercube", m=2, hidden=1, gamma="1/2"))

    return cases


HORIZONS = chosen(
    lambda: [
        Case("linear-hypercube-episodic", make("linear-hypercube-episodic")),
        Case("three stages that differ, two, one and two actions, costs", staged()),
        Case("linear-mdp?S=3&A=2&d=2&seed=1, H=3", make("linear-mdp", S=3, A=2, d=2, seed=1).under(FiniteHorizon(3))),
    ]
)
ALL = joined(discounted(), chosen(lambda: [Case("garnet?S=3&A=2&branching=2&seed=4, one-hot", one_hot())]), HORIZONS)


def features(mdp: LinearMDP) -> list[list[Fraction]]:
    """The features as lists of Fractions."""
    return [[F(x) for x in row] for row in np.asarray(mdp.phi_exact).tolist()]


def product(phi: list[list[Fraction]], theta: Any) -> list[Fraction]:
    """The features times coefficients."""
    return [sum((x * F(y) for x, y in zip(row, theta, strict=True)), ZERO) for row in phi]


def vectors(n: int) -> list[list[Fraction]]:
    """A few values to back up."""
    return [[F(0)] * n, [F(k) for k in range(n)], [F((3 * k * k + 1) % 7, 5) - 1 for k in range(n)]]


@claim(
    "jin2020:linear-backup",
    says=r"r(s,a) + \gamma \sum_{s'} P(s'|s,a) V(s') = "
    r"\bigl\langle \phi(s,a),\, \theta + \gamma \textstyle\sum_{s'} \mu(s') V(s') \bigr\rangle",
    where="Proposition 2.3, recalled; immediate from the definition",
    kind="identity",
    mode="exact",
    instances=ALL,
    controls=[
        mutant("the coefficients without the discount", discount=0),
        mutant("the coefficients without the rewards", rewards=0),
        mutant("the measures of the first stage in all stages, and values of the last state first", reverse=True),
    ],
    about=[LeastSquaresValueIteration],
)
def linear_backup(mdp: Any, *, discount: int = 1, rewards: int = 1, reverse: bool = False) -> Iterator[Row]:
    """The backup of every value is linear in the features, with coefficients that the model gives."""
    exact = Exact.of(mdp)
    phi, gamma = features(mdp), exact.gamma[0]
    yield fact(mdp.is_exact and isinstance(mdp, LinearMDP), "features in rationals")
    for i, V in enumerate(vectors(exact.S)):
        taken = np.array(V[::-1] if reverse else V, dtype=object)
        for h in range(exact.H or 1):
            w = [F(x) for x in call(mdp.weights, taken, stage=h, gamma=gamma if discount else ONE).tolist()]
            if not rewards:
                w = [x - y for x, y in zip(w, call(mdp.weights, 0 * taken, stage=h), strict=True)]
            right = exact.q(V, [exact.sign * x for x in exact.r], stage=h)
            yield all_equal(product(phi, w), right, f"V {i}, stage {h}")


class Ridge(LeastSquaresValueIteration):
    """A neighbor: ridge regression with the penalty one, which shrinks."""

    def _regression(self, of: Any, state: Any, V: Any, h: int, rng: Any) -> tuple[Any, int]:
        theta, draws = super()._regression(of, state, V, h, rng)
        G = of.phi.T @ (state.weights[:, None] * of.phi)
        eye = np.array([[F(int(i == j)) for j in range(of.dim)] for i in range(of.dim)], dtype=object)
        right = G @ theta
        return np.array(solve((G + eye).tolist(), right.tolist())[0], dtype=object), draws


class Lowest(LeastSquaresValueIteration):
    """Values of the last action and not of the best one."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step with another value."""
        after = super().step(problem, state, rng)
        if after.V.ndim == 2:
            return after
        q = np.asarray(problem.mdp.phi_exact) @ after.theta
        return after._replace(V=q[problem.pair_ptr[1:] - 1])


@claim(
    "jin2020:exact-moments",
    says=r"V_k = T^k V_0 \text{ and } \phi^\top\theta_k = r + \gamma P V_{k-1}; \qquad "
    r"V_h = V_h^* \text{ over a finite horizon}",
    where="derived: regression of a linear function on vectors that span is exact, see docs",
    kind="identity",
    mode="exact",
    instances=ALL,
    controls=[
        mutant("ridge regression", tested=Ridge()),
        mutant("values of the last action", tested=Lowest()),
        mutant("one backup more", shift=1),
        mutant("a design for d - 1 parameters", value=-1),
    ],
    about=[LeastSquaresValueIteration],
)
def exact_moments(mdp: Any, *, tested: Any = None, shift: int = 0, value: int = 0, steps: int = 4) -> Iterator[Row]:
    """With exact moments, least squares on a few pairs is value iteration, or backward induction."""
    exact = Exact.of(mdp)
    phi, d, solver = features(mdp), mdp.dim, tested or LeastSquaresValueIteration()
    star = exact.horizon() if exact.H is not None else None
    V: list[Fraction] = [ZERO] * exact.S
    low, high = min(exact.r) / (1 - min(exact.gamma)) if star is None else ZERO, ZERO
    if star is None:
        high = max(exact.r) / (1 - exact.gamma[0])
        V = [min(max(x, low), high) for x in V]
    count = exact.H or steps
    for k, state in enumerate(iterates(mdp, solver, count, arithmetic="rational")):
        if k == 0:
            w = [F(x) for x in state.weights.tolist()]
            yield equal(sum(w, ZERO), ONE, "the design's weights")
            yield leq(max(leverages(phi, gram(phi, w))), (d + value) * (1 + F(solver.eps)), "the design's leverages")
        yield equal(F(state.draws), ZERO, f"k={k}: no draws")
        yield equal(F(state.k), F(k), f"k={k}: the count")
        if star is not None:
            for h in range(exact.H - k, exact.H + 1):  # type: ignore[operator]
                at = min(h + shift, len(star) - 1)
                yield all_equal(state.V[h].tolist(), star[at], f"k={k}, V_{h}")
            if k:
                h = exact.H - k  # type: ignore[operator]
                yield all_equal(
                    product(phi, state.theta[h].tolist()), exact.q(star[h + 1], stage=h), f"k={k}, theta_{h}"
                )
            continue
        if k:
            q = exact.q(V)
            yield all_equal(product(phi, state.theta.tolist()), q, f"k={k}: theta")
            V = exact.best(q)
        yield all_equal(state.V.tolist(), exact.backup(V) if shift else V, f"V_{k}")


NAME = "linear-mdp?S=4&A=3&d=3&anchors=no&seed=6"
"""The design of its features has more points than parameters, with weights that differ."""
SAMPLED = joined(
    discounted(fast=1, full=4, gammas=(F(9, 10),)),
    chosen(
        lambda: [
            Case(NAME, make("linear-mdp", S=4, A=3, d=3, anchors=False, seed=6)),
            Case("linear-hypercube-episodic?H=8", make("linear-hypercube-episodic", H=8)),
            Case("three stages that differ, two, one and two actions, costs", staged()),
        ]
    ),
)


class OneDraw(LeastSquaresValueIteration):
    """All draws of a pair are its first one."""

    def _regression(self, of: Any, state: Any, V: Any, h: int, rng: Any) -> tuple[Any, int]:
        few = state._replace(weights=np.where(state.weights > 0, 1e-9, 0.0))
        theta, _ = super()._regression(of, few, V, h, rng)
        return theta, int(self.counts(state.weights).sum())


class Twin:
    """The regression of a step, exactly, from draws of its own: the numbers of a generator of the same state."""

    def __init__(self, exact: Exact, phi: list[list[Fraction]], counts: list[Fraction], rng: Any):
        self.exact, self.phi, self.counts, self.rng = exact, phi, [int(n) for n in counts], deepcopy(rng)
        self.G = gram(phi, counts)
        d = len(self.G)
        inverse = solve(self.G, *[[F(int(i == j)) for i in range(d)] for j in range(d)])
        condition = max(sum(map(abs, row)) for row in self.G) * max(sum(map(abs, row)) for row in inverse)
        # Elimination, as in the notes on rounding, and what the sums of the normal equations round.
        self.relative = 4 * d * (d * d * 2 ** (d - 1) * factors(3 * d) + factors(sum(self.counts) + 8)) * condition

    def row(self, V: list[Fraction], h: int, theta: Any, at: str) -> Row:
        """That the fitted values of the pairs are those of these draws."""
        exact, right = self.exact, [ZERO] * len(self.G)
        u = self.rng.random(sum(self.counts))
        start = 0
        for k, n in enumerate(self.counts):
            if n:
                P = exact.P[k + h * exact.L if len(exact.P) > exact.L else k]
                ends = np.cumsum([float(P.get(t, ZERO)) for t in range(exact.S)])
                after = np.searchsorted(ends / ends[-1], u[start : start + n], side="right")
                start += n
                r = exact.r[k + h * exact.L if len(exact.r) > exact.L else k]
                visits = np.bincount(after, minlength=exact.S).tolist()
                paid = n * r + exact.gamma[k] * sum((m * v for m, v in zip(visits, V, strict=True)), ZERO)
                right = [x + paid * y for x, y in zip(right, self.phi[k], strict=True)]
        fitted = product(self.phi, solve(self.G, right)[0])
        size = max(map(abs, V)) + max(map(abs, exact.r)) + max(map(abs, fitted))
        return all_leq(
            [abs(x - y) for x, y in zip(product(self.phi, theta), fitted, strict=True)],
            [self.relative * size] * exact.L,
            at,
        )


def certain(exact: Exact, V: Any, gap: float, at: str) -> Row:
    """That a state's gap is the width of MacQueen's bounds around its values: a backup rounds S + 8 times, twice here."""
    values = exactly(V)
    change = [x - y for x, y in zip(exact.backup(values), values, strict=True)]
    width = (max(change) - min(change)) / (1 - exact.gamma[0])
    size = max(map(abs, values)) + max(map(abs, exact.r))
    return leq(abs(F(gap) - width), 4 * (exact.S + 8) * F(1, 2**53) * size / (1 - exact.gamma[0]), at)


@claim(
    "lattimore2020b:generative-model",
    says=r"""\max_{s,a} |\phi^\top\hat\theta_h - (r_h + \gamma P_h \hat V_{h+1})| \le
             e_h = \gamma B_{h+1} \sqrt{\tfrac g2 \log\tfrac{2NL}{\delta}}, \quad g \le \tfrac{d(1+\varepsilon)}{n}, \qquad
             \|\hat V_0 - V_0^*\| \le \sum_h \gamma^h e_h, \quad V_0^* - V_0^{\hat\pi} \le 2 \sum_h \gamma^h e_h""",
    where="the design and the order as in Section 5, recalled; constants and proof derived, see docs",
    kind="upper",
    mode="statistical",
    instances=SAMPLED,
    delta=1e-3,
    controls=[
        mutant("a deviation that falls like 1/n", power=2),
        mutant("all draws of a pair are its first one", tested=OneDraw),
        mutant("as if the laws were known: no deviation", known=True),
    ],
    about=[LeastSquaresValueIteration],
    caveat="the range of values is the a priori one",
)
def generative_model(
    mdp: Any,
    *,
    rng: Any,
    delta: float,
    power: int = 1,
    tested: Any = LeastSquaresValueIteration,
    known: bool = False,
    steps: int = 6,
) -> Iterator[Row]:
    """From a generative model, each regression is right up to a bound that holds with high probability."""
    exact = Exact.of(mdp)
    phi, d, g0 = features(mdp), mdp.dim, float(exact.gamma[0])
    finite, H = exact.H is not None, exact.H or steps
    for n in (100, 4000):
        solver = tested(samples=n)
        share = delta / 2
        ranges = _ranges(exact)
        errors: list[float] = []
        before: Any = None
        norm, drawn = 0.0, 0
        twin: Any = None
        for k, state in enumerate(iterates(mdp, solver, H, arithmetic="float", rng=rng)):
            if before is None:
                weights = exactly(state.weights)
                yield leq(abs(sum(weights) - 1), F(len(weights) * 4, 2**53), "the design's weights")
                # ceil(w n) may be one more where the product of floats rounds up to an integer's neighbor
                counts = [F(ceil(float(x) * n)) for x in state.weights]
                drawn = int(sum(counts))
                top = max(leverages(phi, gram(phi, counts)))
                yield leq(top, d * (1 + F(solver.eps)) / n * (1 + F(1, 2**30)), f"n={n}: leverages")
                norm = float(top) ** power
                twin = Twin(exact, phi, counts, rng)
            yield equal(F(state.draws), F(k * drawn), f"n={n}, k={k}: draws")
            if before is not None:
                h = H - k if finite else 0
                V = exactly(before.V[h + 1] if finite else before.V)
                theta = exactly(state.theta[h] if finite else state.theta)
                yield twin.row(V, h if finite else 0, theta, f"n={n}, k={k}: the regression")
                aim = exact.q(V, stage=h if finite else 0)
                low, high = ranges[h + 1 if finite else 0]
                width = high - low
                e = 0.0 if known else g0 * float(width) * sqrt(0.5 * norm * log(2 * 2 * H * exact.L / share))
                errors.append(e)
                off = max(abs(x - y) for x, y in zip(product(phi, theta), aim, strict=True))
                if high > low:  # else nothing is random
                    yield leq(off, e, f"n={n}, k={k}", k=float(n * H + k), series=f"one step, n={n}")
                if not finite:
                    yield certain(exact, state.V, state.gap, f"n={n}, k={k}: the gap")
                got = exactly(state.V[h] if finite else state.V)
                now = ranges[h if finite else 0]
                best = [min(max(x, now[0]), now[1]) for x in exact.best(product(phi, theta))]
                slack = F(float(max(map(abs, now)) + 1)) * F(64 * d, 2**53)
                yield all_leq(
                    [abs(x - y) for x, y in zip(got, best, strict=True)], [slack] * exact.S, f"n={n}, k={k}: V"
                )
            before = state
        if finite:
            total = sum(g0 ** (H - 1 - i) * e for i, e in enumerate(errors))  # the first error is of the last stage
            star = exact.horizon()
            choice = [
                [max(pairs, key=lambda j: (float(q[j]), -j)) for pairs in exact.pairs]
                for q in (product(phi, exactly(theta)) for theta in before.theta)
            ]
            mine = exact.horizon(choice)
            far = max(abs(x - y) for x, y in zip(exactly(before.V[0]), star[0], strict=True))
            yield leq(far, total, f"n={n}: the value")
            yield all_leq(
                [x - y for x, y in zip(star[0], mine[0], strict=True)], [2 * total] * exact.S, f"n={n}: the policy"
            )


def _ranges(exact: Exact) -> list[tuple[Fraction, Fraction]]:
    """What can be earned from each stage on."""
    if exact.H is None:
        one = 1 - exact.gamma[0]
        return [(min(exact.r) / one, max(exact.r) / one)]
    assert exact.terminal is not None
    out = [(min(exact.terminal), max(exact.terminal))]
    for h in range(exact.H - 1, -1, -1):
        r = exact.r[h * exact.L : (h + 1) * exact.L] if len(exact.r) > exact.L else exact.r
        out.insert(0, (min(r) + exact.gamma[0] * out[0][0], max(r) + exact.gamma[0] * out[0][1]))
    return out
