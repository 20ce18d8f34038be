r"""Finite Markov chains with rewards: classes, laws, gain and bias, hitting and mixing times."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from mdpkit.errors import ModelError, OptionError, UnsupportedError, nearest
from mdpkit.kernels import graph as g
from mdpkit.kernels import stationary as kernel
from mdpkit.models.mdp import MDP
from mdpkit.models.rewards import exact_array
from mdpkit.models.transitions import Transitions, check_memory
from mdpkit.typing import Array, Bools, Floats, Ints

__all__ = ["MarkovChain"]


class MarkovChain:
    r"""A finite Markov chain :math:`P`, perhaps with rewards :math:`r` and an initial law.

    Whatever its classes and periods. Everything is exact, in Fractions, where the chain is (see :meth:`exact`).

    Parameters
    ----------
    P : array, sparse matrix or Transitions
        ``(S, S)``, rows that sum to one. Fractions and strings such as ``"1/3"`` are kept as exact rationals.
    r : number or array, optional
        Rewards of the states ``(S,)``, or of the transitions ``(S, S)``.
    rho : int or (S,) array, optional
        Initial state or law.
    names : sequence, optional
        Names of the states.
    normalize : bool
        Divide each row by its sum. Never done unasked.

    Raises
    ------
    ModelError
        As :class:`MDP` does: rows that do not sum to one, entries that are no probabilities; named by their state.

    Notes
    -----
    The theory is in the documentation's page on Markov chains. Kemeny & Snell (1960); Puterman (1994), appendix A.

    Examples
    --------
    The weather in the land of Oz (Kemeny & Snell): rain, nice, snow.

    >>> chain = MarkovChain([["1/2", "1/4", "1/4"], ["1/2", 0, "1/2"], ["1/4", "1/4", "1/2"]], names=["R", "N", "S"])
    >>> chain
    MarkovChain(3 states, 8 transitions; one recurrent class; exact)
    >>> chain.stationary.tolist()
    [Fraction(2, 5), Fraction(1, 5), Fraction(2, 5)]
    >>> chain.hitting_times("N").tolist()
    [Fraction(4, 1), Fraction(0, 1), Fraction(4, 1)]
    >>> chain.mixing_time()
    1
    """

    mdp: MDP

    def __init__(
        self,
        P: Any,
        r: Any = None,
        rho: Any = None,
        names: Sequence[Any] | None = None,
        *,
        normalize: bool = False,
    ):
        rows = P if isinstance(P, Transitions) or hasattr(P, "tocsr") else _square(P)
        n, columns = rows.shape
        if n != columns:
            raise ModelError(
                "P is not square", found=f"shape {(n, columns)}", needed="(S, S): a row and a column a state"
            )
        reward = r
        if r is not None and not hasattr(r, "tocsr"):
            reward = np.asarray(r)
            exact = rows.exact is not None if isinstance(rows, Transitions) else rows.dtype.kind in "OUSiub"
            if exact and reward.dtype.kind in "iub":
                reward = exact_array(reward)
            if reward is not None and reward.shape == (n, n) and n > 1:
                reward = reward[:, None, :]
        states = np.arange(n)
        mdp = MDP(
            rows, reward, state=states, action=0 * states, rho=rho, state_names=names, normalize=normalize
        )  # fmt: skip
        self.__dict__["mdp"] = mdp

    @classmethod
    def of(cls, mdp: MDP, policy: Any = None) -> MarkovChain:
        """The chain of a model under a stationary policy, with the rewards of its active structure.

        Parameters
        ----------
        mdp : MDP
        policy : Stationary, ``(S,)`` actions or ``(S, A)`` probabilities, optional
            May be left out where each state has one action.

        Raises
        ------
        ModelError
            A state with several actions and no policy.
        UnsupportedError
            Laws or rewards that vary with the stage.
        """
        if mdp.stages is not None:
            raise UnsupportedError("a model whose laws or rewards vary with the stage is no homogeneous chain")
        if policy is not None:
            mdp = mdp.induced(policy)
        elif mdp.n_pairs != mdp.n_states:
            s = int(np.argmax(np.diff(mdp.pair_ptr)))
            raise ModelError(
                f"state {s} has several actions, so the model is no chain",
                found=f"{len(mdp.pairs_of(s))} actions",
                needed="one action a state, or a policy",
                way_out="MarkovChain.of(mdp, policy)",
            )
        self = cls.__new__(cls)
        self.__dict__["mdp"] = mdp
        return self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a MarkovChain is frozen: {name} cannot be set; build a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a MarkovChain is frozen: {name} cannot be deleted")

    def __repr__(self) -> str:
        parts = [f"{self.n_states} states, {self.P.nnz} transitions"]
        count = len(self.classes)
        parts.append("one recurrent class" if count == 1 else f"{count} recurrent classes")
        if self.transient.size:
            parts[-1] += f", {self.transient.size} transient states"
        if self.mdp.active is not None:
            parts.append("with rewards")
        if self.is_exact:
            parts.append("exact" if self.mdp.origin == "as given" else f"exact ({self.mdp.origin})")
        return f"MarkovChain({'; '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        return self.mdp == other.mdp if isinstance(other, MarkovChain) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.mdp)

    # -- parts -------------------------------------------------------------------------------------------------------

    @property
    def n_states(self) -> int:
        """Number of states, S."""
        return self.mdp.n_states

    @property
    def P(self) -> Transitions:
        """The transition probabilities, a row a state; ``P.toarray()`` is the matrix."""
        return self.mdp.P

    @property
    def names(self) -> tuple[Any, ...] | None:
        """Names of the states, if they have names."""
        return self.mdp.state_names

    @property
    def r(self) -> Array:
        """Expected rewards of the states ``(S,)``: Fractions where they are exact, else floats."""
        reward = self.mdp.reward
        return reward.values if reward.exact is None else reward.exact

    @property
    def rho(self) -> Array | None:
        """The initial law ``(S,)``, if one was given."""
        return self.mdp.rho if self.mdp.rho_exact is None else self.mdp.rho_exact

    @property
    def is_exact(self) -> bool:
        """Whether the probabilities are rational; gain and bias are exact where the rewards are too."""
        return self.P.exact is not None

    def exact(self, *, dyadic: bool = False) -> MarkovChain:
        """The chain in rationals; see :meth:`MDP.exact`."""
        return MarkovChain.of(self.mdp.exact(dyadic=dyadic))

    @property
    def _rows(self) -> tuple[Ints, Array, Array]:
        P = self.P
        return P.indptr, P.indices, P.data if P.exact is None else P.exact

    @cached_property
    def _graph(self) -> g.Graph:
        return g.Graph(np.arange(self.n_states + 1), self.P.indptr, self.P.indices)

    def _check_square(self, what: str) -> None:
        check_memory(8.0 * self.n_states**2 * (16 if self.is_exact else 4), what)

    def _target(self, target: Any) -> Bools:
        names = self.names
        if isinstance(target, str) and target not in self.mdp.labels:
            if names is None or target not in names:
                raise OptionError(f"unknown state {target!r}", way_out=nearest(target, map(str, names or ())))
            target = names.index(target)
        mask = self.mdp.states_of(target)
        if not mask.any():
            raise OptionError("the target is empty", needed="one state at least")
        return mask

    # -- structure ---------------------------------------------------------------------------------------------------

    @cached_property
    def label(self) -> Ints:
        """The recurrent class of each state ``(S,)``, numbered by the smallest state; -1 for transient states."""
        return kernel.recurrent_classes(*self._rows)[0]

    @cached_property
    def classes(self) -> tuple[Ints, ...]:
        """The recurrent classes, as arrays of their states."""
        order = np.argsort(self.label, kind="stable")
        bounds = np.searchsorted(self.label[order], np.arange(int(self.label.max()) + 2))
        return tuple(order[i:j] for i, j in pairwise(bounds.tolist()))

    @cached_property
    def transient(self) -> Ints:
        """The states that are left for good, as an array."""
        return np.flatnonzero(self.label < 0)

    @property
    def is_irreducible(self) -> bool:
        """Whether every state leads to every other."""
        return len(self.classes) == 1 and not self.transient.size

    @cached_property
    def periods(self) -> tuple[int, ...]:
        """The period of each recurrent class."""
        everything = np.arange(self.n_states)
        return tuple(g.period(self._graph, everything, members) for members in self.classes)

    # -- long run ----------------------------------------------------------------------------------------------------

    @cached_property
    def stationary(self) -> Array:
        """The stationary law ``(S,)``, or, where there are several recurrent classes, a row for each: ``(classes, S)``."""
        law, label, count = kernel.stationary_laws(*self._rows)
        if count == 1:
            return law
        check_memory(8.0 * count * self.n_states, f"the stationary laws of {count} classes")
        laws: Array = np.zeros((count, self.n_states), dtype=np.int64).astype(law.dtype)
        if law.dtype == object:
            laws[:] = 0 * law[0]
        inside = np.flatnonzero(label >= 0)
        laws[label[inside], inside] = law[inside]
        return laws

    @cached_property
    def absorption(self) -> Array:
        """The probabilities of ending in each recurrent class, ``(S, classes)``."""
        check_memory(8.0 * self.n_states * len(self.classes), "the absorption probabilities")
        return kernel.absorption(*self._rows)[0]

    def limiting_matrix(self) -> Array:
        r""":math:`P^*`, the Cesaro limit of the powers of P, ``(S, S)``; row s is the long run from s."""
        self._check_square("the limiting matrix")
        return kernel.limiting_matrix(*self._rows)

    def deviation_matrix(self) -> Array:
        r""":math:`H = (I - P + P^*)^{-1} (I - P^*)`, ``(S, S)``, which sums the deviations :math:`P^t - P^*`."""
        self._check_square("the deviation matrix")
        return kernel.deviation_matrix(*self._rows)

    @cached_property
    def _poisson(self) -> tuple[Array, Array]:
        return kernel.gain_and_bias(*self._rows, self.r)[:2]

    @property
    def gain(self) -> Array:
        r"""The average reward from each state, :math:`P^* r`, ``(S,)``; raises ModelError without rewards."""
        return self._poisson[0]

    @property
    def bias(self) -> Array:
        r"""The total reward beyond the gain, :math:`H r`, ``(S,)``, so that :math:`P^* h = 0`."""
        return self._poisson[1]

    # -- passages ----------------------------------------------------------------------------------------------------

    def hitting_probabilities(self, target: Any) -> Array:
        """The probability of ever visiting the target from each state, ``(S,)``.

        Parameters
        ----------
        target : states
            A mask, indices, a name of a state or a label.
        """
        return kernel.hitting_probabilities(*self._rows, self._target(target))

    def hitting_times(self, target: Any) -> Array:
        """Expected steps until the first visit to the target, ``(S,)``: zero in it, inf where it may be missed."""
        return kernel.hitting_times(*self._rows, self._target(target))

    def mean_first_passage(self) -> Array:
        r"""Expected steps from s to t, ``(S, S)``; on the diagonal those of a return, :math:`1/\mu(s)`.

        Raises
        ------
        ModelError
            If the chain is not irreducible; then some of them are infinite.

        Notes
        -----
        :math:`m(s,t) = (H(t,t) - H(s,t)) / \mu(t)` (Kemeny & Snell 1960, theorem 4.4.7, recalled).
        """
        self._check_irreducible("mean first passage times")
        self._check_square("the mean first passage times")
        H, law = self.deviation_matrix(), self.stationary
        M = (np.diag(H) - H) / law
        everything = np.arange(self.n_states)
        M[everything, everything] = 1 / law
        return M

    def kemeny_constant(self) -> Any:
        r"""Expected steps to a state drawn from the stationary law, :math:`\sum_t \mu(t) m(s,t)`, the same from all states s.

        A start in the drawn state counts zero steps, so that the constant is the trace of H (Kemeny and Snell's own has
        one step more).

        Raises
        ------
        ModelError
            If the chain is not irreducible.
        """
        self._check_irreducible("Kemeny's constant")
        return sum(np.diag(self.deviation_matrix()).tolist())

    def mixing_time(self, eps: Any = 0.25, *, exact: bool | None = None) -> int:
        r"""The least t with :math:`\max_s \|P^t(s, \cdot) - \mu\|_{TV} \le \varepsilon`, in total variation.

        Parameters
        ----------
        eps : number in (0, 1)
        exact : bool, optional
            Whether to decide in rationals; by default where the chain is exact.

        Raises
        ------
        ModelError
            Several recurrent classes, or a period.
        """
        self._check_square("the powers of the chain")
        chain = self.exact() if exact and not self.is_exact else self
        return kernel.mixing_time(*chain._rows, eps, exact=exact)

    def eigenvalues(self) -> Array:
        """The eigenvalues of P in floats, largest modulus first, ``(S,)`` complex."""
        self._check_square("the eigenvalues")
        values: Any = np.linalg.eigvals(self.P.toarray())
        return values[np.argsort(-np.abs(values), kind="stable")]

    def second_eigenvalue_modulus(self) -> float:
        """The second largest modulus of an eigenvalue, multiplicities counted; zero for one state.

        It is one, up to rounding, where the chain has a period or several recurrent classes.
        """
        values = np.abs(self.eigenvalues())
        return float(values[1]) if len(values) > 1 else 0.0

    def spectral_gap(self) -> float:
        """One minus the second largest modulus of an eigenvalue: the absolute spectral gap."""
        return 1.0 - self.second_eigenvalue_modulus()

    def entropy_rate(self, base: float = 2.0) -> float:
        r"""The entropy that a step adds in the long run, :math:`-\sum_s \mu(s) \sum_t P(s,t) \log P(s,t)`, in bits by default.

        Raises
        ------
        ModelError
            If the chain has several recurrent classes.
        """
        if len(self.classes) > 1:
            raise ModelError(
                f"the entropy rate depends on the start: there are {len(self.classes)} recurrent classes",
                needed="one recurrent class",
            )
        P = self.P
        terms: Floats = -P.data * np.log(P.data) / np.log(base)
        return float(self.stationary.astype(np.float64) @ np.bincount(P.row_of, terms, minlength=self.n_states))

    def _check_irreducible(self, what: str) -> None:
        if not self.is_irreducible:
            raise ModelError(
                f"{what}: the chain is not irreducible",
                found=f"{len(self.classes)} recurrent classes and {self.transient.size} transient states",
                needed="one class of states that all lead to one another",
            )


def _square(P: Any) -> Array:
    try:
        array = np.asarray(P)
    except ValueError as error:
        raise ModelError("P is ragged", found=str(error).split(".")[0], needed="an array (S, S)") from None
    if array.ndim != 2 or not array.size:
        raise ModelError(
            "P is no matrix",
            found=f"shape {array.shape}",
            needed="(S, S): a row and a column a state",
            way_out="MarkovChain.of(mdp, policy) for a model with actions" if array.ndim == 3 else None,
        )
    return array
