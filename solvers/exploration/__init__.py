"""Exploration: learners that act in an unknown problem, and their regret."""

from mdpkit.solvers.exploration.ucbvi import UCBVI
from mdpkit.solvers.exploration.ucrl2 import UCRL2

__all__ = ["UCBVI", "UCRL2"]
