"""The work of a run: parameters, an optimizer, and one step after the other."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from mxtrain.backends import array_module
from mxtrain.config import RunConfig
from mxtrain.data import Batches, ReadData, Samples, read_data
from mxtrain.errors import StateError, TrainingError
from mxtrain.factory import build
from mxtrain.flat import FlatParameters
from mxtrain.models import Metric, ModelFactory, build_metric, check_returned, make_model
from mxtrain.optimizers import Time
from mxtrain.passes import one_thread
from mxtrain.state import OptimizationState
from mxtrain.training.callbacks import Row
from mxtrain.training.clipping import clip_to_norm
from mxtrain.training.diagnostics import (
    clipped_share,
    first_nonfinite,
    gradient_norm,
    update_ratios,
)
from mxtrain.training.epoch import EpochSums
from mxtrain.training.evaluation import measure
from mxtrain.training.nonfinite import nonfinite
from mxtrain.training.patience import Patience
from mxtrain.training.snapshot import FORMAT, Arrays, Snapshot
from mxtrain.types import Array


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

    def __init__(self, config: RunConfig, model: ModelFactory | None = None, data: ReadData | None = None) -> None:
        self.config = config
        self.xp = array_module("cupy" if config.backend == "cupy" else "numpy")
        on_cpu = self.xp is np  # there, Python's own functions of two numbers are quicker
        self._widen: Callable[[Any], Any] = float if on_cpu else lambda number: number.astype(self.xp.float64)
        self._larger: Callable[[Any, Any], Any] = max if on_cpu else self.xp.maximum
        self.dataset, self.data_fingerprint = data or read_data(config)
        self.model = make_model(config, model, self.dataset.n_features, self.dataset.n_outputs, self.xp)
        self._untried = model  # until its first step is done
        self._blas: AbstractContextManager[None] = one_thread if model is None else nullcontext()
        self.params = FlatParameters(self._initial())
        self.grads = self.params.zeros_like()
        self.validation = self.dataset.validation.to(self.xp)
        self.batches = Batches(self.dataset.training.to(self.xp), config.data, config.seed, self.xp)
        self.rule = config.optimizer.for_run(config.fit.epochs, len(self.batches))
        self.optimizer = build(self.rule, backend=config.backend)
        self.optimizer.state.batch_size = config.data.batch_size
        self.rows: list[Row] = []
        self.sums = EpochSums(self._metrics())
        self.patience = Patience()
        self.best: Arrays = {}
        self.left_out_in_a_row = 0
        self.last_good: Callable[[], Snapshot | None] = lambda: None
        """Where `on_nonfinite: rollback` goes back to; whoever keeps checkpoints sets it."""

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
                yield self._step(inputs, targets)

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
            if not math.isfinite(value):
                raise self._diverged(f"{name} is {value}")
        self.check_parameters()
        row: Row = {"epoch": self.state.curr_epoch, "iteration": self.state.curr_iter, **measured, **self._rates()}
        if self.config.fit.diagnostics:
            row["diagnostics"] = self.sums.diagnostics()
        self.rows.append(row)
        stopping = self.config.fit.early_stopping
        if stopping and self.patience.see(row, stopping) and stopping.restore_best:
            self.best = self.parameters()
        return row

    def evaluate(self, part: Samples) -> dict[str, float]:
        """The loss and the metrics on samples that are not trained on; empty for an empty part."""
        if not len(part):
            return {}
        metrics = {"loss": build_metric("loss", self.config.loss, xp=self.xp), **self._metrics()}
        return measure(self.model, self.params, part, metrics)

    def parameters(self) -> Arrays:
        """A copy of the parameters, on the host."""
        return {name: self._on_host(value) for name, value in self.params.items()}

    def final_parameters(self) -> Arrays:
        """What the run ends with: its last parameters, or its best where early stopping restores them."""
        return self.best or self.parameters()

    def check_parameters(self) -> None:
        """Refuse parameters that are no longer finite: they are never saved.

        Raises:
            TrainingError: names the first one.
        """
        name = first_nonfinite(self.xp, self.params)
        if name is not None:
            raise self._diverged(f"the parameter {name} has numbers that are not finite")

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
            "left_out_in_a_row": self.left_out_in_a_row,
        }
        slots = {name: {slot: self._on_host(array) for slot, array in kept[name]["slots"].items()} for name in kept}
        return Snapshot(record, self.parameters(), slots, dict(self.best))

    def restore(self, snapshot: Snapshot) -> None:
        """Take up a snapshot of a run with this config; everything after it follows to the byte.

        Raises:
            StateError: it is of another model or rule.
        """
        record = snapshot.record
        self._load(snapshot)
        self.rows = [dict(row) for row in record["rows"]]
        self.sums = EpochSums(self._metrics())
        self.sums.restore(record["sums"])
        self.patience = Patience(**record["patience"])
        self.best = dict(snapshot.best)
        self.left_out_in_a_row = record["left_out_in_a_row"]

    def _step(self, inputs: Array, targets: Array) -> Any:
        with self._blas:  # norms too are to be the same on any number of threads
            return self._done(inputs, targets)

    def _done(self, inputs: Array, targets: Array) -> Any:
        returned = self.model.loss_and_grad(self.params, inputs, targets, self.grads)
        if self._untried is not None:
            check_returned(returned, self._untried, len(targets), self.dataset.n_outputs)
            self._untried = None
        loss, outputs = returned
        fit, rule = self.config.fit, self.config.optimizer
        scale = abs(rule.scale or 1.0)
        norm = gradient_norm(self.xp, self.grads) * scale
        problem = nonfinite(self.xp, fit.on_nonfinite, loss, norm, self.grads)
        if problem:
            self._leave_out(problem)
            return loss
        self.left_out_in_a_row = 0
        for metric in self.sums.metrics.values():
            metric.add(outputs, targets)
        is_last = fit.diagnostics and self.state.curr_batch + 1 == len(self.batches)
        before = {name: value.copy() for name, value in self.params.items()} if is_last else {}
        if fit.clip_norm is not None:
            clip_to_norm(self.xp, self.grads, norm, scale, fit.clip_norm)
        self.optimizer.step(self.params, self.grads)
        sums = self.sums
        sums.loss, sums.samples = sums.loss + self._widen(loss), sums.samples + len(targets)
        sums.norms, sums.largest, sums.steps = sums.norms + norm, self._larger(sums.largest, norm), sums.steps + 1
        if is_last:
            sums.last = {"update_ratio": update_ratios(self.xp, before, self.params)}
            if rule.clip > 0:
                sums.last["clipped"] = clipped_share(self.xp, self.grads, rule.scale, rule.clip)
        return loss

    def _leave_out(self, problem: str) -> None:
        """Count a batch that is left out: no parameter, slot or schedule moves; a rollback also goes back."""
        fit = self.config.fit
        if fit.on_nonfinite == "raise":
            self.state.skip_batch()
            raise self._diverged(problem)
        self.left_out_in_a_row += 1
        if self.left_out_in_a_row > fit.nonfinite_limit:
            raise self._diverged(f"{problem}, and so it was in the {fit.nonfinite_limit} batches before")
        if fit.on_nonfinite == "rollback":
            self._roll_back()
        self.state.skip_batch()
        self.sums.skipped += 1

    def _roll_back(self) -> None:
        epoch, batch = self.state.curr_epoch, self.state.curr_batch
        snapshot = self.last_good()
        if snapshot is None:
            for name, value in self._initial().items():
                self.params[name][...] = value
            self.optimizer = build(self.rule, backend=self.config.backend)
            self.state.batch_size = self.config.data.batch_size
        else:
            self._load(snapshot)
        self.state.curr_epoch, self.state.curr_batch = epoch, batch  # the data go on: the same batches would fail again

    def _load(self, snapshot: Snapshot) -> None:
        record = snapshot.record
        if {name: tuple(array.shape) for name, array in snapshot.parameters.items()} != self.model.shapes():
            raise StateError("the checkpoint belongs to another model: its parameters have other names or shapes")
        kept = {
            name: {**counts, "slots": {slot: self.xp.asarray(array) for slot, array in snapshot.slots[name].items()}}
            for name, counts in record["optimizer"].items()
        }
        rule = self.config.optimizer.kind
        self.optimizer.load_state_dict({"rule": rule, "state": record["state"], "parameters": kept})
        for name, value in snapshot.parameters.items():
            self.params[name][...] = self.xp.asarray(value)

    def _initial(self) -> dict[str, Array]:
        initial = self.model.init(self.config.seed, self.config.dtype)
        return {name: self.xp.asarray(value) for name, value in initial.items()}

    def _rates(self) -> dict[str, float]:
        """η and μ, as the epoch's last update had them."""
        rule, iteration = self.rule, max(self.state.curr_iter, 1)
        rates = {"η": rule.learning_rate(Time(iteration, iteration, self.state.curr_epoch - 1))}
        momentum = rule.momentum(iteration)
        return rates if momentum is None else rates | {"μ": momentum}

    def _metrics(self) -> dict[str, Metric]:
        shift = 0.0 if self.dataset.class_names else float(self.dataset.training.targets.mean())
        names = [name for name in self.config.fit.metrics if name != "loss"]
        unit = self.dataset.preprocessing.target_unit
        return {name: build_metric(name, self.config.loss, shift, self.xp, unit) for name in names}

    def _diverged(self, problem: str) -> TrainingError:
        return TrainingError(
            f"{problem} in epoch {self.state.curr_epoch}, batch {self.state.curr_batch}: "
            "the run has diverged; lower optimizer.η, or bound the gradients with fit.clip_norm or optimizer.clip"
        )

    def _on_host(self, array: Array) -> np.ndarray[Any, Any]:
        return np.array(array.get() if self.xp is not np else array)
