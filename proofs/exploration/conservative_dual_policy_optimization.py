r"""Claims of conservative dual policy optimization: what both updates do, exactly on fixed models, and in runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from mdpkit.claims import Interval, Row, all_equal, claim, equal, fact, leq, mutant, premise
from mdpkit.claims.cases import chosen, joined
from mdpkit.claims.claim import Case
from mdpkit.claims.exact import Exact
from mdpkit.claims.learning import Counts, episodic, initial, law_of, staged, value_error, value_of
from mdpkit.claims.rounding import factors, near
from mdpkit.claims.trial import call, rounds
from mdpkit.instances import make
from mdpkit.kernels import ensemble
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.solvers.exploration.conservative_dual_policy_optimization import ConservativeDualPolicyOptimization

CDPO = ConservativeDualPolicyOptimization
RUNS = episodic(fast=2, full=5, horizons=(3, 2, 3), by_stage=True)


def gamble(H: int = 3) -> MDP:
    """A state with a safe action, and one that pays more as long as it lasts: how long, models disagree."""
    half = Fraction(1, 2)
    rows = [[0, 1, 0], [half, 0, half], [0, 1, 0], [0, 0, 1]]
    P = np.array([[Fraction(x) for x in row] for row in rows], dtype=object)
    r = np.array([Fraction(3, 5), Fraction(1), Fraction(13, 20), Fraction(0)], dtype=object)
    return MDP(P, r, FiniteHorizon(H), state=[0, 0, 1, 2], action=[0, 1, 0, 0], rho=0)


def gambles(M: int) -> Any:
    """Models of it in which the risky action lasts for ever or ends at once, by turns; one model has the mean of both."""
    mdp = gamble()
    out = np.empty((M, 1, 3, 4), dtype=object)
    out[:] = Fraction(0)
    for m in range(M):
        lasts = Fraction(1, 2) if M == 1 else Fraction(m % 2)
        for k, law in enumerate([[0, 1, 0], [lasts, 0, 1 - lasts], [0, 1, 0], [0, 0, 1]]):
            for t, p in enumerate(law):
                out[m, 0, t, k] = Fraction(p)
    assert mdp.n_pairs == 4
    return out


def ensembles(level: Any, rng: Any) -> Iterator[Case]:
    """Models that share rewards and actions, with the problem whose laws are not used."""
    yield Case("gamble, H=3", (gamble(), gambles(2)))
    for number in range(2 if level == "fast" else 6):
        H, seed = (3, 2)[number % 2], int(rng.integers(10**6))
        mdp = make("random-dense", S=2, A=2 + number % 2, seed=seed).under(FiniteHorizon(H), rho=0)
        yield Case(f"random-dense?seed={seed}, H={H}", (mdp, drawn(Exact.of(mdp), rng, 3)))
    mdp = staged(int(rng.integers(10**6)), 3)
    yield Case("laws by stage, H=3", (mdp, drawn(Exact.of(mdp), rng, 2)))


# -- the judge's arithmetic: values, visits and policies in a list of models ---------------------------------------------


def rewards(exact: Exact, h: int, k: int) -> Fraction:
    """The reward of a pair at a stage."""
    return exact.r[k + h * exact.L if len(exact.r) > exact.L else k]


def tables(models: Any) -> list[Any]:
    """Models ``(M, n, S, L)`` as nested lists of exact numbers: model, stage, next state, pair."""
    return [
        [[[Fraction(x) for x in row] for row in stage] for stage in model] for model in np.asarray(models, dtype=object)
    ]


def q_in(exact: Exact, model: Any, h: int, V: Any) -> list[Any]:
    """Action values of a stage in a model."""
    law = model[min(h, len(model) - 1)]
    return [rewards(exact, h, k) + sum(law[t][k] * V[t] for t in range(exact.S)) for k in range(exact.L)]


def values_in(exact: Exact, model: Any, law: Any = None) -> tuple[list[Any], list[Any]]:
    """Values and action values of all stages in a model: of a policy's laws, or the optimal ones."""
    V: list[Any] = [[Fraction(0)] * exact.S]
    Q: list[Any] = []
    for h in range((exact.H or 0) - 1, -1, -1):
        q = q_in(exact, model, h, V[0])
        Q.insert(0, q)
        if law is None:
            V.insert(0, [max(q[k] for k in pairs) for pairs in exact.pairs])
        else:
            V.insert(0, [sum(law[h][k] * q[k] for k in pairs) for pairs in exact.pairs])
    return V, Q


