"""Factory: bind a rule to a backend."""

from typing import get_args

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.optim.backends import select_backend
from mxtrain.optim.nonfinite import OnNonfinite
from mxtrain.optim.optimizer import Optimizer
from mxtrain.optim.rules import Rule
from mxtrain.types import describe


def build_optimizer(rule: Rule, *, backend: str = "auto", on_nonfinite: OnNonfinite = "warn") -> Optimizer:
    """Build an optimizer from a rule; `mxtrain.build` also accepts dicts and files.

    Args:
        rule: the rule.
        backend: the name of the backend, as in `mxtrain.build`.
        on_nonfinite: treatment of an update that makes a slot NaN or infinite, as in `mxtrain.build`.

    Raises:
        ConfigError: `on_nonfinite` is unknown, or the rule's schedule follows the length of a run.
        BackendError: the backend is unknown, or cannot run here.

    Example:
        >>> from mxtrain.optim.rules import Adam
        >>> build_optimizer(Adam(η=0.01), backend="numpy").rule.η
        0.01
    """
    if on_nonfinite not in get_args(OnNonfinite):
        wanted = ", ".join(get_args(OnNonfinite))
        raise ConfigError([ConfigProblem("on_nonfinite", f"must be one of {wanted}, got {describe(on_nonfinite)}")])
    if rule.η_sched is not None and rule.η_sched.run_length is not None:
        message = f"must be a number, got {rule.η_sched.run_length}: only a run of mxtrain.fit has a known length"
        raise ConfigError([ConfigProblem("optimizer.η_sched.T", message)])
    return Optimizer(rule, select_backend(backend), on_nonfinite)
