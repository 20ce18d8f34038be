r"""Claims about least-squares policy iteration of linear MDPs."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import log, sqrt
from typing import Any

import numpy as np

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import chosen, joined
from mdpkit.claims.exact import Exact, exactly, solve
from mdpkit.claims.rounding import factors
from mdpkit.claims.trial import call, iterates, pose
from mdpkit.kernels import segments
from mdpkit.operators.linear_features import LinearFeatures
from mdpkit.proofs.linear.least_squares_value_iteration import certain, discounted, features, one_hot, product
from mdpkit.proofs.linear.optimal_design import gram, leverages
from mdpkit.solvers.linear import LeastSquaresPolicyIteration

F = Fraction
ZERO = F(0)


class Undiscounted(LeastSquaresPolicyIteration):
    """LSTD-Q with the next features counted in full twice."""

    factor = F(1, 2)

    def evaluate(self, of: Any, choice: Any, weights: Any, batch: Any) -> Any:
        """With half of the next features."""
        core = np.flatnonzero(segments.floats(weights) > 0)
        after = of.gamma[core, None] * self.factor * (of.rows(0) @ of.phi[choice])[core]
        W = weights[core, None] * of.phi[core]
        return segments.solve(W.T @ (of.phi[core] - after), W.T @ of.rewards(0)[core])


class Averaged(LeastSquaresPolicyIteration):
    """The neighbor that evaluates the uniform policy: the next features are averaged over actions."""

    def evaluate(self, of: Any, choice: Any, weights: Any, batch: Any) -> Any:
        """With the mean of the next features."""
        core = np.flatnonzero(segments.floats(weights) > 0)
        count = np.diff(of.pair_ptr)
        mean = segments.total(of.phi, of.pair_ptr) * np.array([[F(1, int(n))] for n in count], dtype=object)
        after = of.gamma[core, None] * (of.rows(0) @ mean)[core]
        W = weights[core, None] * of.phi[core]
        return segments.solve(W.T @ (of.phi[core] - after), W.T @ of.rewards(0)[core])


class Turned(LeastSquaresPolicyIteration):
    """LSTD-Q with its matrix transposed."""

    def evaluate(self, of: Any, choice: Any, weights: Any, batch: Any) -> Any:
        """With the transposed matrix."""
        core = np.flatnonzero(segments.floats(weights) > 0)
        after = of.gamma[core, None] * (of.rows(0) @ of.phi[choice])[core]
        W = weights[core, None] * of.phi[core]
        return segments.solve((of.phi[core] - after).T @ W, W.T @ of.rewards(0)[core])


EXACT = joined(discounted(), chosen(lambda: [Case("garnet?S=3&A=2&branching=2&seed=4, one-hot", one_hot())]))


@claim(
    "lagoudakis2003:exact-moments",
    says=r"""\phi^\top \theta_k = Q^{\pi_k}, \quad \pi_{k+1} \text{ greedy for } Q^{\pi_k}, \quad V^{\pi_{k+1}} \ge V^{\pi_k},
             \quad \text{and } \pi_{k+1} = \pi_k \Rightarrow V^{\pi_k} = V^*""",
    where="LSTD-Q of Section 5, recalled; exactness in linear MDPs for any weights derived, see docs",
    kind="identity",
    mode="exact",
    instances=EXACT,
    controls=[
        mutant("half of the next features", tested=Undiscounted()),
        mutant("next features averaged over actions", tested=Averaged()),
        mutant("the matrix transposed", tested=Turned()),
        mutant("greedy for the worst", worst=True),
    ],
    about=[LeastSquaresPolicyIteration],
)
def exact_moments(mdp: Any, *, tested: Any = None, worst: bool = False, most: int = 12) -> Iterator[Row]:
    """With exact moments LSPI is policy iteration, whatever the weights, and ends in an optimal policy."""
    exact = Exact.of(mdp)
    phi, solver = features(mdp), tested or LeastSquaresPolicyIteration()
    problem, posed = pose(mdp, solver, "rational")
    of = LinearFeatures(problem)
    expected = [pairs[0] for pairs in exact.pairs]
    before: Any = None
    for k, state in enumerate(iterates(mdp, solver, most, arithmetic="rational")):
        choice = [int(x) for x in state.choice]
        yield fact(choice == expected, f"k={k}: the policy")
        V = exact.value(expected)
        q = exact.q(V)
        yield all_equal(product(phi, state.theta.tolist()), q, f"k={k}: Q")
        yield all_equal(state.V.tolist(), V, f"k={k}: V")
        yield equal(F(state.draws), ZERO, f"k={k}: no draws")
        for i in range(2):
            w = np.array([F(1 + (i + 1) * j % 5, 7) for j in range(exact.L)], dtype=object)
            theta = call(posed.evaluate, of, np.array(expected), w, None)
            yield all_equal(product(phi, theta.tolist()), q, f"k={k}: weights {i}")
        if before is not None:
            yield all_leq(before, V, f"k={k}: no worse")
        if state.stable:
            yield all_equal(V, exact.optimal, "optimal where it stays")
            return
        before = V
        sign = -1 if worst else 1
        expected = [
            c if q[c] == max(q[j] for j in pairs) else max(pairs, key=lambda j: (sign * q[j], -j))
            for c, pairs in zip(expected, exact.pairs, strict=True)
        ]
    yield fact(False, "a policy is kept in the end")


@claim(
    "lagoudakis2003:first-policy",
    says=r"""|\phi(x)^\top \hat\theta - Q^\pi(x)| \le \sum_i |c_{x,i}|\, \gamma B\, \|\phi_i\|_{\hat G^{-1}}
             \sqrt{\tfrac12 \log\tfrac{2 d'}{\delta}}, \qquad \sum_i c_{x,i}\, \phi_i = (\hat A^{-1} \hat G)^\top \phi(x)""",
    where="derived, see docs; for a policy that does not depend on the batch",
    kind="upper",
    mode="statistical",
    instances=joined(
        discounted(fast=1, full=4, gammas=(F(1, 2),)),
        chosen(lambda: [Case("garnet?S=3&A=2&branching=2&seed=4, one-hot", one_hot())]),
    ),
    delta=1e-3,
    controls=[
        mutant("a deviation that falls like 1/n", power=2),
        mutant("half of the next features", tested="half"),
        mutant("no deviation at all", scale=0.0),
    ],
    about=[LeastSquaresPolicyIteration],
    caveat="policies chosen from the same batch are not covered",
)
def first_policy(
    mdp: Any, *, rng: Any, delta: float, power: int = 1, tested: str = "", scale: float = 1.0
) -> Iterator[Row]:
    """The values of a fixed policy from a batch are within a bound that the batch itself gives."""
    exact = Exact.of(mdp)
    phi = features(mdp)
    for n in (400, 6000):
        solver: Any = LeastSquaresPolicyIteration(samples=n)
        if tested:
            solver = HalfOfBatch(samples=n)
        state = next(iter(iterates(mdp, solver, 0, arithmetic="float", rng=rng)))
        pairs, after = state.batch
        counts = [F(int(x)) for x in np.bincount(pairs, minlength=exact.L)]
        yield all_equal(exactly(state.weights), counts, f"n={n}: counts")
        yield equal(F(state.draws), sum(counts, ZERO), f"n={n}: draws")
        choice = [pairs_[0] for pairs_ in exact.pairs]
        yield fact([int(x) for x in state.choice] == choice, f"n={n}: first actions")
        yield certain(exact, state.V, state.gap, f"n={n}: the gap")
        yield lstd(exact, phi, counts, pairs, after, choice, state.theta, f"n={n}: LSTD-Q")
        core = [i for i, x in enumerate(counts) if x > 0]
        possible = all(int(t) in exact.P[int(k)] for k, t in set(zip(pairs.tolist(), after.tolist(), strict=True)))
        yield fact(possible, f"n={n}: draws that the laws allow")
        G = np.array(gram(phi, counts), dtype=float)
        X = np.array([[float(x) for x in phi[i]] for i in core])
        whole = np.array([[float(x) for x in row] for row in phi])
        mean: Any = np.zeros((exact.L, mdp.dim))
        np.add.at(mean, pairs, whole[np.array(choice)[after]])
        A = G - float(exact.gamma[0]) * X.T @ mean[core]
        c = np.abs(np.linalg.lstsq(X.T, np.linalg.solve(A, G).T @ whole.T, rcond=None)[0])
        width = float(exact.gamma[0] * (max(exact.r) - min(exact.r)) / (1 - exact.gamma[0]))
        norms = leverages([phi[i] for i in core], gram(phi, counts))
        share = delta / 4
        off = [width * sqrt(0.5 * float(x) ** power * log(2 * len(core) / share)) for x in norms]
        bound = scale * float(np.max(c.T @ np.array(off)))
        q = exact.q(exact.value(choice))
        far = max(abs(x - y) for x, y in zip(product(phi, exactly(state.theta)), q, strict=True))
        yield leq(far, bound, f"n={n}", k=float(n))


def lstd(
    exact: Exact, phi: Any, counts: list[Fraction], pairs: Any, after: Any, choice: list[int], theta: Any, at: str
) -> Row:
    """That the fitted values are those of the batch: its equation in rationals, and the rounding of a linear system."""
    d, g = len(phi[0]), exact.gamma[0]
    A, b = gram(phi, counts), [ZERO] * d
    seen, times = np.unique(np.stack((pairs, after)), axis=1, return_counts=True)
    for k, t, n in zip(*seen.tolist(), times.tolist(), strict=True):
        x, y = phi[k], phi[choice[t]]
        b = [u + n * exact.r[k] * v for u, v in zip(b, x, strict=True)]
        A = [[a - g * n * x[i] * y[j] for j, a in enumerate(row)] for i, row in enumerate(A)]
    fitted = product(phi, solve(A, b)[0])
    inverse = solve(A, *[[F(int(i == j)) for i in range(d)] for j in range(d)])
    size = [max(sum((abs(x) for x in row), ZERO) for row in M) for M in (A, list(zip(*inverse, strict=True)))]
    # Rows of A are sums over the batch, and A is the difference of two such sums, each at most the number of draws.
    draws = sum(counts, ZERO)
    relative = 4 * d * (d * d * 2 ** (d - 1) * factors(3 * d) * size[0] + factors(len(pairs) + 8) * 2 * draws) * size[1]
    most = max(map(abs, fitted)) + max(map(abs, exact.r))
    return all_leq(
        [abs(x - y) for x, y in zip(product(phi, exactly(theta)), fitted, strict=True)], [relative * most] * exact.L, at
    )


class HalfOfBatch(LeastSquaresPolicyIteration):
    """LSTD-Q whose next features are those of half of the batch."""

    def evaluate(self, of: Any, choice: Any, weights: Any, batch: Any) -> Any:
        """With every other draw."""
        pairs, states = batch
        return super().evaluate(of, choice, weights, (pairs[::2], states[::2]))
