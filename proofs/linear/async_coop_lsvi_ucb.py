r"""Claims about the cooperative LSVI-UCB with asynchronous communication.

The judge is shown the episodes, and follows the protocol with exact sums and determinants of its own: who holds what, who
uploads when, and what each agent plans from. Features are multiples of an eighth, so that the learner's sums are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Case, Row, all_equal, claim, equal, fact, leq, mutant
from mdpkit.claims.claim import Level
from mdpkit.claims.exact import Exact
from mdpkit.claims.judge import ball, log
from mdpkit.claims.learning import initial, value_error
from mdpkit.claims.rounding import factors, near
from mdpkit.claims.statistics import proportion
from mdpkit.claims.trial import call, play, rounds
from mdpkit.instances import make
from mdpkit.kernels import optimistic_least_squares as least_squares
from mdpkit.proofs.linear.lsvi_ucb import Data, eighths, flat, followed, planned, radius, small, two_coins
from mdpkit.proofs.linear.optimal_design import det
from mdpkit.solvers.linear import LSVIUCB, AsyncCoopLSVIUCB

F = Fraction
ONE = F(1)


class Hoarder(AsyncCoopLSVIUCB):
    """Keeps its local sums after an upload."""

    def communicated(self, view: Any, server: Any, agent: Any) -> Any:
        """What was uploaded stays."""
        server, after = super().communicated(view, server, agent)
        return server, after._replace(local=agent.local)


class Hasty(AsyncCoopLSVIUCB):
    """Downloads before it uploads."""

    def communicated(self, view: Any, server: Any, agent: Any) -> Any:
        """The plan knows nothing of the last episodes."""
        return least_squares.added(server, agent.local), self.downloaded(view, server)


class Careless(AsyncCoopLSVIUCB):
    """Feedback goes to the agent that acts next."""

    def observe(self, state: Any, feedback: Any, rng: Any) -> Any:
        """The wrong agent keeps the episode."""
        other = (state.active + 1) % self.agents
        return super().observe(state._replace(active=other), feedback, rng)


class Protocol:
    """What everybody holds, from the episodes alone."""

    def __init__(self, mdp: Any, agents: int, threshold: Fraction, lambda_: Fraction):
        self.mdp, self.threshold, self.lambda_ = mdp, threshold, lambda_
        self.server, self.everything = Data(mdp), Data(mdp)
        self.local = [Data(mdp) for _ in range(agents)]
        self.held = [Data(mdp) for _ in range(agents)]
        self.communications = 0

    def copy(self, data: Data) -> Data:
        """The same data."""
        out = Data(self.mdp)
        out.joined(data)
        return out

    def episode(self, m: int, history: Any) -> None:
        """Agent m has acted."""
        self.everything.add(history)
        self.local[m].add(history)
        both = self.copy(self.held[m])
        both.joined(self.local[m])
        ratios = [det(both.ridged(h, self.lambda_)) / det(self.held[m].ridged(h, self.lambda_)) for h in range(both.H)]
        if any(r > self.threshold for r in ratios):
            self.server.joined(self.local[m])
            self.local[m] = Data(self.mdp)
            self.held[m] = self.copy(self.server)
            self.communications += 1


@claim(
    "async-coop-lsvi-ucb:nothing-lost",
    says=r"""\lambda I + \sum_{\text{all data}} \phi\phi^\top = \Lambda^{ser} + \sum_m \Lambda_m^{loc}, \quad
             \text{and each } \bar Q_m \text{ is planned from what agent } m \text{ downloaded last}""",
    where="the algorithm, recalled; the invariant derived",
    kind="identity",
    mode="numeric",
    instances=small,
    controls=[
        mutant("no local reset after an upload", kind=Hoarder),
        mutant("a download before the upload", kind=Hasty),
        mutant("feedback to another agent", kind=Careless),
        mutant("the threshold alpha for 1 + alpha", shift=1),
        mutant("a bonus for one set of data alone", union=0),
    ],
    about=[AsyncCoopLSVIUCB],
)
def nothing_lost(
    mdp: Any, *, rng: Any = None, kind: Any = AsyncCoopLSVIUCB, shift: int = 0, union: int = 1, K: int = 10
) -> Iterator[Row]:
    """No datum is lost or counted twice, and everybody knows what it should."""
    runs: list[tuple[dict[str, Any], Fraction]] = [
        ({"agents": 2, "alpha": F(1, 2), "beta": F(1, 4)}, F(3, 2)),
        ({"agents": 3, "alpha": None, "order": (0, 1, 0, 2), "beta": F(1, 8)}, F(10, 9)),
    ]
    for options, threshold in runs:
        learner = kind(**options)
        protocol = Protocol(mdp, learner.agents, threshold - shift, ONE)
        beta = [ball(options["beta"])] * protocol.server.H
        for played in rounds(mdp, learner, K, rng):
            state, at = played.state, f"M={learner.agents}, episode {played.k}"
            total = flat(state.server)
            for agent in state.agents:
                total = [x + y for x, y in zip(total, flat(agent.local), strict=True)]
            if not played.k:
                M, free = learner.agents, kind(**{**options, "beta": None})
                sets = union * (log(M) + (M - 1) * log(K + 1))
                due = radius(protocol.server, K, ONE, F(1, 10), sets=sets)
                wide = [x + type(x)(0, float(x) * float(factors(64))) for x in due]
                yield all_equal([F(x) for x in call(free.radius, state.view).tolist()], wide, f"{at}: the bonus")
            yield all_equal(total, protocol.everything.flat(), f"{at}: nothing is lost")
            yield all_equal(flat(state.server), protocol.server.flat(), f"{at}: the server")
            for m, agent in enumerate(state.agents):
                yield all_equal(flat(agent.local), protocol.local[m].flat(), f"{at}: agent {m}'s own data")
                both = protocol.copy(protocol.held[m])
                both.joined(protocol.local[m])
                yield from followed(both, protocol.held[m], agent.inverse, agent.ratio, ONE, f"{at}, agent {m}")
            yield equal(F(state.communications), F(protocol.communications), f"{at}: communications")
            yield equal(F(state.k), F(played.k), f"{at}: the count")
            if "order" in options:
                yield equal(F(state.active), F(options["order"][played.k % 4]), f"{at}: who acts")
            m = state.active
            yield fact(np.array_equal(played.policy, state.agents[m].choice), f"{at}: agent {m} acts")
            yield from planned(protocol.held[m], state.agents[m].plan, played.policy, ONE, beta, f"{at}, agent {m}")
            protocol.episode(m, played.history)


@claim(
    "async-coop-lsvi-ucb:communications",
    says=r"""\#\{\text{communications}\} \le H \Bigl(M + \frac1\alpha + 1\Bigr)
             \Bigl(d \log_2\bigl(1 + \tfrac{K}{d\lambda}\bigr) + 1\Bigr)""",
    where="derived, see docs; the order dHM^2 for alpha = 1/M^2 as in the abstract (seen)",
    kind="upper",
    mode="numeric",
    instances=small,
    controls=[
        mutant("every episode is uploaded", alpha=0.0),
        mutant("the bound without 1/alpha", inverse=0),
        mutant("the bound without the doublings", doublings=0),
    ],
    survivors={
        "dropped bonus": "determinants grow no more often, whatever is played",
        "off by one in k": "an episode that was never seen makes no more communications",
        "argmin for argmax": "determinants grow no more often, whatever is played",
    },
    about=[AsyncCoopLSVIUCB],
    caveat="the count alone does not see whether the data are right: async-coop-lsvi-ucb:nothing-lost does",
)
def communications(
    mdp: Any, *, rng: Any = None, alpha: float | None = None, inverse: int = 1, doublings: int = 1, K: int = 4000
) -> Iterator[Row]:
    """With a threshold, communications grow like a logarithm."""
    H, d = mdp.criterion.H, mdp.dim
    for M, a in ((1, F(1, 64)), (2, F(1, 4)), (4, F(1, 16))):
        learner = AsyncCoopLSVIUCB(agents=M, alpha=float(a) if alpha is None else alpha)
        run = play(mdp, learner, K, rng, keep=False, compiled=True)
        counts = run.series["communications"]
        yield equal(F(float(counts[0])), F(0), f"M={M}: none before the first episode")
        yield fact(bool(np.all(np.diff(counts) >= 0)), f"M={M}: communications are counted")
        for n in np.unique(np.geomspace(50, K, 8).astype(int)).tolist():
            grown = doublings * d * log(1 + F(n - 1, d)) / log(2) + 1
            bound = ball(H * (M + inverse / a + 1)) * grown
            yield leq(F(float(counts[n - 1])), bound, f"M={M}, K={n}", k=n, series=f"M={M}")
        if alpha is None:
            offered = learner.most(run.view)
            whole = ball(H * (M + 1 / a + 1)) * (d * log(1 + F(K, d)) / log(2) + 1)
            yield equal(F(offered), whole + type(whole)(0, float(whole) * 1e-12), f"M={M}: the bound")


@claim(
    "async-coop-lsvi-ucb:single-agent",
    says=r"M = 1,\; \alpha = 0: \quad \bar Q^k_h \text{ is that of LSVI-UCB, for all } k, h, \text{ bit by bit}",
    where="derived: the protocol with one agent and no threshold",
    kind="identity",
    mode="exact",
    instances=small,
    controls=[
        mutant("a threshold", alpha=1.0),
        mutant("two agents", agents=2),
        mutant("a larger ridge", lambda_=2.0),
    ],
    survivors={
        "argmin for argmax": "both learners are then wrong alike; jin2020:lsvi-ucb-plan says what is planned",
        "dropped bonus": "both learners are then wrong alike; jin2020:lsvi-ucb-plan says what is planned",
    },
    about=[AsyncCoopLSVIUCB, LSVIUCB],
)
def single_agent(mdp: Any, *, alpha: float = 0.0, agents: int = 1, lambda_: float = 1.0, K: int = 25) -> Iterator[Row]:
    """One agent that communicates always is LSVI-UCB, episode by episode, round by round and compiled."""
    many = AsyncCoopLSVIUCB(agents=agents, alpha=alpha, lambda_=lambda_, beta=0.25)
    one = LSVIUCB(beta=0.25)
    both = zip(
        rounds(mdp, many, K, np.random.default_rng(7)), rounds(mdp, one, K, np.random.default_rng(7)), strict=True
    )
    for left, right in both:
        plan = left.state.agents[left.state.active].plan
        for name, x, y in zip(("w", "Q", "V"), plan, right.state.plan, strict=False):
            yield all_equal(
                [F(v) for v in x.ravel().tolist()], [F(v) for v in y.ravel().tolist()], f"episode {left.k}: {name}"
            )
        yield fact(np.array_equal(left.policy, right.policy), f"episode {left.k}: the policy")
        yield equal(F(left.state.communications), F(left.k), f"episode {left.k}: communications")
    runs = [play(mdp, x, 300, np.random.default_rng(7), keep=False, compiled=True) for x in (many, one)]
    yield fact(np.array_equal(runs[0].values, runs[1].values), "compiled: values")
    yield fact(np.array_equal(runs[0].series["index"], runs[1].series["index"]), "compiled: indices")


def for_optimism(level: Level, rng: Any) -> Iterator[Case]:
    """The hypercube, and random features."""
    yield two_coins()
    yield Case("eighths, seed=3, H=2", eighths(3, 2))
    if level == "full":
        yield from small("fast", rng)


@claim(
    "async-coop-lsvi-ucb:optimism",
    says=r"\Pr\{\exists k \le K, m, h, s, a: \bar Q^k_{m,h}(s,a) < Q_h^*(s,a)\} \le \delta",
    where="derived, with a union over the numbers of episodes that an agent may know of; see docs",
    kind="upper",
    mode="statistical",
    instances=for_optimism,
    controls=[mutant("the constant 1/5 for the bonus", beta=0.2)],
    survivors={
        "off by one in k": "fewer data are as valid; async-coop-lsvi-ucb:nothing-lost says what is planned",
    },
    delta=1e-3,
    about=[AsyncCoopLSVIUCB],
    domain="coefficients of backups of norm at most 2 c sqrt(d), as in the paper",
)
def optimism(
    mdp: Any, *, rng: Any = None, delta: float = 1e-3, beta: Any = None, runs: int = 16, K: int = 12
) -> Iterator[Row]:
    """Every agent's index is above the optimal action value, but for few runs."""
    exact = Exact.of(mdp)
    star, H = exact.horizon(), exact.H or 0
    best = [exact.q(star[h + 1], stage=h) for h in range(H)]
    M, promised, failures = 2, F(1, 2), 0
    for _ in range(runs):
        failed = False
        for played in rounds(mdp, AsyncCoopLSVIUCB(agents=M, delta=promised, beta=beta), K, rng):
            for agent in played.state.agents:
                Q = agent.plan.Q.tolist()
                failed = failed or any(F(x) < y for h in range(H) for x, y in zip(Q[h], best[h], strict=True))
        failures += failed
    yield leq(proportion(failures, runs, delta), promised, f"{failures} of {runs} runs")


