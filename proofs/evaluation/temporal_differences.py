r"""Claims of TD(lambda): what it estimates, how far off that is, and where it fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Rate, Row, all_equal, claim, equal, fact, leq, mutant, point, precision, premise
from mdpkit.claims.cases import chosen, joined, named, positive, ragged, tiny
from mdpkit.claims.claim import Case
from mdpkit.claims.enclosure import Outcome
from mdpkit.claims.judge import ball, norm
from mdpkit.claims.trial import call, estimates
from mdpkit.instances import make
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.operators.task import Transition
from mdpkit.proofs.evaluation._linear import (
    LARGE,
    SMALL,
    Setting,
    column,
    definite,
    identity,
    matrix,
    mean_rows,
    resolved,
)
from mdpkit.solvers.evaluation import EmphaticTemporalDifferences, TemporalDifferences

F = Fraction
ZERO, HALF, ONE = F(0), F(1, 2), F(1)
SLOWER = F(1, 20)
RATES = (ZERO, HALF, ONE)


def kappa(gamma: Fraction, lam: Fraction) -> Fraction:
    """The modulus of the projected operator."""
    return gamma * (1 - lam) / (1 - gamma * lam)


def path(setting: Setting, length: int, seed: int) -> list[Transition]:
    """A trajectory of positive probability."""
    J, rng, s = setting.judge, np.random.default_rng(seed), seed % setting.judge.S
    out: list[Transition] = []
    for _ in range(length):
        k = int(rng.choice(list(J.pairs[s])))
        t = int(rng.choice([t for t in range(J.S) if J.P_exact[k][t]]))
        out.append(Transition(s, k, t))
        s = t
    return out


@claim(
    "sutton1988:forward-view",
    says=r"""\sum_{t<T} \delta_t e_t = \sum_{t<T} (G_t^\lambda - \phi_t^\top w)\, \phi_t, \qquad
             G_t^\lambda = (1-\lambda) \sum_{n=1}^{T-t-1} \lambda^{n-1} G_{t:t+n} + \lambda^{T-t-1} G_{t:T}""",
    where="Section 4, recalled, for episodes; bootstrapping at the end as in sutton2018, Section 12.2, recalled; off policy, "
    "derived, see docs",
    kind="identity",
    mode="exact",
    instances=joined(tiny(fast=1, full=3), positive(sizes=((3, 2),), gammas=(F(9, 10),), fast=1, full=4), ragged()),
    controls=[
        mutant("weights lambda^n without 1 - lambda", kept=0),
        mutant("no bootstrapping at the end", boot=0),
        mutant("the return of another lambda", other=F(1, 3)),
        mutant("returns without importance ratios", ratios=False),
    ],
    survivors={"transposed P": "the transitions are given, and the update of one does not ask for their probabilities"},
    about=[TemporalDifferences],
    domain="parameters held along the trajectory",
)
def forward_view(
    mdp: Any, *, kept: int = 1, boot: int = 1, other: Any = None, ratios: bool = True, T: int = 5
) -> Iterator[Row]:
    """The backward view with traces makes the same changes as the forward view of lambda-returns."""
    eta = F(1, 7)
    for off in (False, True):
        setting = Setting(mdp, off=off)
        J, w = setting.judge, setting.point()
        v = setting.phi @ w
        for lam in RATES:
            task, tested = setting.pose(TemporalDifferences(eta=eta, lambda_=lam))
            first = call(tested.init, task, np.random.default_rng(0))._replace(w=w)
            for seed in range(3):
                seen = path(setting, T, seed)
                state, change = first._replace(walk=call(tested.walk_from, task, seen[0].state)), w * 0
                for each in seen:
                    after = call(tested.update, task, state, each)
                    change = change + (after.w - w)
                    state = after._replace(w=w, k=0)
                rate = lam if other is None else F(other)
                returns = (
                    per_decision(setting, seen, v, rate, boot, ratios)
                    if off
                    else averaged(J, seen, v, rate, kept, boot)
                )
                wanted = w * 0
                for G, each in zip(returns, seen, strict=True):
                    wanted = wanted + eta * (G - v[each.state]) * setting.phi[each.state]
                yield all_equal(change, wanted, f"off={off}, lambda={lam}, path {seed}")


def averaged(J: Any, seen: list[Transition], v: Any, lam: Fraction, kept: int, boot: int) -> list[Fraction]:
    """The lambda-returns on policy, as averages of returns of n steps."""
    T, gamma = len(seen), J.gamma_exact

    def steps(t: int, n: int) -> Fraction:
        paid = sum((gamma**i * J.r_exact[seen[t + i].pair] for i in range(n)), F(0))
        last = t + n == T
        return paid + gamma**n * v[seen[t + n - 1].next_state] * (boot if last else 1)

    return [
        sum(((1 - kept * lam) * lam ** (n - 1) * steps(t, n) for n in range(1, T - t)), F(0))
        + lam ** (T - t - 1) * steps(t, T - t)
        for t in range(T)
    ]


def per_decision(
    setting: Setting, seen: list[Transition], v: Any, lam: Fraction, boot: int, ratios: bool
) -> list[Fraction]:
    """The lambda-returns off policy, backward, with the ratios of each decision and what is left of its value."""
    J, out = setting.judge, list[Any]()
    G = boot * v[seen[-1].next_state]
    for t, (s, k, after) in reversed(list(enumerate(seen))):
        rho = setting.pi[k] / setting.mu[k] if ratios else F(1)
        onward = G if t == len(seen) - 1 else (1 - lam) * v[after] + lam * G
        G = rho * (J.r_exact[k] + J.gamma_exact * onward) + (1 - rho) * v[s]
        out.append(G)
    return out[::-1]


def settings(mdp: Any, **changes: Any) -> Iterator[tuple[str, Setting]]:
    """Of states and of pairs, on and off policy."""
    for off in (False, True):
        for pairs in (False, True):
            yield f"off={off}, pairs={pairs}", Setting(mdp, off=off, pairs=pairs, **changes)


@claim(
    "sutton1988:expected-update",
    says=r"""E[\delta_t e_t] = F_t^\top (r - (\Phi - \gamma P \Phi) w), \quad F_t = D \Phi + \gamma\lambda P^\top F_{t-1},
             \qquad w_{k+1} = w_k + \eta_k (b - A w_k)""",
    where="derived, see docs; the expected update on policy is that of tsitsiklis1997, Section IV, recalled",
    kind="identity",
    mode="exact",
    instances=SMALL,
    controls=[
        mutant("no importance ratios", ratios=False),
        mutant("all states weighted alike", uniform=True),
        mutant("traces decay by gamma^2 lambda", decay=2),
        mutant("constant steps", shrink=0),
    ],
    about=[TemporalDifferences],
)
def expected_update(
    mdp: Any, *, ratios: bool = True, uniform: bool = False, decay: int = 1, shrink: int = 1, steps: int = 2
) -> Iterator[Row]:
    """The drawn update has the mean of the expected one, along every stationary trajectory, and the iterates follow that."""
    eta, slower = F(1, 5), F(1, 3)
    for name, setting in settings(mdp, ratios=ratios, uniform=uniform):
        for lam in (F(0), F(2, 3)):
            td = TemporalDifferences(eta=eta, lambda_=lam, decay=slower)
            at = f"{name}, lambda={lam}"
            rate = lam * setting.gamma ** (decay - 1)
            held = setting.point()
            few = steps if setting.judge.S == 2 else 1
            yield from mean_rows(
                setting,
                replace(td, lambda_=lam),
                lambda state, after: after.w - state.w,
                lambda E, setting=setting, w=held: eta * (E.T @ (setting.r - setting.x @ w)),
                few,
                at,
            )
            A, b = setting.moments(rate)
            w = column([F(1, i + 1) for i in range(setting.phi.shape[1])])
            mean = TemporalDifferences(eta=eta, lambda_=lam, decay=slower, start=tuple(w), expected=True)
            run = estimates(mdp, setting.policy, mean, 3, arithmetic="rational", **setting.options)
            for k, state in enumerate(run):
                yield all_equal(state.w, w, f"{at}, w_{k}")
                w = w + eta / (1 + k * slower * shrink) * (b - A @ w)


@claim(
    "tsitsiklis1997:fixed-point",
    says=r"""\Phi w^* = \Pi\, T_\lambda\, \Phi w^*, \qquad T_\lambda v = v + (I - \gamma\lambda P)^{-1} (r + \gamma P v - v)""",
    where="Theorem 1, recalled, on policy; off policy derived, see docs",
    kind="identity",
    mode="exact",
    instances=LARGE,
    controls=[
        mutant("the operator of lambda = 0", one_step=True),
        mutant("a projection that weights all states alike", uniform=True),
        mutant("the operator of the behavior", ratios=False),
    ],
    about=[TemporalDifferences],
)
def fixed_point(mdp: Any, *, one_step: bool = False, uniform: bool = False, ratios: bool = True) -> Iterator[Row]:
    """What the expected update comes to rest at solves the projected equation; with lambda one it is the projected value."""
    for name, setting in settings(mdp, uniform=uniform, ratios=ratios):
        for lam in RATES:
            at = f"{name}, lambda={lam}"
            td = TemporalDifferences(eta=F(1, 5), lambda_=lam, expected=True)
            task, tested = setting.pose(td)
            v = call(tested.fixed_point, task)
            change = setting.r + setting.gamma * (setting.P @ v) - v
            ahead = change if one_step else setting.resolvent(setting.gamma * lam, change)
            yield all_equal(setting.phi.T @ (setting.d * ahead), setting.phi[0] * 0, f"{at}: orthogonal")
            yield all_equal(v, setting.projection(v), f"{at}: spanned")
            if lam == 1:
                yield all_equal(v, setting.projection(setting.truth), f"{at}: the projected value")
            w = resolved(setting.C, setting.phi.T @ (setting.d * v))
            state = call(tested.init, task)._replace(w=w)
            yield all_equal(call(tested.answer, task, state), v, f"{at}: answer")
            yield all_equal(call(tested.step, task, state).w, w, f"{at}: at rest")
            off_rest = call(tested.step, task, call(tested.init, task)).w
            yield all_equal(off_rest, F(1, 5) * (setting.trace(lam).T @ setting.r), f"{at}: from zero")
        whole = Setting(
            mdp, off=setting.mu != setting.pi, pairs=setting.pairs, phi=np.eye(setting.n, dtype=int).tolist()
        )
        task, tested = whole.pose(TemporalDifferences(expected=True))
        yield all_equal(call(tested.fixed_point, task), whole.truth, f"{name}: one feature a node")


@claim(
    "tsitsiklis1997:positive-definite",
    says=r"""x^\top A x \ge (1-\kappa) \|\Phi x\|_D^2, \qquad
             \|w_{k+1} - w^*\|^2 \le \|w_k - w^*\|^2
             - \eta \bigl(2(1-\kappa) - \eta (1+\kappa)^2 \mathrm{tr}\, C\bigr) \|\Phi (w_k - w^*)\|_D^2""",
    where="the first as Lemma 9, recalled; the second, with its steps, derived, see docs",
    kind="upper",
    mode="exact",
    instances=joined(
        positive(sizes=((3, 2), (4, 2), (3, 3)), gammas=(F(1, 2), F(9, 10), F(99, 100)), fast=3, full=12),
        ragged(fast=1, full=3),
    ),
    controls=[
        mutant("the modulus of lambda = 1", sharp=True),
        mutant("twice the decrease", twice=2),
        mutant("off policy, Baird's weights", off=True),
    ],
    about=[TemporalDifferences],
    domain="on policy",
)
def positive_definite(mdp: Any, *, sharp: bool = False, twice: int = 1, off: bool = False) -> Iterator[Row]:
    """On policy the moments are positive definite, so that expected steps that are not too long close in on the fixed point."""
    for pairs in (False, True):
        setting = Setting(mdp, off=off, pairs=pairs)
        for lam in RATES:
            at = f"pairs={pairs}, lambda={lam}"
            C, kap = setting.C, F(0) if sharp else kappa(setting.gamma, lam)
            trace = sum(C[i, i] for i in range(len(C)))
            eta = (1 - kap) / ((1 + kap) ** 2 * trace)
            start = setting.point()
            td = TemporalDifferences(eta=eta, lambda_=lam, expected=True, start=tuple(start))
            task, tested = setting.pose(td)
            found = call(tested.moments, task)
            A, b = setting.moments(lam)
            for x, y, what in ((found.A, A, "A"), (found.b, b, "b"), (found.C, C, "C")):
                yield all_equal(x, y, f"{at}: {what}")
            yield fact(definite((A + A.T) / 2 - (1 - kap) * C, strict=False), f"{at}: x'Ax >= (1 - kappa) |Phi x|^2")
            if not off:
                yield fact(definite((A + A.T) / 2), f"{at}: definite")
            rest, before = resolved(A, b), None
            for k, state in enumerate(estimates(mdp, setting.policy, td, 3, arithmetic="rational", **setting.options)):
                far = state.w - rest
                if before is None:
                    yield all_equal(state.w, start, f"{at}: start")
                else:
                    yield all_equal(state.w, before + eta * (b - A @ before), f"{at}: w_{k}")
                    old = before - rest
                    less = (
                        twice * eta * (2 * (1 - kap) - eta * (1 + kap) ** 2 * trace) * setting.square(setting.phi @ old)
                    )
                    yield leq(far @ far, old @ old - less, f"{at}: k={k}")
                before = state.w


@claim(
    "tsitsiklis1997:error-bound",
    says=r"""\|\Phi w^* - V\|_D \le \frac{1}{\sqrt{1-\kappa^2}} \|\Pi V - V\|_D \le \frac{1-\lambda\gamma}{1-\gamma}
             \|\Pi V - V\|_D, \qquad \kappa = \frac{\gamma(1-\lambda)}{1-\gamma\lambda}""",
    where="Theorem 1, recalled, for the second; the first derived, see docs",
    kind="upper",
    mode="exact",
    instances=LARGE,
    controls=[
        mutant("no constant: as near as the projection", constant=0),
        mutant("off policy, with features that make the fixed point explode", far=True),
        mutant("the fixed point of lambda = 1/2 under the bound of lambda = 1", wrong=True),
    ],
    survivors={
        "η → 2η": "the fixed point knows no step size",
        "η → η/2": "the fixed point knows no step size",
    },
    about=[TemporalDifferences],
    domain="on policy",
)
def error_bound(mdp: Any, *, constant: int = 1, far: bool = False, wrong: bool = False) -> Iterator[Row]:
    """The fixed point is nearly as near to the value as the features allow."""
    for pairs in (False, True):
        setting = Setting(mdp, off=False, pairs=pairs)
        if far:
            setting = explosive()
        for lam in RATES:
            kap = kappa(setting.gamma, lam)
            task, tested = setting.pose(TemporalDifferences(eta=F(1, 5), lambda_=HALF if wrong else lam, expected=True))
            v, V = call(tested.fixed_point, task), setting.truth
            yield all_equal(v, setting.fixed_value(HALF if wrong else lam), f"lambda={lam}: fixed point")
            least, error = setting.square(setting.projection(V) - V), setting.square(v - V)
            bound = least / (1 - constant * kap**2)
            at = f"pairs={pairs}, lambda={lam}"
            yield leq(error, bound, at, k=float(lam) + 1, series="squared, sharper")
            yield leq(bound, least / (1 - constant * kap) ** 2, f"{at}: it is sharper")


def explosive() -> Setting:
    """Two states with the features 1 and 2 at which A is all but zero off policy."""
    P = [[["1/10", "9/10"], ["9/10", "1/10"]], [["1/10", "9/10"], ["9/10", "1/10"]]]
    mdp = MDP(
        [[[F(x) for x in row] for row in rows] for rows in P], [[F(1), F(0)], [F(0), F(2)]], Discounted(F(9, 10)), rho=0
    )
    one = [F(1), F(0), F(1), F(0)]
    half = [HALF] * 4
    found: list[Setting] = []
    for i in range(1, 100):
        found.append(Setting(mdp, pi=one, mu=half, phi=[[F(1)], [1 + F(i, 20)]]))

    def size(x: Setting) -> Any:
        return abs(x.moments(F(0))[0][0, 0])

    return min(found, key=size)


@claim(
    "tsitsiklis1997:attained",
    says=r"\|\Phi w^* - V\|_D = \frac{1}{\sqrt{1-\gamma^2}} \|\Pi V - V\|_D",
    where="derived, see docs: two states that follow each other, with features (cos t, sin t) and gamma = sin 2t",
    kind="tight",
    mode="exact",
    instances=chosen(lambda: [Case(f"two states, tan t = {t}", t) for t in (F(1, 3), F(1, 2), F(1, 7), F(4, 5))]),
    controls=[
        mutant("the bound without the square root", root=0),
        mutant("lambda = 1/2 in place of 0", lam=HALF),
        mutant("the second feature halved", bent=HALF),
    ],
    survivors={
        "η → 2η": "the fixed point knows no step size",
        "η → η/2": "the fixed point knows no step size",
    },
    about=[TemporalDifferences],
)
def attained(tangent: Fraction, *, root: int = 1, lam: Fraction = ZERO, bent: Fraction = ONE) -> Iterator[Row]:
    """The bound with the square root is attained, whatever the rewards."""
    gamma = 2 * tangent / (1 + tangent**2)
    for rewards in ((1, 0), (2, 3), (-1, 5)):
        swap = [[[F(0), F(1)]], [[F(1), F(0)]]]
        mdp = MDP(swap, [[F(x)] for x in rewards], Discounted(gamma), rho=0)
        setting = Setting(mdp, off=False, phi=[[F(1)], [bent * tangent]])
        task, tested = setting.pose(TemporalDifferences(eta=F(1, 5), lambda_=lam, expected=True))
        v, V = call(tested.fixed_point, task), setting.truth
        yield all_equal(v, setting.fixed_value(lam), f"r={rewards}: fixed point")
        least, error = setting.square(setting.projection(V) - V), setting.square(v - V)
        yield fact(least > 0, f"r={rewards}: the value is not spanned")
        yield equal(error, least / (1 - gamma**2 if root else (1 - gamma) ** 2), f"r={rewards}: error")


def star_features() -> list[list[int]]:
    """The book's features of Baird's star: 2 w_s + w_7 in the states 0 … 5, w_6 + 2 w_7 in state 6."""
    rows = [[2 * int(i == s) + int(i == 7) for i in range(8)] for s in range(6)]
    return [*rows, [0, 0, 0, 0, 0, 0, 1, 2]]


def star(mdp: Any, *, off: bool = True, phi: Any = None) -> Setting:
    """Baird's star with the book's target, solid, and behavior, dashed with probability 6/7."""
    solid = [F(k % 2) for k in range(14)]
    behavior = [F(1, 7) if k % 2 else F(6, 7) for k in range(14)]
    return Setting(mdp, off=off, pi=solid, mu=behavior, phi=star_features() if phi is None else phi)


START = (1, 1, 1, 1, 1, 1, 10, 1)


@claim(
    "baird1995:divergence",
    says=r"\text{false: } \|\Phi w_k\|_\infty \le \|\Phi w_0\|_\infty \text{ for all } k, \text{ for short steps off policy}",
    where="the star, recalled from sutton2018, Section 11.2; expected updates",
    kind="counterexample",
    mode="numeric",
    instances=named("baird-star"),
    controls=[
        mutant("on policy", off=False),
        mutant("emphatic temporal differences", emphatic=True),
        mutant("one feature a state", tabular=True),
    ],
    about=[TemporalDifferences],
)
def divergence(
    mdp: Any, *, off: bool = True, emphatic: bool = False, tabular: bool = False, steps: int = 400
) -> Iterator[Row]:
    """On Baird's star the expected update diverges, although all values are zero."""
    eta = F(1, 1000) if emphatic else F(1, 100)
    kind = EmphaticTemporalDifferences if emphatic else TemporalDifferences
    setting = star(mdp, off=off, phi=identity(7) if tabular else None)
    start = (3, 3, 3, 3, 3, 3, 12) if tabular else START
    A, _ = setting.moments(F(0), emphatic=emphatic)
    if off and not emphatic and not tabular:
        yield premise(fact(not definite((A + A.T) / 2, strict=False), "A is indefinite"))
    moved, phi = (np.vectorize(ball, otypes=[object])(x) for x in (A, setting.phi))
    td = kind(eta=eta, expected=True, start=start)
    size = before = None
    for k, state in enumerate(estimates(mdp, setting.policy, td, steps, **setting.options)):
        if k == 0:
            yield premise(all_equal(state.w, start, "start"))
        elif k <= 3 or k % 100 == 0:
            assert before is not None
            yield premise(all_equal(state.w, before - ball(eta) * (moved @ before), f"w_{k}"))
        before = state.w
        if k % 50 == 0:
            v = phi @ state.w
            now = norm(v)
            size = now if size is None else size
            yield leq(now, size, f"k={k}", k=k)


