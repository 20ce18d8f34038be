r"""Claims about N-PG-IGT: what transport does, what the gradient bounds, what the steps allow, and the rates that follow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Outcome, Rate, Row, all_equal, all_leq, claim, equal, leq, mutant, point
from mdpkit.claims.cases import bandit, chosen, joined, tiny
from mdpkit.claims.claim import Case, Level
from mdpkit.claims.episodes import Episodes
from mdpkit.claims.judge import Judge, ball, balls, dot, exp, largest, log, upper
from mdpkit.claims.trial import call, iterates, pose
from mdpkit.kernels import momentum
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.proofs.policy_gradient.actor_critic import features_of, policies_of
from mdpkit.proofs.policy_gradient.hessian_aided_policy_gradient import the_run as hessian_aided_run
from mdpkit.proofs.policy_gradient.reinforce import parameters, unit
from mdpkit.solvers.policy_gradient import HessianAidedPolicyGradient, NormalizedPolicyGradientIGT

F = Fraction
H = 2
IGT = NormalizedPolicyGradientIGT(eta=F(1, 2), length=H, features="minimal")


RATED = NormalizedPolicyGradientIGT(eta=F(7, 10), length=1, features="minimal")


def the_run(judge: Judge, solver: NormalizedPolicyGradientIGT, seed: int, ahead: int = 1, n: int = 3) -> Iterator[Row]:
    """The solver's start and updates, followed by the judge with the same random numbers."""
    assert solver.length is not None
    episodes = Episodes(judge, solver.length, solver.features)
    rng, own = np.random.default_rng(seed), np.random.default_rng(seed)
    theta: list[Any] = [ball(0)] * episodes.dim
    before, d = theta, theta
    for t, state in enumerate(iterates(judge.mdp, solver, n, rng=rng)):
        pi = episodes.policy(theta)
        yield all_equal(state.theta, theta, f"theta_{t}")
        yield all_equal(state.previous, before, f"theta_{t - 1}")
        yield all_equal(state.log_pi, [log(x) for x in pi], f"log pi_{t}")
        yield all_equal(state.direction, d, f"d_{t - 1}")
        yield all_equal(state.V, judge.value(pi), f"V_{t}")
        yield equal(state.draws, t * solver.episodes * solver.length, f"draws_{t}")
        theta, before = [ball(x) for x in state.theta], [ball(x) for x in state.previous]
        d = [ball(x) for x in state.direction]
        beta = exp(ball(solver.power) * log(F(2, t + 2)))
        there = [x + ahead * (1 - beta) / beta * (x - y) for x, y in zip(theta, before, strict=True)]
        pi = episodes.policy(there)
        g = [ball(0)] * episodes.dim
        for path in episodes.redraw(own, pi, solver.episodes):
            g = [x + y / solver.episodes for x, y in zip(g, episodes.estimate(path, pi), strict=True)]
        d = [(1 - beta) * x + beta * y for x, y in zip(d, g, strict=True)]
        before, theta = theta, [x + ball(solver.eta) / (t + 2) * y for x, y in zip(theta, unit(d), strict=True)]


@claim(
    "n-pg-igt:transport",
    says=r"J \text{ quadratic},\; g = \nabla J,\; d_0 = \nabla J(\theta_0) "
    r"\implies d_t = \nabla J(\theta_t) \text{ for all } t",
    where="the idea of Section 3, recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("the gradient at the parameters and not ahead of them", ahead=0),
        mutant("twice as far ahead", ahead=2),
        mutant("the weights of the recursion the other way round", turned=True),
        mutant("no transport in the run", run_ahead=0),
    ],
    about=[NormalizedPolicyGradientIGT],
)
def transport(
    mdp: Any,
    *,
    rng: Any,
    solver: NormalizedPolicyGradientIGT = IGT,
    ahead: int = 1,
    turned: bool = False,
    run_ahead: int = 1,
) -> Iterator[Row]:
    """On quadratics without noise the transported average is the gradient itself."""
    judge = Judge(mdp)
    seed = int(rng.integers(2**32))
    yield from the_run(judge, solver, seed, run_ahead)
    yield from the_run(judge, dataclasses.replace(solver, episodes=2, power=F(1)), seed, run_ahead, n=2)
    dim = 3
    half = rng.integers(-3, 4, size=(dim, dim))
    A = balls((half + half.T - 5 * np.eye(dim, dtype=int)).ravel()).reshape(dim, dim)
    b = balls([1, -2, 3])
    theta = previous = balls([F(1, 2), F(-1, 3), 2])
    d = b * 0
    for t in range(8):
        beta = exp(ball(F(4, 5)) * log(F(2, t + 2)))
        place = call(momentum.transport, theta, previous, beta)
        place = theta + ahead * (place - theta)
        g = A @ place + b
        d = call(momentum.average, d, g, 1 - beta if turned and t else beta)
        yield all_equal(d, A @ theta + b, f"d_{t}")
        step = ball(F(1, 2)) / (t + 2)
        previous, theta = theta, call(momentum.normalized, theta, d, step)
        moved = [x + step * y for x, y in zip(previous, unit(list(d)), strict=True)]
        yield all_equal(theta, moved, f"theta_{t + 1}")


