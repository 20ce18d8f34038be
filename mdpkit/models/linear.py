r"""Models whose transition laws are linear in features, kept with their features: linear MDPs and linear mixtures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mdpkit.errors import ModelError, UnsupportedError
from mdpkit.kernels import design, segments
from mdpkit.kernels.rational import dyadic_array, rationalize_array
from mdpkit.models import mdp as base
from mdpkit.models.criterion import Criterion, FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.models.rewards import Reward, exact_array, make_reward
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Floats, Ints, Objects

__all__ = ["LinearMDP", "LinearMixture"]

_checked, _check_rows, _FIELDS = base._checked, base._check_rows, base._FIELDS  # pyright: ignore[reportPrivateUsage]
_full_pairs, _index_array = base._full_pairs, base._index_array  # pyright: ignore[reportPrivateUsage]

UNIT = 2.0**-53
ROUGH = 1e-9
"""How far rows read from a file may be from the products of their features, in floats."""


class _Structured(MDP):
    """A model with arrays from which its rows are made: kept as floats, and as Fractions where they are given so."""

    arrays: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays."""
    _pays: ClassVar[bool] = False
    """Whether the arrays give the rewards too."""

    def _replace(self, **changes: Any) -> MDP:
        own = (*self.arrays, *(f"{name}_exact" for name in self.arrays))
        if not set(own) & set(changes):
            active = changes.get("active", self.active)
            rewards = changes.get("rewards", self.rewards)
            same = changes.get("P", self.P) is self.P and not {"state", "action"} & set(changes)
            paid = not self._pays or active is None or rewards[active] is self.rewards.get(self.active or "")
            if not same or not paid:
                return super()._replace(**changes)  # other rows, or rewards that the arrays do not give
            if active is None and self._pays:
                changes = {**changes, **self._rewardless()}
        other = type(self).__new__(type(self))
        other.__dict__.update({name: self.__dict__[name] for name in (*_FIELDS, *own)} | changes)
        other._check_criterion()
        return other

    def _rewardless(self) -> dict[str, Any]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        own = (*self.arrays, *(f"{name}_exact" for name in self.arrays))
        return {name: self.__dict__[name] for name in (*_FIELDS, *own)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MDP):
            return NotImplemented
        return (
            type(other) is type(self)
            and self.digest == other.digest
            and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in self.arrays)
        )

    __hash__ = MDP.__hash__

    def __repr__(self) -> str:
        return type(self).__name__ + super().__repr__().removeprefix("MDP")

    def _fill(
        self,
        rows: Array,
        r: Array | None,
        stages: int | None,
        criterion: Criterion | None,
        state: Ints,
        action: Ints,
        arrays: Mapping[str, tuple[Floats, Objects | None]],
        **options: Any,
    ) -> None:
        """Fill in a model of rows ``(L, S)``, or ``(stages * L, S)``; the pairs are sorted."""
        L = len(state)
        _checked(rows, state, action)
        transitions = _check_rows(Transitions.from_dense(rows), state, action, False)
        super().__init__(transitions.rows(0, L), None, criterion, state=state, action=action, **options)
        fields = self.__dict__
        H = criterion.H if isinstance(criterion, FiniteHorizon) else None
        fields["P"], fields["stages"] = transitions, stages
        if r is not None:
            fields["rewards"] = {
                "r": make_reward(r, transitions, state, action, self.n_states, stages or H, by_action=False)
            }
            fields["active"] = "r"
        for name, (floats, exact) in arrays.items():
            fields[name] = _frozen(floats)
            fields[f"{name}_exact"] = None if exact is None else _frozen(exact)
        self._check_criterion()

    def _exactly(self, dyadic: bool) -> dict[str, Objects]:
        """The arrays in rationals."""
        convert = dyadic_array if dyadic else rationalize_array
        out: dict[str, Objects] = {}
        for name in self.arrays:
            exact = self.__dict__[f"{name}_exact"]
            out[name] = convert(self.__dict__[name]) if exact is None else exact
        return out

    def fits(self) -> bool:
        """Whether the rows are the products of the arrays: what is built here is, what is read need not be."""
        exact = self.P.exact is not None and all(self.__dict__[f"{name}_exact"] is not None for name in self.arrays)
        arrays = {name: self.__dict__[f"{name}_exact" if exact else name] for name in self.arrays}
        try:
            rows = self._rows_of(arrays)
        except ValueError:  # shapes that do not fit
            return False
        own = self.P.toarray()
        if own.shape != rows.shape:
            return False
        if exact:
            full = np.full(rows.shape, Fraction(0), dtype=object)
            full[self.P.row_of, self.P.indices.astype(np.int64)] = self.P.rationals()
            return bool(np.all(full == rows))
        return bool(np.max(np.abs(own - rows)) <= ROUGH)

    def _rows_of(self, arrays: Mapping[str, Array]) -> Array:
        raise NotImplementedError

    def _rewards_of(self, arrays: Mapping[str, Array]) -> Array | None:
        return None

    def exact(self, *, dyadic: bool = False) -> MDP:
        """The model in rationals: features and laws as :meth:`MDP.exact` takes them, and the rows as their products."""
        if self.is_exact and all(self.__dict__[f"{name}_exact"] is not None for name in self.arrays):
            return self
        arrays = self._exactly(dyadic)
        P = Transitions.from_dense(self._rows_of(arrays))
        if not dyadic:
            base._check_exact_rows(P, self.state, self.action)  # pyright: ignore[reportPrivateUsage]
        changes: dict[str, Any] = {"P": P, "origin": "as bits" if dyadic else "rationalized"}
        changes["base"] = self.base or (self.P, self.rewards)
        changes |= {f"{name}_exact": _frozen(array) for name, array in arrays.items()}
        r = self._rewards_of(arrays)
        if r is not None and self.active is not None:
            paid: Reward = make_reward(r, P, self.state, self.action, self.n_states, self.stages, by_action=False)
            changes["rewards"] = {**self.rewards, self.active: paid}
        return MDP.exact(self._replace(**changes), dyadic=dyadic)


