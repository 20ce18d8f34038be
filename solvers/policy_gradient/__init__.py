"""Policy gradient: mirror descent, natural gradients, trust regions and their sampled forms."""

from mdpkit.solvers.policy_gradient.dynamic_policy_gradient import (
    DynamicPolicyGradient,
    SimultaneousPolicyGradient,
    StochasticDynamicPolicyGradient,
    StochasticSimultaneousPolicyGradient,
)
from mdpkit.solvers.policy_gradient.natural_policy_gradient import NaturalPolicyGradient

__all__ = [
    "DynamicPolicyGradient",
    "NaturalPolicyGradient",
    "SimultaneousPolicyGradient",
    "StochasticDynamicPolicyGradient",
    "StochasticSimultaneousPolicyGradient",
]
