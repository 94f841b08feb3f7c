"""Load run, sweep and optimizer configs from YAML files and dicts, and build optimizers from configs."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from mxtrain.config.error_messages import reject_data_fields, validate_run, validate_tree, with_data_values
from mxtrain.config.introspection import allowed_kinds
from mxtrain.config.overrides import apply_overrides
from mxtrain.config.run_section import RunConfig
from mxtrain.config.search.parser import build_sweep, has_sweep, without_sweep
from mxtrain.config.search.search_paths import with_flattened_search
from mxtrain.config.search.sweep_definition import Sweep
from mxtrain.config.yaml.merge import read_tree
from mxtrain.config.yaml.nodes import Entry, MapNode, ScalarNode, find_node, from_python, typed_path
from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.errors import ConfigError, ConfigProblem, Location
from mxtrain.minimization.method_configs import METHODS, AnyOptimizer
from mxtrain.optim.factory import build_optimizer
from mxtrain.optim.nonfinite import OnNonfinite
from mxtrain.optim.optimizer import Optimizer
from mxtrain.optim.rules import AnyRule, Rule
from mxtrain.paths import expand_home
from mxtrain.processes import fork_lock
from mxtrain.types import Config, describe

_REQUIRED = [name for name, field in RunConfig.model_fields.items() if field.is_required()]
_METHOD_KINDS = [method.model_fields["kind"].default for method in METHODS]


class _OptimizerFile(Config):
    """A file or a dict that holds only an optimizer, as it is validated."""

    optimizer: AnyOptimizer


def read_run(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    data_must_exist: bool = True,
    in_memory: bool | Collection[str] | None = None,
    data_values: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Read a run from a YAML file.

    Args:
        path: the file. If neither it nor a file that it extends sets `name`, the run is named after it.
        overrides: values that replace those of the file, each as `path=value`, such as `optimizer.η=0.01`.
        data_must_exist: report missing data files.
        in_memory: the names of the arguments with data in memory that were passed, such as `validation`; True is `data`
            alone, False none; None skips this check.
        data_values: values of fields of `data` that replace those of the file, before it is validated.

    Raises:
        ConfigError: the files or the overrides are invalid; all problems at once, in reading order.
    """
    path, report = _path_text(path), ProblemReport()
    tree = read_tree(path, report, with_flattened_search)
    if "kind" in tree.entries and not _is_run(tree):
        remedy = f"a run file is needed, with {', '.join(_REQUIRED)}"
        report.fail("", f"this file holds only an optimizer; {remedy}", Location(path))
    tree = _with_default_name(_apply_overrides(tree, overrides, report), path)
    tree = _require_run(tree, f"`mxtrain sweep {path}`, or its run alone with --set sweep=null", report)
    tree = with_data_values(tree, data_values or {}, report)
    run = validate_run(tree, report, data_must_exist)
    if in_memory is not None:
        arguments = ("data",) if in_memory is True else in_memory or ()
        reject_data_fields(run.data.in_memory_problems(arguments), tree, report)
    return run


