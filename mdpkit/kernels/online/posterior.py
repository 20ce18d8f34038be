"""Compiled twins of :mod:`mdpkit.kernels.posterior`: the same draws and the same bits, for the loops of learners."""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

from numba import njit

__all__ = ["dirichlet", "draw_laws", "draw_means"]


@njit(cache=True, nogil=True)
def dirichlet(alpha, rng, out):
    """A law drawn from the Dirichlet law of parameters ``alpha (n,)``, written into ``out (n,)``."""
    total = 0.0
    for i in range(alpha.size):
        out[i] = rng.standard_gamma(alpha[i])
        total += out[i]
    if total == 0.0:
        for i in range(alpha.size):
            out[i] = alpha[i]
            total += alpha[i]
    for i in range(alpha.size):
        out[i] = out[i] / total


@njit(cache=True, nogil=True)
def draw_laws(prior, moves, rng, out, alpha, law):
    """Laws drawn from the posteriors of all pairs, into ``out (n, S, L)``; ``alpha`` and ``law`` are work space ``(S,)``."""
    for i in range(moves.shape[0]):
        for k in range(moves.shape[2]):
            for t in range(moves.shape[1]):
                alpha[t] = prior + moves[i, t, k]
            dirichlet(alpha, rng, law)
            for t in range(moves.shape[1]):
                out[i, t, k] = law[t]


@njit(cache=True, nogil=True)
def draw_means(wins, losses, rng, out, alpha, law):
    """Means drawn from the Beta laws of all coins, into ``out (n, L)``; ``alpha`` and ``law`` are work space ``(2,)``."""
    for i in range(wins.shape[0]):
        for k in range(wins.shape[1]):
            alpha[0] = wins[i, k]
            alpha[1] = losses[i, k]
            dirichlet(alpha, rng, law)
            out[i, k] = law[0]
