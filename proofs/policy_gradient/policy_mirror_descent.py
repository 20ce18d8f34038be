r"""Claims about policy mirror descent.

The steps of the solver are recomputed by the optimality conditions of each mirror map, in the judge's arithmetic: in balls
for the relative entropy and Tsallis' entropy, in rationals for Euclidean steps, whose inequalities are often equalities. The
proofs are in the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, equal, leq, mutant
from mdpkit.claims.cases import chosen, discounted, joined, locks, named, positive, ragged
from mdpkit.claims.judge import Judge, ball, exp, largest, log, log_sum_exp, norm, projected, weighted
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import Discounted, EntropyRegularized
from mdpkit.models.mdp import MDP
from mdpkit.operators.mirror_maps import Euclidean, KullbackLeibler, Tsallis
from mdpkit.operators.step_sizes import Adaptive, Constant, Increasing
from mdpkit.solvers.policy_gradient import PolicyMirrorDescent

HALF = Fraction(1, 2)
KL, L2, ROOT = KullbackLeibler(), Euclidean(), Tsallis(Fraction(1, 2))
MAPS: tuple[Any, ...] = (KL, L2, ROOT)
GAMMAS = (Fraction(1, 2), Fraction(9, 10))
FEW = joined(discounted(sizes=((1, 3), (2, 2), (3, 2)), gammas=GAMMAS, fast=3, full=8), ragged(full=2))


def slow_chain(n: int, gamma: Fraction) -> Case:
    r"""A chain on which policy iteration improves one state a step.

    State 0 ends with reward 1 or 0. State i ends with :math:`\ell_i = (1 - \varepsilon_i) \gamma^i`, or goes on to state i - 1
    for nothing, with :math:`\varepsilon_i = (1 + 1/(i+1))/4` decreasing: going on pays once state i - 1 is optimal, and not
    before.
    """
    end, P, r, state, action = n, [], [], [], []
    for i in range(n):
        safe = 1 if i == 0 else (1 - lead(i)) * gamma**i
        for a, (next_state, reward) in enumerate([(end, safe), (end if i == 0 else i - 1, Fraction(0))]):
            P.append([Fraction(int(t == next_state)) for t in range(n + 1)])
            r.append(Fraction(reward))
            state.append(i)
            action.append(a)
    P.append([Fraction(int(t == end)) for t in range(n + 1)])
    options = {"state": np.array([*state, end]), "action": np.array([*action, 0])}
    rows, rewards = np.array(P, dtype=object), np.array([*r, Fraction(0)], dtype=object)
    return Case(f"slow chain n={n}, gamma={gamma}", MDP(rows, rewards, Discounted(gamma), **options))


def lead(i: int) -> Fraction:
    """The share of its value that state i of the slow chain loses while it does not go on."""
    return Fraction(i + 2, 4 * (i + 1))


class Anchorless(PolicyMirrorDescent):
    """A wrong step: from the uniform policy, and not from the last one."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step of another algorithm."""
        return super().step(problem, state._replace(point=self.init(problem).point), rng)


class Iterate(NamedTuple):
    """A policy of the tested solver with the judge's numbers about it, and the rows that tie it to the one before."""

    k: int
    pi: list[Any]
    V: list[Any]
    q: list[Any]
    eta: Any
    rows: list[Row]


def is_exact(solver: Any) -> bool:
    """Whether the run is in rationals."""
    return isinstance(solver.mirror, Euclidean)


def divergence(mirror: Any, p: Any, x: Any) -> Any:
    """D(p || x) of two laws over the actions of one state; p may have zeros."""
    if isinstance(mirror, Euclidean):
        return sum(((a - b) ** 2 for a, b in zip(p, x, strict=True)), Fraction(0)) / 2
    total = ball(0)
    for a, b in zip(p, x, strict=True):
        a, b = ball(a), ball(b)
        if isinstance(mirror, KullbackLeibler):
            total += a * log(a / b) if a != 0 else 0
        else:
            q = ball(mirror.q)
            total += ((b**q - (a**q if a != 0 else 0)) / q + b ** (q - 1) * (a - b)) / (1 - q)
    return total


def of_state(judge: Judge, s: int, x: Any) -> list[Any]:
    """The entries of one state."""
    return [x[k] for k in judge.pairs[s]]


