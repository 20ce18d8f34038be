"""Policy gradient: mirror descent, natural gradients, trust regions and their sampled forms."""

from mdpkit.solvers.policy_gradient.dynamic_policy_gradient import DynamicPolicyGradient, SimultaneousPolicyGradient, StochasticDynamicPolicyGradient, StochasticSimultaneousPolicyGradient
from mdpkit.solvers.policy_gradient.fixpo import FixPO
from mdpkit.solvers.policy_gradient.improper_policy_gradient import ImproperNaturalActorCritic, ImproperPolicyGradient
from mdpkit.solvers.policy_gradient.minorize_maximize import MinorizeMaximize
from mdpkit.solvers.policy_gradient.natural_policy_gradient import NaturalPolicyGradient
from mdpkit.solvers.policy_gradient.proximal_policy_optimization import PenalizedPolicyOptimization, ProximalPolicyOptimization
from mdpkit.solvers.policy_gradient.simple_policy_optimization import SimplePolicyOptimization
from mdpkit.solvers.policy_gradient.trust_region_policy_optimization import TrustRegionPolicyOptimization

__all__ = [
    "DynamicPolicyGradient",
    "FixPO",
    "ImproperNaturalActorCritic",
    "ImproperPolicyGradient",
    "MinorizeMaximize",
    "NaturalPolicyGradient",
    "PenalizedPolicyOptimization",
    "ProximalPolicyOptimization",
    "SimplePolicyOptimization",
    "SimultaneousPolicyGradient",
    "StochasticDynamicPolicyGradient",
    "StochasticSimultaneousPolicyGradient",
    "TrustRegionPolicyOptimization",
]
