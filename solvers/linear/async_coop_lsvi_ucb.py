r"""Async-Coop-LSVI-UCB: agents that act one at a time share what they saw through a server, when it is worth it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import optimistic_least_squares as least_squares
from mdpkit.kernels.optimistic_least_squares import Plan, Sums
from mdpkit.learner import Arena, Episode, Learner, Log, View
from mdpkit.models.sampling import check_count
from mdpkit.solvers.linear.lsvi_ucb import LSVIUCB
from mdpkit.typing import Array, Floats, Ints

__all__ = ["Agent", "AsyncCoopLSVIUCB", "State"]


class Agent(NamedTuple):
    """What an agent holds: its plan from the last download, what it saw since, and how much the determinants grew."""

    plan: Plan
    choice: Ints
    local: Sums
    inverse: Floats
    ratio: Floats


class State(NamedTuple):
    """The server's sums, the agents, who acts in the next episode, episodes and communications so far."""

    view: View
    server: Sums
    agents: tuple[Agent, ...]
    active: int
    k: int
    communications: int


@dataclass(frozen=True)
class AsyncCoopLSVIUCB(Learner[State]):
    r"""Cooperative LSVI-UCB with a star of M agents, of which one acts in each episode.

    Agent m plays greedily for its own :math:`\bar Q_{m,h}`. After an episode of its own it adds what it saw to
    :math:`\Lambda_{m,h}^{loc}`, and communicates if

    .. math:: \exists h: \quad \det\bigl(\Lambda_{m,h} + \Lambda_{m,h}^{loc}\bigr) > (1 + \alpha) \det \Lambda_{m,h}:

    it uploads, :math:`\Lambda_h^{ser} \leftarrow \Lambda_h^{ser} + \Lambda_{m,h}^{loc}`, starts its local sums anew, downloads
    :math:`\Lambda_{m,h} \leftarrow \Lambda_h^{ser}`, and plans as :class:`LSVIUCB` does from the server's data.

    **Guarantee.** At any time :math:`\lambda I` with all data is :math:`\Lambda^{ser} + \sum_m \Lambda_m^{loc}`, so that
    nothing is lost or counted twice: ``async-coop-lsvi-ucb:nothing-lost``. There are at most
    :math:`H (M + \tfrac1\alpha + 1)(d \log_2(1 + \tfrac{K}{d\lambda}) + 1)` communications:
    ``async-coop-lsvi-ucb:communications`` (derived). With M = 1 and :math:`\alpha = 0` it is LSVI-UCB, plan by plan:
    ``async-coop-lsvi-ucb:single-agent``. Every agent is optimistic: ``async-coop-lsvi-ucb:optimism``. The regret of
    all agents together grows as :math:`\sqrt K`, with M in terms of lower order and in a logarithm:
    ``async-coop-lsvi-ucb:regret`` (derived).

    *Departures.* The bonus and the cut-off at zero are those of :class:`LSVIUCB`, with
    :math:`2\log M + 2(M-1)\log(K+1)` more under the root: what an agent holds is the first episodes of each agent, so many of
    each, and the bound is to hold for all numbers of them. (The paper's bonus does not depend on M for
    :math:`\alpha = 1/M^2`; recalled.) Who acts is drawn from the learner's own random numbers, or given.

    Parameters
    ----------
    agents : int
        Their number M.
    alpha : number, optional
        :math:`1/M^2` by default.
    order : tuple of int or "uniform"
        The agents in the order in which they act, repeated; or each drawn anew.
    beta, lambda_, delta
        As for :class:`LSVIUCB`.

    References
    ----------
    ``async-coop-lsvi-ucb`` (abstract seen: regret :math:`\tilde O(d^{3/2} H^2 \sqrt K)` with :math:`\tilde O(d H M^2)`
    communications; the algorithm recalled), ``jin2020``.

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> mdp = mk.instances.make("linear-hypercube-episodic", H=3)
    >>> regret = mk.play(mdp, AsyncCoopLSVIUCB(agents=3), episodes=300, rng=np.random.default_rng(0))
    >>> bool(regret.series["communications"][-1] < 300)
    True
    """

    agents: int = 2
    alpha: Any = None
    order: Any = "uniform"
    beta: Any = None
    lambda_: Any = 1.0
    delta: Any = 0.1

    cites: ClassVar = ("async-coop-lsvi-ucb", "jin2020")
    claims: ClassVar = (
        "async-coop-lsvi-ucb:nothing-lost",
        "async-coop-lsvi-ucb:communications",
        "async-coop-lsvi-ucb:single-agent",
        "async-coop-lsvi-ucb:optimism",
        "async-coop-lsvi-ucb:regret",
    )
    kinds: ClassVar = ("finite",)
    needs: ClassVar = "features (an mk.LinearMDP) of norm at most one"
    series: ClassVar = ("index", "communications", "agent")
    optimistic: ClassVar = True
    bounded_by: ClassVar = "async-coop-lsvi-ucb:regret"
    bound_holds: ClassVar = "with probability 1 − 2δ"

    def __post_init__(self) -> None:
        check_count(self.agents, "the number of agents", 1)
        if self.alpha is not None:
            self.not_negative("alpha")
        _ = self.single
        if isinstance(self.order, str):
            if self.order != "uniform":
                raise OptionError("the order is unknown", found=repr(self.order), needed="'uniform' or agents' numbers")
            return
        order = tuple(int(m) for m in self.order)
        if not order or not all(0 <= m < self.agents for m in order):
            raise OptionError(
                "the order names no agents", found=self.order, needed=f"numbers from 0 to {self.agents - 1}"
            )
        object.__setattr__(self, "order", order)

    @property
    def single(self) -> LSVIUCB:
        """The learner that plans for each agent."""
        return LSVIUCB(beta=self.beta, lambda_=self.lambda_, delta=self.delta)

    @property
    def threshold(self) -> float:
        r"""What the determinants may grow by without a communication, :math:`1 + \alpha`."""
        return 1 + (1 / self.agents**2 if self.alpha is None else float(self.alpha))

    def sets(self, view: View) -> float:
        r"""The logarithm of how many sets of data an agent may hold, :math:`M (K+1)^{M-1}`."""
        return float(np.log(self.agents) + (self.agents - 1) * np.log(view.rounds + 1.0))

    def radius(self, view: View) -> Floats:
        """The factors of the bonus, ``(H,)``."""
        return self.single.radius(view, self.sets(view))

    def accepts(self, view: View) -> bool:
        """Whether these are episodes of a model with features."""
        return super().accepts(view) and view.phi is not None

    def begin(self, view: View, rng: np.random.Generator) -> State:
        """No data anywhere."""
        self.single.checked(view)
        assert view.H is not None and view.phi is not None
        server = least_squares.blank(view.H, view.phi.shape[1], view.n_states)
        first = self.downloaded(view, server)
        return State(view, server, (first,) * self.agents, self.next(0, rng), 0, 0)

    def next(self, k: int, rng: np.random.Generator) -> int:
        """Who acts in episode k."""
        if isinstance(self.order, str):
            return int(rng.random() * self.agents)
        return self.order[k % len(self.order)]

    def policy(self, state: State) -> Ints:
        """The greedy pairs of the acting agent, ``(H, S)``."""
        return state.agents[state.active].choice

    def observe(self, state: State, feedback: Episode, rng: np.random.Generator) -> State:
        """The acting agent keeps the episode, and communicates if its determinants have grown enough."""
        phi: Any = state.view.phi
        m = state.active
        agent = state.agents[m]
        local = least_squares.collected(agent.local, phi, feedback.pairs, feedback.rewards, feedback.states[1:])
        inverse, ratio = least_squares.grown(agent.inverse, agent.ratio, phi[feedback.pairs])
        agent = agent._replace(local=local, inverse=inverse, ratio=ratio)
        server, count = state.server, state.communications
        if np.any(ratio > self.threshold):
            server, agent = self.communicated(state.view, server, agent)
            count += 1
        agents = (*state.agents[:m], agent, *state.agents[m + 1 :])
        return State(state.view, server, agents, self.next(state.k + 1, rng), state.k + 1, count)

    def communicated(self, view: View, server: Sums, agent: Agent) -> tuple[Sums, Agent]:
        """Upload, and download: the server and the agent afterwards."""
        server = least_squares.added(server, agent.local)
        return server, self.downloaded(view, server)

    def downloaded(self, view: View, server: Sums) -> Agent:
        """An agent with the server's data, and none of its own."""
        plan, choice = self.single.made(view, server, self.sets(view))
        local = least_squares.blank(*server.M.shape)
        return Agent(plan, choice, local, plan.inverse, np.ones(len(choice)))

    def notes(self, state: State) -> tuple[float, ...]:
        """The acting agent's optimistic value at the initial law, the communications so far, and who acts."""
        V = state.agents[state.active].plan.V[0]
        return float(state.view.rho @ V), float(state.communications), float(state.active)  # type: ignore[operator]

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """The same, compiled."""
        from mdpkit.kernels.online import linear

        n, kernels = len(log.values), cast(Any, linear)
        server = Sums(*(x.copy() for x in state.server))
        local, plans = ([np.stack(parts) for parts in zip(*group, strict=True)] for group in (
            (agent.local for agent in state.agents), (agent.plan for agent in state.agents),
        ))  # fmt: skip
        choice, inverse, ratio = (
            np.stack([agent[i] for agent in state.agents])  # pyright: ignore[reportArgumentType, reportCallIssue]
            for i in (1, 3, 4)
        )
        if isinstance(self.order, str):
            order = (own.random(n) * self.agents).astype(np.int64)
        else:
            order = np.resize(np.roll(self.order, -(state.k + 1) % len(self.order)), n).astype(np.int64)
        counts = np.array([state.communications], dtype=np.int64)
        active = kernels.cooperative(
            arena, view.phi, float(self.lambda_), self.radius(view), self.threshold, order, tuple(server),
            (*local, *plans, choice, inverse, ratio), state.active, counts, False, outer, log,
        )  # fmt: skip
        agents = tuple(
            Agent(Plan(*(x[m] for x in plans)), choice[m], Sums(*(x[m] for x in local)), inverse[m], ratio[m])
            for m in range(self.agents)
        )
        return State(view, server, agents, int(active), state.k + n, int(counts[0]))

    def bound(self, view: View, rounds: Array) -> Array | None:
        r"""On the regret of all agents after K episodes, with probability :math:`1 - 2\delta`; derived.

        .. math:: 2 \sum_h \beta_h \Bigl[\sqrt{K \bigl(4 (1+\alpha) d \log(1 + \tfrac{K}{d\lambda})
                  + 2 M E (1+\alpha) \log(1+\alpha)\bigr)} + M E\Bigr] +
                  \sqrt{\tfrac K2 \log\tfrac1\delta \sum_{c \le H} c^2}, \qquad
                  E = d \log_2(1 + \tfrac{K}{d\lambda}) + 1
        """
        if self.beta is not None:
            return None
        assert view.H is not None and view.phi is not None
        K, d, g = np.asarray(rounds, dtype=np.float64), view.phi.shape[1], self.threshold
        logs = np.log(1 + K / (d * float(self.lambda_)))
        parts = self.agents * (d * logs / np.log(2) + 1)
        widths = np.sqrt(K * (4 * g * d * logs + 2 * parts * g * np.log(g))) + parts
        luck = np.sqrt(K / 2 * np.log(1 / float(self.delta)) * float(np.sum(np.arange(1, view.H + 1) ** 2)))
        return 2 * float(np.sum(self.radius(view))) * widths + luck

    def most(self, view: View) -> float:
        """The bound on the number of communications; infinite for alpha = 0."""
        assert view.H is not None and view.phi is not None
        alpha, d = self.threshold - 1, view.phi.shape[1]
        if alpha == 0:
            return np.inf
        doublings = d * np.log2(1 + view.rounds / (d * float(self.lambda_))) + 1
        return view.H * (self.agents + 1 / alpha + 1) * float(doublings)
