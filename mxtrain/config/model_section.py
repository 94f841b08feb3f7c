"""The `model` section of a run file: linear models, multi-layer perceptrons, custom models and their settings."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.config.yaml.nodes import MAX_DEPTH, canonical_name, shorten
from mxtrain.names import is_unicode
from mxtrain.types import ActivationName, Bounds, Config, ListAsTuple, describe, field_error

Targets = Literal["numbers", "classes", "binary"]
OutputInit = Literal["zero", "glorot"]
"""The initial weights of the layer of outputs."""
Width = Annotated[int, Bounds(ge=1, whole=True, ceiling=1_000_000)]
"""The width of a layer; the ceiling catches typing errors that would exhaust memory."""

MAX_CHARACTERS = 10_000
"""Largest number of characters of all settings together, as JSON."""
MAX_NAME = 100
"""Largest number of characters of one name."""
_MAX_DEPTH = MAX_DEPTH - 4
"""Levels below the settings, which are two levels deep themselves."""


class LinearConfig(Config):
    """Linear model, `X·W + b`: least squares, logistic or softmax regression, depending on the loss.

    Args:
        bias: add the bias `b`.
        output_init: the initial weights: `zero` or `glorot`, as for `mlp`.
    """

    hidden_defaults: ClassVar[tuple[str, ...]] = ("output_init",)

    kind: Literal["linear"] = "linear"
    bias: bool = True
    output_init: OutputInit | None = None

    @property
    def parameters(self) -> dict[str, tuple[int | None, ...]]:
        """The shapes of the parameters by name; None for a length that depends on the data."""
        return {"W1": (None, None)} | ({"b1": (None,)} if self.bias else {})


class MLPConfig(Config):
    """Multi-layer perceptron: dense layers with an activation between them.

    Args:
        hidden: the width of each hidden layer, at least 1 each; an empty list makes a linear model.
        activation: `relu`, `tanh` or `sigmoid`.
        output_init: the initial weights of the last layer: `zero`, so that training starts from the mean of a
            standardized target for all samples, or from equal probabilities of all classes; or `glorot`, random ones.
            By default `zero` for tables whose target is standardized, and `glorot` for all other data and for
            optimizers that would hardly change weights of 0: `lamb`, `lars`, `adafactor`, `ftrl`, `agc`, and rules of
            your own.
    """

    hidden_defaults: ClassVar[tuple[str, ...]] = ("output_init",)

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Width, ...], ListAsTuple] = (64,)
    activation: ActivationName = "relu"
    output_init: OutputInit | None = None

    @property
    def parameters(self) -> dict[str, tuple[int | None, ...]]:
        """The shapes of the parameters by name, layer by layer; None for a length that depends on the data."""
        shapes: dict[str, tuple[int | None, ...]] = {}
        for i, (rows, columns) in enumerate(pairwise((None, *self.hidden, None)), start=1):
            shapes |= {f"W{i}": (rows, columns), f"b{i}": (columns,)}
        return shapes


@dataclass(frozen=True, slots=True)
class PlainValues:
    """A mapping of values that a YAML file can hold: numbers, strings, true, false, null, lists and mappings."""

    def check(self, value: object) -> dict[str, Any]:
        """Return a copy of the mapping.

        Raises:
            PydanticCustomError: a value cannot be written to a file; the error gives its path.
        """
        if not isinstance(value, Mapping):
            raise PydanticCustomError("dict_type", "must be a mapping")
        copied: dict[str, Any] = _copy_checked(value, ())
        if (size := len(json.dumps(copied, ensure_ascii=False))) > MAX_CHARACTERS:
            raise PydanticCustomError("too_large", f"must have at most {MAX_CHARACTERS:,} characters, got {size:,}")
        return copied

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "object"}


class CustomConfig(Config):
    """Custom model, which `--plugin` or `mxtrain.fit(model=...)` provides; a config alone cannot load it.

    Args:
        settings: arguments of the model, which its factory reads from `config.model.settings`: plain values, under
            any names.
        targets: with `loss: custom`, the type of targets, and how outputs are decoded: `numbers` (one output, the
            number itself), `classes` (indices; one output per class, the largest is predicted) or `binary` (0 and 1;
            one output, above 0 for the second class). By default `numbers`, and for digits `classes`.
        plugin: the factory that made the model; the run records it, do not set it by hand.
    """

    kind: Literal["custom"] = "custom"
    settings: Annotated[dict[str, Any], PlainValues()] = {}
    targets: Targets | None = None
    plugin: Annotated[str, Field(min_length=1)] | None = None


ModelConfig = Annotated[LinearConfig | MLPConfig | CustomConfig, Field(discriminator="kind")]
MODELS = (LinearConfig, MLPConfig, CustomConfig)


def _copy_checked(value: object, path: tuple[str, ...]) -> Any:
    if len(path) > _MAX_DEPTH:
        raise _settings_error(path, f"nested deeper than {_MAX_DEPTH} levels")
    match value:
        case Mapping():
            names = {canonical_name(_check_name(key, path)): key for key in value}
            for key in value:
                if (other := names[canonical_name(key)]) != key:  # a file with both could not be read
                    raise _settings_error(path, f"{key} and {other} are two names of one value; keep one")
            return {key: _copy_checked(item, (*path, key)) for key, item in value.items()}
        case list() | tuple():
            return [_copy_checked(item, (*path, str(i))) for i, item in enumerate(value)]
        case None | bool():
            return value
        case str() if is_unicode(value):
            return value
        case int() if abs(value) < 2**64:
            return value
        case float() if math.isfinite(value):
            return value
    raise _settings_error(
        path, f"must be a finite number, a string, true, false, null, a list or a mapping, got {describe(value)}"
    )


def _check_name(key: object, path: tuple[str, ...]) -> str:
    if not isinstance(key, str) or not is_unicode(key):
        raise _settings_error(path, f"a name must be a string, got {describe(key)}")
    if len(key) > MAX_NAME:
        raise _settings_error(path, f"a name must have at most {MAX_NAME} characters, got {shorten(key)}")
    return key


def _settings_error(path: tuple[str, ...], message: str) -> PydanticCustomError:
    return field_error(".".join(path), message)
