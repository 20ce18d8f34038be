r"""Claims about general utilities and the lagged, importance-weighted corrections of N-VR-PG: means by enumeration."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, claim, equal, mutant
from mdpkit.claims.cases import tiny
from mdpkit.claims.episodes import Episodes
from mdpkit.claims.judge import Judge, ball, balls, exp, log
from mdpkit.claims.trial import call, iterates
from mdpkit.claims.variants import recast
from mdpkit.operators.utilities import Distance, Entropy, Return
from mdpkit.proofs.policy_gradient.reinforce import Tested, parameters, unit
from mdpkit.solvers.policy_gradient import NormalizedVarianceReducedPolicyGradient

F = Fraction
H = 2
SMOOTHING = F(1, 10)
TARGET = (F(1, 2), F(7, 10), F(1, 5), F(2, 5))
Solver = NormalizedVarianceReducedPolicyGradient


def distance(judge: Judge) -> Distance:
    """The utility of a run on a model with fewer pairs."""
    return Distance(TARGET[: judge.L])


def slope(utility: Any, judge: Judge, occupancy: Sequence[Any]) -> list[Any]:
    """The gradient of each utility, by its definition."""
    if isinstance(utility, Return):
        return list(judge.r)
    if isinstance(utility, Distance):
        return [2 * (ball(t) - x) for x, t in zip(occupancy, utility.target, strict=True)]
    return [-1 - log(x + ball(SMOOTHING)) for x in occupancy]


def worth(utility: Any, judge: Judge, occupancy: Sequence[Any]) -> Any:
    """Each utility of balls or power series."""
    if isinstance(utility, Return):
        return sum((x * y for x, y in zip(occupancy, judge.r, strict=True)), ball(0))
    if isinstance(utility, Distance):
        away = [x - ball(t) for x, t in zip(occupancy, utility.target, strict=True)]
        return ball(0) - sum((x * x for x in away), ball(0))
    raised = [x + ball(SMOOTHING) for x in occupancy]
    return ball(0) - sum((x * x.log() for x in raised), ball(0))


def solver_of(judge: Judge) -> Solver:
    """The solver of the runs."""
    return Solver(eta=F(1, 2), length=H, features="minimal", utility=distance(judge))


def the_run(judge: Judge, solver: Solver, seed: int, lag: int = 1, inverse: bool = False, n: int = 3) -> Iterator[Row]:
    """The solver's start and updates, followed by the judge with the same random numbers."""
    assert solver.length is not None
    episodes = Episodes(judge, solver.length, solver.features)
    utility = solver.objective
    rng, own = np.random.default_rng(seed), np.random.default_rng(seed)
    theta: list[Any] = [ball(0)] * episodes.dim
    before, d = theta, theta
    occupancy: list[Any] = [ball(0)] * judge.L
    r = slope(utility, judge, occupancy)
    older = r
    for t, state in enumerate(iterates(judge.mdp, solver, n, rng=rng)):
        pi = episodes.policy(theta)
        yield all_equal(state.theta, theta, f"theta_{t}")
        yield all_equal(state.previous, before, f"theta_{t - 1}")
        yield all_equal(state.log_pi, [log(x) for x in pi], f"log pi_{t}")
        yield all_equal(state.V, judge.value(pi), f"V_{t}")
        yield all_equal(state.occupancy, occupancy, f"lambda_{t - 1}")
        yield all_equal(state.direction, d, f"d_{t - 1}")
        yield all_equal(state.reward, r, f"r_{t - 1}")
        yield all_equal(state.lagged, older, f"r_{t - 2}")
        yield equal(state.draws, t * solver.length, f"draws_{t}")
        theta, before = [ball(x) for x in state.theta], [ball(x) for x in state.previous]
        occupancy, d = [ball(x) for x in state.occupancy], [ball(x) for x in state.direction]
        r, older = [ball(x) for x in state.reward], [ball(x) for x in state.lagged]
        (path,) = episodes.redraw(own, pi)
        former = episodes.policy(before)
        w = episodes.chance(path, former) / episodes.chance(path, pi)
        w = 1 / w if inverse else w
        beta = exp(ball(solver.power) * log(F(2, t + 2)))
        visits = episodes.counted(path)
        occupancy = [beta * x + (1 - beta) * (y + (1 - w) * x) for x, y in zip(visits, occupancy, strict=True)]
        new = slope(utility, judge, occupancy)
        g = episodes.estimate(path, pi, r if lag else new)
        past = episodes.estimate(path, former, older if lag else r)
        d = [beta * x + (1 - beta) * (y + x - w * z) for x, y, z in zip(g, d, past, strict=True)]
        step = ball(solver.eta) * exp(-ball(solver.power) * log(t + 2))
        before, theta = theta, [x + step * y for x, y in zip(theta, unit(d), strict=True)]
        r, older = new, r


