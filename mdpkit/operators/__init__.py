"""Operators on values: the hinge of the planning families."""

from mdpkit.operators.bellman import Backup, BellmanOptimality, BellmanPolicy, Operator

__all__ = ["Backup", "BellmanOptimality", "BellmanPolicy", "Operator"]
