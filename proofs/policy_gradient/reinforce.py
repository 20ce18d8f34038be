r"""Claims about likelihood-ratio estimates of the policy gradient: means by enumeration of all trajectories.

The estimates are the solver's, on all trajectories of a tiny model with the probabilities that the library gives them. The
judge has the derivatives of the H-step objective from power series, and follows the solver's runs by drawing the same
trajectories from the same random numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, claim, equal, leq, mutant
from mdpkit.claims.cases import tiny
from mdpkit.claims.episodes import Episodes, Path
from mdpkit.claims.judge import Judge, ball, dot, log
from mdpkit.claims.trial import call, iterates, pose
from mdpkit.operators.log_linear import LogLinear, Trajectories
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.policy_gradient import Reinforce

F = Fraction
H = 2


def parameters(dim: int, shift: int = 0) -> list[Fraction]:
    """Some parameters: distinct, of both signs, and no symmetry between states."""
    return [F((5 * (i + shift) + 3) % 7 - 3, 4) for i in range(dim)]


def batch_of(paths: Sequence[Path]) -> Trajectories:
    """The judge's trajectories as the library's batch."""
    return Trajectories(np.array([p.states for p in paths]), np.array([p.pairs for p in paths]))


class Tested:
    """What the code under test says of all trajectories under given parameters.

    ``mean`` weighs any quantity of the trajectories with the library's probabilities.
    """

    def __init__(self, mdp: Any, solver: Any, theta: Sequence[Any], length: int):
        problem, self.solver = pose(mdp, solver, "ball")
        self.policies = call(LogLinear, OnPolicy(problem), getattr(solver, "features", None))
        self.log_pi = call(self.policies.log_pi, self.policies.on.number(np.array(theta, dtype=object)))
        self.pi = np.exp(self.log_pi)
        self.batch = call(self.policies.enumerate, length)
        self.chances = call(self.policies.probability, self.batch, self.pi)

    def mean(self, x: Any) -> Any:
        """The expectation over trajectories."""
        return x.T @ self.chances

    def estimates(self) -> Any:
        """The solver's estimates, one row a trajectory."""
        return call(self.solver.estimates, self.policies, self.batch, self.pi)


