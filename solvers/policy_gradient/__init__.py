"""Policy gradient: mirror descent, natural gradients, trust regions and their sampled forms."""

from mdpkit.solvers.policy_gradient.actor_critic import ActorCritic
from mdpkit.solvers.policy_gradient.hessian_aided_policy_gradient import HessianAidedPolicyGradient
from mdpkit.solvers.policy_gradient.natural_policy_gradient import NaturalPolicyGradient
from mdpkit.solvers.policy_gradient.normalized_policy_gradient_igt import NormalizedPolicyGradientIGT
from mdpkit.solvers.policy_gradient.normalized_variance_reduced_policy_gradient import (
    NormalizedVarianceReducedPolicyGradient,
)
from mdpkit.solvers.policy_gradient.occupancy_regression_policy_gradient import OccupancyRegressionPolicyGradient
from mdpkit.solvers.policy_gradient.reinforce import Reinforce

__all__ = [
    "ActorCritic",
    "HessianAidedPolicyGradient",
    "NaturalPolicyGradient",
    "NormalizedPolicyGradientIGT",
    "NormalizedVarianceReducedPolicyGradient",
    "OccupancyRegressionPolicyGradient",
    "Reinforce",
]
