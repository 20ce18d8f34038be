r"""The multistep operator of a trace rule, by following all histories.

.. math:: (M Q)(x) = Q(x) + E_\mu \Bigl[ \sum_{t < T} \gamma^t \beta_t \bigl( r(x_t) + \gamma E_\pi Q(s_{t+1}, \cdot)
          - Q(x_t) \bigr) \Bigm| x_0 = x \Bigr] = Q + N (T_\pi Q - Q), \qquad N = \sum_{t < T} \gamma^t B_t,

with :math:`B_t(x, y) = E_\mu[\beta_t 1\{x_t = y\} | x_0 = x]`, over pairs x and y. A rule that is cut after T lags is a rule
again, whose operator has the same fixed point, so that nothing is approximated.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import segments
from mdpkit.operators.task import Task
from mdpkit.operators.trace_rules import Memory, PerDecision, TraceRule
from mdpkit.typing import Array, Ints

__all__ = ["Multistep", "errors"]

MOST = 200_000
"""How many distinct histories may be followed at once."""
DIGITS = 12
"""Floats that agree to so many digits are one: products of the same ratios in another order."""


class Multistep:
    r"""The operator of a target, a behavior and a trace rule, in the arithmetic of the task.

    Parameters
    ----------
    task : Task
        Features and weights of it are not read.
    rule : TraceRule
    horizon : int or None
        T, how many lags credit reaches at most, 1 or more; None for all of them, which per-decision rules allow.

    Raises
    ------
    OptionError
        For a rule that looks back and no horizon.
    UnsupportedError
        If there are too many histories to follow, when they are.
    """

    def __init__(self, task: Task, rule: TraceRule, horizon: int | None):
        if horizon is None and not isinstance(rule, PerDecision):
            raise OptionError(
                "traces that look back are followed to a horizon only",
                found=f"{type(rule).__name__}, horizon=None",
                needed="a number of lags",
                way_out="horizon=10",
            )
        self.task, self.horizon = task, horizon
        self.rule: Any = rule.converted(task.on.number)
        self.L = task.n_pairs

    def after(self, policy: Array) -> Array:
        """The chain of pairs under a policy, ``(L, L)``."""
        P = self.task.on.P
        dense = P.dense if P.dense is not None else P.toarray()
        return dense[:, self.task.state] * policy

    @cached_property
    def identity(self) -> Array:
        """In the operator's numbers, ``(L, L)``."""
        return self.task.on.number(np.eye(self.L))

    @cached_property
    def expected(self) -> list[Array]:
        r""":math:`B_0, \dots, B_{T-1}`, each ``(L, L)``; without a horizon none are listed."""
        task, chain = self.task, self.after(self.task.mu)
        out = [self.identity]
        if isinstance(self.rule, PerDecision):
            step = chain * self.rule.factor(task.ratio, task.pi)
            for _ in range(1, self.horizon or 1):
                out.append(out[-1] @ step)
            return out
        pairs, weight = np.arange(self.L), self.identity
        memory = self.rule.start(task.pi)
        first, second = np.nonzero(chain != 0)
        start = np.searchsorted(first, np.arange(self.L + 1))
        for _ in range(1, self.horizon or 1):
            count = start[pairs + 1] - start[pairs]
            if int(count.sum()) > MOST:
                raise UnsupportedError(
                    "there are too many histories to follow",
                    found=f"{int(count.sum())} at lag {len(out)}",
                    needed=f"at most {MOST}",
                    way_out="a shorter horizon",
                )
            parent = np.repeat(np.arange(len(pairs)), count)
            entry = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
            entry = entry + np.repeat(start[pairs], count)
            pairs = second[entry]
            weight = weight[parent] * chain[first[entry], pairs][:, None]
            memory = tuple(part[parent] for part in memory)
            memory = self.rule.advance(memory, task.ratio[pairs], task.pi[pairs], pairs)
            pairs, memory, weight = merged(pairs, memory, weight)
            law = 0 * self.identity
            np.add.at(law.T, pairs, memory[0][:, None] * weight)
            out.append(law)
        return out

    @cached_property
    def eligibility(self) -> Array:
        r""":math:`N = \sum_t \gamma^t B_t`, ``(L, L)``."""
        if self.horizon is None:
            task = self.task
            step = task.gamma * self.after(task.mu) * self.rule.factor(task.ratio, task.pi)
            return segments.solve(self.identity - step, self.identity)
        total, power = 0 * self.identity, self.task.gamma * 0 + 1
        for law in self.expected:
            total, power = total + power * law, power * self.task.gamma
        return total

    @cached_property
    def Z(self) -> Array:
        r"""The linear part of :math:`M Q - Q^\pi = Z (Q - Q^\pi)`, :math:`I - N (I - \gamma P_\pi)`, ``(L, L)``."""
        return self.identity - self.eligibility @ (self.identity - self.task.gamma * self.after(self.task.pi))

    @cached_property
    def norm(self) -> Any:
        r""":math:`\|Z\|_\infty`, the largest sum of magnitudes of a row."""
        return segments.norm(np.abs(self.Z).sum(axis=1))

    def __call__(self, Q: Array) -> Array:
        """MQ, ``(L,)``."""
        return Q + self.eligibility @ errors(self.task, Q)


def errors(task: Task, Q: Array) -> Array:
    r"""Expected temporal-difference errors :math:`T_\pi Q - Q` of pairs, ``(L,)``."""
    return task.on.q(task.on.mean(task.pi, Q)) - Q


def merged(pairs: Ints, memory: Memory, weight: Array) -> tuple[Ints, Memory, Array]:
    """Histories that end in one pair with one memory, put together; balls are left as they are."""
    if segments.is_ball(memory[0][0]):
        return pairs, memory, weight
    if memory[0].dtype == object:
        place: dict[Any, int] = {}
        keys = zip(pairs.tolist(), *(part.tolist() for part in memory), strict=True)
        where = np.array([place.setdefault(key, len(place)) for key in keys])
    else:
        rows = np.column_stack([pairs, *map(_rounded, memory)])
        where = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
    _, first = np.unique(where, return_index=True)
    total = np.zeros((len(first), weight.shape[1]), dtype=weight.dtype)
    np.add.at(total, where, weight)
    return pairs[first], tuple(part[first] for part in memory), total


def _rounded(x: Array) -> Array:
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa, DIGITS), exponent)