# -- the gradient bounds the gap -------------------------------------------------------------------------------------


def alternation() -> Case:
    """Two states to be left by different actions: with one parameter for both, the best policy of the class is mixed."""
    rows = [[[F(0), F(1)], [F(1), F(0)]], [[F(0), F(1)], [F(1), F(0)]]]
    mdp = MDP(rows, [[F(0), F(0)], [F(0), F(1)]], Discounted(F(4, 5)), rho=0)
    return Case("alternation: go to 1 by the first action, back by the second, which pays; gamma=4/5", mdp)


def eigenvalues(M: Any) -> tuple[Any, Any]:
    """Of a symmetric matrix of order one or two, the smaller first."""
    if len(M) == 1:
        return M[0][0], M[0][0]
    middle = (M[0][0] + M[1][1]) / 2
    off = ((M[0][0] - M[1][1]) / 2) ** 2 + M[0][1] * M[1][0]
    spread = off.sqrt()
    return middle - spread, middle + spread


def fisher(judge: Judge, episodes: Episodes, pi: Sequence[Any]) -> list[list[Any]]:
    """The Fisher information over the normalized visits, by its definition."""
    d, psi = judge.occupancy(pi), episodes.score(pi)
    mass = [d[s] * pi[k] for k, s in enumerate(judge.state)]
    indices = range(episodes.dim)
    return [[dot(mass, [row[i] * row[j] for row in psi]) for j in indices] for i in indices]


