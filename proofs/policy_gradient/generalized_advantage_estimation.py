r"""Claims about generalized advantage estimates, in rationals: trajectory by trajectory, and by enumeration of them.

The policy and the critics are rational, so that means over all trajectories are, and both sides are compared as fractions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, claim, equal, mutant
from mdpkit.claims.cases import tiny
from mdpkit.claims.episodes import Episodes, Path
from mdpkit.claims.judge import Judge
from mdpkit.claims.trial import call, pose
from mdpkit.operators.advantages import GAE
from mdpkit.operators.log_linear import LogLinear, Trajectories
from mdpkit.operators.on_policy import OnPolicy

F = Fraction
H = 3
LAMBDAS = (F(0), F(2, 5), F(1))
CRITIC = (F(3, 2), F(-2))


def exact_policy(judge: Judge) -> list[Fraction]:
    """A rational policy of full support that prefers some actions."""
    weights = [F(1 + (2 * k) % 3) for k in range(judge.L)]
    return [w / sum(weights[j] for j in judge.pairs[s]) for w, s in zip(weights, judge.state, strict=True)]


def exact_next(judge: Judge, V: Sequence[Any]) -> list[Any]:
    """PV, ``(L,)``."""
    return [sum((p * v for p, v in zip(row, V, strict=True)), F(0)) for row in judge.P_exact]


def estimated(mdp: Any, estimator: GAE, pi: Sequence[Any]) -> tuple[OnPolicy, Any, Trajectories, Any, Any]:
    """What the code under test estimates along all trajectories, with their probabilities."""
    problem, _ = pose(mdp, None, "rational")
    on = call(OnPolicy, problem)
    policies = call(LogLinear, on)
    law = on.number(np.array(pi, dtype=object))
    batch = call(policies.enumerate, H)
    chances = call(policies.probability, batch, law)
    along = call(estimator.along, on, batch, call(estimator.value, on, law))
    return on, law, batch, chances, along


def first_means(L: int, batch: Trajectories, chances: Any, along: Any) -> list[Fraction]:
    """Means of the first estimate, given the first pair."""
    above, below = [F(0)] * L, [F(0)] * L
    for k, p, x in zip(batch.pairs[:, 0].tolist(), chances, along[:, 0], strict=True):
        above[k], below[k] = above[k] + p * x, below[k] + p
    return [x / p for x, p in zip(above, below, strict=True)]


@claim(
    "schulman2016:telescopes",
    says=r"\hat A_h = (1-\lambda) \sum_{n=1}^{N-1} \lambda^{n-1} \hat A_h^{(n)} + \lambda^{N-1} \hat A_h^{(N)}, \qquad "
    r"\hat A_h^{(n)} = \sum_{l<n} \gamma^l r_{h+l} + \gamma^n V(s_{h+n}) - V(s_h), \quad N = H - h",
    where="equations (11)-(18), recalled, for endless trajectories; the truncated form derived, see docs",
    kind="identity",
    mode="exact",
    instances=tiny(),
    controls=[
        mutant("the discount left out of the weights", weight=1),
        mutant("the last average weighted like the others", closed=False),
        mutant("no value at the end", bootstrap=0),
    ],
)
def telescopes(mdp: Any, *, weight: int = 0, closed: bool = True, bootstrap: int = 1) -> Iterator[Row]:
    """Sums of discounted temporal differences are averages of n-step advantages: Monte Carlo at 1, one step at 0."""
    judge = Judge(mdp)
    pi, gamma, r = exact_policy(judge), judge.gamma_exact, judge.r_exact
    for lambda_ in LAMBDAS:
        estimator = GAE(lambda_=lambda_, critic=CRITIC)
        *_, batch, chances, along = estimated(mdp, estimator, pi)
        share = lambda_ / gamma if weight else lambda_
        for row in range(0, len(along), 5):
            states, path = batch.states[row].tolist(), batch.pairs[row].tolist()
            chance = judge.rho_exact[states[0]]
            for k, t in zip(path, states[1:], strict=True):
                chance *= pi[k] * judge.P_exact[k][t]
            yield equal(chances[row], chance, f"probability of trajectory {row}")
            expected: list[Fraction] = []
            for h in range(H):
                steps: list[Fraction] = []
                for n in range(1, H - h + 1):
                    paid = sum((gamma**i * r[path[h + i]] for i in range(n)), F(0))
                    steps.append(paid + bootstrap * gamma**n * CRITIC[states[h + n]] - CRITIC[states[h]])
                mixed = sum(((1 - share) * share ** (n - 1) * x for n, x in enumerate(steps[:-1], 1)), F(0))
                expected.append(mixed + (share ** (len(steps) - 1) if closed else F(1)) * steps[-1])
            yield all_equal(along[row], expected, f"lambda={lambda_}, trajectory {row}")


class Undiscounted(GAE):
    """A wrong temporal difference: the next value is not discounted."""

    def along(self, on: Any, batch: Any, V: Any) -> Any:
        """With gamma = 1 in the difference alone."""
        return super().along(on, batch, V) + (1 - on.gamma[0]) * V[batch.states[:, 1:]]


def judged_call(judge: Judge, estimator: GAE, pi: Sequence[Any], V: Sequence[Any], rng: Any) -> list[Any]:
    """The sampled estimate, with trajectories drawn by the judge from the same numbers."""
    assert estimator.length is not None
    episodes = Episodes(judge, estimator.length)
    gamma, decay = judge.gamma_exact, judge.gamma_exact * estimator.lambda_
    sums, visits = [F(0)] * judge.L, [0] * judge.L
    paths: list[Path] = episodes.redraw(rng, pi, estimator.episodes)
    for path in paths:
        deltas = [
            judge.r_exact[k] + gamma * V[path.states[h + 1]] - V[path.states[h]] for h, k in enumerate(path.pairs)
        ]
        for h, k in enumerate(path.pairs):
            sums[k] += sum((decay**i * x for i, x in enumerate(deltas[h:])), F(0))
            visits[k] += 1
    return [x / max(1, n) for x, n in zip(sums, visits, strict=True)]


@claim(
    "schulman2016:unbiased",
    says=r"V = V^\pi \implies \mathbb{E}[\hat A_h \mid s_h, a_h] = A^\pi(s_h, a_h) \text{ for all } \lambda \in [0, 1]"
    r"\text{ and every number of steps to go}",
    where="Section 3 (a gamma-just estimator), recalled; proved, see docs",
    kind="identity",
    mode="exact",
    instances=tiny(),
    controls=[
        mutant("another critic", critic=CRITIC),
        mutant("the next value not discounted", kind=Undiscounted),
        mutant("means not conditioned on the first action", conditioned=False),
    ],
)
def unbiased(
    mdp: Any, *, rng: Any, critic: Any = "exact", kind: type[GAE] = GAE, conditioned: bool = True
) -> Iterator[Row]:
    """With the policy's own value as the critic, generalized advantage estimates are unbiased."""
    judge = Judge(mdp)
    pi = exact_policy(judge)
    V = judge.exact_value(pi)
    ahead = exact_next(judge, V)
    A = [judge.r_exact[k] + judge.gamma_exact * ahead[k] - V[s] for k, s in enumerate(judge.state)]
    if not conditioned:
        A = [judge.exact_mean(pi, A)[s] for s in judge.state]
    seed = int(rng.integers(2**32))
    for lambda_ in LAMBDAS:
        estimator = kind(lambda_=lambda_, critic=critic, episodes=4, length=H)
        on, law, batch, chances, along = estimated(mdp, estimator, pi)
        yield all_equal(first_means(judge.L, batch, chances, along), A, f"mean, lambda={lambda_}")
        sampled = call(estimator, on, law, np.random.default_rng(seed))
        right = GAE(lambda_=lambda_, episodes=4, length=H)
        own = judged_call(judge, right, pi, V, np.random.default_rng(seed))
        yield all_equal(sampled, own, f"sampled, lambda={lambda_}")


