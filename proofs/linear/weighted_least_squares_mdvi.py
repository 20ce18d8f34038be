r"""Claims about mirror-descent value iteration by weighted least squares, with exact backups, in rationals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from math import sqrt
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, all_leq, claim, equal, fact, leq, mutant, premise
from mdpkit.claims.cases import discounted, named
from mdpkit.claims.claim import Case, Level
from mdpkit.claims.exact import solve, sup
from mdpkit.claims.judge import Judge, array, ball
from mdpkit.claims.trial import call, iterates
from mdpkit.instances import make
from mdpkit.kernels import design, segments
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.models.criterion import Discounted, EntropyRegularized
from mdpkit.models.linear import LinearMDP
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.weighted_regression import WeightedRegression
from mdpkit.solvers.linear import WeightedLeastSquaresMDVI
from mdpkit.solvers.regularized_dp import MirrorDescentValueIteration

F = Fraction
WLS = WeightedLeastSquaresMDVI(eps=F(1, 20))


# -- instances -------------------------------------------------------------------------------------------------------


def ragged_linear() -> LinearMDP:
    """Two states with three actions and one, features in a triangle, two of them inside."""
    phi = [[1, 0, 0], ["1/2", "1/4", "1/4"], [0, 1, 0], ["1/5", "1/5", "3/5"]]
    mu = [["1/3", "2/3"], ["9/10", "1/10"], ["1/4", "3/4"]]
    return LinearMDP(phi, mu, ["1/2", 0, 1], Discounted(F(4, 5)), state=[0, 0, 0, 1], action=[0, 1, 2, 0], rho=0)


def linear_models(level: Level, rng: Any) -> Iterator[Case]:
    """Random linear MDPs, one with another number of actions in each state, a hypercube and the square."""
    for i in range(1 if level == "fast" else 4):
        seed, gamma = int(rng.integers(10_000)), (F(9, 10), F(1, 2))[i % 2]
        source = f"linear-mdp?S=3&A=3&d=3&anchors={i % 2 == 0}&gamma={gamma}&seed={seed}"
        yield Case(source, make("linear-mdp", S=3, A=3, d=3, anchors=i % 2 == 0, gamma=gamma, seed=seed))
    yield Case("ragged linear model, gamma=4/5", ragged_linear())
    yield Case("linear-hypercube?m=2&hidden=1", make("linear-hypercube", m=2, hidden=1))
    yield Case("linear-square", make("linear-square"))


# -- the judge -------------------------------------------------------------------------------------------------------


class Linear:
    """A rational linear MDP, its features, and least squares on it, by the judge's own code."""

    def __init__(self, mdp: LinearMDP):
        self.judge = Judge(mdp)
        assert mdp.phi_exact is not None
        self.phi: list[list[Fraction]] = [[F(x) for x in row] for row in mdp.phi_exact.tolist()]
        self.d, self.L, self.S = len(self.phi[0]), self.judge.L, self.judge.S
        self.gamma, self.r = self.judge.gamma_exact, self.judge.r_exact

    def ahead(self, V: Sequence[Fraction]) -> list[Fraction]:
        """PV, of each pair."""
        return [sum((p * v for p, v in zip(row, V, strict=True)), F(0)) for row in self.judge.P_exact]

    def variance(self, V: Sequence[Fraction]) -> list[Fraction]:
        """The variance of V at the next state, of each pair."""
        mean, square = self.ahead(V), self.ahead([v * v for v in V])
        return [y - x * x for x, y in zip(mean, square, strict=True)]

    def backup(self, V: Sequence[Fraction]) -> list[Fraction]:
        """r + gamma PV."""
        return self.judge.exact_q(V)

    def values(self, theta: Any) -> list[Fraction]:
        """Of each pair, the features times the coefficients."""
        return [sum((x * F(t) for x, t in zip(row, theta, strict=True)), F(0)) for row in self.phi]

    def largest(self, s: Sequence[Fraction]) -> list[Fraction]:
        """The maximum over each state's pairs."""
        return [max(s[k] for k in pairs) for pairs in self.judge.pairs]

    def coefficients(self, core: Sequence[int], weights: Sequence[Fraction]) -> list[list[Fraction]]:
        """What an observation at each point of the core set counts in the fitted value of each pair."""
        G = [
            [
                sum((w * self.phi[i][a] * self.phi[i][b] for i, w in zip(core, weights, strict=True)), F(0))
                for b in range(self.d)
            ]
            for a in range(self.d)
        ]
        columns = solve(G, *([w * x for x in self.phi[i]] for i, w in zip(core, weights, strict=True)))
        return [[sum((x * c for x, c in zip(row, col, strict=True)), F(0)) for col in columns] for row in self.phi]

    def leverages(self, core: Sequence[int], weights: Sequence[Fraction]) -> list[Fraction]:
        """The squared length of each pair's features in the inverse of the weighted matrix."""
        G = [
            [
                sum((w * self.phi[i][a] * self.phi[i][b] for i, w in zip(core, weights, strict=True)), F(0))
                for b in range(self.d)
            ]
            for a in range(self.d)
        ]
        return [sum((x * y for x, y in zip(row, solve(G, row)[0], strict=True)), F(0)) for row in self.phi]