def mean_divergence(judge: Judge, mirror: Any, weights: Any, pi: Any, other: Any) -> Any:
    """The mean over states of D(pi || other)."""
    values = [divergence(mirror, of_state(judge, s, pi), of_state(judge, s, other)) for s in range(judge.S)]
    return weighted(weights, values)


def step_size(judge: Judge, solver: Any, k: int, pi: Any, q: Any, scale: Any = 1) -> Any:
    """The step of the rule, by its definition."""
    rule = solver.eta
    number: Any = Fraction if is_exact(solver) else ball
    gamma = judge.gamma_exact if is_exact(solver) else judge.gamma
    if isinstance(rule, Adaptive):
        far: list[Any] = []
        for s in range(judge.S):
            row, values = of_state(judge, s, pi), of_state(judge, s, q)
            best = max(values) if is_exact(solver) else largest(values)
            vertices = [[int(i == j) for j in range(len(row))] for i, v in enumerate(values) if not v < best]
            distances = [divergence(solver.mirror, v, row) for v in vertices]
            far.append(min(distances) if is_exact(solver) else -largest([-d for d in distances]))
        furthest = max(far) if is_exact(solver) else largest(far)
        return number(rule.eta) * furthest / gamma ** (2 * k)
    if isinstance(rule, Increasing):
        return number(rule.eta) * (1 / gamma if rule.factor is None else number(rule.factor)) ** k
    return number(rule.eta if isinstance(rule, Constant) else rule)


def the_iterates(judge: Judge, solver: Any, n: int, tested: Any = None) -> Iterator[Iterate]:
    """The iterates 0 to n, with the rows that say that they start uniform and follow the steps of ``solver``."""
    exact = is_exact(solver)
    number: Any = Fraction if exact else ball
    before: Any = None
    states = iterates(judge.mdp, tested or solver, n, arithmetic="rational" if exact else "ball")
    for k, state in enumerate(states):
        pi = [exp(x) for x in state.point] if isinstance(solver.mirror, KullbackLeibler) else list(state.point)
        V = judge.exact_value(pi) if exact else judge.value(pi)
        q = judge.exact_q(V) if exact else judge.q(V)
        rows = [all_equal(state.V, V, f"V_{k}")]
        if before is None:
            rows.append(all_equal(pi, [number(Fraction(1, len(judge.pairs[s]))) for s in judge.state], "pi_0"))
        else:
            rows += optimality(judge, solver.mirror, *before, state.point, f"pi_{k}")
        eta = step_size(judge, solver, k, pi, q)
        yield Iterate(k, pi, V, q, eta, rows)
        before = list(state.point), q, eta


def optimality(judge: Judge, mirror: Any, point: Any, q: Any, eta: Any, new: Any, at: str) -> Iterator[Row]:
    """The conditions of optimality of a mirror step, state by state."""
    for s, pairs in enumerate(judge.pairs):
        if isinstance(mirror, KullbackLeibler):
            raw = [ball(point[k]) + eta * q[k] for k in pairs]
            total = log_sum_exp(raw)
            yield all_equal(of_state(judge, s, new), [x - total for x in raw], f"{at}, s={s}")
        elif isinstance(mirror, Euclidean):
            yield all_equal(of_state(judge, s, new), projected([point[k] + eta * q[k] for k in pairs]), f"{at}, s={s}")
        else:
            power = ball(mirror.q) - 1
            dual = [(ball(new[k]) ** power - ball(point[k]) ** power) / -power + eta * q[k] for k in pairs]
            yield all_equal(dual, dual[0], f"{at}, s={s}: not stationary")
            yield equal(sum((new[k] for k in pairs), ball(0)), 1, f"{at}, s={s}: no law")


def inner(judge: Judge, s: int, q: Any, p: Any, x: Any) -> Any:
    """<q, p - x> over the actions of one state; p and x are its laws."""
    return sum(((a - b) * q[k] for k, a, b in zip(judge.pairs[s], p, x, strict=True)), 0 * q[0])


