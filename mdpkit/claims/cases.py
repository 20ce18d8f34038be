"""Instances matched to the hypotheses of claims: small rational models, named, so that each can be built again.

Each function gives ``(level, rng) -> cases``. The names are those of :mod:`mdpkit.instances`; where a model is put under
another criterion or initial law, the name says so after a comma. ``fast`` takes the first few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims.claim import Case, Cases, Level
from mdpkit.instances import make
from mdpkit.models.criterion import Discounted, EntropyRegularized, FiniteHorizon, TotalReward
from mdpkit.models.mdp import MDP

__all__ = [
    "bandit",
    "bandits",
    "by_pairs",
    "chosen",
    "deterministic",
    "discounted",
    "drawn_once",
    "finite_horizon",
    "goals",
    "joined",
    "locks",
    "named",
    "once",
    "positive",
    "ragged",
    "ragged_costs",
    "ragged_soft",
    "regularized",
    "tiny",
]

GAMMAS = (Fraction(1, 2), Fraction(9, 10), Fraction(99, 100))


def joined(*families: Cases) -> Cases:
    """The cases of several families, one after another."""

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for family in families:
            yield from family(level, rng)

    return cases


def chosen(cases: Iterable[Case] | Callable[[], Iterable[Case]]) -> Cases:
    """The same cases at every level."""

    def same(level: Level, rng: Any) -> Iterable[Case]:
        return cases() if callable(cases) else cases

    return same


def drawn_once(family: Cases, seed: int) -> Cases:
    """The fast cases of a family, the same at every level and seed: for controls and faults that need their luck."""

    def same(level: Level, rng: Any) -> Iterable[Case]:
        return family("fast", np.random.default_rng(seed))

    return same


def once(name: str = "symbols", problem: Any = None) -> Cases:
    """One case that is no model: for symbolic claims, and those that make their own numbers."""
    return chosen([Case(name, problem)])


def named(*sources: str, gamma: Fraction | None = None) -> Cases:
    """Instances by name, as on the command line: ``"riverswim?n_states=4"``; under the discount ``gamma`` if it is given."""

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for source in sources:
            mdp = _build(source)
            if gamma is not None:
                mdp = mdp.under(Discounted(gamma))
            yield Case(source if gamma is None else f"{source}, gamma={gamma}", mdp)

    return cases


def _build(source: str) -> MDP:
    from mdpkit.instances import parse

    name, params = parse(source)
    return make(name, **params)


def _draw(rng: Any) -> int:
    return int(rng.integers(0, 10_000))


def discounted(
    *,
    sizes: Iterable[tuple[int, int]] = ((1, 3), (2, 2), (3, 2), (4, 3)),
    gammas: Iterable[Fraction] = GAMMAS,
    fast: int = 4,
    full: int = 24,
    rho: str | None = None,
) -> Cases:
    """Random discounted models: dense and sparse laws, rewards in [0, 1] with thousandths, seeds from the run's generator.

    ``rho`` is ``"uniform"`` for a uniform initial law, ``"first"`` for state 0; by default the model's own.
    """
    sizes, gammas = tuple(sizes), tuple(gammas)

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            S, A = sizes[i % len(sizes)]
            gamma = gammas[i % len(gammas)]
            seed = _draw(rng)
            if i % 2:
                source = f"random-dense?S={S}&A={A}&gamma={gamma}&seed={seed}"
            else:
                source = f"garnet?S={S}&A={A}&branching={max(1, min(S, 2))}&gamma={gamma}&seed={seed}"
            yield _with_law(source, _build(source), rho)

    return cases


def _with_law(source: str, mdp: MDP, rho: str | None) -> Case:
    if rho is None:
        return Case(source, mdp)
    if rho == "first":
        return Case(f"{source}, rho=0", mdp.under(rho=0))
    law = np.array([Fraction(1, mdp.n_states)] * mdp.n_states, dtype=object)
    return Case(f"{source}, rho=uniform", mdp.under(rho=law))


def positive(**options: Any) -> Cases:
    """Random models whose transition probabilities are all positive, with a uniform initial law: ergodic under any policy."""

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(options.get("fast", 4) if level == "fast" else options.get("full", 24)):
            S, A = tuple(options.get("sizes", ((2, 2), (3, 2), (3, 3))))[i % len(options.get("sizes", (0, 0, 0)))]
            gamma = tuple(options.get("gammas", GAMMAS))[i % len(options.get("gammas", GAMMAS))]
            source = f"random-dense?S={S}&A={A}&gamma={gamma}&seed={_draw(rng)}"
            yield _with_law(source, _build(source), "uniform")

    return cases


def ragged(*, fast: int = 1, full: int = 3, gammas: Iterable[Fraction] = (Fraction(1, 2), Fraction(9, 10))) -> Cases:
    """Random models with positive transition probabilities, of two states with three actions and with two."""
    gammas = tuple(gammas)

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            source = f"random-dense?S=2&A=3&gamma={gammas[i % len(gammas)]}&seed={_draw(rng)}"
            whole = _build(source)
            keep = np.arange(whole.n_pairs - 1)
            rows: Any = np.full((whole.n_pairs, 2), Fraction(0), dtype=object)
            rows[whole.P.row_of, whole.P.indices.astype(np.int64)] = whole.P.rationals()
            rewards: Any = whole.reward.exact
            mdp = MDP(
                rows[keep],
                rewards[keep],
                whole.criterion,
                state=whole.state[keep],
                action=whole.action[keep],
                rho=np.array([Fraction(1, 3), Fraction(2, 3)], dtype=object),
            )
            yield Case(f"{source}, without the last pair, rho=(1/3, 2/3)", mdp)

    return cases


TAUS = (Fraction(1, 2), Fraction(1, 10), Fraction(2))


def regularized(*, taus: Iterable[Fraction] = TAUS, references: bool = True, **options: Any) -> Cases:
    """The models of :func:`discounted` with entropy; every other one has a reference policy if ``references``."""
    taus = tuple(taus)

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i, case in enumerate(discounted(**options)(level, rng)):
            mdp: MDP = case.problem
            tau, mu = taus[i % len(taus)], None
            name = f"{case.name}, tau={tau}"
            if references and i % 2:
                n = np.diff(mdp.pair_ptr)[mdp.state]
                weight = np.arange(mdp.n_pairs) - mdp.pair_ptr[mdp.state] + 1
                mu = np.array([Fraction(2 * int(w), int(m) * (int(m) + 1)) for w, m in zip(weight, n, strict=True)])
                name += ", reference in proportion to 1, 2, …"
            gamma = Fraction(mdp.criterion.exact)  # type: ignore[union-attr]
            yield Case(name, mdp.under(EntropyRegularized(gamma, tau, mu)))

    return cases


def ragged_soft() -> list[Case]:
    """Puterman's two states, the second with one action, with entropy and with a reference policy."""
    mdp, gamma, tau = _build("puterman-two-state"), Fraction(19, 20), Fraction(1, 2)
    mu = np.array([Fraction(1, 3), Fraction(2, 3), Fraction(1)])
    return [
        Case(f"puterman-two-state, gamma={gamma}, tau={tau}", mdp.under(EntropyRegularized(gamma, tau))),
        Case(f"puterman-two-state, gamma={gamma}, tau={tau}, reference", mdp.under(EntropyRegularized(gamma, tau, mu))),
    ]


