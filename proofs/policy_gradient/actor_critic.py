r"""Claims about actor and critic: compatible features, projections, and the mean directions of the actor-critic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, claim, equal, leq, mutant
from mdpkit.claims.cases import tiny
from mdpkit.claims.episodes import Episodes
from mdpkit.claims.judge import Judge, ball, balls, dot, log
from mdpkit.claims.trial import call, iterates, pose
from mdpkit.kernels import trajectories
from mdpkit.operators.log_linear import LogLinear
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.proofs.policy_gradient.reinforce import parameters
from mdpkit.solvers.policy_gradient import ActorCritic

F = Fraction
N = 4
AC = ActorCritic(eta=F(1, 2), alpha=F(1, 3), length=N, features="minimal")


def policies_of(mdp: Any, features: Any, theta: Sequence[Any]) -> tuple[LogLinear, Any]:
    """The class and the policy as the code under test has them."""
    problem, _ = pose(mdp, None, "ball")
    policies = call(LogLinear, OnPolicy(problem), features)
    return policies, np.exp(call(policies.log_pi, policies.on.number(np.array(theta, dtype=object))))


def the_run(
    judge: Judge, solver: ActorCritic, seed: int, tested: ActorCritic | None = None, n: int = 4
) -> Iterator[Row]:
    """The solver's start and updates, followed by the judge with the same random numbers."""
    episodes = Episodes(judge, 1, solver.features)
    rng, own = np.random.default_rng(seed), np.random.default_rng(seed)
    theta: list[Any] = [ball(0)] * episodes.dim
    Q: list[Any] = [ball(0)] * judge.L
    pi = episodes.policy(theta)

    def start(u: Sequence[float]) -> int:
        return episodes.first(judge.pairs[episodes.first(range(judge.S), judge.rho, u[0])], pi, u[1])

    pair = start(own.random(2).tolist())
    for k, state in enumerate(iterates(judge.mdp, tested or solver, n, rng=rng)):
        yield all_equal(state.theta, theta, f"theta_{k}")
        yield all_equal(state.Q, Q, f"Q_{k}")
        yield equal(state.pair, pair, f"pair_{k}")
        yield all_equal(state.log_pi, [log(x) for x in pi], f"log pi_{k}")
        yield all_equal(state.V, judge.value(pi), f"V_{k}")
        yield equal(state.draws, k * N, f"draws_{k}")
        theta, Q, score = [ball(x) for x in state.theta], [ball(x) for x in state.Q], episodes.score(pi)
        direction = [ball(0)] * episodes.dim
        for u in own.random((N, 5)).tolist():
            s = episodes.first(range(judge.S), judge.P[pair], u[0])
            after = episodes.first(judge.pairs[s], pi, u[1])
            Q[pair] = Q[pair] + ball(solver.alpha) * (judge.r[pair] + judge.gamma * Q[after] - Q[pair])
            A = Q[pair] - judge.mean(pi, Q)[judge.state[pair]]
            direction = [x + A * y for x, y in zip(direction, score[pair], strict=True)]
            pair = after if ball(u[2]) < judge.gamma else start(u[3:])
        scale = ball(solver.eta) / (1 - judge.gamma) / N
        theta = [t + scale * x for t, x in zip(theta, direction, strict=True)]
        pi = episodes.policy(theta)


class Discounts(ActorCritic):
    """A wrong actor: it credits pairs with the critic's value and not with its advantage."""

    @staticmethod
    def advantage(policies: Any, Q: Any, pi: Any, pair: int) -> Any:
        """No baseline."""
        return Q[pair]