@claim(
    "lan2023:three-point",
    says=r"""\eta \langle Q, u - \pi^+ \rangle \le D(u \| \pi) - D(u \| \pi^+) - D(\pi^+ \| \pi)
             \text{ for all } u, \text{ with equality for the entropies}""",
    where="the three-point lemma of mirror descent, recalled; derived, see docs",
    kind="identity",
    mode="numeric",
    instances=FEW,
    controls=[
        mutant("the anchor forgotten", tested=Anchorless, maps=(KL,)),
        mutant("arguments of D(pi+ || pi) swapped", swapped=True),
        mutant("no D(u || pi+)", second=0, maps=(KL,)),
        mutant("a Euclidean step judged by the relative entropy", judged=KL, maps=(L2,)),
    ],
    about=[PolicyMirrorDescent],
)
def three_point(
    mdp: Any, *, maps: Any = MAPS, tested: Any = None, swapped: bool = False, second: int = 1, judged: Any = None
) -> Iterator[Row]:
    """A mirror step maximizes, and by how much: the three-point inequality."""
    judge = Judge(mdp)
    for mirror in maps:
        for eta in (Fraction(2), Adaptive(HALF)):
            solver = PolicyMirrorDescent(eta, mirror)
            before: Iterate | None = None
            for now in the_iterates(judge, solver, 2, tested and tested(eta, mirror)):
                yield from now.rows
                for s in range(judge.S) if before is not None else ():
                    assert before is not None
                    old, new = of_state(judge, s, before.pi), of_state(judge, s, now.pi)
                    kind = judged or mirror
                    moved = divergence(kind, old, new) if swapped else divergence(kind, new, old)
                    for a in range(len(old)):
                        u = [Fraction(int(a == b)) if is_exact(solver) else ball(int(a == b)) for b in range(len(old))]
                        left = before.eta * inner(judge, s, before.q, u, new)
                        right = divergence(kind, u, old) - second * divergence(kind, u, new) - moved
                        if kind is not mirror:
                            left = ball(left)
                        relation = leq if isinstance(mirror, Euclidean) else equal
                        yield relation(left, right, f"k={now.k}, s={s}, u={a}")
                before = now


@claim(
    "xiao2022:monotone",
    says=r"""V^{\pi_{k+1}}(s) - V^{\pi_k}(s) \ge \langle Q^{\pi_k}(s,\cdot), \pi_{k+1} - \pi_k \rangle
             \ge \tfrac{1}{\eta_k} \bigl( D(\pi_{k+1}\|\pi_k) + D(\pi_k\|\pi_{k+1}) \bigr)(s) \ge 0""",
    where="monotonicity of policy mirror descent, recalled; derived, see docs",
    kind="monotone",
    mode="numeric",
    instances=FEW,
    controls=[
        mutant("the anchor forgotten", tested=Anchorless, maps=(KL,)),
        mutant("as if the chain never left a state: divided by 1 - gamma", stays=True),
        mutant("the divergences twice", divergences=2),
    ],
    about=[PolicyMirrorDescent],
)
def monotone(
    mdp: Any, *, maps: Any = MAPS, tested: Any = None, stays: bool = False, divergences: int = 1
) -> Iterator[Row]:
    """The value increases in every state, whatever the step."""
    judge = Judge(mdp)
    for mirror in maps:
        solver = PolicyMirrorDescent(Increasing(Fraction(3, 2)), mirror)
        factor = 1 / ((1 - judge.gamma_exact) if is_exact(solver) else (1 - judge.gamma)) if stays else 1
        before: Iterate | None = None
        for now in the_iterates(judge, solver, 3, tested and tested(solver.eta, mirror)):
            yield from now.rows
            for s in range(judge.S) if before is not None else ():
                assert before is not None
                old, new = of_state(judge, s, before.pi), of_state(judge, s, now.pi)
                gain = inner(judge, s, before.q, new, old)
                both = (divergence(mirror, new, old) + divergence(mirror, old, new)) * divergences / before.eta
                yield leq(factor * gain, now.V[s] - before.V[s], f"k={now.k}, s={s}")
                if is_exact(solver):
                    yield leq(both, gain, f"k={now.k}, s={s}: divergences")
                else:
                    yield equal(both, gain, f"k={now.k}, s={s}: divergences")
            before = now


