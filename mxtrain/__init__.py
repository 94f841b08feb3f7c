"""Optimizers as data: training optimizers for NumPy and CuPy arrays, the same bits on every backend.

    optimizer = mxtrain.build({"kind": "adam", "η": 1e-3})
    optimizer.step(params, grads)           # in place, on dicts of arrays
    result = mxtrain.fit("configs/adam.yaml")
    trials = mxtrain.sweep("configs/sweep.yaml")
    solution = mxtrain.minimize(value_and_gradient, x0, "lbfgs")

Names are imported when they are first used, so `import mxtrain` costs nothing.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mxtrain import aliases
from mxtrain.processes import fork_lock

if TYPE_CHECKING:
    from mxtrain.api import FitResult, fit, resume, sweep
    from mxtrain.config import RunConfig
    from mxtrain.config.loader import build
    from mxtrain.data import DataParts
    from mxtrain.errors import (
        ArrayError,
        ArrayTypeError,
        BackendError,
        ConfigError,
        DataError,
        FolderBusyError,
        ModelError,
        MxtrainError,
        NonFiniteError,
        ReadOnlyError,
        RunInterrupted,
        ScheduleError,
        StateError,
        SweepError,
        TraceError,
        TrainingError,
    )
    from mxtrain.minimization.result import MinimizeResult
    from mxtrain.minimization.scipy_method import scipy_method
    from mxtrain.minimizer import minimize
    from mxtrain.nn import Model
    from mxtrain.optim.flat_parameters import FlatParameters
    from mxtrain.optim.optimization_state import OptimizationState
    from mxtrain.optim.optimizer import Optimizer
    from mxtrain.optim.rules import *  # noqa: F403 - the rules, which are listed there
    from mxtrain.optim.rules import Rule
    from mxtrain.optim.schedules import learning_rate, momentum
    from mxtrain.optim.single_array import get_updater, normgrad
    from mxtrain.sweeps import SweepResult
    from mxtrain.training import Callback, LoadedRun, Logger, RunInfo, StopTraining, advance, load_run, verify
    from mxtrain.training.model_factory import check_gradient

    __all__ = [
        "ArrayError",
        "ArrayTypeError",
        "BackendError",
        "Callback",
        "ConfigError",
        "DataError",
        "DataParts",
        "FitResult",
        "FolderBusyError",
        "FlatParameters",
        "LoadedRun",
        "Logger",
        "MinimizeResult",
        "Model",
        "ModelError",
        "MxtrainError",
        "NonFiniteError",
        "OptimizationState",
        "Optimizer",
        "ReadOnlyError",
        "Rule",
        "RunConfig",
        "RunInfo",
        "RunInterrupted",
        "ScheduleError",
        "StateError",
        "StopTraining",
        "SweepError",
        "SweepResult",
        "TraceError",
        "TrainingError",
        "advance",
        "build",
        "check_gradient",
        "fit",
        "get_updater",
        "learning_rate",
        "load_run",
        "minimize",
        "momentum",
        "normgrad",
        "resume",
        "scipy_method",
        "sweep",
        "verify",
    ]

_RULES = "mxtrain.optim.rules"
_NAMES_BY_MODULE = {
    "mxtrain.api": ("FitResult", "fit", "resume", "sweep"),
    "mxtrain.config": ("RunConfig",),
    "mxtrain.errors": (
        "ArrayError",
        "ArrayTypeError",
        "BackendError",
        "ConfigError",
        "DataError",
        "FolderBusyError",
        "ModelError",
        "MxtrainError",
        "NonFiniteError",
        "ReadOnlyError",
        "RunInterrupted",
        "ScheduleError",
        "StateError",
        "SweepError",
        "TraceError",
        "TrainingError",
    ),
    "mxtrain.config.loader": ("build",),
    "mxtrain.data": ("DataParts",),
    "mxtrain.optim.flat_parameters": ("FlatParameters",),
    "mxtrain.minimization.result": ("MinimizeResult",),
    "mxtrain.minimization.scipy_method": ("scipy_method",),
    "mxtrain.minimizer": ("minimize",),
    "mxtrain.nn": ("Model",),
    "mxtrain.optim.optimizer": ("Optimizer",),
    "mxtrain.optim.single_array": ("get_updater", "normgrad"),
    _RULES: ("Rule", "Formula"),
    "mxtrain.optim.optimization_state": ("OptimizationState",),
    "mxtrain.sweeps": ("SweepResult",),
    "mxtrain.training.model_factory": ("check_gradient",),
    "mxtrain.training": (
        "Callback",
        "LoadedRun",
        "Logger",
        "RunInfo",
        "StopTraining",
        "advance",
        "load_run",
        "verify",
    ),
}
aliases.install()
_imported: set[str] = set()
_SUBMODULES = ("learning_rate", "momentum")
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return [*_MODULE_OF, *_SUBMODULES, *_rules()]
    if name in _SUBMODULES:
        with fork_lock:
            return import_module(f"mxtrain.{name}")
    if name in _MODULE_OF:
        return getattr(_import(_MODULE_OF[name]), name)
    if name[:1].isupper() and name in _rules():
        return _rules()[name]
    raise AttributeError(f"module 'mxtrain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})


def _rules() -> dict[str, Any]:
    return {rule.__name__: rule for rule in _import(_RULES).RULES}


def _import(module: str) -> ModuleType:
    if module not in _imported:
        with fork_lock:
            import_module(module)
        _imported.add(module)
    return import_module(module)