def deterministic(*, fast: int = 3, full: int = 16, gammas: Iterable[Fraction] = GAMMAS) -> Cases:
    """Random models with deterministic transitions."""
    gammas = tuple(gammas)

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            source = f"garnet?S={3 + i % 3}&A=2&branching=1&gamma={gammas[i % len(gammas)]}&seed={_draw(rng)}"
            yield Case(source, _build(source))

    return cases


def finite_horizon(*, horizons: Iterable[int] = (2, 3, 5), fast: int = 3, full: int = 16) -> Cases:
    """Random models over a finite horizon."""
    horizons = tuple(horizons)

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            H = horizons[i % len(horizons)]
            source = f"garnet?S={2 + i % 3}&A={2 + i % 2}&branching=2&seed={_draw(rng)}"
            yield Case(f"{source}, H={H}", _build(source).under(FiniteHorizon(H)))

    return cases


def bandit(*rewards: Any, gamma: Fraction = Fraction(1, 2)) -> Case:
    """One state, an action for each reward."""
    r = [Fraction(x) for x in rewards]
    mdp = MDP([[[Fraction(1)]] * len(r)], [r], Discounted(gamma), rho=0)
    return Case(f"bandit r=({', '.join(map(str, r))}), gamma={gamma}", mdp)


def bandits(
    *, arms: Iterable[int] = (2, 3, 5), fast: int = 3, full: int = 9, gamma: Fraction = Fraction(1, 2)
) -> Cases:
    """One state with several actions, whose rewards are distinct thousandths: the softmax bandit of the rate theorems."""
    arms = tuple(arms)

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            A = arms[i % len(arms)]
            r = [Fraction(int(x), 1000) for x in rng.choice(1001, size=A, replace=False)]
            yield bandit(*r, gamma=gamma)

    return cases


