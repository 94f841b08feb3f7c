"""The config of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.config.data_section import DataConfig
from mxtrain.config.data_sources import CLASS_SOURCES
from mxtrain.config.fit_section import AUTO, FitConfig
from mxtrain.config.model_section import CustomConfig, ModelConfig, Targets
from mxtrain.errors import ConfigError
from mxtrain.kinds import needed_plugins
from mxtrain.loss_config import (
    BUILTIN_LOSSES,
    STANDARDIZABLE_LOSSES,
    LossField,
    LossSpec,
    QuantileConfig,
    as_loss_config,
    loss_family,
    loss_kind,
    several_targets_problem,
)
from mxtrain.minimization.method_configs import AnyOptimizer, MethodConfig
from mxtrain.optim.backends import BackendName
from mxtrain.optim.groups.group import ungrouped
from mxtrain.optim.groups.selectors import Shape
from mxtrain.optim.groups.validation import group_problems
from mxtrain.optim.schedules.function import Function, MomentumFunction
from mxtrain.optim.schedules.rate_schedule import RateSchedule
from mxtrain.types import (
    CLASS_LOSSES,
    METRIC_INFO,
    NON_NEGATIVE,
    Bounds,
    Config,
    DataType,
    ListAsTuple,
    LossName,
    MetricName,
    Seed,
    describe,
    field_error,
    field_errors,
)

_NO_FUNCTION = "a run is saved, and a function cannot be; use a schedule with a kind, or train in a loop of your own"
Threads = Annotated[int, Bounds(ge=1, whole=True, ceiling=1024)]

BALANCED = "balanced"


@dataclass(frozen=True, slots=True)
class _ClassWeight:
    """`balanced`, or a mapping of classes to numbers of at least 0; classes are texts, as in the data."""

    def check(self, value: object) -> str | dict[str, float] | None:
        """Return `balanced`, the mapping with texts as keys, or None.

        Raises:
            PydanticCustomError: the value is neither, or a weight is not a number.
        """
        if value is None or value == BALANCED:
            return value
        if not isinstance(value, Mapping):
            message = f"must be {BALANCED}, or a mapping such as {{no: 1.0, yes: 5.0}}, got {describe(value)}"
            raise PydanticCustomError("message", "{message}", {"message": message})
        weights = {}
        for label, weight in value.items():
            try:
                weights[str(label)] = float(NON_NEGATIVE.check(weight))
            except PydanticCustomError as error:
                raise field_error(str(label), error.message()) from None
        if weights and not any(weights.values()):
            raise PydanticCustomError("message", "must have a weight above 0")
        return weights

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        weights = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}}
        return {"anyOf": [{"enum": [BALANCED, None]}, weights]}


ClassWeight = Annotated[str | dict[str, float] | None, _ClassWeight()]

_DECODING: dict[Targets, LossName] = {
    "numbers": "squared_error",
    "classes": "softmax_cross_entropy",
    "binary": "logistic",
}


class RunConfig(Config):
    """A training run: data, model, loss, optimizer and training settings.

    Args:
        name: name of the run, and of its folder.
        seed: seed of the split, of the order of samples and of the initial weights.
        backend: backend that runs the updates; `auto` chooses by the arrays. Runs with `numpy` and `compiled` have the
            same bits; with `cupy` the GPU also computes the model, whose matrix products differ in the last bits.
        dtype: dtype of parameters, slots and inputs.
        threads: number of BLAS threads, on which the last bits of a custom model's products depend; by default, the
            number that BLAS already uses, which the saved config records. Other models do not depend on it.
        data: data source, splits, batches and preprocessing.
        model: the model: `linear`, `mlp` or `custom`.
        loss: loss function: a name such as `logistic`, or a mapping with settings such as `{kind: huber, δ: 1.0}`;
            `custom` is the loss that a custom model computes itself.
        class_weight: weight of each class in the loss that is trained: `balanced`, inversely proportional to its
            samples in the training part, or a mapping of classes to numbers; by default, all are 1.
        optimizer: the update rule; or `lbfgs`, a method for training on all samples in one batch.
        fit: training length, metrics, checkpoints and stopping.
        plugins: names of the modules that define rules and schedules of the run, which the run records. They are not
            imported: pass them with `--plugin`, or define the classes in Python.

    Example:
        >>> run = RunConfig.model_validate({
        ...     "data": {"source": "digits"}, "model": {"kind": "mlp"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}})
        >>> run.optimizer.β1
        0.9
        >>> run.resolve().optimizer.scale
        0.03125
    """

    hidden_defaults: ClassVar[tuple[str, ...]] = ("plugins", "class_weight")

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=100)] = "run"
    seed: Seed = 0
    backend: BackendName = "auto"
    dtype: DataType = "float32"
    threads: Threads | None = None
    data: DataConfig
    model: ModelConfig
    loss: LossField
    class_weight: ClassWeight = None
    optimizer: AnyOptimizer
    fit: FitConfig = FitConfig()
    plugins: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], ListAsTuple] = ()

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        self._check_custom_loss()
        self._check_method()
        norms = self.fit.clip_norm, self.optimizer.clip_norm
        if None not in norms and norms[0] != norms[1]:
            message = f"is another name of optimizer.clip_norm, which is {norms[1]}, got {norms[0]}; keep one"
            raise field_error("fit.clip_norm", message)
        has_classes, name = self.equivalent_builtin_loss in CLASS_LOSSES, loss_kind(self.loss)
        if CLASS_SOURCES.get(self.data.source, has_classes) != has_classes:
            remedy = "squared_error" if has_classes else "softmax_cross_entropy"
            raise field_error("loss", f"{name} does not suit {self.data.source}; use {remedy}")
        if self.data.source == "digits" and self.equivalent_builtin_loss == "logistic":
            raise field_error("loss", "logistic is for two classes, and digits has ten; use softmax_cross_entropy")
        if self.data.standardize_target and has_classes:
            message = f"goes with squared_error, and {name} predicts classes; remove standardize_target"
            raise field_error("data.standardize_target", message)
        if self.data.standardize_target and name not in (*STANDARDIZABLE_LOSSES, "custom"):
            message = f"goes with {', '.join(STANDARDIZABLE_LOSSES)}, got loss {name}; remove standardize_target"
            raise field_error("data.standardize_target", message)
        self._check_several_targets()
        if self.class_weight is not None and not has_classes:
            raise field_error("class_weight", f"is for classes, and {name} predicts numbers; remove class_weight")
        self._check_metrics("classes" if has_classes else "numbers")
        if not isinstance(self.model, CustomConfig):
            group_problems(type(self).__name__, self._group_problems(self.model.parameters))
        problems = [problem for each in self.optimizer.all_schedules().items() for problem in self._problems_of(*each)]
        if isinstance(getattr(self.optimizer, "μ_sched", None), MomentumFunction):
            problems.append(("optimizer.μ_sched", _NO_FUNCTION))
        if problems:
            raise field_errors(problems)
        self._check_monitor("fit.checkpoint.best", self.fit.checkpoint.best)
        if self.fit.early_stopping is not None:
            self._check_monitor("fit.early_stopping.monitor", self.fit.early_stopping.monitor)
        return self

    def _problems_of(self, name: str, schedule: RateSchedule) -> Iterator[tuple[str, str]]:
        """Yield the problems of a schedule in this run, each with its path."""
        path, epochs = f"optimizer.{name}", self.fit.epochs
        if isinstance(schedule, Function):
            yield path, _NO_FUNCTION
        for field, monitor in schedule.observed_metrics():
            if (reason := self.monitor_problem(monitor)) is not None:
                yield f"{path}.{field}", reason
        if schedule.run_length is None or schedule.per == "iteration":
            return
        if schedule.per == "epoch" and schedule.warmup >= epochs:
            message = f"must be below fit.epochs, {epochs}, as T is {schedule.run_length}, got {schedule.warmup}"
            yield f"{path}.warmup", message
            return
        try:
            schedule.for_run(epochs, 1, path)
        except ConfigError as error:
            yield from ((problem.path, problem.message) for problem in error.problems)

    @property
    def clip_norm(self) -> float | None:
        """The bound of the norm of gradients, `optimizer.clip_norm` or `fit.clip_norm`; None without a bound."""
        return self.fit.clip_norm if self.optimizer.clip_norm is None else self.optimizer.clip_norm

    @property
    def has_custom_loss(self) -> bool:
        """True if the loss is the one that a custom model computes."""
        return self.loss == "custom"

    @property
    def equivalent_builtin_loss(self) -> LossName:
        """`softmax_cross_entropy`, `logistic` or `squared_error`: the one that takes the same targets as the loss."""
        return loss_family(self.loss_spec)

    @property
    def loss_spec(self) -> LossSpec:
        """The built-in loss that defines how outputs become predictions: the loss itself, unless it is custom."""
        if self.loss != "custom":
            return self.loss
        assert isinstance(self.model, CustomConfig), "checked when the config was validated"
        targets = self.model.targets or ("classes" if CLASS_SOURCES.get(self.data.source) else "numbers")
        return _DECODING[targets]

    def measures(self, part: Literal["training", "validation"] = "validation") -> tuple[MetricName, ...]:
        """Return the metrics of `fit.metrics` besides the loss, with `auto` expanded, that are measured on a part.

        Metrics that are computed from all outputs together are measured on the validation part only.
        """
        metrics = self.fit.metrics if isinstance(self.fit.metrics, tuple) else self._auto_metrics()
        measured = (name for name in metrics if part == "validation" or not METRIC_INFO[name].is_collected)
        return tuple(name for name in measured if name != "loss")

    def _auto_metrics(self) -> tuple[MetricName, ...]:
        """Return the metrics that suit the loss."""
        chosen: tuple[MetricName, ...]
        match self.equivalent_builtin_loss:
            case "logistic":
                chosen = ("accuracy", "balanced_accuracy", "f1", "roc_auc")
            case "softmax_cross_entropy":
                chosen = ("accuracy", "balanced_accuracy", "f1")
            case _:
                chosen = ("mae", "r2", "rmse")
        if isinstance(config := as_loss_config(self.loss_spec), QuantileConfig):
            chosen = ("mae", "pinball", "coverage") if len(config.quantiles) > 1 else ("mae", "pinball")
        return tuple(name for name in chosen if self.data.validation or not METRIC_INFO[name].is_collected)

    def _check_metrics(self, kind: str) -> None:
        """Refuse metrics that cannot be measured."""
        if self.fit.metrics == AUTO:
            return
        for i, metric in enumerate(self.fit.metrics):
            info, place = METRIC_INFO[metric], f"fit.metrics.{i}"
            if info.targets not in (None, kind):
                of_kind = f" of {kind}" if self.has_custom_loss else ""
                others = ", ".join(name for name, other in METRIC_INFO.items() if other.targets == kind)
                message = f"{metric} cannot be measured with the loss {loss_kind(self.loss)}{of_kind}; use {others}"
                raise field_error(place, message)
            if metric in self.fit.metrics[:i]:
                raise field_error(place, f"{metric} is listed twice; keep one")
            if info.is_collected and not self.data.validation:
                raise field_error(place, f"{metric} is measured on the validation part; set data.validation")
            loss = as_loss_config(self.loss_spec)
            if metric == "coverage" and not (isinstance(loss, QuantileConfig) and len(loss.quantiles) > 1):
                message = "coverage needs two quantiles or more; set loss: {kind: quantile, q: [0.1, 0.9]}"
                raise field_error(place, message)

    def _group_problems(self, shapes: Mapping[str, Shape | None]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield the locations and the messages of groups that decide for none of these parameters."""
        above = "optimizer", self.optimizer.kind
        for selector, message in self.optimizer.unused_groups(shapes):
            yield (*above, "groups", selector), message
        if problem := ungrouped(self.optimizer, shapes):
            yield (*above, "groups_required"), problem

    def _check_several_targets(self) -> None:
        """Refuse several targets with losses of one."""
        count = len(self.data.target_names)
        problem = several_targets_problem(self.loss_spec) if count > 1 else None
        if problem is not None:
            raise field_error("data.target", f"names {count} columns, and {problem}")

    def _check_custom_loss(self) -> None:
        is_custom = isinstance(self.model, CustomConfig)
        targets = self.model.targets if isinstance(self.model, CustomConfig) else None
        if self.has_custom_loss and not is_custom:
            names = ", ".join(BUILTIN_LOSSES)
            raise field_error(
                "loss", f"custom is the loss of a custom model, got model.kind {self.model.kind}; use {names}"
            )
        if targets is None:
            return
        if not self.has_custom_loss:
            raise field_error("model.targets", f"goes with loss: custom, got {loss_kind(self.loss)}; remove targets")
        has_classes = CLASS_SOURCES.get(self.data.source, targets != "numbers")
        if (targets != "numbers") != has_classes or (self.data.source == "digits" and targets == "binary"):
            wanted = "classes" if has_classes else "numbers"
            raise field_error("model.targets", f"must be {wanted} for {self.data.source}, got {targets}")

    def _check_method(self) -> None:
        """Refuse settings that change the steps of a method with a line search, or that cannot be undone."""
        if not isinstance(self.optimizer, MethodConfig):
            return
        kind, fit = self.optimizer.kind, self.fit
        if fit.clip_norm is not None:
            raise field_error("fit.clip_norm", f"does not apply to {kind}, got {fit.clip_norm}; remove it")
        if fit.on_nonfinite != "raise":
            message = f"must be raise with {kind}, whose steps avoid NaN and infinity, got {fit.on_nonfinite}"
            raise field_error("fit.on_nonfinite", message)

    def _check_monitor(self, path: str, monitor: str | None) -> None:
        if monitor is not None and (reason := self.monitor_problem(monitor)):
            raise field_error(path, reason)

    def monitor_problem(self, monitor: str) -> str | None:
        """Return an error message for a metric, such as `val_loss`, that is not reported; None for one that is."""
        metric = monitor.removeprefix("val_")
        if metric not in ("loss", *self.measures()):
            return f"{monitor} is not measured; add {metric} to fit.metrics"
        if monitor != metric and self.data.validation == 0:
            return f"{monitor} needs a validation part; set data.validation, or monitor {metric}"
        return None

    @property
    def standardizes_target(self) -> bool:
        """True if the target is standardized: as `data.standardize_target` says, or by default for numbers.

        The default is False for losses that need the target in its own unit, and for diabetes, whose results stay those
        of earlier versions.
        """
        if self.data.standardize_target is not None:
            return self.data.standardize_target
        return loss_kind(self.loss) in STANDARDIZABLE_LOSSES and self.data.source not in CLASS_SOURCES

    @property
    def lacks_output_init(self) -> bool:
        """True if `model.output_init` is unset, and becomes `zero`: for a table whose target is standardized.

        With optimizers that would hardly change weights of 0 it stays unset.
        """
        is_unset = not isinstance(self.model, CustomConfig) and self.model.output_init is None
        return is_unset and self.data.is_table and self.standardizes_target and self.optimizer.can_start_at_zero

    def resolve(self) -> "RunConfig":
        """Return the config with every default filled in.

        An unset `optimizer.scale` becomes `1/batch_size`, an unset `model.output_init` becomes `zero` for a table
        whose target is standardized, and `plugins` names the modules of the user's classes.
        """
        scale = self.optimizer.scale or 1 / self.data.batch_size
        data = self.data.resolve().model_copy(update={"standardize_target": self.standardizes_target})
        optimizer = self.optimizer.model_copy(update={"scale": scale})
        groups = [(group.rule, group.values) for group in optimizer.groups.values()]
        plugins = tuple(dict.fromkeys((*self.plugins, *needed_plugins([optimizer, *groups]))))
        changed: dict[str, Any] = {"optimizer": optimizer, "data": data, "plugins": plugins}
        if self.lacks_output_init:
            changed["model"] = self.model.model_copy(update={"output_init": "zero"})
        if self.fit.metrics == AUTO:
            changed["fit"] = self.fit.model_copy(update={"metrics": self._auto_metrics()})
        return self.model_copy(update=changed)
