"""Shape conventions and array aliases.

``S`` states, ``A`` action ids, ``L`` admissible state--action pairs (sorted by state, then action), ``H`` stages,
``nnz`` stored transitions. A value is ``(S,)``, an action value over pairs ``(L,)``.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Array", "ArrayLike", "Bools", "Floats", "Ints", "Number", "Objects"]

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Objects = NDArray[np.object_]
Number = int | float | str | Fraction
