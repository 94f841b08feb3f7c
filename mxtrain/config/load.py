"""The doors of the YAML language: files and dicts in, validated configs out."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from mxtrain.config.data_section import is_path
from mxtrain.config.explain import explain
from mxtrain.config.extends import read_tree
from mxtrain.config.nodes import Entry, MapNode, ScalarNode, clipped, find, plain
from mxtrain.config.overrides import overridden
from mxtrain.config.report import Report
from mxtrain.config.run import RunConfig
from mxtrain.config.values import from_python
from mxtrain.errors import Location
from mxtrain.optimizers import AnyRule, Rule
from mxtrain.types import Config, describe

_Model = TypeVar("_Model", bound=Config)


_REQUIRED = [name for name, field in RunConfig.model_fields.items() if field.is_required()]


class _OptimizerAlone(Config):
    """What a file, or a dict, with nothing but an optimizer is checked as."""

    optimizer: AnyRule


def read_run(path: str | os.PathLike[str], overrides: Sequence[str] = (), *, data_must_exist: bool = True) -> RunConfig:
    """The run that a YAML file describes.

    Args:
        path: the file. Where it, or the file that it extends, gives no `name`, the run is named after it.
        overrides: values that are laid over the file's, each as `path=value`, such as `optimizer.η=0.01`.
        data_must_exist: whether it is a problem where the data that the file names are not there.

    Raises:
        ConfigError: with every problem of the files and of the overrides, in reading order.
    """
    report = Report()
    tree = read_tree(os.fspath(path), report)
    if "kind" in tree.entries and not _is_run(tree):
        remedy = f"a run file is needed, with {', '.join(_REQUIRED)}"
        report.fail("", f"this file holds only an optimizer; {remedy}", Location(os.fspath(path)))
    return _run(_named(overridden(tree, overrides, report), path), report, data_must_exist)


def read_optimizer(path: str | os.PathLike[str]) -> Rule:
    """The optimizer that a YAML file describes: the file holds an optimizer and nothing else, or a whole run.

    Raises:
        ConfigError: with every problem of the file, whether or not it is the optimizer's.
    """
    config = read_config(path)
    return config.optimizer if isinstance(config, RunConfig) else config


def read_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> RunConfig | Rule:
    """What a YAML file describes: a whole run, or an optimizer and nothing else; as `read_run` otherwise."""
    report = Report()
    tree = read_tree(os.fspath(path), report)
    is_run = _is_run(tree)
    tree = overridden(tree, overrides, report)
    return _run(_named(tree, path), report) if is_run else _optimizer(tree, report)


def run_from_dict(data: Mapping[str, Any]) -> RunConfig:
    """The run that a dict describes, by the rules for files; the dict stays as it is.

    Example:
        >>> parts = {"data": {"source": "digits"}, "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}}
        >>> run_from_dict(parts)
        Traceback (most recent call last):
        mxtrain.errors.ConfigError: loss: required; one of softmax_cross_entropy, logistic, squared_error
    """
    report = Report()
    return _run(_mapping(data, report), report)


def optimizer_from_dict(data: Mapping[str, Any], overrides: Sequence[str] = ()) -> Rule:
    """The optimizer that a dict describes, by the rules for files; the dict stays as it is.

    Args:
        data: the dict.
        overrides: values that are laid over it, each as `path=value`, such as `η=0.01`.

    Example:
        >>> optimizer_from_dict({"kind": "adam", "lr": 0.01}).η
        0.01
        >>> optimizer_from_dict({"kind": "adam", "β2": 1.2})
        Traceback (most recent call last):
        mxtrain.errors.ConfigError: optimizer.β2: must be at least 0 and below 1, got 1.2
    """
    report = Report()
    return _optimizer(overridden(_mapping(data, report), overrides, report), report)


def _is_run(tree: MapNode) -> bool:
    return bool(tree.entries.keys() & RunConfig.model_fields.keys())


def _named(tree: MapNode, path: str | os.PathLike[str]) -> MapNode:
    """A run without a name is named after its file."""
    if "name" in tree.entries:
        return tree
    name = Entry("name", ScalarNode(_run_name(Path(path).stem)))
    return MapNode({**tree.entries, "name": name}, tree.location, tree.broken)


def _mapping(data: object, report: Report) -> MapNode:
    tree = from_python(data, report)
    if not isinstance(tree, MapNode):
        report.fail("", f"a config must be a mapping, got {describe(data)}")
    return tree


def _run(tree: MapNode, report: Report, data_must_exist: bool = True) -> RunConfig:
    paths = _data_paths(tree, report, data_must_exist)
    config = _validated(RunConfig, tree, report)
    return config.model_copy(update={"data": config.data.model_copy(update=paths)}) if paths else config


def _optimizer(tree: MapNode, report: Report) -> Rule:
    report.move_below("optimizer")
    whole = MapNode({"optimizer": Entry("optimizer", tree, tree.location)}, tree.location)
    return _validated(_OptimizerAlone, whole, report).optimizer


def _validated(model: type[_Model], tree: MapNode, report: Report) -> _Model:
    try:
        config = model.model_validate(plain(tree))
    except ValidationError as error:
        explain(error, model, tree, report)
        raise report.error() from None
    report.check()
    return config


def _data_paths(tree: MapNode, report: Report, must_exist: bool) -> dict[str, str]:
    """The fields of `data` that are paths, made absolute: each is relative to the file that says it."""
    nodes = {name: find(tree, ("data", name))[0] for name in ("source", "target", "validation", "test")}
    texts = {
        name: (node.value, node.location)
        for name, node in nodes.items()
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and is_path(node.value)
    }
    if not texts.get("source", ("", None))[0].endswith(".npy"):
        texts.pop("target", None)  # a name, whatever it looks like
    return {name: _data_path(f"data.{name}", *text, report, must_exist) for name, text in texts.items()}


def _data_path(field: str, text: str, location: Location | None, report: Report, must_exist: bool) -> str:
    path = (_folder(location) / text).absolute()
    is_folder = text.endswith("/")
    if must_exist and not _exists(path, is_folder):
        report.add(field, f"no such {'folder' if is_folder else 'file'}: {clipped(str(path), 300)}", location)
    return f"{path}/" if is_folder else str(path)


def _folder(location: Location | None) -> Path:
    """The folder of the file that a place is in; for a value from elsewhere, the current one."""
    return Path(location.source).parent if location is not None and location.line else Path()


def _exists(path: Path, is_folder: bool) -> bool:
    try:
        return path.is_dir() if is_folder else path.is_file()
    except OSError:
        return False


def _run_name(stem: str) -> str:
    """A file's stem as a run may be called."""
    kept = "".join(c if c.isalpha() or c.isdecimal() or c in "._-" else "-" for c in stem)
    return kept.lstrip(".-")[:100] or "run"
