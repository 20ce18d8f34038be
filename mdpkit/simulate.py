r"""Trajectories of a model under a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.kernels.rational import to_fraction
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Markov, Mixture, Policy, Stationary
from mdpkit.models.sampling import check_count, check_generator, initial_law, sampled_rewards
from mdpkit.typing import Array, Floats, Ints

__all__ = ["Trajectory", "simulate"]

CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What happened: n steps, or several episodes of n steps with one more axis in front.

    Attributes
    ----------
    states : (n + 1,) or (episodes, n + 1) int
    actions, rewards : (n,) or (episodes, n)
    """

    states: Ints
    actions: Ints
    rewards: Floats

    def __len__(self) -> int:
        return self.actions.shape[-1]

    def discounted_return(self, gamma: Any = 1) -> Any:
        r""":math:`\sum_t \gamma^t r_t`, a float, or ``(episodes,)``.

        Parameters
        ----------
        gamma : number or (S, A) array
            Discount in [0, 1]; an array discounts by the state and action of each step.

        Raises
        ------
        OptionError
            If a factor is outside [0, 1].
        """
        factor = np.asarray(float(to_fraction(gamma)) if isinstance(gamma, str) else gamma).astype(np.float64)
        if not np.all((factor >= 0) & (factor <= 1)) or factor.ndim not in (0, 2):
            raise OptionError("gamma is no discount", found=gamma, needed="0 <= gamma <= 1, or an (S, A) array of such")
        if factor.ndim == 0:
            weight = factor ** np.arange(len(self))
        else:
            by_step = factor[self.states[..., :-1], self.actions]
            weight = np.ones(by_step.shape)
            np.cumprod(by_step[..., :-1], axis=-1, out=weight[..., 1:])
        total = np.sum(weight * self.rewards, axis=-1)
        return float(total) if self.actions.ndim == 1 else total

    def __repr__(self) -> str:
        shape = f"{self.actions.shape[0]} episodes of " if self.actions.ndim == 2 else ""
        return f"Trajectory({shape}{len(self)} steps)"


def simulate(
    mdp: MDP, policy: Any, steps: int, rng: np.random.Generator, *, start: Any = None, episodes: int | None = None
) -> Trajectory:
    """Run a policy; absorbing states go on looping, so that every episode has all its steps.

    Parameters
    ----------
    mdp : MDP
    policy : Policy or array
        ``Stationary``, actions ``(S,)`` or probabilities ``(S, A)``; ``Markov`` or probabilities ``(H, S, A)``;
        ``FiniteMemory``, ``Mixture`` (drawn once an episode), or anything with ``start``, ``act``, ``advance``.
        Stationary and Markov policies run compiled.
    steps : int
        Number of steps of each episode.
    rng : numpy.random.Generator
    start : int or (S,) law, optional
        The model's initial law by default.
    episodes : int, optional
        Number of independent episodes, along a new first axis.

    Returns
    -------
    Trajectory
        Rewards are r(s, a, s') where the model has such, else r(s, a); zero in a model without rewards.

    Raises
    ------
    ModelError
        Without an initial law; a policy that does not fit the model, or takes an inadmissible action.
    UnsupportedError
        For more steps than a model that varies with the stage has.

    Examples
    --------
    >>> P = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
    >>> path = simulate(MDP(P, np.array([[1.0], [0.0]])), [0, 0], 4, np.random.default_rng(0), start=0)
    >>> path.states, path.discounted_return("1/2")
    (array([0, 1, 0, 1, 0]), 1.25)
    """
    check_count(steps, "steps")
    check_count(1 if episodes is None else episodes, "episodes")
    check_generator(rng)
    if mdp.stages is not None and steps > mdp.stages:
        raise UnsupportedError(
            f"the model has {mdp.stages} stages", found=f"steps={steps}", way_out="simulate episodes of at most so many"
        )
    runner = _Runner(mdp, initial_law(mdp, start))
    ready = _ready(mdp, policy)
    n = 1 if episodes is None else int(episodes)
    states = np.empty((n, int(steps) + 1), dtype=np.int64)
    actions = np.empty((n, int(steps)), dtype=np.int64)
    rewards = np.empty((n, int(steps)))
    for i in range(n):
        runner.run(ready, rng, states[i], actions[i], rewards[i])
    if episodes is None:
        return Trajectory(states[0], actions[0], rewards[0])
    return Trajectory(states, actions, rewards)


@dataclass(frozen=True)
class _Compiled:
    """Cumulative action probabilities of each stage ``(n, L)``, of which the last repeats."""

    choice: Floats


