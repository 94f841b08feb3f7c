"""Model, optimizer and data of a run in memory, and the evaluation of a model on held-out samples."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from mxtrain.config import RunConfig
from mxtrain.data import Batches, FingerprintedDataset, Samples, in_order, read_data
from mxtrain.errors import StateError, TrainingError
from mxtrain.nn import (
    Metric,
    Model,
    ModelFactory,
    build_metric,
    check_returned,
    compare_losses,
    custom_loss,
    make_model,
)
from mxtrain.nn.custom_models import CustomLoss
from mxtrain.nn.matmul import single_threaded_blas
from mxtrain.optim.backends import array_module, select_backend
from mxtrain.optim.factory import build_optimizer
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.rules import Time
from mxtrain.training.callbacks import Row
from mxtrain.training.checkpoints.snapshot import FORMAT, Arrays, RollbackPoint, Snapshot
from mxtrain.training.early_stopping import Patience, is_better
from mxtrain.training.training_step import (
    EpochSums,
    SlotCheck,
    clip_to_norm,
    clipped_share,
    first_nonfinite,
    gradient_norm,
    nonfinite,
    update_ratios,
)
from mxtrain.types import Array

EVALUATION_BATCH = 1024
"""Samples that are evaluated at once; it bounds memory and changes no result beyond rounding."""


def evaluate_metrics(
    model: Model,
    params: Mapping[str, Array],
    part: Samples,
    metrics: Mapping[str, Metric],
    on_outputs: Callable[[Array], object] | None = None,
    loss: CustomLoss | None = None,
) -> dict[str, float | None]:
    """The metrics' values on the samples of a part, of which there is at least one; None for one without a value.

    Args:
        model: makes outputs of inputs.
        params: its parameters, by name.
        part: the samples.
        metrics: new ones, by name.
        see: called with the outputs of each batch, in the order of the samples.
        loss: the loss of a custom model; left out, `metrics` contains the loss.
    """
    total = 0.0
    for inputs, targets in in_order(part, EVALUATION_BATCH):
        outputs = model.predict(params, inputs)
        for metric in metrics.values():
            metric.add(outputs, targets)
        if loss is not None:
            total += float(loss(inputs, outputs, targets))
        if on_outputs is not None:
            on_outputs(outputs)
    values = {name: metric.value() for name, metric in metrics.items()}
    return values if loss is None else {"loss": total / len(part), **values}


class Trainer:
    """The work of a run, without its folder: what stands in memory, and how a step changes it.

    Everything that follows is a pure function of the config and of a snapshot: a trainer that takes up a snapshot
    continues to the byte as the one that made it.

    Args:
        config: the resolved config.
        model: makes the model, where the config says that it is a custom one.
        data: what `read_data` made of the config's data, where that is known already.

    Raises:
        DataError: the data cannot be read, or do not suit the loss.
        ModelError: what `model` makes is no model.
        BackendError: the backend cannot run here.
    """

    def __init__(
        self, config: RunConfig, model: ModelFactory | None = None, data: FingerprintedDataset | None = None
    ) -> None:
        self.config = config
        select_backend(config.backend)  # one that cannot run here is refused before the data are read
        self.xp = array_module("cupy" if config.backend == "cupy" else "numpy")
        on_cpu = self.xp is np  # there, Python's own functions of two numbers are quicker
        self._to_float64: Callable[[Any], Any] = float if on_cpu else lambda number: number.astype(self.xp.float64)
        self._maximum: Callable[[Any, Any], Any] = max if on_cpu else self.xp.maximum
        self.dataset, self.data_fingerprint = data or read_data(config)
        self.batch_size = min(config.data.batch_size, len(self.dataset.training))
        self.model = make_model(config, model, self.dataset.n_features, self.dataset.n_outputs, self.xp)
        self._unchecked_factory = model  # until its first step is done
        self._is_loss_compared = model is None
        self._blas: AbstractContextManager[None] = single_threaded_blas if model is None else nullcontext()
        self.params = FlatParameters(self._initial_parameters())
        self.grads = self.params.zeros_like()
        self.validation = self.dataset.validation.to(self.xp)
        self.batches = Batches(self.dataset.training.to(self.xp), config.data, config.seed, self.xp)
        self.rule = config.optimizer.for_run(config.fit.epochs, len(self.batches))
        self.optimizer = build_optimizer(self.rule, backend=config.backend, on_nonfinite="ignore")
        self.optimizer.state.batch_size = self.batch_size
        self.rows: list[Row] = []
        self.sums = EpochSums(self._metrics())
        self.patience = Patience()
        self.best: Arrays = {}
        self.consecutive_skips = 0
        self._slot_check = SlotCheck(self.xp, config)
        self._rollback_point: RollbackPoint | None = None
        """State at the last scheduled checkpoint, for `on_nonfinite: rollback`; None is the start of the run."""
        self._rollback_position = (0, 0, 0)

    @property
    def state(self) -> OptimizationState:
        """Where the run stands."""
        return self.optimizer.state

    @property
    def position(self) -> tuple[int, int, int]:
        """The epoch under way, its batches that are done, and the epochs that are finished."""
        return self.state.curr_epoch, self.state.curr_batch, self.epochs

    @property
    def epochs(self) -> int:
        """How many epochs are finished."""
        return len(self.rows)

    @property
    def has_stopped_early(self) -> bool:
        """Whether early stopping has ended the run."""
        stopping = self.config.fit.early_stopping
        return stopping is not None and self.patience.is_over(self.epochs, stopping)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to train."""
        return self.epochs >= self.config.fit.epochs or self.has_stopped_early

    def steps(self) -> Iterator[Any]:
        """Do what is left of the epoch under way, or the whole of the next one; yields each batch's loss.

        Raises:
            TrainingError: something is no longer finite, and `fit.on_nonfinite` says to end the run.
            ModelError: what the first step of a model of the user's own returns is no loss with outputs.
        """
        if self.state.curr_epoch == self.epochs:
            self.state.begin_epoch()
            self.sums = EpochSums(self._metrics())
        with np.errstate(all="ignore"):  # a run that diverges is told of by its loss, not by warnings
            for inputs, targets in self.batches.epoch(self.state.curr_epoch, start=self.state.curr_batch):
                loss = self._step(inputs, targets)
                self._note_rollback_point("iteration", self.state.curr_iter)
                yield loss

    def run_epoch(self) -> Row:
        """Do what is left of the epoch under way, or the whole of the next one, and measure it."""
        for _ in self.steps():
            pass
        return self.finish_epoch()

    def finish_epoch(self) -> Row:
        """Measure the epoch whose steps are done, and take note of it.

        Raises:
            TrainingError: a metric or a parameter is no longer finite.
        """
        with np.errstate(all="ignore"):
            measured = self.sums.means()
            measured |= {f"val_{name}": value for name, value in self.evaluate(self.validation).items()}
        for name, value in measured.items():
            if value is not None and not math.isfinite(value):
                raise self._divergence_error(f"{name} is {value}")
        self.check_parameters()
        row: Row = {
            "epoch": self.state.curr_epoch,
            "iteration": self.state.curr_iter,
            **measured,
            **self._current_rates(),
        }
        if self.config.fit.diagnostics:
            row["diagnostics"] = self.sums.diagnostics()
        self.rows.append(row)
        stopping = self.config.fit.early_stopping
        if stopping and self.patience.see(row, stopping) and stopping.restore_best:
            self.best = self.parameters()
        self._note_rollback_point("epoch", self.epochs)
        return row

    def evaluate(self, part: Samples) -> dict[str, float | None]:
        """The loss and the metrics on samples that are not trained on; empty for an empty part."""
        if not len(part):
            return {}
        if self.config.has_custom_loss:
            loss = custom_loss(self.config, self.model, self.params)
            return evaluate_metrics(self.model, self.params, part, self._metrics(), loss=loss)
        metrics = {"loss": build_metric("loss", self.config.decoding, xp=self.xp), **self._metrics()}
        return evaluate_metrics(self.model, self.params, part, metrics)

    def undefined_metrics(self) -> list[str]:
        """Describe the metrics that are null throughout the run, and why."""
        if "r2" not in self.config.fit.metrics:
            return []
        found = []
        for name, part in (("training", self.dataset.training), ("validation", self.dataset.validation)):
            targets = part.targets
            if len(targets) and bool((targets == targets[0]).all()):
                why = (
                    f"all {len(targets)} targets of the {name} part are equal"
                    if len(targets) > 1
                    else f"the {name} part is one sample"
                )
                metric = "r2" if name == "training" else "val_r2"
                found.append(f"{metric} has no value, and is null: {why}")
        return found

    def parameters(self) -> Arrays:
        """A copy of the parameters, on the host."""
        return {name: self._on_host(value) for name, value in self.params.items()}

    def final_parameters(self) -> Arrays:
        """What the run ends with: its last parameters, or its best where early stopping restores them."""
        return self.best or self.parameters()

    def check_parameters(self) -> None:
        """Refuse parameters and optimizer slots that are no longer finite, so that they are never saved.

        Raises:
            TrainingError: names the first one.
        """
        name = first_nonfinite(self.xp, self.params)
        if name is not None:
            raise self._divergence_error(f"the parameter {name} has numbers that are not finite")
        slot = self._slot_check.scan(self.optimizer, self.params)
        if slot is not None:
            raise self._divergence_error(f"{slot} has numbers that are not finite")

    def snapshot(self) -> Snapshot:
        """The whole state of the run at this moment; it shares no memory with it."""
        saved = self.optimizer.state_dict()
        kept = saved["parameters"]
        record = {
            "format": FORMAT,
            "config": self.config.to_dict(),
            "data": self.data_fingerprint,
            "state": saved["state"],
            "optimizer": {name: {"updates": it["updates"], "scalars": it["scalars"]} for name, it in kept.items()},
            "rows": list(self.rows),
            "sums": self.sums.to_record(),
            "patience": self.patience.to_record(),
            "left_out_in_a_row": self.consecutive_skips,
        }
        slots = {name: {slot: self._on_host(array) for slot, array in kept[name]["slots"].items()} for name in kept}
        point = None
        if self._rolls_back and self._rollback_position != self.position:
            point = self._rollback_point
            record["rollback"] = point and point.record
        return Snapshot(record, self.parameters(), slots, dict(self.best), point)

    def restore(self, snapshot: Snapshot) -> None:
        """Take up a snapshot of a run with this config; everything after it follows to the byte.

        Raises:
            StateError: it is of another model or rule.
        """
        record = snapshot.record
        self._is_loss_compared |= not self.config.has_custom_loss  # earlier versions trained with any
        self._load(RollbackPoint.of(snapshot))
        self._slot_check.restart()
        self.rows = [dict(row) for row in record["rows"]]
        self.sums = EpochSums(self._metrics())
        self.sums.restore(record["sums"])
        self.patience = Patience(**record["patience"])
        self.best = dict(snapshot.best)
        self.consecutive_skips = record["left_out_in_a_row"]
        if self._rolls_back:
            # a snapshot without a rollback point is a scheduled one
            self._rollback_point = snapshot.rollback if "rollback" in record else RollbackPoint.of(snapshot)
            self._rollback_position = (0, 0, 0) if "rollback" in record else self.position

    def _step(self, inputs: Array, targets: Array) -> Any:
        with self._blas:  # norms too are to be the same on any number of threads
            return self._compute_step(inputs, targets)

    def _compute_step(self, inputs: Array, targets: Array) -> Any:
        returned = self.model.loss_and_grad(self.params, inputs, targets, self.grads)
        if self._unchecked_factory is not None:
            check_returned(returned, self._unchecked_factory, len(targets), self.dataset.n_outputs)
            self._unchecked_factory = None
        loss, outputs = returned
        if not self._is_loss_compared:
            predicted = partial(self.model.predict, self.params, inputs)
            self._is_loss_compared = compare_losses(self.config, self.model, loss, outputs, predicted, targets)
        fit, rule = self.config.fit, self.config.optimizer
        scale = abs(rule.scale or 1.0)
        norm = gradient_norm(self.xp, self.grads) * scale
        problem = nonfinite(self.xp, fit.on_nonfinite, loss, norm, self.grads)
        if problem:
            self._skip_batch(problem)
            return loss
        is_checked = self._slot_check.is_needed(norm)
        if is_checked:
            outputs = outputs.copy()  # a view of parameters would be changed by the update
        else:
            self._add_to_metrics(outputs, targets)
        is_last = fit.diagnostics and self.state.curr_batch + 1 == len(self.batches)
        before = {name: value.copy() for name, value in self.params.items()} if is_last else {}
        if fit.clip_norm is not None:
            clip_to_norm(self.xp, self.grads, norm, scale, fit.clip_norm)
        if not self._update(is_checked):
            return loss
        if is_checked:
            self._add_to_metrics(outputs, targets)
        sums = self.sums
        sums.loss, sums.samples = sums.loss + self._to_float64(loss), sums.samples + len(targets)
        sums.norms, sums.largest, sums.steps = sums.norms + norm, self._maximum(sums.largest, norm), sums.steps + 1
        if is_last:
            sums.last = {"update_ratio": update_ratios(self.xp, before, self.params)}
            if rule.clip > 0:
                sums.last["clipped"] = clipped_share(self.xp, self.grads, rule.scale, rule.clip)
        return loss

    def _add_to_metrics(self, outputs: Array, targets: Array) -> None:
        for metric in self.sums.metrics.values():
            metric.add(outputs, targets)

    def _update(self, is_checked: bool) -> bool:
        """Update the parameters; with a check, undo it and return False where a slot has become non-finite."""
        check = self._slot_check
        saved = (self.optimizer.state_dict(), self.params.copy()) if is_checked else None
        self.optimizer.step(self.params, self.grads)
        if saved is not None or check.is_due(self.state.curr_iter):
            slot = check.scan(self.optimizer, self.params)
            if slot is not None and saved is not None:
                state, params = saved
                self.optimizer.load_state_dict(state)
                for dtype, buffer in self.params.buffers.items():
                    buffer[...] = params.buffers[dtype]
                self._skip_batch(f"{slot} would become infinite or NaN")
                return False
            if slot is not None:  # no rule can get here from where the last scan found the slots
                raise self._divergence_error(f"{slot} has numbers that are not finite")
        self.consecutive_skips = 0
        return True

    def _skip_batch(self, problem: str) -> None:
        """Count a batch that is left out: no parameter, slot or schedule moves; a rollback also goes back."""
        fit = self.config.fit
        if fit.on_nonfinite == "raise":
            self.state.skip_batch()
            raise self._divergence_error(problem)
        self.consecutive_skips += 1
        if self.consecutive_skips > fit.nonfinite_limit:
            raise self._divergence_error(f"{problem}, and so it was in the {fit.nonfinite_limit} batches before")
        if fit.on_nonfinite == "rollback":
            self._roll_back()
        self.state.skip_batch()
        self.sums.skipped += 1

    @property
    def _rolls_back(self) -> bool:
        return self.config.fit.on_nonfinite == "rollback"

    def _note_rollback_point(self, unit: str, count: int) -> None:
        """Keep the state for a rollback at each moment for which the config schedules a checkpoint.

        Checkpoints written for other reasons, such as a signal, do not count, because their moments depend on time.
        """
        if not self._rolls_back:
            return
        checkpoint, interval = self.config.fit.checkpoint, self.config.fit.checkpoint_interval
        is_scheduled = interval is not None and interval.unit == unit and count % interval.count == 0
        if is_scheduled or (unit == "epoch" and self._is_best_epoch(checkpoint.best)):
            self.check_parameters()
            self._rollback_point, self._rollback_position = RollbackPoint.of(self.snapshot()), self.position

    def _is_best_epoch(self, metric: str | None) -> bool:
        """Return whether the epoch just finished is the best so far."""
        if metric is None or self.rows[-1][metric] is None:
            return False
        before = (row[metric] for row in self.rows[:-1] if row[metric] is not None)
        return all(is_better(metric, self.rows[-1][metric], than=value) for value in before)

    def _roll_back(self) -> None:
        epoch, batch = self.state.curr_epoch, self.state.curr_batch
        if self._rollback_point is None:
            for name, value in self._initial_parameters().items():
                self.params[name][...] = value
            self.optimizer = build_optimizer(self.rule, backend=self.config.backend, on_nonfinite="ignore")
            self.state.batch_size = self.batch_size
        else:
            self._load(self._rollback_point)
        self._slot_check.restart()
        self.state.curr_epoch, self.state.curr_batch = epoch, batch  # the data go on: the same batches would fail again

    def _load(self, point: RollbackPoint) -> None:
        record = point.record
        if {name: tuple(array.shape) for name, array in point.parameters.items()} != self.model.shapes():
            raise StateError("the checkpoint belongs to another model: its parameters have other names or shapes")
        kept = {
            name: {**counts, "slots": {slot: self.xp.asarray(array) for slot, array in point.slots[name].items()}}
            for name, counts in record["optimizer"].items()
        }
        rule = self.config.optimizer.kind
        self.optimizer.load_state_dict({"rule": rule, "state": record["state"], "parameters": kept})
        for name, value in point.parameters.items():
            self.params[name][...] = self.xp.asarray(value)

    def _initial_parameters(self) -> dict[str, Array]:
        initial = self.model.init(self.config.seed, self.config.dtype)
        return {name: self.xp.asarray(value) for name, value in initial.items()}

    def _current_rates(self) -> dict[str, float]:
        """η and μ, as the epoch's last update had them."""
        rule, iteration = self.rule, max(self.state.curr_iter, 1)
        rates = {"η": rule.learning_rate(Time(iteration, iteration, self.state.curr_epoch - 1))}
        momentum = rule.momentum(iteration)
        return rates if momentum is None else rates | {"μ": momentum}

    def _metrics(self) -> dict[str, Metric]:
        shift = 0.0 if self.dataset.class_names else float(self.dataset.training.targets.mean())
        names = [name for name in self.config.fit.metrics if name != "loss"]
        unit = self.dataset.preprocessing.target_unit
        return {name: build_metric(name, self.config.decoding, shift, self.xp, unit) for name in names}

    def _divergence_error(self, problem: str) -> TrainingError:
        data, remedy = (
            self.config.data.resolve(),
            "lower optimizer.η, or bound the gradients with fit.clip_norm or optimizer.clip",
        )
        if (self.state.curr_epoch, self.state.curr_batch) == (1, 1):  # before any update, the data are too large
            settings = ["data.standardize: features"] if data.standardize == "none" else []
            if self.config.loss == "squared_error" and not data.standardize_target:
                settings.append("data.standardize_target: true")
            remedy = f"set {' and '.join(settings)}" if settings else remedy
        return TrainingError(
            f"{problem} in epoch {self.state.curr_epoch}, batch {self.state.curr_batch}: the run has diverged; {remedy}"
        )

    def _on_host(self, array: Array) -> np.ndarray[Any, Any]:
        return np.array(array.get() if self.xp is not np else array)
