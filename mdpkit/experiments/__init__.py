"""Experiments: learners on problems over seeds, stored as they run, resumed where they were stopped, drawn without a rerun."""

from mdpkit.experiments.regret import RegretExperiment, gathered, load_regret, regret
from mdpkit.experiments.sample_complexity import SampleComplexity, load_sample_complexity, sample_complexity
from mdpkit.experiments.store import BrokenCellWarning, ExperimentError

__all__ = [
    "BrokenCellWarning",
    "ExperimentError",
    "RegretExperiment",
    "SampleComplexity",
    "gathered",
    "load_regret",
    "load_sample_complexity",
    "regret",
    "sample_complexity",
]
