r"""Claims about eligibility traces that may look at the whole trajectory.

The judge follows every history one by one in rationals, with the traces in closed form,
:math:`\min_j \lambda^j \prod_{i > j} \rho_i` for RBIS and the like, where the code advances them step by step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import comb, prod
from typing import Any, ClassVar

import numpy as np

from mdpkit.claims import Row, all_equal, all_leq, claim, equal, fact, leq, mutant, premise
from mdpkit.claims.cases import Case, Cases, Level, chosen, drawn_once, joined
from mdpkit.claims.judge import Judge
from mdpkit.claims.trial import call, estimates, pose_task
from mdpkit.instances import make
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.operators.multistep import Multistep
from mdpkit.operators.task import Task, Transition
from mdpkit.operators.trace_rules import (
    BinaryTrace,
    ClippedTrace,
    FullTrace,
    ImportanceSampling,
    Memory,
    PerDecision,
    RecencyBounded,
    RecursiveRetrace,
    Retrace,
    TraceRule,
    TreeBackup,
    TruncatedImportanceSampling,
)
from mdpkit.solvers.evaluation.trajectory_aware_traces import MultistepEvaluation, OnlineTraces

F = Fraction
LAM = F(9, 10)
QUARTER, SIXTY = F(1, 4), F(3, 5)
LAWFUL = (
    RecencyBounded(LAM),
    RecursiveRetrace(LAM),
    Retrace(LAM),
    PerDecision(LAM),
    TreeBackup(LAM),
    ClippedTrace(LAM, F(3, 2)),
    ImportanceSampling(LAM),
)
BELOW = (Retrace(LAM), PerDecision(LAM), TreeBackup(LAM))
OTHERS = (TruncatedImportanceSampling(LAM), FullTrace(LAM), BinaryTrace(LAM, (0, 2)))

Walk = tuple[tuple[int, ...], Fraction]


class OffPolicy:
    """A model with a target and a behavior, and the judge's own account of its histories."""

    def __init__(self, mdp: MDP):
        self.mdp = mdp
        self.judge = j = Judge(mdp)
        self.target = self._weights([3, 1, 5, 2])
        self.behavior = self._weights([1, 2, 3, 7])
        self.ratio = [p / b for p, b in zip(self.target, self.behavior, strict=True)]
        self.gamma = j.gamma_exact
        self.after = [[j.P_exact[x][j.state[y]] * self.behavior[y] for y in range(j.L)] for x in range(j.L)]
        self.aim = [[j.P_exact[x][j.state[y]] * self.target[y] for y in range(j.L)] for x in range(j.L)]

    def _weights(self, shares: list[int]) -> list[Fraction]:
        j = self.judge
        given = [shares[(3 * j.state[k] + k) % len(shares)] for k in range(j.L)]
        total = [sum(given[k] for k in pairs) for pairs in j.pairs]
        return [F(given[k], total[j.state[k]]) for k in range(j.L)]

    def walks(self, x: int, lags: int) -> Iterator[Walk]:
        """Histories of so many lags from a pair, with their probabilities."""
        if lags == 0:
            yield (x,), F(1)
            return
        for walk, p in self.walks(x, lags - 1):
            for y, q in enumerate(self.after[walk[-1]]):
                if q:
                    yield (*walk, y), p * q

    def q(self, V: Any) -> list[Fraction]:
        """r + gamma P V."""
        return self.judge.exact_q(V)

    def errors(self, Q: list[Fraction]) -> list[Fraction]:
        """Expected temporal-difference errors of the pairs."""
        V = self.judge.exact_mean(self.target, Q)
        return [a - b for a, b in zip(self.q(V), Q, strict=True)]

    @property
    def truth(self) -> list[Fraction]:
        """The action values of the target."""
        return self.q(self.judge.exact_value(self.target))

    def laws(self, beta: Any, horizon: int) -> list[list[list[Fraction]]]:
        """B_t(x, y), by its definition."""
        L = self.judge.L
        out = [[[F(0)] * L for _ in range(L)] for _ in range(horizon)]
        for t in range(horizon):
            for x in range(L):
                for walk, p in self.walks(x, t):
                    out[t][x][walk[-1]] += p * beta(self, walk[1:])
        return out

    def Z(self, laws: list[list[list[Fraction]]]) -> list[list[Fraction]]:
        """The sum of gamma^t (B_{t-1} P_pi - B_t), with B_t zero from the horizon on."""
        L = self.judge.L
        out = [[F(0)] * L for _ in range(L)]
        for t in range(1, len(laws) + 1):
            for x in range(L):
                for y in range(L):
                    moved = sum((laws[t - 1][x][z] * self.aim[z][y] for z in range(L)), F(0))
                    out[x][y] += self.gamma**t * (moved - (laws[t][x][y] if t < len(laws) else 0))
        return out


