r"""Claims about Hessian-vector products of trajectories, and the recursive policy gradient that they correct."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, claim, equal, mutant
from mdpkit.claims.cases import tiny
from mdpkit.claims.episodes import Episodes, Path
from mdpkit.claims.judge import Judge, ball, dot, log
from mdpkit.claims.trial import call, iterates
from mdpkit.proofs.policy_gradient.reinforce import Tested, parameters, unit
from mdpkit.solvers.policy_gradient import HessianAidedPolicyGradient

F = Fraction
H = 2
HARPG = HessianAidedPolicyGradient(eta=F(1, 2), length=H, features="minimal")


def product(episodes: Episodes, path: Path, theta: Sequence[Any], v: Sequence[Any], form: str) -> list[Any]:
    """The estimate of the Hessian times v from a trajectory: the paper's, or one of the tempting others."""
    slope, along, curved = episodes.bent(path, theta, v)
    if form == "no curvature":
        return [x * along for x in slope]
    if form == "outer":
        return [x * dot(slope, v) + y for x, y in zip(slope, curved, strict=True)]
    return [x * along + y for x, y in zip(slope, curved, strict=True)]


def the_run(judge: Judge, solver: HessianAidedPolicyGradient, seed: int, form: str, n: int = 3) -> Iterator[Row]:
    """The solver's start and updates, followed by the judge with the same random numbers."""
    assert solver.length is not None
    episodes = Episodes(judge, solver.length, solver.features)
    rng, own = np.random.default_rng(seed), np.random.default_rng(seed)
    zero: list[Any] = [ball(0)] * episodes.dim
    theta, before, d = zero, zero, zero
    for t, state in enumerate(iterates(judge.mdp, solver, n, rng=rng)):
        pi = episodes.policy(theta)
        yield all_equal(state.theta, theta, f"theta_{t}")
        yield all_equal(state.previous, before, f"theta_{t - 1}")
        yield all_equal(state.log_pi, [log(x) for x in pi], f"log pi_{t}")
        yield all_equal(state.direction, d, f"d_{t - 1}")
        yield all_equal(state.V, judge.value(pi), f"V_{t}")
        yield equal(state.draws, 2 * t * solver.length, f"draws_{t}")
        theta, before = [ball(x) for x in state.theta], [ball(x) for x in state.previous]
        d = [ball(x) for x in state.direction]
        q = ball(own.random())
        between = [q * x + (1 - q) * y for x, y in zip(theta, before, strict=True)]
        (first,) = episodes.redraw(own, episodes.policy(between))
        v = product(episodes, first, between, [x - y for x, y in zip(theta, before, strict=True)], form)
        (second,) = episodes.redraw(own, pi)
        g = episodes.estimate(second, pi)
        beta = ball(F(2, t + 2))
        d = [(1 - beta) * (x + y) + beta * z for x, y, z in zip(d, v, g, strict=True)]
        step = unit(d) if solver.normalized else d
        before, theta = theta, [x + ball(solver.eta) / (t + 2) * y for x, y in zip(theta, step, strict=True)]


@claim(
    "n-pg-igt:hessian",
    says=r"\mathbb{E}\bigl[\nabla\Phi\, \nabla\log p^\top + \nabla^2\Phi\bigr] = \nabla^2 J_H, \qquad "
    r"\Phi = \sum_{h<H} \log\pi_\theta(a_h|s_h) \sum_{h' \ge h} \gamma^{h'} r_{h'}",
    where="Section 4.2, recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("without the curvature of the logarithms", form="no curvature"),
        mutant("the gradient of Phi in place of the score", form="outer"),
        mutant("trajectories not weighted by their probabilities", weigh=False),
    ],
    about=[HessianAidedPolicyGradient],
)
def hessian(
    mdp: Any, *, rng: Any, solver: HessianAidedPolicyGradient = HARPG, form: str = "paper", weigh: bool = True
) -> Iterator[Row]:
    """The mean of a trajectory's Hessian-vector product is the Hessian of the objective times the vector."""
    judge = Judge(mdp)
    episodes = Episodes(judge, H, solver.features)
    theta = parameters(episodes.dim)
    of = Tested(mdp, solver, theta, H)
    pi = episodes.policy(theta)
    paths = list(episodes.paths())
    chances = [episodes.chance(path, pi) if weigh else ball(F(1, len(paths))) for path in paths]
    for v in (*episodes.axes, [ball(x) for x in parameters(episodes.dim, 2)]):
        exact = episodes.hessian(theta, v)
        own = [product(episodes, path, theta, v, form) for path in paths]
        yield all_equal([dot(chances, column) for column in zip(*own, strict=True)], exact, "mean, by the judge")
        direction = of.policies.on.number(np.array(v, dtype=object))
        estimates = call(of.policies.hessians, of.batch, of.pi, direction)
        yield all_equal(of.mean(estimates), exact, "mean, by the code")
    seed = int(rng.integers(2**32))
    yield from the_run(judge, solver, seed, form)
    yield from the_run(judge, dataclasses.replace(solver, normalized=False), seed, form)
