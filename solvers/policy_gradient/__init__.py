"""Policy gradient: mirror descent, natural gradients, trust regions and their sampled forms."""

from mdpkit.solvers.policy_gradient.natural_policy_gradient import NaturalPolicyGradient

__all__ = ["NaturalPolicyGradient"]
