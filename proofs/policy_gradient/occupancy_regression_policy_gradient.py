r"""Claims about the linear model of the occupancy: its mean steps, and the runs that use it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, claim, equal, mutant
from mdpkit.claims.cases import tiny
from mdpkit.claims.episodes import Episodes
from mdpkit.claims.judge import Judge, ball, balls, dot, log
from mdpkit.claims.trial import call, iterates
from mdpkit.proofs.policy_gradient.normalized_variance_reduced_policy_gradient import distance, slope
from mdpkit.proofs.policy_gradient.reinforce import Tested, parameters
from mdpkit.solvers.policy_gradient import OccupancyRegressionPolicyGradient

F = Fraction
H = 2
MODEL = ((F(1), F(0)), (F(1, 2), F(1)), (F(-1), F(1, 3)), (F(1), F(2)))
Solver = OccupancyRegressionPolicyGradient


def solver_of(judge: Judge) -> Solver:
    """The solver of the runs, with fewer features than pairs."""
    return Solver(
        eta=F(1, 2),
        length=H,
        features="minimal",
        utility=distance(judge),
        model=MODEL[: judge.L],
        alpha=F(1, 5),
        regression=4,
        episodes=2,
    )


def the_run(judge: Judge, solver: Solver, seed: int, factor: int = 2, n: int = 2) -> Iterator[Row]:
    """The solver's start and updates, followed by the judge with the same random numbers."""
    assert solver.length is not None
    episodes = Episodes(judge, solver.length, solver.features)
    psi = [[ball(x) for x in row] for row in solver.model]
    rng, own = np.random.default_rng(seed), np.random.default_rng(seed)
    theta: list[Any] = [ball(0)] * episodes.dim
    weights: list[Any] = [ball(0)] * len(psi[0])
    for k, state in enumerate(iterates(judge.mdp, solver, n, rng=rng)):
        pi = episodes.policy(theta)
        yield all_equal(state.theta, theta, f"theta_{k}")
        yield all_equal(state.weights, weights, f"weights_{k}")
        yield all_equal(state.log_pi, [log(x) for x in pi], f"log pi_{k}")
        yield all_equal(state.V, judge.value(pi), f"V_{k}")
        yield equal(state.draws, k * H * (solver.regression + solver.episodes), f"draws_{k}")
        weights = [ball(0)] * len(psi[0])
        places = [int(u * judge.L) for u in own.random(solver.regression).tolist()]
        for x, path in zip(places, episodes.redraw(own, pi, solver.regression), strict=True):
            off = episodes.counted(path)[x] - dot(psi[x], weights)
            weights = [w + factor * ball(solver.alpha) * off * y for w, y in zip(weights, psi[x], strict=True)]
        r = slope(solver.objective, judge, [dot(row, weights) for row in psi])
        theta = [ball(x) for x in state.theta]
        for path in episodes.redraw(own, pi, solver.episodes):
            g = episodes.estimate(path, pi, r)
            theta = [t + ball(solver.eta) / solver.episodes * x for t, x in zip(theta, g, strict=True)]


@claim(
    "n-vr-pg:occupancy-regression",
    says=r"\mathbb{E}_{x,\tau}\bigl[2(\hat\lambda(\tau)(x) - \langle\psi(x), \omega\rangle)\psi(x)\bigr] = "
    r"-\nabla_\omega \tfrac1L \sum_x \bigl(\lambda(x) - \langle\psi(x), \omega\rangle\bigr)^2, \text{ which is zero at the "
    r"least-squares fit}",
    where="Section 5, recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=tiny(),
    controls=[
        mutant("visits not discounted", discounted=False),
        mutant("without the factor of two in the run", factor=1),
        mutant("not at the least-squares fit", shift=F(1, 10)),
    ],
    about=[Solver],
    caveat="The sample complexity of order epsilon^-4 (seen in the abstract) is not checked.",
)
def occupancy_regression(
    mdp: Any, *, rng: Any, discounted: bool = True, factor: int = 2, shift: Fraction = Fraction(0)
) -> Iterator[Row]:
    """The regression of the occupancy follows the gradient of the squared error in the mean."""
    judge = Judge(mdp)
    solver = solver_of(judge)
    episodes = Episodes(judge, H, solver.features)
    theta = parameters(episodes.dim)
    of = Tested(mdp, solver, theta, H)
    occupancy = episodes.occupancy(episodes.policy(theta))
    if not discounted:
        occupancy = [x / sum(occupancy, ball(0)) * H for x in occupancy]
    visits = of.mean(call(of.policies.occupancies, of.batch))
    psi = call(solver.basis, of.policies)
    rows = [[ball(x) for x in row] for row in solver.model]
    # The normal equations of two features.
    G = [[dot([row[i] for row in rows], [row[j] for row in rows]) for j in range(2)] for i in range(2)]
    b = [dot([row[i] for row in rows], occupancy) for i in range(2)]
    det = G[0][0] * G[1][1] - G[0][1] * G[1][0]
    fit = [(G[1][1] * b[0] - G[0][1] * b[1]) / det, (G[0][0] * b[1] - G[1][0] * b[0]) / det]
    for weights, target in (([ball(F(1, 2)), ball(-1)], None), ([x + ball(shift) for x in fit], [ball(0)] * 2)):
        steps = [call(solver.direction, psi[k], visits[k], balls(weights)) for k in range(judge.L)]
        mean = [sum((step[i] for step in steps), ball(0)) / judge.L for i in range(2)]
        errors = [2 * (x - dot(row, weights)) for x, row in zip(occupancy, rows, strict=True)]
        exact = [dot(errors, [row[i] for row in rows]) / judge.L for i in range(2)]
        yield all_equal(mean, exact, "mean step")
        if target is not None:
            yield all_equal(mean, target, "mean step at the fit")
    yield from the_run(judge, solver, int(rng.integers(2**32)), factor)
