"""Factory: build an optimizer from a rule, a dict or a file."""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from mxtrain.config.introspection import allowed_kinds
from mxtrain.config.loader import optimizer_from_dict, read_optimizer
from mxtrain.config.yaml.nodes import from_python, typed_path
from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.optim.factory import build_optimizer
from mxtrain.optim.nonfinite import OnNonfinite
from mxtrain.optim.optimizer import Optimizer
from mxtrain.optim.rules import AnyRule, Rule
from mxtrain.processes import fork_lock
from mxtrain.types import describe


def build(
    config: Rule | Mapping[str, Any] | str | PathLike[str],
    *,
    backend: str = "auto",
    on_nonfinite: OnNonfinite = "warn",
) -> Optimizer:
    """Build an optimizer from a rule, a dict or a YAML file.

    Args:
        config: a rule (`mxtrain.Adam(η=1e-3)`), a dict (`{"kind": "adam", "η": 1e-3}`), or the path of a YAML file
            of an optimizer, or of a run, whose section `optimizer` is used.
        backend: `numpy`, `compiled` or `cupy`; `auto` chooses by the arrays. The choice never changes a result.
        on_nonfinite: treatment of an update that makes a slot NaN or infinite, which no later update repairs. `warn`
            and `ignore` apply it; `warn` scans the slots after steps 1, 2, 4, ..., 1024, then after every 1024th, and
            in `state_dict` and `save`, and warns once per optimizer. `raise` raises a NonFiniteError, and `skip` warns
            and skips the step, before anything changes; these two try a step on copies of the weights and slots if a
            slot might overflow.

    Raises:
        ConfigError: a value is wrong; the error lists every problem.
        BackendError: the backend is unknown, or cannot run here.

    Example:
        >>> import mxtrain
        >>> mxtrain.build({"kind": "adam", "lr": 0.01}).rule.η
        0.01
    """
    with fork_lock:  # Pydantic completes its validators on first use
        rule = _read_rule(config)
    try:
        return build_optimizer(rule, backend=backend, on_nonfinite=on_nonfinite)
    except ConfigError as error:
        raise _with_typed_names(error, config) from None


def _with_typed_names(error: ConfigError, config: object) -> ConfigError:
    """Return the error with the names that were typed in a dict."""
    if not isinstance(config, Mapping):
        return error
    tree = from_python({"optimizer": config}, ProblemReport())
    return ConfigError([replace(problem, path=typed_path(tree, problem.path)) for problem in error.problems])


def _read_rule(config: Rule | Mapping[str, Any] | str | PathLike[str]) -> Rule:
    match config:
        case Rule():
            return config
        case Mapping():
            return optimizer_from_dict(config)
        case str() if config.lower() in allowed_kinds(AnyRule) and not Path(config).exists():
            remedy = f'to build a rule by its name, pass {{"kind": "{config.lower()}"}}'
            raise ConfigError([ConfigProblem("config", f"there is no file {config!r}; {remedy}")])
        case str() | PathLike():
            return read_optimizer(Path(config))
    raise ConfigError(
        [ConfigProblem("config", f"must be a rule, a dict or the path of a YAML file, got {describe(config)}")]
    )