class LinearMDP(_Structured):
    r"""An MDP whose transition law and rewards are linear in features of the pairs.

    .. math:: P(s'|s,a) = \langle \phi(s,a), \mu(s') \rangle, \qquad r(s,a) = \langle \phi(s,a), \theta \rangle

    It is an :class:`MDP`, so whatever takes models takes it; the features stay with it. Every action value of a value V is
    linear, :math:`r + \gamma P V = \langle \phi, \theta + \gamma \mu V \rangle`, which is what methods with linear function
    approximation rest on.

    Parameters
    ----------
    phi : (S, A, d), or (L, d) with ``state`` and ``action``
        Features of the pairs.
    mu : (d, S), or (H, d, S)
        The measures, those of each stage where the law varies with the stage. They need not be probabilities: only the
        products with the features are.
    theta : (d,) or (H, d), optional
        Coefficients of the rewards; zero by default.
    criterion : Criterion, optional
    state, action, rho, minimize, labels, state_names, pair_names
        As for :class:`MDP`.

    Attributes
    ----------
    phi : (L, d), ``mu`` (d, S) or (H, d, S), ``theta`` (d,) or (H, d) float
        With ``phi_exact``, ``mu_exact`` and ``theta_exact`` as Fractions, or None, beside them.
    dim : int
        The dimension d.

    Raises
    ------
    ModelError
        A product that is no probability (named with its state, action and value), rows that do not sum to one, arrays whose
        shapes do not fit.

    Examples
    --------
    >>> from mdpkit.models.criterion import Discounted
    >>> phi = [[["1", "0"], ["1/2", "1/2"]], [["0", "1"], ["1/4", "3/4"]]]
    >>> mdp = LinearMDP(phi, [["1/2", "1/2"], [0, 1]], [1, 0], Discounted("9/10"), rho=0)
    >>> mdp.dim, mdp.P.rationals()[:2].tolist()
    (2, [Fraction(1, 2), Fraction(1, 2)])
    """

    arrays = ("phi", "mu", "theta")
    _pays = True

    phi: Floats
    mu: Floats
    theta: Floats
    phi_exact: Objects | None
    mu_exact: Objects | None
    theta_exact: Objects | None

    def __init__(
        self,
        phi: Any,
        mu: Any,
        theta: Any = None,
        criterion: Criterion | None = None,
        *,
        state: Any = None,
        action: Any = None,
        rho: Any = None,
        minimize: bool = False,
        labels: Mapping[str, Any] | None = None,
        state_names: Sequence[Any] | None = None,
        pair_names: Sequence[str] | None = None,
    ):
        features, state, action, pair_names = _features(phi, state, action, pair_names)
        d = features.shape[1]
        measures = _numbers(mu, "mu")
        if measures.ndim not in (2, 3) or measures.shape[-2] != d:
            raise ModelError(
                "mu has the wrong shape", found=measures.shape, needed=f"({d}, S), or ({d}, S) for each stage",
                way_out="a row for each feature" + (": transpose mu" if measures.ndim == 2 and measures.shape[1] == d else ""),
            )  # fmt: skip
        S = measures.shape[-1]
        if int(state.max()) >= S or len(np.unique(state)) < S:
            raise ModelError(
                "phi and mu differ in the number of states",
                found=f"{int(state.max()) + 1} and {S}",
                needed="the same number",
            )
        weights = np.array([Fraction(0)] * d, dtype=object) if theta is None else _numbers(theta, "theta")
        if weights.ndim not in (1, 2) or weights.shape[-1] != d:
            raise ModelError(
                "theta has the wrong shape", found=weights.shape, needed=f"({d},), or ({d},) for each stage"
            )
        lengths = {len(x) for x, n in ((measures, 3), (weights, 2)) if x.ndim == n}
        if len(lengths) > 1:
            raise ModelError("mu and theta differ in the number of stages", found=f"{len(measures)} and {len(weights)}")
        stages = next(iter(lengths), None)
        if stages is not None and not isinstance(criterion, FiniteHorizon):
            raise UnsupportedError(
                "laws or rewards that vary with the stage go with a finite horizon alone",
                found=criterion, needed=f"mk.FiniteHorizon({stages})",
            )  # fmt: skip
        exact = all(x.dtype == object for x in (features, measures, weights))
        arrays = {"phi": _both(features), "mu": _both(measures), "theta": _both(weights)}
        chosen: dict[str, Any] = {name: pair[1] if exact else pair[0] for name, pair in arrays.items()}
        super()._fill(
            self._rows_of(chosen), self._rewards_of(chosen), stages, criterion, state, action, arrays,
            rho=rho, minimize=minimize, labels=labels, state_names=state_names, pair_names=pair_names,
        )  # fmt: skip

    def _rows_of(self, arrays: Mapping[str, Array]) -> Array:
        phi, mu = arrays["phi"], arrays["mu"]
        return np.concatenate([_product(phi, part) for part in (mu if mu.ndim == 3 else mu[None])])

    def _rewards_of(self, arrays: Mapping[str, Array]) -> Array:
        return (arrays["phi"] @ arrays["theta"].T).T.ravel()

    def _rewardless(self) -> dict[str, Any]:
        d = self.dim
        return {"theta": np.zeros(d), "theta_exact": np.array([Fraction(0)] * d, dtype=object)}

    @property
    def dim(self) -> int:
        """The dimension d of the features."""
        return self.phi.shape[1]

    @property
    def features(self) -> Floats:
        """The features ``(L, d)``, as learners see them."""
        return self.phi

    @cached_property
    def rank(self) -> int:
        """The rank of the features: exact where they are rational, else numerical."""
        return design.rank(self.phi if self.phi_exact is None else self.phi_exact)

    def need_full_rank(self, what: str) -> None:
        """Refuse features of deficient rank.

        Raises
        ------
        ModelError
            Names the rank, and what to do.
        """
        if self.rank < self.dim:
            raise ModelError(
                f"{what} needs features of full rank",
                found=f"rank {self.rank}",
                needed=f"the dimension d = {self.dim}",
                way_out="leave out features that are combinations of others: mdp.reduced() does it",
            )

    def reduced(self) -> LinearMDP:
        """The same model with d independent features only: d becomes the rank.

        The features become those that are independent (the first ones), times the coordinates of the others in them.
        """
        exact = self.phi_exact is not None and self.mu_exact is not None and self.theta_exact is not None
        phi, mu, theta = (self.phi_exact, self.mu_exact, self.theta_exact) if exact else (self.phi, self.mu, self.theta)
        assert phi is not None and mu is not None and theta is not None
        keep, rest = _independent_columns(phi)
        return self._with(phi[:, keep], mu[..., keep, :] + rest @ mu, theta[..., keep] + theta @ rest.T)

    def _with(self, phi: Array, mu: Array, theta: Array) -> LinearMDP:
        law = self.rho if self.rho_exact is None else self.rho_exact
        return LinearMDP(
            phi, mu, theta, self.criterion, state=self.state, action=self.action, rho=law, minimize=self.minimize,
            labels=self.labels, state_names=self.state_names, pair_names=self.pair_names,
        )  # fmt: skip

    def weights(self, V: Array, *, stage: int = 0, gamma: Any = 1) -> Array:
        r"""The coefficients of the action values of V, :math:`\theta + \gamma \mu V`, ``(d,)``: in rationals if V is."""
        exact = V.dtype == object
        mu, theta = (self.mu_exact, self.theta_exact) if exact else (self.mu, self.theta)
        if mu is None or theta is None:
            raise ModelError("the features are floats", way_out="call .exact() on the model first")
        return (theta[stage] if theta.ndim == 2 else theta) + gamma * ((mu[stage] if mu.ndim == 3 else mu) @ V)

    # -- constructors ------------------------------------------------------------------------------------------------

    @classmethod
    def from_mdp(cls, mdp: MDP, phi: Any = None) -> LinearMDP:
        r"""Give features to a model that is exactly linear in them.

        Parameters
        ----------
        mdp : MDP
            Made rational first, by :meth:`MDP.exact`; a model whose floats are no rationals with rows that sum to one is
            taken in floats.
        phi : (S, A, d) or (L, d) numbers, optional
            One-hot features of the pairs by default: every model is linear in them.

        Raises
        ------
        ModelError
            If rows or rewards are no combinations of the features: names a pair, and how far it is from the span of the
            features, fitted by least squares, at its worst entry.

        Examples
        --------
        >>> import mdpkit as mk
        >>> LinearMDP.from_mdp(mk.instances.make("riverswim", n_states=3)).dim
        6
        """
        if isinstance(mdp, cls) and phi is None:
            return mdp
        try:
            mdp = mdp.exact()
        except ModelError:
            exactly = False
        else:
            exactly = True
        L, S = mdp.n_pairs, mdp.n_states
        P: Array = np.full((mdp.P.n_rows, S), Fraction(0) if exactly else 0.0)
        P[mdp.P.row_of, mdp.P.indices.astype(np.int64)] = mdp.P.rationals() if exactly else mdp.P.data
        r: Any = np.full(L, P.flat[0] * 0)
        if mdp.active is not None:
            r = np.asarray(mdp.reward.exact if exactly else mdp.r)
        if phi is None:
            features: Array = np.full((L, L), P.flat[0] * 0)
            features[np.arange(L), np.arange(L)] = P.flat[0] * 0 + 1
        else:
            given = np.asarray(phi)
            if given.ndim == 3:
                given = given[mdp.state, mdp.action]
            if given.ndim != 2 or len(given) != L:
                raise ModelError("phi has the wrong shape", found=np.shape(phi), needed=f"({L}, d): a row a pair")
            exact = exact_array(given, "phi")
            features = rationalize_array(given) if exact is None else exact
            features = features if exactly else features.astype(np.float64)
        P, r = P.reshape(-1, L, S), r.reshape(-1, L)
        mu = [_fit(features, part, mdp, "transition law") for part in P]
        theta = [_fit(features, part[:, None], mdp, "reward")[:, 0] for part in r]
        law = mdp.rho if mdp.rho_exact is None else mdp.rho_exact
        return cls(
            features, mu[0] if len(mu) == 1 else np.array(mu), theta[0] if len(theta) == 1 else np.array(theta),
            mdp.criterion, state=mdp.state, action=mdp.action, rho=law, minimize=mdp.minimize, labels=mdp.labels,
            state_names=mdp.state_names, pair_names=mdp.pair_names,
        )  # fmt: skip


