"""Certificates: two-sided bounds with what is needed to check them again, from the problem alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mdpkit.errors import CertificateError, ModelError, UndefinedValueError
from mdpkit.models.canonical import canonical, shifted
from mdpkit.models.mdp import MDP
from mdpkit.typing import Array, Ints

__all__ = ["Certificate", "Verdict"]

FORMAT = "mdpkit certificate 1"
BOUNDS = ("below", "above", "below_bias", "above_bias")
"""Fields of a certificate that hold numbers."""


@dataclass(frozen=True)
class Verdict:
    """Outcome of checking a certificate; true where it is valid.

    Attributes
    ----------
    valid : bool
    arithmetic : {"float", "exact", "ball"}
        The arithmetic of the check. A float check allows for all rounding errors; balls, which enclose the exact numbers,
        decide where these are logarithms.
    about : str
        The model checked: ``"as given"``, ``"rationalized"``, ``"as bits"``, or, for floats, ``"as given, up to rounding"``.
    reason : str
        Why the certificate is not valid, naming a state; empty where it is.
    """

    valid: bool
    arithmetic: str
    about: str
    reason: str = ""

    def __bool__(self) -> bool:
        return self.valid

    def __str__(self) -> str:
        return (
            f"valid ({self.arithmetic} arithmetic, model {self.about})" if self.valid else f"NOT valid: {self.reason}"
        )


@dataclass(frozen=True, eq=False)
class Certificate:
    r"""Two-sided bounds on the optimal value, checkable without the solver.

    The bounds are inductive: ``above`` dominates its own Bellman backup, ``below`` is dominated by its backup under the
    witness policy ``choice``; by monotonicity they enclose the optimal value, and the witness's value is at least ``below``
    (in the maximizing form; ``lower`` and ``upper`` are in the model's own terms). See ``docs/theory``.

    Attributes
    ----------
    theorem : str
        The statement the check rests on.
    arithmetic : {"float", "exact"}
        Whether the bounds are floats, or Fractions that coincide.
    about : str
        The model they are about; see :class:`Verdict`.
    digest : str
        SHA-256 of that model.
    below, above : (S,) or (H+1, S)
        The bounds in canonical form.
    choice : (S,) or (H, S) int
        The witness policy, as rows of the model.
    sign, offset : int
        From the canonical form to the model's value.
    whole : bool
        Whether ``lower`` and ``upper`` keep the stages (H+1, S), or show stage 0 only.
    recipe : dict
        How the command line poses the problem again: property, criterion and parameters.
    below_bias, above_bias : (S,) or None
        For average reward, whose ``below`` and ``above`` bound the gain: the relative values that support them.
    policy : (L,) float or None
        For entropy regularization, the witness: probabilities of the pairs, each to be divided by its state's sum; ``choice``
        is then its likeliest action.
    """

    theorem: str
    arithmetic: str
    about: str
    digest: str
    below: Array
    above: Array
    choice: Ints
    sign: int
    offset: int
    criterion: str
    whole: bool = True
    recipe: dict[str, Any] = field(default_factory=dict[str, Any])
    checked: Verdict | None = None
    below_bias: Array | None = None
    above_bias: Array | None = None
    policy: Array | None = None

    @cached_property
    def _bounds(self) -> tuple[Array, Array]:
        lower, upper = (self.below, self.above) if self.sign > 0 else (-self.above, -self.below)
        if self.offset and self.arithmetic == "float":
            lower, upper = shifted(self.offset, lower, -np.inf), shifted(self.offset, upper, np.inf)
        elif self.offset:
            lower, upper = self.offset + lower, self.offset + upper
        else:
            lower, upper = lower + 0, upper + 0  # no negative zeros
        return (lower, upper) if self.whole else (lower[0], upper[0])

    @property
    def lower(self) -> Array:
        """Certified lower bounds of the value of each state."""
        return self._bounds[0]

    @property
    def upper(self) -> Array:
        """Certified upper bounds of the value of each state."""
        return self._bounds[1]

    @cached_property
    def gap(self) -> float:
        """Largest ``upper - lower`` over the states (infinite values that are certain count zero)."""
        lower, upper = (np.asarray(x, dtype=np.float64) for x in self._bounds)
        return float(np.max(width(lower, upper), initial=0.0))

    @property
    def valid(self) -> bool:
        """Whether the check that was made when the certificate was issued passed."""
        return bool(self.checked)

    def initial(self, problem: MDP) -> tuple[float, float]:
        """Bounds at the initial state or law, rounded outward.

        Raises
        ------
        ModelError
            If the problem has no initial state.
        UndefinedValueError
            If the law has states worth plus infinity and states worth minus infinity.
        """
        _check_start(problem)
        assert problem.rho is not None
        support = np.flatnonzero(problem.rho)
        lower, upper = (bound[0] if bound.ndim == 2 else bound for bound in self._bounds)
        if self.arithmetic == "exact":
            value = self.initial_exact(problem)
            low, high = to_float(value, down=True), to_float(value, down=False)
            return low, high
        if len(support) == 1 and problem.rho[support[0]] == 1:
            return float(lower[support[0]]), float(upper[support[0]])
        mass, lower, upper = problem.rho[support], lower[support], upper[support]
        refuse_both_infinities(support, lower, upper)
        error = (len(support) + 8) * 2.0**-52
        low, high = -np.inf, np.inf
        with np.errstate(over="ignore"):
            if np.all(lower > -np.inf):
                low = float(mass @ lower)
                low -= error * float(mass @ np.abs(lower)) if np.isfinite(low) else 0.0
            if np.all(upper < np.inf):
                high = float(mass @ upper)
                high += error * float(mass @ np.abs(upper)) if np.isfinite(high) else 0.0
        return low, high

    def initial_exact(self, problem: MDP) -> Fraction | float:
        """The exact value at the initial state or law; raises like :meth:`initial`."""
        _check_start(problem)
        exact = problem if problem.rho_exact is not None else problem.exact()
        assert exact.rho is not None and exact.rho_exact is not None
        lower = self.lower[0] if self.lower.ndim == 2 else self.lower
        support = np.flatnonzero(exact.rho)
        refuse_both_infinities(support, lower[support], lower[support])
        total: Any = Fraction(0)
        for s in support:
            value = lower[s]
            if isinstance(value, float):
                return value
            total += exact.rho_exact[s] * value
        return total

    def verify(self, problem: MDP, *, exact: bool = False) -> Verdict:
        """Check the bounds again from the model.

        Parameters
        ----------
        problem : MDP
            The model under the same criterion.
        exact : bool
            Check in rational arithmetic (in balls where the numbers are logarithms). Exact certificates always are.

        Raises
        ------
        CertificateError
            If the certificate belongs to another model.
        """
        if problem.digest != self.digest:
            raise CertificateError(
                "the certificate belongs to another model",
                found=f"{problem!r} with digest {problem.digest[:12]}…",
                needed=f"{self.criterion} with digest {self.digest[:12]}…",
                way_out="check it against the model, criterion and reward structure for which it was issued",
            )
        from mdpkit.certificates import checks

        in_rationals = exact or self.arithmetic == "exact"
        if in_rationals and not problem.is_exact:
            problem = problem.exact(dyadic=self.about == "as bits")
        form = canonical(problem)
        reason = checks.violation(form, self, exact=in_rationals)
        about = problem.origin if in_rationals else f"{problem.origin}, up to rounding"
        arithmetic = "float" if not in_rationals else "ball" if form.kind == "regularized" else "exact"
        return Verdict(reason == "", arithmetic, about, reason)

    def issued(self, problem: MDP) -> Certificate:
        """The same certificate with the verdict of a first check."""
        return replace(self, checked=self.verify(problem))

    # -- files -------------------------------------------------------------------------------------------------------

    def save(self, path: Any, *, overwrite: bool = False) -> None:
        """Write the certificate to a ``.npz`` file.

        Raises
        ------
        OutputExistsError
            If the file exists and ``overwrite`` is false.
        """
        from mdpkit.io.files import atomic

        meta = {
            "format": FORMAT,
            "theorem": self.theorem,
            "arithmetic": self.arithmetic,
            "about": self.about,
            "digest": self.digest,
            "sign": self.sign,
            "offset": self.offset,
            "criterion": self.criterion,
            "whole": self.whole,
            "recipe": self.recipe,
        }
        arrays: dict[str, Array] = {"meta": np.array(json.dumps(meta)), "choice": self.choice}
        if self.policy is not None:
            arrays["policy"] = self.policy
        for name in BOUNDS:
            values: Array | None = getattr(self, name)
            if values is None:
                continue
            if values.dtype == object:
                arrays[name] = np.array([_text(v) for v in values.ravel()]).reshape(values.shape)
            else:
                arrays[name] = values
        with atomic(path, overwrite) as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Any) -> Certificate:
        """Read a certificate.

        Raises
        ------
        CertificateError
            If the file is missing, damaged or something else.
        """
        path = Path(path)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                meta = json.loads(str(data["meta"]))
                if meta.pop("format") != FORMAT:
                    raise KeyError("format")
                arrays = {name: data[name] for name in ("below", "above", "choice")}
                arrays |= {name: data[name] for name in (*BOUNDS, "policy") if name in data}
            for name in BOUNDS:
                if name in arrays and arrays[name].dtype.kind in "US":
                    flat = np.empty(arrays[name].size, dtype=object)
                    flat[:] = [_parse(text) for text in arrays[name].ravel().tolist()]
                    arrays[name] = flat.reshape(arrays[name].shape)
            return cls(**meta, **arrays)
        except FileNotFoundError:
            raise CertificateError(f"there is no certificate file {path}", way_out="check the path") from None
        except Exception as error:
            raise CertificateError(
                f"{path} is no certificate of mdpkit, or is damaged",
                found=f"{type(error).__name__}: {error}",
                needed="a file written by Certificate.save or --cert",
            ) from None

    def __repr__(self) -> str:
        state = "valid" if self.valid else "unchecked" if self.checked is None else "NOT valid"
        return f"Certificate({self.theorem}, {self.arithmetic}, gap {self.gap:.3g}, {state})"


def refuse_both_infinities(support: Ints, lower: Array, upper: Array) -> None:
    """Raise UndefinedValueError if values between the bounds, of the states ``support``, are infinities of both signs."""
    plus, minus = support[lower == np.inf], support[upper == -np.inf]
    if plus.size and minus.size:
        found = {"plus infinity in state": int(plus[0]), "minus infinity in state": int(minus[0])}
        raise UndefinedValueError(
            "the value at the initial law is undefined: it has states of both infinities",
            witness=found,
            way_out="read the values of the states, or give a law whose states are of one sign",
        )


def _check_start(problem: MDP) -> None:
    if problem.rho is None:
        raise ModelError("the model has no initial state", way_out="give rho=… to the model, or read lower and upper")


def width(lower: Array, upper: Array) -> Array:
    """``upper - lower``, zero where both are the same infinity."""
    with np.errstate(invalid="ignore"):
        difference = upper - lower
    return np.where(lower == upper, 0.0, difference)


def middle(lower: Array, upper: Array) -> Array:
    """The middle of the bounds; the finite one where only one is."""
    finite_low, finite_high = np.isfinite(lower), np.isfinite(upper)
    with np.errstate(invalid="ignore"):
        center = np.clip(lower + 0.5 * (upper - lower), lower, upper)
    return np.where(finite_low & finite_high, center, np.where(finite_low, lower, upper))


def to_float(value: Any, *, down: bool) -> float:
    """The float next to an exact number, on the chosen side of it."""
    if isinstance(value, float):
        return value
    nearest = float(value)
    if np.isinf(nearest):
        return nearest
    if down and Fraction(nearest) > value:
        return float(np.nextafter(nearest, -np.inf))
    if not down and Fraction(nearest) < value:
        return float(np.nextafter(nearest, np.inf))
    return nearest


def _text(value: Any) -> str:
    """Hexadecimal, so that neither time nor Python's limit on decimal digits matters for long fractions."""
    return str(value) if isinstance(value, float) else f"{value.numerator:x}/{value.denominator:x}"


def _parse(text: str) -> Fraction | float:
    if text in ("inf", "-inf"):
        return float(text)
    numerator, denominator = text.split("/")
    return Fraction(int(numerator, 16), int(denominator, 16))