@claim(
    "xiao2022:sublinear",
    says=r"""V^*(\rho) - V^{\pi_K}(\rho) \le \frac{1}{K+1} \Bigl( \frac{E_{d^*} D(\pi^* \| \pi_0)}{(1-\gamma)\eta}
             + \frac{E_{d^*}[V^* - V^{\pi_0}]}{1-\gamma} \Bigr)
             \le \frac{1}{K+1} \Bigl( \cdots + \frac{1}{(1-\gamma)^2} \Bigr)""",
    where="Theorem 8, recalled, with the sharper second term; derived, see docs, with the inequality of each step",
    kind="upper",
    mode="numeric",
    instances=joined(FEW, named("riverswim?n_states=3&gamma=1/2")),
    controls=[
        mutant("the anchor forgotten", tested=Anchorless, maps=(KL,)),
        mutant("no first term", first=0, eta=Fraction(1, 1000), maps=(KL, ROOT)),
        mutant("no second term", second=0, eta=Fraction(1000), maps=(KL, ROOT)),
        mutant("visits of pi_k for those of pi*", visits="current"),
        mutant("the fall of the divergence with the other sign", shift=True),
    ],
    about=[PolicyMirrorDescent],
)
def sublinear(
    mdp: Any,
    *,
    maps: Any = MAPS,
    tested: Any = None,
    eta: Any = Fraction(2),
    first: int = 1,
    second: int = 1,
    visits: str = "optimal",
    shift: bool = False,
    steps: int = 3,
) -> Iterator[Row]:
    """Mirror descent with constant steps closes in like 1/K, whatever the mirror map."""
    judge = Judge(mdp)
    for mirror in maps:
        solver = PolicyMirrorDescent(eta, mirror)
        exact = is_exact(solver)
        number: Any = Fraction if exact else ball
        gamma = number(judge.gamma_exact)
        best = [number(x) for x in judge.optimal]
        rho = [number(x) for x in judge.rho_exact]
        star = [number(x) for x in judge.optimal_policy]
        d = [(1 - gamma) * x for x in (judge.exact_visits(star) if exact else judge.visits(star))]
        before: Any = None
        initial: Any = None
        for now in the_iterates(judge, solver, steps if exact else 3 * steps, tested and tested(eta, mirror)):
            yield from now.rows
            if visits == "current":
                d = [(1 - gamma) * x for x in (judge.exact_visits(now.pi) if exact else judge.visits(now.pi))]
            far = mean_divergence(judge, mirror, d, star, now.pi)
            gap = weighted(rho, best) - weighted(rho, now.V)
            if initial is None:
                lost = weighted(d, best) - weighted(d, now.V)
                initial = first * far / ((1 - gamma) * now.eta) + second * lost / (1 - gamma)
                yield leq(lost, 1 / (1 - gamma), "rewards are in [0, 1]")
            else:
                old, old_far, old_gap = before
                fall = (far - old_far if shift else old_far - far) / now.eta
                yield leq((1 - gamma) * old_gap, fall + weighted(d, now.V) - weighted(d, old), f"step {now.k}")
            yield leq(gap, initial / (now.k + 1), f"K={now.k}", k=now.k, series=type(mirror).__name__)
            before = now.V, far, gap


def mismatch(judge: Judge, star: Any) -> Fraction:
    """The largest ratio of visits of the optimal policy (unnormalized) and the initial law."""
    return max(v / p for v, p in zip(judge.exact_visits(star), judge.rho_exact, strict=True))