@claim(
    "schulman2016:bias",
    says=r"\mathbb{E}[\hat A_0 \mid s, a] - A^\pi(s,a) = \gamma (P\epsilon)(s,a) - \epsilon(s) "
    r"- \sum_{l=1}^{H-1} (\gamma\lambda)^l (P P_\pi^{l-1} (I - \gamma P_\pi) \epsilon)(s,a), \qquad \epsilon = V - V^\pi",
    where="derived, see docs; the paper says that lambda = 1 has no bias for any V and lambda = 0 has a large one",
    kind="identity",
    mode="exact",
    instances=tiny(),
    controls=[
        mutant("powers of lambda instead of gamma lambda", discounted=False),
        mutant("one term too many", extra=1),
        mutant("a sum from zero", first=0),
    ],
    caveat="At lambda = 1 the bias is that of the baseline, -epsilon(s), which no gradient sees, and the truncation's.",
)
def bias(mdp: Any, *, discounted: bool = True, extra: int = 0, first: int = 1) -> Iterator[Row]:
    """The bias of generalized advantage estimates with any critic, in closed form."""
    judge = Judge(mdp)
    pi, gamma = exact_policy(judge), judge.gamma_exact
    V = judge.exact_value(pi)
    ahead = exact_next(judge, V)
    A = [judge.r_exact[k] + gamma * ahead[k] - V[s] for k, s in enumerate(judge.state)]
    error = [x - y for x, y in zip(CRITIC, V, strict=True)]
    loss = [x - gamma * y for x, y in zip(error, judge.exact_mean(pi, exact_next(judge, error)), strict=True)]
    for lambda_ in LAMBDAS:
        estimator = GAE(lambda_=lambda_, critic=CRITIC)
        on, law, batch, chances, along = estimated(mdp, estimator, pi)
        means = first_means(judge.L, batch, chances, along)
        expected = [gamma * x - error[s] for x, s in zip(exact_next(judge, error), judge.state, strict=True)]
        term = exact_next(judge, loss)
        for i in range(1, H + extra):
            power = (gamma * lambda_ if discounted else lambda_) ** (i - 1 + first)
            expected = [x - power * y for x, y in zip(expected, term, strict=True)]
            term = exact_next(judge, judge.exact_mean(pi, term))
        yield all_equal([x - y for x, y in zip(means, A, strict=True)], expected, f"by enumeration, lambda={lambda_}")
        yield all_equal(call(estimator.bias, on, law, H), expected, f"bias(), lambda={lambda_}")
    # Monte Carlo telescopes to the baseline and what was cut off.
    term = exact_next(judge, error)
    for _ in range(H - 1):
        term = exact_next(judge, judge.exact_mean(pi, term))
    cut = [gamma**H * x - error[s] for x, s in zip(term, judge.state, strict=True)]
    *_, batch, chances, along = estimated(mdp, GAE(lambda_=F(1), critic=CRITIC), pi)
    means = first_means(judge.L, batch, chances, along)
    yield all_equal([x - y for x, y in zip(means, A, strict=True)], cut, "Monte Carlo")