class LinearMixture(_Structured):
    r"""An MDP whose law is a combination of known ones: :math:`P(s'|s,a) = \sum_i w_i \psi_i(s'|s,a)`.

    For any V the expectations are linear in the weights, :math:`P V = \phi_V w` with
    :math:`\phi_V(s,a)_i = \sum_{s'} \psi_i(s'|s,a) V(s')`: the regression of methods that know :math:`\psi` and learn w.

    Parameters
    ----------
    psi : (n, S, A, S), or (n, L, S) with ``state`` and ``action``
        The components. They need not be probabilities: only the combination is.
    weights : (n,), or (H, n)
        The weights, those of each stage where the law varies with the stage.
    r : array
        Rewards of pairs, as for :class:`MDP`: ``(S, A)``, ``(L,)``, ``(S,)``, with stages in front where they vary.
    criterion : Criterion, optional
    state, action, rho, minimize, labels, state_names, pair_names
        As for :class:`MDP`.

    Attributes
    ----------
    psi : (n, L, S), ``weights`` (n,) or (H, n) float
        With ``psi_exact`` and ``weights_exact`` as Fractions, or None, beside them.

    Raises
    ------
    ModelError
        A combination that is no probability: named with its state, action and value.

    Examples
    --------
    >>> from mdpkit.models.criterion import Discounted
    >>> psi = [[[["1", "0"]], [["1", "0"]]], [[["0", "1"]], [["0", "1"]]]]
    >>> mdp = LinearMixture(psi, ["1/4", "3/4"], [[0], [1]], Discounted("9/10"))
    >>> mdp.phi_V(np.array([0.0, 2.0])).tolist()
    [[0.0, 2.0], [0.0, 2.0]]
    """

    arrays = ("psi", "weights")

    psi: Floats
    weights: Floats
    psi_exact: Objects | None
    weights_exact: Objects | None

    def __init__(
        self,
        psi: Any,
        weights: Any,
        r: Any = None,
        criterion: Criterion | None = None,
        *,
        state: Any = None,
        action: Any = None,
        rho: Any = None,
        minimize: bool = False,
        labels: Mapping[str, Any] | None = None,
        state_names: Sequence[Any] | None = None,
        pair_names: Sequence[str] | None = None,
    ):
        parts = _numbers(psi, "psi")
        if parts.ndim != (4 if state is None else 3):
            raise ModelError(
                "psi has the wrong shape", found=parts.shape,
                needed="(n, S, A, S)" if state is None else "(n, L, S): a row a pair in each component",
            )  # fmt: skip
        n, S = parts.shape[0], parts.shape[-1]
        moved = np.moveaxis(parts, 0, -2)  # (S, A, n, S) or (L, n, S)
        flat, state, action, pair_names, order = _sorted_pairs(moved, state, action, pair_names, "psi")
        components = np.moveaxis(flat, 1, 0)
        w = _numbers(weights, "weights")
        if w.ndim not in (1, 2) or w.shape[-1] != n:
            raise ModelError(
                "the weights have the wrong shape", found=w.shape, needed=f"({n},), one for each component"
            )
        if len(np.unique(state)) != S or int(state.max()) >= S:
            raise ModelError("psi differs in its numbers of states", found=f"{int(state.max()) + 1} and {S}")
        stages = len(w) if w.ndim == 2 else None
        if stages is not None and not isinstance(criterion, FiniteHorizon):
            raise UnsupportedError(
                "weights that vary with the stage go with a finite horizon alone", found=criterion,
                needed=f"mk.FiniteHorizon({stages})",
            )  # fmt: skip
        arrays = {"psi": _both(components), "weights": _both(w)}
        exact = components.dtype == object and w.dtype == object
        chosen: dict[str, Any] = {name: pair[1] if exact else pair[0] for name, pair in arrays.items()}
        paid = r if r is None or order is None else base._presort(r, order, len(state))  # pyright: ignore[reportPrivateUsage]
        super()._fill(
            self._rows_of(chosen), paid, stages, criterion, state, action, arrays, rho=rho, minimize=minimize,
            labels=labels, state_names=state_names, pair_names=pair_names,
        )  # fmt: skip

    def _rows_of(self, arrays: Mapping[str, Array]) -> Array:
        psi, w = arrays["psi"], arrays["weights"]
        n, L, S = psi.shape
        flat = psi.reshape(n, L * S).T
        return np.concatenate([_product(flat, part[:, None]).reshape(L, S) for part in np.atleast_2d(w)])

    @property
    def dim(self) -> int:
        """The number n of components."""
        return self.psi.shape[0]

    def phi_V(self, V: Array) -> Array:
        r""":math:`\sum_{s'} \psi_i(s'|s,a) V(s')` of each pair and component, ``(L, n)``: in rationals if V is.

        Raises
        ------
        ModelError
            If V is rational and the components are not.
        """
        psi = self.psi if V.dtype != object else self.psi_exact
        if psi is None:
            raise ModelError("the components are floats", way_out="call .exact() on the model first")
        return (psi @ V).T


