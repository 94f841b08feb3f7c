"""Distributions of a search space, and the interface of the samplers that draw from them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import isfinite
from statistics import NormalDist
from typing import Annotated, Any, ClassVar, Final, Protocol, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mxtrain.types import Bounds, Config, Finite, ListAsTuple, Positive, PositiveInt, describe, field_error

Scalar = None | bool | int | float | str
"""The type of the values that a sampler draws and a study stores."""


class Suggester(Protocol):
    """Draws values; implemented by Optuna's `Trial`."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Draw a number between two bounds."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Draw a whole number between two bounds."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Draw one of several values."""


class FixedSuggester:
    """Returns values that were drawn before.

    Args:
        drawn: the values by parameter name.
    """

    def __init__(self, drawn: Mapping[str, Any]) -> None:
        self.drawn = drawn

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        """Return the number."""
        return self.drawn[name]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        """Return the whole number."""
        return self.drawn[name]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the value."""
        return self.drawn[name]


_Number = int  # `Int` has a field of that name
TAIL_PROBABILITY: Final = 0.0001
"""Probability cut off at each end of a normal distribution, beyond about 3.7 standard deviations."""
MAX_STEPS: Final = 10**15
"""Largest number of steps between two float bounds; float64 distinguishes about as many."""


def _pair_validator(names: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, list | tuple) and len(value) == 2:
            return tuple(value)
        got = f"a list of {len(value)}" if isinstance(value, list | tuple) else describe(value)
        raise PydanticCustomError("message", "must be two numbers, {names}, got {got}", {"names": names, "got": got})

    return BeforeValidator(check)


_Ends = _pair_validator("[low, high]")
_Whole = Annotated[int, Bounds(ge=-(2**53), le=2**53, whole=True)]
Ends = Annotated[tuple[Finite, Finite], _Ends]
PositiveEnds = Annotated[tuple[Positive, Positive], _Ends]
WholeEnds = Annotated[tuple[_Whole, _Whole], _Ends]
MeanAndDeviation = Annotated[tuple[Finite, Positive], _pair_validator("[mean, standard deviation]")]


def _check_ascending(field: str, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if low >= high:
        raise field_error(
            f"{field}.1", f"must be above {_format_number(low)}, the lower bound, got {_format_number(high)}"
        )
    if not isfinite(high - low):
        raise field_error(f"{field}.1", f"is too far from {_format_number(low)}, got {_format_number(high)}")


def _check_step(step: float, bounds: tuple[float, float]) -> None:
    low, high = map(_decimal_fraction, bounds)
    steps = (high - low) / _decimal_fraction(step)
    if steps.denominator != 1:
        raise field_error(
            "step",
            f"must divide {_format_number(float(high - low))}, the distance of the bounds, got {_format_number(step)}",
        )
    if steps > MAX_STEPS and isinstance(step, float):
        raise field_error(
            "step", f"must make at most {MAX_STEPS:,} steps between the bounds, got {_format_number(step)}"
        )


def _decimal_fraction(number: float) -> Fraction:
    """Return the exact value of a float's shortest decimal representation."""
    return Fraction(str(number))


def _format_number(number: float) -> str:
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else str(number)


class Distribution(Config, ABC):
    """Base class of the distributions of numbers.

    Attributes:
        keyword: the field that selects the distribution in a file.
    """

    keyword: ClassVar[str]

    @abstractmethod
    def suggest(self, draw: Suggester, name: str) -> Scalar:
        """Draw a value with a sampler."""

    @abstractmethod
    def ends(self) -> tuple[Scalar, Scalar]:
        """Return the drawn values of the smallest and of the largest value."""

    def value(self, drawn: Any) -> Scalar:
        """Convert a drawn value to the value in the run."""
        value: Scalar = drawn
        return value

    @property
    def count(self) -> int | None:
        """Number of values; None if it is infinite."""
        return None

    def point(self, i: int) -> Scalar:
        """Return the drawn value of the `i`-th value, counted from 0."""
        raise IndexError(i)

    def path_to(self, value: Scalar) -> tuple[str | int, ...]:
        """Return the path of a value in the mapping of the distribution; () unless it is one of the bounds."""
        low, high = map(self.value, self.ends())
        return (self.keyword, 0) if value == low else (self.keyword, 1) if value == high else ()


class Uniform(Distribution):
    """Uniform distribution of a number between two bounds.

    Args:
        uniform: the bounds, `[low, high]`, both included.
        step: restricts the values to low, low + step, ..., high; it must divide high - low.

    Example:
        >>> steps = Uniform(uniform=(0, 0.3), step=0.1)
        >>> steps.count, [steps.point(i) for i in range(4)], steps.value(0.1 + 0.2)
        (4, [0.0, 0.1, 0.2, 0.3], 0.3)
    """

    keyword: ClassVar[str] = "uniform"
    uniform: Ends
    step: Positive | None = None

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        _check_ascending("uniform", self.uniform)
        if self.step is not None:
            _check_step(self.step, self.uniform)
        return self

    def suggest(self, draw: Suggester, name: str) -> float:
        """Draw a number between the bounds."""
        low, high = self.uniform
        return draw.suggest_float(name, low, high, step=self.step)

    def ends(self) -> tuple[float, float]:
        """Return the bounds."""
        return self.uniform

    @property
    def count(self) -> int | None:
        """Number of values with a step; None without one."""
        if self.step is None:
            return None
        low, high = map(_decimal_fraction, self.uniform)
        return int((high - low) / _decimal_fraction(self.step)) + 1

    def point(self, i: int) -> float:
        """Return low + i·step, rounded once."""
        assert self.step is not None, "only values with a step are countable"
        return float(_decimal_fraction(self.uniform[0]) + i * _decimal_fraction(self.step))

    def value(self, drawn: Any) -> float:
        """Return the drawn number; with a step, the nearest point."""
        if self.step is None:
            return float(drawn)
        return self.point(round((drawn - self.uniform[0]) / self.step))


