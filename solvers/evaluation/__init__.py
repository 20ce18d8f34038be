"""Policy evaluation: temporal differences, least squares, gradient and emphatic methods, on and off policy."""

from mdpkit.solvers.evaluation.trajectory_aware_traces import MultistepEvaluation, OnlineTraces

__all__ = ["MultistepEvaluation", "OnlineTraces"]