# ---------------------------------------------------------------------------------------------------------------- reading


def _frozen(array: Array) -> Any:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _numbers(values: Any, name: str) -> Array:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ModelError(f"{name} is ragged", found=str(error).split(".")[0], needed="an array") from None
    if array.dtype.kind in "OUSbiu":
        exact = exact_array(array, name)
        assert exact is not None
        return exact
    if array.dtype.kind != "f":
        raise ModelError(f"{name} is not made of numbers", found=f"an array of {array.dtype}", needed="numbers")
    array = array.astype(np.float64)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise ModelError(
            f"{name} is not finite at {tuple(map(int, bad[0]))}", found=array[tuple(bad[0])], needed="numbers"
        )
    return array


def _both(array: Array) -> tuple[Floats, Objects | None]:
    return (array.astype(np.float64), array) if array.dtype == object else (array, None)


def _features(
    phi: Any, state: Any, action: Any, pair_names: Sequence[str] | None
) -> tuple[Array, Ints, Ints, Sequence[str] | None]:
    features = _numbers(phi, "phi")
    if features.ndim != (3 if state is None else 2) or not features.size:
        raise ModelError(
            "phi has the wrong shape", found=features.shape, needed="(S, A, d)" if state is None else "(L, d): a row a pair",
            way_out="or give (L, d) with state= and action=" if state is None and features.ndim == 2 else None,
        )  # fmt: skip
    return _sorted_pairs(features, state, action, pair_names, "phi")[:4]


