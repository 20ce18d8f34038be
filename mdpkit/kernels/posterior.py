r"""Posterior laws of an unknown model and draws from them: the definition, on numpy arrays.

Next states of a pair have a Dirichlet law, whose parameters are a prior's plus the counts; coins have the Dirichlet law of two
outcomes. Draws are normalized gamma variables, one for each outcome, in the order of the array. The compiled twins in
:mod:`mdpkit.kernels.online.posterior` take the same numbers from the generator and give the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.typing import Array

__all__ = ["dirichlet", "draw_laws", "draw_means", "parameters"]


def dirichlet(alpha: Array, rng: np.random.Generator) -> Array:
    r"""Laws drawn from Dirichlet laws, ``(..., n)`` as their parameters are.

    .. math:: p_i = g_i / \sum_j g_j, \qquad g_i \sim \mathrm{Gamma}(\alpha_i, 1)

    Where all n variables are zero in floats, as tiny parameters make them, the mean :math:`\alpha / \sum \alpha` is given.
    """
    g = rng.standard_gamma(alpha)
    total, mass = np.zeros(alpha.shape[:-1]), np.zeros(alpha.shape[:-1])
    for i in range(alpha.shape[-1]):
        total = total + g[..., i]
        mass = mass + alpha[..., i]
    empty = total == 0
    if np.any(empty):
        g, total = np.where(empty[..., None], alpha, g), np.where(empty, mass, total)
    return g / total[..., None]


def parameters(prior: Any, moves: Array) -> Array:
    """Parameters of the posterior law of next states, ``(n, S, L)`` like the counts ``moves``; generic in the numbers."""
    return prior + moves


def draw_laws(alpha: Array, rng: np.random.Generator) -> Array:
    """Laws of next states ``(n, S, L)``, next state first, drawn pair by pair from parameters of that shape."""
    rows = np.ascontiguousarray(np.swapaxes(alpha, -1, -2))
    return np.ascontiguousarray(np.swapaxes(dirichlet(rows, rng), -1, -2))


def draw_means(wins: Array, losses: Array, rng: np.random.Generator) -> Array:
    """Means of coins drawn from Beta laws of these parameters, of the shape of ``wins``."""
    return dirichlet(np.stack((wins, losses), axis=-1), rng)[..., 0]
