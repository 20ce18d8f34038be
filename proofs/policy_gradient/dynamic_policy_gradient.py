r"""Claims about softmax policy gradients over a finite horizon.

The judge here has its own backward recursion in balls; gradients it takes by power series in one parameter, so that no formula
of the policy gradient theorem is believed. Derivations are in ``docs/theory/policy_gradient/finite_horizon_and_mixtures.md``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from mdpkit.claims import Case, Rate, Row, all_equal, claim, equal, fact, leq, mutant, point
from mdpkit.claims.cases import chosen, finite_horizon, joined
from mdpkit.claims.episodes import coefficient
from mdpkit.claims.judge import ball, exp, largest, total
from mdpkit.claims.trial import call, iterates, pose
from mdpkit.errors import ModelError
from mdpkit.kernels import segments
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.operators.on_stages import OnStages
from mdpkit.solvers.policy_gradient import (
    DynamicPolicyGradient,
    SimultaneousPolicyGradient,
    StochasticDynamicPolicyGradient,
    StochasticSimultaneousPolicyGradient,
)
from mdpkit.solvers.policy_gradient.dynamic_policy_gradient import _rollout

F = Fraction
ONE, HALF = F(1), F(1, 2)


# -- the judge -------------------------------------------------------------------------------------------------------


class Stages:
    """Exact quantities of a small rational, maximizing model over a finite horizon, by its own code."""

    def __init__(self, mdp: MDP):
        c: Any = mdp.criterion
        reward = mdp.reward.exact
        if mdp.minimize or mdp.stages is not None or reward is None or c.exact is None:
            raise ModelError("the judge wants a rational, maximizing model whose stages are alike", found=mdp)
        self.mdp, self.H, self.S, self.L = mdp, int(c.H), mdp.n_states, mdp.n_pairs
        ptr = mdp.pair_ptr.tolist()
        self.pairs = [range(ptr[s], ptr[s + 1]) for s in range(self.S)]
        self.state = mdp.state.tolist()
        self.gamma_exact = F(c.exact)
        self.r_exact = [F(x) for x in reward.tolist()]
        self.P_exact = [[F(0)] * self.S for _ in range(self.L)]
        for k, t, p in zip(mdp.P.row_of.tolist(), mdp.P.indices.tolist(), mdp.P.rationals().tolist(), strict=True):
            self.P_exact[k][t] += F(p)
        end = c.terminal_exact
        self.end_exact = [F(0)] * self.S if end is None else [F(x) for x in end.tolist()]
        law = mdp.rho_exact
        self.rho_exact = [F(1, self.S)] * self.S if law is None else [F(x) for x in law.tolist()]
        self.gamma, self.rho = ball(self.gamma_exact), [ball(x) for x in self.rho_exact]
        self.r, self.end = [ball(x) for x in self.r_exact], [ball(x) for x in self.end_exact]
        self.P = [[ball(x) for x in row] for row in self.P_exact]
        self.actions = max(len(pairs) for pairs in self.pairs)
        # Spread of the returns from each stage on.
        self.B = [max(self.end_exact) - min(self.end_exact)]
        for _ in range(self.H):
            self.B.insert(0, max(self.r_exact) - min(self.r_exact) + self.gamma_exact * self.B[0])

    def softmax(self, theta: Any) -> list[Any]:
        """Probabilities of the pairs of one stage."""
        weights = [x.exp() for x in theta]
        sums = [total(weights[k] for k in pairs) for pairs in self.pairs]
        return [weights[k] / sums[self.state[k]] for k in range(self.L)]

    def q(self, V: Any) -> list[Any]:
        """Action values from values of the next stage."""
        return [self.r[k] + self.gamma * total(V[t] * self.P[k][t] for t in range(self.S)) for k in range(self.L)]

    def mean(self, pi: Any, q: Any) -> list[Any]:
        """Expectation over the actions of each state."""
        return [total(pi[k] * q[k] for k in pairs) for pairs in self.pairs]

    def value(self, pi: Any) -> list[list[Any]]:
        """Values of a policy, of every stage and at the end."""
        V = [list(self.end)]
        for stage in reversed(pi):
            V.insert(0, self.mean(stage, self.q(V[0])))
        return V

    def laws(self, pi: Any, rho: Any) -> list[list[Any]]:
        """Discounted laws of the states under a policy."""
        out = [[ball(x) for x in rho]]
        for h in range(self.H - 1):
            flow = [
                self.gamma * total(out[h][self.state[k]] * pi[h][k] * self.P[k][t] for k in range(self.L))
                for t in range(self.S)
            ]
            out.append(flow)
        return out

    def optimal(self) -> tuple[list[list[Fraction]], list[list[int]]]:
        """Optimal values and a deterministic optimal policy as probabilities of pairs, exactly, of every stage."""
        V, policy = [self.end_exact], []
        for _ in range(self.H):
            q = [
                self.r_exact[k]
                + self.gamma_exact * sum((p * v for p, v in zip(self.P_exact[k], V[0], strict=True)), F(0))
                for k in range(self.L)
            ]
            first = {max(pairs, key=lambda k: q[k]) for pairs in self.pairs}
            V.insert(0, [max(q[k] for k in pairs) for pairs in self.pairs])
            policy.insert(0, [int(k in first) for k in range(self.L)])
        return V, policy

    def derivative(self, theta: Any, h: int, law: Any, stage: int) -> list[Any]:
        """Derivatives of the mean of V_h under a law by the parameters of a stage: by power series, one at a time."""
        flint: Any = import_module("flint")
        out = []
        for k in range(self.L):
            moved = [[ball(x) for x in row] for row in theta]
            moved[stage][k] = flint.arb_series([ball(theta[stage][k]), 1], 2)
            V = self.value([self.softmax(row) for row in moved])
            out.append(coefficient(total(ball(m) * v for m, v in zip(law, V[h], strict=True)), 1))
        return out


class Seen(NamedTuple):
    """An iterate: its number, the stage trained next, with its action values and its gradient; rows that pin it down."""

    k: int
    h: int
    theta: list[list[Any]]
    V: list[list[Any]]
    q: list[Any]
    gradient: list[Any]
    rows: list[Row]


def the_run(
    judge: Stages, solver: DynamicPolicyGradient, n: int, tested: Any = None, every: int = 1, dense: int = 16
) -> Iterator[Seen]:
    """The iterates of the tested solver, with the rows that say that they follow the update of ``solver``.

    After the first ``dense`` ones only those about multiples of ``every`` are seen, two after another.
    """
    mu = [ball(F(1, judge.S))] * judge.S if not solver.mu else [ball(x) for x in solver.mu]
    expected: Any = [[ball(0)] * judge.L for _ in range(judge.H)]
    last = None
    for k, state in enumerate(iterates(judge.mdp, tested or solver, n)):
        h = judge.H - 1 - (k // solver.steps) % judge.H
        if k > dense and k % every and (k + 1) % every:
            continue
        theta = [list(row) for row in state.theta]
        pi = [judge.softmax([ball(x) for x in row]) for row in theta]
        V = judge.value(pi)
        rows = [all_equal(np.concatenate(state.V), [x for row in V for x in row], f"V at k={k}")]
        if last is None or last == k - 1:
            rows.append(all_equal(np.concatenate(state.theta), [x for row in expected for x in row], f"theta at k={k}"))
        q = judge.q(V[h + 1])
        gradient = [mu[judge.state[j]] * pi[h][j] * (q[j] - V[h][judge.state[j]]) for j in range(judge.L)]
        step = ball(solver.eta) / ball(judge.B[h])
        expected = [list(row) for row in theta]
        expected[h] = [x + step * g for x, g in zip(theta[h], gradient, strict=True)]
        last = k
        yield Seen(k, h, theta, V, q, gradient, rows)


def the_error(judge: Stages, solver: DynamicPolicyGradient, V: Any, q: Any) -> Any:
    """The gap of a stage's values to the best response to the later stages, under the law of training."""
    mu = [F(1, judge.S)] * judge.S if not solver.mu else list(solver.mu)
    best = [largest([q[k] for k in pairs]) for pairs in judge.pairs]
    return total(ball(m) * (b - v) for m, b, v in zip(mu, best, V, strict=True))