def weight(rule: TraceRule) -> Any:
    """The trace of a rule after the pairs of a walk, in closed form."""
    lam = F(rule.lambda_)

    def beta(on: OffPolicy, walk: tuple[int, ...]) -> Fraction:
        rho, t = [on.ratio[y] for y in walk], len(walk)
        tails = [prod(rho[j:], start=F(1)) for j in range(t + 1)]
        if t == 0:
            return F(1)
        match rule:
            case RecencyBounded():
                return min(lam**j * tails[j] for j in range(t + 1))
            case RecursiveRetrace():
                return min([lam**t * tails[0], *(lam ** (t - j + 1) * tails[j] for j in range(1, t + 1))])
            case TruncatedImportanceSampling():
                return lam**t * min(F(1), tails[0])
            case BinaryTrace():
                return lam**t if walk[-1] in rule.pairs else F(0)
            case Retrace():
                return lam**t * prod((min(F(1), x) for x in rho), start=F(1))
            case TreeBackup():
                return lam**t * prod((on.target[y] for y in walk), start=F(1))
            case FullTrace():
                return lam**t
            case ImportanceSampling():
                return lam**t * tails[0]
            case ClippedTrace():
                return lam**t * prod((min(F(rule.ceiling), x) for x in rho), start=F(1))
            case PerDecision():
                return prod((min(lam, x) for x in rho), start=F(1))
            case _:
                raise NotImplementedError(rule)

    return beta


def forgetful(on: OffPolicy, walk: tuple[int, ...]) -> Fraction:
    """RBIS without its past: min(lambda^t, rho_t)."""
    return min(LAM ** len(walk), on.ratio[walk[-1]]) if walk else F(1)


@dataclass(frozen=True)
class Forgetful(TraceRule):
    """RBIS without its past, as a rule."""

    lawful: ClassVar[bool] = False

    def start(self, like: Any) -> Memory:
        """Weights, and powers of lambda."""
        return (like * 0 + 1, like * 0 + 1)

    def advance(self, memory: Memory, ratio: Any, target: Any, pairs: Any) -> Memory:
        """The weights after one more pair."""
        power = memory[1] * self.lambda_
        return (np.minimum(power, ratio), power)


def small(*, fast: int = 2, full: int = 6, ones: bool = False) -> Cases:
    """Two states with two actions; every other one has a single action in state 1; with ``ones``, one that always pays 1."""

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            gamma, seed = (F(4, 5), F(9, 10), F(1, 2))[i % 3], int(rng.integers(0, 10_000))
            source = f"random-dense?S=2&A=2&gamma={gamma}&seed={seed}"
            mdp = make("random-dense", S=2, A=2, gamma=gamma, seed=seed)
            rows: Any = np.array(mdp.P.rationals(), dtype=object).reshape(-1, 2)
            kept = 3 if i % 2 else 4
            reward: Any = np.asarray(mdp.reward.exact)[:kept]
            if ones and i % 2 == 0:
                reward, source = np.array([F(1)] * kept, dtype=object), f"{source}, all rewards 1"
            state, action = [0, 0, 1, 1][:kept], [0, 1, 0, 1][:kept]
            model = MDP(rows[:kept], reward, Discounted(gamma), state=state, action=action, rho=0)
            yield Case(source if kept == 4 else f"{source}, without the last pair", model)

    return cases