def by_pairs(*, fast: int = 1, full: int = 3) -> Cases:
    """Random models whose discount differs between pairs: 3/10, 4/5 or 19/20."""

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for _ in range(fast if level == "fast" else full):
            seed = _draw(rng)
            source = f"random-dense?S=3&A=2&seed={seed}"
            draw = np.random.default_rng(seed)
            gamma = [[Fraction(int(x), 100) for x in draw.choice([30, 80, 95], size=2)] for _ in range(3)]
            shown = " ".join(str(x) for row in gamma for x in row)
            yield Case(f"{source}, gamma=({shown})", _build(source).under(Discounted(np.array(gamma, dtype=object))))

    return cases


def goals(*, sizes: Iterable[tuple[int, int]] = ((2, 2), (3, 2), (4, 2)), fast: int = 3, full: int = 12) -> Cases:
    """Random costs until a goal, the last state: some pairs lead there, others may never; costs are positive hundredths."""
    sizes = tuple(sizes)

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            (S, A), seed = sizes[i % len(sizes)], _draw(rng)
            yield Case(f"goal model S={S}, A={A}, seed={seed}", _goal(S, A, np.random.default_rng(seed)))

    return cases


def _goal(S: int, A: int, rng: Any) -> MDP:
    P = np.full((S + 1, A, S + 1), Fraction(0), dtype=object)
    r = np.full((S + 1, A), Fraction(0), dtype=object)
    for s in range(S):
        for a in range(A):
            # Only the first action is sure to have a chance of the goal.
            share = Fraction(int(rng.integers(1, 5)), 10) if a == 0 else Fraction(int(rng.integers(0, 3)), 20)
            weights = [int(x) for x in rng.integers(0, 5, S)]
            weights[int(rng.integers(S))] += 1
            for t, w in enumerate(weights):
                P[s, a, t] = (1 - share) * Fraction(w, sum(weights))
            P[s, a, S] = share
            r[s, a] = Fraction(int(rng.integers(1, 101)), 100)
    P[S, :, S] = Fraction(1)
    return MDP(P, r, TotalReward(target=[S]), minimize=True, rho=0)


def ragged_costs(criterion: Any) -> MDP:
    """Three states with two, one and three actions; costs."""
    rows = [("1/3", "2/3", 0), (0, 0, 1), ("1/2", "1/4", "1/4"), (1, 0, 0), ("1/5", "4/5", 0), (0, 0, 1)]
    P = np.array([[Fraction(x) for x in row] for row in rows], dtype=object)
    r = np.array([Fraction(x) for x in ("1/7", "2/7", "1/3", "1/2", "1/5", 1)], dtype=object)
    return MDP(P, r, criterion, state=[0, 0, 1, 2, 2, 2], action=[0, 1, 0, 0, 1, 2], minimize=True, rho=0)


def tiny(*, fast: int = 2, full: int = 4, gamma: Fraction = Fraction(4, 5)) -> Cases:
    """Random models of two states, whose trajectories can be enumerated; every other one has a single action in state 1."""

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            seed = _draw(rng)
            source = f"random-dense?S=2&A=2&gamma={gamma}&seed={seed}"
            mdp = _build(source)
            if i % 2:
                kept = slice(0, 3)
                rows = np.array(mdp.P.rationals(), dtype=object).reshape(-1, 2)[kept]
                reward = np.asarray(mdp.reward.exact)[kept]
                law = [Fraction(1, 4), Fraction(3, 4)]
                mdp = MDP(rows, reward, Discounted(gamma), state=[0, 0, 1], action=[0, 1, 0], rho=law)
                yield Case(f"{source}, without the last pair, rho=(1/4, 3/4)", mdp)
            else:
                yield _with_law(source, mdp, "uniform")

    return cases


def locks(*gammas: Fraction, start: Fraction = Fraction(97, 100)) -> Cases:
    """Two doors, each opened by one of three actions, before the only reward; other actions lead to a sink.

    The initial law is ``start`` on the first door and uniform on the other states, so that an optimal policy visits the reward
    far more often than early policies do.
    """

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        opened = [[[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]], [[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1]]]
        held = [[[0, 0, 1, 0]] * 3, [[0, 0, 0, 1]] * 3]
        P = [[[Fraction(x) for x in row] for row in rows] for rows in opened + held]
        r = [[Fraction(int(s == 2 and a == 0)) for a in range(3)] for s in range(4)]
        law = np.array([start] + [(1 - start) / 3] * 3, dtype=object)
        for gamma in gammas:
            yield Case(f"lock, gamma={gamma}, start={start}", MDP(P, r, Discounted(gamma), rho=law))

    return cases
