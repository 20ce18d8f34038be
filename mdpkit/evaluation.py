r"""The value of a given policy, certified.

The chain that the policy induces is a model with one action a state: it goes through the solvers and certificates that
every model goes through. A policy with memory is evaluated on the product of the model and its memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mdpkit.certificates.certificate import middle, refuse_both_infinities
from mdpkit.certificates.soft import no_rationals
from mdpkit.errors import ModelError, OptionError, UndefinedValueError, UnsupportedError
from mdpkit.kernels.rational import rationalize_array, to_fraction
from mdpkit.kernels.sparse import sp
from mdpkit.models.canonical import Canonical, canonical
from mdpkit.models.chains import exact_weights, induced, mixed_rows, pair_chain, product, stage_chain
from mdpkit.models.criterion import AverageReward, Discounted, FiniteHorizon, Invariance, Reachability
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Markov, Mixture, Stationary
from mdpkit.models.transitions import Transitions, check_memory
from mdpkit.operators.values import action_table, pair_values, relative_pair_values
from mdpkit.typing import Array, Bools, Ints

if TYPE_CHECKING:
    from mdpkit.certificates import Certificate, Verdict

__all__ = ["Evaluation", "evaluate"]

UNIT = 2.0**-53
FACTOR_STATES = 20_000


@dataclass(frozen=True, eq=False)
class Evaluation:
    r"""The value of a policy, with certified bounds.

    Attributes
    ----------
    V : (S,) float, or (H+1, S) for a Stationary or Markov policy over a finite horizon
        Values, inside the bounds. For policies with memory and mixtures over a finite horizon, those of stage 0.
    lower, upper : like V
        Certified bounds; Fractions that coincide where the evaluation is exact.
    exact : object array like V, or None
        The exact values as Fractions (``float('inf')`` where infinite).
    certificate : Certificate or None
        About ``chain``; None for a mixture, whose ``parts`` have theirs.
    problem : MDP
    policy : Stationary, Markov or other policy
    chain : MDP or None
        The Markov chain that was solved: on the states, or on the nodes (state, memory), the first S of which are the
        states with their start memories, or on the pairs for a randomized policy discounted by pairs.
    parts : tuple of Evaluation
        The evaluations of the policies of a mixture.
    gain : array or None
        For average reward: V.
    bias : (S,) array or None
        For average reward: the bias with :math:`P^* h = 0`; None for a mixture. Fractions where the evaluation is exact.
    """

    V: Array
    lower: Array
    upper: Array
    exact: Array | None
    certificate: Certificate | None
    problem: MDP = field(repr=False)
    policy: Any = field(repr=False)
    chain: MDP | None = field(repr=False)
    parts: tuple[Evaluation, ...] = field(default=(), repr=False)
    work: _Work | None = field(default=None, repr=False)

    @cached_property
    def Q(self) -> Array:
        """Action values: take a first, then follow the policy; NaN where an action is not admissible.

        ``(S, A)``, or ``(H, S, A)`` where V is ``(H+1, S)``. Fractions where the evaluation is exact.
        """
        if self.work is None:
            return _weighted(_mixture_weights(self), [_first_stage(part.Q, self.problem, 3) for part in self.parts])
        return self.work.action_values(self.problem)

    @property
    def gain(self) -> Array | None:
        """Long-run average reward from each state, ``(S,)``; None under another criterion."""
        if not isinstance(self.problem.criterion, AverageReward):
            return None
        return self.V if self.exact is None else self.exact

    @cached_property
    def bias(self) -> Array | None:
        """Bias of the policy, ``(S,)``, with P* h = 0, for average reward; None under another criterion, or for a mixture."""
        if self.gain is None or self.work is None:
            return None
        return self.work.bias[: self.problem.n_states]

    @cached_property
    def occupancy(self) -> Array | None:
        r"""How often each pair is visited from the initial law; None without one. Fractions where the evaluation is exact.

        Discounted, ``(S, A)``: :math:`d(s,a) = (1-\gamma) \sum_t \gamma^t P(s_t = s, a_t = a)`, which sums to one (for a
        discount by pairs, each pair's discounted visits times one minus its own factor). Over a horizon or a number of
        steps, ``(H, S, A)``: probability of each pair at each stage. Total reward, ``(S, A)``: expected number of visits
        until a target or an absorbing state without reward is entered; infinite on the other recurrent pairs. Average
        reward, ``(S, A)``: long-run frequency of each pair.
        """
        if self.problem.rho is None:
            return None
        if self.work is None:
            parts = [part.occupancy for part in self.parts]
            return _weighted(_mixture_weights(self), [part for part in parts if part is not None])
        return self.work.occupancy(self.problem)

    @property
    def value(self) -> float:
        """Value at the initial state or law."""
        low, high = self.initial
        value = self.exact_value
        if value is None:
            values = self.V[0] if self.V.ndim == 2 else self.V
            return float(min(max(_at_law(self.problem, values), low), high))
        return float(value)

    @property
    def exact_value(self) -> Fraction | float | None:
        """Exact value at the initial state or law, if the evaluation is exact."""
        if self.exact is None:
            return None
        return _at_law_exact(self.problem, self.exact[0] if self.exact.ndim == 2 else self.exact)

    @property
    def initial(self) -> tuple[float, float]:
        """Certified bounds at the initial state or law, rounded outward."""
        from mdpkit.certificates.certificate import to_float

        value = self.exact_value
        if value is not None:
            return to_float(value, down=True), to_float(value, down=False)
        lower, upper = (np.asarray(x[0] if x.ndim == 2 else x, dtype=np.float64) for x in (self.lower, self.upper))
        low, high = _at_law(self.problem, lower), _at_law(self.problem, upper)
        assert self.problem.rho is not None
        mass = self.problem.rho
        if np.count_nonzero(mass) == 1 and mass.max() == 1:
            return low, high
        error = (np.count_nonzero(mass) + 8) * 2 * UNIT
        return (
            low - error * _at_law(self.problem, np.abs(lower)) if np.isfinite(low) else low,
            high + error * _at_law(self.problem, np.abs(upper)) if np.isfinite(high) else high,
        )

    @property
    def gap(self) -> float:
        """Largest ``upper - lower``."""
        from mdpkit.certificates.certificate import width

        lower, upper = (np.asarray(x, dtype=np.float64) for x in (self.lower, self.upper))
        return float(np.max(width(lower, upper), initial=0.0))

    def verify(self, *, exact: bool = False) -> Verdict:
        """Check the certificates again from the chains; see :meth:`mdpkit.certificates.Certificate.verify`."""
        if self.certificate is not None and self.chain is not None:
            return self.certificate.verify(self.chain, exact=exact)
        verdicts = [part.verify(exact=exact) for part in self.parts]
        return next((verdict for verdict in verdicts if not verdict), verdicts[0])

    def __repr__(self) -> str:
        arithmetic = "floats" if self.exact is None else "exact"
        at = ""
        if self.problem.rho is not None:
            try:
                low, high = self.initial
                at = f"value {self.value:.10g} in [{low:.10g}, {high:.10g}], "
                if self.exact is not None and len(text := str(self.exact_value)) <= 40:
                    at = f"value {text}, "
            except UndefinedValueError:
                at = "no value at the initial law, "
        what = f"{type(self.policy).__name__} policy of {self.problem.n_states} states"
        return f"Evaluation({what}: {at}largest gap {self.gap:.2g}, {arithmetic})"


def evaluate(mdp: MDP, policy: Any, *, exact: bool = False, rng: np.random.Generator | None = None) -> Evaluation:
    """The value of a policy, with certified bounds.

    Parameters
    ----------
    mdp : MDP
        A model with a criterion; whether it maximizes or minimizes is of no consequence.
    policy : Policy or array
        ``Stationary``, actions ``(S,)`` or probabilities ``(S, A)``; ``Markov`` or probabilities ``(H, S, A)``;
        ``FiniteMemory``, ``Mixture``, or anything with ``start``, ``act`` and ``advance`` whose memory is hashable.
    exact : bool
        Evaluate in rational arithmetic. Floats of the model and the policy become rationals (see
        :meth:`mdpkit.models.MDP.exact`), and rows must then sum to exactly one.
    rng : numpy Generator, optional
        For randomized solvers of large chains.

    Returns
    -------
    Evaluation

    Raises
    ------
    ModelError
        A policy of another model, an action that is not admissible, rows that do not sum to one: names the state.
    SizeError
        A policy whose memory takes too many values.
    UndefinedValueError
        Where the total reward of the policy is undefined.
    UnsupportedError
        For a criterion without a solver; for an exact value with entropies, which are logarithms.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("puterman-two-state")
    >>> mk.evaluate(mdp, [1, 0], exact=True)
    Evaluation(Stationary policy of 2 states: value -9, largest gap 0, exact)
    """
    if not isinstance(mdp, MDP):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(
            "the first argument of evaluate is no model", found=type(mdp).__name__, needed="an mdpkit.MDP"
        )
    problem = mdp.exact() if exact else mdp
    form = canonical(problem)
    if isinstance(policy, Mixture):
        return _mixture(mdp, policy, exact=exact, rng=rng)
    policy = _read(mdp, form, policy)
    if form.kind == "regularized":
        _check_regularized(form, policy, exact)
    if isinstance(policy, (Stationary, Markov)):
        stages = [_sharp(problem, stage) for stage in _stages(policy)] if exact else list(_stages(policy))
        if isinstance(policy, Stationary) or form.kind == "finite":
            work = _solve(problem, stages, exact=exact, rng=rng)
            return _evaluation(mdp, policy, work, slice(None), exact=exact)
        parts = Markov(tuple(stages))
    else:
        parts = policy
    lifted = product(problem, parts, exact=exact, depth=form.H)
    work = _solve(lifted.model, [lifted.policy], exact=exact, rng=rng)
    work = _Work(work.model, work.stages, work.chain, work.certificate, work.values, lifted.pair_of, lifted.node_state)
    return _evaluation(mdp, policy, work, slice(0, mdp.n_states), exact=exact)


# -- reading policies --------------------------------------------------------------------------------------------------


def _read(mdp: MDP, form: Canonical, policy: Any) -> Any:
    if isinstance(policy, Markov):
        if not policy.stages:
            raise ModelError("the policy has no stages", needed="at least one")
        return Markov(tuple(Stationary.of(mdp, stage) for stage in policy.stages))
    if not isinstance(policy, Stationary) and all(hasattr(policy, name) for name in ("start", "act", "advance")):
        return policy
    if not isinstance(policy, Stationary):
        array = np.asarray(policy)
        actions = array.ndim == 2 and array.dtype.kind in "iu" and array.shape != (mdp.n_states, mdp.n_actions)
        if array.ndim == 3 or (actions and array.shape == (form.H, mdp.n_states)):
            return _read(mdp, form, Markov.of(mdp, policy))
    return Stationary.of(mdp, policy)


def _check_regularized(form: Canonical, policy: Any, exact: bool) -> None:
    """Refuse what has no answer: rational logarithms, and a reference policy for the nodes of a policy's memory."""
    stationary = isinstance(policy, Stationary)
    if exact and not (stationary and policy.pairs is not None and form.reference is None):
        raise no_rationals()
    if not stationary and form.reference is not None:
        raise UnsupportedError(
            "a policy with memory is not compared with a reference policy",
            found=type(policy).__name__,
            needed="a stationary policy, or mk.EntropyRegularized(gamma, tau) without a reference",
        )


def _stages(policy: Stationary | Markov) -> Sequence[Stationary]:
    return policy.stages if isinstance(policy, Markov) else (policy,)


def _sharp(mdp: MDP, policy: Stationary) -> Stationary:
    return Stationary(mdp, exact_weights(mdp, policy.weights), policy.pairs)


# -- the chain and its value -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Work:
    """What was solved: a model (the problem, or its product with memory), the policy on it, and all of its values.

    ``values`` are by stage where the horizon is finite, of the pairs where ``chain`` runs over them, else of the states.
    """

    model: MDP
    stages: Sequence[Stationary]
    chain: MDP
    certificate: Certificate
    values: Array
    pair_of: Ints | None = None
    node_state: Ints | None = None

    @property
    def by_pairs(self) -> bool:
        return self.chain.n_states != self.model.n_states

    def action_values(self, problem: MDP) -> Array:
        p = canonical(self.model)
        S, A, count = problem.n_states, problem.n_actions, int(self.model.pair_ptr[problem.n_states])

        def table(q: Array) -> Array:
            if self.pair_of is None:
                return action_table(self.model, q)
            out = np.full((S, A), np.nan, dtype=q.dtype)
            pairs = self.pair_of[:count]
            out[problem.state[pairs], problem.action[pairs]] = q[:count]
            return out

        if self.by_pairs:
            return table(self.values)
        if p.kind == "average":
            return table(relative_pair_values(self.model, self.values, self.bias))
        if p.H is None:
            return table(pair_values(p, 0, self.values))
        if p.H == 0:
            first = table(self.values[0][self.model.state])
            return first if not self.whole else np.empty((0, *first.shape), dtype=first.dtype)
        if not self.whole:
            return table(pair_values(p, 0, self.values[1]))
        return np.array([table(pair_values(p, h, self.values[h + 1])) for h in range(p.H)])

    @cached_property
    def bias(self) -> Array:
        """Bias of the chain, for average reward."""
        c = self.certificate
        if c.arithmetic == "exact" and c.below_bias is not None:
            return c.sign * c.below_bias
        from mdpkit.kernels.gain import evaluate_average

        return evaluate_average(self.chain.P.stochastic, self.chain.r, c.choice)[1]

    @property
    def whole(self) -> bool:
        """Whether values are reported by stage."""
        return isinstance(self.model.criterion, FiniteHorizon) and self.pair_of is None

    def occupancy(self, problem: MDP) -> Array:
        p = canonical(self.model)
        exact = self.certificate.arithmetic == "exact"
        weights = [w if exact else w.astype(np.float64) for w in (stage.weights for stage in self.stages)]
        rho = self.model.rho_exact if exact else self.model.rho
        assert rho is not None
        copies = 1 if p.H is None else p.H
        check_memory(16.0 * copies * problem.n_states * problem.n_actions, "the occupancies of the pairs")

        def table(d: Array) -> Array:
            out: Array = np.zeros((problem.n_states, problem.n_actions), dtype=np.float64)
            if exact:
                out = np.full(out.shape, to_fraction(0), dtype=object)
            pairs = np.arange(len(d)) if self.pair_of is None else self.pair_of
            np.add.at(out, (problem.state[pairs], problem.action[pairs]), d)
            return out

        if p.kind in ("discounted", "regularized"):
            return table(_discounted_visits(p, weights[0], rho, exact))
        if p.kind == "total":
            return table(_total_visits(p, self.chain, weights[0], rho, exact))
        if p.kind == "average":
            return table(_frequencies(p, self.chain, weights[0], rho, exact))
        visits = _stage_visits(p, weights, rho, exact)
        if not visits:
            return np.empty((0, problem.n_states, problem.n_actions), dtype=object if exact else np.float64)
        return np.array([table(d) for d in visits])


def _solve(problem: MDP, stages: list[Stationary], *, exact: bool, rng: np.random.Generator | None) -> _Work:
    from mdpkit.certificates import certify_exact
    from mdpkit.choose import choose
    from mdpkit.run import run

    chain = _chain_of(problem, stages)
    if exact:
        certificate = certify_exact(chain, np.arange(chain.n_states))
    else:
        certificate = run(chain, choose(chain)[0], rng=rng).certificate
    below, above = certificate.below, certificate.above
    inner = below if exact else middle(below, above)
    values = certificate.offset + certificate.sign * inner
    return _Work(problem, stages, chain, certificate, values)


def _chain_of(problem: MDP, stages: list[Stationary]) -> MDP:
    form = canonical(problem)
    c = problem.criterion
    if form.kind == "finite" and form.H and (len(stages) > 1 or problem.stages is not None):
        by_stage = [stages[min(h, len(stages) - 1)] for h in range(form.H)]
        if isinstance(c, FiniteHorizon):
            return stage_chain(problem, by_stage, c)
        # A bounded property with a law that varies: the known states absorb, and the horizon's end pays.
        assert form.fixed is not None and form.terminal is not None
        terminal = np.full(form.n_states, to_fraction(form.offset), dtype=object)
        terminal[form.fixed] += np.array(
            [to_fraction(int(form.sign * x)) for x in form.terminal[form.fixed]], dtype=object
        )
        return stage_chain(problem, by_stage, FiniteHorizon(form.H, 1, terminal), form.fixed)
    policy = stages[0]
    if isinstance(c, Discounted) and np.ndim(c.gamma) and policy.pairs is None:
        return pair_chain(problem, policy.weights)
    signs = form.kind == "total" and policy.pairs is None and bool(np.any(form.r > 0) and np.any(form.r < 0))
    if signs and not (problem.is_exact and policy.weights.dtype == object):
        # Sums over actions may cancel, and the sign of a recurrent reward decides between infinities: no rounding here.
        try:
            sharp = problem.exact()
            return induced(sharp, _sharp(sharp, policy))
        except ModelError:
            pass
    return induced(problem, policy)


def _evaluation(mdp: MDP, policy: Any, work: _Work, part: slice, *, exact: bool) -> Evaluation:
    certificate = work.certificate
    if work.by_pairs:
        V, lower, upper = _from_pairs(work, exact)
    else:
        lower, upper = certificate.lower, certificate.upper
        V = work.values if work.values.shape == lower.shape else work.values[0]
        if lower.ndim == 2 and not work.whole:
            V, lower, upper = V[0], lower[0], upper[0]
    V, lower, upper = (x[..., part] for x in (V, lower, upper))
    if exact:
        return Evaluation(_floats(V), V, V, V, certificate, mdp, policy, work.chain, work=work)
    if isinstance(mdp.criterion, (Reachability, Invariance)):
        lower, upper = np.clip(lower, 0.0, 1.0), np.clip(upper, 0.0, 1.0)
    V = np.clip(V, lower, upper)
    return Evaluation(V, lower, upper, None, certificate, mdp, policy, work.chain, work=work)


def _from_pairs(work: _Work, exact: bool) -> tuple[Array, Array, Array]:
    """Values of the states from those of the pairs."""
    weight, ptr = work.stages[0].weights, work.model.pair_ptr[:-1]

    def mean(values: Array, side: int = 0) -> Array:
        if exact:
            return np.add.reduceat(weight * values, ptr)
        w = weight.astype(np.float64)
        size = np.add.reduceat(w * np.abs(values), ptr)
        terms = np.diff(work.model.pair_ptr) + 8
        return np.add.reduceat(w * values, ptr) + side * terms * 2 * UNIT * size

    c = work.certificate
    return mean(work.values), mean(c.lower, -1), mean(c.upper, 1)


def _floats(values: Array) -> Array:
    return values.astype(np.float64)


# -- occupancy ---------------------------------------------------------------------------------------------------------


def _flow(indptr: Ints, columns: Ints, data: Array, start: Array, exact: bool) -> Array:
    """The solution of x = start + M^T x."""
    n = len(start)
    rows = np.repeat(np.arange(n), np.diff(indptr))
    if exact:
        from mdpkit.kernels.rational import solve_chain

        order = np.lexsort((rows, columns))
        turned = np.concatenate(([0], np.cumsum(np.bincount(columns, minlength=n))))
        return solve_chain(turned, rows[order], data[order], start)
    turned: Any = sp.csr_array((data, (columns, rows)), shape=(n, n))
    if n <= FACTOR_STATES:
        from mdpkit.kernels.evaluation import solve_policy

        return np.maximum(solve_policy(turned.indptr, turned.indices, turned.data, start), 0.0)
    total, wave = start.copy(), start
    while wave.sum() > 2 * UNIT * total.sum():
        wave = turned @ wave
        total = total + wave
    return total


def _discounted_visits(p: Canonical, weight: Array, rho: Array, exact: bool) -> Array:
    gamma = p.gamma_exact if exact else p.gamma
    rows = np.arange(len(weight))
    indptr, columns, data = mixed_rows(p.P, p.pair_ptr, rows, weight * gamma)
    return (1 - gamma) * weight * _flow(indptr, columns, data, rho, exact)[p.state]


def _stage_visits(p: Canonical, weights: Sequence[Array], rho: Array, exact: bool) -> list[Array]:
    assert p.H is not None
    L = len(p.state)
    x, out = rho, list[Array]()
    free = np.ones(p.n_states, dtype=bool) if p.fixed is None else ~p.fixed
    zero: Any = to_fraction(0) if exact else 0.0
    for h in range(p.H):
        d: Array = weights[min(h, len(weights) - 1)] * np.where(free, x, zero)[p.state]
        out.append(d)
        P = p.P.rows(h * L, (h + 1) * L) if p.P.n_rows != L else p.P
        if exact:
            x = np.full(p.n_states, zero, dtype=object)
            np.add.at(x, P.indices, P.rationals() * d[P.row_of])
        else:
            x = P.csr.T @ d
    return out


def _passing_visits(C: Transitions, transient: Bools, rho: Array, exact: bool) -> Array:
    """Expected visits of the transient states from the law ``rho``, ``(S,)``; zero elsewhere."""
    inner = np.flatnonzero(transient)
    visits: Array = np.full(len(rho), to_fraction(0), dtype=object) if exact else np.zeros(len(rho))
    if len(inner):
        local = np.full(len(rho), -1, dtype=np.int64)
        local[inner] = np.arange(len(inner))
        keep = transient[C.row_of] & transient[C.indices]
        rows, columns = local[C.row_of[keep]], local[C.indices[keep]]
        indptr = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=len(inner)))))
        visits[inner] = _flow(indptr, columns, (C.rationals() if exact else C.data)[keep], rho[inner], exact)
    return visits