@claim(
    "konda2000:mean-direction",
    says=r"\mathbb{E}_{d^\pi,\pi}\Bigl[\tfrac{1}{1-\gamma} A^\pi \nabla\log\pi\Bigr] = \nabla J, \qquad "
    r"\mathbb{E}[r + \gamma Q^\pi(s',a') - Q^\pi(s,a) \mid s,a] = 0, \qquad "
    r"d^\pi = \gamma P_\pi^\top d^\pi + (1-\gamma)\rho",
    where="the fixed point of Section 3's iteration, for a tabular critic and discounted rewards; derived, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("without the factor 1/(1-gamma)", scaled=False),
        mutant("states weighted by the initial law", restarted=False),
        mutant(
            "the critic's value in place of its advantage",
            tested=Discounts(eta=F(1, 2), alpha=F(1, 3), length=N, features="minimal"),
        ),
    ],
    about=[ActorCritic],
    caveat="Says where the mean directions vanish, not that the two step sizes bring the iteration there.",
)
def mean_direction(
    mdp: Any,
    *,
    rng: Any,
    solver: ActorCritic = AC,
    tested: ActorCritic | None = None,
    scaled: bool = True,
    restarted: bool = True,
) -> Iterator[Row]:
    """At the policy's own values the critic rests and the actor's mean direction is the policy gradient."""
    judge = Judge(mdp)
    yield from the_run(judge, solver, int(rng.integers(2**32)), tested)
    episodes = Episodes(judge, 1, solver.features)
    theta = parameters(episodes.dim)
    pi = episodes.policy(theta)
    Q = judge.q(judge.value(pi))
    policies, law = policies_of(mdp, solver.features, theta)
    own = call(policies.on.q, call(policies.on.value, law))
    yield all_equal(own, Q, "Q^pi")
    after = judge.mean(pi, own)
    yield all_equal(own, [r + judge.gamma * dot(p, after) for r, p in zip(judge.r, judge.P, strict=True)], "TD error")
    d = judge.occupancy(pi) if restarted else judge.rho
    flow = [
        judge.gamma * sum((d[judge.state[k]] * pi[k] * judge.P[k][t] for k in range(judge.L)), ball(0))
        + (1 - judge.gamma) * judge.rho[t]
        for t in range(judge.S)
    ]
    yield all_equal(flow, d, "stationary")
    weights = np.array(
        [
            [d[judge.state[k]] * pi[k] * call((tested or solver).advantage, policies, own, law, k)]
            for k in range(judge.L)
        ],
        dtype=object,
    )
    mean = call(policies.project, call(trajectories.scores, weights, law, policies.ptr))[:, 0]
    factor = 1 / (1 - judge.gamma) if scaled else ball(1)
    gradient = episodes.gradient(theta, episodes.endless)
    yield all_equal([factor * x for x in mean], gradient, "mean direction of the actor")


FEATURES = ((F(1), F(0)), (F(-1, 2), F(1)), (F(2), F(1, 3)), (F(0), F(-1)))


def features_of(judge: Judge) -> tuple[tuple[Fraction, ...], ...]:
    """Features without an idle direction: no more of them than there are free logits."""
    return tuple(row[: judge.L - judge.S] for row in FEATURES[: judge.L])


@claim(
    "sutton2000:compatible",
    says=r"w = \arg\min_w \mathbb{E}_{d^\pi,\pi}\bigl(A^\pi - w^\top\nabla\log\pi\bigr)^2 \implies "
    r"\nabla J = \tfrac{1}{1-\gamma} \mathbb{E}_{d^\pi,\pi}\bigl[(w^\top \nabla\log\pi) \nabla\log\pi\bigr]",
    where="Theorem 2, recalled (there with Q in place of A, which differs by a function of the state); proved, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("states weighted by the initial law", weights="initial"),
        mutant("features that are not compatible", centered=False),
        mutant("a critic of twice the length", factor=2),
    ],
    about=[ActorCritic],
)
def compatible(mdp: Any, *, weights: str = "visits", centered: bool = True, factor: int = 1) -> Iterator[Row]:
    """The best critic in compatible features gives the exact policy gradient, and no other critic fits better."""
    judge = Judge(mdp)
    for features in ("minimal", features_of(judge)):
        episodes = Episodes(judge, 1, features)
        theta = parameters(episodes.dim)
        pi = episodes.policy(theta)
        A = judge.advantage(judge.value(pi))
        policies, law = policies_of(mdp, features, theta)
        w = [factor * x for x in call(policies.critic, law)]
        gradient = episodes.gradient(theta, episodes.endless)
        yield all_equal(call(policies.gradient, law), gradient, "policy gradient theorem")
        psi = episodes.score(pi) if centered else episodes.phi
        d = judge.occupancy(pi) if weights == "visits" else judge.rho
        mass = [d[s] * pi[k] for k, s in enumerate(judge.state)]
        fit = [dot(row, w) for row in psi]
        direction = [
            sum((m * f * row[i] for m, f, row in zip(mass, fit, psi, strict=True)), ball(0)) / (1 - judge.gamma)
            for i in range(episodes.dim)
        ]
        yield all_equal(direction, gradient, "gradient from the critic")
        error = dot(mass, [(a - f) ** 2 for a, f in zip(A, fit, strict=True)])
        for i in range(episodes.dim):
            for shift in (F(1, 10), F(-1, 10)):
                moved = [f + ball(shift) * row[i] for f, row in zip(fit, psi, strict=True)]
                other = dot(mass, [(a - f) ** 2 for a, f in zip(A, moved, strict=True)])
                yield leq(error, other, f"fit, coordinate {i} moved by {shift}")


