r"""The performance-difference lemma: with symbols, and exactly on random models through the library's own evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, equal, fact, leq, mutant
from mdpkit.claims.cases import discounted, joined, named, once
from mdpkit.claims.claim import claim
from mdpkit.claims.judge import Judge, array
from mdpkit.claims.trial import call, pose
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.proofs.operators._symbols import TwoByTwo, inverse_relations

F = Fraction

MODELS = joined(discounted(sizes=((2, 2), (3, 2), (4, 3)), fast=3, full=16), named("riverswim?n_states=4&gamma=9/10"))


def policies(judge: Judge) -> list[list[Fraction]]:
    """Three rational policies: one leans to the first actions, one to the last, one is deterministic."""
    up, down, sure = [], [], []
    for pairs in judge.pairs:
        n = len(pairs)
        whole = n * (n + 1) // 2
        up += [F(i + 1, whole) for i in range(n)]
        down += [F(n - i, whole) for i in range(n)]
        sure += [F(int(i == n - 1)) for i in range(n)]
    return [up, down, sure]


@claim(
    "kakade2002:performance-difference",
    says=r"V^{\pi'} - V^\pi = (I - \gamma P_{\pi'})^{-1} \bigl(\Pi' A^\pi\bigr),\quad "
    r"V^{\pi'}(\rho) - V^\pi(\rho) = \sum_s d^{\pi'}_\rho(s) \sum_a \pi'(a|s) A^\pi(s,a)",
    where="Lemma 6.1 (recalled); proved here. The same statement is run exactly on larger models: "
    "kakade2002:performance-difference-exact",
    kind="identity",
    mode="symbolic",
    instances=once(),
    domain="the matrix identity for all numbers of states and actions, in noncommuting symbols; with the sums over states and "
    "actions written out for S = A = 2, all transition laws, rewards, discounts, policies and initial laws",
    controls=[
        mutant("the visits of the old policy", visits="old"),
        mutant("the old policy's actions", actions="old"),
        mutant("the advantage of the new policy", advantage="new"),
        mutant("the normalized visits", normalized=True),
        mutant("the opposite sign", sign=-1),
    ],
)
def performance_difference(
    _: Any,
    *,
    visits: str = "new",
    actions: str = "new",
    advantage: str = "old",
    normalized: bool = False,
    sign: int = 1,
) -> Iterator[Row]:
    """Two policies differ by the advantages of one under the visits and actions of the other."""
    import sympy

    # All sizes: X stands for the inverse of I - gamma P', so that X P' = P' X = (X - 1)/gamma; Y likewise for P.
    X, Y, P1, P0, r1, r0 = sympy.symbols("X Y P1 P0 r1 r0", commutative=False)
    gamma = sympy.Symbol("gamma", positive=True)
    resolvent = X if visits == "new" else Y
    P, r = (P1, r1) if actions == "new" else (P0, r0)
    V = Y * r0 if advantage == "old" else X * r1
    factor = sign * (1 - gamma if normalized else 1)
    difference = X * r1 - Y * r0 - factor * resolvent * (r + gamma * P * V - V)
    yield fact(inverse_relations(difference, gamma, [(X, P1), (Y, P0)]) == 0, "all sizes")

    # S = A = 2, multiplied by both determinants.
    m = TwoByTwo()
    old, new = m.policy("p"), m.policy("q")
    det_old, V_old = m.value(old)
    det_new, V_new = m.value(new)
    det_d, d = m.visits(new if visits == "new" else old)
    pi = new if actions == "new" else old
    det_A, V_A = (det_old, V_old) if advantage == "old" else (det_new, V_new)
    q = m.q(det_A, V_A)
    right = sum(
        (d[s] * pi[s][a] * (q[s][a] - V_A[s]) for s in range(2) for a in range(2)), m.zero
    )  # over det_d * det_A
    left = sum((m.rho[s] * (V_new[s] * det_old - V_old[s] * det_new) for s in range(2)), m.zero)  # over both
    shrink = (1 - m.gamma) if normalized else m.one
    yield fact(left * det_d * det_A == sign * shrink * right * det_old * det_new, "S = A = 2")


@claim(
    "kakade2002:performance-difference-exact",
    says=r"V^{\pi'}(\rho) - V^\pi(\rho) = \sum_s d^{\pi'}_\rho(s) \sum_a \pi'(a|s) A^\pi(s,a)",
    where="Lemma 6.1 (recalled); proved for all sizes by kakade2002:performance-difference",
    kind="identity",
    mode="exact",
    instances=MODELS,
    controls=[
        mutant("the visits of the old policy", visits="old"),
        mutant("the old policy's advantages under its own actions", actions="old"),
        mutant("the normalized visits", normalized=True),
    ],
    caveat="what is tested is the library's evaluation of policies: values, action values, visits, in rationals",
)
def performance_difference_exact(
    mdp: Any, *, visits: str = "new", actions: str = "new", normalized: bool = False
) -> Iterator[Row]:
    """The performance-difference lemma through the library's values, advantages and visits, in rationals."""
    judge = Judge(mdp)
    laws = policies(judge)
    problem = call(lambda: pose(mdp, None, "rational")[0])
    on = OnPolicy(problem)
    for i, old in enumerate(laws):
        for j, new in enumerate(laws):
            if i == j:
                continue

            def right(old: Any = old, new: Any = new) -> Any:
                V = on.value(array(old))
                A = on.advantage(V)
                d = on.visits(array(new if visits == "new" else old))
                return d @ on.mean(array(new if actions == "new" else old), A)

            found = call(right)
            if normalized:
                found = (1 - judge.gamma_exact) * found
            left = judge.exact_objective(judge.exact_value(new)) - judge.exact_objective(judge.exact_value(old))
            yield equal(left, found, f"policies {i} and {j}")


