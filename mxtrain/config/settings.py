"""`model.settings`: what a model of one's own wants to be told, under names of its own."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.config.nodes import MAX_DEPTH, canonical, clipped, is_unicode
from mxtrain.types import describe, misfit

MAX_CHARACTERS = 10_000
"""Of all settings together, as JSON."""
MAX_NAME = 100
"""Characters of one name."""
_DEPTH = MAX_DEPTH - 4
"""Levels below the settings, which stand two levels deep themselves."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A mapping of plain values, as a YAML file can hold them: numbers, texts, true, false, null, lists, mappings."""

    def check(self, value: object) -> dict[str, Any]:
        """The mapping, as a copy; a PydanticCustomError that says where it holds what no file could."""
        if not isinstance(value, Mapping):
            raise PydanticCustomError("dict_type", "must be a mapping")
        copied: dict[str, Any] = _copied(value, ())
        if (size := len(json.dumps(copied, ensure_ascii=False))) > MAX_CHARACTERS:
            raise PydanticCustomError("too_large", f"must have at most {MAX_CHARACTERS:,} characters, got {size:,}")
        return copied

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "object"}


def _copied(value: object, path: tuple[str, ...]) -> Any:
    if len(path) > _DEPTH:
        raise _refused(path, f"nested deeper than {_DEPTH} levels")
    match value:
        case Mapping():
            names = {canonical(_name(key, path)): key for key in value}
            for key in value:
                if names[canonical(key)] != key:  # a file with both could not be read
                    raise _refused(path, f"{key} and {names[canonical(key)]} are two names of one value; keep one")
            return {key: _copied(item, (*path, key)) for key, item in value.items()}
        case list() | tuple():
            return [_copied(item, (*path, str(i))) for i, item in enumerate(value)]
        case None | bool():
            return value
        case str() if is_unicode(value):
            return value
        case int() if abs(value) < 2**64:
            return value
        case float() if math.isfinite(value):
            return value
    raise _refused(
        path, f"must be a finite number, a text, true, false, null, a list or a mapping, got {describe(value)}"
    )


def _name(key: object, path: tuple[str, ...]) -> str:
    if not isinstance(key, str) or not is_unicode(key):
        raise _refused(path, f"a name must be a string, got {describe(key)}")
    if len(key) > MAX_NAME:
        raise _refused(path, f"a name must have at most {MAX_NAME} characters, got {clipped(key)}")
    return key


def _refused(path: tuple[str, ...], message: str) -> PydanticCustomError:
    return misfit(".".join(path), message)
