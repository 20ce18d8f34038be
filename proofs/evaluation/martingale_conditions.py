r"""Claims about temporal differences of processes in continuous time.

The judge has its own moments: sums over trajectories where they are short, its own linear systems else, and in balls the
matrix exponential of python-flint.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.claims import Rate, Row, all_equal, claim, equal, leq, mutant, point, premise
from mdpkit.claims.cases import Case, Cases, Level, positive
from mdpkit.claims.judge import Judge, array, ball, balls, dot
from mdpkit.claims.judge import norm as size
from mdpkit.claims.trial import call, estimates, pose_task
from mdpkit.kernels import martingale
from mdpkit.models.criterion import Discounted
from mdpkit.models.jump_process import JumpProcess
from mdpkit.models.mdp import MDP
from mdpkit.operators.task import Transition
from mdpkit.solvers.evaluation.martingale_conditions import (
    MartingaleLoss,
    MartingaleOrthogonality,
    MeanSquareTDError,
)

F = Fraction
ZERO, HALF, ONE = F(0), F(1, 2), F(1)
Vector = list[Any]
Matrix = list[Vector]


def solved(A: Matrix, b: Vector) -> Vector:
    """The solution of a linear system, in balls."""
    flint = import_module("flint")
    n = len(b)
    left = flint.arb_mat(n, n, [ball(x) for row in A for x in row])
    return list(left.solve(flint.arb_mat(n, 1, [ball(x) for x in b])).entries())


def times(A: Matrix, x: Vector) -> Vector:
    """A matrix times a vector."""
    return [dot(row, x) for row in A]


def turned(A: Matrix) -> Matrix:
    """The transpose."""
    return [list(column) for column in zip(*A, strict=True)]


def less(x: Vector, y: Vector) -> Vector:
    """The difference of two vectors."""
    return [a - b for a, b in zip(x, y, strict=True)]


class Chain:
    """A model under a policy that takes its actions in proportion to 1, 2, ...: the judge's own account."""

    def __init__(self, mdp: MDP):
        self.mdp, self.judge = mdp, Judge(mdp)
        j = self.judge
        self.pi = [F(k - pairs[0] + 1, len(pairs) * (len(pairs) + 1) // 2) for pairs in j.pairs for k in pairs]
        self.P = [[sum((self.pi[k] * j.P_exact[k][t] for k in pairs), F(0)) for t in range(j.S)] for pairs in j.pairs]
        self.r = j.exact_mean(self.pi, j.r_exact)
        self.policy = np.array(self.pi, dtype=object)

    @property
    def law(self) -> list[Fraction]:
        """The stationary law, in rationals."""
        flint, n = import_module("flint"), self.judge.S
        A = [[F(int(s == t)) - self.P[s][t] for s in range(n)] for t in range(n)]
        A[-1] = [F(1)] * n
        left = flint.fmpq_mat(n, n, [flint.fmpq(x.numerator, x.denominator) for row in A for x in row])
        right = flint.fmpq_mat(n, 1, [flint.fmpq(int(t == n - 1)) for t in range(n)])
        return [F(int(x.p), int(x.q)) for x in left.solve(right).entries()]

    def form(self, discounting: str) -> tuple[Any, Any]:
        """The factor of the next value and the penalty of the present one, in balls."""
        gamma = ball(self.judge.gamma_exact)
        return (gamma, ball(0)) if discounting == "factor" else (ball(1), -gamma.log())


def features(n: int, d: int) -> Any:
    """Rows of small integers that are linearly independent: one a state, or d of them."""
    if d == n:
        return None
    return [[F((s + 1) ** k, 2**k) for k in range(d)] for s in range(n)]


def outer(x: Vector, y: Vector) -> Matrix:
    """The product of a column and a row."""
    return [[a * b for b in y] for a in x]


@claim(
    "martingale-td:orthogonality",
    says=r"w_{k+1} = w_k + \eta (b - A w_k), \quad b - A w = E[\xi_i (f J_w(X_{i+1}) - (1+p) J_w(X_i) + r_i)]; \quad \text{with"
    r"one feature a state} \; b - A w = 0 \iff E[\delta_i | X_i] = 0, \text{ whatever } \lambda",
    where="martingale orthogonality conditions, abstract seen; CTD(lambda), CLSTD and CGTD recalled; the stationary moments "
    "derived",
    kind="identity",
    mode="numeric",
    instances=positive(sizes=((2, 2), (3, 2)), fast=2, full=8),
    controls=[
        mutant("both conventions at once", both=True),
        mutant("test functions decay by lambda a step, whatever its length", forget=F(1, 2)),
        mutant("the gradient is not transposed", transposed=False),
        mutant("test functions from the future", forward=False),
    ],
    about=[MartingaleOrthogonality],
)
def orthogonality(
    mdp: Any, *, both: bool = False, forget: Any = None, transposed: bool = True, forward: bool = True, steps: int = 2
) -> Iterator[Row]:
    """Expected steps follow the moments of the test functions, and all test functions find the same martingale."""
    on = Chain(mdp)
    n, mu, eta = on.judge.S, balls(on.law), F(1, 4)
    P, r = [balls(row) for row in on.P], balls(on.r)
    for discounting in ("factor", "rate"):
        f, p = on.form(discounting)
        if both:
            f, p = on.form("factor")[0], on.form("rate")[1]
        for lambda_, dt in ((F(0), F(1)), (F(1, 2), F(1, 4))):
            c = ball(lambda_) ** ball(dt) if lambda_ else ball(0)
            c = ball(forget) if forget is not None and lambda_ else c
            for d in (n, 1):
                phi = features(n, d)
                rows = (
                    [balls(row) for row in phi] if phi else [balls([int(s == t) for t in range(n)]) for s in range(n)]
                )
                # E[xi_i g(X_i)] = sum_k c^k mu (phi P^k g): x = (I - cP)^{-1} g by a linear system for each g.
                resolvent = [[ball(int(s == t)) - c * P[s][t] for t in range(n)] for s in range(n)]
                if not forward:
                    resolvent = turned(resolvent)

                def mean(g: Vector, rows: Matrix = rows, resolvent: Matrix = resolvent) -> Vector:
                    x = solved(resolvent, g)
                    return [dot(mu, [row[i] * v for row, v in zip(rows, x, strict=True)]) for i in range(len(rows[0]))]

                columns = [
                    mean(
                        [(1 + p) * rows[s][i] - f * dot(P[s], [row[i] for row in rows]) for s in range(n)],
                    )
                    for i in range(d)
                ]
                A, b = turned(columns), mean(r)
                for method in ("steps", "gradient"):
                    label = f"{discounting}, lambda={lambda_}, {d} features, {method}"
                    tested = MartingaleOrthogonality(discounting, method, eta, True, lambda_, dt)
                    run = estimates(mdp, on.policy, tested, steps, features=phi)
                    w = balls([0] * d)
                    yield all_equal(next(run).w, w, f"{label}, start")
                    for k, state in enumerate(run, 1):
                        move = less(b, times(A, w))
                        if method == "gradient":
                            move = times(turned(A) if transposed else A, move)
                        w = [x + ball(eta) * y for x, y in zip(w, move, strict=True)]
                        yield all_equal(state.w, w, f"{label}, k={k}")
                if d == n:
                    tested = MartingaleOrthogonality(discounting, "least squares", eta, True, lambda_, dt)
                    task, code = pose_task(mdp, on.policy, tested)
                    J = list(call(code.answer, task, call(code.init, task)))
                    left = [f * dot(P[s], J) - (1 + p) * J[s] + r[s] for s in range(n)]
                    yield all_equal(left, [0] * n, f"{discounting}, lambda={lambda_}, martingale")


@claim(
    "martingale-td:online",
    says=r"w \leftarrow w + \eta\, \xi_i \delta_i; \quad w \leftarrow w + \tfrac{\eta}{m} \sum_{i<m} (G_i - J_w(X_i))"
    r"\phi(X_i);"
    r"\quad w \leftarrow w - \tfrac{\eta}{2} \nabla \delta_i^2",
    where="recalled; derived for the discounted residual",
    kind="identity",
    mode="numeric",
    instances=positive(sizes=((2, 2), (3, 2)), fast=2, full=8),
    controls=[
        mutant("test functions do not decay", forget=F(1)),
        mutant("half the gradient of the residual: the next value is held", semi=True),
        mutant("payments of a window are not discounted", flat=True),
        mutant("the penalty is left out", free=True),
    ],
    about=[MartingaleOrthogonality, MartingaleLoss, MeanSquareTDError],
)
def online(
    mdp: Any,
    *,
    rng: Any = None,
    forget: Any = None,
    semi: bool = False,
    flat: bool = False,
    free: bool = False,
    n: int = 6,
) -> Iterator[Row]:
    """Along a trajectory each method takes the step that is written, and the expected loss has its moments."""
    on = Chain(mdp)
    S, eta, window = on.judge.S, F(1, 4), 3
    phi = features(S, 2) or [[F(1), F(0)], [F(1), F(1)]]
    rows = [balls(row) for row in phi]
    pairs, states = [], [0]
    for _ in range(n):
        pairs.append(int(rng.choice(on.judge.pairs[states[-1]])))
        states.append(int(rng.integers(S)))
    for discounting in ("factor", "rate"):
        f, p = on.form(discounting)
        p = ball(0) if free else p
        c = ball(F(1, 2)) ** ball(F(1, 4)) if forget is None else ball(forget)
        for tested in (
            MartingaleOrthogonality(discounting, "steps", eta, False, F(1, 2), F(1, 4)),
            MartingaleOrthogonality(discounting, "gradient", eta, False, F(1, 2), F(1, 4)),
            MartingaleLoss(discounting, "steps", eta, False, window, 2),
            MeanSquareTDError(discounting, "steps", eta, False),
        ):
            task, code = pose_task(mdp, on.policy, tested, features=phi)
            state = call(code.begin, task, 0)
            w, trace = balls([0, 0]), balls([0, 0])
            A, b, n_moments = [balls([0, 0]), balls([0, 0])], balls([0, 0]), 0
            yield all_equal(state.w, w, f"{type(tested).__name__}, start")
            for i, x in enumerate(pairs):
                state = call(code.update, task, state, Transition(states[i], x, states[i + 1]))
                here, there, paid = rows[states[i]], rows[states[i + 1]], ball(on.judge.r_exact[x])
                delta = f * dot(there, w) - (1 + p) * dot(here, w) + paid
                move, added = balls([0, 0]), list[Any]()
                if isinstance(tested, MartingaleOrthogonality):
                    trace = [c * z + y for z, y in zip(trace, here, strict=True)]
                    move = [delta * z for z in trace]
                    added = [(trace, less([(1 + p) * y for y in here], [f * z for z in there]), paid)]
                elif isinstance(tested, MeanSquareTDError):
                    move = [((1 + p) * y - (0 if semi else f) * z) * delta for y, z in zip(here, there, strict=True)]
                    change = less([(1 + p) * y for y in here], [f * z for z in there])
                    added = [(change, change, paid)]
                elif (i + 1) % window == 0:
                    for first in range(i + 1 - window, i):
                        G = ball(0)
                        for j in range(first, i + 1):
                            weight = ball(1) if flat else f ** (j - first) / (1 + p) ** (j - first + 1)
                            G = G + weight * ball(on.judge.r_exact[pairs[j]])
                        past = rows[states[first]]
                        error = (G - dot(past, w)) / 2
                        added.append((past, past, G))
                        move = [m + error * y for m, y in zip(move, past, strict=True)]
                for x_, y_, paid_ in added:
                    A = [[u + v for u, v in zip(*two, strict=True)] for two in zip(A, outer(x_, y_), strict=True)]
                    b = [u + paid_ * v for u, v in zip(b, x_, strict=True)]
                n_moments += len(added)
                if tested.method == "gradient":
                    short = [u / n_moments - v / n_moments for u, v in zip(b, times(A, w), strict=True)]
                    move = [u / n_moments for u in times(turned(A), short)]
                w = [v + ball(eta) * m for v, m in zip(w, move, strict=True)]
                yield all_equal(state.w, w, f"{type(tested).__name__}, {tested.method}, {discounting}, i={i}")
            yield all_equal(state.A, [[u / n_moments for u in row] for row in A], "mean of A")
            yield all_equal(state.b, [u / n_moments for u in b], "mean of b")
        if free:
            continue
        # The expected loss, with two of three steps counted and without an end.
        mu, P, r, last = balls(on.law), [balls(row) for row in on.P], balls(on.r), balls([0] * S)
        to_go: list[Vector] = []
        for _ in range(window):
            last = [(x + f * y) / (1 + p) for x, y in zip(r, times(P, last), strict=True)]
            to_go.append(last)
        whole = [[(1 + p) * int(s == t) - f * P[s][t] for t in range(S)] for s in range(S)]
        for n_steps, values in ((window, to_go[1:]), (None, [solved(whole, r)])):
            task, code = pose_task(
                mdp, on.policy, MartingaleLoss(discounting, "steps", eta, True, n_steps, n_steps and 2), features=phi
            )
            _, found = call(code.moments, task)
            mean = [sum((V[s] for V in values), ball(0)) / len(values) for s in range(S)]
            mine = [sum((mu[s] * rows[s][i] * mean[s] for s in range(S)), ball(0)) for i in range(2)]
            yield all_equal(found, mine, f"loss, {discounting}, window {n_steps}")


@claim(
    "martingale-td:means",
    says=r"E_\mu[A_i] = A, \quad E_\mu[b_i] = b \quad \text{for what each transition, or window, adds to the moments}",
    where="derived",
    kind="identity",
    mode="exact",
    instances=positive(sizes=((2, 2), (3, 2)), fast=2, full=6),
    controls=[
        mutant("all states weigh the same", uniform=True),
        mutant("the behavior's actions weigh the same", even=True),
        mutant("the next state is the likeliest", likeliest=True),
    ],
    survivors={name: "moments read no step size" for name in ("η → 2η", "η → η/2")},
    about=[MartingaleOrthogonality, MartingaleLoss, MeanSquareTDError],
    caveat="for lambda = 0; windows of two steps",
)
def means(mdp: Any, *, uniform: bool = False, even: bool = False, likeliest: bool = False) -> Iterator[Row]:
    """What is drawn has the exact moments as its mean, under the stationary law."""
    on = Chain(mdp)
    j = on.judge
    mu = [F(1, j.S)] * j.S if uniform else on.law

    def steps(s: int) -> Iterator[tuple[Transition, Fraction]]:
        for k in j.pairs[s]:
            pi = F(1, len(j.pairs[s])) if even else on.pi[k]
            top = max(range(j.S), key=lambda t: j.P_exact[k][t])
            for t, q in enumerate(j.P_exact[k]):
                yield Transition(s, k, t), pi * (F(int(t == top)) if likeliest else q)

    for nodes in ("states", "pairs"):
        for tested in (
            MartingaleOrthogonality("factor"),
            MeanSquareTDError("factor"),
            MartingaleLoss("factor", window=2, counted=None),
        ):
            task, code = pose_task(mdp, on.policy, tested, features=nodes, arithmetic="rational")
            A, b = call(code.moments, task)
            total: Any = (0 * A, 0 * b)
            for s in range(j.S):
                walk = call(code.begin, task, s).walk
                for seen, p in steps(s):
                    after, *added = call(code.observed, task, walk, seen)
                    if added[0] is not None:
                        total = [x + mu[s] * p * y for x, y in zip(total, added, strict=True)]
                        continue
                    for second, q in steps(seen.next_state):
                        _, *added = call(code.observed, task, after, second)
                        total = [x + mu[s] * p * q * y for x, y in zip(total, added, strict=True)]
            yield all_equal(total[0], A, f"{type(tested).__name__}, {nodes}, A")
            yield all_equal(total[1], b, f"{type(tested).__name__}, {nodes}, b")
            if nodes == "states" and isinstance(tested, MartingaleOrthogonality):
                step = [[F(int(s == t)) - j.gamma_exact * on.P[s][t] for t in range(j.S)] for s in range(j.S)]
                yield all_equal(A, [[m * x for x in row] for m, row in zip(mu, step, strict=True)], "A, by hand")
                yield all_equal(b, [m * x for m, x in zip(mu, on.r, strict=True)], "b, by hand")


# -- the mesh --------------------------------------------------------------------------------------------------------


def processes(*, fast: int = 2, full: int = 6, least: int = 2) -> Cases:
    """Jump processes of ``least`` states or up to two more, whose rates are tenths, with rewards in [0, 1]."""

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            S, seed = least + i % 3, int(rng.integers(0, 10_000))
            draw = np.random.default_rng(seed)
            L = [[F(int(x), 10) for x in row] for row in draw.integers(1, 11, (S, S))]
            for s in range(S):
                L[s][s] = -sum((L[s][t] for t in range(S) if t != s), F(0))
            r = [F(int(x), 100) for x in draw.permutation(101)[:S]]
            yield Case(f"jump process S={S}, rate 1, seed={seed}", JumpProcess(L, r, 1))

    return cases


class Motion:
    """A jump process in balls, and the judge's own functions of its generator."""

    def __init__(self, process: JumpProcess):
        L, r, rate = process.exact  # type: ignore[misc]
        self.n, self.rate = len(r), ball(rate)
        self.L, self.r = [balls(row) for row in L], balls(r)
        self.K = [[self.rate * int(s == t) - self.L[s][t] for t in range(self.n)] for s in range(self.n)]
        self.V = solved(self.K, self.r)

    @property
    def law(self) -> Vector:
        """The stationary law."""
        A = turned(self.L)
        A[-1] = balls([1] * self.n)
        return solved(A, [0] * (self.n - 1) + [1])

    def form(self, discounting: str, dt: Any) -> tuple[Any, Any]:
        """The factor of the next value and the penalty of the present one."""
        factor, penalty = (-self.rate * dt).exp(), self.rate * dt
        return {"factor": (factor, ball(0)), "rate": (ball(1), penalty), "both": (factor, penalty)}[discounting]

    def solution(self, dt: Any, discounting: str, moments: str = "orthogonality", lambda_: Any = 0) -> Vector:
        """What the code under test solves for on a grid, with one feature a state."""
        h = ball(dt)
        P = call(martingale.exponential, array([x for row in self.L for x in row]).reshape(self.n, self.n), h)
        phi, paid, weights = np.eye(self.n, dtype=int) + 0 * P, array(self.r) * h, array(self.law)
        f, p = self.form(discounting, h)
        if moments == "orthogonality":
            c = ball(lambda_) ** h if lambda_ else 0
            A, b = call(martingale.orthogonality, P, paid, phi, weights, f, p, c)
        else:
            A, b = call(martingale.errors_squared, P, paid, phi, phi, weights, f, p)
        return solved([list(row) for row in A], list(b))


def width(x: Vector) -> Any:
    """The largest difference of two entries."""
    return size([a - b for a in x for b in x])


def row_norm(A: Matrix) -> Any:
    """The largest sum of magnitudes of a row."""
    return size([sum((abs(x) for x in row), ball(0)) for row in A])


def product(A: Matrix, B: Matrix) -> Matrix:
    """The product of two matrices."""
    return turned([times(A, column) for column in turned(B)])


@claim(
    "martingale-td:factor",
    says=r"\bigl\|J_{dt} - V - \tfrac{dt}{2} r\bigr\|_\infty \le \frac{dt^2}{8\rho} \|(\rho - L)^2 r\|_\infty, \qquad"
    r"(I - e^{-\rho\,dt} e^{L\,dt}) J_{dt} = r\,dt",
    where="derived: the trapezoidal rule for the integral of e^{(L-rho)t} r; that discretized algorithms "
    "converge, abstract seen",
    kind="upper",
    mode="numeric",
    instances=processes(),
    controls=[
        mutant("the first-order term is r dt", share=F(1)),
        mutant("the first-order term is that of the rate", term="rate"),
        mutant("both conventions at once", discounting="both"),
        mutant("the mean-square error in place of orthogonality", moments="squares"),
        mutant("no first-order term", share=F(0)),
    ],
    about=[MartingaleOrthogonality],
)
def factor(
    process: Any,
    *,
    share: Fraction = HALF,
    term: str = "factor",
    discounting: str = "factor",
    moments: str = "orthogonality",
) -> Iterator[Row]:
    """With a factor, the solution on the grid is off by dt/2 of the reward, to the second order."""
    m = Motion(process)
    first = m.r if term == "factor" else solved(m.K, times(m.L, times(m.L, m.V)))
    bound = size(times(m.K, times(m.K, m.r))) / (8 * m.rate)
    for lambda_ in (0, F(1, 2)):
        for k in (4, 16, 64, 256):
            dt = F(1, k)
            J = m.solution(dt, discounting, moments, lambda_)
            rest = [j - v - ball(share * dt) * x for j, v, x in zip(J, m.V, first, strict=True)]
            yield leq(size(rest), ball(dt) ** 2 * bound, f"lambda={lambda_}, dt={dt}", k=k, series=f"lambda={lambda_}")


@claim(
    "martingale-td:rate",
    says=r"\bigl\|J_{dt} - V - \tfrac{dt}{2} (\rho - L)^{-1} L^2 V\bigr\|_\infty \le \frac1\rho \Bigl( \tfrac{dt}{2} \|L^2\|"
    r"\epsilon + \tfrac{dt^2}{6\rho} \|L^3\| \|r\| \Bigr), \quad \epsilon = \frac{\|r\|}{\rho^2} \Bigl( \tfrac{dt}{2} \|L^2\| +"
    r"\tfrac{dt^2}{6} \|L^3\| \Bigr)",
    where="derived: Taylor's formula for e^{L dt}, whose powers have norm 1; that discretized algorithms "
    "converge, abstract seen",
    kind="upper",
    mode="numeric",
    instances=processes(),
    controls=[
        mutant("the first-order term is that of the factor", term="factor"),
        mutant("the sign of the first-order term", share=F(-1, 2)),
        mutant("both conventions at once", discounting="both"),
        mutant("the mean-square error in place of orthogonality", moments="squares"),
    ],
    about=[MartingaleOrthogonality],
)
def rate(
    process: Any,
    *,
    share: Fraction = HALF,
    term: str = "rate",
    discounting: str = "rate",
    moments: str = "orthogonality",
) -> Iterator[Row]:
    """With a rate, the first-order term has the generator's square."""
    m = Motion(process)
    first = m.r if term == "factor" else solved(m.K, times(m.L, times(m.L, m.V)))
    second, third = row_norm(product(m.L, m.L)), row_norm(product(m.L, product(m.L, m.L)))
    most = size(m.r) / m.rate
    for lambda_ in (0, F(1, 2)):
        for k in (64, 256, 1024, 4096):
            dt = F(1, k)
            h = ball(dt)
            J = m.solution(dt, discounting, moments, lambda_)
            rest = [j - v - ball(share * dt) * x for j, v, x in zip(J, m.V, first, strict=True)]
            eps = (h / 2 * second + h**2 / 6 * third) * most / m.rate
            bound = (h / 2 * second * eps + h**2 / 6 * third * most) / m.rate
            yield leq(size(rest), bound, f"lambda={lambda_}, dt={dt}", k=k, series=f"lambda={lambda_}")


@claim(
    "martingale-td:first-order",
    says=r"\|J_{dt} - V\|_\infty \sim c\,dt, \qquad \|J_{dt} - V - dt J_1\|_\infty \sim c' dt^2",
    where="the order of the terms derived; the paper proves a rate for any convergent discretization, abstract seen",
    kind="rate",
    mode="numeric",
    instances=processes(fast=1, full=3),
    controls=[
        mutant("both conventions at once: the rate is 2 rho", discounting="both"),
        mutant("the mean-square error in place of orthogonality", moments="squares"),
        mutant("the terms are swapped", swapped=True),
    ],
    rate=[
        Rate(-1, "exactly", within=0.02, series="error, factor"),
        Rate(-1, "exactly", within=0.02, series="error, rate"),
        Rate(-2, "exactly", within=0.02, series="rest, factor"),
        Rate(-2, "exactly", within=0.02, series="rest, rate"),
    ],
    about=[MartingaleOrthogonality],
)
def first_order(
    process: Any, *, discounting: str | None = None, moments: str = "orthogonality", swapped: bool = False
) -> Iterator[Row]:
    """The mesh is felt in the first order, and the first-order terms are right."""
    m = Motion(process)
    terms = {"factor": m.r, "rate": solved(m.K, times(m.L, times(m.L, m.V)))}
    for name in terms:
        first = terms["rate" if (name == "factor") == swapped else "factor"]
        for k in (256, 512, 1024, 2048, 4096):
            h = ball(F(1, k))
            J = m.solution(F(1, k), discounting or name, moments)
            yield point(k, size(less(J, m.V)), series=f"error, {name}")
            yield point(
                k, size([j - v - h / 2 * x for j, v, x in zip(J, m.V, first, strict=True)]), series=f"rest, {name}"
            )


@claim(
    "martingale-td:both-conventions",
    says=r"\bigl((1 + \rho\,dt) I - e^{-\rho\,dt} e^{L\,dt}\bigr) J_{dt} = r\,dt \implies \bigl\|J_{dt} - (2\rho - L)^{-1} r"
    r"\bigr\|_\infty \le \frac{dt}{4\rho^2} \|(\rho - L)^2\| \|r\|",
    where="derived: Taylor's formula for e^{(L-rho) dt}",
    kind="upper",
    mode="numeric",
    instances=processes(),
    controls=[
        mutant("the factor alone", discounting="factor"),
        mutant("the rate alone", discounting="rate"),
        mutant("the value at the rate itself", multiple=1),
    ],
    about=[MartingaleOrthogonality],
)
def both_conventions(process: Any, *, discounting: str = "both", multiple: int = 2) -> Iterator[Row]:
    """A residual that discounts twice finds the value at twice the rate."""
    m = Motion(process)
    doubled = [[multiple * m.rate * int(s == t) - m.L[s][t] for t in range(m.n)] for s in range(m.n)]
    V = solved(doubled, m.r)
    bound = row_norm(product(m.K, m.K)) * size(m.r) / (4 * m.rate**2)
    for k in (4, 16, 64, 256, 1024):
        error = size(less(m.solution(F(1, k), discounting), V))
        yield leq(error, ball(F(1, k)) * bound, f"dt=1/{k}", k=k)


# -- losses ----------------------------------------------------------------------------------------------------------


@claim(
    "martingale-td:loss",
    says=r"\operatorname*{argmin}_w E \sum_{i<m} (G_i - J_w(X_i))^2 = \operatorname*{argmin}_w \sum_{i<m} E (V_{N-i}(X_i) -"
    r"J_w(X_i))^2, \qquad N = \infty: \; \operatorname*{argmin}_w E_\mu (V - J_w)^2",
    where="the martingale loss has its minimum at the projection of the true value, abstract seen",
    kind="identity",
    mode="exact",
    instances=positive(sizes=((2, 2), (3, 2)), fast=2, full=6),
    controls=[
        mutant("returns stop after one step", lags=1),
        mutant("payments are not discounted", discounted=False),
        mutant("all states weigh the same", uniform=True),
        mutant("returns of the first step alone", first_only=True),
    ],
    about=[MartingaleLoss],
)
def loss(
    mdp: Any,
    *,
    lags: int | None = None,
    discounted: bool = True,
    uniform: bool = False,
    first_only: bool = False,
    N: int = 3,
) -> Iterator[Row]:
    """The martingale loss over all trajectories is least at the projection of the value."""
    on = Chain(mdp)
    S = on.judge.S
    mu = [F(1, S)] * S if uniform else on.law
    g = on.judge.gamma_exact if discounted else F(1)

    def walks(n: int) -> Iterator[tuple[list[int], Fraction]]:
        if n == 0:
            yield from (([s], mu[s]) for s in range(S))
            return
        for walk, p in walks(n - 1):
            for t in range(S):
                if on.P[walk[-1]][t]:
                    yield [*walk, t], p * on.P[walk[-1]][t]

    for d, counted in ((S, None), (S, 2), (1, 2)):
        phi = features(S, d)
        rows = phi or [[F(int(s == t)) for t in range(S)] for s in range(S)]
        A, b = [[F(0)] * d for _ in range(d)], [F(0)] * d
        count = 1 if first_only else counted or N
        for walk, p in walks(N - 1):
            for i in range(count):
                G = sum((g ** (j - i) * on.r[walk[j]] for j in range(i, min(N, i + (lags or N)))), F(0))
                for a in range(d):
                    b[a] += p * G * rows[walk[i]][a] / count
                    for c in range(d):
                        A[a][c] += p * rows[walk[i]][a] * rows[walk[i]][c] / count
        task, code = pose_task(
            mdp,
            on.policy,
            MartingaleLoss("factor", "steps", F(1, 4), True, N, counted),
            features=phi,
            arithmetic="rational",
        )
        found_A, found_b = call(code.moments, task)
        yield all_equal(found_A, A, f"{d} features, A")
        yield all_equal(found_b, b, f"{d} features, b")
        run = estimates(
            mdp,
            on.policy,
            MartingaleLoss("factor", "steps", F(1, 4), True, N, counted),
            2,
            features=phi,
            arithmetic="rational",
        )
        w = [F(0)] * d
        for k, state in enumerate(run):
            yield all_equal(state.w, w, f"{d} features, k={k}")
            w = [x + F(1, 4) * y for x, y in zip(w, less(b, times_exact(A, w)), strict=True)]
        V = on.judge.exact_value(on.pi)
        task, code = pose_task(
            mdp,
            on.policy,
            MartingaleLoss("factor", "least squares", F(1, 4), True, None),
            features=phi,
            arithmetic="rational",
        )
        J = list(call(code.answer, task, call(code.init, task)))
        for a in range(d):
            error = sum((mu[s] * rows[s][a] * (J[s] - V[s]) for s in range(S)), F(0))
            yield equal(error, F(0), f"{d} features, all payments: error orthogonal to feature {a}")


def times_exact(A: Matrix, x: Vector) -> Vector:
    """A matrix times a vector, in rationals."""
    return [sum((a * b for a, b in zip(row, x, strict=True)), F(0)) for row in A]


@claim(
    "martingale-td:quadratic-variation",
    says=r"E[\delta_i^2] = E\bigl[ E[\delta_i | X_i, a_i]^2 \bigr] + f^2 E"
    r"\bigl[ \operatorname{Var}(J(X_{i+1}) | X_i, a_i) \bigr]",
    where="that the mean-square TD error approximates the quadratic variation: abstract seen; the decomposition derived",
    kind="identity",
    mode="exact",
    instances=positive(sizes=((2, 2), (3, 2)), fast=2, full=6),
    controls=[
        mutant("without the variance: the Bellman error", variance=False),
        mutant("the variance is not discounted", discounted=False),
        mutant("all states weigh the same", uniform=True),
        mutant("the cross term has the other sign", sign=-1),
    ],
    about=[MeanSquareTDError],
)
def quadratic_variation(
    mdp: Any, *, variance: bool = True, discounted: bool = True, uniform: bool = False, sign: int = 1
) -> Iterator[Row]:
    """The mean-square error is that of the mean residuals, and the variance of the next value besides."""
    on = Chain(mdp)
    S, g = on.judge.S, on.judge.gamma_exact
    mu = [F(1, S)] * S if uniform else on.law
    for d in (S, 1):
        phi = features(S, d)
        rows = phi or [[F(int(s == t)) for t in range(S)] for s in range(S)]
        task, code = pose_task(
            mdp, on.policy, MeanSquareTDError("factor", "steps", F(1, 4), True), features=phi, arithmetic="rational"
        )
        A, b = call(code.moments, task)
        for trial in range(d + 2):
            w = [F((trial * (a + 2)) % 5 - 1, 2) for a in range(d)]
            J = times_exact(rows, w)
            objective = sum((w[i] * A[i][j] * w[j] for i in range(d) for j in range(d)), F(0))
            objective += sum((-2 * sign * b[i] * w[i] for i in range(d)), F(0))
            total, j = F(0), on.judge
            for k, s in enumerate(j.state):
                seen = mu[s] * on.pi[k]
                mean = sum((j.P_exact[k][t] * J[t] for t in range(S)), F(0))
                spread = sum((j.P_exact[k][t] * (J[t] - mean) ** 2 for t in range(S)), F(0))
                objective += seen * j.r_exact[k] ** 2
                total += seen * (g * mean - J[s] + j.r_exact[k]) ** 2
                total += seen * spread * ((g**2 if discounted else 1) if variance else 0)
            yield equal(objective, total, f"{d} features, w={w}")
        run = estimates(
            mdp,
            on.policy,
            MeanSquareTDError("factor", "steps", F(1, 4), True),
            1,
            features=phi,
            arithmetic="rational",
        )
        yield all_equal(next(run).w, [F(0)] * d, f"{d} features, start")
        yield all_equal(next(run).w, [F(1, 4) * x for x in b], f"{d} features, first step")


@claim(
    "martingale-td:flat",
    says=r"J_{dt} = \frac{\mu r}{\rho} + dt\,J_1 + O(dt^2), \quad \tfrac12 (L + L^*) J_1 = \tfrac12 (L^* - \rho)(r - \mu r),"
    r"\; \mu J_1 = 0; \qquad \mu J_{dt} = \mu V",
    where="derived: the normal equations by powers of dt; that the objective is unsuitable, abstract seen",
    kind="rate",
    mode="numeric",
    instances=processes(fast=1, full=3, least=3),
    controls=[
        mutant("the martingale's conditions in its place", moments="orthogonality"),
        mutant("the limit has twice the slope", slope=F(2)),
        mutant("the generator is not symmetrized", symmetric=False),
        mutant("the next value is discounted by a factor", discounting="factor"),
    ],
    rate=[
        Rate(-1, "exactly", within=0.02, series="span"),
        Rate(-2, "exactly", within=0.02, series="rest"),
    ],
    about=[MeanSquareTDError],
)
def flat(
    process: Any,
    *,
    moments: str = "squares",
    slope: Fraction = ONE,
    symmetric: bool = True,
    discounting: str = "rate",
) -> Iterator[Row]:
    """The minimizer of the mean-square error flattens to a constant as the mesh vanishes."""
    m = Motion(process)
    mu = m.law
    mean = dot(mu, m.r)
    adjoint = [[mu[t] * m.L[t][s] / mu[s] for t in range(m.n)] for s in range(m.n)]
    half = [[(m.L[s][t] + adjoint[s][t]) / 2 for t in range(m.n)] for s in range(m.n)] if symmetric else m.L
    excess = [x - mean for x in m.r]
    right = [(x - m.rate * y) / 2 for x, y in zip(times(adjoint, excess), excess, strict=True)]
    # The weighted sum of all equations is void: the mean takes the last one's place.
    J_1 = solved([*half[:-1], mu], [*right[:-1], 0])
    for k in (128, 256, 512, 1024, 2048):
        h = ball(F(1, k))
        J = m.solution(F(1, k), discounting, moments)
        yield equal(dot(mu, J), dot(mu, m.V), f"mean, dt=1/{k}")
        yield point(k, width(J), series="span")
        rest = [j - mean / m.rate - h * ball(slope) * x for j, x in zip(J, J_1, strict=True)]
        yield point(k, size(rest), series="rest")


@claim(
    "martingale-td:mean-square-error",
    says=r"\operatorname*{argmin}_J E \sum_i \frac{\delta_i^2}{dt} \to V: \quad \operatorname{sp}(J_{dt}) \ge \tfrac12"
    r"\operatorname{sp}(V) \text{ for fine meshes}",
    where="that the mean-square TD error is not a suitable objective, abstract seen; the instances ours",
    kind="counterexample",
    mode="numeric",
    instances=processes(),
    controls=[
        mutant("the martingale's conditions", moments="orthogonality"),
        mutant("the conditions with the rate", moments="orthogonality", discounting="rate"),
    ],
    about=[MeanSquareTDError],
)
def mean_square_error(process: Any, *, moments: str = "squares", discounting: str = "factor") -> Iterator[Row]:
    """The mean-square error loses the differences between states."""
    m = Motion(process)
    for k in (256, 1024):
        J = m.solution(F(1, k), discounting, moments)
        if moments == "squares":
            mean = dot(m.law, m.r) * ball(F(1, k)) / (1 - m.form("factor", ball(F(1, k)))[0])
            yield premise(equal(dot(m.law, J), mean, f"mean of the discretized value, dt=1/{k}"))
        yield leq(width(m.V) / 2, width(J), f"span, dt=1/{k}")


def cycles(*, fast: int = 2, full: int = 5) -> Cases:
    """Deterministic flows: cycles of two to six states, with one action each."""

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            S, seed = 3 + i, int(rng.integers(0, 10_000))
            r = [[F(int(x), 100)] for x in np.random.default_rng(seed).permutation(101)[:S]]
            P = [[[F(int(t == (s + 1) % S)) for t in range(S)]] for s in range(S)]
            yield Case(f"cycle S={S}, gamma=9/10, seed={seed}", MDP(P, r, Discounted(F(9, 10)), rho=0))

    return cases


@claim(
    "martingale-td:deterministic",
    says=r"X_{i+1} = g(X_i) \implies \operatorname*{argmin}_J E[\delta_i^2] = V_{dt}",
    where="derived: residuals vanish at the value, since nothing is random; recalled as the case where the objective works",
    kind="identity",
    mode="exact",
    instances=cycles(),
    controls=[
        mutant("a flow that stands still a tenth of the time", noise=F(1, 10)),
        mutant("values of a step later", later=True),
    ],
    survivors={name: "least squares take no steps" for name in ("η → 2η", "η → η/2")},
    about=[MeanSquareTDError],
)
def deterministic(mdp: Any, *, noise: Fraction = ZERO, later: bool = False) -> Iterator[Row]:
    """Where nothing is random, the mean-square error has its minimum at the value."""
    n = mdp.n_states
    if noise:
        P = [[[(1 - noise) * int(t == (s + 1) % n) + noise * int(t == s) for t in range(n)]] for s in range(n)]
        mdp = MDP(P, [[x] for x in mdp.reward.exact], mdp.criterion, rho=0)
    on = Chain(mdp)
    task, code = pose_task(
        mdp, on.policy, MeanSquareTDError("factor", "least squares", F(1, 4), True), arithmetic="rational"
    )
    J = call(code.answer, task, call(code.init, task))
    V = on.judge.exact_value(on.pi)
    expected = [(v - on.r[s]) / on.judge.gamma_exact for s, v in enumerate(V)] if later else V
    yield all_equal(J, expected, "minimizer")