def read_sweep(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep from a YAML file: a run file with a section `sweep`.

    Args:
        path: the file. If neither it nor a file that it extends sets `name`, the sweep is named after it.
        overrides: values that replace those of the file, each as `path=value`, such as `sweep.trials=10`.

    Raises:
        ConfigError: the files, the overrides, or runs that the sweep can reach are invalid; all problems at once.
    """
    path, report = _path_text(path), ProblemReport()
    tree = read_tree(path, report, with_flattened_search)
    tree = _with_default_name(_apply_overrides(tree, overrides, report), path)
    if not has_sweep(tree):
        message = f"this file has no sweep section; train it with `mxtrain fit {path}`"
        report.fail("", message, Location(path))
    return build_sweep(tree, report)


def read_optimizer(path: str | os.PathLike[str]) -> Rule:
    """Read an optimizer from a YAML file that holds only an optimizer, or a whole run.

    Raises:
        ConfigError: the file is invalid; all problems at once, including those outside the optimizer.
    """
    return _read_located_optimizer(path)[0]


def _read_located_optimizer(path: str | os.PathLike[str]) -> tuple[Rule, Location | None]:
    """Read an optimizer, and return its location too."""
    path, report = _path_text(path), ProblemReport()
    tree = _spell(read_tree(path, report, with_flattened_search), report)
    if not _is_run(tree):
        return _validate_optimizer(tree, report), _kind_location(_under_optimizer(tree))
    command = "`mxtrain sweep`, or its run alone with --set sweep=null"
    run = validate_run(_require_run(_with_default_name(tree, path), command, report), report)
    return run.optimizer, _kind_location(tree)


def locate_optimizer(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Location | None:
    """Return the location of the kind of the optimizer in a valid file, to which `overrides` apply."""
    report = ProblemReport()
    tree = apply_overrides(read_tree(_path_text(path), report, with_flattened_search), overrides, report)
    return _kind_location(tree if _is_run(tree) else _under_optimizer(tree))


def _kind_location(tree: MapNode) -> Location | None:
    return find_node(tree, ("optimizer", "kind"))[1]


def read_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> RunConfig | Sweep | Rule:
    """Read a run, a sweep or a single optimizer from a YAML file; arguments and errors as for `read_run`."""
    path, report = _path_text(path), ProblemReport()
    tree = read_tree(path, report, with_flattened_search)
    is_run = _is_run(tree)
    tree = _apply_overrides(tree, overrides, report)
    if not is_run:
        return _validate_optimizer(tree, report)
    tree = _with_default_name(tree, path)
    return build_sweep(tree, report) if has_sweep(tree) else validate_run(without_sweep(tree), report)


def run_from_dict(
    data: Mapping[str, Any], *, will_be_trained: bool = True, data_values: Mapping[str, Any] | None = None
) -> RunConfig:
    """Read a run from a dict, by the rules for files; the dict is not changed.

    Args:
        data: the dict.
        will_be_trained: reject settings that only earlier versions accepted.
        data_values: as for `read_run`.

    Raises:
        ConfigError: a value is invalid; all problems at once.

    Example:
        >>> parts = {"data": {"source": "digits"}, "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}}
        >>> run_from_dict(parts)
        Traceback (most recent call last):
        mxtrain.errors.ConfigError: loss: required; one of softmax_cross_entropy, ...
    """
    report = ProblemReport()
    tree = _require_run(_tree_from_dict(data, report), "mxtrain.sweep, or remove sweep to train its run alone", report)
    tree = with_data_values(tree, data_values or {}, report)
    return validate_run(tree, report, will_be_trained=will_be_trained)


def sweep_from_dict(data: Mapping[str, Any]) -> Sweep:
    """Read a sweep from a dict, by the rules for files; the dict is not changed.

    Example:
        >>> run = {"data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy"}
        >>> search = {"optimizer": {"choice": [{"kind": "sgd", "μ": {"uniform": [0, 0.99]}}, {"kind": "adam"}]}}
        >>> settings = {"search": search, "objective": {"minimize": "val_loss"}, "trials": 10}
        >>> sweep_from_dict({**run, "sweep": settings}).space.names
        ('optimizer', 'optimizer[sgd].μ')
    """
    report = ProblemReport()
    tree = _tree_from_dict(data, report)
    if not has_sweep(tree):
        report.fail("sweep", "required; a mapping with search and objective")
    return build_sweep(_with_default_name(tree, "run"), report)


def optimizer_from_dict(data: Mapping[str, Any], overrides: Sequence[str] = ()) -> Rule:
    """Read an optimizer from a dict, by the rules for files; the dict is not changed.

    Args:
        data: the dict.
        overrides: values that replace those of the dict, each as `path=value`, such as `η=0.01`.

    Example:
        >>> optimizer_from_dict({"kind": "adam", "lr": 0.01}).η
        0.01
        >>> optimizer_from_dict({"kind": "adam", "β2": 1.2})
        Traceback (most recent call last):
        mxtrain.errors.ConfigError: optimizer.β2: must be at least 0 and below 1, got 1.2
    """
    report = ProblemReport()
    return _validate_optimizer(_apply_overrides(_tree_from_dict(data, report), overrides, report), report)


def _spell(tree: MapNode, report: ProblemReport) -> MapNode:
    """Let error messages use the names that were typed in a tree."""
    report.spell = partial(typed_path, tree)
    return tree


def _apply_overrides(tree: MapNode, overrides: Sequence[str], report: ProblemReport) -> MapNode:
    return _spell(apply_overrides(tree, overrides, report), report)


def _path_text(path: object) -> str:
    """Return the path of a file as text, with `~` replaced by the home folder."""
    if isinstance(path, str | bytes | os.PathLike):
        return expand_home(os.fsdecode(path))
    raise ConfigError([ConfigProblem("config", f"must be the path of a file, got {describe(path)}")])


def _is_run(tree: MapNode) -> bool:
    return bool(tree.entries.keys() & {"sweep", *RunConfig.model_fields})


def _require_run(tree: MapNode, command: str, report: ProblemReport) -> MapNode:
    """Return the run of a tree; a ConfigError with the command that starts it if it is a sweep."""
    if has_sweep(tree):
        report.fail("sweep", f"this is a sweep: start it with {command}", tree.entries["sweep"].location)
    return without_sweep(tree)


def _with_default_name(tree: MapNode, path: str | os.PathLike[str]) -> MapNode:
    """Name a run that has no name after its file."""
    if "name" in tree.entries:
        return tree
    name = Entry("name", ScalarNode(_name_from_stem(Path(path).stem)))
    return replace(tree, entries={**tree.entries, "name": name})


def _tree_from_dict(data: object, report: ProblemReport) -> MapNode:
    tree = from_python(data, report)
    if not isinstance(tree, MapNode):
        report.fail("", f"a config must be a mapping, got {describe(data)}")
    return _spell(with_flattened_search(tree, report), report)


def _validate_optimizer(tree: MapNode, report: ProblemReport) -> Rule:
    report.nest_under("optimizer")
    whole = _spell(_under_optimizer(tree), report)
    return validate_tree(_OptimizerFile, whole, report).optimizer


def _name_from_stem(stem: str) -> str:
    """Return a valid name of a run for the stem of a file's name."""
    kept = "".join(c if c.isalpha() or c.isdecimal() or c in "._-" else "-" for c in stem)
    return kept.lstrip(".-")[:100] or "run"


def build(
    config: Rule | Mapping[str, Any] | str | PathLike[str],
    *,
    backend: str = "auto",
    on_nonfinite: OnNonfinite = "warn",
    run: tuple[int, int] | None = None,
) -> Optimizer:
    """Build an optimizer from a rule, a dict or a YAML file.

    Args:
        config: a rule (`mxtrain.Adam(η=1e-3)`), a dict (`{"kind": "adam", "η": 1e-3}`), or the path of a YAML file
            of an optimizer, or of a run, whose section `optimizer` is used.
        backend: `numpy`, `compiled` or `cupy`; `auto` chooses by the arrays. An update has the same bits on each.
        on_nonfinite: treatment of an update that makes a slot NaN or infinite, which no later update repairs. `warn`
            and `ignore` apply it; `warn` scans the slots after steps 1, 2, 4, ..., 1024, then after every 1024th, and
            in `state_dict` and `save`, and warns once per optimizer. `raise` raises a NonFiniteError, and `skip` warns
            and skips the step, before anything changes; these two try a step on copies of the weights and slots if a
            slot might overflow.
        run: the length of the run, as the number of epochs and of batches in an epoch. Schedules with `T: run` or
            `per: fraction` need it.

    Raises:
        ConfigError: a value is wrong; the error lists every problem.
        BackendError: the backend is unknown, or cannot run here.

    Example:
        >>> import mxtrain
        >>> mxtrain.build({"kind": "adam", "lr": 0.01}).rule.η
        0.01
        >>> schedule = {"kind": "linear", "T": "run", "per": "iteration"}
        >>> mxtrain.build({"kind": "adam", "η_sched": schedule}, run=(10, 50)).rule.η_sched.T
        500
    """
    with fork_lock:  # Pydantic completes its validators on first use
        rule, location = _read_rule(config)
    try:
        if run is not None:
            rule = _for_run(rule, run)
        return build_optimizer(rule, backend=backend, on_nonfinite=on_nonfinite, location=location)
    except ConfigError as error:
        raise _with_typed_names(error, config) from None


def _for_run(rule: Rule, run: Any) -> Rule:
    """Return the rule with the lengths of its schedules resolved for a run of so many epochs and batches.

    Raises:
        ConfigError: `run` is not a pair of counts, or a schedule cannot have this length.
    """
    is_pair = isinstance(run, tuple | list) and len(run) == 2
    if not is_pair or any(isinstance(each, bool) or not isinstance(each, int) or each < 1 for each in run):
        message = f"must be the numbers of epochs and of batches in an epoch, as in (10, 500), got {run!r}"
        raise ConfigError([ConfigProblem("run", message)])
    for path, schedule in rule.all_schedules().items():
        problem = schedule.run_problem() if schedule.observed_metrics() else None
        if problem is not None:
            raise ConfigError([ConfigProblem(f"optimizer.{path}.{problem.path}", problem.message)])
    return rule.for_run(*run)


def _with_typed_names(error: ConfigError, config: object) -> ConfigError:
    """Return the error with the names that were typed in a dict or a file, and their location in the file."""
    match config:
        case Mapping():
            tree = from_python({"optimizer": config}, ProblemReport())
        case str() | PathLike():
            tree = read_tree(_path_text(config), ProblemReport(), with_flattened_search)
            if not _is_run(tree):
                tree = _under_optimizer(tree)
        case _:
            return error
    problems = []
    for problem in error.problems:
        node, place = find_node(tree, problem.path.split("."))
        location = problem.location or (node.location if node else place)
        problems.append(replace(problem, path=typed_path(tree, problem.path), location=location))
    return ConfigError(problems)


def _under_optimizer(tree: MapNode) -> MapNode:
    """Return the tree of a run whose optimizer is the whole of a tree."""
    return MapNode({"optimizer": Entry("optimizer", tree, tree.location)}, tree.location)


def _read_rule(config: Rule | Mapping[str, Any] | str | PathLike[str]) -> tuple[Rule, Location | None]:
    match config:
        case Rule():
            return config, None
        case Mapping():
            return optimizer_from_dict(config), None
        case str() if config.lower() in allowed_kinds(AnyRule) and not Path(config).exists():
            remedy = f'to build a rule by its name, pass {{"kind": "{config.lower()}"}}'
            raise ConfigError([ConfigProblem("config", f"there is no file {config!r}; {remedy}")])
        case str() if config.lower() in _METHOD_KINDS and not Path(config).exists():
            method = config.lower()
            message = f"{method} is a method of mxtrain.minimize; call mxtrain.minimize(fun, x0, {method!r})"
            raise ConfigError([ConfigProblem("config", message)])
        case str() | PathLike():
            return _read_located_optimizer(Path(config))
    raise ConfigError(
        [ConfigProblem("config", f"must be a rule, a dict or the path of a YAML file, got {describe(config)}")]
    )
