"""The distributions of a search space, and the interface of a sampler that draws from them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import isfinite
from statistics import NormalDist
from typing import Annotated, Any, ClassVar, Final, Protocol, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mxtrain.types import Bounds, Config, Finite, ListAsTuple, Positive, PositiveInt, describe, field_error

Plain = None | bool | int | float | str
"""What a sampler draws, and a study stores."""


class Suggester(Protocol):
    """Who draws: Optuna's `Trial` is one."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number between two bounds."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number between two bounds."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of several values."""


class FixedSuggester:
    """Draws what was drawn before."""

    def __init__(self, drawn: Mapping[str, Any]) -> None:
        self.drawn = drawn

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        """A number between two bounds."""
        return self.drawn[name]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        """A whole number between two bounds."""
        return self.drawn[name]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of several values."""
        return self.drawn[name]


_Number = int  # `Int` has a field of that name
TAIL_PROBABILITY: Final = 0.0001
"""What is cut off at each end of a normal distribution: beyond about 3.7 standard deviations."""
MAX_STEPS: Final = 10**15
"""The most steps between two float bounds; float64 distinguishes about as many."""


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


def _check_ascending(word: str, ends: tuple[float, float]) -> None:
    low, high = ends
    if low >= high:
        raise field_error(
            f"{word}.1", f"must be above {_format_number(low)}, the lower bound, got {_format_number(high)}"
        )
    if not isfinite(high - low):
        raise field_error(f"{word}.1", f"is too far from {_format_number(low)}, got {_format_number(high)}")


def _check_step(step: float, ends: tuple[float, float]) -> None:
    low, high = map(_decimal_fraction, ends)
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
    """What a number is drawn from; in a file each is told by the word that it begins with."""

    word: ClassVar[str]

    @abstractmethod
    def suggest(self, draw: Suggester, name: str) -> Plain:
        """What a sampler draws for it."""

    @abstractmethod
    def ends(self) -> tuple[Plain, Plain]:
        """What would be drawn for the smallest and for the largest value."""

    def value(self, drawn: Any) -> Plain:
        """The value that something drawn stands for."""
        plain: Plain = drawn
        return plain

    @property
    def count(self) -> int | None:
        """How many values there are; None where they are without number."""
        return None

    def point(self, i: int) -> Plain:
        """What would be drawn for the `i`-th of its values, from 0."""
        raise IndexError(i)

    def place(self, value: Plain) -> tuple[str | int, ...]:
        """Where a value that is one of the ends is written, below the distribution; else the distribution itself."""
        low, high = map(self.value, self.ends())
        return (self.word, 0) if value == low else (self.word, 1) if value == high else ()


class Uniform(Distribution):
    """A number between two bounds, each as likely as the other.

    Args:
        uniform: the bounds, `[low, high]`, both included.
        step: where given, only low, low + step and so on up to high; it must divide the distance of the bounds.

    Example:
        >>> steps = Uniform(uniform=(0, 0.3), step=0.1)
        >>> steps.count, [steps.point(i) for i in range(4)], steps.value(0.1 + 0.2)
        (4, [0.0, 0.1, 0.2, 0.3], 0.3)
    """

    word: ClassVar[str] = "uniform"
    uniform: Ends
    step: Positive | None = None

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        _check_ascending("uniform", self.uniform)
        if self.step is not None:
            _check_step(self.step, self.uniform)
        return self

    def suggest(self, draw: Suggester, name: str) -> float:
        """A number between the bounds."""
        low, high = self.uniform
        return draw.suggest_float(name, low, high, step=self.step)

    def ends(self) -> tuple[float, float]:
        """The bounds."""
        return self.uniform

    @property
    def count(self) -> int | None:
        """How many values there are with a step."""
        if self.step is None:
            return None
        low, high = map(_decimal_fraction, self.uniform)
        return int((high - low) / _decimal_fraction(self.step)) + 1

    def point(self, i: int) -> float:
        """low + i·step, without the error that adding floats would make."""
        assert self.step is not None, "without a step there are no points to count"
        return float(_decimal_fraction(self.uniform[0]) + i * _decimal_fraction(self.step))

    def value(self, drawn: Any) -> float:
        """What was drawn, with a step the exact point."""
        if self.step is None:
            return float(drawn)
        return self.point(round((drawn - self.uniform[0]) / self.step))


class LogUniform(Distribution):
    """A number between two bounds above 0, whose logarithm is as likely to be one as another.

    Args:
        log: the bounds, `[low, high]`, both included, above 0.
    """

    word: ClassVar[str] = "log"
    log: PositiveEnds

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        _check_ascending("log", self.log)
        return self

    def suggest(self, draw: Suggester, name: str) -> float:
        """A number between the bounds."""
        return draw.suggest_float(name, *self.log, log=True)

    def ends(self) -> tuple[float, float]:
        """The bounds."""
        return self.log


class Int(Distribution):
    """A whole number between two bounds.

    Args:
        int: the bounds, `[low, high]`, both included.
        step: where given, only low, low + step and so on up to high; it must divide the distance of the bounds.
        log: whether the logarithm, rather than the number, is as likely to be one as another; the bounds are above 0.

    Example:
        >>> odd = Int(int=(1, 9), step=2)
        >>> odd.count, odd.point(1)
        (5, 3)
    """

    word: ClassVar[str] = "int"
    int: WholeEnds
    step: PositiveInt | None = None
    log: bool = False

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        _check_ascending("int", self.int)
        if self.log and self.step is not None:
            raise field_error("step", "goes with numbers that are equally likely; leave log or step out")
        if self.log and self.int[0] < 1:
            raise field_error("int.0", f"must be above 0 for a logarithm, got {self.int[0]}")
        if self.step is not None:
            _check_step(self.step, self.int)
        return self

    def suggest(self, draw: Suggester, name: str) -> Plain:
        """A whole number between the bounds."""
        return draw.suggest_int(name, *self.int, step=self.step or 1, log=self.log)

    def ends(self) -> tuple[Plain, Plain]:
        """The bounds."""
        return self.int

    @property
    def count(self) -> "_Number | None":
        """How many values there are."""
        low, high = self.int
        return (high - low) // (self.step or 1) + 1

    def point(self, i: "_Number") -> Plain:
        """low + i·step."""
        return self.int[0] + i * (self.step or 1)


class Normal(Distribution):
    """A number around a mean, drawn as a quantile u: value = mean + deviation·Φ⁻¹(u).

    What lies beyond about 3.7 standard deviations, a ten-thousandth on each side, is never drawn.

    Args:
        normal: `[mean, standard deviation]`, the deviation above 0.
        within: where given, values outside of these bounds, `[low, high]`, are never drawn either.

    Example:
        >>> around = Normal(normal=(0, 1), within=(-1, 1))
        >>> around.ends(), around.value(0.5)
        ((0.15865525393145707, 0.8413447460685429), 0.0)
    """

    word: ClassVar[str] = "normal"
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
                raise field_error("within", "must hold some of what lies within 3.7 standard deviations of the mean")
        return self

    @property
    def _normal_dist(self) -> NormalDist:
        return NormalDist(*self.normal)

    def suggest(self, draw: Suggester, name: str) -> float:
        """A quantile."""
        low, high = self.ends()
        return draw.suggest_float(name, low, high)

    def ends(self) -> tuple[float, float]:
        """The quantiles of the smallest and of the largest value."""
        if self.within is None:
            return (TAIL_PROBABILITY, 1 - TAIL_PROBABILITY)
        low, high = map(self._normal_dist.cdf, self.within)
        return max(low, TAIL_PROBABILITY), min(high, 1 - TAIL_PROBABILITY)

    def value(self, drawn: Any) -> float:
        """The value of a quantile."""
        if self.within is not None:
            low, high = self.within
            if drawn <= self._normal_dist.cdf(low):
                return low
            if drawn >= self._normal_dist.cdf(high):
                return high
        return self._normal_dist.inv_cdf(drawn)

    def place(self, value: Plain) -> tuple[str | int, ...]:
        """The bound that a value is, or the mean and the deviation."""
        return ("within", self.within.index(value)) if self.within and value in self.within else ("normal",)


DISTRIBUTIONS: Final[tuple[type[Distribution], ...]] = (Uniform, LogUniform, Int, Normal)


class Choice(Config):
    """One of several values: numbers, words, lists, or mappings that may hold distributions of their own.

    Args:
        choice: the values, `[a, b, ...]`, each once.
    """

    word: ClassVar[str] = "choice"
    choice: Annotated[tuple[Any, ...], ListAsTuple, Field(min_length=1)]


WORDS: Final = (*(each.word for each in DISTRIBUTIONS), Choice.word)
"""The words that distributions begin with."""
OPTIONS: Final = ("step", "within")
"""What may stand beside them; beside `int` also `log`."""