def the_best(judge: Stages, q: Any) -> list[int]:
    """A best pair of each state, by the midpoints of its action values."""
    return [max(pairs, key=lambda k: float(q[k].mid())) for pairs in judge.pairs]


def square(x: Any) -> Any:
    """The squared Euclidean norm."""
    return total(v * v for v in x)


# -- neighboring algorithms ------------------------------------------------------------------------------------------


class MuSquared(DynamicPolicyGradient):
    """A wrong gradient: the law of training counts twice."""

    def _gradient(self, on: Any, state: Any, h: int, rng: Any) -> Any:
        gradient, draws = super()._gradient(on, state, h, rng)
        return gradient * segments.spread(self.law(on), on.pair_ptr), draws


class WithoutMu(DynamicPolicyGradient):
    """A wrong gradient: the law of training is left out."""

    def _gradient(self, on: Any, state: Any, h: int, rng: Any) -> Any:
        gradient, draws = super()._gradient(on, state, h, rng)
        return gradient / segments.spread(self.law(on), on.pair_ptr), draws


class WithoutBaseline(DynamicPolicyGradient):
    """A wrong gradient: action values in place of advantages."""

    def _gradient(self, on: Any, state: Any, h: int, rng: Any) -> Any:
        gradient, draws = super()._gradient(on, state, h, rng)
        values = segments.spread(self.law(on) * state.V[h], on.pair_ptr)
        return gradient + np.exp(state.theta[h]) * values, draws


class FirstLaw(SimultaneousPolicyGradient):
    """A wrong gradient: each stage weighted by the initial law, and not by its own visits."""

    def _gradients(self, on: Any, state: Any, rng: Any) -> Any:
        gradients, draws = super()._gradients(on, state, rng)
        pi = np.array([np.exp(x - segments.spread(np.log(segments.total(np.exp(x), on.pair_ptr)), on.pair_ptr))
                       for x in state.theta])  # fmt: skip
        d = on.visits(pi)
        return [g * segments.spread(on.rho / d[h], on.pair_ptr) for h, g in enumerate(gradients)], draws


# -- instances -------------------------------------------------------------------------------------------------------


def contexts(gaps: list[Fraction], actions: int, H: int, mu: str = "", ranks: bool = False) -> Case:
    """A chain of contexts that no action moves: in state s the first action pays one, the others ``gaps[s]`` less.

    With ``ranks`` the other actions pay less and less, so that their gaps differ.
    """
    S = len(gaps)
    P = np.full((S, actions, S), F(1, S), dtype=object)
    r = np.full((S, actions), F(1), dtype=object)
    for s, gap in enumerate(gaps):
        for a in range(1, actions):
            r[s, a] = 1 - gap * (F(a, actions - 1) if ranks else 1)
    shown = ", ".join(map(str, gaps))
    name = f"contexts with gaps ({shown}), {actions} actions{' of different gaps' if ranks else ''}, H={H}"
    return Case(name, MDP(P, r, FiniteHorizon(H), rho=0))


