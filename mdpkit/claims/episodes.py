r"""The judge's view of sampled methods: softmax policies, all trajectories of a length, and derivatives along lines.

Its own code, in lists of balls: nothing here calls the kernels or operators that solvers use. Derivatives come from power
series: the objective is computed with ``arb_series`` in place of numbers, along a line of parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple

from mdpkit.claims.judge import Judge, ball
from mdpkit.errors import ModelError

__all__ = ["Episodes", "Path", "coefficient"]


class Path(NamedTuple):
    """A trajectory: its states, its pairs, and the probability that the model has in it (the policy's left out)."""

    states: tuple[int, ...]
    pairs: tuple[int, ...]
    chance: Any


def coefficient(series: Any, n: int) -> Any:
    """The n-th coefficient of a power series, or of a constant."""
    return ball(series[n] if hasattr(series, "coeffs") else series if n == 0 else 0)


class Episodes:
    r"""Log-linear policies on a judge's model, and their trajectories of a fixed length.

    Parameters
    ----------
    judge : Judge
    length : int
        H.
    features : None, "minimal", or (L, d) numbers
        As for the solvers: one a pair; one a pair but the last of each state; or rows of numbers.
    """

    def __init__(self, judge: Judge, length: int, features: Any = None):
        self.judge, self.H = judge, length
        L = judge.L
        if features is None or isinstance(features, str):
            last = {pairs[-1] for pairs in judge.pairs} if features == "minimal" else set[int]()
            columns = [k for k in range(L) if k not in last]
            self.phi: list[list[Any]] = [[ball(int(j == k)) for j in columns] for k in range(L)]
        else:
            self.phi = [[ball(x) for x in row] for row in features]
        self.dim = len(self.phi[0])
        if len(self.phi) != L:
            raise ModelError("features and pairs differ in number", found=len(self.phi), needed=f"{L} rows")

    # -- policies ----------------------------------------------------------------------------------------------------

    def policy(self, theta: Sequence[Any]) -> list[Any]:
        """Probabilities of the pairs, for balls or power series."""
        theta = [t if hasattr(t, "coeffs") else ball(t) for t in theta]
        logits: list[Any] = [sum((t * x for t, x in zip(theta, row, strict=True)), ball(0)) for row in self.phi]
        weights: list[Any] = [x.exp() for x in logits]
        sums = [sum((weights[k] for k in pairs), ball(0)) for pairs in self.judge.pairs]
        return [x / sums[s] for x, s in zip(weights, self.judge.state, strict=True)]

    def line(self, theta: Sequence[Any], v: Sequence[Any], order: int = 3) -> list[Any]:
        """The parameters theta + x v as power series in x."""
        flint: Any = import_module("flint")
        return [flint.arb_series([ball(t), ball(w)], prec=order) for t, w in zip(theta, v, strict=True)]

    def score(self, pi: Sequence[Any]) -> list[list[Any]]:
        """Gradients of the logarithms of the probabilities, ``(L, d)``, for balls or power series."""
        mean: list[list[Any]] = [
            [sum((pi[k] * self.phi[k][i] for k in pairs), ball(0)) for i in range(self.dim)]
            for pairs in self.judge.pairs
        ]
        return [[x - m for x, m in zip(self.phi[k], mean[s], strict=True)] for k, s in enumerate(self.judge.state)]

    # -- objectives --------------------------------------------------------------------------------------------------

    def occupancy(self, pi: Sequence[Any], H: int | None = None) -> list[Any]:
        """Expected discounted visits to pairs in H steps, unnormalized, for balls or power series."""
        j = self.judge
        law, weight = list(j.rho), ball(1)
        out: list[Any] = [ball(0)] * j.L
        for _ in range(self.H if H is None else H):
            flow: list[Any] = [law[s] * pi[k] for k, s in enumerate(j.state)]
            out = [x + weight * y for x, y in zip(out, flow, strict=True)]
            law = [sum((flow[k] * j.P[k][t] for k in range(j.L)), ball(0)) for t in range(j.S)]
            weight = weight * j.gamma
        return out

    def objective(self, pi: Sequence[Any], r: Sequence[Any] | None = None) -> Any:
        """The expected discounted reward of H steps."""
        r = self.judge.r if r is None else r
        return sum((x * y for x, y in zip(self.occupancy(pi), r, strict=True)), ball(0))

    def endless(self, pi: Sequence[Any]) -> Any:
        """The expected discounted reward for ever, for balls or power series: elimination in (I - gamma P_pi) V = r_pi."""
        j = self.judge
        rows: list[list[Any]] = []
        for s, pairs in enumerate(j.pairs):
            row = [ball(int(s == t)) - sum((j.gamma * pi[k] * j.P[k][t] for k in pairs), ball(0)) for t in range(j.S)]
            rows.append([*row, sum((pi[k] * j.r[k] for k in pairs), ball(0))])
        for s in range(j.S):  # diagonally dominant, so that no pivot vanishes
            for t in range(j.S):
                if t != s:
                    factor = rows[t][s] / rows[s][s]
                    rows[t] = [x - factor * y for x, y in zip(rows[t], rows[s], strict=True)]
        return sum((j.rho[s] * (rows[s][j.S] / rows[s][s]) for s in range(j.S)), ball(0))

    def gradient(self, theta: Sequence[Any], function: Any = None) -> list[Any]:
        """Derivatives of a function of the policy, by default the objective, ``(d,)``."""
        f = self.objective if function is None else function
        return [coefficient(f(self.policy(self.line(theta, e, 2))), 1) for e in self.axes]

    def hessian(self, theta: Sequence[Any], v: Sequence[Any], function: Any = None) -> list[Any]:
        """The Hessian of the objective times v, by polarization of second derivatives along lines, ``(d,)``."""
        f = self.objective if function is None else function

        def bent(w: Sequence[Any]) -> Any:
            return coefficient(f(self.policy(self.line(theta, w))), 2)  # half of the second derivative

        return [
            (bent([a + b for a, b in zip(v, e, strict=True)]) - bent([a - b for a, b in zip(v, e, strict=True)])) / 2
            for e in self.axes
        ]

    @cached_property
    def axes(self) -> list[list[Any]]:
        """Unit vectors of parameters."""
        return [[ball(int(i == j)) for j in range(self.dim)] for i in range(self.dim)]

    # -- trajectories ------------------------------------------------------------------------------------------------

    def paths(self) -> Iterator[Path]:
        """All trajectories of H steps."""
        j = self.judge
        stack = [Path((s,), (), p) for s, p in enumerate(j.rho) if j.rho_exact[s]]
        while stack:
            path = stack.pop()
            if len(path.pairs) == self.H:
                yield path
                continue
            for k in j.pairs[path.states[-1]]:
                stack += [
                    Path((*path.states, t), (*path.pairs, k), path.chance * j.P[k][t])
                    for t in range(j.S)
                    if j.P_exact[k][t]
                ]

    def chance(self, path: Path, pi: Sequence[Any]) -> Any:
        """The probability of a trajectory under a policy."""
        out = path.chance
        for k in path.pairs:
            out = out * ball(pi[k])
        return out

    def redraw(self, rng: Any, pi: Sequence[Any], n: int = 1) -> list[Path]:
        """The trajectories that uniform numbers give: for each its first state, then an action and a next state a step.

        Each is the first whose cumulative probability exceeds the number.
        """
        j = self.judge
        out: list[Path] = []
        for u in rng.random((n, 1 + 2 * self.H)):
            numbers = iter(u.tolist())
            states, pairs = [self.first(range(j.S), j.rho, next(numbers))], list[int]()
            for _ in range(self.H):
                pairs.append(self.first(j.pairs[states[-1]], pi, next(numbers)))
                states.append(self.first(range(j.S), j.P[pairs[-1]], next(numbers)))
            out.append(Path(tuple(states), tuple(pairs), ball(1)))
        return out

    @staticmethod
    def first(places: Sequence[int], law: Sequence[Any], u: float) -> int:
        """The first place whose cumulative probability exceeds u."""
        total = ball(0)
        for place in places:
            total = total + ball(law[place])
            if total > ball(u):
                return place
        return places[-1]

    def paid(self, path: Path, r: Sequence[Any] | None = None) -> list[Any]:
        """Discounted rewards along a trajectory."""
        r = self.judge.r if r is None else r
        return [self.judge.gamma**h * ball(r[k]) for h, k in enumerate(path.pairs)]

    def weighted(self, path: Path, weights: Sequence[Any], score: Sequence[Sequence[Any]]) -> list[Any]:
        """The sum of scores along a trajectory with weights, ``(d,)``."""
        return [
            sum((w * score[k][i] for w, k in zip(weights, path.pairs, strict=True)), ball(0)) for i in range(self.dim)
        ]

    def estimate(self, path: Path, pi: Sequence[Any], r: Sequence[Any] | None = None) -> list[Any]:
        """The estimate of the gradient that credits each action with the discounted rewards from it on, ``(d,)``."""
        paid = self.paid(path, r)
        to_go = [sum(paid[h:], ball(0)) for h in range(self.H)]
        return self.weighted(path, to_go, self.score(pi))

    def bent(self, path: Path, theta: Sequence[Any], v: Sequence[Any]) -> tuple[list[Any], Any, list[Any]]:
        r"""Along v: :math:`\nabla\Phi`, :math:`\nabla\log p \cdot v` and :math:`\nabla^2\Phi\, v` of a trajectory."""
        paid = self.paid(path)
        to_go = [sum(paid[h:], ball(0)) for h in range(self.H)]
        score = self.score(self.policy(self.line(theta, v, 2)))
        slope = self.weighted(path, to_go, score)
        log_p = self.weighted(path, [ball(1)] * self.H, score)
        first = [coefficient(x, 0) for x in slope]
        along = sum((coefficient(x, 0) * ball(w) for x, w in zip(log_p, v, strict=True)), ball(0))
        return first, along, [coefficient(x, 1) for x in slope]

    def counted(self, path: Path) -> list[Any]:
        """Discounted visits to the pairs along a trajectory, ``(L,)``."""
        out = [ball(0)] * self.judge.L
        for h, k in enumerate(path.pairs):
            out[k] = out[k] + self.judge.gamma**h
        return out
