"""Policy gradient: mirror descent, natural gradients, trust regions and their sampled forms."""

from mdpkit.solvers.policy_gradient.dynamic_policy_gradient import (
    DynamicPolicyGradient,
    SimultaneousPolicyGradient,
    StochasticDynamicPolicyGradient,
    StochasticSimultaneousPolicyGradient,
)
from mdpkit.solvers.policy_gradient.improper_policy_gradient import ImproperNaturalActorCritic, ImproperPolicyGradient
from mdpkit.solvers.policy_gradient.natural_policy_gradient import NaturalPolicyGradient

__all__ = [
    "DynamicPolicyGradient",
    "ImproperNaturalActorCritic",
    "ImproperPolicyGradient",
    "NaturalPolicyGradient",
    "SimultaneousPolicyGradient",
    "StochasticDynamicPolicyGradient",
    "StochasticSimultaneousPolicyGradient",
]
