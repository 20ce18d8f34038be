"""Markov decision processes solved with certificates: the theory of reinforcement learning, executable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdpkit.choose import solve, solve_many
from mdpkit.cite import cite  # this one and simulate not lazily: the modules would take their names
from mdpkit.errors import MDPError, ModelError, ModelWarning
from mdpkit.estimation import Estimate, estimate
from mdpkit.evaluation import Evaluation, evaluate
from mdpkit.models import (
    MDP,
    AverageReward,
    Discounted,
    EntropyRegularized,
    FiniteHorizon,
    FiniteMemory,
    Invariance,
    LinearMDP,
    LinearMixture,
    Markov,
    MarkovChain,
    Mixture,
    Reachability,
    Stationary,
    TotalReward,
)
from mdpkit.play import play  # not lazily either
from mdpkit.regret import Regret
from mdpkit.run import Gap, Residual, Steps, iterates
from mdpkit.simulate import simulate
from mdpkit.solution import Solution, Status

if TYPE_CHECKING:
    from mdpkit import certificates, claims, experiments, instances, io, operators, plots, proofs, solvers
    from mdpkit.io import (
        from_dataframe,
        from_pymdptoolbox,
        from_quantecon,
        load,
        save,
        to_dataframe,
        to_networkx,
        to_pymdptoolbox,
        to_quantecon,
    )
    from mdpkit.reductions.communicating import classify

__version__ = "0.1.0"

__all__ = [
    "MDP",
    "AverageReward",
    "Discounted",
    "EntropyRegularized",
    "Estimate",
    "Evaluation",
    "FiniteHorizon",
    "FiniteMemory",
    "Gap",
    "Invariance",
    "LinearMDP",
    "LinearMixture",
    "MDPError",
    "Markov",
    "MarkovChain",
    "Mixture",
    "ModelError",
    "ModelWarning",
    "Reachability",
    "Regret",
    "Residual",
    "Solution",
    "Stationary",
    "Status",
    "Steps",
    "TotalReward",
    "certificates",
    "cite",
    "claims",
    "classify",
    "estimate",
    "evaluate",
    "experiments",
    "from_dataframe",
    "from_pymdptoolbox",
    "from_quantecon",
    "instances",
    "io",
    "iterates",
    "load",
    "operators",
    "play",
    "plots",
    "proofs",
    "save",
    "simulate",
    "solve",
    "solve_many",
    "solvers",
    "to_dataframe",
    "to_networkx",
    "to_pymdptoolbox",
    "to_quantecon",
]

_IO = (
    "from_dataframe", "from_pymdptoolbox", "from_quantecon", "load", "save", "to_dataframe", "to_networkx", "to_pymdptoolbox",
    "to_quantecon",
)  # fmt: skip
_FUNCTIONS = dict.fromkeys(_IO, "mdpkit.io") | {"classify": "mdpkit.reductions.communicating"}
_MODULES = ("certificates", "claims", "experiments", "instances", "io", "plots", "proofs", "solvers", "operators")


def __getattr__(name: str) -> Any:
    from importlib import import_module
    from pkgutil import iter_modules

    if name in _MODULES:
        module = import_module(f"mdpkit.{name}")
        if name == "solvers":
            for room in iter_modules(module.__path__):
                import_module(f"mdpkit.solvers.{room.name}")
            for room in (
                "dynamic_programming", "average_reward", "regularized_dp", "policy_gradient", "exploration", "linear"
            ):  # fmt: skip
                import_module(f"mdpkit.solvers.{room}")
        return module
    if name in _FUNCTIONS:
        return getattr(import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'mdpkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