class LogUniform(Distribution):
    """Log-uniform distribution of a number between two bounds above 0.

    Args:
        log: the bounds, `[low, high]`, both included, above 0.
    """

    keyword: ClassVar[str] = "log"
    log: PositiveEnds

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        _check_ascending("log", self.log)
        return self

    def suggest(self, draw: Suggester, name: str) -> float:
        """Draw a number between the bounds."""
        return draw.suggest_float(name, *self.log, log=True)

    def ends(self) -> tuple[float, float]:
        """Return the bounds."""
        return self.log


class Int(Distribution):
    """Uniform or log-uniform distribution of a whole number between two bounds.

    Args:
        int: the bounds, `[low, high]`, both included.
        step: restricts the values to low, low + step, ..., high; it must divide high - low.
        log: draw from a log-uniform distribution; the bounds must be above 0.

    Example:
        >>> odd = Int(int=(1, 9), step=2)
        >>> odd.count, odd.point(1)
        (5, 3)
    """

    keyword: ClassVar[str] = "int"
    int: WholeEnds
    step: PositiveInt | None = None
    log: bool = False

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        _check_ascending("int", self.int)
        if self.log and self.step is not None:
            raise field_error("step", "cannot be combined with log; remove one of them")
        if self.log and self.int[0] < 1:
            raise field_error("int.0", f"must be above 0 for a logarithm, got {self.int[0]}")
        if self.step is not None:
            _check_step(self.step, self.int)
        return self

    def suggest(self, draw: Suggester, name: str) -> Scalar:
        """Draw a whole number between the bounds."""
        return draw.suggest_int(name, *self.int, step=self.step or 1, log=self.log)

    def ends(self) -> tuple[Scalar, Scalar]:
        """Return the bounds."""
        return self.int

    @property
    def count(self) -> "_Number | None":
        """Number of values."""
        low, high = self.int
        return (high - low) // (self.step or 1) + 1

    def point(self, i: "_Number") -> Scalar:
        """Return low + i·step."""
        return self.int[0] + i * (self.step or 1)


class Normal(Distribution):
    """Truncated normal distribution, drawn as a quantile u: value = mean + deviation·Φ⁻¹(u).

    Values beyond about 3.7 standard deviations, a probability of 0.0001 on each side, are never drawn.

    Args:
        normal: `[mean, standard deviation]`, the deviation above 0.
        within: bounds `[low, high]` outside of which no value is drawn.

    Example:
        >>> around = Normal(normal=(0, 1), within=(-1, 1))
        >>> around.ends(), around.value(0.5)
        ((0.15865525393145707, 0.8413447460685429), 0.0)
    """

    keyword: ClassVar[str] = "normal"
    normal: MeanAndDeviation
    within: Ends | None = None

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        mean, deviation = self.normal
        if not isfinite(abs(mean) + 4 * deviation):
            raise field_error(
                "normal",
                f"must be within the range of float64, got [{_format_number(mean)}, {_format_number(deviation)}]",
            )
        if self.within is not None:
            _check_ascending("within", self.within)
            low, high = self.ends()
            if low >= high:
                raise field_error("within", "must include values within 3.7 standard deviations of the mean")
        return self

    @property
    def _normal_dist(self) -> NormalDist:
        return NormalDist(*self.normal)

    def suggest(self, draw: Suggester, name: str) -> float:
        """Draw a quantile."""
        low, high = self.ends()
        return draw.suggest_float(name, low, high)

    def ends(self) -> tuple[float, float]:
        """Return the quantiles of the smallest and of the largest value."""
        if self.within is None:
            return (TAIL_PROBABILITY, 1 - TAIL_PROBABILITY)
        low, high = map(self._normal_dist.cdf, self.within)
        return max(low, TAIL_PROBABILITY), min(high, 1 - TAIL_PROBABILITY)

    def value(self, drawn: Any) -> float:
        """Return the value of a quantile."""
        if self.within is not None:
            low, high = self.within
            if drawn <= self._normal_dist.cdf(low):
                return low
            if drawn >= self._normal_dist.cdf(high):
                return high
        return self._normal_dist.inv_cdf(drawn)

    def path_to(self, value: Scalar) -> tuple[str | int, ...]:
        """Return the path of a bound in `within`, or that of the mean and the deviation."""
        return ("within", self.within.index(value)) if self.within and value in self.within else ("normal",)


DISTRIBUTIONS: Final[tuple[type[Distribution], ...]] = (Uniform, LogUniform, Int, Normal)


class Choice(Config):
    """One of several values: scalars, lists, or mappings, which may contain distributions.

    Args:
        choice: the values, `[a, b, ...]`, without duplicates.
    """

    keyword: ClassVar[str] = "choice"
    choice: Annotated[tuple[Any, ...], ListAsTuple, Field(min_length=1)]


KEYWORDS: Final = (*(each.keyword for each in DISTRIBUTIONS), Choice.keyword)
"""The fields that select a distribution."""
OPTIONS: Final = ("step", "within")
"""Further fields of distributions; `int` also has `log`."""