def the_design(linear: Linear, regression: Any, scale: Sequence[Fraction], eps: Fraction) -> Iterator[Row]:
    """The design is a law on the core set, and for the scale no leverage is above d (1 + eps)."""
    core, rho = [int(k) for k in regression.core], [F(x) for x in regression.rho]
    yield all_equal([F(x) for x in regression.scale], scale, "the scale")
    yield leq(abs(sum(rho, F(0)) - 1), F(len(rho), 2**52), "the design sums to one, up to rounding")
    weights = [x / scale[i] ** 2 for i, x in zip(core, rho, strict=True)]
    most = max(x / scale[k] ** 2 for k, x in enumerate(linear.leverages(core, weights)))
    yield leq(most, linear.d * (1 + eps), "largest leverage")


# -- wrong variants, for controls ------------------------------------------------------------------------------------


class OneOverF(WeightedRegression):
    """A matrix with 1/f, beside a right-hand side with the square."""

    def fit(self, y: Any) -> Any:
        """The solution of the wrong equations."""
        X, f = self.phi[self.core], self.scale[self.core]
        return segments.solve(design.gram(X, self.rho / f), X.T @ (self.weights * y))


class NotebookMDVI(WeightedLeastSquaresMDVI):
    """The method with that regression."""

    def init(self, problem: Any, rng: Any = None) -> Any:
        """The start."""
        state = super().init(problem, rng)
        r = state.regression
        return state._replace(regression=OneOverF(r.phi, r.core, r.rho, r.scale))