@claim(
    "xiao2022:linear-rate",
    says=r"""V^*(\rho) - V^{\pi_k}(\rho) \le \Bigl(1 - \tfrac1\vartheta\Bigr)^k \Bigl( V^*(\rho) - V^{\pi_0}(\rho)
             + \frac{E_{d^*} D(\pi^*\|\pi_0)}{(1-\gamma)(\vartheta-1)\eta_0} \Bigr), \quad
             \vartheta = \tfrac{1}{1-\gamma} \bigl\|\tfrac{d^*}{\rho}\bigr\|_\infty, \quad
             \eta_{k+1} = \tfrac{\vartheta}{\vartheta - 1} \eta_k""",
    where="Theorem 10, recalled; derived, see docs, with the inequality of each step",
    kind="upper",
    mode="numeric",
    instances=joined(locks(Fraction(1, 2)), positive(sizes=((2, 2), (3, 2)), gammas=GAMMAS, fast=2, full=8)),
    controls=[
        mutant("constant steps", constant=True),
        mutant("no mismatch of visits: theta = 1/(1 - gamma)", matched=True),
        mutant("the second term in place of both", only=True),
    ],
    about=[PolicyMirrorDescent],
)
def linear(
    mdp: Any, *, maps: Any = MAPS, constant: bool = False, matched: bool = False, only: bool = False, steps: int = 4
) -> Iterator[Row]:
    """Mirror descent with geometrically increasing steps is linear."""
    judge = Judge(mdp)
    star = [Fraction(x) for x in judge.optimal_policy]
    theta = 1 / (1 - judge.gamma_exact) if matched else mismatch(judge, star)
    factor = Fraction(1) if constant else theta / (theta - 1)
    for mirror in maps:
        solver = PolicyMirrorDescent(Increasing(Fraction(1, 10), factor), mirror)
        exact = is_exact(solver)
        number: Any = Fraction if exact else ball
        gamma, ratio = number(judge.gamma_exact), number(theta)
        rho, best = [number(x) for x in judge.rho_exact], [number(x) for x in judge.optimal]
        d = [(1 - gamma) * number(x) for x in judge.exact_visits(star)]
        before: Any = None
        bound: Any = None
        for now in the_iterates(judge, solver, steps if exact else 2 * steps):
            yield from now.rows
            far = mean_divergence(judge, mirror, d, [number(x) for x in star], now.pi)
            gap = weighted(rho, best) - weighted(rho, now.V)
            if before is not None:
                old_gap, old_far, old_eta = before
                scale = (1 - gamma) * ratio * old_eta
                yield leq(gap + far / scale, (1 - 1 / ratio) * old_gap + old_far / scale, f"step {now.k}")
            else:
                bound = (0 if only else gap) + far / ((1 - gamma) * (ratio - 1) * now.eta)
            level = (1 - 1 / ratio) ** now.k * bound
            yield leq(gap, level, f"k={now.k}", k=now.k, series=type(mirror).__name__)
            before = gap, far, now.eta


@claim(
    "lan2023:linear-rate",
    says=r"""\delta_k + \frac{1+\eta\tau}{\eta} D_k \le \gamma^k \Bigl(\delta_0 + \frac{1+\eta\tau}{\eta} D_0\Bigr)
             \text{ if } 1 + \eta\tau \ge \tfrac1\gamma, \quad \delta_k = E_{\nu^*}[V_\tau^* - V_\tau^{\pi_k}], \quad
             D_k = E_{\nu^*} \mathrm{KL}(\pi_\tau^* \| \pi_k)""",
    where="Theorem 1 for the entropy, recalled; derived, see docs, with the inequality of any step",
    kind="upper",
    mode="numeric",
    instances=joined(positive(sizes=((1, 3), (2, 2), (3, 2)), gammas=GAMMAS, fast=3, full=9), ragged()),
    controls=[
        mutant("the step too short: 1 + eta tau < 1/gamma", short=True),
        mutant("the weight 1 + 2 eta tau of the divergence", weight=2),
        mutant("the uniform law over states for the stationary one", stationary=False),
        mutant("the factor gamma squared", power=2),
    ],
    about=[PolicyMirrorDescent],
    caveat="in the mean over the stationary law of the optimal policy, not in every state",
)
def regularized(
    mdp: Any,
    *,
    short: bool = False,
    weight: int = 1,
    stationary: bool = True,
    power: int = 1,
    steps: int = 8,
) -> Iterator[Row]:
    """With entropy, mirror descent with constant steps contracts by the discount factor."""
    judge = Judge(mdp)
    tau = Fraction(1, 5)
    L = judge.L
    ranks = [Fraction(1 + (k - judge.pairs[s][0])) for k, s in enumerate(judge.state)]
    for law, part in ((None, Fraction(1, 50)), (ranks, Fraction(1))):
        reference = None
        if law is not None:
            reference = [law[k] / sum(law[j] for j in judge.pairs[s]) for k, s in enumerate(judge.state)]
        eta = (1 / judge.gamma_exact - 1) / tau * (Fraction(1, 50) if short else part)
        problem = mdp.under(EntropyRegularized(judge.gamma_exact, tau, reference))
        log_reference = [ball(0)] * L if reference is None else [log(x) for x in reference]
        best = judge.soft_optimal(tau, None if reference is None else log_reference)
        log_star = judge.log_softmax(judge.q(best), tau, log_reference)
        star = [exp(x) for x in log_star]
        nu = judge.stationary(star) if stationary else [ball(Fraction(1, judge.S))] * judge.S
        solver = PolicyMirrorDescent(eta, KL)
        size = ball(eta)
        first: Any = None
        old_gap: Any = None
        old_far: Any = None
        old_log_pi: Any = None
        expected: Any = judge.log_uniform()
        for k, state in enumerate(iterates(problem, solver, steps)):
            log_pi = list(state.point)
            pi = [exp(x) for x in log_pi]
            V = judge.soft_value(log_pi, tau, log_reference)
            yield all_equal(log_pi, expected, f"log pi_{k}")
            yield all_equal(state.V, V, f"V_{k}")
            q = judge.q(V)
            pulled = [(log_pi[j] + size * q[j] + size * ball(tau) * log_reference[j]) for j in range(L)]
            expected = judge.log_softmax(pulled, 1 + size * ball(tau))
            far = judge.mean(star, [a - b for a, b in zip(log_star, log_pi, strict=True)])
            gap, far = weighted(nu, best) - weighted(nu, V), weighted(nu, far)
            total = gap + (1 + weight * size * ball(tau)) / size * far
            if first is not None:
                moved = judge.mean(pi, [a - b for a, b in zip(log_pi, old_log_pi, strict=True)])
                left = total + weighted(nu, moved) / size
                yield leq(left, judge.gamma**power * old_gap + old_far / size, f"step {k}")
                if part == 1:
                    yield leq(total, judge.gamma ** (power * k) * first, f"k={k}", k=k)
            else:
                first = total
            old_gap, old_far, old_log_pi = gap, far, log_pi