def operator_of(on: OffPolicy, rule: TraceRule, horizon: int | None) -> Any:
    """The operator of the code under test: its Z, and the sum N of traces."""
    task, _ = pose_task(on.mdp, as_weights(on.target), behavior=as_weights(on.behavior), arithmetic="rational")

    def both() -> Any:
        M = Multistep(task, rule, horizon)
        return M.Z, M.eligibility, M.norm

    return call(both)


def as_weights(x: list[Fraction]) -> Any:
    """Probabilities of pairs as an array."""
    return np.array(x, dtype=object)


def times(A: list[list[Fraction]], x: list[Fraction]) -> list[Fraction]:
    """A matrix times a vector."""
    return [sum((a * b for a, b in zip(row, x, strict=True)), F(0)) for row in A]


@claim(
    "rbis:operator",
    says=r"Q_{k+1} = M Q_k, \quad (M Q)(x) = Q(x) + E_\mu\Bigl[\sum_{t<T} \gamma^t \beta_t (r_t + \gamma E_\pi Q(s_{t+1},"
    r"\cdot) - Q(x_t)) \Bigm| x\Bigr], \qquad M Q - Q^\pi = Z (Q - Q^\pi), \quad Z = \sum_{t \ge 1} \gamma^t"
    r"(B_{t-1} P_\pi - B_t)",
    where="section 4, recalled; the rules seen in the authors' code (trajectory_aware_etraces/etraces/online.py); the form of "
    "Z seen in their counterexamples; closed forms of the traces derived",
    kind="identity",
    mode="exact",
    instances=small(),
    controls=[
        mutant("the past is dropped: min(lambda^t, rho_t)", traces=forgetful),
        mutant("lags are not discounted", discounted=False),
        mutant("the next value is the behavior's", next_value="behavior"),
        mutant("Recursive Retrace in place of RBIS", traces=weight(RecursiveRetrace(LAM))),
    ],
    about=[MultistepEvaluation],
)
def operator(
    mdp: Any,
    *,
    traces: Any = None,
    discounted: bool = True,
    next_value: str = "target",
    horizon: int = 4,
    steps: int = 3,
) -> Iterator[Row]:
    """The iterates of each rule are those of the sum over all histories, and errors shrink by Z."""
    on = OffPolicy(mdp)
    L, truth = on.judge.L, on.truth
    for rule in (*LAWFUL, *OTHERS):
        name = type(rule).__name__
        laws = on.laws(traces if traces and isinstance(rule, RecencyBounded) else weight(rule), horizon)
        Z = on.Z(laws)
        run = estimates(
            mdp,
            as_weights(on.target),
            MultistepEvaluation(rule, horizon),
            steps,
            behavior=as_weights(on.behavior),
            features="pairs",
            arithmetic="rational",
        )
        Q = list(next(run).Q)
        yield all_equal(Q, [F(0)] * L, f"{name}, Q_0")
        for k, state in enumerate(run, 1):
            V = on.judge.exact_mean(on.target if next_value == "target" else on.behavior, Q)
            delta = [a - b for a, b in zip(on.q(V), Q, strict=True)]
            added = [times(law, delta) for law in laws]
            power = on.gamma if discounted else F(1)
            expected = [Q[x] + sum((power**t * added[t][x] for t in range(horizon)), F(0)) for x in range(L)]
            yield all_equal(state.Q, expected, f"{name}, Q_{k}")
            moved = times(Z, [q - v for q, v in zip(Q, truth, strict=True)])
            yield all_equal([q - v for q, v in zip(state.Q, truth, strict=True)], moved, f"{name}, error of Q_{k}")
            Q = list(state.Q)
        task, code = task_of(on, MultistepEvaluation(rule, horizon))
        limit = call(code.fixed_point, task)
        yield fact((limit is not None) == (rule in LAWFUL), f"{name}, a limit is promised")
        if limit is not None:
            yield all_equal(limit, truth, f"{name}, limit")
        if isinstance(rule, PerDecision):  # without a horizon: N = I + gamma N C
            _, N, _ = operator_of(on, rule, None)
            C = [[on.after[x][y] * weight(rule)(on, (y,)) for y in range(L)] for x in range(L)]
            moved = [times(list(zip(*C, strict=True)), list(row)) for row in N]
            left = [[N[x][y] - on.gamma * moved[x][y] for y in range(L)] for x in range(L)]
            yield all_equal(left, [[F(int(x == y)) for y in range(L)] for x in range(L)], f"{name}, all lags")


