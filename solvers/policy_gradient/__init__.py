"""Policy gradient: mirror descent, natural gradients, trust regions and their sampled forms."""

from mdpkit.solvers.policy_gradient.conservative_policy_iteration import ConservativePolicyIteration
from mdpkit.solvers.policy_gradient.natural_policy_gradient import NaturalPolicyGradient
from mdpkit.solvers.policy_gradient.policy_mirror_descent import PolicyMirrorDescent
from mdpkit.solvers.policy_gradient.projected_policy_gradient import ProjectedPolicyGradient
from mdpkit.solvers.policy_gradient.softmax_policy_gradient import SoftmaxPolicyGradient

__all__ = [
    "ConservativePolicyIteration",
    "NaturalPolicyGradient",
    "PolicyMirrorDescent",
    "ProjectedPolicyGradient",
    "SoftmaxPolicyGradient",
]