def two_states(*pairs: tuple[Fraction, Fraction]) -> Any:
    """Cases of the two states with features 1 and 2."""
    return chosen(
        lambda: [
            Case(f"tsitsiklis-van-roy?end={end}&gamma={gamma}", make("tsitsiklis-van-roy", end=end, gamma=gamma))
            for end, gamma in pairs
        ]
    )


@claim(
    "tsitsiklis1997:two-states",
    says=r"""w_k = (1 - \eta a)^k w_0, \quad a = \tfrac12 (5 - 6\gamma + 4\gamma\varepsilon), \qquad
             |w_k| \to \infty \text{ for all } \eta \text{ if } \gamma > \frac{5}{6 - 4\varepsilon}""",
    where="the example of features 1 and 2, recalled (Section IX; sutton2018, Example 11.1); the numbers derived",
    kind="identity",
    mode="exact",
    instances=two_states((F(1, 100), F(99, 100)), (F(1, 10), F(9, 10)), (F(1, 2), F(9, 10)), (F(1, 100), F(4, 5))),
    controls=[
        mutant("divergence from 5/6 on, whatever the chance of an end", ends=0),
        mutant("next states that count half", half=2),
        mutant("both states with the feature 1", second=1),
    ],
    about=[TemporalDifferences, EmphaticTemporalDifferences],
)
def two_features(mdp: Any, *, ends: int = 1, half: int = 1, second: int = 2, steps: int = 6) -> Iterator[Row]:
    """Two states with features 1 and 2, weighted alike, diverge from a discount on that is below one."""
    gamma = F(mdp.criterion.exact)
    setting = Setting(mdp, off=False, phi=[[1], [second], [0]], weights=[HALF, HALF, 0])
    end = setting.judge.P_exact[1][2]
    a = F(1, 2) * (5 - 6 * gamma / half + 4 * gamma * end / half)
    yield equal((a < 0), (gamma > F(5) / (6 - 4 * end * ends)), "divergence")
    for eta in (F(1, 100), F(1, 2)):
        td = TemporalDifferences(eta=eta, expected=True, start=(3,))
        for k, state in enumerate(estimates(mdp, setting.policy, td, steps, arithmetic="rational", **setting.options)):
            yield equal(state.w[0], 3 * (1 - eta * a) ** k, f"eta={eta}, w_{k}")
    task, tested = setting.pose(EmphaticTemporalDifferences(eta=F(1, 2), expected=True))
    A = call(tested.moments, task).A
    yield all_equal(A, setting.moments(F(0), emphatic=True)[0], "emphatic A")
    yield fact(A[0, 0] > 0, "with emphasis a is positive")