@claim(
    "rbis:condition",
    says=r"0 \le \beta_t \le \rho_t \beta_{t-1} \quad \text{for RBIS, Retrace, Recursive Retrace, per-decision} \min(\lambda,"
    r"\rho), \text{tree backup, clipped and plain importance sampling}",
    where="Condition 5.1, recalled; which rules keep to it derived",
    kind="upper",
    mode="exact",
    instances=small(),
    controls=[
        mutant("truncated importance sampling", rules=(TruncatedImportanceSampling(LAM),)),
        mutant("RBIS without its past", rules=(Forgetful(LAM),)),
        mutant("Q(lambda)", rules=(FullTrace(LAM),)),
        mutant("binary traces", rules=(BinaryTrace(LAM, (0, 2)),)),
        mutant("weights at most lambda times the ratio's", share=LAM),
    ],
    about=[MultistepEvaluation],
    caveat="on all histories of three lags",
)
def condition(mdp: Any, *, rules: Any = LAWFUL, share: Any = 1, lags: int = 3) -> Iterator[Row]:
    """On every history a trace is at most the ratio times what it was."""
    on = OffPolicy(mdp)
    ratio, target = as_weights(on.ratio), as_weights(on.target)
    walks = [walk for x in range(on.judge.L) for walk, _ in on.walks(x, lags)]
    for rule in rules:
        name = type(rule).__name__
        tested = rule.converted(F)
        memory = call(tested.start, target[[walk[0] for walk in walks]])
        yield all_equal(memory[0], F(1), f"{name}, at birth")
        for t in range(1, lags + 1):
            pairs = np.array([walk[t] for walk in walks])
            before = memory[0]
            memory = call(tested.advance, memory, ratio[pairs], target[pairs], pairs)
            if not isinstance(rule, Forgetful):
                mine = [weight(rule)(on, walk[1 : t + 1]) for walk in walks]
                yield all_equal(memory[0], mine, f"{name}, weights, lag {t}")
            yield all_leq(F(0), memory[0], f"{name}, lag {t}")
            yield all_leq(memory[0], share * ratio[pairs] * before, f"{name}, lag {t}")