def _frequencies(p: Canonical, chain: MDP, weight: Array, rho: Array, exact: bool) -> Array:
    """Long-run frequencies of the pairs: the mass that ends in each recurrent class, spread by the class's law."""
    from mdpkit.kernels.stationary import stationary_laws

    C = chain.P
    data = C.rationals() if exact else C.data
    law, label, count = stationary_laws(C.indptr, C.indices, data)
    flow = _passing_visits(C, label < 0, rho, exact)
    mass: Array = np.full(count, to_fraction(0), dtype=object) if exact else np.zeros(count)
    settled = np.flatnonzero(label >= 0)
    np.add.at(mass, label[settled], rho[settled])
    entering = np.flatnonzero((label[C.row_of] < 0) & (label[C.indices] >= 0))
    np.add.at(mass, label[C.indices[entering]], flow[C.row_of[entering]] * data[entering])
    frequency = np.where(label >= 0, law * mass[label], law * 0)
    return weight * frequency[p.state]


def _total_visits(p: Canonical, chain: MDP, weight: Array, rho: Array, exact: bool) -> Array:
    from mdpkit.kernels import graph as g

    S, C = p.n_states, chain.P
    chain_graph = g.Graph(np.arange(S + 1), C.indptr, C.indices)
    fixed = np.zeros(S, dtype=bool) if p.fixed is None else p.fixed
    policy = np.where(fixed, -1, np.arange(S))
    label, _ = g.bottom_components(chain_graph, policy)
    reached: Bools = g.reachable(chain_graph, rho.astype(bool), ~fixed)
    transient = (label < 0) & ~fixed & reached
    visits = _passing_visits(C, transient, rho, exact)
    d = weight * visits[p.state]
    used = weight.astype(bool)
    paying = np.bincount(p.state, weights=used & (p.r != 0), minlength=S) > 0
    alone = np.bincount(np.maximum(label, 0), weights=label >= 0)[np.maximum(label, 0)] == 1
    endless = (label >= 0) & ~fixed & reached & (paying | ~alone)
    d[endless[p.state] & used] = np.inf
    return d