def small(level: Any, rng: Any) -> Iterator[Case]:
    """Random models, with another initial law than the uniform one."""
    for case in finite_horizon(horizons=(2, 3), fast=2, full=6)(level, rng):
        S = case.problem.n_states
        law = np.array([F(i + 1, S * (S + 1) // 2) for i in range(S)], dtype=object)
        yield Case(f"{case.name}, rho=(1, …, {S})/{S * (S + 1) // 2}", case.problem.under(rho=law))


def few(level: Any, rng: Any) -> Iterator[Case]:
    """The first of them, or half of them."""
    cases = list(small(level, rng))
    yield from cases[: len(cases) // 2]


def discounted_end() -> list[Case]:
    """A model with a discount, terminal rewards and different numbers of actions in its states."""
    P = [[F(1, 3), F(2, 3)], [F(1), F(0)], [F(1, 4), F(3, 4)], [F(1, 2), F(1, 2)], [F(0), F(1)]]
    mdp = MDP(
        P, [F(1, 5), F(1), F(0), F(3, 4), F(1, 2)],
        FiniteHorizon(3, F(4, 5), [F(0), F(2)]), state=[0, 0, 1, 1, 1], action=[0, 1, 0, 1, 2], rho=[F(1, 4), F(3, 4)],
    )  # fmt: skip
    return [Case("two states with two and three actions, gamma=4/5, terminal (0, 2), H=3", mdp)]


two_states = chosen(discounted_end)
DPG = DynamicPolicyGradient(eta=F(1, 2), steps=4)


# -- gradients -------------------------------------------------------------------------------------------------------


@claim(
    "dynpg:gradient",
    says=r"\theta_h^{k+1} - \theta_h^k = \tfrac{\eta}{B_h} \nabla_{\theta_h} \sum_s \mu(s) V_h^{\pi^k}(s),\quad "
    r"\frac{\partial}{\partial\theta_h(s,a)} \sum_s \mu(s) V_h(s) = \mu(s)\, \pi_h(a|s)\, A_h(s,a)",
    where="the gradient of the tabular softmax policy, derived; the method recalled",
    kind="identity",
    mode="numeric",
    instances=joined(small, two_states),
    controls=[
        mutant("the law of training squared", tested=MuSquared(eta=F(1, 2), steps=2)),
        mutant("the law of training left out", tested=WithoutMu(eta=F(1, 2), steps=2)),
        mutant("action values for advantages", tested=WithoutBaseline(eta=F(1, 2), steps=2)),
        mutant("the derivative of stage 0's value", at_zero=True),
    ],
    about=[DynamicPolicyGradient],
)
def gradient(mdp: Any, *, tested: Any = None, at_zero: bool = False) -> Iterator[Row]:
    """A step of the dynamic policy gradient is along the derivative of its stage's value, taken by power series."""
    judge = Stages(mdp)
    solver = DynamicPolicyGradient(eta=F(1, 2), steps=2)
    mu = [F(1, judge.S)] * judge.S
    for k, h, theta, _, _, g, rows in the_run(judge, solver, 2 * judge.H + 1, tested):
        yield from rows
        if k % 2:
            slope = judge.derivative(theta, 0 if at_zero else h, mu, h)
            yield all_equal(g, slope, f"gradient at k={k}")


@claim(
    "dynpg:simultaneous-gradient",
    says=r"\theta_h^{k+1} - \theta_h^k = \tfrac{\eta}{B_0} \nabla_{\theta_h} V_0^{\pi^k}(\rho),\quad "
    r"\frac{\partial V_0(\rho)}{\partial\theta_h(s,a)} = \gamma^h \Pr(s_h = s)\, \pi_h(a|s)\, A_h(s,a)",
    where="policy gradient theorem of the finite horizon, derived",
    kind="identity",
    mode="numeric",
    instances=joined(small, two_states),
    controls=[
        mutant("the initial law for the visits", tested=FirstLaw(eta=F(1, 2))),
        mutant("the neighboring algorithm: one stage at a time", tested=DynamicPolicyGradient(eta=F(1, 2), steps=1)),
        mutant("returns without the stages before", from_stage=1),
    ],
    about=[SimultaneousPolicyGradient],
)
def simultaneous_gradient(mdp: Any, *, tested: Any = None, from_stage: int = 0) -> Iterator[Row]:
    """A step of the simultaneous policy gradient is along the derivative of the initial value, taken by power series."""
    judge = Stages(mdp)
    solver = SimultaneousPolicyGradient(eta=F(1, 2))
    expected: Any = [[ball(0)] * judge.L for _ in range(judge.H)]
    for k, state in enumerate(iterates(mdp, tested or solver, 2)):
        theta = [list(row) for row in state.theta]
        V = judge.value([judge.softmax([ball(x) for x in row]) for row in theta])
        yield all_equal(np.concatenate(state.theta), [x for row in expected for x in row], f"theta at k={k}")
        yield all_equal(np.concatenate(state.V), [x for row in V for x in row], f"V at k={k}")
        step = ball(solver.eta) / ball(judge.B[0])
        expected = [
            [x + step * g for x, g in zip(theta[h], judge.derivative(theta, from_stage, judge.rho, h), strict=True)]
            for h in range(judge.H)
        ]


# -- bounds ----------------------------------------------------------------------------------------------------------


@claim(
    "dynpg:weak-pl",
    says=r"\bigl\|\nabla_{\theta_h} V_h(\mu)\bigr\|_2 \ge \frac{c}{\sqrt{|S|}}\, \delta,\quad "
    r"c = \min_s \pi_h(a^*(s)|s) \ge \frac1{|A|} \text{ from the uniform start}",
    where="weak Polyak-Lojasiewicz inequality of the paper (recalled) with the factor of |S|, derived, see docs",
    kind="lower",
    mode="numeric",
    instances=joined(
        finite_horizon(horizons=(2, 3), fast=2, full=8),
        two_states,
        chosen([contexts([F(1), F(1)], 2, 1), contexts([F(1), F(1, 10)], 4, 1)]),
    ),
    controls=[
        mutant("no factor of the number of states", states=False),
        mutant("no probability of a best action", least=False),
        mutant("a best action's probability of at least 1/2", floor=F(1, 2)),
        mutant("the law of training squared", tested=MuSquared(eta=F(2), steps=6)),
    ],
    about=[DynamicPolicyGradient],
)
def weak_pl(
    mdp: Any, *, tested: Any = None, states: bool = True, least: bool = True, floor: Fraction | None = None
) -> Iterator[Row]:
    """The gradient is at least the error times the least probability of a best action over the root of |S|."""
    judge = Stages(mdp)
    solver = DynamicPolicyGradient(eta=F(2), steps=6)
    before = None
    for k, h, theta, V, q, g, rows in the_run(judge, solver, 6 * judge.H - 1, tested):
        yield from rows
        pi = judge.softmax([ball(x) for x in theta[h]])
        best = [pi[j] for j in the_best(judge, q)]
        c = -largest([-x for x in best]) if least else ball(1)
        delta = the_error(judge, solver, V[h], q)
        factor = ball(1) / judge.S if states else ball(1)
        yield leq(c * c * factor * delta * delta, square(g), f"k={k}", k=k)
        for x, pairs in zip(best, judge.pairs, strict=True):
            if not k % 6:
                yield equal(x, F(1, len(pairs)) if floor is None else floor, f"uniform at k={k}")
            elif before is not None:
                yield leq(ball(F(1, len(pairs)) if floor is None else floor), x, f"least probability at k={k}")
        if before is not None and k % 6:
            for x, y in zip(before, best, strict=True):
                yield leq(x, y, f"rising at k={k}")
        before = best


@claim(
    "dynpg:ascent",
    says=r"V_h^{k+1}(\mu) - V_h^k(\mu) \ge \frac{\eta}{B_h}\Bigl(1 - \frac{\eta}{4}\Bigr) \|\nabla V_h^k(\mu)\|_2^2,"
    r"\quad \|\nabla^2 V_h(\mu)\| \le \tfrac12 B_h",
    where="derived, see docs; the paper's smoothness constant is 2(H-h)R* (recalled)",
    kind="monotone",
    mode="numeric",
    instances=joined(finite_horizon(horizons=(2, 3), fast=2, full=8), two_states, chosen([contexts([F(1)], 2, 1)])),
    controls=[
        mutant("a curvature of B/8", curvature=F(1, 8)),
        mutant("the whole of the linear gain, twice", gain=2),
        mutant("descent", tested=DynamicPolicyGradient(eta=F(1), steps=6)),
    ],
    about=[DynamicPolicyGradient],
)
def ascent(mdp: Any, *, tested: Any = None, curvature: Fraction = HALF, gain: int = 1) -> Iterator[Row]:
    """Each step gains what a curvature of half the spread of returns leaves of the linear gain."""
    judge = Stages(mdp)
    solver = DynamicPolicyGradient(eta=F(2), steps=6)
    mu = ball(F(1, judge.S))
    before: Any = None
    for k, h, _, V, _, g, rows in the_run(judge, solver, 6 * judge.H, tested):
        yield from rows
        if before is not None:
            stage, old, bound = before
            yield leq(bound, mu * total(V[stage]) - old, f"k={k}")
        step = ball(solver.eta) / ball(judge.B[h])
        part = 1 - ball(solver.eta * curvature / 2)
        before = h, mu * total(V[h]), gain * step * part * square(g)


def many_contexts() -> list[Case]:
    """Many contexts of two actions: where the factor of |S| shows."""
    return [contexts([F(1)] * 12, 2, 1), contexts([F(1), F(1, 2)], 3, 1)]


@claim(
    "dynpg:rate",
    says=r"\delta_n \le \frac{B_h |S| |A|^2}{\eta (1 - \eta/4)\, n},\quad \eta = \tfrac12:\; "
    r"\delta_n \le \frac{16}{7}\,\frac{B_h |S| |A|^2}{n} \le \frac{4 B_h |S| |A|^2}{n}",
    where="O(1/n) of the paper (recalled); constant derived, see docs",
    kind="upper",
    mode="numeric",
    instances=joined(finite_horizon(horizons=(2, 3), fast=1, full=4), two_states, chosen(many_contexts)),
    controls=[
        mutant("no factor of the number of states", states=False),
        mutant("1/n^2", power=2),
        mutant("the law of training squared", tested=MuSquared(eta=F(1, 2), steps=30)),
    ],
    about=[DynamicPolicyGradient],
)
def rate(mdp: Any, *, tested: Any = None, states: bool = True, power: int = 1) -> Iterator[Row]:
    """Each stage comes within 4 B |S| |A|^2 / n of the best response to the later ones."""
    judge = Stages(mdp)
    eta, steps = F(1, 2), 60 if judge.S > 4 else 20
    solver = DynamicPolicyGradient(eta=eta, steps=steps)
    for k, h, _, V, q, _, rows in the_run(judge, solver, steps * judge.H - 1, tested, every=10):
        yield from rows
        n = k % steps
        if n:
            bound = ball(judge.B[h]) * judge.actions**2 * (judge.S if states else 1)
            bound /= ball(eta) * (1 - ball(eta) / 4) * n**power
            yield leq(the_error(judge, solver, V[h], q), bound, f"h={h}, n={n}", k=n, series=f"h={h}")


def tapering() -> list[Case]:
    """Contexts whose wrong actions have one gap a state: there the rate is known with its constant."""
    return [
        contexts([F(1)], 2, 1),
        contexts([F(1), F(1, 2)], 2, 1),
        contexts([F(1), F(1, 3), F(1, 2)], 3, 1),
    ]


def uneven(S: int) -> tuple[Fraction, ...]:
    """A law of training that is not uniform."""
    return tuple(F(i + 1, S * (S + 1) // 2) for i in range(S))


@claim(
    "dynpg:sharp-rate",
    says=r"a(n - \log w_n) \le G(w_n) - G(1) \le a(n + e^{a/4N} \log w_n),\quad w = \frac{\pi(a^*|s)}{\pi(a|s)},\; "
    r"G(w) = w + 2N \log w - \frac{N^2}{w},\; N = |A| - 1,\; a = \frac{\eta}{B_h} |A| \mu(s) \Delta(s), "
    r"\text{ so that } n \delta_n \to \frac{|S|(|A|-1)}{|A|\,\eta/B_h}",
    where="the limit and both bounds derived, see docs",
    kind="tight",
    mode="numeric",
    instances=chosen(tapering),
    domain="in each state one best action, and one gap of all others",
    controls=[
        mutant("the law of training squared", tested="squared"),
        mutant("the law of training left out", tested="without"),
        mutant("|A| - 1 for |A| in the rate", actions=-1),
        mutant("no logarithm in the lower bound", logarithm=0),
    ],
    about=[DynamicPolicyGradient],
)
def sharp_rate(mdp: Any, *, tested: str = "", actions: int = 0, logarithm: int = 1) -> Iterator[Row]:
    """The error of a stage is inverse to the number of steps with a constant that both bounds give."""
    judge = Stages(mdp)
    law: Any = uneven(judge.S) if judge.S < 3 else ()
    steps, eta = 120, F(5)
    solver = DynamicPolicyGradient(eta=eta, steps=steps, mu=law)
    wrong = {"squared": MuSquared, "without": WithoutMu}
    run = the_run(
        judge, solver, steps * judge.H - 1, wrong[tested](eta=eta, steps=steps, mu=law) if tested else None, every=30
    )
    mu = law if law else [F(1, judge.S)] * judge.S
    N = judge.actions - 1
    for k, h, theta, V, q, _, rows in run:
        yield from rows
        n = k % steps
        if not n:
            continue
        share = ball(0)
        for s, pairs in enumerate(judge.pairs):
            gap = judge.r_exact[pairs[0]] - judge.r_exact[pairs[1]]
            a = ball(eta * (judge.actions + actions) * mu[s] * gap / judge.B[h])
            t = ball(theta[h][pairs[0]]) - ball(theta[h][pairs[1]])
            w = exp(t)
            grown = w + 2 * N * t - N**2 / w - (1 - N**2)
            yield leq(a * (n - logarithm * t), grown, f"h={h}, n={n}, s={s}, below", k=n, series=f"h={h}, s={s}, below")
            yield leq(
                grown, a * (n + logarithm * exp(a / (4 * N)) * t), f"h={h}, n={n}, s={s}, above", k=n,
                series=f"h={h}, s={s}, above",
            )  # fmt: skip
            share += ball(mu[s] * gap) * N / (w + N)
        yield equal(share, the_error(judge, solver, V[h], q), f"error at h={h}, n={n}")


def different_gaps(level: Any, rng: Any) -> Iterator[Case]:
    """Contexts with several gaps in a state, and random models whose best actions are unique."""
    yield contexts([F(1), F(2, 3)], 3, 1, ranks=True)
    yield contexts([F(1)], 3, 1, ranks=True)
    if level == "full":
        yield contexts([F(1), F(1, 2), F(4, 5)], 2, 1)
        yield contexts([F(1)], 4, 1, ranks=True)


@claim(
    "dynpg:sharp-limit",
    says=r"n \delta_n \to \frac{|S|(|A|-1)}{|A|\,\eta/B_h}, "
    r"\text{ within 5 \% at } n = 200, \eta = 4, \text{ nearer than at } 50",
    where="derived from the gradient flow, see docs",
    kind="rate",
    mode="numeric",
    instances=different_gaps,
    domain="best actions unique, law of training positive",
    rate=Rate(-1.0, "exactly", within=0.08),
    controls=[
        mutant("the law of training squared", tested="squared"),
        mutant("the law of training left out", tested="without"),
        mutant("|A| for |A| - 1", wrong=1),
        mutant("no factor of the number of states", states=False),
    ],
    about=[DynamicPolicyGradient],
    caveat="a limit: the two bounds with all constants are dynpg:sharp-rate, for one gap a state",
)
def sharp_limit(mdp: Any, *, tested: str = "", wrong: int = 0, states: bool = True) -> Iterator[Row]:
    """The error times n tends to |S|(|A| - 1) B/(|A| eta), whatever the law of training and the rewards."""
    judge = Stages(mdp)
    steps, eta, law = 201, F(4), uneven(judge.S)
    solver = DynamicPolicyGradient(eta=eta, steps=steps, mu=law)
    kind = {"": DynamicPolicyGradient, "squared": MuSquared, "without": WithoutMu}[tested]
    limit = ball(judge.B[0] / eta) * (judge.S if states else 1) * (judge.actions - 1 + wrong) / judge.actions
    earlier: Any = None
    for k, h, _, V, q, _, rows in the_run(judge, solver, steps - 1, kind(eta=eta, steps=steps, mu=law), every=25):
        yield from rows
        delta = the_error(judge, solver, V[h], q)
        if k % 25 == 0 and k >= 50:
            yield point(k, delta, f"n={k}")
            off = abs(k * delta / limit - 1)
            if k == 50:
                earlier = off
            elif k == 200:
                yield leq(off, F(5, 100), f"n={k}")
                yield leq(off, earlier, "nearer than at n=50")


@claim(
    "dynpg:sum-over-stages",
    says=r"V_0^*(\rho) - V_0^\pi(\rho) = \sum_h \mathbb{E}_{s \sim d_h^{\pi^*}} "
    r"\bigl[\langle \pi_h^*, Q_h^\pi \rangle - V_h^\pi\bigr]"
    r" \le \sum_h \Bigl\|\frac{d_h^{\pi^*}}{\mu}\Bigr\|_\infty \delta_h",
    where="performance difference over a finite horizon; the sum recalled, derived",
    kind="upper",
    mode="numeric",
    instances=joined(small, two_states),
    controls=[
        mutant("no ratio of the laws", ratio=False),
        mutant("the policy's own visits for the optimal ones", own=True),
        mutant("values of the optimal policy", optimal=True),
        mutant("without the first stage", first=1),
        mutant("the law of training left out", tested=WithoutMu(eta=F(2), steps=10)),
    ],
    about=[DynamicPolicyGradient],
)
def sum_over_stages(
    mdp: Any, *, tested: Any = None, ratio: bool = True, own: bool = False, optimal: bool = False, first: int = 0
) -> Iterator[Row]:
    """The errors of the stages, each under its own law, bound what the policy lacks."""
    judge = Stages(mdp)
    solver = DynamicPolicyGradient(eta=F(2), steps=10)
    best, star = judge.optimal()
    mu = ball(F(1, judge.S))
    objective = total(ball(x) * ball(v) for x, v in zip(judge.rho_exact, best[0], strict=True))
    for k, _, theta, V, _, _, rows in the_run(judge, solver, 10 * judge.H, tested):
        yield from rows
        if k % 5:
            continue
        pi = [judge.softmax([ball(x) for x in row]) for row in theta]
        d = judge.laws(pi if own else star, judge.rho_exact)
        lack = objective - total(x * v for x, v in zip(judge.rho, V[0], strict=True))
        bound, exact = ball(0), ball(0)
        for h in range(first, judge.H):
            q = judge.q([ball(x) for x in best[h + 1]] if optimal else V[h + 1])
            chosen_q = judge.mean(star[h], q)
            exact += total(d[h][s] * (chosen_q[s] - V[h][s]) for s in range(judge.S))
            worst = largest([x / mu for x in d[h]]) if ratio else ball(1)
            bound += worst * the_error(judge, solver, V[h], judge.q(V[h + 1]))
        yield equal(lack, exact, f"identity at k={k}")
        yield leq(lack, bound, f"k={k}", k=k)


@claim(
    "dynpg:simultaneous-rate",
    says=r"V_0^*(\rho) - V_0^n(\rho) \le \frac{B_0 H |S|\, D^2}{\eta(1-\eta/4)\, c^2\, n},\quad "
    r"D = \max_{k \le n,h,s} \frac{d_h^{\pi^*}(s)}{d_h^{\pi^k}(s)},\; c = \min_{k \le n,h,s} \pi_h^k(a^*|s), \text{ and } "
    r"V_0^{k+1} - V_0^k \ge \tfrac{\eta}{B_0}\bigl(1 - \tfrac\eta4\bigr) \|\nabla V_0^k\|_2^2",
    where="O(1/n) of the paper (recalled); constants and smoothness B_0/2 derived, see docs",
    kind="upper",
    mode="numeric",
    instances=joined(small, chosen([contexts([F(1)], 2, 3), contexts([F(1)], 2, 1)])),
    controls=[
        mutant("the neighboring algorithm: one stage at a time", tested=DynamicPolicyGradient(eta=F(2), steps=5)),
        mutant("a curvature of B/8", curvature=F(1, 8)),
        mutant("1/n^2 with no constant", power=2, constant=0),
        mutant("the initial law for the visits", tested=FirstLaw(eta=F(2))),
    ],
    about=[SimultaneousPolicyGradient],
)
def simultaneous_rate(
    mdp: Any, *, tested: Any = None, curvature: Fraction = HALF, power: int = 1, constant: int = 1
) -> Iterator[Row]:
    """All stages at once: each step gains what a curvature of half the spread allows, and the gap is O(1/n)."""
    judge = Stages(mdp)
    solver = SimultaneousPolicyGradient(eta=F(2))
    best, star = judge.optimal()
    d_star = judge.laws(star, judge.rho_exact)
    objective = total(ball(x) * ball(v) for x, v in zip(judge.rho_exact, best[0], strict=True))
    step = ball(solver.eta) / ball(judge.B[0])
    D, c = ball(0), ball(1)
    expected: Any = [[ball(0)] * judge.L for _ in range(judge.H)]
    bound: Any = None
    for k, state in enumerate(iterates(mdp, tested or solver, 16)):
        theta = [[ball(x) for x in row] for row in state.theta]
        pi = [judge.softmax(row) for row in theta]
        V, d = judge.value(pi), judge.laws(pi, judge.rho_exact)
        yield all_equal([x for row in theta for x in row], [x for row in expected for x in row], f"theta at k={k}")
        yield all_equal(np.concatenate(state.V), [x for row in V for x in row], f"V at k={k}")
        value = total(x * v for x, v in zip(judge.rho, V[0], strict=True))
        if bound is not None:
            yield leq(bound, value, f"ascent at k={k}")
        D = largest([D, *(x / y for a, b in zip(d_star, d, strict=True) for x, y in zip(a, b, strict=True))])
        c = -largest([-c, *(-pi[h][j] for h in range(judge.H) for j in range(judge.L) if star[h][j])])
        if k:
            right = ball(judge.B[0]) * judge.H * judge.S * D**2 / (c**2 * ball(solver.eta) * (1 - ball(solver.eta) / 4))
            yield leq(objective - value, (right if constant else ball(judge.B[0])) / k**power, f"k={k}", k=k)
        slope = []
        for h in range(judge.H):
            q = judge.q(V[h + 1])
            slope.append([d[h][judge.state[j]] * pi[h][j] * (q[j] - V[h][judge.state[j]]) for j in range(judge.L)])
        expected = [[x + step * g for x, g in zip(a, b, strict=True)] for a, b in zip(theta, slope, strict=True)]
        bound = value + step * (1 - ball(solver.eta * curvature / 2)) * square([g for row in slope for g in row])


# -- the horizon -----------------------------------------------------------------------------------------------------


@claim(
    "dynpg:horizon",
    says=r"T (V_0^* - V_0^{(T)}) = \Theta(H^2 (H+1)) \text{ in single steps } T = Hn \text{ with } "
    r"\eta_h = \tfrac{1}{2(H-h)R^*};"
    r"\text{ simultaneous with } \eta = \tfrac{1}{H^2 R^* (2 - 1/|A|)}: \Theta(H^4) \text{ in updates of stages } T = Hn",
    where="step sizes recalled; the powers derived from dynpg:sharp-rate for a repeated bandit, see docs",
    kind="rate",
    mode="numeric",
    instances=chosen([Case("a bandit of two actions repeated H = 2, 3, 4, 6 times", None)]),
    rate=[
        Rate(3.0, "exactly", within=0.15, series="dynamic, times H/(H+1)"),
        Rate(4.0, "exactly", within=0.15, series="simultaneous"),
    ],
    controls=[
        mutant("a step size that does not shrink with the horizon", flat=True),
        mutant("simultaneous steps of the derived size", large=True),
    ],
    about=[DynamicPolicyGradient, SimultaneousPolicyGradient],
    caveat="on this family the simultaneous method does not need the H^5 of its upper bound, and with the derived smoothness "
    "B_0/2 it needs H^3 as well: the separation is of step sizes that bounds allow",
)
def horizon(_: Any, *, flat: bool = False, large: bool = False) -> Iterator[Row]:
    """Steps to a given accuracy grow like H^3 for the dynamic method, updates of stages like H^4 for the simultaneous one."""
    for H in (2, 3, 4, 6):
        mdp = contexts([F(1)], 2, H).problem
        judge = Stages(mdp)
        best = ball(judge.optimal()[0][0][0])
        n = 3 * H
        solver = DynamicPolicyGradient(eta=F(H, 2) if flat else F(1, 2), steps=n)
        seen = list(the_run(judge, solver, n * H, every=n, dense=4))
        yield from (row for x in seen for row in x.rows)
        yield point(H, H * n * (best - seen[-1].V[0][0]) * F(H, H + 1).numerator / F(H, H + 1).denominator,
                    f"H={H}", series="dynamic, times H/(H+1)")  # fmt: skip
        size, n = (F(2), 3 * H) if large else (F(1, H) / (2 - F(1, 2)), H**2)
        state: Any = None
        for state in iterates(mdp, SimultaneousPolicyGradient(eta=size), n):  # noqa: B007
            pass
        V = judge.value([judge.softmax([ball(x) for x in row]) for row in state.theta])
        yield all_equal(np.concatenate(state.V), [x for row in V for x in row], f"V at H={H}")
        yield point(H, H * n * (best - V[0][0]), f"H={H}", series="simultaneous")


# -- sampled gradients -----------------------------------------------------------------------------------------------


BATCH = 150_000


def later() -> list[Case]:
    """What a first action brings is paid a stage later at half: wrong powers of the discount are far outside the intervals."""
    P = [[[F(0), F(1)], [F(1), F(0)]], [[F(0), F(1)], [F(0), F(1)]]]
    mdp = MDP(P, [[F(0), F(0)], [F(1), F(0)]], FiniteHorizon(2, HALF), rho=[HALF, HALF])
    return [Case("one action leads to where one pays, gamma=1/2, H=2", mdp)]


SAMPLED = joined(few, two_states, chosen(later))


@claim(
    "dynpg:sampled-gradient",
    says=r"\mathbb{E}\Bigl[\nabla \log \pi_h(a|s) \sum_{j \ge h} \gamma^{j-h} r_j\Bigr] = "
    r"\nabla_{\theta_h} \sum_s \mu(s) V_h(s)",
    where="REINFORCE with the trained policies after stage h (recalled); the identity derived",
    kind="identity",
    mode="statistical",
    instances=SAMPLED,
    delta=1e-3,
    controls=[
        mutant("the derivative of a stage's value under the initial law", law="rho"),
        mutant("returns without a discount", forgotten="return"),
        mutant("twice the estimate", factor=F(2)),
        mutant("an opposite sign", factor=F(-1)),
    ],
    about=[StochasticDynamicPolicyGradient],
    caveat="says that means agree, not how much the estimate varies",
)
def sampled_gradient(
    mdp: Any, *, rng: Any, delta: float, law: str = "mu", factor: Fraction = ONE, forgotten: str = ""
) -> Iterator[Row]:
    """The mean of the sampled gradient of a stage is the exact one."""
    judge = Stages(mdp)
    solver = StochasticDynamicPolicyGradient(eta=F(1), steps=1, mu=uneven(judge.S)[::-1], batch=BATCH)
    yield from _sampled(judge, solver, judge.H, delta, rng, factor, law, forgotten)


@claim(
    "dynpg:sampled-simultaneous-gradient",
    says=r"\mathbb{E}\Bigl[\gamma^h \nabla \log \pi_h(a_h|s_h) \sum_{j \ge h} \gamma^{j-h} r_j\Bigr] = "
    r"\nabla_{\theta_h} V_0(\rho)",
    where="REINFORCE with returns to go (williams1992; recalled); the identity derived",
    kind="identity",
    mode="statistical",
    instances=SAMPLED,
    delta=1e-3,
    controls=[
        mutant("the derivative of the value under the uniform law", law="uniform"),
        mutant("without the discount of the stage", forgotten="stage"),
        mutant("returns without a discount", forgotten="return"),
        mutant("twice the estimate", factor=F(2)),
        mutant("an opposite sign", factor=F(-1)),
    ],
    about=[StochasticSimultaneousPolicyGradient],
    caveat="says that means agree, not how much the estimate varies",
)
def sampled_simultaneous_gradient(
    mdp: Any, *, rng: Any, delta: float, law: str = "rho", factor: Fraction = ONE, forgotten: str = ""
) -> Iterator[Row]:
    """The mean of the sampled gradient of all stages is the exact one."""
    judge = Stages(mdp)
    solver = StochasticSimultaneousPolicyGradient(eta=F(1), batch=BATCH)
    yield from _sampled(judge, solver, 2, delta, rng, factor, law, forgotten)


def _sampled(
    judge: Stages, solver: Any, n: int, delta: float, rng: Any, factor: Fraction, law: str, forgotten: str
) -> Iterator[Row]:
    """Rows that compare each step's mean of a batch with exact derivatives: Hoeffding's interval around the mean."""
    one = isinstance(solver, StochasticDynamicPolicyGradient)
    mu: Any = {"mu": getattr(solver, "mu", ()), "rho": judge.rho_exact, "uniform": [F(1, judge.S)] * judge.S}[law]
    largest_return = sum(
        (judge.gamma_exact**j * max(map(abs, judge.r_exact)) for j in range(judge.H)), F(0)
    ) + max(map(abs, judge.end_exact))  # fmt: skip
    coordinates = n * judge.L * (1 if one else judge.H)
    before: Any = None
    last: Any = None
    saved: Any = None
    best, _ = judge.optimal()
    for k, state in enumerate(iterates(judge.mdp, solver, n, arithmetic="float", rng=rng)):
        theta = [[ball(float(x)) for x in row] for row in state.theta]
        # Values come from H backups, each of products over S and A with weights that are right to some forty units.
        V = judge.value([judge.softmax(row) for row in theta])
        units = judge.H * (4 * judge.S + 4 * judge.actions + 64) * 2.0**-53 * float(largest_return)
        for h in range(judge.H):
            for s in range(judge.S):
                yield leq(abs(ball(float(state.V[h][s])) - V[h][s]), units, f"V at k={k}, h={h}, s={s}")
                yield leq(ball(best[h][s]) - V[h][s], float(state.gap) + units * judge.H, f"gap at k={k}, h={h}, s={s}")
        if before is None:
            yield all_equal([x for row in theta for x in row], [0] * (judge.H * judge.L), "theta at k=0")
        else:
            for h in [judge.H - k] if one else range(judge.H):
                B = float(judge.B[h if one else 0])
                paid = judge if forgotten != "return" else Stages(judge.mdp.under(undiscounted(judge)))
                exact = paid.derivative(before, h if one else 0, mu, h)
                if forgotten:  # a stage's own discount is no part of its returns
                    power = {"stage": -h, "return": 0 if one else h}[forgotten]
                    exact = [judge.gamma**power * x for x in exact]
                # A score is at most one in magnitude, and so is its product with a return over the largest one.
                half = float(largest_return) * math.sqrt(2 * math.log(2 * coordinates / delta) / BATCH)
                # Two sums of at most a batch of terms, each no larger; then a step of theta, and back.
                size = max(abs(float(x.mid())) for x in (*theta[h], *before[h]))
                rounding = 2.0**-53 * ((2 * BATCH + 64) * float(largest_return) + 8 * B * size)
                for j in range(judge.L):
                    mean = float(factor) * B * float(theta[h][j].mid() - before[h][j].mid())
                    yield leq(abs(ball(mean) - exact[j]), half + rounding, f"k={k}, h={h}, pair {j}")
            yield fact(state.draws == k_draws(judge, k, one), f"draws at k={k}")
            yield from _replayed(judge, solver, last, state, saved, k, float(largest_return))
        before, last, saved = theta, state, copy.deepcopy(rng)


def _replayed(
    judge: Stages, solver: Any, last: Any, state: Any, rng: Any, k: int, largest_return: float
) -> Iterator[Row]:
    """Rows that say the step is the estimate from the trajectories drawn: they are drawn again from the same numbers.

    In floats: a sum of a batch of returns is off by at most a batch of units in the last place of the largest possible sum.
    """
    problem, tested = pose(judge.mdp, solver)
    on = OnStages(problem)
    one = isinstance(solver, StochasticDynamicPolicyGradient)
    first = judge.H - k if one else 0
    law = tested.law(on) if one else on.rho
    pairs, returns, _ = call(_rollout, on, last.theta, first, law, BATCH, last.draws, rng)
    gamma, r, ptr = float(judge.gamma_exact), np.array(judge.r_exact, dtype=float), judge.mdp.pair_ptr
    for i, h in enumerate(range(first, first + 1 if one else judge.H)):
        weights = np.exp(last.theta[h] - np.repeat(np.maximum.reduceat(last.theta[h], ptr[:-1]), np.diff(ptr)))
        pi = weights / np.repeat(np.add.reduceat(weights, ptr[:-1]), np.diff(ptr))
        if not any(judge.end_exact):  # else the return holds what the last state is worth, which is not told
            again = sum(gamma**j * r[pairs[i + j]] for j in range(len(pairs) - i))
            off = float(np.max(np.abs(returns[i] - again)))
            yield leq(off, 16 * judge.H * 2.0**-53 * largest_return, f"returns at k={k}, h={h}")
        hit = np.bincount(pairs[i], returns[i], minlength=judge.L)
        gradient = (hit - pi * np.repeat(np.add.reduceat(hit, ptr[:-1]), np.diff(ptr))) / BATCH
        B = float(judge.B[h if one else 0])
        step = B * (state.theta[h] - last.theta[h]) - (1.0 if one else gamma**h) * gradient
        size = float(np.max(np.abs([state.theta[h], last.theta[h]])))
        rounding = 2.0**-53 * ((2 * BATCH + 64) * largest_return + 8 * B * size)
        yield leq(float(np.max(np.abs(step))), rounding, f"the estimate of the trajectories drawn, k={k}, h={h}")


def undiscounted(judge: Stages) -> FiniteHorizon:
    """The horizon of the model without its discount."""
    return FiniteHorizon(judge.H, ONE, judge.end_exact)


def k_draws(judge: Stages, k: int, one: bool) -> int:
    """Draws of k steps: one a stage that a trajectory passes."""
    return BATCH * (k * (k + 1) // 2 if one else k * judge.H)
