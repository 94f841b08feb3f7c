"""Lengths of time that follow the length of the run."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import core_schema

from mxtrain.types import Bounds, rejection

_RUN = re.compile(r"run(?:/([1-9]\d{0,8}))?")


@dataclass(frozen=True, slots=True)
class _RunLength(Bounds):
    """A count, or `run`, the length of the run, or `run/N`, the N-th part of it."""

    def __str__(self) -> str:
        return f"{Bounds.__str__(self)}, run or run/N"

    def check(self, value: object) -> Any:
        if isinstance(value, str):
            if _RUN.fullmatch(value):
                return value
            raise rejection(str(self), value)
        return Bounds.check(self, value)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        number = Bounds.__get_pydantic_json_schema__(self, schema, handler)
        return {"anyOf": [number, {"type": "string", "pattern": f"^{_RUN.pattern}$"}]}


RunLength = Annotated[int | str, _RunLength(ge=1, whole=True, ceiling=2**31 - 1)]


def resolve_length(length: int | str, run: int) -> int:
    """Return a length as a number, in a run of `run` epochs or iterations; a part is rounded up.

    >>> resolve_length(7, 20), resolve_length("run", 20), resolve_length("run/3", 20)
    (7, 20, 7)
    """
    if isinstance(length, int):
        return length
    match = _RUN.fullmatch(length)
    assert match, "checked when the config was validated"
    return -(-run // int(match[1] or 1))
