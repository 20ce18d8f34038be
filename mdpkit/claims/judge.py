r"""The judge: exact quantities of a small discounted model in balls, by its own code.

Nothing here calls the kernels or operators that solvers use, so that an error in those cannot mislead both sides. Policies and
action values are lists over pairs, values are lists over states; the model maximizes. :math:`V^*` comes from rational policy
iteration that is checked against Bellman's equation, so that it is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache, cached_property
from importlib import import_module
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np

from mdpkit.errors import ModelError, PrecisionError
from mdpkit.models.mdp import MDP
from mdpkit.typing import Array

__all__ = [
    "Judge",
    "Soft",
    "array",
    "ball",
    "balls",
    "dot",
    "exp",
    "largest",
    "log",
    "log_sum_exp",
    "norm",
    "projected",
    "total",
    "upper",
    "weighted",
]


@cache
def _flint() -> Any:
    return import_module("flint")


def ball(x: Any) -> Any:
    """A number as a ball; floats by their bits."""
    if type(x).__name__ == "arb":
        return x
    flint = _flint()
    if isinstance(x, Fraction):
        return flint.arb(flint.fmpq(x.numerator, x.denominator))
    return flint.arb(x if not isinstance(x, (np.integer, np.floating)) else x.item())


def log(x: Any) -> Any:
    """Natural logarithm as a ball."""
    return ball(x).log()


def exp(x: Any) -> Any:
    """Exponential as a ball."""
    return ball(x).exp()


def largest(values: Any) -> Any:
    """The largest of several balls, as a ball."""
    out = None
    for x in values:
        out = ball(x) if out is None else out.max(ball(x))
    return out


def norm(values: Any) -> Any:
    """Supremum norm as a ball."""
    return largest([abs(ball(x)) for x in values])


def total(terms: Any) -> Any:
    """The sum of numbers of one kind, balls or power series, of which there is at least one."""
    out = None
    for x in terms:
        out = x if out is None else out + x
    return out


def weighted(weights: Any, values: Any) -> Any:
    """The sum of products in the numbers that are given, of which there is at least one."""
    return total(w * v for w, v in zip(weights, values, strict=True))


def dot(x: Any, y: Any) -> Any:
    """The sum of products as a ball."""
    return sum((ball(a) * ball(b) for a, b in zip(x, y, strict=True)), ball(0))


def array(values: Sequence[Any]) -> Array:
    """Numbers of any kind as an object array."""
    out = np.empty(len(values), dtype=object)
    out[:] = list(values)
    return out


def balls(values: Any) -> Array:
    """An object array of balls."""
    return array([ball(x) for x in values])


def upper(x: Any) -> float:
    """A float that is at least x."""
    return float(np.nextafter(float(ball(x).upper()), np.inf))


def projected(y: Sequence[Fraction]) -> list[Fraction]:
    """The projection of a rational vector onto the simplex, by all supports."""
    sets = chain.from_iterable(combinations(y, n) for n in range(1, len(y) + 1))
    theta = max((sum(b, Fraction(0)) - 1) / len(b) for b in sets)
    return [max(v - theta, Fraction(0)) for v in y]


def log_sum_exp(values: Sequence[Any]) -> Any:
    """The logarithm of the sum of exponentials as a ball."""
    shift = max(float(ball(x).mid()) for x in values)
    total: Any = sum((exp(ball(x) - shift) for x in values), ball(0))
    return ball(shift) + total.log()


class Soft(NamedTuple):
    """What is optimal in a regularized problem."""

    V: list[Any]
    q: list[Any]
    log_pi: list[Any]


class Judge:
    """Exact quantities of a small discounted model.

    Parameters
    ----------
    mdp : MDP
        Rational, discounted by one factor, maximizing.

    Attributes
    ----------
    S, L : int
        Number of states and pairs.
    pairs : list of range
        The pairs of each state.
    state : list of int
        The state of each pair.
    gamma, r, P, rho : ball, (L,), (L, S), (S,)
        ``rho`` is uniform where the model has no initial law.
    """

    def __init__(self, mdp: MDP):
        self.mdp = mdp
        c: Any = mdp.criterion
        exact = getattr(c, "exact", None)
        if mdp.minimize or exact is None or np.ndim(exact) or mdp.stages is not None:
            raise ModelError("the judge wants a rational, maximizing model with one discount factor", found=mdp)
        self.gamma_exact = Fraction(exact)
        self.S, self.L = mdp.n_states, mdp.n_pairs
        ptr: list[int] = mdp.pair_ptr.tolist()
        self.pairs = [range(ptr[s], ptr[s + 1]) for s in range(self.S)]
        self.state: list[int] = mdp.state.tolist()
        reward = mdp.reward.exact
        if reward is None:
            raise ModelError("the judge wants rational rewards", way_out="call .exact() on the model")
        self.r_exact = [Fraction(x) for x in reward.tolist()]
        self.P_exact = [[Fraction(0)] * self.S for _ in range(self.L)]
        for k, t, p in zip(mdp.P.row_of.tolist(), mdp.P.indices.tolist(), mdp.P.rationals().tolist(), strict=True):
            self.P_exact[k][t] += Fraction(p)
        law = mdp.rho_exact
        self.rho_exact = [Fraction(1, self.S)] * self.S if law is None else [Fraction(x) for x in law.tolist()]
        # The balls are made anew at the precision of the moment.
        self.gamma = ball(self.gamma_exact)
        self.r = [ball(x) for x in self.r_exact]
        self.P = [[ball(x) for x in row] for row in self.P_exact]
        self.rho = [ball(x) for x in self.rho_exact]

    # -- one step ----------------------------------------------------------------------------------------------------

    def q(self, V: Any, r: Any = None) -> list[Any]:
        """r + gamma P V, of each pair."""
        r = self.r if r is None else r
        return [
            ball(r[k]) + self.gamma * sum((self.P[k][t] * ball(V[t]) for t in range(self.S)), ball(0))
            for k in range(self.L)
        ]

    def backup(self, V: Any) -> list[Any]:
        """TV, of each state."""
        q = self.q(V)
        return [largest(q[k] for k in pairs) for pairs in self.pairs]

    def exact_backup(self, V: Sequence[Fraction]) -> list[Fraction]:
        """TV in rationals, of each state."""
        return [max(self.exact_pair(k, V) for k in pairs) for pairs in self.pairs]

    def mean(self, pi: Any, x: Any) -> list[Any]:
        """Expectation over the actions of each state."""
        return [sum((ball(pi[k]) * ball(x[k]) for k in pairs), ball(0)) for pairs in self.pairs]

    def exact_mean(self, pi: Sequence[Fraction], x: Sequence[Fraction]) -> list[Fraction]:
        """:meth:`mean` in rationals."""
        return [sum((pi[k] * x[k] for k in pairs), Fraction(0)) for pairs in self.pairs]

    # -- policies ----------------------------------------------------------------------------------------------------

    def uniform(self) -> list[Fraction]:
        """The uniform policy, exactly."""
        return [Fraction(1, len(self.pairs[s])) for s in self.state]

    def log_uniform(self) -> list[Any]:
        """Logarithms of the uniform policy."""
        return [-log(len(self.pairs[s])) for s in self.state]

    def _matrix(self, pi: Any) -> Any:
        flint = _flint()
        A = [[ball(int(s == t)) for t in range(self.S)] for s in range(self.S)]
        for s, pairs in enumerate(self.pairs):
            for k in pairs:
                weight = self.gamma * ball(pi[k])
                for t in range(self.S):
                    A[s][t] = A[s][t] - weight * self.P[k][t]
        return flint.arb_mat(self.S, self.S, [x for row in A for x in row])

    def _solve(self, A: Any, b: Sequence[Any]) -> list[Any]:
        flint = _flint()
        try:
            return list(A.solve(flint.arb_mat(len(b), 1, [ball(x) for x in b])).entries())
        except ZeroDivisionError:
            raise PrecisionError("a linear system of balls is not certainly regular", needed="more bits") from None

    def value(self, pi: Any, r: Any = None) -> list[Any]:
        """The value of a policy; with other rewards r (of pairs), theirs."""
        return self._solve(self._matrix(pi), self.mean(pi, self.r if r is None else r))

    def visits(self, pi: Any, rho: Any = None) -> list[Any]:
        """Expected discounted visits to each state, unnormalized: they sum to 1/(1 - gamma)."""
        return self._solve(self._matrix(pi).transpose(), self.rho if rho is None else rho)

    def occupancy(self, pi: Any, rho: Any = None) -> list[Any]:
        """Visits times (1 - gamma): a law over states."""
        return [(1 - self.gamma) * x for x in self.visits(pi, rho)]

    def exact_value(self, pi: Sequence[Fraction]) -> list[Fraction]:
        """The value of a rational policy, as Fractions."""
        return self._solve_exact(pi, self.exact_mean(pi, self.r_exact), False)

    def exact_visits(self, pi: Sequence[Fraction]) -> list[Fraction]:
        """Unnormalized visits of a rational policy from the initial law, as Fractions."""
        return self._solve_exact(pi, self.rho_exact, True)

    def exact_q(self, V: Sequence[Fraction]) -> list[Fraction]:
        """r + gamma P V, of each pair, as Fractions."""
        return [self.exact_pair(k, V) for k in range(self.L)]

    def _solve_exact(self, pi: Sequence[Fraction], b: Sequence[Fraction], transposed: bool) -> list[Fraction]:
        flint = _flint()
        right = flint.fmpq_mat(self.S, 1, [flint.fmpq(x.numerator, x.denominator) for x in b])
        rows = self._exact_matrix(pi)
        solution = (rows.transpose() if transposed else rows).solve(right)
        return [Fraction(int(x.p), int(x.q)) for x in solution.entries()]

    def _exact_matrix(self, pi: Sequence[Fraction]) -> Any:
        flint = _flint()
        A = [[Fraction(int(s == t)) for t in range(self.S)] for s in range(self.S)]
        for s, pairs in enumerate(self.pairs):
            for t in range(self.S):
                A[s][t] -= self.gamma_exact * sum((pi[k] * self.P_exact[k][t] for k in pairs), Fraction(0))
        return flint.fmpq_mat(self.S, self.S, [flint.fmpq(x.numerator, x.denominator) for row in A for x in row])

    def exact_gradient(self, pi: Sequence[Fraction]) -> list[Fraction]:
        """:meth:`gradient` of a rational policy, as Fractions."""
        far = Fraction(-1, 16)

        def parts(at: list[Fraction]) -> tuple[Fraction, Fraction]:
            det = self._exact_matrix(at).det()
            determinant = Fraction(int(det.p), int(det.q))
            value = self.exact_value(at)
            return determinant, determinant * self.exact_objective(value)

        D, N = parts(list(pi))
        out: list[Fraction] = []
        for k in range(self.L):
            moved = list(pi)
            moved[k] += far
            D_moved, N_moved = parts(moved)
            out.append(((N_moved - N) * D - N * (D_moved - D)) / (far * D * D))
        return out

    def gradient(self, pi: Any, r: Any = None, rho: Any = None) -> list[Any]:
        r"""Derivatives of the value at the initial law by each :math:`\pi(a|s)`, the others held, of each pair.

        Without the policy gradient theorem: along one entry the determinant of :math:`I - \gamma P_\pi` and its product
        with the value are affine, so that differences of them are derivatives.
        """
        far = ball(Fraction(-1, 16))

        def parts(at: list[Any]) -> tuple[Any, Any]:
            determinant = self._matrix(at).det()
            return determinant, determinant * self.objective(self.value(at, r), rho)

        base = [ball(x) for x in pi]
        D, N = parts(base)
        out: list[Any] = []
        for k in range(self.L):
            moved = list(base)
            moved[k] = moved[k] + far
            D_moved, N_moved = parts(moved)
            out.append(((N_moved - N) * D - N * (D_moved - D)) / (far * D * D))
        return out

    def logit_gradient(self, pi: Any, r: Any = None, rho: Any = None) -> list[Any]:
        r"""Derivatives of the value at the initial law by each logit of a softmax policy, by the chain rule."""
        slope = self.gradient(pi, r, rho)
        mean = self.mean(pi, slope)
        return [ball(pi[k]) * (slope[k] - mean[self.state[k]]) for k in range(self.L)]

    def stationary(self, pi: Any) -> list[Any]:
        """The stationary law of a policy whose chain has only one."""
        A = [[ball(int(s == t)) for s in range(self.S)] for t in range(self.S)]
        for s, pairs in enumerate(self.pairs):
            for t in range(self.S):
                A[t][s] = A[t][s] - sum((ball(pi[k]) * self.P[k][t] for k in pairs), ball(0))
        A[-1] = [ball(1)] * self.S  # one equation follows from the others: the sum in its place
        flint = _flint()
        return self._solve(flint.arb_mat(self.S, self.S, [x for row in A for x in row]), [0] * (self.S - 1) + [1])

    def advantage(self, V: Any) -> list[Any]:
        """Action values less the value of the state, of each pair."""
        q = self.q(V)
        return [q[k] - ball(V[self.state[k]]) for k in range(self.L)]

    def objective(self, V: Any, rho: Any = None) -> Any:
        """The value at the initial law."""
        return dot(self.rho if rho is None else rho, V)

    def exact_objective(self, V: Sequence[Fraction]) -> Fraction:
        """The value at the initial law, exactly."""
        return sum((x * v for x, v in zip(self.rho_exact, V, strict=True)), Fraction(0))

    # -- optima ------------------------------------------------------------------------------------------------------

    @cached_property
    def optimal(self) -> list[Fraction]:
        """V*, exactly: from rational policy iteration, and checked against Bellman's equation here."""
        from mdpkit.certificates import certify_exact
        from mdpkit.models.criterion import Discounted

        plain = self.mdp if isinstance(self.mdp.criterion, Discounted) else self.mdp.under(Discounted(self.gamma_exact))
        V = [Fraction(x) for x in certify_exact(plain, self.mdp.pair_ptr[:-1].copy()).lower.tolist()]
        for s, pairs in enumerate(self.pairs):
            best = max(self.exact_pair(k, V) for k in pairs)
            if best != V[s]:
                raise ModelError("the optimal value does not solve Bellman's equation", found=f"state {s}")
        return V

    def exact_pair(self, k: int, V: Sequence[Fraction]) -> Fraction:
        """r + gamma P V of pair k, in rationals."""
        return self.r_exact[k] + self.gamma_exact * sum(
            (p * v for p, v in zip(self.P_exact[k], V, strict=True)), Fraction(0)
        )

    @cached_property
    def optimal_q(self) -> list[Fraction]:
        """Q*, exactly, of each pair."""
        return [self.exact_pair(k, self.optimal) for k in range(self.L)]

    @cached_property
    def optimal_pairs(self) -> list[list[int]]:
        """The optimal pairs of each state, exactly."""
        return [[k for k in pairs if self.optimal_q[k] == self.optimal[s]] for s, pairs in enumerate(self.pairs)]

    @cached_property
    def optimal_policy(self) -> list[int]:
        """A deterministic optimal policy, as probabilities of pairs."""
        first = {pairs[0] for pairs in self.optimal_pairs}
        return [int(k in first) for k in range(self.L)]

    @property
    def temperature(self) -> Any:
        """The temperature of a regularized model, as a ball; zero of another one."""
        return ball(Fraction(getattr(self.mdp.criterion, "tau_exact", 0)))

    @property
    def log_reference(self) -> list[Any] | None:
        """Logarithms of the reference policy of a regularized model; None for the entropy."""
        reference: Any = getattr(self.mdp.criterion, "reference_exact", None)
        if reference is None:
            return None
        mu = reference[self.state, self.mdp.action] if np.ndim(reference) == 2 else reference
        return [log(Fraction(x)) for x in mu.tolist()]

    def log_softmax(self, q: Any, tau: Any = 1, log_reference: Any = None) -> list[Any]:
        """Logarithms of the policy in proportion to mu exp(q / tau), of each pair."""
        x = [ball(v) / ball(tau) for v in q]
        if log_reference is not None:
            x = [v + ball(m) for v, m in zip(x, log_reference, strict=True)]
        total = [log_sum_exp([x[k] for k in pairs]) for pairs in self.pairs]
        return [x[k] - total[self.state[k]] for k in range(self.L)]

    def soft_rewards(self, log_pi: Any, tau: Any, log_reference: Any = None) -> list[Any]:
        """Rewards less what the actions of a policy cost, tau log(pi/mu), of each pair."""
        mu = [0] * self.L if log_reference is None else log_reference
        return [self.r[k] - ball(tau) * (ball(log_pi[k]) - ball(mu[k])) for k in range(self.L)]

    def soft_value(self, log_pi: Any, tau: Any, log_reference: Any = None) -> list[Any]:
        """The value of a policy whose action a costs tau log(pi/mu), by one linear solve."""
        return self.value([exp(x) for x in log_pi], self.soft_rewards(log_pi, tau, log_reference))

    def soft_backup(self, V: Any, tau: Any, log_reference: Any = None) -> list[Any]:
        r""":math:`\tau \log \sum_a \mu e^{q/\tau}`; without a reference, of the entropy: mu counts one for each action."""
        q, tau = self.q(V), ball(tau)
        if log_reference is not None:
            q = [q[k] + tau * ball(log_reference[k]) for k in range(self.L)]
        return [tau * log_sum_exp([q[k] / tau for k in pairs]) for pairs in self.pairs]

    def soft_optimal(self, tau: Any, log_reference: Any = None) -> list[Any]:
        """The optimal value with entropy regularization, enclosed: Newton's steps, then the bound of the contraction."""
        flint = _flint()
        tau = ball(tau)
        V: list[Any] = [ball(x) for x in self.optimal]
        least = None
        for _ in range(200):
            V = [ball(x).mid() for x in V]
            TV = self.soft_backup(V, tau, log_reference)
            gap = norm([x - y for x, y in zip(TV, V, strict=True)])
            bound = gap / (1 - self.gamma)
            radius = float(bound.upper())
            if least is not None and radius >= 0.5 * least:
                break
            least = radius
            q = self.q(V)
            if log_reference is not None:
                q = [q[k] + tau * ball(log_reference[k]) for k in range(self.L)]
            pi = [exp((q[k] - TV[self.state[k]]) / tau) for k in range(self.L)]
            correction = self._solve(self._matrix(pi), [x - y for x, y in zip(TV, V, strict=True)])
            best, V = V, [x + y for x, y in zip(V, correction, strict=True)]
            enclosed = [x + flint.arb(0, bound.upper()) for x in best]
        return enclosed  # pyright: ignore[reportPossiblyUnboundVariable]

    def optimal_soft(self, tau: Any, reference: Any = None) -> Soft:
        """Value, action values and logarithms of the optimal policy with entropy, or with a reference policy."""
        log_reference = None if reference is None else [log(x) for x in reference]
        V = self.soft_optimal(tau, log_reference)
        q = self.q(V)
        return Soft(V, q, self.log_softmax(q, tau, log_reference))