@claim(
    "rbis:norm",
    says=r"0 \le \beta_t \le \rho_t \beta_{t-1} \implies Z \ge 0, \quad \|Z\|_\infty = \max_x \Bigl\{\gamma - (1-\gamma)"
    r"\sum_{1 \le t < T} \gamma^t E_x \beta_t \Bigr\} \le \gamma, \quad \|Q_k - Q^\pi\|_\infty \le \|Z\|_\infty^k \|Q_0 -"
    r"Q^\pi\|_\infty",
    where="contraction: section 5, recalled; the norm derived: rows of Z telescope",
    kind="tight",
    mode="exact",
    instances=joined(drawn_once(small(fast=1, ones=True), 0), small(ones=True)),
    controls=[
        mutant("truncated importance sampling", rules=(TruncatedImportanceSampling(LAM),)),
        mutant("RBIS without its past", rules=(Forgetful(LAM),)),
        mutant("Q(lambda)", rules=(FullTrace(LAM),)),
        mutant("the sum begins with the lag 0", first=0),
        mutant("the modulus is squared", power=2),
        mutant("lags up to T", more=1),
    ],
    about=[MultistepEvaluation],
)
def norm(
    mdp: Any, *, rules: Any = LAWFUL, first: int = 1, more: int = 0, power: int = 1, horizon: int = 4, steps: int = 6
) -> Iterator[Row]:
    """The modulus of the operator is known exactly, and nothing smaller will do."""
    on = OffPolicy(mdp)
    L, gamma, truth = on.judge.L, on.gamma, on.truth
    paid = all(x == 1 for x in on.judge.r_exact)
    for rule in rules:
        name = type(rule).__name__
        Z, _, found = operator_of(on, rule, horizon)
        beta = forgetful if isinstance(rule, Forgetful) else weight(rule)
        laws = on.laws(beta, horizon + more)
        yield all_equal(Z, on.Z(laws[:horizon]), f"{name}, Z")
        yield all_leq(F(0), np.ravel(Z), f"{name}, Z >= 0")
        mass = [sum((gamma**t * sum(law[x]) for t, law in enumerate(laws) if t >= first), F(0)) for x in range(L)]
        c = max(gamma - (1 - gamma) * m for m in mass)
        yield equal(found, c, f"{name}, norm")
        yield leq(c, gamma, f"{name}, norm")
        run = estimates(
            mdp,
            as_weights(on.target),
            MultistepEvaluation(rule, horizon),
            steps,
            behavior=as_weights(on.behavior),
            features="pairs",
            arithmetic="rational",
        )
        start = max(abs(v) for v in truth)
        for k, state in enumerate(run):
            error = max(abs(q - v) for q, v in zip(state.Q, truth, strict=True))
            yield leq(error, c ** (power * k) * start, f"{name}, k={k}", k=k, series=name)
            if paid and k == 1:  # all action values alike: the error is the norm's own vector
                yield equal(error, c * start, f"{name}, attained")


@claim(
    "rbis:least-norm",
    says=r"\beta'_t \le \lambda^t, \; 0 \le \beta'_t \le \rho_t \beta'_{t-1} \implies \beta'_t \le \beta_t^{\mathrm{RBIS}},"
    r"\quad \text{so that} \; Z_{\mathrm{RBIS}} 1 \le Z' 1, \; \|Z_{\mathrm{RBIS}}\|_\infty \le \|Z'\|_\infty",
    where="derived: by induction, beta' is below both arguments of the minimum",
    kind="separation",
    mode="exact",
    instances=small(),
    controls=[
        mutant("Recursive Retrace, whose traces may exceed lambda^t", others=(RecursiveRetrace(LAM),)),
        mutant(
            "truncated importance sampling, which forgets the condition", others=(TruncatedImportanceSampling(LAM),)
        ),
        mutant("Retrace in the place of RBIS", best=Retrace(LAM)),
        mutant("per-decision min(lambda, rho) in the place of RBIS", best=PerDecision(LAM)),
    ],
    survivors={"rewards of the next pair": "credit and norms read no rewards"},
    about=[MultistepEvaluation],
    caveat="Recursive Retrace keeps to the condition but not to the bound, so that it is not compared",
)
def least_norm(
    mdp: Any,
    *,
    best: TraceRule = LAWFUL[0],
    others: Any = BELOW,
    horizon: int = 4,
) -> Iterator[Row]:
    """RBIS keeps the most credit of all rules that keep to the condition and to the powers of lambda."""
    on = OffPolicy(mdp)
    L = on.judge.L
    _, mine, norm_mine = operator_of(on, best, horizon)
    laws = on.laws(weight(best), horizon)
    total = [[sum((on.gamma**t * law[x][y] for t, law in enumerate(laws)), F(0)) for y in range(L)] for x in range(L)]
    yield all_equal(mine, total, "credit, by histories")
    for other in (*others, Retrace(LAM), PerDecision(LAM)):
        name = type(other).__name__
        walks = [walk[1:] for x in range(on.judge.L) for walk, _ in on.walks(x, horizon - 1)]
        kept = [[weight(rule)(on, walk) for walk in walks] for rule in (other, RecencyBounded(LAM))]
        yield all_leq(*kept, f"{name}, weights")
        _, theirs, norm_theirs = operator_of(on, other, horizon)
        yield all_leq(np.sum(theirs, axis=1), np.sum(mine, axis=1), f"{name}, credit")
        yield leq(norm_mine, norm_theirs, f"{name}, norms")
        if not isinstance(other, (RecursiveRetrace, TruncatedImportanceSampling)):
            yield fact(norm_mine < norm_theirs, f"{name}, strictly here")