@claim(
    "konda2000:projection",
    says=r"\mathbb{E}_{d^\pi,\pi}[\hat Q\, \nabla\log\pi] = \mathbb{E}_{d^\pi,\pi}[Q\, \nabla\log\pi] "
    r"\iff \hat Q - Q \perp \mathrm{span}\{\partial_i \log\pi\} \text{ in } L_2(d^\pi\pi)",
    where="Section 2 (the inner product and the projection), recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("orthogonal for the uniform law over pairs", weighted=False),
        mutant("a critic that is off along a feature", along=F(1, 10)),
    ],
    about=[ActorCritic],
)
def projection(
    mdp: Any, *, rng: Any, solver: ActorCritic = AC, weighted: bool = True, along: Fraction = Fraction(0)
) -> Iterator[Row]:
    """The actor sees of a critic only its projection on the compatible features."""
    judge = Judge(mdp)
    yield from the_run(judge, solver, int(rng.integers(2**32)), n=1)
    episodes = Episodes(judge, 1, features_of(judge))
    theta = parameters(episodes.dim)
    pi = episodes.policy(theta)
    d, psi = judge.visits(pi), episodes.score(pi)
    mass = [d[s] * pi[k] for k, s in enumerate(judge.state)]
    law = mass if weighted else [ball(1)] * judge.L
    # An arbitrary error, made orthogonal to the features one after another.
    basis: list[list[Any]] = []
    for i in range(episodes.dim):
        column = [row[i] for row in psi]
        for b in basis:
            share = dot(law, [x * y for x, y in zip(column, b, strict=True)])
            share = share / dot(law, [y * y for y in b])
            column = [x - share * y for x, y in zip(column, b, strict=True)]
        basis.append(column)
    error = [ball(F(3 * k + 1, 2)) ** 2 for k in range(judge.L)]
    for b in basis:
        share = dot(law, [x * y for x, y in zip(error, b, strict=True)]) / dot(law, [y * y for y in b])
        error = [x - share * y for x, y in zip(error, b, strict=True)]
    error = [x + ball(along) * row[0] for x, row in zip(error, psi, strict=True)]
    policies, own = policies_of(mdp, features_of(judge), theta)
    Q = call(policies.on.q, call(policies.on.value, own))
    visits = call(policies.on.visits, own)
    gradient = episodes.gradient(theta, episodes.endless)
    for name, critic in (("Q", Q), ("Q with an orthogonal error", Q + balls(error))):
        advantage = [call(solver.advantage, policies, critic, own, k) for k in range(judge.L)]
        weights = np.array([[visits[s] * own[k] * advantage[k]] for k, s in enumerate(judge.state)], dtype=object)
        mean = call(policies.project, call(trajectories.scores, weights, own, policies.ptr))[:, 0]
        yield all_equal(mean, gradient, f"direction with {name}")
