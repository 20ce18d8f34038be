"""scipy.sparse, imported when it is first used: it takes longer than all the rest of ``import mdpkit``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["sp"]


class _Deferred:
    """A module that is imported when one of its names is asked for."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


sp: Any = _Deferred("scipy.sparse")
