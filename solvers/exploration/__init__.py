"""Exploration: learners that act in an unknown problem, and their regret."""

from mdpkit.solvers.exploration.best_of_both_worlds_policy_optimization import BestOfBothWorldsPolicyOptimization
from mdpkit.solvers.exploration.conservative_dual_policy_optimization import ConservativeDualPolicyOptimization
from mdpkit.solvers.exploration.conservative_exploration import EpsMix, StepMix
from mdpkit.solvers.exploration.delay_adapted_policy_optimization import DelayAdaptedPolicyOptimization
from mdpkit.solvers.exploration.explore_then_commit import ExploreThenCommit
from mdpkit.solvers.exploration.psrl import PSRL, TSDE
from mdpkit.solvers.exploration.q_learning import OptimisticQLearning
from mdpkit.solvers.exploration.regularized_value_iteration_ucb import RAVIUCB
from mdpkit.solvers.exploration.ucbvi import UCBVI
from mdpkit.solvers.exploration.ucrl2 import UCRL2

__all__ = [
    "PSRL",
    "RAVIUCB",
    "TSDE",
    "UCBVI",
    "UCRL2",
    "BestOfBothWorldsPolicyOptimization",
    "ConservativeDualPolicyOptimization",
    "DelayAdaptedPolicyOptimization",
    "EpsMix",
    "ExploreThenCommit",
    "OptimisticQLearning",
    "StepMix",
]