@claim(
    "bhandari2018:rate",
    says=r"E\|w_k - w^*\|^2 \asymp (k + 1/c)^{-1} \text{ with steps } \eta_k = \eta/(1 + c k),\ \eta/c \text{ large enough}",
    where="Theorem 2(c), recalled, for independent draws; along a trajectory, with exact second moments, derived, see docs",
    kind="rate",
    mode="numeric",
    instances=positive(sizes=((2, 2), (3, 2)), gammas=(HALF,), fast=2, full=4),
    controls=[
        mutant("steps that hardly shrink", slower=F(1, 10_000)),
        mutant("steps that shrink too fast", eta=F(1, 100)),
        mutant("the square root of the mean square error", root=True),
    ],
    survivors={"transposed P": "the transitions are given, and the update of one does not ask for their probabilities"},
    about=[TemporalDifferences],
    rate=Rate(-1, "exactly", within=0.12),
    caveat="at lambda = 0 and on policy",
)
def mean_square(mdp: Any, *, slower: Fraction = SLOWER, eta: Fraction = HALF, root: bool = False) -> Iterator[Row]:
    """The mean square error of drawn temporal differences falls like 1/k: its exact second moments do."""
    setting = Setting(mdp, off=False, phi=[[1], [-1]] if mdp.n_states == 2 else [[1, 0], [1, 1], [1, -1]])
    J, d = setting.judge, setting.phi.shape[1]
    A, b = setting.moments(F(0))
    rest = resolved(A, b)
    td = TemporalDifferences(eta=eta, decay=slower)
    task, tested = setting.pose(td)
    zero = call(tested.init, task, np.random.default_rng(0))._replace(w=rest * 0)
    moves: dict[tuple[int, int], list[Any]] = {}
    sound = True
    for s in range(J.S):
        begin = zero._replace(walk=call(tested.walk_from, task, s))
        for k in J.pairs[s]:
            for t in range(J.S):
                if not J.P_exact[k][t]:
                    continue
                # What one transition does to the parameters: an affine map, found at zero and at the unit vectors.
                seen, unit = Transition(s, k, t), np.eye(d, dtype=int).astype(object)
                for number in (0, 7):
                    size = eta / (1 + number * slower)
                    y = call(tested.update, task, begin._replace(k=number), seen).w / size
                    X = matrix(
                        [
                            (call(tested.update, task, begin._replace(w=e, k=number), seen).w - e) / size - y
                            for e in unit
                        ]
                    ).T
                    x = setting.phi[s] - setting.gamma * setting.phi[t]
                    at = f"{s}, {k}, {t}, step {number}"
                    for row in (
                        all_equal(X, -np.multiply.outer(setting.phi[s], x), f"{at}: slope"),
                        all_equal(y, setting.phi[s] * J.r_exact[k], f"{at}: increment"),
                    ):
                        sound = sound and row.outcome is Outcome.HOLDS
                        yield row
                chance = setting.pi[k] * J.P_exact[k][t]
                moves.setdefault((s, t), []).append((chance, X, y + X @ rest))
    if not sound:  # a fault was noticed: the long recursion would say no more
        return
    with precision(BITS):
        found = [(k, x.sqrt() if root else x) for k, x in second_moments(setting, rest, moves, eta, slower)]
    for k, error in found:
        yield point(k + float(1 / slower), error)