@dataclass(frozen=True)
class _Mixed:
    parts: list[Any]
    law: Floats


def _ready(mdp: MDP, policy: Any) -> Any:
    """The policy in the form that :class:`_Runner` runs."""
    if isinstance(policy, Mixture):
        total = np.cumsum(policy.weights)
        return _Mixed([_ready(mdp, part) for part in policy.policies], total / total[-1])
    if isinstance(policy, (Stationary, Markov)) or not isinstance(policy, Policy):
        varying = isinstance(policy, Markov) or (not isinstance(policy, Stationary) and np.ndim(policy) == 3)
        parts = Markov.of(mdp, policy).stages if varying else (policy,)
        if not parts:
            raise ModelError("the policy has no stages", needed="at least one")
        from mdpkit.kernels import sampling

        kernels: Any = sampling
        weights = [Stationary.of(mdp, part).weights.astype(np.float64) for part in parts]
        choice = np.array([kernels.cumulative(mdp.pair_ptr, w) for w in weights])
        return _Compiled(choice)
    return policy


class _Runner:
    def __init__(self, mdp: MDP, start: Floats):
        self.mdp, self.start = mdp, start
        self.values, self.transition = sampled_rewards(mdp)
        self.P_stride = mdp.n_pairs if mdp.P.n_rows != mdp.n_pairs else 0
        self.r_stride = mdp.n_pairs if len(self.values) != mdp.n_pairs else 0

    def run(self, policy: Any, rng: np.random.Generator, states: Ints, actions: Ints, rewards: Floats) -> None:
        while isinstance(policy, _Mixed):
            policy = policy.parts[int(np.searchsorted(policy.law, rng.random(), side="right"))]
        s = int(np.searchsorted(self.start, rng.random(), side="right"))
        states[0] = s
        if isinstance(policy, _Compiled):
            self._compiled(policy, rng, s, states, actions, rewards)
        else:
            self._general(policy, rng, s, states, actions, rewards)

    def _compiled(
        self, policy: _Compiled, rng: np.random.Generator, s: int, states: Ints, actions: Ints, rewards: Floats
    ) -> None:
        from mdpkit.kernels import sampling

        mdp, P, n = self.mdp, self.mdp.P, len(actions)
        pairs, entries = np.empty(min(CHUNK, n), dtype=np.int64), np.empty(min(CHUNK, n), dtype=np.int64)
        last = len(policy.choice) - 1
        kernels: Any = sampling
        for t in range(0, n, CHUNK):
            m = min(CHUNK, n - t)
            u = rng.random((m, 2))
            out = states[t + 1 : t + 1 + m]
            arrays = (mdp.pair_ptr, policy.choice, P.indptr, P.indices, P.cumulative, self.P_stride)
            s = int(kernels.walk(s, t, last, u, *arrays, out, pairs, entries))
            actions[t : t + m] = mdp.action[pairs[:m]]
            rewards[t : t + m] = self._rewards(pairs[:m], entries[:m], np.arange(t, t + m) if self.r_stride else 0)

    def _rewards(self, pairs: Ints, entries: Ints, t: Any) -> Array:
        if self.transition is not None:
            return self.transition[entries]
        return self.values[pairs + t * self.r_stride]

    def _general(
        self, policy: Any, rng: np.random.Generator, s: int, states: Ints, actions: Ints, rewards: Floats
    ) -> None:
        mdp, P = self.mdp, self.mdp.P
        memory = policy.start(s)
        for t in range(len(actions)):
            a = _chosen(policy.act(memory, s), mdp.n_actions, s, rng.random())
            k = mdp.pair(s, a)
            row = k + t * self.P_stride
            i, j = int(P.indptr[row]), int(P.indptr[row + 1])
            e = i + int(np.searchsorted(P.cumulative[i:j], rng.random(), side="right"))
            s_next = int(P.indices[e])
            memory = policy.advance(memory, s, a, s_next)
            actions[t], states[t + 1] = a, s_next
            rewards[t] = self.values[k + t * self.r_stride] if self.transition is None else self.transition[e]
            s = s_next


def _chosen(row: Any, n_actions: int, s: int, u: float) -> int:
    law = np.asarray(row).astype(np.float64)
    if law.ndim != 1 or len(law) > n_actions or not np.all(law >= 0) or abs(law.sum() - 1) > 1e-9:
        raise ModelError(
            f"the policy's choice in state {s} is no law over the actions",
            found=row,
            needed=f"({n_actions},) probabilities that sum to one",
        )
    total = np.cumsum(law)
    return int(np.searchsorted(total / total[-1], u, side="right"))
