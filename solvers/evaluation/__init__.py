"""Policy evaluation: temporal differences, least squares, gradient and emphatic methods, on and off policy."""

from mdpkit.solvers.evaluation.emphatic_temporal_differences import EmphaticTemporalDifferences
from mdpkit.solvers.evaluation.gradient_temporal_differences import GTD, GTD2, TDC
from mdpkit.solvers.evaluation.least_squares_temporal_differences import LeastSquaresTemporalDifferences
from mdpkit.solvers.evaluation.martingale_conditions import (
    MartingaleLoss,
    MartingaleOrthogonality,
    MeanSquareTDError,
)
from mdpkit.solvers.evaluation.temporal_differences import TemporalDifferences
from mdpkit.solvers.evaluation.trajectory_aware_traces import MultistepEvaluation, OnlineTraces

__all__ = [
    "GTD",
    "GTD2",
    "TDC",
    "EmphaticTemporalDifferences",
    "LeastSquaresTemporalDifferences",
    "MartingaleLoss",
    "MartingaleOrthogonality",
    "MeanSquareTDError",
    "MultistepEvaluation",
    "OnlineTraces",
    "TemporalDifferences",
]
