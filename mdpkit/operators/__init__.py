"""Operators on values: the hinge of the planning families."""

from mdpkit.operators.bellman import Backup, BellmanOptimality, BellmanPolicy, Operator
from mdpkit.operators.soft import SoftOptimality, SoftPolicy

__all__ = ["Backup", "BellmanOptimality", "BellmanPolicy", "Operator", "SoftOptimality", "SoftPolicy"]