# -- mixtures ----------------------------------------------------------------------------------------------------------


def _mixture(mdp: MDP, policy: Mixture, *, exact: bool, rng: np.random.Generator | None) -> Evaluation:
    weights = _exact_mixture(policy) if exact else policy.weights
    parts = tuple(evaluate(mdp, part, exact=exact, rng=rng) for part in policy.policies)
    lower, upper = ([_first_stage(getattr(part, side), mdp, 2) for part in parts] for side in ("lower", "upper"))
    if exact:
        V = _weighted(weights, lower)
        _refuse_undefined(V)
        return Evaluation(_floats(V), V, V, V, None, mdp, policy, None, parts)
    error = (len(parts) + 8) * 2 * UNIT
    low, high = _weighted(weights, lower), _weighted(weights, upper)
    with np.errstate(invalid="ignore"):
        margin = [error * _weighted(weights, [np.abs(x) for x in side]) for side in (lower, upper)]
        low, high = (
            np.where(np.isfinite(low), low - margin[0], low),
            np.where(np.isfinite(high), high + margin[1], high),
        )
    V = _weighted(weights, [_first_stage(part.V, mdp, 2) for part in parts])
    _refuse_undefined(V)
    return Evaluation(np.clip(V, low, high), low, high, None, None, mdp, policy, None, parts)