class Undiminished(WeightedLeastSquaresMDVI):
    """Backs up the whole maximum and not its increment."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """v = w."""
        new = super().step(problem, state, rng)
        return new._replace(V=new.w)


class Undiscounted(WeightedLeastSquaresMDVI):
    """Sums the regressions without the decay."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """A sum of all with weight one."""
        on = OnPolicy(problem)
        new = super().step(problem, state, rng)
        total = new.theta + state.total
        w = self.largest(on, new.regression.phi @ total)
        return new._replace(total=total, w=w, V=w - self.decay(on) * state.w)


def uneven(L: int) -> list[Fraction]:
    """A scale without meaning, between 1/4 and 13/4."""
    return [F(1 + 7 * k % 13, 4) for k in range(L)]


# -- claims ----------------------------------------------------------------------------------------------------------


@claim(
    "vwls-mdvi:telescoping",
    says=r"\phi^\top\bar\theta_k = A_k r + \gamma P w_{k-1}, \quad A_k = \tfrac{1-\alpha^k}{1-\alpha}; \qquad "
    r"\alpha = \gamma: \; \|\phi^\top\bar\theta_k - H q^*\|_\infty \le \gamma^k (H \|q^*\|_\infty + k H \|r\|_\infty)",
    where="derived, see docs; the update as in Algorithm 1 (recalled) and in the authors' code",
    kind="upper",
    mode="exact",
    instances=linear_models,
    controls=[
        mutant("1/f in the matrix, its square on the right", kind=NotebookMDVI),
        mutant("the maximum backed up in place of its increment", kind=Undiminished),
        mutant("the sum of regressions without decay", kind=Undiscounted),
    ],
    about=[WeightedLeastSquaresMDVI],
)
def telescoping(
    mdp: Any, *, kind: type[WeightedLeastSquaresMDVI] = WeightedLeastSquaresMDVI, steps: int = 10
) -> Iterator[Row]:
    """With exact backups the scale of the regression makes no difference, and the sums telescope."""
    linear = Linear(mdp)
    gamma, H = linear.gamma, 1 / (1 - linear.gamma)
    best = linear.judge.optimal_q
    for name, scale, alpha in (
        ("f=1", None, None),
        ("another f", uneven(linear.L), None),
        ("another f, alpha=1/3", uneven(linear.L), F(1, 3)),
    ):
        solver = kind(alpha=alpha, scale=scale, eps=WLS.eps)
        decay = gamma if alpha is None else alpha
        w, v, mass = [F(0)] * linear.S, [F(0)] * linear.S, F(0)
        for k, state in enumerate(iterates(mdp, solver, steps, arithmetic="rational")):
            at = f"{name}, k={k}"
            s = linear.values(state.total)
            if k == 0:
                yield all_equal(state.total, [F(0)] * linear.d, f"start, {at}")
                yield from the_design(linear, state.regression, scale or [F(1)] * linear.L, WLS.eps)
            else:
                yield all_equal(linear.values(state.theta), linear.backup(v), f"regression, {at}")
                mass = 1 + decay * mass
                telescoped = [mass * r + gamma * x for r, x in zip(linear.r, linear.ahead(w), strict=True)]
                yield all_equal(s, telescoped, f"sum, {at}")
            yield equal(state.mass, mass, f"A, {at}")
            yield equal(state.draws, 0, f"draws, {at}")
            new = linear.largest(s)
            yield all_equal(state.w, new, f"w, {at}")
            v = [x - decay * y for x, y in zip(new, w, strict=True)] if k else [F(0)] * linear.S
            yield all_equal(state.V, v, f"v, {at}")
            w = new
            if alpha is None:
                error = sup(x - H * q for x, q in zip(s, best, strict=True))
                bound = gamma**k * (H * sup(best) + k * H * sup(linear.r))
                yield leq(error, bound, at, k=k, series=name)
                if k:
                    near = sup(x / mass - q for x, q in zip(s, best, strict=True))
                    bound = gamma**k * (2 * H * sup(best) + k * H * sup(linear.r)) / mass
                    yield leq(near, bound, at, k=k, series=f"{name}, estimate")


@claim(
    "vwls-mdvi:one-over-f",
    says=r"\Bigl(\sum_{i \in C} \tfrac{\rho_i}{f_i} \phi_i\phi_i^\top\Bigr) \theta_k "
    r"= \sum_{i \in C} \tfrac{\rho_i}{f_i^2} \phi_i q_i "
    r"\;\Longrightarrow\; \phi^\top\bar\theta_k = A_k r + \gamma P w_{k-1} \quad (\text{false})",
    where="the regression of the authors' public notebook, code; derived, see docs",
    kind="counterexample",
    mode="exact",
    instances=linear_models,
    controls=[mutant("the square of f on both sides", kind=WeightedLeastSquaresMDVI)],
    about=[WeightedLeastSquaresMDVI],
)
def one_over_f(mdp: Any, *, kind: type[WeightedLeastSquaresMDVI] = NotebookMDVI, steps: int = 4) -> Iterator[Row]:
    """A regression whose two sides are weighted differently is wrong even where nothing is random."""
    linear = Linear(mdp)
    solver = kind(scale=uneven(linear.L), eps=WLS.eps)
    w, mass = [F(0)] * linear.S, F(0)
    for k, state in enumerate(iterates(mdp, solver, steps, arithmetic="rational")):
        if k == 0:
            yield premise(all_equal(state.total, [F(0)] * linear.d, "start"))
            for row in the_design(linear, state.regression, uneven(linear.L), WLS.eps):
                yield premise(row)
        else:
            mass = 1 + linear.gamma * mass
            telescoped = [mass * r + linear.gamma * x for r, x in zip(linear.r, linear.ahead(w), strict=True)]
            yield all_equal(linear.values(state.total), telescoped, f"sum, k={k}")
        w = [F(x) for x in state.w]


def unweighted(on: Any, scale: Any, eps: Any) -> WeightedRegression:
    """The regression with f = 1."""
    return WeightedRegression.of(on, None, eps)


def upside_down(on: Any, scale: Any, eps: Any) -> WeightedRegression:
    """Design and weights for 1/f in place of f: noisy observations count most."""
    return WeightedRegression.of(on, array([1 / f for f in scale]), eps)


def squares(level: Level, rng: Any) -> Iterator[Case]:
    """Models whose variances differ between pairs."""
    for leave in (F(1, 100), F(1, 1000)):
        gamma = 1 - leave
        yield Case(f"linear-square?leave={leave}&gamma={gamma}", make("linear-square", leave=leave, gamma=gamma))
    for _ in range(1 if level == "fast" else 4):
        seed = int(rng.integers(10_000))
        yield Case(f"linear-mdp?S=4&A=4&d=3&seed={seed}", make("linear-mdp", S=4, A=4, d=3, seed=seed))


@claim(
    "vwls-mdvi:weighted-design",
    says=r"\mathrm{Var}(y_i) \le f_i^2 \;(i \in C) \;\Longrightarrow\; "
    r"\mathrm{sd}(\phi^\top\theta) \le f \sqrt{d(1+\varepsilon)}, "
    r"\qquad |y_i| \le f_i \;\Longrightarrow\; |\phi^\top\theta| \le f \sqrt{d(1+\varepsilon)} \qquad \text{at every pair}",
    where="the weighted Kiefer-Wolfowitz theorem, recalled; derived with these constants, see docs",
    kind="upper",
    mode="exact",
    instances=squares,
    controls=[
        mutant("f = 1 in design and regression", regression=unweighted),
        mutant("f upside down", regression=upside_down),
        mutant("without the dimension", root=False),
    ],
    about=[WeightedLeastSquaresMDVI],
)
def weighted_design(mdp: Any, *, regression: Any = WeightedRegression.of, root: bool = True) -> Iterator[Row]:
    """Errors of the regression are at most the scale's, at all pairs and not only at those that are observed."""
    linear, eps = Linear(mdp), WLS.eps
    variance = [linear.gamma**2 * x for x in linear.variance(linear.judge.optimal)]
    # Any f that is at least the standard deviation will do: floats above it, away from zero.
    scale = [F(max(sqrt(x) * (1 + 2.0**-50), 0.125)) for x in variance]
    yield fact(all(f * f >= x for f, x in zip(scale, variance, strict=True)), "f is at least the standard deviation")
    on = OnPolicy(in_arithmetic(canonical(mdp), "rational"))
    code = call(regression, on, array(scale), eps)
    core = [int(k) for k in code.core]
    columns: list[list[Fraction]] = []
    for i in range(len(core)):
        unit = [F(0)] * len(core)
        unit[i] = F(1)
        columns.append(linear.values(call(code.fit, array(unit))))
    counts = [[column[k] for column in columns] for k in range(linear.L)]
    true = linear.backup(linear.judge.optimal)
    fitted = call(code.fit, array([true[i] for i in core]))
    yield all_equal(linear.values(fitted), true, "the mean")
    size = linear.d * (1 + eps) if root else F(1)
    most = [size * f * f for f in scale]
    spread = [sum((c * c * variance[i] for c, i in zip(row, core, strict=True)), F(0)) for row in counts]
    yield all_leq(spread, most, "variance")
    worst = [sum((abs(c) * scale[i] for c, i in zip(row, core, strict=True)), F(0)) ** 2 for row in counts]
    yield all_leq(worst, most, "largest error squared")
    if regression is WeightedRegression.of:
        yield from the_design(linear, code, scale, eps)
        weights = [F(x) / scale[i] ** 2 for i, x in zip(core, code.rho, strict=True)]
        for k, row in enumerate(linear.coefficients(core, weights)):
            yield all_equal(counts[k], row, f"regression, pair {k}")
    noisy = np.argmax([float(x) for x in variance])
    yield leq(spread[int(noisy)], most[int(noisy)], "the noisiest pair", k=1)