def _sorted_pairs(
    array: Array, state: Any, action: Any, pair_names: Sequence[str] | None, name: str
) -> tuple[Array, Ints, Ints, Sequence[str] | None, Ints | None]:
    """Rows by pair, sorted by state and action, of an array ``(S, A, …)``, or ``(L, …)`` with its pairs."""
    if (state is None) != (action is None):
        raise ModelError("state and action come together", needed="both index arrays, or neither")
    if state is None:
        S, A = array.shape[:2]
        return (array.reshape(S * A, *array.shape[2:]), *_full_pairs(S, A), pair_names, None)
    state, action = _index_array(state, "state"), _index_array(action, "action")
    if not len(state) == len(action) == len(array):
        raise ModelError(
            f"state, action and the rows of {name} differ in number", found=f"{len(state)}, {len(action)}, {len(array)}",
            needed="one row for each pair",
        )  # fmt: skip
    order = np.lexsort((action, state))
    if pair_names is not None:
        given = tuple(pair_names)
        pair_names = [given[int(k)] for k in order]
    return array[order], state[order], action[order], pair_names, order


def _product(A: Array, B: Array) -> Array:
    """A B; in floats, entries that are zero within rounding are zero."""
    product: Array = A @ B
    if product.dtype != object:
        # |fl(x . y) - x . y| <= d u |x| . |y| / (1 - d u) (Higham, 2002, Section 3.1).
        d = A.shape[1]
        noise = (d + 1) * UNIT * (np.abs(A) @ np.abs(B))
        product[np.abs(product) <= noise] = 0.0
    return product


