"""A run in memory: its data, model, optimizer and metrics, and the evaluation of a model."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, Literal

import numpy as np

from mxtrain.config import RunConfig
from mxtrain.data import Batches, FingerprintedDataset, Preprocessing, Samples, in_order, read_data
from mxtrain.minimization.method_configs import MethodConfig
from mxtrain.nn import MLP, CustomLoss, Metric, Model, build_metric
from mxtrain.optim.backends import array_module, select_backend
from mxtrain.optim.factory import build_optimizer
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.rules import Rule, Time
from mxtrain.optim.rules.scheduled import number_at, scheduled_paths
from mxtrain.optim.schedules.paths import display_path
from mxtrain.optim.schedules.plateau import Plateau
from mxtrain.training.callbacks import Row
from mxtrain.training.checkpoints.snapshot import FORMAT, Arrays, ModelState, Position, Rollback, Snapshot, to_host
from mxtrain.training.class_weights import class_weights
from mxtrain.training.early_stopping import BestEpoch
from mxtrain.training.initial_outputs import start_at_mean
from mxtrain.training.method_step import MethodOptimizer, MethodStep, check_full_batch
from mxtrain.training.model_factory import ModelFactory, custom_loss, make_model
from mxtrain.training.training_step import TrainingStep
from mxtrain.types import CLASS_LOSSES, Array, MetricName

EVALUATION_BATCH = 1024
"""Samples that are evaluated at once; it bounds memory, and changes results only by rounding."""


class Trainer:
    """A run in memory, without its folder.

    Everything is a pure function of the config and of a snapshot: a trainer that restores a snapshot continues, byte
    for byte, like the trainer that took it.

    Args:
        config: the resolved config.
        model: makes the model if the config has a custom one.
        data: the data of the config as `read_data` returns them; left out, they are read.

    Raises:
        DataError: the data cannot be read, or do not suit the loss.
        ModelError: `model` does not return a model.
        BackendError: the backend cannot run here.

    Attributes:
        step: performs the training steps, and holds the gradients and the sums of the current epoch.
        rows: the metrics of each finished epoch.
        best: the parameters of the best epoch if early stopping restores them; otherwise empty.
    """

    def __init__(
        self, config: RunConfig, model: ModelFactory | None = None, data: FingerprintedDataset | None = None
    ) -> None:
        self.config = config
        select_backend(config.backend)  # a backend that cannot run here is refused before the data are read
        self.xp = array_module("cupy" if config.backend == "cupy" else "numpy")
        self.dataset, self.data_fingerprint = data or read_data(config)
        self.model = make_model(config, model, self.dataset.n_features, self.dataset.n_outputs, self.xp)
        self.params = FlatParameters(self._initial_parameters())
        self.validation = self.dataset.validation.to(self.xp)
        method = config.optimizer if isinstance(config.optimizer, MethodConfig) else None
        # a line search compares sums over the samples, which round differently in another order
        data_config = config.data if method is None else config.data.model_copy(update={"shuffle": False})
        self.batches = Batches(self.dataset.training.to(self.xp), data_config, config.seed, self.xp)
        if method is not None:
            check_full_batch(method, len(self.batches), len(self.dataset.training), config.data.batch_size)
        self.rule = config.optimizer.for_run(config.fit.epochs, len(self.batches))
        if config.clip_norm is not None:
            self.rule = self.rule.model_copy(update={"clip_norm": config.clip_norm})
        self.optimizer = (
            build_optimizer(_without_checks(self.rule), backend=config.backend, on_nonfinite="ignore")
            if method is None
            else MethodOptimizer(method, select_backend(config.backend))
        )
        self.optimizer.state.batch_size = min(config.data.batch_size, len(self.dataset.training))
        self.rows: list[Row] = []
        self.best: Arrays = {}
        self._best_epoch = BestEpoch()
        self._rollback = (
            Rollback(config, self.optimizer, self.params, self.xp, self._initial_parameters)
            if config.fit.on_nonfinite == "rollback"
            else None
        )
        self.step = (TrainingStep if method is None else MethodStep)(
            config,
            self.model,
            self.params,
            self.optimizer,
            self.xp,
            metrics=self._metrics("training"),
            n_outputs=self.dataset.n_outputs,
            batches=len(self.batches),
            factory=model,
            class_weights=class_weights(config, self.dataset, self.xp),
            rule=self.rule,
            roll_back=None if self._rollback is None else self._rollback.apply,
        )

    @property
    def state(self) -> OptimizationState:
        """The counts of epochs, batches and iterations."""
        return self.optimizer.state

    @property
    def position(self) -> Position:
        """The current epoch, its finished batches, and the finished epochs."""
        return self.state.curr_epoch, self.state.curr_batch, self.epochs

    @property
    def epochs(self) -> int:
        """The number of finished epochs."""
        return len(self.rows)

    @property
    def has_stopped_early(self) -> bool:
        """True if early stopping has ended the run."""
        stopping = self.config.fit.early_stopping
        return stopping is not None and self._best_epoch.is_patience_exhausted(self.epochs, stopping)

    @property
    def is_finished(self) -> bool:
        """True if nothing is left to train."""
        return self.epochs >= self.config.fit.epochs or self.has_stopped_early

    def steps(self) -> Iterator[Any]:
        """Train on the remaining batches of the current epoch, or on those of the next; yield the loss of each.

        Raises:
            TrainingError, ModelError, ConfigError: as `TrainingStep.run`.
        """
        if self.state.curr_epoch == self.epochs:
            self.step.begin_epoch(self._metrics("training"))
        with np.errstate(all="ignore"):  # a run that diverges is reported by its loss, not by warnings
            for batch in self.batches.epoch(self.state.curr_epoch, start=self.state.curr_batch):
                loss = self.step.run(*batch)
                if self._rollback is not None and self._rollback.is_due("iteration", self.state.curr_iter):
                    self._save_rollback_point(self._rollback)
                yield loss

    def finish_epoch(self) -> Row:
        """Measure the epoch whose batches are finished, and append its row.

        Raises:
            TrainingError: a metric or a parameter is not finite.
        """
        with np.errstate(all="ignore"):
            measured = self.step.sums.means()
            measured |= {f"val_{name}": value for name, value in self.evaluate(self.validation).items()}
        for name, value in measured.items():
            if value is not None and not math.isfinite(value):
                raise self.step.divergence_error(f"{name} is {value}")
        self.check_parameters()
        row: Row = {
            "epoch": self.state.curr_epoch,
            "iteration": self.state.curr_iter,
            **measured,
            **self._current_rates(),
        }
        if self.config.fit.diagnostics:
            row["diagnostics"] = self.step.sums.diagnostics()
        self.rows.append(row)
        self._observe()
        stopping = self.config.fit.early_stopping
        if stopping and self._best_epoch.update(row, stopping) and stopping.restore_best:
            self.best = self.parameters()
        if self._rollback is not None and self._rollback.is_due_after_epoch(self.rows):
            self._save_rollback_point(self._rollback)
        return row

    def run_epoch(self) -> Row:
        """Train the rest of the current epoch, or the next epoch, and measure it."""
        for _ in self.steps():
            pass
        return self.finish_epoch()

    def evaluate(self, samples: Samples) -> dict[str, float | None]:
        """Return the loss and the metrics on samples that are not trained on; empty without samples."""
        if not len(samples):
            return {}
        params = self.optimizer.evaluation_params(self.params)
        if self.config.has_custom_loss:
            loss = custom_loss(self.config, self.model, params)
            return evaluate_metrics(self.model, params, samples, self._metrics("validation"), loss=loss)
        metrics = {"loss": build_metric("loss", self.config.loss_spec, xp=self.xp), **self._metrics("validation")}
        return evaluate_metrics(self.model, params, samples, metrics)

    def undefined_metrics(self) -> list[str]:
        """Describe the metrics that are null in every epoch, and the reason."""
        if "r2" not in self.config.measures():
            return []
        found = []
        for name, part in (("training", self.dataset.training), ("validation", self.dataset.validation)):
            targets = part.targets
            if len(targets) and bool((targets == targets[0]).all(axis=0).any()):
                which = "targets" if targets.ndim == 1 else "values of a target"
                why = (
                    f"all {len(targets)} {which} of the {name} part are equal"
                    if len(targets) > 1
                    else f"the {name} part is one sample"
                )
                metric = "r2" if name == "training" else "val_r2"
                found.append(f"{metric} has no value, and is null: {why}")
        return found

    def parameters(self) -> Arrays:
        """Return a copy of the parameters to evaluate, on the CPU."""
        return {name: to_host(value) for name, value in self.optimizer.evaluation_params(self.params).items()}

    def final_parameters(self) -> Arrays:
        """Return the parameters of the best epoch if early stopping restores them; otherwise the last."""
        return self.best or self.parameters()

    def check_parameters(self) -> None:
        """Refuse parameters and optimizer slots that are not finite, so that they are never saved.

        Raises:
            TrainingError: names the first one.
        """
        self.step.check_parameters()

    def snapshot(self) -> Snapshot:
        """Return the complete state of the run, which shares no memory with it."""
        state = ModelState.copy_from(self.optimizer, self.params)
        record = {
            "format": FORMAT,
            "config": self.config.to_dict(),
            "data": self.data_fingerprint,
            **state.record,
            "rows": list(self.rows),
            "sums": self.step.sums.to_record(),
            "patience": self._best_epoch.to_record(),
            "left_out_in_a_row": self.step.consecutive_skips,
        }
        point = None
        if self._rollback is not None and self._rollback.position != self.position:
            point = self._rollback.point
            record["rollback"] = point and point.record
        return Snapshot(record, state.parameters, state.slots, dict(self.best), point)

    def restore(self, snapshot: Snapshot) -> None:
        """Continue from a snapshot of a run with this config, byte for byte.

        Raises:
            StateError: the snapshot belongs to another model or rule.
        """
        record = snapshot.record
        snapshot.model_state.restore(self.optimizer, self.params, self.xp)
        self.step.restore(self._metrics("training"), record["sums"], record["left_out_in_a_row"])
        self.rows = [dict(row) for row in record["rows"]]
        self._observe()
        self._best_epoch = BestEpoch(**record["patience"])
        self.best = dict(snapshot.best)
        if self._rollback is not None:
            # A snapshot without a rollback point is a scheduled checkpoint.
            is_scheduled = "rollback" not in record
            self._rollback.point = snapshot.model_state if is_scheduled else snapshot.rollback
            self._rollback.position = self.position if is_scheduled else (0, 0, 0)

    def _observe(self) -> None:
        """Report the metrics so far to the schedules that follow them; these are functions of all of them."""
        for schedule in self.rule.all_schedules().values():
            if isinstance(schedule, Plateau):
                schedule.observe(self.rows)

    def _save_rollback_point(self, rollback: Rollback) -> None:
        self.check_parameters()
        if rollback.save(self.position):
            self.step.consecutive_skips = 0

    def _initial_parameters(self) -> dict[str, Array]:
        initial = self.model.init(self.config.seed, self.config.dtype)
        if isinstance(self.model, MLP):
            training = self.dataset.training
            start_at_mean(self.config.loss_spec, initial, training.targets, training.weights)
        return {name: self.xp.asarray(value) for name, value in initial.items()}

    def _current_rates(self) -> Row:
        """Return η and μ of the last update of the epoch, and under `scheduled` the other scheduled numbers."""
        if isinstance(self.rule, MethodConfig):
            return {}
        rule, iteration = self.rule, max(self.state.curr_iter, 1)
        time = Time(iteration, iteration, self.state.curr_epoch - 1)
        rule = rule.at(time)
        rates: Row = {"η": rule.learning_rate_at(time)}
        momentum = rule.momentum_at(iteration)
        if momentum is not None:
            rates["μ"] = momentum
        if paths := scheduled_paths(rule):
            rates["scheduled"] = {display_path(path): number_at(rule, path) for path in paths}
        return rates

    def _metrics(self, part: Literal["training", "validation"]) -> dict[str, Metric]:
        """Return the metrics of the config that are measured on a part, without samples."""
        names = self.config.measures(part)
        mean = self.dataset.training.targets.mean(axis=0)
        return build_metrics(names, self.config, self.dataset.preprocessing, mean, self.xp)


def build_metrics(
    names: Iterable[MetricName],
    config: RunConfig,
    preprocessing: Preprocessing,
    mean: Any,
    xp: ModuleType = np,
) -> dict[str, Metric]:
    """Return metrics by name, without samples.

    Args:
        names: the metrics.
        config: the resolved config.
        preprocessing: it has the unit of the target.
        mean: the mean target, as the loss takes it, around which R² is computed; for several targets, (k,).
        xp: the array module.
    """
    shift: Any = 0.0
    if config.equivalent_builtin_loss not in CLASS_LOSSES:
        shift = to_host(mean).astype(np.float64) if np.ndim(mean) else float(mean)
    unit, scale = preprocessing.target_unit, preprocessing.target_scale
    origin = 0.0 if scale is None else scale.mean
    return {name: build_metric(name, config.loss_spec, shift, xp, unit, origin) for name in names}


def evaluate_metrics(
    model: Model,
    params: Mapping[str, Array],
    samples: Samples,
    metrics: Mapping[str, Metric],
    on_outputs: Callable[[Array], object] | None = None,
    loss: CustomLoss | None = None,
) -> dict[str, float | None]:
    """Return the values of metrics on samples; None for a metric that is not defined for them.

    Args:
        model: the model.
        params: its parameters, by name.
        samples: at least one sample.
        metrics: metrics without samples, by name.
        on_outputs: called with the outputs of each batch, in the order of the samples.
        loss: the loss of a custom model; left out, `metrics` contains the loss.
    """
    total = 0.0
    divisor = 0.0
    for batch in in_order(samples, EVALUATION_BATCH):
        inputs, targets, weights = (*batch, None)[:3]
        outputs = model.predict(params, inputs)
        for metric in metrics.values():
            metric.add(outputs, targets, weights)
        if loss is not None:
            total += float(loss(inputs, outputs, targets, weights))
            divisor += len(targets) if weights is None else float(weights.sum(dtype=np.float64))
        if on_outputs is not None:
            on_outputs(outputs)
    values = {name: metric.value() for name, metric in metrics.items()}
    return values if loss is None else {"loss": total / divisor, **values}


def _without_checks(rule: Rule) -> Rule:
    """Return the rule of the optimizer, without what the training step does, which computes the norm in any case."""
    changed: dict[str, Any] = {"skip_nonfinite": False}
    if rule.accumulate == 1:
        changed["clip_norm"] = None
        changed["schedules"] = {path: each for path, each in rule.schedules.items() if path != "clip_norm"}
    return rule.model_copy(update=changed)
