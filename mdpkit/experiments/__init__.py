"""Experiments: learners on problems over seeds, stored as they run, resumed where they were stopped, drawn without a rerun."""

from mdpkit.experiments.regret import Curve, RegretExperiment, gathered, load_regret, regret
from mdpkit.experiments.sample_complexity import Line, SampleComplexity, load_sample_complexity, sample_complexity
from mdpkit.experiments.store import BrokenCellWarning, ExperimentError

__all__ = [
    "BrokenCellWarning",
    "Curve",
    "ExperimentError",
    "Line",
    "RegretExperiment",
    "SampleComplexity",
    "gathered",
    "load_regret",
    "load_sample_complexity",
    "regret",
    "sample_complexity",
]
