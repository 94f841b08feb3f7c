"""The `fit` section of a run file: epochs, metrics, checkpoints, early stopping, loggers."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, WrapValidator
from pydantic_core import core_schema

from mxtrain.types import (
    Config,
    ListAsTuple,
    MetricName,
    Monitor,
    NonNegative,
    Positive,
    PositiveInt,
    mismatch_error,
)

OnNonfinite = Literal["raise", "skip", "rollback"]
LoggerName = Literal["tensorboard", "mlflow"]

_INTERVAL = re.compile(r"([1-9]\d{0,8}) (epoch|iteration|minute)s?")
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Interval:
    """Time between two checkpoints: a number of epochs, iterations or minutes."""

    count: int
    unit: Literal["epoch", "iteration", "minute"]


def _validate_interval(text: str) -> str:
    if text != AUTO and not _INTERVAL.fullmatch(text):
        raise mismatch_error("auto, or a count and a unit, such as '1 epoch', '200 iterations' or '5 minutes'", text)
    return text


class CheckpointConfig(Config):
    """Schedule of the checkpoints of a run, and how many are kept.

    Args:
        every: `auto`, which takes at most 2 % of the time; or a count and a unit, such as `1 epoch`,
            `200 iterations` or `5 minutes`. With `on_nonfinite: rollback`, `auto` is `1 epoch`.
        keep: number of the newest checkpoints to keep, at least 1.
        best: a metric, such as `val_loss`; the checkpoint of its best epoch is kept as well.
    """

    every: Annotated[str, AfterValidator(_validate_interval)] = AUTO
    keep: PositiveInt = 3
    best: Monitor | None = None

    @property
    def interval(self) -> Interval | None:
        """`every` as a count and a unit; None for `auto`."""
        if self.every == AUTO:
            return None
        match = _INTERVAL.fullmatch(self.every)
        assert match, "checked when the config was validated"
        unit: Any = match[2]
        return Interval(int(match[1]), unit)


class EarlyStopping(Config):
    """Early stopping: end a run before its last epoch.

    Args:
        monitor: the metric that must improve, such as `val_loss`.
        patience: number of epochs without improvement after which the run stops, at least 1.
        min_delta: a change must exceed this to count as an improvement, at least 0.
        restore_best: end with the parameters of the best epoch, not of the last one.
    """

    monitor: Monitor = "val_loss"
    patience: PositiveInt = 5
    min_delta: NonNegative = 0.0
    restore_best: bool = True


class _AutoSchema:
    """The JSON Schema of a list of metrics, or `auto`; the name `auto` is saved as it is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        schema = handler(source)
        to_plain = core_schema.plain_serializer_function_ser_schema(_metrics_to_plain)
        return core_schema.no_info_after_validator_function(lambda value: value, schema, serialization=to_plain)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"const": AUTO}, handler(schema)]}


def _metrics_to_plain(metrics: Any) -> Any:
    return metrics if metrics == AUTO else list(metrics)


def _accept_auto(value: Any, handler: Any) -> Any:
    return AUTO if value == AUTO else handler(value)


if TYPE_CHECKING:
    Metrics: TypeAlias = tuple[MetricName, ...] | Literal["auto"]
else:
    Metrics = Annotated[tuple[MetricName, ...], ListAsTuple, WrapValidator(_accept_auto), _AutoSchema()]


class FitConfig(Config):
    """Training length, metrics, checkpoints, early stopping and loggers.

    Args:
        epochs: number of passes over the training part, at least 1.
        metrics: metrics of each epoch besides `loss`: a list such as `[accuracy, f1]`; or `auto`, for a choice that
            suits the loss.
        clip_norm: another name of `optimizer.clip_norm`.
        diagnostics: report gradient norms and update sizes in each epoch.
        checkpoint: schedule of the checkpoints.
        early_stopping: end the run before its last epoch; by default, never.
        on_nonfinite: treatment of a batch whose loss, gradient or parameters are NaN or infinite: `raise` ends the run,
            `skip` skips the batch, `rollback` also returns to the last checkpoint that `checkpoint` schedules. The same
            applies to an update that would make a slot of the optimizer NaN or infinite.
        nonfinite_limit: largest number of consecutive non-finite batches that `skip` accepts, and of non-finite batches
            between two checkpoints that `rollback` accepts, at least 1.
        loggers: where metrics are also sent: `tensorboard`, `mlflow`.
    """

    epochs: PositiveInt = 10
    metrics: Metrics = ()
    clip_norm: Positive | None = None
    diagnostics: bool = True
    checkpoint: CheckpointConfig = CheckpointConfig()
    early_stopping: EarlyStopping | None = None
    on_nonfinite: OnNonfinite = "raise"
    nonfinite_limit: PositiveInt = 10
    loggers: Annotated[tuple[LoggerName, ...], ListAsTuple, Field(max_length=2)] = ()

    @property
    def checkpoint_interval(self) -> Interval | None:
        """The schedule of checkpoints; None if it depends on the clock (`auto`).

        A rollback returns to a checkpoint, which must not depend on the clock, so `auto` is then every epoch.
        """
        interval = self.checkpoint.interval
        return Interval(1, "epoch") if interval is None and self.on_nonfinite == "rollback" else interval

    def rollback_problem(self) -> str | None:
        """Return an error message if `checkpoint.every` cannot be combined with `on_nonfinite: rollback`; else None.

        This is not checked by validation, so that runs of earlier versions can still be opened.
        """
        interval = self.checkpoint.interval
        if self.on_nonfinite != "rollback" or interval is None or interval.unit != "minute":
            return None
        return (
            "minutes do not go with on_nonfinite: rollback, because the checkpoint that it returns to would depend "
            f"on the speed of the machine, got {self.checkpoint.every!r}; use epochs or iterations, such as '1 epoch'"
        )