def two_actions(gamma: Fraction) -> MDP:
    """One state and two actions: the states of the authors' counterexamples are its pairs."""
    return MDP([[[F(1)], [F(1)]]], [[F(0), F(1)]], Discounted(gamma), rho=0)


@claim(
    "rbis:truncated-importance-sampling",
    says=r"\beta_t = \min(1, \textstyle\prod_i \rho_i) \;\text{(truncated importance sampling)} \implies \|Z\|_\infty \le"
    r"\gamma",
    where="Counterexample 5.7, seen in the authors' code (counterexamples/offpolicy_truncated_is.py): p = 0.6, gamma = 0.94; "
    "the tail derived",
    kind="counterexample",
    mode="exact",
    instances=chosen([Case("one state, two actions, gamma=47/50", two_actions(F(47, 50)))]),
    controls=[
        mutant("RBIS", rule=RecencyBounded(F(1)), T=40),
        mutant("Retrace", rule=Retrace(F(1)), T=40),
        mutant("recursive Retrace", rule=RecursiveRetrace(F(1)), T=40),
        mutant("on policy", p=F(1, 2), T=40),
    ],
    about=[MultistepEvaluation],
    caveat="above 1 for all lags too: a tail of gamma^T (1+gamma)/(1-gamma) E beta_T is taken off. The spectral "
    "radius of Z is below 1 here, so that Q_k still tends to Q^pi",
)
def truncated(mdp: Any, *, p: Fraction = SIXTY, rule: TraceRule | None = None, T: int = 80) -> Iterator[Row]:
    """Truncated importance sampling gives an operator whose norm exceeds 1: it is no contraction."""
    on = OffPolicy(mdp)
    g = on.gamma
    on.target, on.behavior = [p, 1 - p], [F(1, 2)] * 2
    Z, N, found = operator_of(on, TruncatedImportanceSampling(F(1)) if rule is None else rule, T)
    if rule is None:
        mine = [[F(int(x == y)) for y in range(2)] for x in range(2)]
        for t in range(1, T):
            for y, pr in enumerate((p, 1 - p)):
                # As in the authors' code: k of the first t - 1 actions are the first, and the last is y.
                paths = [(comb(t - 1, k), p**k * (1 - p) ** (t - 1 - k)) for k in range(t)]
                weight_ = sum((n * min(F(1, 2) ** t, pr * path) for n, path in paths), F(0))
                for x in range(2):
                    mine[x][y] += g**t * weight_
        yield premise(all_equal(N, mine, "expected traces"))
        yield premise(equal(found, max(abs(Z[x][0]) + abs(Z[x][1]) for x in range(2)), "norm"))
    yield leq(found, g, "norm of T lags")
    if rule is None:
        # Mean traces fall, since the minimum of 1 and a martingale is a supermartingale.
        last = sum((comb(T, k) * min(F(1, 2) ** T, p**k * (1 - p) ** (T - k)) for k in range(T + 1)), F(0))
        yield leq(found - last * g**T * (1 + g) / (1 - g), min(g, F(1)), "norm of all lags")
        yield leq(found - last * g**T * (1 + g) / (1 - g), F(1), "no expansion")


