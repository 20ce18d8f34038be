r"""Claims of LSTD(lambda)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, claim, fact, mutant
from mdpkit.claims.cases import chosen
from mdpkit.claims.claim import Case
from mdpkit.claims.trial import call
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.proofs.evaluation._linear import SMALL, Setting, identity, mean_rows, resolved
from mdpkit.proofs.evaluation.temporal_differences import path, settings
from mdpkit.solvers.evaluation import LeastSquaresTemporalDifferences

F = Fraction
ONE = F(1)
LSTD = LeastSquaresTemporalDifferences


@claim(
    "bradtke1996:exact-moments",
    says=r"""E[e_t (\phi_t - \gamma\phi_{t+1})^\top] = F_t^\top (\Phi - \gamma P \Phi), \quad E[e_t r_t] = F_t^\top r, \qquad
             (A_n + \varepsilon I) w_n = b_n, \qquad A w_\infty = b""",
    where="Section 5, recalled, for lambda = 0; with traces and off policy derived, see docs",
    kind="identity",
    mode="exact",
    instances=SMALL,
    controls=[
        mutant("no importance ratios", ratios=False),
        mutant("the sums without the ridge", ridge=0),
        mutant("features in place of their traces", lam=F(0)),
    ],
    about=[LeastSquaresTemporalDifferences],
)
def exact_moments(mdp: Any, *, ratios: bool = True, ridge: int = 1, lam: Any = None) -> Iterator[Row]:
    """The sums have the exact moments for their means, and the answer solves the equations."""
    for name, setting in settings(mdp, ratios=ratios):
        for rate in (F(0), F(2, 3)):
            at, used = f"{name}, lambda={rate}", rate if lam is None else lam
            lstd = LSTD(lambda_=rate, ridge=F(1, 50))
            steps = 2 if setting.judge.S == 2 and not setting.pairs else 1
            yield from mean_rows(
                setting, lstd, lambda state, after: after.A - state.A, lambda E, x=setting.x: E.T @ x, steps, f"{at}, A"
            )
            yield from mean_rows(
                setting, lstd, lambda state, after: after.b - state.b, lambda E, r=setting.r: E.T @ r, steps, f"{at}, b"
            )
            task, tested = setting.pose(LSTD(lambda_=rate, expected=True))
            state = call(tested.init, task)
            A, b = setting.moments(used)
            yield all_equal(state.A, A, f"{at}: exact A")
            yield all_equal(state.b, b, f"{at}: exact b")
            again = call(tested.step, task, state)
            for exact in (call(tested.answer, task, again), call(tested.fixed_point, task)):
                yield all_equal(exact, setting.phi @ resolved(A, b), f"{at}: exact answer")
            yield from along(setting, lstd, used, ridge, at)


def along(setting: Setting, lstd: LeastSquaresTemporalDifferences, lam: Fraction, ridge: int, at: str) -> Iterator[Row]:
    """The sums and the answer along one trajectory, with traces written out as sums over the past."""
    J, seen = setting.judge, path(setting, 4, 1)
    task, tested = setting.pose(lstd)
    state = call(tested.init, task, np.random.default_rng(0))
    yield all_equal(state.A, [0], f"{at}: A_0")
    yield all_equal(state.b, [0], f"{at}: b_0")
    state = state._replace(walk=call(tested.walk_from, task, seen[0].state))
    node = [each.pair if setting.pairs else each.state for each in seen]
    rho = [setting.pi[each.pair] / setting.mu[each.pair] for each in seen]
    d = setting.phi.shape[1]
    A, b = identity(d) * 0, setting.phi[0] * 0
    for t, each in enumerate(seen):
        state = call(tested.update, task, state, each)
        e = setting.phi[0] * 0
        for j in range(t + 1):
            # Of states, the ratios of the actions j to t; of pairs, of j + 1 to t.
            weight = (setting.gamma * lam) ** (t - j)
            for i in range(j + int(setting.pairs), t + 1):
                weight *= rho[i]
            e = e + weight * setting.phi[node[j]]
        if setting.pairs:
            after = sum(setting.pi[k] * setting.phi[k] for k in J.pairs[each.next_state])
        else:
            after = setting.phi[each.next_state]
        A = A + np.multiply.outer(e, setting.phi[node[t]] - setting.gamma * after)
        b = b + J.r_exact[each.pair] * e
        yield all_equal(state.A, A, f"{at}: A_{t + 1}")
        yield all_equal(state.b, b, f"{at}: b_{t + 1}")
        w = resolved(A + ridge * lstd.ridge * identity(d) if ridge else A + F(1, 10**6) * identity(d), b)
        yield all_equal(call(tested.answer, task, state), setting.phi @ w, f"{at}: answer {t + 1}")
    yield fact(state.draws == len(seen), f"{at}: draws")


def episodes() -> Iterator[Case]:
    """Three states before an end, whose features and rewards are zero."""
    for gamma in (F(1, 2), F(9, 10)):
        rows = [
            [[0, F(1, 2), F(1, 2), 0], [F(1, 4), 0, F(3, 4), 0]],
            [[F(1, 3), F(1, 3), 0, F(1, 3)], [0, 0, F(1, 2), F(1, 2)]],
            [[0, F(2, 5), 0, F(3, 5)], [F(1, 5), F(1, 5), F(1, 5), F(2, 5)]],
            [[0, 0, 0, 1], [0, 0, 0, 1]],
        ]
        P = [[[F(x) for x in row] for row in each] for each in rows]
        r = [[F(1), F(3)], [F(-1), F(2)], [F(4), F(1, 2)], [F(0), F(0)]]
        yield Case(f"three states before an end, gamma={gamma}", MDP(P, r, Discounted(gamma), rho=0))


@claim(
    "boyan2002:regression",
    says=r"""\lambda = 1: \quad A_T = \sum_t \phi_t \phi_t^\top, \quad b_T = \sum_t \phi_t \sum_{j \ge t} \gamma^{j-t} r_j
             \quad \text{at the end of an episode}""",
    where="Section 3, recalled; derived, see docs",
    kind="identity",
    mode="exact",
    instances=chosen(episodes),
    controls=[
        mutant("lambda = 9/10", lam=F(9, 10)),
        mutant("returns without discount", discounted=False),
        mutant("an end with a feature", end=1),
    ],
    survivors={"transposed P": "the transitions are given, and the update of one does not ask for their probabilities"},
    about=[LeastSquaresTemporalDifferences],
    domain="on policy, features zero at the end",
)
def regression(mdp: Any, *, lam: Fraction = ONE, discounted: bool = True, end: int = 0) -> Iterator[Row]:
    """LSTD(1) is the least-squares regression of the returns of an episode on the features."""
    phi = [[1, 0], [1, 2], [1, -1], [end, 0]]
    setting = Setting(mdp, off=False, phi=phi, weights=[1, 1, 1, 1])
    J = setting.judge
    gamma = setting.gamma if discounted else F(1)
    for seed in range(6):
        seen = path(setting, 12, 3 * seed)
        ends = [t for t, each in enumerate(seen) if each.next_state == 3]
        if not ends or ends[0] < 1:
            continue
        seen = seen[: ends[0] + 1]
        ridge = F(1, 1000)
        task, tested = setting.pose(LSTD(lambda_=lam, ridge=ridge))
        state = call(tested.init, task, np.random.default_rng(0))
        state = state._replace(walk=call(tested.walk_from, task, seen[0].state))
        for each in seen:
            state = call(tested.update, task, state, each)
        A, b = identity(2) * 0, setting.phi[0] * 0
        for t, each in enumerate(seen):
            G = sum((gamma ** (j - t) * J.r_exact[seen[j].pair] for j in range(t, len(seen))), F(0))
            A = A + np.multiply.outer(setting.phi[each.state], setting.phi[each.state])
            b = b + G * setting.phi[each.state]
        yield all_equal(state.A, A, f"episode {seed}: A")
        yield all_equal(state.b, b, f"episode {seed}: b")
        w = resolved(A + ridge * identity(2), b)
        yield all_equal(call(tested.answer, task, state), setting.phi @ w, f"episode {seed}: answer")