def visits_in(exact: Exact, model: Any, law: Any) -> list[list[Any]]:
    """Probabilities of states at each stage."""
    d = [[Fraction(x) for x in exact.mdp.rho_exact.tolist()]]
    for h in range((exact.H or 0) - 1):
        P = model[min(h, len(model) - 1)]
        d.append([sum(d[h][exact.state[k]] * law[h][k] * P[t][k] for k in range(exact.L)) for t in range(exact.S)])
    return d


def mean_of(exact: Exact, models: Any, law: Any) -> Fraction:
    """The mean over models of a policy's value."""
    return sum((initial(exact, values_in(exact, m, law)[0][0]) for m in models), Fraction(0)) / len(models)


def distance(weights: Any, law: Any, choice: Any) -> Fraction:
    """The weighted probability of other pairs than the reference's."""
    return sum(
        (w * (1 - law[h][choice[h][s]]) for h, row in enumerate(weights) for s, w in enumerate(row)), Fraction(0)
    )


def all_policies(exact: Exact) -> Iterator[list[list[int]]]:
    """All deterministic policies of H stages, as pairs."""
    H = exact.H or 0
    for rows in product(*(pairs for _ in range(H) for pairs in exact.pairs)):
        yield [list(rows[h * exact.S : (h + 1) * exact.S]) for h in range(H)]


def pure(exact: Exact, choice: Any) -> Any:
    """A deterministic policy as laws."""
    return law_of(exact, np.array(choice))


def row_gap(exact: Exact, models: Any, law: Any, choice: Any, weights: Any, left: Any) -> Any:
    """What the best change at a single state and stage within the region gains."""
    H = exact.H or 0
    slopes = [[Fraction(0)] * exact.L for _ in range(H)]
    for model in models:
        _, Q = values_in(exact, model, law)
        d = visits_in(exact, model, law)
        for h in range(H):
            for k in range(exact.L):
                slopes[h][k] += d[h][exact.state[k]] * Q[h][k] / len(models)
    worst: Any = Fraction(0)
    for h in range(H):
        for s, pairs in enumerate(exact.pairs):
            q, w = choice[h][s], weights[h][s]
            moved = 1 - law[h][q]
            most = 1 if not w or moved * w + left >= w else max(moved + left / w, 0)
            best = most * max(slopes[h][k] - slopes[h][q] for k in pairs)
            worst = max(worst, best - sum(law[h][k] * (slopes[h][k] - slopes[h][q]) for k in pairs))
    return worst


def drawn(exact: Exact, rng: Any, M: int) -> Any:
    """Rational models ``(M, n, S, L)``, some of their probabilities zero."""
    n = (exact.H or 1) if len(exact.P) > exact.L else 1
    out = np.empty((M, n, exact.S, exact.L), dtype=object)
    for m, i, k in np.ndindex(M, n, exact.L):
        weights = [int(x) for x in rng.integers(0, 5, size=exact.S)]
        weights[int(rng.integers(exact.S))] += 1
        for t, w in enumerate(weights):
            out[m, i, t, k] = Fraction(w, sum(weights))
    return out


def posed(exact: Exact, models: Any) -> tuple[Any, Any, Any, Any]:
    """Rewards, pairs, initial law and mean model as the code takes them."""
    r = np.array(exact.r, dtype=object).reshape(-1, exact.L)
    rho = np.array([Fraction(x) for x in exact.mdp.rho_exact.tolist()], dtype=object)
    return r, exact.mdp.pair_ptr, rho, models.sum(axis=0) / Fraction(len(models))


# -- exactly, on fixed models -----------------------------------------------------------------------------------------


def referred(exact: Exact, model: Any, V: Any, choice: Any) -> Iterator[Row]:
    """That a reference is optimal in a model."""
    best, Q = values_in(exact, model)
    yield all_equal([x for row in V.tolist() for x in row], [x for row in best for x in row], "reference: values")
    greedy = [
        choice[h][s] in pairs and q[choice[h][s]] == best[h][s]
        for h, q in enumerate(Q)
        for s, pairs in enumerate(exact.pairs)
    ]
    yield fact(all(greedy), "reference: greedy")


def _on_the_mean(r: Any, models: Any, ptr: Any, rho: Any, region: Any) -> Any:
    """The best policy for the mean model."""
    return ensemble.enumeration(r, models.sum(axis=0)[None] / Fraction(len(models)), ptr, rho, region)


