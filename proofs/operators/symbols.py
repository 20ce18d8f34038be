r"""Symbols for claims that are proved: the general model of two states and two actions, and noncommuting matrices.

Everything of the model of two states is a polynomial: quantities that a linear system determines are written as numerators over
its determinant, so that an identity is one of polynomials and is decided by expanding them.
"""

from __future__ import annotations

from typing import Any

__all__ = ["TwoByTwo", "inverse_relations"]


class TwoByTwo:
    """The general discounted model with two states and two actions, in a ring of polynomials over the integers.

    Attributes
    ----------
    gamma, r, P, rho : polynomials
        ``r[s][a]`` and ``P[s][a][t]``, whose rows sum to one, and the initial law.
    """

    def __init__(self) -> None:
        from sympy import ZZ, ring

        names = [
            "g",
            "x",
            *(f"r{s}{a}" for s in range(2) for a in range(2)),
            *(f"P{s}{a}" for s in range(2) for a in range(2)),
        ]
        names += [f"{policy}{s}{a}" for policy in "pq" for s in range(2) for a in range(2)]
        made: Any = ring(names, ZZ)
        self.ring: Any = made[0]
        self.of: dict[str, Any] = dict(zip(names, made[1:], strict=True))
        self.zero, self.one = self.ring.zero, self.ring.one
        self.gamma = self.of["g"]
        self.rho = [self.of["x"], 1 - self.of["x"]]
        self.r = [[self.of[f"r{s}{a}"] for a in range(2)] for s in range(2)]
        self.P = [[[self.of[f"P{s}{a}"], 1 - self.of[f"P{s}{a}"]] for a in range(2)] for s in range(2)]

    def policy(self, name: str) -> list[list[Any]]:
        """A policy: ``name + "s0"`` is the probability of action 0 in state s."""
        return [[self.of[f"{name}{s}0"], 1 - self.of[f"{name}{s}0"]] for s in range(2)]

    def weights(self, name: str) -> list[list[Any]]:
        """Weights of the pairs that need not sum to one."""
        return [[self.of[f"{name}{s}{a}"] for a in range(2)] for s in range(2)]

    def _matrix(self, pi: Any) -> list[list[Any]]:
        return [
            [
                int(s == t) - self.gamma * sum((pi[s][a] * self.P[s][a][t] for a in range(2)), self.zero)
                for t in range(2)
            ]
            for s in range(2)
        ]

    def value(self, pi: Any) -> tuple[Any, list[Any]]:
        """Determinant of I - gamma P_pi, and the numerators of the value over it."""
        M = self._matrix(pi)
        b = [sum((pi[s][a] * self.r[s][a] for a in range(2)), self.zero) for s in range(2)]
        det = M[0][0] * M[1][1] - M[0][1] * M[1][0]
        return det, [M[1][1] * b[0] - M[0][1] * b[1], M[0][0] * b[1] - M[1][0] * b[0]]

    def visits(self, pi: Any) -> tuple[Any, list[Any]]:
        """The same determinant, and the numerators of the unnormalized visits."""
        M = self._matrix(pi)
        x, y = self.rho
        det = M[0][0] * M[1][1] - M[0][1] * M[1][0]
        return det, [x * M[1][1] - y * M[1][0], y * M[0][0] - x * M[0][1]]

    def q(self, det: Any, V: Any) -> list[list[Any]]:
        """Numerators, over the determinant, of the action values of a value given by its numerators."""
        return [
            [
                self.r[s][a] * det + self.gamma * sum((self.P[s][a][t] * V[t] for t in range(2)), self.zero)
                for a in range(2)
            ]
            for s in range(2)
        ]


def inverse_relations(expression: Any, gamma: Any, pairs: Any) -> Any:
    """An expression in noncommuting symbols, with X P = P X = (X - 1)/gamma for each pair (X, P), expanded."""
    from sympy import expand

    for _ in range(4):
        expression = expand(expression)
        for X, P in pairs:
            expression = expand(expression.subs(X * P, (X - 1) / gamma).subs(P * X, (X - 1) / gamma))
    return expression
