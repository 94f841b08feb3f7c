"""Validate node trees with the config models, and make data paths absolute."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from mxtrain.config.data_section import has_ending, is_path
from mxtrain.config.error_messages import report_validation_errors
from mxtrain.config.run_section import RunConfig
from mxtrain.config.yaml.nodes import MapNode, Node, ScalarNode, find_node, shorten, to_python
from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.errors import Location
from mxtrain.paths import expand_home, normalize_path, url_problem
from mxtrain.types import Config

_Model = TypeVar("_Model", bound=Config)

DATA_PATHS = ("source", "target", "validation", "test")
"""The fields of `data` that may be paths."""


def validate_tree(model: type[_Model], tree: MapNode, report: ProblemReport) -> _Model:
    """Return the config in a tree; raise a ConfigError if the report has problems, or the tree is invalid."""
    try:
        config = model.validate_raw(to_python(tree))
    except ValidationError as error:
        report_validation_errors(error, model, tree, report)
        raise report.error() from None
    report.check()
    return config


def validate_run(
    tree: MapNode, report: ProblemReport, data_must_exist: bool = True, will_be_trained: bool | None = None
) -> RunConfig:
    """Return the run in a tree, with absolute data paths.

    Args:
        tree: the run.
        report: collects its problems.
        data_must_exist: report missing data files.
        will_be_trained: reject settings that only earlier versions accepted; by default `data_must_exist`.

    Raises:
        ConfigError: the run is invalid; all problems at once.
    """
    paths = {name: normalize_path(path) for name, path in resolve_data_paths(tree, report, data_must_exist).items()}
    config = validate_tree(RunConfig, tree, report)
    if data_must_exist if will_be_trained is None else will_be_trained:
        reason = config.fit.rollback_problem()
        if reason is not None:
            node, place = find_node(tree, ("fit", "checkpoint", "every"))
            report.fail("fit.checkpoint.every", reason, node.location if node else place)
    return config.model_copy(update={"data": config.data.model_copy(update=paths)}) if paths else config


def reject_data_source(message: str | None, tree: MapNode, report: ProblemReport) -> None:
    """Raise a ConfigError at `data.source` if there is a message."""
    if message is not None:
        node, place = find_node(tree, ("data", "source"))
        report.fail("data.source", message, node.location if node else place)


def resolve_data_paths(tree: Node, report: ProblemReport, must_exist: bool) -> dict[str, str]:
    """Return the fields of `data` that are paths as absolute paths: each is relative to the file that sets it."""
    nodes = {name: find_node(tree, ("data", name))[0] for name in DATA_PATHS}
    texts = {
        name: (node.value, node.location)
        for name, node in nodes.items()
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and is_path(node.value)
    }
    if not has_ending(texts.get("source", ("", None))[0], (".npy",)):
        texts.pop("target", None)  # a column or array, even if it looks like a path
    return {name: _check_data_path(f"data.{name}", *text, report, must_exist) for name, text in texts.items()}


def absolute_path(text: str, location: Location | None) -> str:
    """Return the absolute path for a relative one: relative to the file that sets it, otherwise to the current folder.

    Absolute paths stay unchanged, because sweeps of earlier versions are identified by them.
    """
    text, ending = expand_home(text), "/" if text.endswith("/") else ""
    if Path(text).is_absolute():
        return f"{Path(text)}{ending}"
    folder = Path(location.source).parent if location is not None and location.line else Path()
    return normalize_path(f"{(folder / text).absolute()}{ending}")


def _check_data_path(field: str, text: str, location: Location | None, report: ProblemReport, must_exist: bool) -> str:
    path = absolute_path(text, location)
    is_folder = text.endswith("/")
    if must_exist and not _exists(Path(normalize_path(path)), is_folder):
        shown = shorten(path.rstrip("/") if is_folder else path, 300)
        missing = f"no such {'folder' if is_folder else 'file'}: {shown}"
        report.add(field, url_problem(text) or missing, location)
    return path


def _exists(path: Path, is_folder: bool) -> bool:
    try:
        return path.is_dir() if is_folder else path.is_file()
    except OSError:
        return False