def _twice(r: Any, models: Any, ptr: Any, rho: Any, region: Any) -> Any:
    """Half of the total variation counted."""
    return ensemble.enumeration(r, models, ptr, rho, region._replace(eta=2 * region.eta))


def _not_divided(r: Any, models: Any, ptr: Any, rho: Any, region: Any) -> Any:
    """Distances of stages added up, and not averaged."""
    return ensemble.enumeration(r, models, ptr, rho, region._replace(weights=region.weights * len(region.choice)))


@claim(
    "cdpo:trust-region",
    says=r"\pi_\eta = \arg\max \{J(\pi) : D(\pi, q) \le \eta\}, \quad J(\pi_\eta) \ge J(q), \quad J(\pi_\eta)"
    r" \text{ increases in } \eta, \quad \pi_0 = q, \quad J(\pi_1) = \max J",
    where="(4.1) and (4.2) of Section 4 [seen]; the four facts are derived in docs/theory/exploration/cdpo.md",
    kind="identity",
    mode="exact",
    instances=ensembles,
    controls=[
        mutant("the value in the mean model instead of the mean value", update=_on_the_mean),
        mutant("half of the total variation", update=_twice),
        mutant("distances of stages added up", update=_not_divided),
    ],
    about=[CDPO],
    domain="deterministic policies",
)
def trust_region(problem: Any, *, update: Any = ensemble.enumeration) -> Iterator[Row]:
    """Both updates, against all deterministic policies, in rationals."""
    mdp, models = problem
    exact = Exact.of(mdp)
    H = exact.H or 0
    r, ptr, rho, mean = posed(exact, models)
    V, choice, weights = call(ensemble.reference, r, mean, ptr, H, rho)
    inside = tables(models)
    middle = tables(mean[None])[0]
    yield from referred(exact, middle, V, choice)
    d = visits_in(exact, middle, pure(exact, choice))
    yield all_equal(
        [x for row in weights.tolist() for x in row], [x / H for row in d for x in row], "reference: shares of visits"
    )
    everyone = [(distance(weights.tolist(), law, choice), mean_of(exact, inside, law)) for law in _laws(exact)]
    at_reference = mean_of(exact, inside, pure(exact, choice))
    last = at_reference
    for eta in (Fraction(0), Fraction(1, 12), Fraction(1, 5), Fraction(1, 2), Fraction(1)):
        at = f"eta={eta}"
        pi = call(update, r, models, ptr, rho, ensemble.Region(choice, weights, eta))
        law = law_of(exact, pi)
        away, value = distance(weights.tolist(), law, choice), mean_of(exact, inside, law)
        yield leq(away, eta, f"{at}: distance")
        yield equal(value, max(x for y, x in everyone if y <= eta), f"{at}: best within")
        yield leq(at_reference, value, f"{at}: reference")
        yield leq(last, value, f"{at}: increases")
        last = value
        if eta == 0:
            same = [law[h][choice[h][s]] == 1 for h, row in enumerate(weights.tolist()) for s, w in enumerate(row) if w]
            yield fact(all(same), f"{at}: the reference where it comes")
        if eta == 1:
            yield equal(value, max(x for _, x in everyone), f"{at}: best of all")


def _laws(exact: Exact) -> Iterator[Any]:
    for choice in all_policies(exact):
        yield pure(exact, choice)


def _blind(r: Any, models: Any, ptr: Any, rho: Any, region: Any) -> Any:
    """No trust region."""
    return ensemble.ascent(r, models, ptr, rho, region._replace(eta=Fraction(1)))


def _still(r: Any, models: Any, ptr: Any, rho: Any, region: Any) -> Any:
    """The reference."""
    return ensemble.ascent(r, models, ptr, rho, region._replace(eta=Fraction(0)))


def _mean_ascent(r: Any, models: Any, ptr: Any, rho: Any, region: Any) -> Any:
    """Ascent of the value in the mean model."""
    return ensemble.ascent(r, models.sum(axis=0)[None] / Fraction(len(models)), ptr, rho, region)