BITS = 900
"""The recursion of second moments loses most of half a bit a step."""
MARKS = (96, 128, 192, 256, 384, 512, 768)


def second_moments(
    setting: Setting, rest: Any, moves: dict[tuple[int, int], list[Any]], eta: Fraction, slower: Fraction
) -> Iterator[tuple[int, Any]]:
    """E |w_k - w*|^2 at the marks, for a stationary trajectory from w_0 = 0, enclosed.

    Of x = w - w*, mean and second moment are carried for each state, under x + eta_k (X x + z).
    """
    balls = np.vectorize(ball, otypes=[object])
    S, d = setting.judge.S, len(rest)
    eye: Any = np.eye(d, dtype=int)
    kron: Any = np.kron
    sums: dict[tuple[int, int], list[Any]] = {}
    for at, each in moves.items():
        p: Any = sum(c for c, _, _ in each)
        MX: Any = sum(c * X for c, X, _ in each)
        Mz: Any = sum(c * z for c, _, z in each)
        XX: Any = sum(c * kron(X, X) for c, X, _ in each)
        Xz: Any = sum(c * (kron(X, z[:, None]) + kron(z[:, None], X)) for c, X, z in each)
        zz: Any = sum(c * kron(z, z) for c, _, z in each)
        X2: Any = kron(MX, eye) + kron(eye, MX)
        z2: Any = kron(Mz[:, None], eye) + kron(eye, Mz[:, None])
        sums[at] = [ball(p), *(balls(v) for v in (MX, Mz, XX, Xz, zz, X2, z2))]
    law = [ball(x) for x in setting.d_state]
    first = [balls(-rest) * p for p in law]
    second = [balls(kron(rest, rest)) * p for p in law]
    zero = balls(kron(rest, rest) * 0)
    for k in range(1, MARKS[-1] + 1):
        e = ball(eta / (1 + (k - 1) * slower))
        new_law, new_first, new_second = [ball(0)] * S, [zero[:d]] * S, [zero] * S
        for (s, t), (p, MX, Mz, XX, Xz, zz, X2, z2) in sums.items():
            new_law[t] = new_law[t] + p * law[s]
            new_first[t] = new_first[t] + p * first[s] + e * (MX @ first[s] + Mz * law[s])
            drift, noise = X2 @ second[s] + z2 @ first[s], XX @ second[s] + Xz @ first[s] + zz * law[s]
            new_second[t] = new_second[t] + p * second[s] + e * drift + e * e * noise
        law, first, second = new_law, new_first, new_second
        if k in MARKS:
            yield k, sum((x.reshape(d, d)[i, i] for x in second for i in range(d)), ball(0))
