"""Policy gradient: mirror descent, natural gradients, trust regions and their sampled forms."""

from mdpkit.solvers.policy_gradient.actor_critic import ActorCritic
from mdpkit.solvers.policy_gradient.conservative_policy_iteration import ConservativePolicyIteration
from mdpkit.solvers.policy_gradient.dynamic_policy_gradient import (
    DynamicPolicyGradient,
    SimultaneousPolicyGradient,
    StochasticDynamicPolicyGradient,
    StochasticSimultaneousPolicyGradient,
)
from mdpkit.solvers.policy_gradient.fixpo import FixPO
from mdpkit.solvers.policy_gradient.hessian_aided_policy_gradient import HessianAidedPolicyGradient
from mdpkit.solvers.policy_gradient.improper_policy_gradient import ImproperNaturalActorCritic, ImproperPolicyGradient
from mdpkit.solvers.policy_gradient.minorize_maximize import MinorizeMaximize
from mdpkit.solvers.policy_gradient.natural_policy_gradient import NaturalPolicyGradient
from mdpkit.solvers.policy_gradient.normalized_policy_gradient_igt import NormalizedPolicyGradientIGT
from mdpkit.solvers.policy_gradient.normalized_variance_reduced_policy_gradient import (
    NormalizedVarianceReducedPolicyGradient,
)
from mdpkit.solvers.policy_gradient.occupancy_regression_policy_gradient import OccupancyRegressionPolicyGradient
from mdpkit.solvers.policy_gradient.policy_mirror_descent import PolicyMirrorDescent
from mdpkit.solvers.policy_gradient.projected_policy_gradient import ProjectedPolicyGradient
from mdpkit.solvers.policy_gradient.proximal_policy_optimization import (
    PenalizedPolicyOptimization,
    ProximalPolicyOptimization,
)
from mdpkit.solvers.policy_gradient.reinforce import Reinforce
from mdpkit.solvers.policy_gradient.simple_policy_optimization import SimplePolicyOptimization
from mdpkit.solvers.policy_gradient.softmax_policy_gradient import SoftmaxPolicyGradient
from mdpkit.solvers.policy_gradient.trust_region_policy_optimization import TrustRegionPolicyOptimization

__all__ = [
    "ActorCritic",
    "ConservativePolicyIteration",
    "DynamicPolicyGradient",
    "FixPO",
    "HessianAidedPolicyGradient",
    "ImproperNaturalActorCritic",
    "ImproperPolicyGradient",
    "MinorizeMaximize",
    "NaturalPolicyGradient",
    "NormalizedPolicyGradientIGT",
    "NormalizedVarianceReducedPolicyGradient",
    "OccupancyRegressionPolicyGradient",
    "PenalizedPolicyOptimization",
    "PolicyMirrorDescent",
    "ProjectedPolicyGradient",
    "ProximalPolicyOptimization",
    "Reinforce",
    "SimplePolicyOptimization",
    "SimultaneousPolicyGradient",
    "SoftmaxPolicyGradient",
    "StochasticDynamicPolicyGradient",
    "StochasticSimultaneousPolicyGradient",
    "TrustRegionPolicyOptimization",
]
