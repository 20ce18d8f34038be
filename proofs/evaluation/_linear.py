"""What claims about temporal differences compare with: tasks, moments and trajectories in rationals, by own arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal
from mdpkit.claims.cases import joined, positive, ragged
from mdpkit.claims.exact import solve
from mdpkit.claims.judge import Judge
from mdpkit.claims.trial import call, pose_task
from mdpkit.operators.task import Transition

__all__ = [
    "LARGE",
    "SMALL",
    "Setting",
    "column",
    "definite",
    "hurwitz",
    "matrix",
    "mean_rows",
    "resolved",
]

F = Fraction
SMALL = joined(positive(sizes=((2, 2), (3, 2)), gammas=(F(1, 2), F(9, 10)), fast=2, full=4), ragged(fast=1, full=2))
"""Models whose short trajectories can be enumerated."""
LARGE = joined(
    positive(sizes=((3, 2), (4, 2), (3, 3)), gammas=(F(1, 2), F(9, 10), F(99, 100)), fast=4, full=16),
    ragged(fast=1, full=3),
)


def matrix(rows: Any) -> Any:
    """An object array of Fractions, ``(n, m)``."""
    rows = [[F(x) for x in row] for row in rows]
    out = np.empty((len(rows), len(rows[0])), dtype=object)
    out[:] = rows
    return out


def column(values: Any) -> Any:
    """An object array of Fractions, ``(n,)``."""
    values = [F(x) for x in values]
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def resolved(A: Any, B: Any) -> Any:
    """The solution of AX = B in rationals, for a vector or a matrix."""
    if B.ndim == 1:
        return column(solve(A.tolist(), B.tolist())[0])
    return matrix(solve(A.tolist(), *B.T.tolist())).T


def definite(H: Any, *, strict: bool = True) -> bool:
    """Whether a symmetric rational matrix is positive definite (semidefinite), by symmetric elimination."""
    H = H.copy()
    while len(H):
        pivot = H[0, 0]
        if pivot < 0 or (strict and pivot == 0):
            return False
        if pivot == 0:
            if any(x != 0 for x in H[0]):
                return False
            H = H[1:, 1:]
            continue
        H = H[1:, 1:] - np.multiply.outer(H[1:, 0], H[0, 1:]) / pivot
    return True


def hurwitz(G: Any) -> bool:
    """Whether all eigenvalues of a rational matrix have negative real parts: by the determinants of Routh and Hurwitz."""
    n, eye = len(G), identity(len(G))
    # Faddeev and LeVerrier: the coefficients of the characteristic polynomial, the leading one first.
    c: list[Any] = [F(1)]
    M = eye * 0
    for k in range(1, n + 1):
        M = G @ M + c[-1] * eye
        trace: Any = sum((G @ M)[i, i] for i in range(n))
        c.append(-trace / k)
    H = matrix([[c[2 * j - i + 1] if 0 <= 2 * j - i + 1 <= n else 0 for j in range(n)] for i in range(n)])
    while len(H):  # leading minors are products of pivots
        if H[0, 0] <= 0:
            return False
        H = H[1:, 1:] - np.multiply.outer(H[1:, 0], H[0, 1:]) / H[0, 0]
    return True


def identity(n: int) -> Any:
    """The rational identity."""
    return matrix([[int(i == j) for j in range(n)] for i in range(n)])


class Setting:
    """A target, a behavior and features that are made from a model, and the moments of its task.

    The target takes the actions of a state in proportion to 1, 2, …, an ``off``-policy behavior in the reverse. Features are
    1 and s^2 - 1 of a state (1 + s where there are two states), or 1 and k^2 - 1 of a pair.

    Parameters
    ----------
    off : bool
        Whether the behavior differs from the target.
    pairs : bool
        Whether to value pairs.
    ratios : bool
        False to leave out importance ratios: the chain is the behavior's.
    uniform : bool
        True to weight all states alike in place of the behavior's stationary law.
    """

    def __init__(
        self,
        mdp: Any,
        *,
        off: bool = True,
        pairs: bool = False,
        phi: Any = None,
        pi: Any = None,
        mu: Any = None,
        weights: Any = None,
        ratios: bool = True,
        uniform: bool = False,
    ):
        self.mdp, self.judge, self.pairs = mdp, Judge(mdp), pairs
        J = self.judge
        up = [F(1 + k - J.pairs[s][0]) for k, s in enumerate(J.state)]
        down = [F(1 + J.pairs[s][-1] - k) for k, s in enumerate(J.state)]
        total = [sum(up[k] for k in here) for here in J.pairs]
        self.pi = [x / total[s] for x, s in zip(up, J.state, strict=True)] if pi is None else [F(x) for x in pi]
        other = [x / total[s] for x, s in zip(down, J.state, strict=True)] if mu is None else [F(x) for x in mu]
        self.mu = other if off else self.pi
        self.gamma = J.gamma_exact
        n = J.L if pairs else J.S
        if phi is None:
            phi = [[1 + s] for s in range(n)] if n == 2 else [[1, s * s - 1] for s in range(n)]
        self.phi = matrix(phi)
        self.given = weights
        self.d_state = [F(x) for x in weights] if weights is not None else self.stationary(self.mu)
        if uniform:
            self.d_state = [F(1, J.S)] * J.S
        chosen = self.pi if ratios else self.mu
        if pairs:
            self.d = column(self.d_state[s] * m for s, m in zip(J.state, self.mu, strict=True))
            self.P = matrix([[row[s] * p for s, p in zip(J.state, chosen, strict=True)] for row in J.P_exact])
            self.r = column(J.r_exact)
        else:
            self.d = column(self.d_state)
            self.P = matrix(self.chain(chosen))
            self.r = column(J.exact_mean(chosen, J.r_exact))

    def chain(self, pi: Any) -> list[list[Fraction]]:
        """Transition probabilities between states."""
        J = self.judge
        return [[sum((pi[k] * J.P_exact[k][t] for k in here), F(0)) for t in range(J.S)] for here in J.pairs]

    def stationary(self, pi: Any) -> list[Fraction]:
        """The stationary law of a chain that has one."""
        S, P = self.judge.S, self.chain(pi)
        A = [[F(int(s == t)) - P[s][t] for s in range(S)] for t in range(S)]
        A[-1] = [F(1)] * S
        return solve(A, [F(0)] * (S - 1) + [F(1)])[0]

    @property
    def options(self) -> dict[str, Any]:
        """What the code under test is given."""
        return {"behavior": np.array(self.mu), "features": self.phi.tolist(), "weights": self.given}

    @property
    def policy(self) -> Any:
        """The target, ``(L,)``."""
        return np.array(self.pi)

    def pose(self, estimator: Any, arithmetic: Any = "rational") -> tuple[Any, Any]:
        """The task and the estimator as the code under test sees them."""
        return pose_task(self.mdp, self.policy, estimator, arithmetic=arithmetic, **self.options)

    @property
    def n(self) -> int:
        """The number of nodes."""
        return len(self.r)

    def resolvent(self, rate: Any, B: Any, *, transposed: bool = False) -> Any:
        """(I - rate P)^-1 B, or with P transposed."""
        return resolved(identity(self.n) - F(rate) * (self.P.T if transposed else self.P), B)

    def emphasis(self, lam: Any) -> Any:
        """lambda d + (1 - lambda) (I - gamma P')^-1 d."""
        return lam * self.d + (1 - lam) * self.resolvent(self.gamma, self.d, transposed=True)

    def trace(self, lam: Any, *, emphatic: bool = False) -> Any:
        """Mean traces, node by node, of a stationary trajectory, ``(n, d)``."""
        m = self.emphasis(lam) if emphatic else self.d
        return self.resolvent(self.gamma * lam, m[:, None] * self.phi, transposed=True)

    def traces(self, lam: Any, steps: int, *, emphatic: bool = False) -> Iterator[Any]:
        """Mean traces at each step of a trajectory that begins in the stationary law, with nothing in the trace."""
        follow, E = self.d * 0, self.phi * 0
        for _ in range(steps):
            follow = self.d + self.gamma * (self.P.T @ follow)
            m = lam * self.d + (1 - lam) * follow if emphatic else self.d
            E = m[:, None] * self.phi + self.gamma * lam * (self.P.T @ E)
            yield E

    @property
    def x(self) -> Any:
        """Phi - gamma P Phi."""
        return self.phi - self.gamma * (self.P @ self.phi)

    @property
    def C(self) -> Any:
        """Phi' D Phi."""
        return self.phi.T @ (self.d[:, None] * self.phi)

    def moments(self, lam: Any, *, emphatic: bool = False) -> tuple[Any, Any]:
        """A and b."""
        E = self.trace(lam, emphatic=emphatic)
        return E.T @ self.x, E.T @ self.r

    @property
    def truth(self) -> Any:
        """The value of the target."""
        return self.resolvent(self.gamma, self.r)

    def fixed_value(self, lam: Any, *, emphatic: bool = False) -> Any:
        """Phi w with A w = b."""
        return self.phi @ resolved(*self.moments(lam, emphatic=emphatic))

    def square(self, x: Any) -> Fraction:
        """The squared norm with the weights d."""
        return sum((w * v * v for w, v in zip(self.d, x, strict=True)), F(0))

    def projection(self, x: Any) -> Any:
        """The point of the span of the features that is nearest with the weights d."""
        return self.phi @ resolved(self.C, self.phi.T @ (self.d * x))

    def point(self, shift: int = 0) -> Any:
        """Some parameters."""
        return column([F(2 * i + 1 + shift, i + 3) * (-1) ** i for i in range(self.phi.shape[1])])

    # -- all short trajectories --------------------------------------------------------------------------------------

    def mean(self, steps: int, begin: Callable[[int], Any], move: Callable[[Any, Transition], tuple[Any, Any]]) -> Any:
        """The mean of what ``move(state, seen)`` finds at the last of ``steps`` transitions of a stationary trajectory.

        ``begin(s)`` is the state of a trajectory that starts in s; ``move`` gives the next one, and what it finds.
        """
        J = self.judge

        def after(s: int, state: Any, chance: Fraction, left: int) -> Any:
            total: Any = 0
            for k in J.pairs[s]:
                for t in range(J.S):
                    p = chance * self.mu[k] * J.P_exact[k][t]
                    if p:
                        new, found = move(state, Transition(s, k, t))
                        total = total + (p * found if left == 1 else after(t, new, p, left - 1))
            return total

        return sum(after(s, begin(s), p, steps) for s, p in enumerate(self.d_state) if p)


def mean_rows(
    setting: Setting,
    estimator: Any,
    parts: Callable[[Any, Any], Any],
    expected: Callable[[Any], Any],
    steps: int,
    at: str,
) -> Iterator[Row]:
    """Rows that the drawn update has the mean that the judge expects, at each of the first steps of a trajectory.

    ``parts(state, after)`` takes from two states of the estimator what has the mean ``expected(E)``, E being the mean traces,
    times how much shorter the step is than the first. Parameters are held where they are.
    """
    task, tested = setting.pose(estimator)
    first = call(tested.init, task, np.random.default_rng(0))
    first = hold(first, setting)

    def begin(s: int) -> Any:
        return first._replace(walk=call(tested.walk_from, task, s))

    def move(state: Any, seen: Transition) -> tuple[Any, Any]:
        after = call(tested.update, task, state, seen)
        return first._replace(walk=after.walk, k=after.k, draws=after.draws), parts(state, after)

    traces = setting.traces(estimator.lambda_, steps, emphatic=estimator.emphatic)
    for t, E in enumerate(traces):
        size = 1 / (1 + t * F(getattr(estimator, "decay", 0)))
        yield all_equal(setting.mean(t + 1, begin, move), size * expected(E), f"{at}, mean of step {t}")


def hold(state: Any, setting: Setting) -> Any:
    """A state with generic parameters."""
    if hasattr(state, "u"):
        return state._replace(w=setting.point(), u=setting.point(1))
    return state._replace(w=setting.point()) if hasattr(state, "w") else state
