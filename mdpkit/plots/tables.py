"""Occupancies, policies and stages as tables of colors."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.errors import ModelError, OptionError
from mdpkit.evaluation import Evaluation, evaluate
from mdpkit.models.criterion import AverageReward, Discounted, EntropyRegularized
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Markov, Stationary
from mdpkit.plots.axes import action_name, check_result, is_probability, state_name, value_name
from mdpkit.plots.grid import border_lines, first_policy, state_marks
from mdpkit.plots.heat import cells_of, grid_axes, has_cells, heat, is_written, settle, table
from mdpkit.solution import Solution
from mdpkit.typing import Array

__all__ = ["occupancy", "policy_matrix", "stages"]


def occupancy(result: Solution | Evaluation, shape: tuple[int, int] | None = None, ax: Any = None) -> Any:
    r"""How often a policy visits the states, from the initial law: a heat map.

    On a grid (``state_names`` that are cells, or a ``shape``) the cells have the sum over their actions, and over the
    stages of a finite horizon; otherwise it is a table of states and actions, or of states and stages. Discounted, it is
    :math:`d(s,a) = (1-\gamma) \sum_t \gamma^t P(s_t = s, a_t = a)`, which sums to one (Puterman 1994, Section 6.9,
    recalled: there without the factor); for total reward, the expected number of visits before the target or an
    absorbing state without reward; for average reward, the long-run frequency; see :attr:`mdpkit.Evaluation.occupancy`.

    Parameters
    ----------
    result : Solution or Evaluation
        The policy of a solution is evaluated.
    shape : (rows, columns), optional
        Of the grid, whose cells are numbered row by row.
    ax : matplotlib Axes, optional
        New ones by default.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        If the states are no cells of a grid of this shape, or the result is another one.
    ModelError
        If the model has no initial state or law.

    Examples
    --------
    >>> import mdpkit as mk
    >>> ax = mk.plots.occupancy(mk.solve(mk.instances.make("frozenlake")))
    >>> round(float(ax.images[0].get_array().sum()), 9)
    1.0
    """
    check_result(result)
    mdp = result.problem
    evaluation = evaluate(mdp, result.pi) if isinstance(result, Solution) else result
    visits = evaluation.occupancy
    if visits is None:
        raise ModelError("the model has no initial state", needed="an initial state or law", way_out="give it rho=…")
    d = visits.astype(np.float64)
    staged = d.ndim == 3
    per_state: Array = d.sum(axis=-1)
    if shape is None and not has_cells(mdp):
        names = [state_name(mdp, s) for s in range(mdp.n_states)]
        if staged:
            columns = ("stage", [str(h) for h in range(len(d))])
            return table(ax, per_state.T, "probability", ("state", names), columns, limits=(0.0, 1.0))[0]
        return _pair_table(ax, mdp, d, _visits_name(mdp, "P(sₜ = s, aₜ = a)"))
    y, x, height, width = cells_of(mdp, shape)
    given = ax
    ax, room, written = grid_axes(ax, height, width)
    cells = np.full((height, width), np.nan)
    cells[y, x] = per_state.sum(axis=0) if staged else per_state
    what = f"expected visits in {len(d)} stages" if staged else _visits_name(mdp, "P(sₜ = s)")
    most = float(cells[np.isfinite(cells)].max(initial=0.0))
    ink, _ = heat(ax, cells, what, room, written=written, up=0.12, limits=(0.0, most or 1.0))
    border_lines(ax, mdp, y, x, room)
    everywhere = np.ones(mdp.n_states, dtype=bool)
    state_marks(ax, mdp, y, x, ink[y, x], room, written=written, middle=everywhere, below=0.2)
    return settle(ax, given)


def _visits_name(mdp: MDP, event: str) -> str:
    if isinstance(mdp.criterion, AverageReward):
        return "long-run frequency"
    return (
        f"occupancy (1 − γ) Σ γᵗ {event}"
        if isinstance(mdp.criterion, (Discounted, EntropyRegularized))
        else "expected number of visits"
    )


def _pair_table(ax: Any, mdp: MDP, numbers: Array, label: str, limits: Any = None) -> Any:
    """A table of states and actions, in which inadmissible pairs are hatched."""
    shown = np.full((mdp.n_states, mdp.n_actions), np.nan)
    shown[mdp.state, mdp.action] = numbers[mdp.state, mdp.action]
    rows = ("state", [state_name(mdp, s) for s in range(mdp.n_states)])
    columns = ("action", [action_name(mdp, a) for a in range(mdp.n_actions)])
    most = float(shown[np.isfinite(shown)].max(initial=0.0))
    return table(ax, shown, label, rows, columns, limits=limits or (0.0, most or 1.0))[0]


def policy_matrix(result: Solution | Evaluation, ax: Any = None) -> Any:
    r"""The probabilities :math:`\pi(a \mid s)` of a policy as a table of states and actions.

    Pairs that are not admissible are hatched. Over a finite horizon, stage 0 is shown.

    Parameters
    ----------
    result : Solution or Evaluation
        Of a stationary policy, or one that depends on the stage.
    ax : matplotlib Axes, optional
        New ones by default.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        If the policy has memory, or the result is another one.

    Examples
    --------
    >>> import mdpkit as mk
    >>> ax = mk.plots.policy_matrix(mk.solve(mk.instances.make("forest")))
    >>> ax.images[0].get_array().tolist()
    [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    """
    check_result(result)
    weights = first_policy(result)
    if weights is None:
        raise OptionError("a policy with memory is no table", needed="a Stationary or a Markov policy")
    mdp = result.problem
    pi = np.zeros((mdp.n_states, mdp.n_actions))
    pi[mdp.state, mdp.action] = weights
    return _pair_table(ax, mdp, pi, "probability of the action, π(a | s)", limits=(0.0, 1.0))


def stages(result: Solution | Evaluation, ax: Any = None) -> Any:
    """Values of a finite horizon as a table of states and stages, with the action of each stage.

    Values and actions are written where there are at most 144 entries, and 24 stages and states; actions where a state
    has several.

    Parameters
    ----------
    result : Solution or Evaluation
        Over a finite horizon, of a policy without memory.
    ax : matplotlib Axes, optional
        New ones by default.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        If the result has no values by stage.

    Examples
    --------
    >>> import mdpkit as mk
    >>> ax = mk.plots.stages(mk.solve(mk.instances.make("puterman-inventory")))
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.images[0].get_array().shape
    ('stage', 'state', (4, 4))
    """
    check_result(result)
    if result.V.ndim != 2:
        raise OptionError(
            "the result has no values by stage",
            found=f"values of shape {result.V.shape}",
            needed="a finite horizon",
            way_out="mdp.under(mdpkit.FiniteHorizon(H)), or mdpkit.plots.values",
        )
    mdp = result.problem
    shown = (result.V if result.exact is None else result.exact).T
    rows = ("state", [state_name(mdp, s) for s in range(mdp.n_states)])
    columns = ("stage", [str(h) for h in range(len(result.V))])
    written = is_written(*shown.shape)
    limits = (0.0, 1.0) if is_probability(mdp) else None
    ax, ink = table(ax, shown, value_name(mdp), rows, columns, limits=limits, up=0.17 if written else 0.0)
    policy: Any = result.pi if isinstance(result, Solution) else result.policy
    if not written or not isinstance(policy, (Stationary, Markov)):
        return ax
    names = [action_name(mdp, a) for a in range(mdp.n_actions)]
    choice = np.diff(mdp.pair_ptr) > 1
    for h in range(len(result.V) - 1):
        stage = policy if isinstance(policy, Stationary) else policy.stages[min(h, len(policy.stages) - 1)]
        if stage.pairs is None:
            continue
        for s in np.flatnonzero(choice).tolist():
            text = names[int(stage.action[stage.pairs[s]])]
            size = min(7.0, 50.0 / len(text))
            ax.text(h, s + 0.22, text, ha="center", va="center", fontsize=size, style="italic", color=ink[s, h])
    return ax