@claim(
    "n-vr-pg:gradient",
    says=r"\nabla_\theta F(\lambda(\theta)) = \mathbb{E}\Bigl[\sum_{h<H} \nabla\log\pi_\theta(a_h|s_h) "
    r"\sum_{h' \ge h} \gamma^{h'} r(s_{h'}, a_{h'})\Bigr], \qquad r = \nabla F(\lambda(\theta)) \text{ held fixed}",
    where="Section 2, recalled; proved, see docs (the chain rule)",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("the utility's gradient at another occupancy", stale=True),
        mutant("the occupancy normalized", normalized=True),
        mutant("the model's own rewards", own=True),
    ],
    about=[Solver],
)
def gradient(mdp: Any, *, rng: Any, stale: bool = False, normalized: bool = False, own: bool = False) -> Iterator[Row]:
    """The gradient of a utility of the occupancy is the policy gradient for the utility's derivatives as rewards."""
    judge = Judge(mdp)
    seed = int(rng.integers(2**32))
    for utility in (distance(judge), Entropy(SMOOTHING), Return()):
        solver = dataclasses.replace(solver_of(judge), utility=utility)
        episodes = Episodes(judge, H, solver.features)
        theta = parameters(episodes.dim)
        of = Tested(mdp, solver, theta, H)
        occupancy = of.mean(call(of.policies.occupancies, of.batch))
        yield all_equal(occupancy, episodes.occupancy(episodes.policy(theta)), "occupancy")
        derivatives = call(utility.gradient, of.policies.on, occupancy)
        yield all_equal(derivatives, slope(utility, judge, list(occupancy)), f"derivatives of {type(utility).__name__}")
        if stale:
            occupancy = balls(episodes.occupancy(episodes.policy(parameters(episodes.dim, 1))))
        if normalized:
            occupancy = (1 - judge.gamma) * occupancy
        r = of.policies.on.r if own else call(utility.gradient, of.policies.on, occupancy)
        yield equal(call(utility.value, of.policies.on, occupancy), worth(utility, judge, list(occupancy)), "F")
        mean = of.mean(call(of.policies.gradients, of.batch, of.pi, r))

        def value(pi: Any, utility: Any = utility, episodes: Episodes = episodes) -> Any:
            return worth(utility, judge, episodes.occupancy(pi))

        yield all_equal(mean, episodes.gradient(theta, value), f"gradient of {type(utility).__name__}")
    yield from the_run(judge, dataclasses.replace(solver_of(judge), utility=None, power=F(1)), seed, n=2)


class Inverse(Solver):
    """A wrong correction: the ratio of the probabilities is upside down."""

    def corrections(self, policies: Any, batch: Any, state: Any) -> Any:
        """With 1/w in place of w for the occupancy."""
        visits, _, g, change = super().corrections(policies, batch, state)
        w = policies.ratios(batch, policies.log_pi(state.previous), state.log_pi)[:, None]
        return visits, (1 - w) * visits, g, change


def corrections(
    mdp: Any, judge: Judge, kind: type[Solver]
) -> tuple[Episodes, Tested, Sequence[Any], Sequence[Any], list[Any], list[Any], Any]:
    """What the solver estimates from all trajectories, at parameters now and before, and rewards now and before."""
    solver = recast(solver_of(judge), kind)
    episodes = Episodes(judge, H, solver.features)
    now, before = parameters(episodes.dim), parameters(episodes.dim, 3)
    of = Tested(mdp, solver, now, H)
    number = of.policies.on.number
    r, older = [F(k + 1, 2) for k in range(judge.L)], [F(2 - k * k, 3) for k in range(judge.L)]
    state = call(solver.init, of.policies.on.problem)._replace(
        theta=number(np.array(now, dtype=object)),
        previous=number(np.array(before, dtype=object)),
        log_pi=of.log_pi,
        reward=number(np.array(r, dtype=object)),
        lagged=number(np.array(older, dtype=object)),
    )
    return episodes, of, now, before, r, older, call(solver.corrections, of.policies, of.batch, state)