def _independent_columns(phi: Array) -> tuple[Ints, Array]:
    """Columns that are a basis of the column space, and the coordinates of the others in them, ``(rank, d)``."""
    d = phi.shape[1]
    keep = np.sort(design.basis(phi.T))
    chosen = phi[:, keep]
    coordinates = segments.solve(chosen.T @ chosen, chosen.T @ phi)
    rest = coordinates.copy()
    rest[:, keep] = rest[:, keep] * 0
    assert rest.shape == (len(keep), d)
    return keep, rest


def _fit(phi: Array, target: Array, mdp: MDP, what: str) -> Array:
    """The exact coefficients of the target's columns in the features, ``(d, m)``."""
    keep = np.sort(design.basis(phi.T))
    chosen = phi[:, keep]
    solved = segments.solve(chosen.T @ chosen, chosen.T @ target)
    off = np.abs(chosen @ solved - target)
    worst = off.max(axis=1)
    k = int(np.argmax(worst))
    if worst[k] > (0 if phi.dtype == object else ROUGH):
        raise ModelError(
            f"the {what} of state {int(mdp.state[k])}, action {int(mdp.action[k])} is not linear in the features",
            found=f"a least-squares distance of {float(worst[k]):.3g}",
            needed="0" + (", in rational arithmetic" if phi.dtype == object else f" up to {ROUGH:g}"),
            way_out="add features, or use one-hot ones: LinearMDP.from_mdp(mdp)",
        )
    out: Array = np.full((phi.shape[1], target.shape[1]), phi.flat[0] * 0)
    out[keep] = solved
    return out