def one_hot_models(level: Level, rng: Any) -> Iterator[Case]:
    """Random models with one feature for each pair, and one with another number of actions in each state."""
    for case in discounted(sizes=((2, 2), (3, 2)), gammas=(F(1, 2), F(9, 10)), fast=1, full=4)(level, rng):
        yield Case(f"{case.name}, one-hot", LinearMDP.from_mdp(case.problem))
    for case in named("puterman-two-state", gamma=F(9, 10))(level, rng):
        yield Case(f"{case.name}, one-hot", LinearMDP.from_mdp(case.problem))


@claim(
    "vwls-mdvi:one-hot",
    says=r"\phi = \text{one-hot}: \quad \log\pi_{k+1} = \log\mathrm{softmax}(\phi^\top\bar\theta_k / \kappa), \; V_{k+1} = v_k "
    r"\quad \text{for MD-VI with } \lambda = \alpha\kappa, \; \tau = (1-\alpha)\kappa",
    where="the tabular method is Algorithm 1 of MDVI, recalled; derived, see docs",
    kind="identity",
    mode="numeric",
    instances=one_hot_models,
    controls=[
        mutant("the two penalties exchanged", exchanged=True),
        mutant("the evaluation without the KL penalty", second=2),
        mutant("a hard maximum", hard=True),
    ],
    about=[WeightedLeastSquaresMDVI],
)
def one_hot(mdp: Any, *, exchanged: bool = False, second: int = 1, hard: bool = False, steps: int = 5) -> Iterator[Row]:
    """With one feature for each pair, and a temperature, the method is mirror-descent value iteration."""
    judge = Judge(mdp)
    alpha, kappa = judge.gamma_exact, F(1, 2)
    lambda_, tau = (1 - alpha) * kappa, alpha * kappa
    if not exchanged:
        lambda_, tau = tau, lambda_
    solver = WeightedLeastSquaresMDVI(temperature=0 if hard else kappa, eps=WLS.eps)
    soft = mdp.under(EntropyRegularized(judge.gamma_exact, tau))
    other = MirrorDescentValueIteration(lambda_=lambda_, type=second)
    both = zip(iterates(mdp, solver, steps), islice(iterates(soft, other, steps + 1), 1, None), strict=True)
    v: Any = None
    for k, (state, tabular) in enumerate(both):
        if k == 0:
            yield all_equal(state.total, [ball(0)] * judge.L, "start")
        else:
            yield all_equal(state.theta, judge.q(v), f"regression, k={k}")
        v = state.V
        yield all_equal(judge.log_softmax(state.total, kappa), tabular.log_pi, f"log pi_{k + 1}")
        yield all_equal(v, tabular.V, f"V_{k + 1}")
        yield all_equal(judge.q(v), tabular.q, f"q_{k + 1}")