def judged_estimate(
    episodes: Episodes, solver: Reinforce, path: Path, pi: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """The estimate of a trajectory without baseline, and what a baseline of one takes away, by the definition."""
    paid, gamma = episodes.paid(path), episodes.judge.gamma
    whole = solver.estimator == "reinforce"
    to_go = [sum(paid if whole else paid[h:], ball(0)) for h in range(episodes.H)]
    ones = [ball(1) if whole else gamma**h for h in range(episodes.H)]
    b = solver.baseline
    if isinstance(b, tuple):
        to_go = [x - y * ball(b[s]) for x, y, s in zip(to_go, ones, path.states, strict=False)]
    score = episodes.score(pi)
    return episodes.weighted(path, to_go, score), episodes.weighted(path, ones, score)


def judged_direction(episodes: Episodes, solver: Reinforce, paths: Sequence[Path], pi: Sequence[Any]) -> list[Any]:
    """The mean estimate of a batch, by the definition of each baseline."""
    both = [judged_estimate(episodes, solver, path, pi) for path in paths]
    returns = [sum(episodes.paid(path), ball(0)) for path in paths]
    out = [ball(0)] * episodes.dim
    for n, (G, T) in enumerate(both):
        others = [m for m in range(len(paths)) if m != n]
        if solver.baseline is None or isinstance(solver.baseline, tuple):
            b = ball(0)
        elif solver.baseline == "mean":
            b = sum((returns[m] for m in others), ball(0)) / len(others)
        elif solver.baseline == "optimal":
            above = sum((x * y for m in others for x, y in zip(*both[m], strict=True)), ball(0))
            below = sum((y * y for m in others for y in both[m][1]), ball(0))
            b = ball(0) if below == 0 else above / below
        else:
            b = ball(solver.baseline)
        out = [x + (g - b * t) / len(paths) for x, g, t in zip(out, G, T, strict=True)]
    return out


def the_run(judge: Judge, solver: Reinforce, seed: int, tested: Reinforce | None = None, n: int = 2) -> Iterator[Row]:
    """The solver's start and updates, with trajectories drawn by the judge from the same numbers."""
    assert solver.length is not None
    episodes = Episodes(judge, solver.length, solver.features)
    rng, own = np.random.default_rng(seed), np.random.default_rng(seed)
    theta: list[Any] = [ball(0)] * episodes.dim
    for k, state in enumerate(iterates(judge.mdp, tested or solver, n, rng=rng)):
        pi = episodes.policy(theta)
        yield all_equal(state.theta, theta, f"theta_{k}")
        yield all_equal(state.log_pi, [log(x) for x in pi], f"log pi_{k}")
        yield all_equal(state.V, judge.value(pi), f"V_{k}")
        yield equal(state.draws, k * solver.episodes * solver.length, f"draws_{k}")
        paths = episodes.redraw(own, pi, solver.episodes)
        step = judged_direction(episodes, solver, paths, pi)
        theta = [t + ball(solver.eta) * g for t, g in zip(state.theta, step, strict=True)]


def unit(d: Sequence[Any]) -> list[Any]:
    """The direction over its length; zero where it is exactly zero."""
    if all(x == 0 for x in d):
        return list(d)
    return [x / dot(d, d).sqrt() for x in d]


def variance(mdp: Any, solver: Reinforce, theta: Sequence[Any], gradient: Sequence[Any]) -> Any:
    """Trace of the covariance of the code's estimates, about the judge's gradient."""
    of = Tested(mdp, solver, theta, H)
    away = of.estimates() - np.array(gradient, dtype=object)
    return of.mean((away * away).sum(axis=1))


class NotDiscounted(Reinforce):
    """A wrong estimate: the rewards to go are discounted from the action and not from the start."""

    def estimates(self, policies: Any, batch: Any, pi: Any) -> Any:
        """The common shortcut of implementations."""
        rewards, gamma = policies.rewards(batch), policies.gamma
        to_go = rewards * 0
        for h in range(batch.pairs.shape[1]):
            to_go[:, h] = sum(gamma ** (i - h) * rewards[:, i] for i in range(h, batch.pairs.shape[1]))
        return policies.weighted(batch, to_go, pi)


class PastCounts(Reinforce):
    """A wrong estimate: it credits actions with the rewards from the next step on."""

    def estimates(self, policies: Any, batch: Any, pi: Any) -> Any:
        """Without the reward of the action itself."""
        paid = policies.rewards(batch) * np.array([policies.gamma**h for h in range(batch.pairs.shape[1])])
        to_go = np.cumsum(paid[:, ::-1], axis=1)[:, ::-1] - paid
        return policies.weighted(batch, to_go, pi)


def unbiased_rows(mdp: Any, solver: Reinforce, tested: Reinforce, rng: Any, weigh: bool = True) -> Iterator[Row]:
    """Rows that the mean estimate is the derivative of the objective, and that the solver follows its estimates."""
    judge = Judge(mdp)
    yield from the_run(judge, solver, int(rng.integers(2**32)), tested)
    episodes = Episodes(judge, H, solver.features)
    theta = parameters(episodes.dim)
    of = Tested(mdp, tested, theta, H)
    yield equal(sum(of.chances), ball(1), "probabilities sum to one")
    estimates = of.estimates() if weigh else of.estimates() / len(of.chances) / of.chances[:, None]
    yield all_equal(of.mean(estimates), episodes.gradient(theta), "mean estimate")


WHOLE = Reinforce(eta=F(1, 2), length=H, episodes=2, estimator="reinforce")


@claim(
    "williams1992:unbiased",
    says=r"\mathbb{E}\Bigl[R(\tau) \sum_{h<H} \nabla\log\pi_\theta(a_h|s_h)\Bigr] = \nabla_\theta\, \mathbb{E}[R(\tau)], "
    r"\qquad R(\tau) = \sum_{h<H} \gamma^h r_h",
    where="Section 6, recalled (episodic REINFORCE); proved, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("rewards discounted from the action on", tested=NotDiscounted(eta=F(1, 2), length=H, episodes=2)),
        mutant("trajectories not weighted by their probabilities", weigh=False),
        mutant("a baseline that is not taken away in the definition", tested=dataclasses.replace(WHOLE, baseline=1)),
    ],
    about=[Reinforce],
)
def whole_returns(
    mdp: Any, *, rng: Any, solver: Reinforce = WHOLE, tested: Reinforce | None = None, weigh: bool = True
) -> Iterator[Row]:
    """The score of a trajectory times its return has the gradient of the expected return as its mean."""
    yield from unbiased_rows(mdp, solver, tested or solver, rng, weigh)


GPOMDP = Reinforce(eta=F(1, 2), length=H, episodes=2, features="minimal")


@claim(
    "baxter2001:unbiased",
    says=r"\mathbb{E}\Bigl[\sum_{h<H} \nabla\log\pi_\theta(a_h|s_h) \sum_{h'=h}^{H-1} \gamma^{h'} r_{h'}\Bigr] = "
    r"\nabla_\theta\, \mathbb{E}\Bigl[\sum_{h<H} \gamma^h r_h\Bigr]",
    where="the estimator called GPOMDP in the literature (the paper's own is for average reward), recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant(
            "rewards discounted from the action on", tested=NotDiscounted(eta=F(1, 2), length=H, features="minimal")
        ),
        mutant("rewards after the next step only", tested=PastCounts(eta=F(1, 2), length=H, features="minimal")),
        mutant("credit for the whole return", tested=dataclasses.replace(GPOMDP, estimator="reinforce")),
    ],
    about=[Reinforce],
)
def rewards_to_go(mdp: Any, *, rng: Any, solver: Reinforce = GPOMDP, tested: Reinforce | None = None) -> Iterator[Row]:
    """Crediting actions with the rewards after them alone leaves the mean of the estimate."""
    yield from unbiased_rows(mdp, solver, tested or solver, rng)