@claim(
    "kakade2002:visits-exact",
    says=r"V^\pi = (I - \gamma P_\pi)^{-1} r_\pi,\quad Q^\pi = r + \gamma P V^\pi,"
    r"\quad d_\rho^\pi = \rho^\top (I - \gamma P_\pi)^{-1},"
    r"\quad \sum_s d_\rho^\pi(s) = \frac{1}{1-\gamma},\quad d_\rho^\pi \ge \rho",
    where="definitions; what the lemma is about",
    kind="identity",
    mode="exact",
    instances=MODELS,
    controls=[
        mutant("the normalized visits", normalized=True),
        mutant("values of the next state undiscounted", discount=False),
        mutant("another policy's visits", other=True),
    ],
)
def evaluation(mdp: Any, *, normalized: bool = False, discount: bool = True, other: bool = False) -> Iterator[Row]:
    """The library's values, action values and visits of a policy are those of its linear systems."""
    judge = Judge(mdp)
    on = OnPolicy(call(lambda: pose(mdp, None, "rational")[0]))
    laws = policies(judge)
    for i, pi in enumerate(laws):
        V = judge.exact_value(pi)
        d = judge.exact_visits(laws[i - 1] if other else pi)
        if normalized:
            d = [(1 - judge.gamma_exact) * x for x in d]
        found_V = call(lambda pi=pi: on.value(array(pi)))
        found_q = call(lambda V=found_V: on.q(V))
        found_d = call(lambda pi=pi: on.visits(array(pi)))
        gamma = judge.gamma_exact if discount else F(1)
        for s in range(judge.S):
            yield equal(V[s], found_V[s], f"policy {i}, V({s})")
            yield equal(d[s], found_d[s], f"policy {i}, visits of {s}")
            yield leq(judge.rho_exact[s], found_d[s], f"policy {i}, visits of {s} at least")
        for k in range(judge.L):
            flow = sum((p * v for p, v in zip(judge.P_exact[k], V, strict=True)), F(0))
            yield equal(judge.r_exact[k] + gamma * flow, found_q[k], f"policy {i}, Q of pair {k}")
        yield equal(1 / (1 - judge.gamma_exact), sum(found_d.tolist(), F(0)), f"policy {i}, sum of visits")
