"""Average reward: the long-run gain of multichain models, with a bias that certifies it."""

from mdpkit.solvers.average_reward.gain_bias_linear_programming import GainBiasLinearProgramming
from mdpkit.solvers.average_reward.multi_level_actor_critic import MultiLevelActorCritic
from mdpkit.solvers.average_reward.multichain_policy_iteration import MultichainPolicyIteration
from mdpkit.solvers.average_reward.relative_value_iteration import RelativeValueIteration
from mdpkit.solvers.average_reward.vanishing_discount import VanishingDiscount

__all__ = [
    "GainBiasLinearProgramming",
    "MultiLevelActorCritic",
    "MultichainPolicyIteration",
    "RelativeValueIteration",
    "VanishingDiscount",
]
