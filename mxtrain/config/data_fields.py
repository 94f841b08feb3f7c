"""Types of the fields of the `data` section: names of columns, and the format of a table."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.names import nfc
from mxtrain.types import ListAsTuple, describe, mismatch_error

NonEmptyText = Annotated[str, Field(min_length=1)]
ColumnName = Annotated[NonEmptyText, AfterValidator(nfc)]


@dataclass(frozen=True, slots=True)
class _TargetNames:
    """The name of a column or an array, or a list of different names of columns."""

    def check(self, value: object) -> str | tuple[str, ...]:
        """Return the name, or the names as a tuple; a list of one name is that name."""
        names: tuple[object, ...] = tuple(value) if isinstance(value, list | tuple) else (value,)
        for name in names:
            if not isinstance(name, str):
                remedy = "; put it in quotes" if isinstance(name, bool | int | float) else ""
                raise _message(f"must be a string{self._or_list(value)}, got {describe(name)}{remedy}")
            if not name:
                raise _message("must not be empty, got ''")
        texts = cast("tuple[str, ...]", names)
        if not texts:
            raise _message("must be a list of at least one name, got []")
        for name in texts:
            if texts.count(name) > 1:
                raise _message(f"{name!r} is listed twice; keep one")
        return texts if len(texts) > 1 else texts[0]

    def _or_list(self, value: object) -> str:
        return " or a list of strings" if isinstance(value, Mapping) else ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        name = {"type": "string", "minLength": 1}
        return {"anyOf": [name, {"type": "array", "items": name, "minItems": 1, "uniqueItems": True}]}


def _message(text: str) -> PydanticCustomError:
    return PydanticCustomError("message", "{message}", {"message": text})


TargetNames = Annotated[str | tuple[str, ...], _TargetNames()]
ColumnNames = Annotated[tuple[ColumnName, ...], ListAsTuple, Field(min_length=1)]
"""Names of columns, NFC-normalized like all names of data."""


def _check_separator(text: object) -> str:
    if not isinstance(text, str) or not text or any(character in text for character in '\n\r"\0'):
        raise mismatch_error("a separator, such as ',', ';' or '\\t', or ' ' for any number of blanks", text)
    return text


def _check_quote(text: object) -> str:
    if not isinstance(text, str) or len(text) > 1 or text in ("\n", "\r", "\0"):
        raise mismatch_error("one character, or '' for none", text)
    return text


def _check_header(value: object) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    is_list = isinstance(value, list | tuple) and len(value) > 0
    if not is_list or not all(isinstance(name, str) and name for name in cast("list[object]", value)):
        raise mismatch_error("true, false, or a list of the names of all columns", value)
    return tuple(map(nfc, cast("list[str]", value)))


def _check_encoding(name: object) -> str:
    try:
        "0".encode(cast("str", name))  # refuses codecs that are not for text, such as hex
        return codecs.lookup(cast("str", name)).name
    except (LookupError, TypeError, ValueError):
        raise mismatch_error("the name of an encoding, such as utf-8, utf-16 or cp1252", name) from None


Separator = Annotated[str, BeforeValidator(_check_separator), WithJsonSchema({"type": "string", "minLength": 1})]
Quote = Annotated[str, BeforeValidator(_check_quote), WithJsonSchema({"type": "string", "maxLength": 1})]
Encoding = Annotated[str, BeforeValidator(_check_encoding)]
Header = Annotated[
    bool | tuple[str, ...],
    PlainValidator(_check_header, json_schema_input_type=bool | list[str]),
    PlainSerializer(lambda header: header if isinstance(header, bool) else list(header)),
]
MissingValues = Annotated[tuple[str, ...], ListAsTuple]


_DATE_DIRECTIVES = re.compile(r"%-?[YymdbBhjaAeGVuqHIMSpTR]|%\.f|[^%]")


def _check_date_format(text: object) -> str:
    """Return a format with a year, and with a minute if it has an hour."""
    known = [] if not isinstance(text, str) else _DATE_DIRECTIVES.findall(text)
    directives = {directive[-1] for directive in known if directive.startswith("%")}
    is_complete = bool({"Y", "y", "G"} & directives) and bool({"H", "I"} & directives) == ("M" in directives)
    if "".join(known) != text or not is_complete or ("G" in directives) != ("V" in directives):
        raise mismatch_error("the format of a date, such as %d/%m/%Y or %d/%m/%Y %H:%M", text)
    return "".join(known)


DateFormat = Annotated[str, BeforeValidator(_check_date_format)]