@claim(
    "n-pg-igt:relaxed-domination",
    says=r"J^* - J(\theta) = \frac{\mathbb{E}_{d^*,\pi^*}[A - (1-\gamma) w^\top s]}{1-\gamma} "
    r"+ \mathbb{E}_{d^*,\pi^*}[w^\top s] \le \frac{M_g}{\mu_F} \|\nabla J(\theta)\| "
    r"+ \frac{\sqrt{\varepsilon_{\rm bias}}}{1-\gamma}, \qquad "
    r"w = F^{-1} \nabla J,\; s = \nabla\log\pi_\theta",
    where="Assumption 2.2 and equation (8) there, recalled; the exact form and the constants derived, see docs",
    kind="upper",
    mode="numeric",
    instances=joined(tiny(), chosen([alternation()])),
    controls=[
        mutant("without the bias of the class", biased=False),
        mutant("without the Fisher information", informed=False),
        mutant("without the factor 1/(1-gamma)", scaled=False),
        mutant("states weighted by the policy's own visits", own=True),
    ],
    about=[NormalizedPolicyGradientIGT],
    domain="classes whose Fisher information is regular at the parameters",
    caveat="The Fisher information is not bounded below over a class that comes near deterministic policies.",
)
def relaxed_domination(
    mdp: Any, *, biased: bool = True, informed: bool = True, scaled: bool = True, own: bool = False
) -> Iterator[Row]:
    """The gap is at most the gradient's length over the Fisher information, and what the class cannot represent."""
    judge = Judge(mdp)
    best = judge.objective(judge.optimal)
    one = tuple((F(int(k == pairs[0])),) for pairs in judge.pairs for k in pairs)
    for number, features in enumerate(("minimal", features_of(judge), one)):
        episodes = Episodes(judge, 1, features)
        shape = [F(-1, 3)] * episodes.dim if features is one else parameters(episodes.dim)
        for k in (1, 4):
            theta = [x * k for x in shape] if features is not one else [F(4 - k, 4) * x for x in shape]
            at = f"class {number}, k={k}"
            pi = episodes.policy(theta)
            V = judge.value(pi)
            A, score = judge.advantage(V), episodes.score(pi)
            gradient = episodes.gradient(theta, episodes.endless)
            policies, law = policies_of(mdp, features, theta)
            information = fisher(judge, episodes, pi)
            yield all_equal(call(policies.gradient, law), gradient, f"gradient, {at}")
            yield all_equal(
                call(policies.fisher, law).ravel(), [x for row in information for x in row], f"Fisher information, {at}"
            )
            w = [x / (1 - judge.gamma) for x in call(policies.critic, law)]
            yield all_equal([dot(row, w) for row in information], gradient, f"F w, {at}")
            target = pi if own else judge.optimal_policy
            d = judge.occupancy(target)
            mass = [d[s] * ball(target[j]) for j, s in enumerate(judge.state)]
            fit = [dot(w, s) for s in score]
            error = [a - (1 - judge.gamma) * f for a, f in zip(A, fit, strict=True)]
            gap = best - judge.objective(V)
            scale = 1 - judge.gamma if scaled else ball(1)
            yield equal(gap, dot(mass, error) / scale + dot(mass, fit), f"exact form, {at}")
            if number == 0:
                yield all_equal(error, [ball(0)] * judge.L, f"minimal softmax represents advantages, {at}")
            bias = ball(upper(dot(mass, [x * x for x in error]))).sqrt() / scale
            length = ball(upper(dot(gradient, gradient))).sqrt()
            reach = largest([dot(s, s) for s in score]).sqrt()
            bound = reach * length / (eigenvalues(information)[0] if informed else 1)
            yield leq(gap, bound + bias if biased else bound, at, k=k, series=f"class {number}")


# -- what normalized steps and tabular classes allow -----------------------------------------------------------------


@claim(
    "n-pg-igt:fisher-degenerates",
    says=r"\lambda_{\min}(F(\theta)) \ge \mu \text{ on all of } \mathbb{R}^d \text{ for some } \mu > 0 \qquad\text{(false)}",
    where="derived, see docs; the paper assumes it",
    kind="counterexample",
    mode="numeric",
    instances=tiny(),
    controls=[mutant("bounded parameters", far=F(1, 8))],
    about=[NormalizedPolicyGradientIGT],
)
def fisher_degenerates(mdp: Any, *, far: Fraction = Fraction(8)) -> Iterator[Row]:
    """The Fisher information of minimal softmax vanishes on the way to a deterministic policy, like its last probability."""
    judge = Judge(mdp)
    episodes = Episodes(judge, 1, "minimal")
    floor = eigenvalues(fisher(judge, episodes, episodes.policy([0] * episodes.dim)))[0] / 20
    for k in range(5):
        theta = [far * k / 4] * episodes.dim
        policies, law = policies_of(mdp, "minimal", theta)
        low = eigenvalues(call(policies.fisher, law).tolist())[0]
        yield leq(floor, low, f"theta = {far * k / 4} in all coordinates", k=k)


class Unlucky:
    """Random numbers that draw the last arm."""

    def random(self, size: Any) -> Any:
        """All next to one."""
        return np.full(size, 1 - 2.0**-30)