@claim(
    "cdpo:ascent",
    says=r"D(\pi, q) \le \eta, \quad J(\pi) \ge J(q), \quad J(\pi) \ge J(\pi') \text{ for all } \pi' \text{ with }"
    r" D(\pi', q) \le \eta \text{ that differ from } \pi \text{ at one state and stage}",
    where="derived in docs/theory/exploration/cdpo.md; the paper's own search is a neural approximation",
    kind="upper",
    mode="exact",
    instances=ensembles,
    controls=[
        mutant("no trust region", update=_blind),
        mutant("no ascent", update=_still),
        mutant("ascent in the mean model", update=_mean_ascent),
    ],
    about=[CDPO],
)
def ascent(problem: Any, *, update: Any = ensemble.ascent) -> Iterator[Row]:
    """The region is kept, nothing is lost, and no single change gains, in rationals."""
    mdp, models = problem
    exact = Exact.of(mdp)
    H = exact.H or 0
    r, ptr, rho, mean = posed(exact, models)
    V, choice, weights = call(ensemble.reference, r, mean, ptr, H, rho)
    yield from referred(exact, tables(mean[None])[0], V, choice)
    inside = tables(models)
    at_reference = mean_of(exact, inside, pure(exact, choice))
    shares = weights.tolist()
    for eta in (Fraction(1, 20), Fraction(1, 5), Fraction(1)):
        pi = call(update, r, models, ptr, rho, ensemble.Region(choice, weights, eta))
        at = f"eta={eta}"
        yield all_equal([sum(row[k] for k in pairs) for row in pi for pairs in exact.pairs], 1, f"{at}: laws")
        yield fact(all(x >= 0 for x in pi.flat), f"{at}: probabilities")
        law = [list(row) for row in pi]
        away = distance(shares, law, choice)
        yield leq(away, eta, f"{at}: distance")
        yield leq(at_reference, mean_of(exact, inside, law), f"{at}: reference")
        yield equal(row_gap(exact, inside, law, choice, shares, eta - away), 0, f"{at}: no single change")


@claim(
    "cdpo:performance-difference",
    says=r"|V^\pi_f - V^q_f|(\rho) \le \sum_h \mathbb{E}_{s \sim d^{\pi,f}_h} \mathrm{TV}(\pi_h, q_h)(s) \cdot \max_{h,s}"
    r" \mathrm{span}\, Q^{q,f}_h(s, \cdot)",
    where="the performance difference; derived in docs/theory/exploration/cdpo.md",
    kind="upper",
    mode="exact",
    instances=ensembles,
    controls=[
        mutant("a half", part=2),
        mutant("the span in the mean model", mean_span=True),
    ],
    about=[CDPO],
)
def performance_difference(problem: Any, *, part: int = 1, mean_span: bool = False) -> Iterator[Row]:
    """In every model the policy is no further from the reference than where they differ allows."""
    mdp, models = problem
    exact = Exact.of(mdp)
    H = exact.H or 0
    r, ptr, rho, mean = posed(exact, models)
    V, choice, weights = call(ensemble.reference, r, mean, ptr, H, rho)
    yield from referred(exact, tables(mean[None])[0], V, choice)
    other = pure(exact, choice)
    middle = tables(mean[None])[0]
    for number, weight in enumerate((Fraction(1, 10), Fraction(1, 2), Fraction(1))):
        # The ascent in one of the models leaves the reference wherever that is not optimal in it.
        region = ensemble.Region(choice, weights, weight)
        law = [list(row) for row in call(ensemble.ascent, r, models[-1:], ptr, rho, region)]
        for m, model in enumerate(tables(models)):
            _, Q = values_in(exact, middle if mean_span else model, other)
            V, _ = values_in(exact, model, other)
            span = max(max(q[k] for k in pairs) - min(q[k] for k in pairs) for q in Q for pairs in exact.pairs)
            d = visits_in(exact, model, law)
            apart = sum((d[h][s] * (1 - law[h][choice[h][s]]) for h in range(H) for s in range(exact.S)), Fraction(0))
            gap = abs(initial(exact, values_in(exact, model, law)[0][0]) - initial(exact, V[0]))
            yield leq(gap, apart * span / part, f"eta={weight}, model {m}", k=float(1 + number))


