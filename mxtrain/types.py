"""Types of config fields: bounded numbers, dtypes, names of losses and metrics, and the base class of every config."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import Parameter, Signature
from numbers import Integral, Real
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, NoReturn, Self, TypeAlias, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.errors import ReadOnlyError
from mxtrain.names import ascii_names, display_name, field_name, nearest

Array: TypeAlias = Any
"""A NumPy or CuPy array. The two share no static type, so arrays are validated at run time."""

DataType = Literal["float32", "float64"]
DTYPES: Final[tuple[str, ...]] = get_args(DataType)
"""Dtypes of arrays."""
COMPLEX_DTYPES: Final[tuple[str, ...]] = ("complex64", "complex128")
"""Dtypes of weights whose real and imaginary parts are updated."""
HALF_DTYPES: Final[tuple[str, ...]] = ("float16", "bfloat16")
"""Dtypes of weights that are updated in float32; bfloat16 is that of the package ml_dtypes."""

ActivationName = Literal["relu", "tanh", "sigmoid"]
LossName = Literal["softmax_cross_entropy", "logistic", "squared_error"]
CLASS_LOSSES: tuple[LossName, ...] = ("softmax_cross_entropy", "logistic")
"""Losses with classes as targets; the targets of other losses are numbers."""
MetricName = Literal[
    "accuracy",
    "loss",
    "mae",
    "r2",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
    "top_k",
    "rmse",
    "mape",
    "median_absolute_error",
    "pinball",
    "coverage",
]
Monitor = Literal[
    "loss",
    "accuracy",
    "mae",
    "r2",
    "val_loss",
    "val_accuracy",
    "val_mae",
    "val_r2",
    "val_balanced_accuracy",
    "val_f1",
    "val_precision",
    "val_recall",
    "val_roc_auc",
    "val_average_precision",
    "val_log_loss",
    "val_brier",
    "val_top_k",
    "val_rmse",
    "val_mape",
    "val_median_absolute_error",
    "val_pinball",
]
"""A metric of an epoch, on the training part, or on the validation part after `val_`."""


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """Properties of a metric.

    Attributes:
        label: the name in texts and titles.
        targets: the kind of targets that it is defined for; None for both.
        is_maximized: True if larger values are better.
        axis: the title of its axis in charts; by default, the label.
        is_collected: True if it is computed from all outputs of a part together, and so on the validation part only.
    """

    label: str
    targets: Literal["classes", "numbers"] | None = None
    is_maximized: bool = False
    axis: str | None = None
    is_collected: bool = False

    @property
    def title(self) -> str:
        """The label, with a capital letter."""
        return self.label[0].upper() + self.label[1:]


METRIC_INFO: Final[dict[str, MetricInfo]] = {
    "accuracy": MetricInfo("accuracy", "classes", is_maximized=True, axis="fraction of correct predictions"),
    "loss": MetricInfo("loss", axis="mean loss per sample"),
    "mae": MetricInfo("mean absolute error", "numbers"),
    "r2": MetricInfo("R²", "numbers", is_maximized=True),
    "balanced_accuracy": MetricInfo("balanced accuracy", "classes", is_maximized=True, is_collected=True),
    "f1": MetricInfo("F1 score", "classes", is_maximized=True, is_collected=True),
    "precision": MetricInfo("precision", "classes", is_maximized=True, is_collected=True),
    "recall": MetricInfo("recall", "classes", is_maximized=True, is_collected=True),
    "roc_auc": MetricInfo("area under the ROC curve", "classes", is_maximized=True, is_collected=True),
    "average_precision": MetricInfo("average precision", "classes", is_maximized=True, is_collected=True),
    "log_loss": MetricInfo("log loss", "classes", is_collected=True),
    "brier": MetricInfo("Brier score", "classes", is_collected=True),
    "top_k": MetricInfo("top-k accuracy", "classes", is_maximized=True, is_collected=True),
    "rmse": MetricInfo("root mean squared error", "numbers", is_collected=True),
    "mape": MetricInfo("mean absolute percentage error", "numbers", is_collected=True),
    "median_absolute_error": MetricInfo("median absolute error", "numbers", is_collected=True),
    "pinball": MetricInfo("mean pinball loss", "numbers", is_collected=True),
    "coverage": MetricInfo("coverage", "numbers", is_collected=True, axis="fraction between the outer quantiles"),
}
"""The metrics by `MetricName`; `build_metric` builds them."""


_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
"""The address of an object, which differs from process to process."""


def describe(value: object) -> str:
    """Format a value for a message: shortened, and as YAML spells it.

    >>> describe(True), describe(None), describe("1e-3"), describe([1, 2])
    ('true', 'null', "'1e-3'", 'a list')
    >>> describe(len), describe(lambda t: t), describe(object())
    ('the function len', 'the function <lambda>', 'an object of type object')
    """
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case int() if abs(value) >= 10**40:
            return "an integer of more than 40 digits"
        case int() | float():
            return str(value)
    if isinstance(value, FunctionType | BuiltinFunctionType | MethodType):
        return f"the function {value.__name__}"
    unnamed = f"an object of type {type(value).__name__}"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - __repr__ may raise anything
        return unnamed
    if _ADDRESS.search(text):
        return unnamed
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= 60 else f"{text[:57]}..."


def describe_argument(value: object) -> str:
    """Format a value that a caller in Python passed: as `describe`, but None by its name there.

    >>> describe_argument(None), describe_argument([1, 2])
    ('None', 'a list')
    """
    return "None" if value is None else describe(value)


def choice_message(choices: Iterable[str], value: object) -> str:
    """Return the error message for a value that is not one of several names.

    >>> choice_message(["relu", "tanh"], "Relu")
    "must be one of relu, tanh, got 'Relu'; did you mean relu?"
    """
    names = list(choices)
    guess = nearest(value, names) if isinstance(value, str) else None
    remedy = f"; did you mean {guess}?" if guess else ""
    return f"must be one of {', '.join(names)}, got {describe(value)}{remedy}"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a finite number, all of which are stated in one error message.

    `floor` and `ceiling` are bounds far from useful values; each is stated only in the error of a value beyond it.
    `remedy` ends the error of a value out of bounds.
    """

    ge: float | None = None
    gt: float | None = None
    lt: float | None = None
    le: float | None = None
    whole: bool = False
    floor: float | None = None
    ceiling: int | None = None
    remedy: str = ""

    def __str__(self) -> str:
        if self.ge is not None and self.ge == self.le:
            return f"{self.ge}"
        parts = {"at least": self.ge, "above": self.gt, "below": self.lt, "at most": self.le}
        bounds = " and ".join(f"{word} {bound}" for word, bound in parts.items() if bound is not None)
        noun = "a whole number" if self.whole else "a finite number"
        return " ".join(filter(None, (noun if self.whole or not bounds else "", bounds)))

    def check(self, value: object) -> float | int:
        """Return a number within the bounds as int or float.

        Raises:
            PydanticCustomError: the value is not a number, or is out of bounds.
        """
        number = self._number(value)
        inside = (
            (self.ge is None or number >= self.ge)
            and (self.gt is None or number > self.gt)
            and (self.lt is None or number < self.lt)
            and (self.le is None or number <= self.le)
        )
        if not inside or (isinstance(number, float) and not math.isfinite(number)):
            raise mismatch_error(str(self), value, self.remedy)
        if self.floor is not None and number < self.floor:
            raise mismatch_error(f"{self} and at least {self.floor}", value)
        if self.ceiling is not None and number > self.ceiling:
            raise mismatch_error(f"{self} and at most {self.ceiling}", value)
        return number

    def _number(self, value: object) -> float | int:
        try:
            if self.whole and isinstance(value, Integral) and not isinstance(value, bool):
                return int(value)
            if not self.whole and isinstance(value, Real) and not isinstance(value, bool):
                return float(value)
        except OverflowError:
            raise mismatch_error("a number that fits in float64", value) from None
        raise mismatch_error("a whole number" if self.whole else "a number", value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        limits = {
            "minimum": self.ge if self.floor is None else self.floor,
            "exclusiveMinimum": self.gt,
            "exclusiveMaximum": self.lt,
            "maximum": self.le if self.ceiling is None else self.ceiling,
        }
        stated = {name: bound for name, bound in limits.items() if bound is not None}
        return {"type": "integer" if self.whole else "number", **stated}


def mismatch_error(expected: str, value: object, remedy: str = "") -> PydanticCustomError:
    """Return the error of a value that differs from the expected one."""
    return PydanticCustomError(
        "number",
        "must be {expected}, got {got}{remedy}",
        {"expected": expected, "got": describe(value), "remedy": f"; {remedy}" if remedy else ""},
    )


Finite = Annotated[float, Bounds()]
Positive = Annotated[float, Bounds(gt=0)]
SMALLEST_NORMAL = 1.2e-38
"""Approximately the smallest normal float32; smaller values may be rounded to 0."""
LARGEST_FLOAT32 = 3.4028234663852886e38
Stability = Annotated[float, Bounds(gt=0, floor=SMALLEST_NORMAL)]
"""Stability term in a divisor."""
NON_NEGATIVE = Bounds(ge=0)
NonNegative = Annotated[float, NON_NEGATIVE]
Decay = Annotated[float, Bounds(ge=0, lt=1)]
"""A decay rate or momentum: at least 0 and below 1."""
OpenUnit = Annotated[float, Bounds(gt=0, lt=1)]
AboveOne = Annotated[float, Bounds(gt=1)]
Exponent = Annotated[float, Bounds(ge=0, ceiling=16)]
"""Exponent of the weights of an average."""
UnitInterval = Annotated[float, Bounds(ge=0, le=1)]
AtLeastOne = Annotated[float, Bounds(ge=1)]
PositiveInt = Annotated[int, Bounds(ge=1, whole=True, ceiling=2**31 - 1)]
NonNegativeInt = Annotated[int, Bounds(ge=0, whole=True, ceiling=2**31 - 1)]
Seed = Annotated[int, Bounds(ge=0, lt=2**64, whole=True)]


def _list_to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


ListAsTuple = BeforeValidator(_list_to_tuple)
"""Accepts a list as a tuple, but no other iterable, because sets have no order."""


def field_error(path: str, message: str) -> PydanticCustomError:
    """Return the error of a validator of several fields, for the field at a dotted path."""
    return PydanticCustomError("field_error", "{path}: {message}", {"path": path, "message": message})


def field_errors(problems: Sequence[tuple[str, str]]) -> PydanticCustomError:
    """Return the error of a validator of several fields, for several fields at dotted paths, with a message each."""
    text = "; ".join(f"{path}: {message}" for path, message in problems)
    return PydanticCustomError("field_errors", "{text}", {"text": text, "problems": list(problems)})


_KEYWORDS_ONLY = Signature([Parameter("self", Parameter.POSITIONAL_ONLY), Parameter("values", Parameter.VAR_KEYWORD)])


class Config(BaseModel):
    """Base class of all configs: frozen and strict, without unknown fields.

    A field may be given and read under its letter or under any of its ASCII names: `Adam(lr=0.1).learning_rate`.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    def __init_subclass__(cls, **options: Any) -> None:
        """Let the defaults of classes outside the package be validated, so that 2 becomes 2.0 where a float is due."""
        super().__init_subclass__(**options)
        if not cls.__module__.startswith("mxtrain."):
            cls.model_config["validate_default"] = True

    hidden_defaults: ClassVar[tuple[str, ...]] = ()
    """Names of fields that `to_dict`, files and `repr` leave out while they have their defaults."""

    def __init__(self, /, *args: Any, **values: Any) -> None:
        """Validate the values of the fields, which are keyword arguments.

        Raises:
            ConfigError: with every problem.
            TypeError: an argument is positional.
        """
        __tracebackhide__ = True
        if args:
            raise TypeError(_keywords_only_message(type(self), args[0]))
        try:
            self.__pydantic_validator__.validate_python(values, self_instance=self)
        except ValidationError as error:
            # Imported here, because error messages need all models, which import this module.
            raise import_module("mxtrain.config.error_messages").config_error(error, type(self), values) from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # Pydantic validates nested models without it
    __init__.__signature__ = _KEYWORDS_ONLY  # type: ignore[attr-defined]  # Pydantic adds the fields to it

    if not TYPE_CHECKING:  # with it, type checkers would accept any attribute

        def __getattr__(self, name: str) -> Any:
            """Read a field under one of its ASCII names."""
            if name.startswith("_"):
                return super().__getattr__(name)
            field = field_name(name, type(self).model_fields)
            if field == name or field not in type(self).model_fields:
                raise ReadOnlyError(
                    f"{type(self).__name__} has no attribute {name}; {_suggest_field(type(self), name)}"
                )
            return getattr(self, field)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Validate a mapping, as the constructor validates keyword arguments.

        Raises:
            ConfigError: with every problem.
        """
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise import_module("mxtrain.config.error_messages").config_error(error, cls, obj) from None

    @classmethod
    def validate_raw(cls, values: Any) -> Self:
        """Validate a mapping; the ValidationError of Pydantic keeps the location of each problem."""
        return super().model_validate(values)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self._raise_read_only(name)

    def __delattr__(self, name: str) -> None:
        self._raise_read_only(name)

    def _raise_read_only(self, name: str) -> NoReturn:
        kind, fields = type(self).__name__, type(self).model_fields
        field = field_name(name, fields)
        if field in fields:
            changed = f"{kind}(**config.to_dict() | {{{display_name(field)!r}: ...}})"
            raise ReadOnlyError(f"{kind}.{name} is read-only; make another one, as in {changed}")
        raise ReadOnlyError(f"{kind} has no field {name}; {_suggest_field(type(self), name)}")

    @model_validator(mode="before")
    @classmethod
    def _normalize_names(cls, data: Any) -> Any:
        """Replace each key by the name of its field; one value under two names is an error with both names."""
        if not isinstance(data, Mapping):
            return data
        given: dict[Any, str] = {}
        normalized: dict[Any, Any] = {}
        for key, value in data.items():
            name = field_name(key, cls.model_fields) if isinstance(key, str) else key
            if name in given:
                raise PydanticCustomError(
                    "two_names",
                    "{second} and {first} are two names of one value; keep one",
                    {"first": display_name(given[name]), "second": key},
                )
            given[name], normalized[name] = key, value
        return normalized

    @classmethod
    def listed_fields(cls) -> tuple[str, ...]:
        """Return the names of the fields that a message about an unknown field lists."""
        return tuple(name for name in cls.model_fields if name not in cls.hidden_defaults)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        hidden = self._hidden_fields()
        return ((name and display_name(name), value) for name, value in super().__repr_args__() if name not in hidden)

    def _hidden_fields(self) -> set[str]:
        """Return the fields of `hidden_defaults` that have their defaults."""
        fields = type(self).model_fields
        return {name for name in self.hidden_defaults if getattr(self, name) == fields[name].get_default()}

    def to_dict(self) -> dict[str, Any]:
        """Return every field, defaults included except `hidden_defaults`, as plain values under documented names."""
        dumped = self.model_dump(mode="json", exclude=self._hidden_fields())
        return {display_name(name): _to_plain(getattr(self, name), value) for name, value in dumped.items()}


def _suggest_field(model: type[Config], name: str) -> str:
    """Return a remedy for a name that is not a field."""
    fields = model.model_fields
    known = {word: display_name(field) for field in fields for word in (display_name(field), *ascii_names(field))}
    guess = nearest(name, known)
    return f"did you mean {known[guess]}?" if guess else f"its fields are {', '.join(map(display_name, fields))}"


def _keywords_only_message(model: type[Config], value: object) -> str:
    name = model.__name__
    field = next((display_name(field) for field in model.model_fields if field != "kind"), None)
    if field is None:
        return f"{name} takes no arguments, got {describe(value)}"
    shown = describe(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else "..."
    example = f"{name}(**config)" if isinstance(value, Mapping) else f"{name}({field}={shown})"
    return f"{name} takes keyword arguments only, as in {example}"


def _to_plain(value: Any, dumped: Any) -> Any:
    """Return a field's value as plain values, with nested configs under their documented names."""
    if isinstance(value, dict):
        return {name: _to_plain(item, dumped[name]) for name, item in value.items()}
    return value.to_dict() if isinstance(value, Config) else dumped