@claim(
    "rbis:binary-traces",
    says=r"\mu = \pi, \; \beta_t \in \{0, 1\} \implies \|Z\|_\infty \le \gamma",
    where="Counterexample 5.8, seen in the authors' code (counterexamples/onpolicy_binary.py): p = 1/2, gamma = 2/3; the norm "
    "of T lags derived, gamma/2 + (gamma^2 - gamma^T)/(2(1-gamma)), which tends to 1",
    kind="counterexample",
    mode="exact",
    instances=chosen([Case("one state, two actions, gamma=2/3", two_actions(F(2, 3)))]),
    controls=[
        mutant("credit is never cut", rule=FullTrace(F(1))),
        mutant("credit is cut for good", rule=PerDecision(F(1, 2))),
        mutant("gamma = 1/3", gamma=F(1, 3)),
    ],
    about=[MultistepEvaluation],
    caveat="the norm of all lags is 1; Z has rank one and the eigenvalue gamma/2, so that Q_k still tends to Q^pi",
)
def binary(mdp: Any, *, rule: TraceRule | None = None, gamma: Any = None, T: int = 40) -> Iterator[Row]:
    """Even on policy, traces that come back after they were cut give an operator that does not contract."""
    on = OffPolicy(mdp if gamma is None else two_actions(gamma))
    g = on.gamma
    on.target = on.behavior = [F(1, 2)] * 2
    _, _, found = operator_of(on, BinaryTrace(F(1), (0,)) if rule is None else rule, T)
    if rule is None:
        yield premise(equal(found, g / 2 + (g**2 - g**T) / (2 * (1 - g)), "norm"))
        if gamma is None:
            yield premise(leq(abs(1 - found), F(3, 2) * g**T, "all lags: 1"))
    yield leq(found, g, "norm")


def trajectories(on: OffPolicy, s: int, n: int) -> Iterator[tuple[list[tuple[int, int]], Fraction]]:
    """Pairs and next states of all trajectories of n transitions from a state, with their probabilities."""
    if n == 0:
        yield [], F(1)
        return
    for steps, p in trajectories(on, s, n - 1):
        last = steps[-1][1] if steps else s
        for x in on.judge.pairs[last]:
            for t, q in enumerate(on.judge.P_exact[x]):
                if q * on.behavior[x]:
                    yield [*steps, (x, t)], p * q * on.behavior[x]


def replayed(task: Task, tested: Any, Q: list[Fraction], walks: list[list[Transition]]) -> list[Any]:
    """The action values after each of some trajectories, from Q on."""
    out: list[Any] = []
    for walk in walks:
        state = tested.begin(task, 0)._replace(Q=as_weights(Q), source=as_weights(Q))
        for seen in walk:
            state = tested.observe(task, state, seen)
        out.append(state.Q)
    return out


def task_of(on: OffPolicy, estimator: Any) -> tuple[Task, Any]:
    """The task and the estimator as the code under test sees them."""
    return pose_task(
        on.mdp,
        as_weights(on.target),
        estimator,
        behavior=as_weights(on.behavior),
        features="pairs",
        arithmetic="rational",
    )