@claim(
    "johnson2023:gamma-rate",
    says=r"""\|V^* - V^{\pi_k}\|_\infty \le \gamma^k \Bigl( \|V^* - V^{\pi_0}\|_\infty + \frac{1}{\gamma(1-\gamma)\eta} \Bigr),
             \qquad T V^{\pi_k} - V^{\pi_{k+1}} \le \frac{\gamma^{2k}}{\eta}""",
    where="Theorem 4.1, recalled; derived, see docs; the adaptive rule",
    kind="upper",
    mode="numeric",
    instances=joined(FEW, chosen(lambda: [slow_chain(4, HALF)])),
    controls=[
        mutant("no second term, with long first losses", second=0, eta=Fraction(1, 100)),
        mutant("constant steps", rule=Constant(Fraction(1, 10)), eta=Fraction(1000)),
        mutant("the loss of a step ten times smaller", loss=Fraction(1, 10), eta=Fraction(1, 10)),
        mutant("the rate gamma squared", power=2, eta=Fraction(1000)),
    ],
    about=[PolicyMirrorDescent],
)
def adaptive(
    mdp: Any,
    *,
    maps: Any = MAPS,
    eta: Any = Fraction(2),
    rule: Any = None,
    second: int = 1,
    loss: Any = 1,
    power: int = 1,
    steps: int = 3,
) -> Iterator[Row]:
    """Mirror descent with adaptive steps is as fast as policy iteration is bound to be."""
    judge = Judge(mdp)
    for mirror in maps:
        solver = PolicyMirrorDescent(rule or Adaptive(eta), mirror)
        exact = is_exact(solver)
        number: Any = Fraction if exact else ball
        gamma, best = number(judge.gamma_exact), [number(x) for x in judge.optimal]
        before: Any = None
        bound: Any = None
        for now in the_iterates(judge, solver, steps if exact else 2 * steps):
            yield from now.rows
            lost = [a - b for a, b in zip(best, now.V, strict=True)]
            if before is None:
                gap = max(lost) if exact else norm(lost)
                bound = gap + second / (gamma * (1 - gamma) * number(eta))
            else:
                backup = [
                    (max if exact else largest)([before.q[k] for k in pairs]) - now.V[s]
                    for s, pairs in enumerate(judge.pairs)
                ]
                yield all_leq(backup, number(loss) * gamma ** (2 * before.k) / number(eta), f"loss of step {now.k}")
            level = gamma ** (power * now.k) * bound
            for s, x in enumerate(lost):
                yield leq(x, level, f"k={now.k}, s={s}", k=now.k, series=f"{type(mirror).__name__}, s={s}")
            before = now


