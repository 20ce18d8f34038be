"""Exploration: learners that act in an unknown problem, and their regret."""

from mdpkit.solvers.exploration.conservative_exploration import EpsMix, StepMix
from mdpkit.solvers.exploration.ucbvi import UCBVI

__all__ = ["UCBVI", "EpsMix", "StepMix"]