@claim(
    "cdpo:mean-model",
    says=r"\max_\pi \mathbb{E}_f V^\pi_f(\rho) \le \mathbb{E}_f V^q_f(\rho) \text{ for } q \text{ optimal in the mean model}",
    where="derived in docs/theory/exploration/cdpo.md",
    kind="counterexample",
    mode="exact",
    instances=chosen([Case("gamble, H=3", gamble())]),
    controls=[
        mutant("one model", M=1),
        mutant("two stages, where the value is linear in the law", H=2),
    ],
    about=[CDPO],
)
def mean_model(mdp: Any, *, M: int = 2, H: int = 3) -> Iterator[Row]:
    """False: what is optimal in the mean model is best on average."""
    exact = Exact.of(mdp.under(FiniteHorizon(H)))
    models = gambles(M)
    r, ptr, rho, mean = posed(exact, models)
    V, choice, weights = call(ensemble.reference, r, mean, ptr, H, rho)
    for row in referred(exact, tables(mean[None])[0], V, choice):
        yield premise(row)
    pi = call(ensemble.ascent, r, models, ptr, rho, ensemble.Region(choice, weights, Fraction(1)))
    inside = tables(models)
    yield leq(mean_of(exact, inside, [list(row) for row in pi]), mean_of(exact, inside, pure(exact, choice)), "ascent")


# -- in runs ----------------------------------------------------------------------------------------------------------


def _around(x: Any, error: Any) -> Interval:
    return Interval(x - error, x + error)


@claim(
    "cdpo:updates",
    says=r"\tilde f_t = \frac{\alpha + n(s,a,\cdot)}{\alpha S + n(s,a)}, \quad q_t \text{ greedy in } \tilde f_t, \quad"
    r" J_t(\pi_t) \ge J_t(q_t), \quad D(\pi_t, q_t) \le \eta, \quad"
    r" \text{no single change gains more than } 2^{-40}",
    where="Algorithm 1 [seen], tabular; derived in docs/theory/exploration/cdpo.md",
    kind="identity",
    mode="numeric",
    instances=RUNS,
    controls=[
        mutant("the counts without the prior", prior=Fraction(0)),
        mutant("half of the region", eta=Fraction(1, 100)),
        mutant("episodes counted at the next stage", shift=1),
    ],
    about=[CDPO],
)
def updates(
    mdp: Any,
    *,
    rng: Any = None,
    prior: Fraction = Fraction(1),
    eta: Fraction = Fraction(1, 50),
    shift: int = 0,
    K: int = 6,
) -> Iterator[Row]:
    """Posterior mean, reference, region, gain and stop of every episode, from the counts and the models that were drawn."""
    exact = Exact.of(mdp)
    H, S = exact.H or 0, exact.S
    by_stage = len(exact.P) > exact.L
    counts = Counts(exact, by_stage=by_stage)
    actions = max(len(pairs) for pairs in exact.pairs)
    # A stage is a mean over states and one over pairs of numbers up to H; the slopes add visits, which are products as long.
    error = 4 * (H + 1) * H * factors(2 * S + 4 * actions + 24)
    for played in rounds(mdp, CDPO(eta=Fraction(1, 50), models=3, prior=1), K, rng):
        state, at = played.state, f"episode {played.k}"
        model = tables(state.model[None])[0]
        for i, table in enumerate(counts.moves):
            for k, moves in enumerate(table):
                n = counts.visits[i][k] + prior * S
                if n:
                    expected = [(prior + moves.get(t, 0)) / n for t in range(S)]
                    found = [_around(model[i][t][k], factors(S + 8)) for t in range(S)]
                    yield all_equal(found, expected, f"{at}: posterior")
                else:
                    yield fact(False, f"{at}: no posterior")
        choice, weights = state.reference.tolist(), tables(state.weights[None, None])[0][0]
        best, Q = values_in(exact, model)
        yield all_equal(
            [_around(Fraction(x), error) for row in state.V.tolist() for x in row],
            [x for row in best for x in row],
            f"{at}: reference values",
        )
        for h in range(H):
            for s, pairs in enumerate(exact.pairs):
                yield fact(choice[h][s] in pairs, at)
                yield leq(best[h][s], Q[h][choice[h][s]] + 2 * error, f"{at}: greedy")
        d = visits_in(exact, model, pure(exact, choice))
        yield all_equal(
            [_around(x, error) for row in weights for x in row], [x / H for row in d for x in row], f"{at}: weights"
        )
        law = [[Fraction(x) for x in row] for row in np.asarray(played.policy).tolist()]
        sums = [sum(row[k] for k in pairs) for row in law for pairs in exact.pairs]
        yield all_equal([_around(x, factors(8)) for x in sums], 1, f"{at}: laws")
        away = distance(weights, law, choice)
        yield leq(away, eta + error, f"{at}: distance")
        inside = tables(state.models)
        value = mean_of(exact, inside, law)
        yield near(float(state.value[0]), value, error, f"{at}: mean value")
        yield leq(mean_of(exact, inside, pure(exact, choice)) - error, value, f"{at}: reference")
        gap = row_gap(exact, inside, law, choice, weights, Fraction(1, 50) - away)
        # What a share w of the visits may still move is off by the rounding of the distance over w.
        least = min(w for row in weights for w in row if w)
        yield leq(gap, Fraction(1, 2**40) + (2 + H / least) * error, f"{at}: no single change")
        yield near(played.value, value_of(exact, played.policy), value_error(exact), f"{at}: value")
        states, pairs_taken, _ = played.history
        if shift:
            states, pairs_taken = states[:-1], pairs_taken[1:]
        counts.add(states, pairs_taken)


