"""Exact representations: models, criteria, policies, samplers."""

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
from mdpkit.models.linear import LinearMDP, LinearMixture
from mdpkit.models.markov import MarkovChain
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import FiniteMemory, Markov, Mixture, Policy, Stationary
from mdpkit.models.sampling import GenerativeModel, Simulator
from mdpkit.models.transitions import Transitions

__all__ = [
    "MDP",
    "AverageReward",
    "Criterion",
    "Discounted",
    "EntropyRegularized",
    "FiniteHorizon",
    "FiniteMemory",
    "GenerativeModel",
    "Invariance",
    "LinearMDP",
    "LinearMixture",
    "Markov",
    "MarkovChain",
    "Mixture",
    "Policy",
    "Reachability",
    "Simulator",
    "Stationary",
    "TotalReward",
    "Transitions",
]