@claim(
    "n-vr-pg:occupancy-correction",
    says=r"\mathbb{E}_{\tau \sim \theta_t}\bigl[(1 - w)\, \hat\lambda(\tau)\bigr] = "
    r"\lambda(\theta_t) - \lambda(\theta_{t-1}), \qquad "
    r"w = p(\tau|\theta_{t-1}) / p(\tau|\theta_t)",
    where="Algorithm 1, recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("the ratio upside down", kind=Inverse),
        mutant("the ratio upside down in the run", inverse=True),
        mutant("trajectories from the last policy", swapped=True),
    ],
    about=[Solver],
)
def occupancy_correction(
    mdp: Any, *, rng: Any, kind: type[Solver] = Solver, inverse: bool = False, swapped: bool = False
) -> Iterator[Row]:
    """One trajectory, weighted by one minus its ratio, estimates how the occupancy changed."""
    judge = Judge(mdp)
    episodes, of, now, before, _, _, (visits, shift, _, _) = corrections(mdp, judge, kind)
    if swapped:
        of.chances = call(of.policies.probability, of.batch, np.exp(call(of.policies.log_pi, balls(before))))
    here = episodes.occupancy(episodes.policy(now))
    there = episodes.occupancy(episodes.policy(before))
    yield all_equal(of.mean(visits), here, "occupancy")
    yield all_equal(of.mean(shift), [x - y for x, y in zip(here, there, strict=True)], "change of the occupancy")
    yield from the_run(judge, solver_of(judge), int(rng.integers(2**32)), inverse=inverse)


@claim(
    "n-vr-pg:lagged-estimate",
    says=r"\mathbb{E}_{\tau \sim \theta_t}\bigl[g(\tau, \theta_t, r_{t-1})\bigr] = \nabla J_{r_{t-1}}(\theta_t), \qquad "
    r"\mathbb{E}\bigl[g(\tau, \theta_t, r_{t-1}) - w\, g(\tau, \theta_{t-1}, r_{t-2})\bigr] = "
    r"\nabla J_{r_{t-1}}(\theta_t) - \nabla J_{r_{t-2}}(\theta_{t-1})",
    where="Algorithm 1 and the remark on the lag, recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("no lag: rewards that know the trajectory", lag=0),
        mutant("no lag in the run", run_lag=0),
        mutant("without the ratio", weighted=False),
    ],
    about=[Solver],
)
def lagged_estimate(mdp: Any, *, rng: Any, lag: int = 1, run_lag: int = 1, weighted: bool = True) -> Iterator[Row]:
    """With rewards from the step before, the estimates of the gradient and of its change are unbiased."""
    judge = Judge(mdp)
    episodes, of, now, before, r, older, (visits, _, g, change) = corrections(mdp, judge, Solver)
    here = episodes.gradient(now, lambda pi: episodes.objective(pi, [ball(x) for x in r]))
    there = episodes.gradient(before, lambda pi: episodes.objective(pi, [ball(x) for x in older]))
    if not lag:  # half of each trajectory's occupancy goes into the rewards that it is credited with
        utility = distance(judge)
        own = np.array([slope(utility, judge, [x / 2 for x in row]) for row in visits], dtype=object)
        mean_r = list(of.mean(own))
        g = np.array(
            [
                of.policies.gradients(
                    type(of.batch)(of.batch.states[i : i + 1], of.batch.pairs[i : i + 1]), of.pi, own[i]
                )[0]
                for i in range(len(own))
            ],
            dtype=object,
        )
        here = episodes.gradient(now, lambda pi: episodes.objective(pi, mean_r))
    yield all_equal(of.mean(g), here, "mean of the estimate")
    if not weighted:
        former = np.exp(of.policies.log_pi(balls(before)))
        change = g - of.policies.gradients(of.batch, former, balls(older))
    if lag:
        yield all_equal(of.mean(change), [x - y for x, y in zip(here, there, strict=True)], "mean of the change")
    yield from the_run(judge, solver_of(judge), int(rng.integers(2**32)), lag=run_lag)