@claim(
    "rbis:backward-view",
    says=r"E\bigl[Q_n - Q_0\bigr](x) = \eta \sum_{k<n} \Pr(x_k = x) (M_{n-k} Q_0 - Q_0)(x) \quad \text{with errors taken from}"
    r"\; Q_0",
    where="section 4, recalled; with the horizon derived",
    kind="identity",
    mode="exact",
    instances=small(fast=2, full=3),
    controls=[
        mutant("the past is dropped: min(lambda^t, rho_t)", traces=forgetful),
        mutant("one lag fewer", fewer=1),
        mutant("half the step", eta=F(1, 8)),
        mutant("credit beyond the horizon", reach=9),
    ],
    survivors={"transposed P": "the transitions are given, and the update reads no others"},
    about=[OnlineTraces],
)
def backward_view(
    mdp: Any, *, traces: Any = None, fewer: int = 0, eta: Any = QUARTER, reach: int | None = None, n: int = 3
) -> Iterator[Row]:
    """Credit given backward adds up to the multistep operator, over all trajectories."""
    on = OffPolicy(mdp)
    L = on.judge.L
    for rule, horizon in (
        (RecencyBounded(LAM), 2),
        (RecencyBounded(LAM), 9),
        (Retrace(LAM), 2),
        (TruncatedImportanceSampling(LAM), 9),
        (RecursiveRetrace(LAM), 9),
    ):
        task, tested = task_of(on, OnlineTraces(rule, F(1, 4), horizon, n))
        beta = traces if traces and isinstance(rule, RecencyBounded) else weight(rule)
        Q = [F(k + 1, 3) for k in range(L)]
        mean = [F(0)] * L
        walks = list(trajectories(on, 0, n))
        ends = call(replayed, task, tested, Q, [[Transition(on.judge.state[x], x, t) for x, t in w] for w, _ in walks])
        for (_, p), end in zip(walks, ends, strict=True):
            mean = [m + p * q for m, q in zip(mean, end, strict=True)]
        laws, delta = on.laws(beta, n), on.errors(Q)
        expected = list(Q)
        at = [on.behavior[x] if on.judge.state[x] == 0 else F(0) for x in range(L)]
        for k in range(n):
            lags = min(n - k - fewer, reach or horizon)
            for x in range(L):
                seen = sum((on.gamma**t * times(laws[t], delta)[x] for t in range(lags)), F(0))
                expected[x] += F(eta) * at[x] * seen
            at = [sum((at[z] * on.after[z][y] for z in range(L)), F(0)) for y in range(L)]
        yield all_equal(mean, expected, f"{type(rule).__name__}, horizon {horizon}")


@claim(
    "rbis:online",
    says=r"Q(x_k) \leftarrow Q(x_k) + \eta \gamma^{t-k} \beta_{k,t} \bigl( r_t + \gamma E_\pi Q(s_{t+1}, \cdot) - Q(x_t) \bigr)"
    r"\quad \text{for all } k \le t \text{ within the horizon}",
    where="the authors' code (trajectory_aware_etraces/etraces/online.py), seen",
    kind="identity",
    mode="exact",
    instances=small(fast=2, full=6),
    controls=[
        mutant("the past is dropped: min(lambda^t, rho_t)", traces=forgetful),
        mutant("the ratio of the pair itself counts", own=True),
        mutant("the error is that of the action taken next", sarsa=True),
        mutant("lags are not discounted", discounted=False),
    ],
    survivors={"transposed P": "the transitions are given, and the update reads no others"},
    about=[OnlineTraces],
)
def online(
    mdp: Any,
    *,
    rng: Any = None,
    traces: Any = None,
    own: bool = False,
    sarsa: bool = False,
    discounted: bool = True,
    n: int = 12,
) -> Iterator[Row]:
    """Along a trajectory each error is credited to the pairs behind it by their traces."""
    on = OffPolicy(mdp)
    eta, horizon, L = F(1, 4), 5, on.judge.L
    for rule in (RecencyBounded(LAM), RecursiveRetrace(LAM), TruncatedImportanceSampling(LAM), TreeBackup(LAM)):
        task, tested = task_of(on, OnlineTraces(rule, eta, horizon))
        beta = traces if traces and isinstance(rule, RecencyBounded) else weight(rule)
        state = call(tested.begin, task, 0)
        Q, past, s = [F(0)] * L, list[int](), 0
        yield all_equal(state.Q, Q, f"{type(rule).__name__}, start")
        for t in range(n):
            x = int(rng.choice(on.judge.pairs[s]))
            after = int(rng.choice(len(on.judge.pairs)))
            state = call(tested.observe, task, state, Transition(s, x, after))
            past.append(x)
            V = on.judge.exact_mean(on.behavior if sarsa else on.target, Q)
            delta = on.judge.r_exact[x] + on.gamma * V[after] - Q[x]
            Q = list(Q)
            for k in range(max(0, t + 1 - horizon), t + 1):
                lag = on.gamma ** (t - k) if discounted else F(1)
                Q[past[k]] += eta * lag * beta(on, tuple(past[k if own else k + 1 : t + 1])) * delta
            yield all_equal(state.Q, Q, f"{type(rule).__name__}, t={t}")
            s = after