@claim(
    "n-pg-igt:commits",
    says=r"J^* - \mathbb{E} J(\theta_T) \le (J^* - J(\theta_0))\, (T+1)^{-2/5} \text{ on a bandit, for any scale of the steps} "
    r"\qquad\text{(false)}",
    where="derived, see docs: no step scale above one avoids it, since the class is not Fisher-non-degenerate",
    kind="counterexample",
    mode="numeric",
    instances=chosen([bandit(F(1), F(1, 2)), bandit(F(9, 10), F(4, 5))]),
    controls=[mutant("a step scale of 2/5", eta=F(2, 5))],
    about=[NormalizedPolicyGradientIGT],
)
def commits(mdp: Any, *, eta: Fraction = Fraction(4), steps: int = 40) -> Iterator[Row]:
    """Large normalized steps are trapped at a bad arm with a probability that does not vanish."""
    judge = Judge(mdp)
    solver = NormalizedPolicyGradientIGT(eta=eta, length=1, features="minimal")
    episodes = Episodes(judge, 1, "minimal")
    best = judge.objective(judge.optimal)
    stuck, first = ball(1), ball(0)
    for t, state in enumerate(iterates(mdp, solver, steps, rng=Unlucky())):  # type: ignore[arg-type]
        gap = best - judge.objective(judge.value(episodes.policy(state.theta)))
        if t == 0:
            first = gap
            continue
        stuck = stuck * episodes.policy(state.point)[-1]
        # One trajectory's share of the mean: the others only add to it.
        yield leq(stuck * gap, first * exp(ball(F(-2, 5)) * log(t + 1)), f"T={t}", k=t)


@claim(
    "n-pg-igt:step-budget",
    says=r"J^* - J(\theta_T) \ge \frac{\Delta}{1-\gamma} \bigl(1 + (T+1)^\eta\bigr)^{-1} "
    r"\text{ on a bandit of two arms, whatever is drawn}",
    where="derived, see docs",
    kind="lower",
    mode="numeric",
    instances=chosen([bandit(F(1), F(0)), bandit(F(9, 10), F(1, 5)), bandit(F(1, 2), F(2, 5))]),
    controls=[
        mutant("half of the exponent", share=F(1, 2)),
        mutant("the gap over (1-gamma)^2", power=2),
    ],
    about=[NormalizedPolicyGradientIGT],
)
def step_budget(
    mdp: Any,
    *,
    rng: Any,
    solver: NormalizedPolicyGradientIGT = RATED,
    share: Fraction = Fraction(1),
    power: int = 1,
    steps: int = 24,
) -> Iterator[Row]:
    """Normalized steps cannot carry a policy further than their sum: the gap falls no faster than T to the minus step scale."""
    judge = Judge(mdp)
    seed = int(rng.integers(2**32))
    rows = list(the_run(judge, solver, seed))
    yield from rows
    if any(row.outcome is Outcome.VIOLATED for row in rows):
        return
    difference = ball(judge.r_exact[0] - judge.r_exact[1])
    best = judge.objective(judge.optimal)
    for T, state in enumerate(iterates(mdp, solver, steps, rng=np.random.default_rng(seed))):
        if T:
            gap = best - judge.objective(judge.value([exp(x) for x in state.log_pi]))
            odds = exp(ball(share) * ball(solver.eta) * log(T + 1))
            yield leq(difference / (1 - judge.gamma) ** power / (1 + odds), gap, f"T={T}", k=T)


# -- rates -----------------------------------------------------------------------------------------------------------


def compiled(solver: Any, seed: int, steps: int = 36) -> Row:
    """The compiled loop goes where the solver's steps in balls go, within rounding.

    With one parameter each step is up or down by eta/(t+2). That term is within 8 units of 2^-53 of its size, with eta's own
    rounding, the quotients and the norm; and each of the sums adds one more of the size of all terms so far.
    """
    mdp = bandit(F(1), F(9, 10)).problem  # noisier than its gap, so that the signs depend on the weights of the average
    problem, tested = pose(mdp, solver, "float")
    traced = call(tested.trace, problem, range(1, steps + 1), np.random.default_rng(seed))
    off: list[Any] = []
    allowed: list[Any] = []
    size = ball(0)
    for t, state in enumerate(iterates(mdp, solver, steps, rng=np.random.default_rng(seed))):
        if t:
            size = size + ball(solver.eta) / (t + 1)
            off.append(abs(ball(float(traced[t - 1, 0])) - state.theta[0]))
            allowed.append((8 + t) * size / 2**53)
    return all_leq(off, allowed, "compiled loop")