def for_regret(level: Level, rng: Any) -> Iterator[Case]:
    """The hypercube, where much is to be lost, and random features."""
    sharp = {"H": 2, "m": 1, "hidden": 1, "delta": "1/2", "gap": "1/2"}
    yield Case(
        "linear-hypercube-episodic?H=2&m=1&hidden=1&delta=1/2&gap=1/2", make("linear-hypercube-episodic", **sharp)
    )
    if level == "full":
        yield two_coins()
        yield from small("fast", rng)


@claim(
    "async-coop-lsvi-ucb:regret",
    says=r"""\sum_{k \le K} V_0^* - V_0^{\pi_k} \le 2 \sum_h \beta_h \Bigl[\sqrt{K \bigl(4 (1+\alpha) d L + 2 M E (1+\alpha)
             \log(1+\alpha)\bigr)} + M E\Bigr] + \sqrt{\tfrac K2 \log\tfrac1\delta \sum_{c \le H} c^2}, \quad
             L = \log(1 + \tfrac{K}{d\lambda}), \; E = d \log_2(1 + \tfrac{K}{d\lambda}) + 1""",
    where="derived, see docs; the order in d, H, K as in the abstract (seen), but for the cover of values and for log M",
    kind="upper",
    mode="statistical",
    instances=for_regret,
    controls=[
        mutant("the bound of what chance alone may cost", bonus=F(0)),
        mutant("a bound with a bonus that is three hundred times smaller", bonus=F(1, 300)),
    ],
    delta=1e-3,
    survivors={
        "dropped bonus": "greedy play loses little on these models, and the bound is from above; "
        "async-coop-lsvi-ucb:optimism says what the bonus does"
    },
    about=[AsyncCoopLSVIUCB],
    domain="coefficients of backups of norm at most 2 c sqrt(d), as in the paper",
    caveat="the bound is some hundred times what is seen",
)
def regret(mdp: Any, *, rng: Any = None, delta: float = 1e-3, bonus: Fraction = ONE, K: int = 20_000) -> Iterator[Row]:
    """The regret of all agents together stays under the derived bound, and what is reported is exact."""
    exact = Exact.of(mdp)
    H, d = exact.H or 0, mdp.dim
    grid = np.unique(np.geomspace(100, K, 6).astype(int)).tolist()
    for M, alpha in ((2, F(1, 4)), (4, F(1, 16))):
        level = F(delta) / (4 * len(grid))
        learner = AsyncCoopLSVIUCB(agents=M, delta=level)
        run = play(mdp, learner, K, rng, keep=False, compiled=True)
        yield near(run.best, initial(exact, exact.horizon()[0]), value_error(exact), f"M={M}: best")
        sets = log(M) + (M - 1) * log(K + 1)
        beta = sum(radius(Data(mdp), K, ONE, level, sets=sets), ball(0))
        for n in grid:
            logs, root = log(1 + F(n, d)), ball(n).sqrt()
            parts = M * (d * logs / log(2) + 1)
            widths = (4 * ball(1 + alpha) * d * logs + 2 * parts * ball(1 + alpha) * log(1 + alpha)).sqrt()
            luck = (log(1 / level) / 2 * sum(c * c for c in range(1, H + 1))).sqrt() * root
            bound = ball(bonus) * 2 * beta * (widths * root + parts) + luck
            at = f"M={M}, K={n}"
            if bonus == 1:
                offered = learner.bound(run.view, np.array([n]))
                wide = bound + type(bound)(0, float(bound) * 1e-10)
                yield equal(F(float(offered[0])), wide, f"{at}: the bound", resolution=1e-9)  # type: ignore[index]
            yield leq(F(float(run.cumulative[n - 1])) + n * value_error(exact), bound, at, k=n, series=f"M={M}")