@claim(
    "williams1992:baseline",
    says=r"\mathbb{E}\Bigl[\sum_h \nabla\log\pi(a_h|s_h)\, \gamma^h b(s_h)\Bigr] = 0",
    where="Section 4 (reinforcement baseline), recalled; the form with b(s) derived, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("a baseline that knows the action", peeking=True),
        mutant("another baseline in the run", solver=dataclasses.replace(GPOMDP, baseline=(F(1), F(3)))),
    ],
    about=[Reinforce],
)
def baseline(mdp: Any, *, rng: Any, solver: Reinforce | None = None, peeking: bool = False) -> Iterator[Row]:
    """Baselines of the state, and constants, leave the mean of the estimate."""
    judge = Judge(mdp)
    by_state = dataclasses.replace(GPOMDP, baseline=(F(2), F(-1, 3)))
    constant = dataclasses.replace(WHOLE, baseline=F(7, 5))
    seed = int(rng.integers(2**32))
    yield from the_run(judge, solver or by_state, seed, by_state)
    for batch in ("mean", "optimal"):
        yield from the_run(judge, dataclasses.replace(GPOMDP, episodes=3, baseline=batch), seed, n=1)
    for tested in (by_state, constant):
        episodes = Episodes(judge, H, tested.features)
        theta = parameters(episodes.dim)
        of = Tested(mdp, tested, theta, H)
        estimates = of.estimates()
        if peeking:  # the baseline's place is taken by the action's index
            bonus = np.array([[ball(int(k)) for k in path] for path in of.batch.pairs.tolist()])
            estimates = estimates - of.policies.weighted(of.batch, bonus, of.pi)
        yield all_equal(of.mean(estimates), episodes.gradient(theta), f"mean with baseline {tested.baseline}")


@claim(
    "greensmith2004:optimal-baseline",
    says=r"\mathrm{tr}\,\mathrm{Var}(G - bT) = \mathrm{tr}\,\mathrm{Var}(G - b^*T) + (b - b^*)^2\, \mathbb{E}\|T\|^2, \qquad "
    r"b^* = \frac{\mathbb{E}\langle G, T\rangle}{\mathbb{E}\|T\|^2}",
    where="Section 4, recalled for whole returns (where G = R T); the identity derived, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("the mean return as the best baseline", scored=False),
        mutant("the variance falls with the distance", sign=-1),
        mutant("norms not squared", power=1),
    ],
    about=[Reinforce],
    caveat="Of constant baselines; one for each state can do better.",
)
def optimal_baseline(
    mdp: Any, *, rng: Any, solver: Reinforce = WHOLE, scored: bool = True, sign: int = 1, power: int = 2
) -> Iterator[Row]:
    """The variance of the estimate is a parabola in the baseline, whose lowest point weighs returns by squared scores."""
    judge = Judge(mdp)
    yield from the_run(judge, dataclasses.replace(solver, episodes=3, baseline="optimal"), int(rng.integers(2**32)))
    for chosen in (solver, dataclasses.replace(solver, estimator="gpomdp")):
        episodes = Episodes(judge, H, chosen.features)
        theta = parameters(episodes.dim)
        pi = episodes.policy(theta)
        paths = list(episodes.paths())
        chances = [episodes.chance(path, pi) for path in paths]
        both = [judged_estimate(episodes, chosen, path, pi) for path in paths]
        squares = [dot(T, T) for _, T in both]
        norms = [x if power == 2 else x.sqrt() for x in squares]
        if scored:
            best = dot(chances, [dot(G, T) for G, T in both]) / dot(chances, squares)
        else:
            best = dot(chances, [sum(episodes.paid(path), ball(0)) for path in paths])
        spread, gradient = dot(chances, norms), episodes.gradient(theta)
        least = variance(mdp, dataclasses.replace(chosen, baseline=best), theta, gradient)
        for b in (F(0), F(1), F(-3, 2)):
            there = variance(mdp, dataclasses.replace(chosen, baseline=b), theta, gradient)
            yield equal(there, least + sign * (ball(b) - best) ** 2 * spread, f"{chosen.estimator}, b={b}")
            yield leq(least, there, f"{chosen.estimator}, no less than at b={b}")