def measured(mdp: Any, solver: Any, rng: Any, level_seeds: int, longest: int, run: Any) -> Iterator[Row]:
    """The solver's first steps, then mean gaps after T steps, each from runs of its own, over the lower bound."""
    judge = Judge(mdp)
    seed = int(rng.integers(2**32))
    rows = list(run(judge, solver, seed))
    yield from rows
    if any(row.outcome is Outcome.VIOLATED for row in rows):
        return
    for i in range(3):
        yield compiled(solver, seed + i)
    problem, tested = pose(mdp, solver, "float")
    r = [float(x) for x in judge.r_exact]
    for number, T in enumerate(np.unique(np.round(np.geomspace(96, longest, 10)).astype(int)).tolist()):
        gaps: list[float] = []
        for i in range(level_seeds):
            (theta,) = call(tested.trace, problem, [T], np.random.default_rng([seed, number, i]))
            gaps.append((r[0] - r[1]) / float(1 - judge.gamma) / (1 + float(np.exp(theta[0]))))
        yield point(T, float(np.mean(gaps)), f"T={T}, mean of {level_seeds} runs")


def noisy(level: Level, rng: Any) -> Iterator[Case]:
    """Bandits whose gap is as large as their noise."""
    yield bandit(F(1), F(1, 5))
    if level == "full":
        yield bandit(F(1), F(1, 10))


@claim(
    "n-pg-igt:rate",
    says=r"J^* - \mathbb{E} J(\theta_T) = O(T^{-2/5}) \text{ in trajectories, on bandits of two arms with step scale } 7/10",
    where="Theorem 3.4 there (a sample complexity of order epsilon^-2.5, up to logarithms): the abstract seen, the theorem "
    "recalled; it assumes that the class is Fisher-non-degenerate, which these bandits are not in the limit",
    kind="rate",
    mode="statistical",
    instances=noisy,
    rate=Rate(-0.4, "at_most", 0.05),
    delta=0.05,
    controls=[
        mutant("a step scale of 1/5", solver=dataclasses.replace(RATED, eta=F(1, 5))),
        mutant("a step scale of 4", solver=dataclasses.replace(RATED, eta=F(4))),
    ],
    about=[NormalizedPolicyGradientIGT],
    caveat="The slope measured here is near minus the step scale, steeper than -2/5: noise vanishes with the gap. Plain policy "
    "gradient with constant steps is faster still on these bandits, like 1/T. The interval of the slope treats the means as "
    "independent, which they are: each has its own runs.",
)
def rate(mdp: Any, *, rng: Any, solver: NormalizedPolicyGradientIGT = RATED, seeds: int = 50) -> Iterator[Row]:
    """The gap of N-PG-IGT falls at least like the power -2/5 of the number of trajectories."""
    yield from measured(mdp, solver, rng, seeds, 2048, the_run)


HARPG = HessianAidedPolicyGradient(eta=F(7, 10), length=1, features="minimal")


def with_hessians(judge: Judge, solver: HessianAidedPolicyGradient, seed: int) -> Iterator[Row]:
    """The first steps of the Hessian-aided method."""
    yield from hessian_aided_run(judge, solver, seed, "paper")


@claim(
    "n-pg-igt:hessian-aided-rate",
    says=r"J^* - \mathbb{E} J(\theta_T) = O(T^{-1/2}) \text{ in trajectories, on bandits of two arms with step scale } 7/10",
    where="Theorem 4.4 there (a sample complexity of order epsilon^-2, up to logarithms): "
    "the abstract seen, the theorem recalled",
    kind="rate",
    mode="statistical",
    instances=chosen([bandit(F(1), F(1, 5))]),
    rate=Rate(-0.5, "at_most", 0.05),
    delta=0.05,
    controls=[
        mutant("a step scale of 1/5", solver=dataclasses.replace(HARPG, eta=F(1, 5))),
        mutant("a step scale of 4", solver=dataclasses.replace(HARPG, eta=F(4))),
    ],
    about=[HessianAidedPolicyGradient],
    caveat="As for n-pg-igt:rate: the exponent measured is near minus the step scale. A step takes two trajectories.",
)
def hessian_aided_rate(
    mdp: Any, *, rng: Any, solver: HessianAidedPolicyGradient = HARPG, seeds: int = 100
) -> Iterator[Row]:
    """The gap of N-HARPG falls at least like the power -1/2 of the number of trajectories."""
    yield from measured(mdp, solver, rng, seeds, 2048, with_hessians)
