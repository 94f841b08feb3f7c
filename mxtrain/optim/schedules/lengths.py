"""Times and lengths in schedules: counts of epochs or iterations, fractions of the run, and `run` or `run/N`."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import core_schema

from mxtrain.types import Bounds, mismatch_error

Per = Literal["epoch", "iteration", "fraction"]
"""Unit of time of a schedule."""

_RUN_PATTERN = re.compile(r"run(?:/([1-9]\d{0,8}))?")
_LARGEST_COUNT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TimeBounds(Bounds):
    """Bounds of a time: those of a whole number, or, for `per: fraction`, those of a fraction of the run.

    Args:
        fraction: the bounds for `per: fraction`.
        allows_run: accept `run` for the rest of the run, and `run/N` for one N-th of it.
    """

    fraction: Bounds = field(default_factory=Bounds)
    allows_run: bool = False

    def __str__(self) -> str:
        return f"{Bounds.__str__(self)}{self._words}"

    @property
    def _words(self) -> str:
        return ", run or run/N" if self.allows_run else ""

    def check_in_unit(self, value: object, info: ValidationInfo) -> Any:
        """Return a time within the bounds of the unit in the field `per`, which is validated before."""
        is_fraction = info.data.get("per") == "fraction"
        bounds = self.fraction if is_fraction else self
        if self.allows_run and isinstance(value, str):
            if _RUN_PATTERN.fullmatch(value):
                return value
            raise mismatch_error(f"{bounds}{self._words}" if is_fraction else str(self), value)
        remedy = ""
        if not is_fraction and isinstance(value, float) and 0 < value < 1:
            remedy = "fractions of the run go with per: fraction"
        elif is_fraction and isinstance(value, int | float) and value > 1:
            remedy = "with per: fraction, times are fractions of the run"
        if remedy:
            raise mismatch_error(f"{bounds}{self._words}" if is_fraction else str(self), value, remedy)
        number = bounds.check(value) if is_fraction else Bounds.check(self, value)
        return value if type(value) is int else number  # a default of 0 stays one

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(self.check_in_unit)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        count, fraction = (
            each.__get_pydantic_json_schema__(schema, handler) for each in (_as_bounds(self), self.fraction)
        )
        words = [{"type": "string", "pattern": f"^{_RUN_PATTERN.pattern}$"}] if self.allows_run else []
        return {"anyOf": [count, *words, fraction]}


def _as_bounds(bounds: TimeBounds) -> Bounds:
    """Return the bounds of a count."""
    return Bounds(ge=bounds.ge, whole=True, ceiling=bounds.ceiling)


RunLength = Annotated[
    int | float | str,
    TimeBounds(ge=1, whole=True, ceiling=_LARGEST_COUNT, fraction=Bounds(gt=0, le=1), allows_run=True),
]
"""A length of time, or `run` for the rest of the run, or `run/N` for one N-th of it."""
Warmup = Annotated[int | float, TimeBounds(ge=0, whole=True, ceiling=_LARGEST_COUNT, fraction=Bounds(ge=0, lt=1))]
"""The length of a warm-up."""
LaterTime = Annotated[int | float, TimeBounds(ge=1, whole=True, ceiling=_LARGEST_COUNT, fraction=Bounds(gt=0, lt=1))]
"""A time after the start."""
AnyTime = Annotated[int | float, TimeBounds(ge=0, whole=True, ceiling=_LARGEST_COUNT, fraction=Bounds(ge=0, le=1))]
"""A time, also the start."""


def resolve_length(length: float | str, run: float) -> float:
    """Return a length as a number, in a run of `run` epochs or iterations; one N-th of whole numbers is rounded up.

    >>> resolve_length(7, 20), resolve_length("run", 20), resolve_length("run/3", 20), resolve_length("run/4", 0.5)
    (7, 20, 7, 0.125)
    """
    if not isinstance(length, str):
        return length
    match = _RUN_PATTERN.fullmatch(length)
    assert match, "checked when the config was validated"
    parts = int(match[1] or 1)
    return -(-run // parts) if isinstance(run, int) else run / parts
