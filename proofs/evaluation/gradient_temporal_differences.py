r"""Claims of the gradient methods GTD, GTD2 and TDC: what they descend, and that they converge off policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, all_equal, claim, equal, fact, mutant
from mdpkit.claims.cases import joined, named, positive, ragged
from mdpkit.claims.trial import call, estimates
from mdpkit.proofs.evaluation._linear import (
    SMALL,
    Setting,
    column,
    definite,
    hurwitz,
    identity,
    matrix,
    mean_rows,
    resolved,
)
from mdpkit.proofs.evaluation.temporal_differences import settings
from mdpkit.solvers.evaluation import GTD, GTD2, TDC

F = Fraction
HALF = F(1, 2)
ETA, BETA, SLOWER = F(1, 5), F(2, 7), F(1, 3)
RANDOM = joined(
    positive(sizes=((2, 2), (3, 2), (4, 2)), gammas=(F(9, 10), F(99, 100)), fast=2, full=8),
    ragged(fast=1, full=2),
    named("tsitsiklis-van-roy?end=1/100&gamma=99/100", "tsitsiklis-van-roy?end=1/5&gamma=99/100"),
)
Moves = Callable[[Any, Any, Any, Any, Any], tuple[Any, Any]]


def descending(
    mdp: Any,
    method: type[Any],
    moves: Moves,
    loss: str,
    *,
    half: Fraction = HALF,
    ratios: bool = True,
    lam: Any = None,
) -> Iterator[Row]:
    """Rows that the drawn update has the mean of the expected one, which the iterates follow, and that this is a descent.

    ``moves(E, A', toward, u, C)`` gives the directions of w and u for the mean traces E, without step sizes, where A' and
    toward are made from E. ``loss`` is ``"norm"`` for (b - Aw)'(b - Aw), ``"projected"`` for (b - Aw)'C^-1 (b - Aw).
    """
    for name, setting in settings(mdp, ratios=ratios):
        w0, u0, C = setting.point(), setting.point(1), setting.C
        for rate in (F(0), F(2, 3)):
            at, used = f"{name}, lambda={rate}", rate if lam is None else lam
            drawn = method(eta=ETA, beta=BETA, lambda_=rate, decay=SLOWER)

            def directions(
                E: Any, w: Any, u: Any, setting: Setting = setting, used: Fraction = used
            ) -> tuple[Any, Any]:
                return moves(setting, E, E.T @ (setting.r - setting.x @ w), u, used)

            steps = 2 if setting.judge.S == 2 and not setting.pairs else 1
            for i, size in enumerate((ETA, BETA)):
                yield from mean_rows(
                    setting,
                    drawn,
                    (lambda state, after: after.w - state.w) if i == 0 else (lambda state, after: after.u - state.u),
                    lambda E, i=i, size=size, move=directions, w=w0, u=u0: size * move(E, w, u)[i],
                    steps,
                    f"{at}, {'wu'[i]}",
                )
            E = setting.trace(used)
            A, b = setting.moments(used)
            expected = method(eta=ETA, beta=BETA, lambda_=rate, decay=SLOWER, expected=True, start=tuple(w0))
            w, u = w0, w0 * 0
            run = estimates(mdp, setting.policy, expected, 3, arithmetic="rational", **setting.options)
            for k, state in enumerate(run):
                yield all_equal(state.w, w, f"{at}: w_{k}")
                yield all_equal(state.u, u, f"{at}: u_{k}")
                # In the long run the traces are stationary, and phi' e' has the mean that makes the correction C - A'.
                dw, du = directions(E, w, u)
                w, u = w + ETA / (1 + k * SLOWER) * dw, u + BETA / (1 + k * SLOWER) * du
            task, tested = setting.pose(expected)
            toward = b - A @ w0
            state = call(tested.init, task)._replace(w=w0, u=toward if loss == "norm" else resolved(C, toward))
            moved = call(tested.step, task, state).w - w0

            def objective(x: Any, A: Any = A, b: Any = b, C: Any = C) -> Fraction:
                e = b - A @ x
                return e @ (e if loss == "norm" else resolved(C, e))

            # Central differences of a quadratic are exact.
            slope = column((objective(w0 + x) - objective(w0 - x)) / 2 for x in identity(len(w0)))
            yield all_equal(moved, -ETA * half * slope, f"{at}: descent")


def gtd(setting: Setting, E: Any, toward: Any, u: Any, lam: Fraction) -> tuple[Any, Any]:
    """Directions of GTD."""
    return setting.x.T @ (E @ u), toward - u


def gtd2(setting: Setting, E: Any, toward: Any, u: Any, lam: Fraction) -> tuple[Any, Any]:
    """Directions of GTD2."""
    return setting.x.T @ (E @ u), toward - setting.C @ u


def tdc(setting: Setting, E: Any, toward: Any, u: Any, lam: Fraction) -> tuple[Any, Any]:
    """Directions of TDC."""
    after = setting.gamma * (1 - lam) * (setting.P @ setting.phi)
    return toward - after.T @ (E @ u), toward - setting.C @ u


def uncorrected(setting: Setting, E: Any, toward: Any, u: Any, lam: Fraction) -> tuple[Any, Any]:
    """TDC without its correction: temporal differences."""
    return toward, toward - setting.C @ u


def long_memory(setting: Setting, E: Any, toward: Any, u: Any, lam: Fraction) -> tuple[Any, Any]:
    """TDC whose correction has no factor 1 - lambda."""
    after = setting.gamma * (setting.P @ setting.phi)
    return toward - after.T @ (E @ u), toward - setting.C @ u


@claim(
    "sutton2008:gradient",
    says=r"""E[\Delta u] = \beta (b - Aw - u), \quad E[\Delta w] = \eta A^\top u, \qquad
             A^\top (b - Aw) = -\tfrac12 \nabla \|b - Aw\|^2""",
    where="Section 3, recalled, for lambda = 0; traces derived, see docs",
    kind="identity",
    mode="exact",
    instances=SMALL,
    controls=[
        mutant("the auxiliary weights of GTD2", moves=gtd2),
        mutant("the whole gradient", half=F(1)),
        mutant("no importance ratios", ratios=False),
    ],
    about=[GTD],
)
def gtd_gradient(mdp: Any, *, moves: Moves = gtd, half: Fraction = HALF, ratios: bool = True) -> Iterator[Row]:
    """GTD descends the norm of the expected update."""
    yield from descending(mdp, GTD, moves, "norm", half=half, ratios=ratios)


@claim(
    "sutton2009:gtd2-gradient",
    says=r"""E[\Delta u] = \beta (b - Aw - Cu), \quad E[\Delta w] = \eta A^\top u, \qquad
             A^\top C^{-1} (b - Aw) = -\tfrac12 \nabla \|b - Aw\|^2_{C^{-1}}""",
    where="Section 4, recalled, for lambda = 0; traces derived, see docs",
    kind="identity",
    mode="exact",
    instances=SMALL,
    controls=[
        mutant("the auxiliary weights of GTD", moves=gtd),
        mutant("the directions of TDC", moves=tdc),
        mutant("the trace of lambda = 0", lam=F(0)),
    ],
    about=[GTD2],
)
def gtd2_gradient(mdp: Any, *, moves: Moves = gtd2, lam: Any = None) -> Iterator[Row]:
    """GTD2 descends the projected Bellman error."""
    yield from descending(mdp, GTD2, moves, "projected", lam=lam)


@claim(
    "sutton2009:tdc-gradient",
    says=r"""E[\Delta w] = \eta (b - Aw - (C - A^\top) u) = \eta A^\top C^{-1} (b - Aw) \text{ at } u = C^{-1} (b - Aw)""",
    where="Section 5, recalled, for lambda = 0; traces as in maei2011, recalled, derived, see docs",
    kind="identity",
    mode="exact",
    instances=SMALL,
    controls=[
        mutant("no correction", moves=uncorrected),
        mutant("a correction without 1 - lambda", moves=long_memory),
        mutant("no importance ratios", ratios=False),
    ],
    about=[TDC],
)
def tdc_gradient(mdp: Any, *, moves: Moves = tdc, ratios: bool = True) -> Iterator[Row]:
    """TDC descends the projected Bellman error by temporal differences and a correction."""
    yield from descending(mdp, TDC, moves, "projected", ratios=ratios)


# -- convergence -----------------------------------------------------------------------------------------------------


def linear_part(setting: Setting, estimator: Any) -> tuple[Any, Any, Any]:
    """Of the expected step (w, u) + eta (G (w, u) + g) of the code under test: G and g, and the code's fixed point."""
    task, tested = setting.pose(estimator)
    d, eta = setting.phi.shape[1], estimator.eta
    first = call(tested.init, task)

    def moved(z: Any) -> Any:
        after = call(tested.step, task, first._replace(w=z[:d], u=z[d:]))
        return (column([*after.w, *after.u]) - z) / eta

    eye = identity(2 * d)
    g = moved(eye[0] * 0)
    return matrix([moved(x) - g for x in eye]).T, g, call(tested.fixed_point, task)


def blocks(setting: Setting, kind: type[Any], ratio: Fraction, lam: Fraction, sign: int = 1) -> tuple[Any, Any]:
    """The same by the judge, with beta = ratio * eta."""
    (A, b), C = setting.moments(lam), setting.C
    d = len(b)
    M = identity(d) if kind is GTD else C
    if kind is TDC:
        top, g = [-A, sign * (A.T - C)], b
    else:
        top, g = [identity(d) * 0, sign * A.T], b * 0
    rows = [list(x) + list(y) for x, y in zip(*top, strict=True)]
    rows += [list(x) + list(y) for x, y in zip(-ratio * A, -ratio * M, strict=True)]
    return matrix(rows), column([*g, *(ratio * b)])


def problems(mdp: Any) -> Iterator[tuple[str, Setting]]:
    """The settings of a random model; of the two states with features 1 and 2, the weights at which it diverges."""
    if mdp.n_pairs == mdp.n_states:
        yield "features 1 and 2", Setting(mdp, off=False, phi=[[1], [2], [0]], weights=[F(1, 2), F(1, 2), 0])
    else:
        yield from settings(mdp)


def converging(
    mdp: Any,
    kind: type[Any],
    ratios: tuple[Fraction, ...],
    *,
    sign: int = 1,
    plain: bool = False,
    always: bool = False,
    whole: int = 1,
) -> Iterator[Row]:
    """Rows that the expected step is the judge's, rests at the fixed point of TD(lambda), and is stable if it should be.

    ``plain`` asks for the stability of temporal differences instead; ``always`` asks for it whatever the ratio, and ``whole``
    counts A so often in the condition.
    """
    for name, setting in problems(mdp):
        for lam in (F(0), F(2, 3)):
            A, b = setting.moments(lam)
            H, w = whole * (A + A.T) / 2, resolved(A, b)
            for ratio in ratios:
                at = f"{name}, lambda={lam}, beta={ratio} eta"
                estimator = kind(eta=F(1, 9), beta=F(1, 9) * ratio, lambda_=lam, expected=True)
                G, g, rest = linear_part(setting, estimator)
                right, right_g = blocks(setting, kind, ratio, lam, sign)
                yield all_equal(G, right, f"{at}: G")
                yield all_equal(g, right_g, f"{at}: g")
                z = resolved(G, -g)
                yield all_equal(z, [*w, *(w * 0)], f"{at}: rest")
                yield all_equal(rest, setting.phi @ w, f"{at}: fixed point")
                if kind is not TDC:
                    yield fact(hurwitz(-A if plain else G), f"{at}: stable")
                    continue
                enough = definite(ratio * setting.C + H)
                if enough or len(b) == 1:
                    yield equal(hurwitz(G), enough or always, f"{at}: stable where beta C + eta H is positive definite")


@claim(
    "sutton2008:convergence",
    says=r"""[0, A^\top;\, -\rho A, -\rho I] \text{ is stable for every } \rho = \beta/\eta > 0
             \text{ if } A \text{ is regular}""",
    where="Theorem 1, recalled, for one step size; every ratio derived, see docs",
    kind="identity",
    mode="exact",
    instances=RANDOM,
    controls=[
        mutant("the sign of the gradient", sign=-1),
        mutant("temporal differences in its place", plain=True),
    ],
    about=[GTD],
)
def gtd_convergence(mdp: Any, *, sign: int = 1, plain: bool = False) -> Iterator[Row]:
    """The expected steps of GTD converge to the fixed point of temporal differences, whatever the behavior."""
    yield from converging(mdp, GTD, (F(1, 10), F(10)), sign=sign, plain=plain)


@claim(
    "sutton2009:gtd2-convergence",
    says=r"""[0, A^\top;\, -\rho A, -\rho C] \text{ is stable for every } \rho = \beta/\eta > 0
             \text{ if } A \text{ and } C \text{ are regular}""",
    where="Theorem 1, recalled, for one step size; every ratio derived, see docs",
    kind="identity",
    mode="exact",
    instances=RANDOM,
    controls=[
        mutant("the sign of the gradient", sign=-1),
        mutant("temporal differences in its place", plain=True),
    ],
    about=[GTD2],
)
def gtd2_convergence(mdp: Any, *, sign: int = 1, plain: bool = False) -> Iterator[Row]:
    """The expected steps of GTD2 converge to the fixed point of temporal differences, whatever the behavior."""
    yield from converging(mdp, GTD2, (F(1, 10), F(10)), sign=sign, plain=plain)


@claim(
    "sutton2009:tdc-convergence",
    says=r"""[-A, A^\top - C;\, -\rho A, -\rho C] \text{ is stable if }
             \rho\, C + \tfrac12 (A + A^\top) \succ 0, \quad \rho = \beta/\eta""",
    where="Theorem 2 is about two time scales, recalled; the condition as in maei2011, recalled, and derived, see docs",
    kind="identity",
    mode="exact",
    instances=RANDOM,
    controls=[
        mutant("the sign of the correction", sign=-1),
        mutant("stable for every ratio", always=True),
        mutant("the condition with A for its symmetric half", whole=2),
    ],
    about=[TDC],
    caveat="for one feature the condition is also necessary, and that is checked where it comes up",
)
def tdc_convergence(mdp: Any, *, sign: int = 1, always: bool = False, whole: int = 1) -> Iterator[Row]:
    """The expected steps of TDC converge to the same fixed point if the auxiliary weights are fast enough."""
    yield from converging(mdp, TDC, (F(3, 20), F(3, 10)), sign=sign, always=always, whole=whole)
