"""Construction of an optimizer from a rule."""

from typing import get_args

from mxtrain.errors import ConfigError, ConfigProblem, Location
from mxtrain.optim.backends import select_backend
from mxtrain.optim.nonfinite import OnNonfinite
from mxtrain.optim.optimizer import Optimizer
from mxtrain.optim.rules import Rule
from mxtrain.types import describe


def build_optimizer(
    rule: Rule, *, backend: str = "auto", on_nonfinite: OnNonfinite = "warn", location: Location | None = None
) -> Optimizer:
    """Build an optimizer from a rule; `mxtrain.build` also accepts dicts and files.

    Args:
        rule: the rule.
        backend: the name of the backend, as in `mxtrain.build`.
        on_nonfinite: treatment of an update that makes a slot NaN or infinite, as in `mxtrain.build`.
        location: the location of the rule in a file, for `Optimizer.explain`.

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
    if rule.needs_values:
        message = f"{rule.kind} evaluates the function several times in a step; use mxtrain.minimize or mxtrain.fit"
        raise ConfigError([ConfigProblem("optimizer.kind", message)])
    for path, schedule in rule.all_schedules().items():
        problem = schedule.run_problem()
        if problem is not None:
            raise ConfigError([ConfigProblem(f"optimizer.{path}.{problem.path}", problem.message)])
    return Optimizer(rule, select_backend(backend), on_nonfinite, location)
