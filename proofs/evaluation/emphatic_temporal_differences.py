r"""Claims of emphatic TD(lambda)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, claim, fact, leq, mutant
from mdpkit.claims.cases import named
from mdpkit.claims.judge import ball
from mdpkit.claims.trial import call, estimates
from mdpkit.proofs.evaluation._linear import LARGE, SMALL, definite, identity, mean_rows
from mdpkit.proofs.evaluation.temporal_differences import RATES, START, settings, star
from mdpkit.solvers.evaluation import EmphaticTemporalDifferences, TemporalDifferences

F = Fraction


@claim(
    "sutton2016:expected-update",
    says=r"""E[\delta_t e_t] = F_t^\top (r - (\Phi - \gamma P \Phi) w), \quad
             F_t = \mathrm{diag}(m_t) \Phi + \gamma\lambda P^\top F_{t-1}, \quad m_t = \lambda d + (1-\lambda) f_t, \quad
             f_t = d + \gamma P^\top f_{t-1}""",
    where="Sections 4 and 5, recalled; derived, see docs",
    kind="identity",
    mode="exact",
    instances=SMALL,
    controls=[
        mutant("temporal differences without emphasis", emphatic=False),
        mutant("no importance ratios", ratios=False),
        mutant("the emphasis of lambda = 0", weight=F(0)),
    ],
    about=[EmphaticTemporalDifferences],
)
def expected_update(mdp: Any, *, emphatic: bool = True, ratios: bool = True, weight: Any = None) -> Iterator[Row]:
    """The drawn update has the mean of the expected one, which the iterates follow and which is at rest where it should."""
    eta, slower = F(1, 25), F(1, 3)
    for name, setting in settings(mdp, ratios=ratios):
        for lam in (F(0), F(2, 3)):
            at = f"{name}, lambda={lam}"
            steps = 2 if setting.judge.S == 2 else 1
            held = setting.point()
            yield from mean_rows(
                setting,
                EmphaticTemporalDifferences(eta=eta, lambda_=lam, decay=slower),
                lambda state, after: after.w - state.w,
                lambda E, setting=setting, w=held: eta * (E.T @ (setting.r - setting.x @ w)),
                steps,
                at,
            )
            m = setting.emphasis(lam if weight is None else weight) if emphatic else setting.d
            E = setting.resolvent(setting.gamma * lam, m[:, None] * setting.phi, transposed=True)
            A, b = E.T @ setting.x, E.T @ setting.r
            w = setting.point(1)
            mean = EmphaticTemporalDifferences(eta=eta, lambda_=lam, decay=slower, start=tuple(w), expected=True)
            run = estimates(mdp, setting.policy, mean, 3, arithmetic="rational", **setting.options)
            for k, state in enumerate(run):
                yield all_equal(state.w, w, f"{at}: w_{k}")
                w = w + eta / (1 + k * slower) * (b - A @ w)
            task, tested = setting.pose(mean)
            v = call(tested.fixed_point, task)
            yield all_equal(E.T @ (setting.r + setting.gamma * (setting.P @ v) - v), b * 0, f"{at}: at rest")
            yield all_equal(v, setting.projection(v), f"{at}: spanned")


@claim(
    "sutton2016:positive-definite",
    says=r"""K = M (I - P_\lambda): \quad K \mathbf{1} > 0, \quad \mathbf{1}^\top K = d^\top, \quad K_{ij} \le 0 \ (i \ne j),
             \qquad \tfrac12 (K + K^\top) \succ 0, \quad A = \Phi^\top K \Phi""",
    where="Section 6, recalled; derived, see docs",
    kind="identity",
    mode="exact",
    instances=LARGE,
    controls=[
        mutant("the weights of the behavior without emphasis", emphatic=False),
        mutant("columns that sum to the emphasis", columns="m"),
        mutant("the emphasis of lambda = 0", weight=F(0)),
    ],
    survivors={
        "η → 2η": "the moments know no step size",
        "η → η/2": "the moments know no step size",
    },
    about=[EmphaticTemporalDifferences],
    domain="every node visited",
)
def positive_definite(mdp: Any, *, emphatic: bool = True, columns: str = "d", weight: Any = None) -> Iterator[Row]:
    """With emphasis the moments are positive definite for every behavior."""
    for name, setting in settings(mdp):
        for lam in RATES:
            at, n, gamma = f"{name}, lambda={lam}", setting.n, setting.gamma
            m = setting.emphasis(lam if weight is None else weight) if emphatic else setting.d
            plain = identity(n) - gamma * setting.P
            K = m[:, None] * setting.resolvent(gamma * lam, plain)
            task, tested = setting.pose(EmphaticTemporalDifferences(lambda_=lam, expected=True))
            found = call(tested.moments, task)
            yield all_equal(found.A, setting.phi.T @ K @ setting.phi, f"{at}: A")
            yield all_equal(found.b, setting.phi.T @ (m * setting.resolvent(gamma * lam, setting.r)), f"{at}: b")
            yield all_equal(K.sum(axis=0), setting.d if columns == "d" else m, f"{at}: columns")
            yield all_equal(K.sum(axis=1), (1 - gamma) / (1 - gamma * lam) * m, f"{at}: rows")
            yield fact(all(K[i, j] <= 0 for i in range(n) for j in range(n) if i != j), f"{at}: signs")
            yield fact(definite((K + K.T) / 2), f"{at}: definite")


@claim(
    "sutton2016:baird-star",
    says=r"\|w_{k+1}\|^2 \le \|w_k\|^2 - \eta\, w_k^\top A w_k \text{ on Baird's star, for a short step } \eta",
    where="derived, see docs; that emphasis makes the star stable in expectation, recalled from sutton2018, Section 11.8",
    kind="upper",
    mode="numeric",
    instances=named("baird-star", "baird-star?gamma=9/10"),
    controls=[
        mutant("temporal differences without emphasis", emphatic=False),
        mutant("twice the decrease", twice=F(21, 10)),
    ],
    survivors={
        "rewards of the next pair": "there are no rewards in this model, so none can be taken from another pair"
    },
    about=[EmphaticTemporalDifferences],
)
def baird_star(mdp: Any, *, emphatic: bool = True, twice: Any = 1, steps: int = 200) -> Iterator[Row]:
    """On Baird's star the parameters of emphatic temporal differences only get smaller."""
    setting = star(mdp)
    A, _ = setting.moments(F(0), emphatic=True)
    eta = F(1, 50) * (1 - setting.gamma)
    # ||w - eta A w||^2 = ||w||^2 - 2 eta w'Aw + eta^2 ||Aw||^2, so the step is short if A'A eta <= (A + A')/2.
    yield fact(definite((A + A.T) / 2 - eta * A.T @ A, strict=False), "the step is short")
    balls = np.vectorize(ball, otypes=[object])
    moved, before = balls(A), None
    kind = EmphaticTemporalDifferences if emphatic else TemporalDifferences
    run = estimates(mdp, setting.policy, kind(eta=eta, expected=True, start=START), steps, **setting.options)
    for k, state in enumerate(run):
        if before is None:
            yield all_equal(state.w, START, "start")
        else:
            if k <= 3 or k % 50 == 0:
                yield all_equal(state.w, before - ball(eta) * (moved @ before), f"w_{k}")
            less = ball(twice) * ball(eta) * (before @ (moved @ before))
            yield leq(state.w @ state.w, before @ before - less, f"k={k}", k=k)
        before = column_of(state.w)


def column_of(values: Any) -> Any:
    """An object array of the numbers as they are."""
    out = np.empty(len(values), dtype=object)
    out[:] = list(values)
    return out
