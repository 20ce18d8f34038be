r"""What is asked of a model, from the options of the command line or the recipe in a certificate's file.

``mdpkit solve`` poses a problem and ``mdpkit check`` poses it again in another process; both do it here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mdpkit.errors import CertificateError, MDPError, OptionError, nearest
from mdpkit.kernels.rational import to_fraction
from mdpkit.models.criterion import (
    AverageReward,
    Criterion,
    Discounted,
    EntropyRegularized,
    FiniteHorizon,
    Invariance,
    Reachability,
    TotalReward,
)

if TYPE_CHECKING:
    from mdpkit.io.properties import Property
    from mdpkit.models.mdp import MDP

__all__ = ["CRITERIA", "Question", "criterion_name", "read_gamma", "read_tau"]

CRITERIA: dict[str, type[Criterion]] = {
    "discounted": Discounted,
    "finite-horizon": FiniteHorizon,
    "total": TotalReward,
    "average": AverageReward,
    "regularized": EntropyRegularized,
    "reachability": Reachability,
    "invariance": Invariance,
}
ALIASES = {
    "discount": "discounted",
    "finite": "finite-horizon",
    "horizon": "finite-horizon",
    "total-reward": "total",
    "average-reward": "average",
    "gain": "average",
    "entropy": "regularized",
    "entropy-regularized": "regularized",
    "soft": "regularized",
    "reach": "reachability",
    "safe": "invariance",
}
UNDISCOUNTED = "without discounting: --horizon H, --criterion total or average, or a --property"
PROPERTY = "write it as a property: --property 'Pmax=? [F \"goal\"]'"


def criterion_name(criterion: Criterion | None) -> str | None:
    """The command line's name of a criterion.

    Examples
    --------
    >>> criterion_name(FiniteHorizon(3))
    'finite-horizon'
    """
    return next((name for name, kind in CRITERIA.items() if isinstance(criterion, kind)), None)


def read_gamma(text: str) -> Fraction:
    """A discount factor as the decimal or rational that was written: ``"0.95"`` is 19/20.

    Raises
    ------
    OptionError
        If it is no number.
    """
    try:
        value = to_fraction(text)
    except MDPError:
        raise OptionError("--gamma is no number", found=repr(text), needed="a number such as 0.95 or 19/20") from None
    return Fraction(int(value.numerator), int(value.denominator))


def read_tau(text: str) -> Fraction:
    """A temperature as the decimal or rational that was written.

    Raises
    ------
    OptionError
        If it is no positive number.
    """
    try:
        value = to_fraction(text)
    except MDPError:
        value = None
    if value is None or value <= 0:
        raise OptionError(
            "--tau is no temperature",
            found=repr(text),
            needed="a positive number such as 0.1 or 1/10",
            way_out="without entropy: --criterion discounted",
        )
    return Fraction(int(value.numerator), int(value.denominator))


@dataclass(frozen=True)
class Question:
    """What is asked of a model; ``None`` leaves a thing as the source has it.

    Attributes
    ----------
    property : str or None
        In PRISM's syntax; implies the criterion, the reward structure, and whether to minimize.
    criterion : str or None
        A key of ``CRITERIA``.
    gamma : Fraction or None
    horizon : int or None
    reward : str or None
    minimize : bool or None
    initial : int or None
        Index of the initial state.
    tau : Fraction or None
        Temperature; implies the criterion with entropy.
    """

    property: str | None = None
    criterion: str | None = None
    gamma: Fraction | None = None
    horizon: int | None = None
    reward: str | None = None
    minimize: bool | None = None
    initial: int | None = None
    tau: Fraction | None = None

    def recipe(self) -> dict[str, Any]:
        """Plain types for a certificate's file: what was asked, without what was left to the source."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: str(value) if isinstance(value, Fraction) else value
            for name, value in given.items()
            if value is not None
        }

    @classmethod
    def of_recipe(cls, recipe: Any) -> Question:
        """The question that a recipe holds.

        Raises
        ------
        CertificateError
            If the recipe is damaged.
        """
        kinds: dict[str, type] = {
            "property": str, "criterion": str, "gamma": str, "horizon": int, "reward": str,
            "minimize": bool, "initial": int, "tau": str,
        }  # fmt: skip
        if not isinstance(recipe, dict):
            raise CertificateError("the certificate's recipe is damaged", found=repr(recipe))
        given = cast("dict[str, Any]", recipe).copy()
        for name, value in given.items():
            if name not in kinds or type(value) is not kinds[name]:
                raise CertificateError("the certificate's recipe is damaged", found=f"{name!r}: {value!r}")
        if "gamma" in given:
            given["gamma"] = read_gamma(given["gamma"])
        if "tau" in given:
            given["tau"] = read_tau(given["tau"])
        return cls(**given)

    def pose(self, mdp: MDP) -> tuple[MDP, Property | None]:
        """The problem, and the parsed property if one was asked.

        Raises
        ------
        OptionError
            Options that contradict each other or the model, a parameter that is missing or out of range, an unknown
            criterion or reward structure (with the nearest name).
        PropertyError
            If the property does not parse or does not fit the model.
        """
        prop: Property | None = None
        if self.property is not None:
            problem, prop = self._property(mdp)
        else:
            problem = mdp.under(self._criterion(mdp), reward=self.reward, minimize=self.minimize)
            _check_reward(problem)
        if self.initial is not None:
            if not 0 <= self.initial < mdp.n_states:
                raise OptionError(
                    "--initial is no state of the model", found=self.initial, needed=f"an index 0 <= s < {mdp.n_states}"
                )
            assert problem.criterion is not None
            problem = problem.under(problem.criterion, rho=self.initial)
        return problem, prop

    def _property(self, mdp: MDP) -> tuple[MDP, Property]:
        from mdpkit.io.properties import problem_of

        assert self.property is not None
        implied = {
            "--criterion": self.criterion,
            "--gamma": self.gamma,
            "--tau": self.tau,
            "--horizon": self.horizon,
            "--reward": self.reward,
            "--minimize or --maximize": self.minimize,
        }
        for option, value in implied.items():
            if value is not None:
                raise OptionError(
                    f"{option} does not go with --property, which says it itself",
                    found=self.property,
                    way_out='Pmin or Pmax, R{"name"}min or R{"name"}max, F<=k for steps; or leave --property out',
                )
        return problem_of(mdp, self.property)

    def _criterion(self, mdp: MDP) -> Criterion:
        own = mdp.criterion
        name = self._name()
        if name is None:
            if own is None:
                raise OptionError(
                    "the source carries no criterion",
                    needed="--gamma X, --horizon H, --criterion NAME or --property TEXT",
                    way_out=f"criteria: {', '.join(CRITERIA)}",
                )
            return own
        if self.horizon is not None and name != "finite-horizon":
            raise OptionError(f"--horizon does not go with --criterion {name}", way_out="--criterion finite-horizon")
        if self.tau is not None and name != "regularized":
            raise OptionError(f"--tau does not go with --criterion {name}", way_out="--criterion regularized")
        if self.gamma is not None and name not in ("discounted", "finite-horizon", "regularized"):
            raise OptionError(f"--gamma does not go with --criterion {name}", way_out="--criterion discounted")
        if name == "discounted":
            return self._discounted(own)
        if name == "finite-horizon":
            return self._finite(own)
        if name == "regularized":
            return self._regularized(own)
        if name == criterion_name(own):
            assert own is not None
            return own
        if name in ("reachability", "invariance"):
            raise OptionError(
                f"--criterion {name} needs a set of states, and the source carries none", way_out=PROPERTY
            )
        return TotalReward() if name == "total" else AverageReward()

    def _name(self) -> str | None:
        if self.criterion is None:
            if self.horizon is not None:
                return "finite-horizon"
            if self.tau is not None:
                return "regularized"
            return "discounted" if self.gamma is not None else None
        key = self.criterion.strip().lower().replace("_", "-")
        key = ALIASES.get(key, key)
        if key not in CRITERIA:
            raise OptionError(f"unknown criterion {self.criterion!r}", way_out=nearest(key, CRITERIA))
        return key

    def _discounted(self, own: Criterion | None) -> Criterion:
        if self.gamma is None:
            if isinstance(own, Discounted):
                return own
            raise OptionError(
                "--criterion discounted needs a discount factor, and the source carries none",
                needed="--gamma X with 0 <= X < 1, for example --gamma 0.95",
            )
        _check_gamma(self.gamma)
        return Discounted(self.gamma)

    def _regularized(self, own: Criterion | None) -> Criterion:
        carried: Any = own if isinstance(own, EntropyRegularized) else None
        tau, gamma = self.tau, self.gamma
        if tau is None and carried is None:
            raise OptionError(
                "--criterion regularized needs a temperature, and the source carries none",
                needed="--tau Y with Y > 0, for example --tau 0.1",
            )
        if gamma is None:
            source: Any = own if isinstance(own, (Discounted, EntropyRegularized)) and np.ndim(own.gamma) == 0 else None
            if source is None:
                raise OptionError(
                    "--criterion regularized needs a discount factor, and the source carries none",
                    needed="--gamma X with 0 <= X < 1, for example --gamma 0.95",
                )
            gamma = source.gamma if source.exact is None else source.exact
        else:
            _check_gamma(gamma)
        if tau is None:
            tau = carried.tau if carried.tau_exact is None else carried.tau_exact
        if carried is None:
            return EntropyRegularized(gamma, tau)
        return EntropyRegularized(
            gamma, tau, carried.reference if carried.reference_exact is None else carried.reference_exact
        )

    def _finite(self, own: Criterion | None) -> Criterion:
        carried = own if isinstance(own, FiniteHorizon) else None
        H = self.horizon if self.horizon is not None else None if carried is None else carried.H
        if H is None:
            raise OptionError(
                "--criterion finite-horizon needs the number of stages, and the source carries none",
                needed="--horizon H, for example --horizon 10",
            )
        if H < 0:
            raise OptionError("--horizon is no number of stages", found=H, needed="an integer H >= 0")
        gamma: Any = self.gamma
        if gamma is None:
            gamma = 1 if carried is None else carried.gamma if carried.exact is None else carried.exact
        if not 0 <= gamma <= 1:
            raise OptionError(
                "the discount factor --gamma is outside [0, 1]", found=_shown(gamma), needed="0 <= gamma <= 1"
            )
        if carried is None:
            return FiniteHorizon(H, gamma)
        return FiniteHorizon(H, gamma, carried.terminal if carried.terminal_exact is None else carried.terminal_exact)


def _check_gamma(gamma: Fraction) -> None:
    if not 0 <= gamma < 1:
        raise OptionError(
            "the discount factor --gamma is outside [0, 1)",
            found=_shown(gamma),
            needed="0 <= gamma < 1",
            way_out=UNDISCOUNTED,
        )


def _check_reward(problem: MDP) -> None:
    c = problem.criterion
    if problem.active is not None or isinstance(c, (Reachability, Invariance)):
        return
    if problem.rewards:
        raise OptionError(
            "the model has several reward structures, and none is chosen",
            needed="--reward NAME",
            way_out=f"one of: {', '.join(problem.rewards)}",
        )
    if not (isinstance(c, FiniteHorizon) and c.terminal is not None):
        raise OptionError(f"the model has no rewards, which {criterion_name(c)} problems need", way_out=PROPERTY)


def _shown(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{value} = {float(value):g}"