class Prior(ConservativeDualPolicyOptimization):
    """Draws from the prior for ever."""

    def _plan(self, state: Any, rng: Any) -> Any:
        fresh = super()._plan(state._replace(moves=0 * state.moves), rng)
        return fresh._replace(moves=state.moves)

    def loop(self, *arguments: Any) -> Any:
        """None is compiled."""
        return None


class Certain(ConservativeDualPolicyOptimization):
    """Draws nothing: the mean, each time."""

    def _plan(self, state: Any, rng: Any) -> Any:
        found = super()._plan(state, rng)
        return found._replace(models=np.broadcast_to(found.model, found.models.shape))

    def loop(self, *arguments: Any) -> Any:
        """None is compiled."""
        return None


@claim(
    "cdpo:draws",
    says=r"\mathbb{E} [f_m(s'|s,a) \mid n] = \tilde f(s'|s,a) = \frac{\alpha + n(s,a,s')}{\alpha S + n(s,a)}, \quad"
    r" \mathbb{E} \bigl[ \textstyle\sum_{s'} (f_m - \tilde f)^2 \bigm| n \bigr]"
    r" = \frac{1 - \sum_{s'} \tilde f^2}{\alpha S + n + 1}",
    where="moments of Dirichlet laws, recalled",
    kind="identity",
    mode="statistical",
    instances=joined(chosen([Case("laws by stage, H=2", staged(3, 2))]), episodic(fast=1, full=3, horizons=(3,))),
    controls=[
        mutant("drawn from the prior", kind=Prior),
        mutant("the mean in place of draws", kind=Certain),
        mutant("a prior of two", prior=2.0),
    ],
    survivors={
        "off by one in k": "an episode less moves the mean by less than the radius; cdpo:updates says what is counted",
        "transposed P": "the posterior follows the history, whichever law made it",
        "rewards of the next pair": "draws do not depend on rewards",
        "argmin for argmax": "draws do not depend on policies",
        "stale values": "draws do not depend on values",
        "η → 2η": "draws do not depend on policies",
        "η → η/2": "draws do not depend on policies",
    },
    delta=1e-3,
    about=[CDPO],
)
def draws(
    mdp: Any, *, rng: Any = None, delta: float = 1e-3, kind: Any = CDPO, prior: float = 1.0, K: int = 60
) -> Iterator[Row]:
    """Drawn models deviate from the posterior's mean no further than martingales do, and spread as they should."""
    exact = Exact.of(mdp)
    S = exact.S
    counts = Counts(exact, by_stage=len(exact.P) > exact.L)
    M = 8
    n = K * M
    entries = len(counts.visits) * exact.L * S
    radius = math.sqrt(math.log(4 * entries / delta) / (2 * n))
    sums = np.zeros((len(counts.visits), S, exact.L))
    for played in rounds(mdp, kind(eta=0.02, models=M, prior=prior), K, rng):
        for i, table in enumerate(counts.moves):
            for k, moves in enumerate(table):
                mean = np.array([(1 + moves.get(t, 0)) / (S + counts.visits[i][k]) for t in range(S)])
                sums[i, :, k] += played.state.models[:, i, :, k].sum(axis=0) - M * mean
        counts.add(*played.history[:2])
    # Sums of n numbers in an interval of length one, with rounding.
    yield leq(float(np.max(np.abs(sums))) / n, radius + n * 1e-15 * S, "mean")
    first = next(iter(rounds(mdp, kind(eta=0.02, models=400, prior=prior), 1, rng)))
    spread = np.sum((first.state.models - 1 / S) ** 2, axis=2)
    exactly = (1 - 1 / S) / (S + 1)
    radius = math.sqrt(math.log(4 / delta) / (2 * spread.size))
    yield equal(
        Interval(float(spread.mean()) - radius, float(spread.mean()) + radius), exactly, "spread", resolution=1.0
    )
