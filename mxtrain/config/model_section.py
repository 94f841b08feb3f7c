"""The `model` section of a run file: validation of `model.settings`."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.config.yaml.nodes import MAX_DEPTH, canonical_name, shorten
from mxtrain.names import is_unicode
from mxtrain.types import describe, field_error

MAX_CHARACTERS = 10_000
"""Of all settings together, as JSON."""
MAX_NAME = 100
"""Characters of one name."""
_MAX_DEPTH = MAX_DEPTH - 4
"""Levels below the settings, which stand two levels deep themselves."""


@dataclass(frozen=True, slots=True)
class PlainValues:
    """A mapping of plain values, as a YAML file can hold them: numbers, texts, true, false, null, lists, mappings."""

    def check(self, value: object) -> dict[str, Any]:
        """The mapping, as a copy; a PydanticCustomError that says where it holds what no file could."""
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


def _copy_checked(value: object, path: tuple[str, ...]) -> Any:
    if len(path) > _MAX_DEPTH:
        raise _settings_error(path, f"nested deeper than {_MAX_DEPTH} levels")
    match value:
        case Mapping():
            names = {canonical_name(_check_name(key, path)): key for key in value}
            for key in value:
                if names[canonical_name(key)] != key:  # a file with both could not be read
                    raise _settings_error(
                        path, f"{key} and {names[canonical_name(key)]} are two names of one value; keep one"
                    )
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
        path, f"must be a finite number, a text, true, false, null, a list or a mapping, got {describe(value)}"
    )


def _check_name(key: object, path: tuple[str, ...]) -> str:
    if not isinstance(key, str) or not is_unicode(key):
        raise _settings_error(path, f"a name must be a string, got {describe(key)}")
    if len(key) > MAX_NAME:
        raise _settings_error(path, f"a name must have at most {MAX_NAME} characters, got {shorten(key)}")
    return key


def _settings_error(path: tuple[str, ...], message: str) -> PydanticCustomError:
    return field_error(".".join(path), message)
