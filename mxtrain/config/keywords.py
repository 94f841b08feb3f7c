"""Errors of configs that Python code makes from keyword arguments."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from mxtrain.config.explain import explain
from mxtrain.config.nodes import MapNode
from mxtrain.config.report import Report
from mxtrain.config.values import from_python
from mxtrain.errors import ConfigError
from mxtrain.types import Config


def config_error(error: ValidationError, model: type[Config], values: Mapping[str, Any]) -> ConfigError:
    """Explain what Pydantic found in keyword arguments, as for a file."""
    report = Report()
    tree = from_python(values, report)
    assert isinstance(tree, MapNode), "keyword arguments are a mapping"
    if not report.problems:
        explain(error, model, tree, report)
    return report.error()