def _refuse_undefined(V: Array) -> None:
    bad = np.flatnonzero(np.isnan(_floats(V)))
    if bad.size:
        raise UndefinedValueError(
            f"the value of the mixture is undefined: its policies have infinite values of both signs in state {int(bad[0])}",
            witness={"state": int(bad[0])},
        )


def _exact_mixture(policy: Mixture) -> Array:
    weights = rationalize_array(policy.weights) if policy.exact is None else policy.exact
    total = sum(weights.tolist(), start=to_fraction(0))
    if total != 1:
        raise ModelError(
            "the mixture's weights do not sum to exactly one", found=total, needed="1 in rational arithmetic"
        )
    return weights


def _mixture_weights(evaluation: Evaluation) -> Array:
    policy: Mixture = evaluation.policy
    return policy.weights if evaluation.exact is None else _exact_mixture(policy)


def _weighted(weights: Array, values: Sequence[Array]) -> Array:
    """Sum of weights times values, leaving out weights of zero."""
    terms: list[Any] = [w * x for w, x in zip(weights, values, strict=True) if w != 0]
    with np.errstate(invalid="ignore"):
        total: Any = sum(terms[1:], start=terms[0])
    return total


def _first_stage(values: Array, mdp: MDP, staged: int) -> Array:
    """Stage 0 of values by stage."""
    return values[0] if values.ndim == staged else values


# -- the initial law ---------------------------------------------------------------------------------------------------


def _support(problem: MDP) -> Ints:
    if problem.rho is None:
        raise ModelError(
            "the model has no initial state", way_out="give rho=… to the model, or read V, lower and upper"
        )
    return np.flatnonzero(problem.rho)


def _at_law(problem: MDP, values: Array) -> float:
    support = _support(problem)
    assert problem.rho is not None
    refuse_both_infinities(support, values[support], values[support])
    return float(problem.rho[support] @ values[support])


def _at_law_exact(problem: MDP, values: Array) -> Fraction | float:
    support = _support(problem)
    law = problem.rho_exact if problem.rho_exact is not None else problem.exact().rho_exact
    assert law is not None
    refuse_both_infinities(support, values[support], values[support])
    return sum((law[s] * values[s] for s in support), start=to_fraction(0))
