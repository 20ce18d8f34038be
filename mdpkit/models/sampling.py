r"""Drawing from a model: generative models and simulators, which count their draws.

Next states are drawn by inverting the cumulative sums of the rows; a row that sums to one only within rounding is
drawn from in proportion. Randomness comes from the caller's :class:`numpy.random.Generator`, one uniform number a draw,
so that scalar and vectorized draws from one generator give the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.models.criterion import Invariance, Reachability
from mdpkit.models.mdp import MDP
from mdpkit.typing import Array, Floats, Ints

__all__ = ["GenerativeModel", "Simulator", "check_count", "check_generator", "initial_law", "sampled_rewards"]


class GenerativeModel:
    """Draws next states and rewards of any pair at will, and counts the draws.

    A model without rewards pays zero. The reward of a draw is r(s, a, s') where the model has rewards on transitions,
    else r(s, a).

    Parameters
    ----------
    mdp : MDP

    Attributes
    ----------
    calls : int
        Number of draws so far: what sample complexity counts.

    Raises
    ------
    ModelError
        If the model has several reward structures, none is chosen and the criterion needs one.

    Examples
    --------
    >>> from mdpkit.models import MDP, Discounted
    >>> P = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> oracle = GenerativeModel(MDP(P, np.array([[5.0, 10.0], [-1.0, -1.0]]), Discounted(0.95)))
    >>> oracle.sample(0, 1, np.random.default_rng(0))
    (1, 10.0)
    >>> next_states, rewards = oracle.sample(0, 0, np.random.default_rng(0), n=1000)
    >>> oracle.calls
    1001
    """

    def __init__(self, mdp: MDP):
        self.mdp = mdp
        self.calls = 0
        self._values, self._transition = sampled_rewards(mdp)

    def sample(
        self, s: int, a: int, rng: np.random.Generator, n: int | None = None, *, stage: int | None = None
    ) -> tuple[Any, Any]:
        """Draw the next state and reward of the pair (s, a).

        Parameters
        ----------
        s, a : int
        rng : numpy.random.Generator
        n : int, optional
            Number of draws; a single one as ``(int, float)`` by default, else arrays ``(n,)``.
        stage : int, optional
            Needed where laws or rewards vary with the stage.

        Raises
        ------
        ModelError
            If a is not admissible in s: names the admissible actions.
        OptionError
            If n is no count, rng no generator, or the stage is missing or out of range.
        """
        rng = check_generator(rng)
        pair = _pair(self.mdp, s, a)
        stage = self._stage(stage)
        if n is None:
            s_next, reward = _step(self.mdp, self._values, self._transition, pair, stage, rng)
            self.calls += 1
            return s_next, reward
        check_count(n, "the number of draws n")
        return self._draw(np.full(int(n), pair, dtype=np.int64), stage, rng)

    def sample_pairs(self, pairs: Any, rng: np.random.Generator, *, stage: int | None = None) -> tuple[Ints, Floats]:
        """Draw one next state and reward for each of ``pairs``, rows of the model (see :meth:`MDP.pair`), of any shape.

        Raises
        ------
        ModelError
            If a row is out of range.
        OptionError
            As for :meth:`sample`.
        """
        rng = check_generator(rng)
        rows = np.asarray(pairs)
        if rows.size and rows.dtype.kind not in "iu":
            raise OptionError("pairs are no row numbers", found=f"an array of {rows.dtype}", needed="integers")
        rows = rows.astype(np.int64)
        L = self.mdp.n_pairs
        bad = rows[(rows < 0) | (rows >= L)]
        if bad.size:
            raise ModelError("a pair is out of range", found=int(bad[0]), needed=f"0 <= pair < {L}")
        s_next, reward = self._draw(rows.ravel(), self._stage(stage), rng)
        return s_next.reshape(rows.shape), reward.reshape(rows.shape)

    def _stage(self, stage: int | None) -> int:
        H = self.mdp.stages
        if H is None:
            if stage is not None:
                raise OptionError("the model does not vary with the stage", found=stage, needed="stage=None")
            return 0
        if stage is None or not 0 <= stage < H:
            raise OptionError(
                "the model varies with the stage", found=stage, needed=f"0 <= stage < {H}", way_out="pass stage="
            )
        return int(stage)

    def _draw(self, pairs: Ints, stage: int, rng: np.random.Generator) -> tuple[Ints, Floats]:
        from mdpkit.kernels import sampling

        mdp, L = self.mdp, self.mdp.n_pairs
        P = mdp.P
        rows = pairs + stage * L if P.n_rows != L else pairs
        kernels: Any = sampling
        entry = kernels.draw(rows, rng.random(len(pairs)), P.indptr, P.cumulative)
        if self._transition is not None:
            reward = self._transition[entry]
        else:
            reward = self._values[pairs + stage * L if len(self._values) != L else pairs]
        self.calls += len(pairs)
        return P.indices[entry].astype(np.int64), reward

    def __repr__(self) -> str:
        return f"GenerativeModel({self.mdp.n_states} states, {self.mdp.n_pairs} pairs; {self.calls} calls)"


class Simulator:
    """Runs a model step by step from where it stands, and counts steps and resets.

    Parameters
    ----------
    mdp : MDP
    rng : numpy.random.Generator or int, optional
        Used where :meth:`reset` and :meth:`step` are given none; an integer is a seed.

    Attributes
    ----------
    state : int or None
        Where the model stands; ``None`` before the first reset.
    stage : int
        Steps since the last reset: the stage of a model that varies with it.
    steps, resets : int
        Totals so far.

    Examples
    --------
    >>> from mdpkit.models import MDP
    >>> walk = Simulator(MDP(np.array([[[0.0, 1.0]], [[1.0, 0.0]]]), np.array([1.0, 0.0]), rho=0), rng=0)
    >>> walk.reset(), walk.step(0), walk.step(0)
    (0, (1, 1.0), (0, 0.0))
    >>> walk.steps, walk.resets
    (2, 1)
    """

    def __init__(self, mdp: MDP, rng: np.random.Generator | int | None = None):
        self.mdp = mdp
        self.rng = None if rng is None else check_generator(np.random.default_rng(rng) if _is_integer(rng) else rng)
        self.state: int | None = None
        self.stage = 0
        self.steps = 0
        self.resets = 0
        self._values, self._transition = sampled_rewards(mdp)
        self._start: Floats | None = None

    def reset(self, state: int | None = None, rng: np.random.Generator | None = None) -> int:
        """Start again, in ``state`` or drawn from the model's initial law; returns the state.

        Raises
        ------
        ModelError
            If the state is out of range, or none is given and the model has no initial law.
        """
        if state is None:
            if self._start is None:
                self._start = initial_law(self.mdp)
            state = int(np.searchsorted(self._start, self._generator(rng).random(), side="right"))
        else:
            self.mdp.pairs_of(state)
        self.state, self.stage = int(state), 0
        self.resets += 1
        return self.state

    def step(self, a: int, rng: np.random.Generator | None = None) -> tuple[int, float]:
        """Take action a; returns the next state and the reward.

        Raises
        ------
        ModelError
            If a is not admissible where the model stands.
        UnsupportedError
            Before the first reset, or after the last stage of a model that varies with the stage.
        """
        mdp = self.mdp
        if self.state is None:
            raise UnsupportedError("the simulator stands in no state yet", way_out="call reset() first")
        if mdp.stages is not None and self.stage >= mdp.stages:
            raise UnsupportedError(f"the horizon of {mdp.stages} stages is over", way_out="call reset()")
        pair = _pair(mdp, self.state, a)
        s_next, reward = _step(mdp, self._values, self._transition, pair, self.stage, self._generator(rng))
        self.state = s_next
        self.stage += 1
        self.steps += 1
        return s_next, reward

    def _generator(self, rng: np.random.Generator | None) -> np.random.Generator:
        rng = self.rng if rng is None else rng
        if rng is None:
            raise OptionError("the simulator has no source of randomness", way_out="pass rng=np.random.default_rng(0)")
        return check_generator(rng)

    def __repr__(self) -> str:
        return f"Simulator({self.mdp.n_states} states, in state {self.state}; {self.steps} steps, {self.resets} resets)"


def initial_law(mdp: MDP, start: Any = None) -> Floats:
    """Cumulative initial law ``(S,)`` of a model, or of ``start``, a state or a law.

    Raises
    ------
    ModelError
        Without an initial law.
    """
    if start is None:
        if mdp.rho is None:
            raise ModelError(
                "the model has no initial law",
                needed="a state to start from",
                way_out="name one, or build the model with rho=",
            )
        law = mdp.rho
    else:
        array = np.asarray(start)
        if array.ndim == 0:
            mdp.pairs_of(int(array))
            law = np.zeros(mdp.n_states)
            law[int(array)] = 1.0
        else:
            law = array.astype(np.float64)
            if law.shape != (mdp.n_states,) or not np.all(law >= 0) or abs(law.sum() - 1) > 1e-9:
                needed = f"an index, or ({mdp.n_states},) probabilities that sum to one"
                raise ModelError("start is no state and no law", found=start, needed=needed)
    total = np.cumsum(law)
    return total / total[-1]


def sampled_rewards(mdp: MDP) -> tuple[Floats, Floats | None]:
    """Rewards of the pairs, ``(L,)`` or ``(H*L,)``, and of the stored transitions where there are such.

    Zeros for a model without rewards, or without an active one under a criterion of probability.
    """
    if mdp.active is None and (not mdp.rewards or isinstance(mdp.criterion, (Reachability, Invariance))):
        return np.zeros(mdp.n_pairs), None
    return mdp.reward.values, mdp.reward.transition


def _step(
    mdp: MDP, values: Floats, transition: Array | None, pair: int, stage: int, rng: np.random.Generator
) -> tuple[int, float]:
    P, L = mdp.P, mdp.n_pairs
    row = pair + stage * L if P.n_rows != L else pair
    i, j = int(P.indptr[row]), int(P.indptr[row + 1])
    entry = i + int(np.searchsorted(P.cumulative[i:j], rng.random(), side="right"))
    reward = values[pair + stage * L if len(values) != L else pair] if transition is None else transition[entry]
    return int(P.indices[entry]), float(reward)


def check_count(n: Any, name: str, least: int = 0) -> None:
    """Raise :class:`~mdpkit.errors.OptionError` unless ``n`` is an integer, at least ``least``."""
    if not _is_integer(n) or n < least:
        raise OptionError(f"{name} is no count", found=repr(n), needed=f"an integer >= {least}")


def check_generator(rng: Any) -> np.random.Generator:
    """Return ``rng``; raise :class:`~mdpkit.errors.OptionError` unless it is a generator."""
    if not isinstance(rng, np.random.Generator):
        raise OptionError("rng is no random generator", found=rng, needed="np.random.default_rng(seed)")
    return rng


def _pair(mdp: MDP, s: Any, a: Any) -> int:
    for value, name in ((s, "state"), (a, "action")):
        if not _is_integer(value):
            raise OptionError(f"the {name} is no index", found=value, needed="an integer")
    return mdp.pair(int(s), int(a))


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
