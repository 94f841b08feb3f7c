"""The losses of a run: their names and settings, and the shape of outputs and targets that each needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.types import Bounds, Config, LossName, NonNegative, Positive, choice_message

LossKind = Literal[
    "softmax_cross_entropy",
    "focal",
    "logistic",
    "squared_error",
    "absolute",
    "huber",
    "quantile",
    "poisson",
    "gamma",
    "tweedie",
]
"""The built-in losses."""
BUILTIN_LOSSES: tuple[LossKind, ...] = get_args(LossKind)

LOG_LINK_LOSSES: tuple[LossKind, ...] = ("poisson", "gamma", "tweedie")
"""Losses whose prediction is the exponential of the output."""
STANDARDIZABLE_LOSSES: tuple[LossKind, ...] = ("squared_error", "absolute", "huber", "quantile")
"""Losses of numbers that may be standardized."""
SEVERAL_TARGETS_LOSSES: tuple[LossKind, ...] = ("logistic", *STANDARDIZABLE_LOSSES, *LOG_LINK_LOSSES)
"""Losses of several targets at once, with one output for each; the loss of a sample is the sum over its targets."""

OpenUnitNumber = Bounds(gt=0, lt=1)
MAX_QUANTILES = 100


@dataclass(frozen=True, slots=True)
class _Quantiles:
    """A number above 0 and below 1, or an ascending list of them."""

    def check(self, value: object) -> float | tuple[float, ...]:
        """Return the number as a float, or the list as a tuple."""
        if not isinstance(value, list | tuple):
            return float(OpenUnitNumber.check(value))
        numbers = tuple(float(OpenUnitNumber.check(item)) for item in value)
        if not 1 <= len(numbers) <= MAX_QUANTILES or list(numbers) != sorted(set(numbers)):
            message = f"must be an ascending list of 1 to {MAX_QUANTILES} different numbers, got {list(numbers)}"
            raise PydanticCustomError("message", "{message}", {"message": message})
        return numbers

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        number = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
        return {"anyOf": [number, {"type": "array", "items": number, "minItems": 1, "maxItems": MAX_QUANTILES}]}


Quantiles = Annotated[float | tuple[float, ...], _Quantiles()]
Smoothing = Annotated[float, Bounds(ge=0, lt=1)]


class LossConfig(Config):
    """A loss and its settings."""

    kind: Any

    @property
    def is_plain(self) -> bool:
        """True if the name says everything, so that a file holds only the name."""
        fields = type(self).model_fields
        return set(fields) <= {"kind", "label_smoothing"} and not getattr(self, "label_smoothing", 0)


class SoftmaxCrossEntropyConfig(LossConfig):
    """Negative log-likelihood of one class among several.

    Args:
        label_smoothing: the part of each target that is spread evenly over all classes, at least 0 and below 1.
    """

    kind: Literal["softmax_cross_entropy"] = "softmax_cross_entropy"
    label_smoothing: Smoothing = 0.0


class FocalConfig(LossConfig):
    """Negative log-likelihood of one class among several, weighted by (1 - p)^γ, with the probability p of the class.

    Args:
        γ: the exponent, at least 0; 0 is softmax_cross_entropy.
    """

    kind: Literal["focal"] = "focal"
    γ: NonNegative = 2.0


class LogisticConfig(LossConfig):
    """Negative log-likelihood of the second of two classes, or of each of several boolean targets.

    Args:
        label_smoothing: the part s by which targets become y·(1 - s) + s/2, at least 0 and below 1.
    """

    kind: Literal["logistic"] = "logistic"
    label_smoothing: Smoothing = 0.0


class SquaredErrorConfig(LossConfig):
    """Half the squared error."""

    kind: Literal["squared_error"] = "squared_error"


class AbsoluteConfig(LossConfig):
    """Absolute error; the prediction is the median."""

    kind: Literal["absolute"] = "absolute"


class HuberConfig(LossConfig):
    """Half the squared error up to δ, and linear above; less sensitive to outliers.

    Args:
        δ: the error from which the loss is linear, above 0; for a standardized target, in its standard deviations.
    """

    kind: Literal["huber"] = "huber"
    δ: Positive = 1.0


class QuantileConfig(LossConfig):
    """Pinball loss, whose minimum is a quantile of the target.

    Args:
        q: the quantile, above 0 and below 1; or an ascending list, for one output each.
    """

    kind: Literal["quantile"] = "quantile"
    q: Quantiles = 0.5

    @property
    def quantiles(self) -> tuple[float, ...]:
        """All quantiles."""
        return self.q if isinstance(self.q, tuple) else (self.q,)

    @property
    def is_list(self) -> bool:
        """True if `q` is a list, so that predictions have a column for each quantile."""
        return isinstance(self.q, tuple)


class PoissonConfig(LossConfig):
    """Negative log-likelihood of counts; the prediction is the exponential of the output."""

    kind: Literal["poisson"] = "poisson"


class GammaConfig(LossConfig):
    """Negative log-likelihood of positive numbers of a gamma distribution; the prediction is the exponential of the
    output."""

    kind: Literal["gamma"] = "gamma"


class TweedieConfig(LossConfig):
    """Half the Tweedie deviance, for numbers that are often 0; the prediction is the exponential of the output.

    Args:
        power: the exponent of the mean in the variance, at least 1 and at most 3; 1 is poisson, 2 gamma.
    """

    kind: Literal["tweedie"] = "tweedie"
    power: Annotated[float, Bounds(ge=1, le=3)] = 1.5


class CustomLossConfig(LossConfig):
    """The loss that a custom model computes itself; see model.targets."""

    kind: Literal["custom"] = "custom"


LOSS_CONFIGS: tuple[type[LossConfig], ...] = (
    SoftmaxCrossEntropyConfig,
    FocalConfig,
    LogisticConfig,
    SquaredErrorConfig,
    AbsoluteConfig,
    HuberConfig,
    QuantileConfig,
    PoissonConfig,
    GammaConfig,
    TweedieConfig,
    CustomLossConfig,
)
LOSS_NAMES: tuple[str, ...] = (*BUILTIN_LOSSES, "custom")
_CLASSES = dict(zip(LOSS_NAMES, LOSS_CONFIGS, strict=True))

LossSpec: TypeAlias = LossKind | LossConfig
"""A loss: the name of one without settings, or a config of one with settings."""


def as_loss_config(loss: "LossSpec | Literal['custom']") -> LossConfig:
    """Return the config of a loss, with its defaults if only its name is given.

    >>> as_loss_config("huber").δ, as_loss_config(TweedieConfig(power=1.2)).power
    (1.0, 1.2)
    """
    if isinstance(loss, LossConfig):
        return loss
    default: LossConfig = _CLASSES[loss].model_validate({})
    return default


def loss_kind(loss: "LossSpec | Literal['custom']") -> str:
    """Return the name of a loss.

    >>> loss_kind("logistic"), loss_kind(HuberConfig(δ=2.0))
    ('logistic', 'huber')
    """
    return str(loss.kind) if isinstance(loss, LossConfig) else loss


def loss_family(loss: LossSpec) -> LossName:
    """Return the loss without settings that takes the same targets.

    >>> loss_family("focal"), loss_family("huber"), loss_family("logistic")
    ('softmax_cross_entropy', 'squared_error', 'logistic')
    """
    match loss_kind(loss):
        case "softmax_cross_entropy" | "focal":
            return "softmax_cross_entropy"
        case "logistic":
            return "logistic"
    return "squared_error"


def count_outputs(loss: LossSpec, classes: int, targets: int = 1) -> int:
    """Return the number of outputs that a loss needs.

    Args:
        loss: the loss.
        classes: the number of classes; it matters to losses of one class among several.
        targets: the number of target columns.

    >>> count_outputs("focal", 10), count_outputs("logistic", 2), count_outputs("huber", 0, targets=3)
    (10, 1, 3)
    >>> count_outputs(QuantileConfig(q=[0.1, 0.5, 0.9]), 0)
    3
    """
    if loss_family(loss) == "softmax_cross_entropy":
        return classes
    config = as_loss_config(loss)
    return len(config.quantiles) if isinstance(config, QuantileConfig) and targets == 1 else targets


def several_targets_problem(loss: LossSpec) -> str | None:
    """Return the reason why a loss cannot have several targets at once, with a remedy; None if it can.

    >>> several_targets_problem("huber"), several_targets_problem(QuantileConfig(q=0.9))
    (None, None)
    >>> several_targets_problem("focal")
    'focal is for one target; use one, or set loss: logistic if each of them is 0 or 1'
    """
    config = as_loss_config(loss)
    if config.kind not in SEVERAL_TARGETS_LOSSES:
        return f"{config.kind} is for one target; use one, or set loss: logistic if each of them is 0 or 1"
    if isinstance(config, QuantileConfig) and config.is_list:
        return "a list of quantiles is for one target; use one, or set one quantile, such as q: 0.5"
    return None


def describe_loss(loss: "LossSpec | Literal['custom']") -> str:
    """Return a loss with its settings, as text.

    >>> describe_loss("logistic"), describe_loss(HuberConfig(δ=2.0))
    ('logistic', 'huber (δ 2.0)')
    """
    if not isinstance(loss, LossConfig):
        return loss
    settings = ", ".join(f"{name} {value}" for name, value in loss.to_dict().items() if name != "kind")
    return f"{loss.kind} ({settings})" if settings else str(loss.kind)


@dataclass(frozen=True, slots=True)
class _NameOrMapping:
    """A loss is written as its name, or as a mapping of its settings; the name suffices if there are none."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        inner = core_schema.no_info_before_validator_function(_expand_name, handler(source))
        return core_schema.no_info_after_validator_function(
            _simplify,
            inner,
            serialization=core_schema.plain_serializer_function_ser_schema(_to_plain),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(LOSS_NAMES)}, handler(schema)]}


def _expand_name(value: object) -> object:
    if isinstance(value, Mapping | LossConfig):
        return value
    if isinstance(value, str) and value in _CLASSES:
        return {"kind": value}
    raise PydanticCustomError("message", "{message}", {"message": choice_message(LOSS_NAMES, value)})


def _simplify(loss: LossConfig) -> Any:
    return loss.kind if loss.is_plain else loss


def _to_plain(loss: Any) -> Any:
    return loss.to_dict() if isinstance(loss, LossConfig) else loss


if TYPE_CHECKING:
    LossField: TypeAlias = LossSpec | Literal["custom"]
else:
    LossField = Annotated[
        SoftmaxCrossEntropyConfig
        | FocalConfig
        | LogisticConfig
        | SquaredErrorConfig
        | AbsoluteConfig
        | HuberConfig
        | QuantileConfig
        | PoissonConfig
        | GammaConfig
        | TweedieConfig
        | CustomLossConfig,
        Field(discriminator="kind"),
        _NameOrMapping(),
    ]