@claim(
    "johnson2023:policy-iteration",
    says=r"""\eta \ge \frac{2}{\min_{s,\, b \ne a^*} Q^{\pi_k}(s,a^*) - Q^{\pi_k}(s,b)} \;\Rightarrow\; \pi_{k+1}
             \in \arg\max_a Q^{\pi_k} \text{ (Euclidean)}, \qquad
             \frac{\pi_{k+1}(b|s)}{\pi_{k+1}(a^*|s)} = \frac{\pi_k(b|s)}{\pi_k(a^*|s)} e^{-\eta (Q(a^*) - Q(b))}
             \text{ (relative entropy)}""",
    where="the limit of infinite steps, derived, see docs",
    kind="identity",
    mode="numeric",
    instances=discounted(sizes=((2, 2), (3, 2), (4, 3)), gammas=GAMMAS, fast=3, full=12),
    controls=[
        mutant("steps too short", eta=Fraction(1)),
        mutant("the least action value", sign=-1),
        mutant("one improvement less", late=1),
    ],
    about=[PolicyMirrorDescent],
    domain="action values without ties",
)
def policy_iteration(
    mdp: Any, *, eta: Any = Fraction(10**9), sign: int = 1, late: int = 0, steps: int = 4
) -> Iterator[Row]:
    """Mirror descent with long steps is policy iteration: exactly for Euclidean steps, exponentially nearly for others."""
    judge = Judge(mdp)
    solver = PolicyMirrorDescent(eta, L2)
    expected = judge.uniform()
    for k, state in enumerate(iterates(mdp, solver, steps, arithmetic="rational")):
        if k >= late:
            yield all_equal(state.point, expected, f"pi_{k}")
        V = judge.exact_value(expected)
        if k >= late:
            yield all_equal(state.V, V, f"V_{k}")
            q = judge.exact_q(V)
            new = [Fraction(0)] * judge.L
            for pairs in judge.pairs:
                new[max(pairs, key=lambda j: sign * q[j])] = Fraction(1)
            expected = new
    q = judge.q(judge.value(judge.uniform()))
    odds = [
        ball(eta) * (x - max((q[k] for k in judge.pairs[s]), key=float)) for x, s in zip(q, judge.state, strict=True)
    ]
    log_pi = list(iterates(mdp, PolicyMirrorDescent(eta, KL), 1))[-1].point
    for s, pairs in enumerate(judge.pairs):
        top = max(pairs, key=lambda k: float(q[k]))
        yield all_equal([log_pi[k] - log_pi[top] for k in pairs], [odds[k] for k in pairs], f"s={s}: log odds")


@claim(
    "johnson2023:optimal",
    says=r"""\|V^* - V^{\pi_k}\|_\infty \ge \tfrac12 \gamma^k \|V^* - V^{\pi_0}\|_\infty, \quad k < n, \qquad
             \|V^* - V^{\pi_k}\|_\infty = \varepsilon_k \gamma^k \text{ (Euclidean)}""",
    where="the shape of Theorem 4.2, recalled; the chain is made and its values are derived, see docs",
    kind="tight",
    mode="numeric",
    instances=chosen(lambda: [slow_chain(n, gamma) for n in (3, 5) for gamma in GAMMAS]),
    controls=[
        mutant("a smaller rate", power=2),
        mutant("one step faster", late=1),
        mutant("two thirds for the half", factor=Fraction(2, 3)),
    ],
    about=[PolicyMirrorDescent],
    caveat="for k below the number of states only: policy iteration ends after that many steps",
)
def optimal_rate(mdp: Any, *, power: int = 1, late: int = 0, factor: Fraction = HALF) -> Iterator[Row]:
    """The rate of policy iteration is attained: with adaptive steps, a chain improves one state a step."""
    judge = Judge(mdp)
    n = judge.S - 1
    for mirror in (L2, KL):
        solver = PolicyMirrorDescent(Adaptive(Fraction(10**6)), mirror)
        exact = is_exact(solver)
        number: Any = Fraction if exact else ball
        gamma = number(judge.gamma_exact)
        first: Any = None
        for now in the_iterates(judge, solver, n - 1):
            yield from now.rows
            lost = [number(a) - b for a, b in zip(judge.optimal, now.V, strict=True)]
            gap = max(lost) if exact else largest(lost)
            first = gap if first is None else first
            if exact:
                yield equal(gap, lead(now.k + late) * gamma ** (power * (now.k + late)), f"k={now.k}: gap")
            at = f"k={now.k}, {type(mirror).__name__}"
            yield leq(number(factor) * gamma**now.k * first, gap, at, k=now.k, series=type(mirror).__name__)
