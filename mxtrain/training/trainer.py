"""The work of a run: parameters, an optimizer, and one epoch after the other."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mxtrain.backends import array_module
from mxtrain.config import RunConfig
from mxtrain.data import Batches, Part, in_order, prepare
from mxtrain.errors import TrainingError
from mxtrain.factory import build
from mxtrain.flat import FlatParameters
from mxtrain.models import Metric, build_metric, build_model
from mxtrain.optimizers import Time
from mxtrain.state import OptimizationState
from mxtrain.training.callbacks import Row

EVALUATION_BATCH = 1024
"""Samples that are evaluated at once; it bounds memory and changes no result beyond rounding."""

OnBatch = Callable[[OptimizationState, Any], None]


class Trainer:
    """The work of a run, without its folder: what stands in memory, and how an epoch changes it.

    Args:
        config: the resolved config.

    Raises:
        DataError: the data cannot be read, or do not suit the loss.
        BackendError: the backend cannot run here.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.optimizer = build(config.optimizer, backend=config.backend)
        self.optimizer.state.batch_size = config.data.batch_size
        self.xp = array_module("cupy" if config.backend == "cupy" else "numpy")
        self.dataset = prepare(config)
        self.model = build_model(config.model, config.loss, self.dataset.n_features, self.dataset.n_outputs, self.xp)
        initial = self.model.init(config.seed, config.dtype)
        self.params = FlatParameters({name: self.xp.asarray(value) for name, value in initial.items()})
        self.grads = self.params.zeros_like()
        self.validation = self.dataset.validation.to(self.xp)
        self.batches = Batches(self.dataset.training.to(self.xp), config.data, config.seed, self.xp)

    @property
    def state(self) -> OptimizationState:
        """Where the run stands."""
        return self.optimizer.state

    def run_epoch(self, on_batch: OnBatch) -> Row:
        """Train for one epoch.

        Returns:
            The epoch's metrics: those of training are gathered while the parameters change, those of validation are
            measured at its end.

        Raises:
            TrainingError: the loss is no longer a finite number.
        """
        self.state.begin_epoch()
        with np.errstate(all="ignore"):  # a run that diverges is told of by its loss, not by warnings
            measured = self._train(on_batch)
            measured |= {f"val_{name}": value for name, value in self.evaluate(self.validation).items()}
        for name, value in measured.items():
            self._check(name, value)
        row: Row = {"epoch": self.state.curr_epoch, "iteration": self.state.curr_iter, **measured}
        rule = self.config.optimizer
        now = Time(self.state.curr_iter, self.state.curr_iter, self.state.curr_epoch - 1)
        row["η"] = rule.learning_rate(now)
        momentum = rule.momentum(self.state.curr_iter)
        return row if momentum is None else row | {"μ": momentum}

    def evaluate(self, part: Part) -> dict[str, float]:
        """The loss and the metrics on samples that are not trained on; empty for an empty part."""
        if not len(part):
            return {}
        metrics = {"loss": build_metric("loss", self.config.loss, xp=self.xp), **self._metrics()}
        for inputs, targets in in_order(part, EVALUATION_BATCH):
            outputs = self.model.predict(self.params, inputs)
            for metric in metrics.values():
                metric.add(outputs, targets)
        return {name: metric.value() for name, metric in metrics.items()}

    def parameters(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of the parameters, on the host."""
        return {name: np.array(value.get() if self.xp is not np else value) for name, value in self.params.items()}

    def _train(self, on_batch: OnBatch) -> dict[str, float]:
        state, metrics = self.state, self._metrics()
        total: Any = 0.0
        samples = 0
        for inputs, targets in self.batches.epoch(state.curr_epoch):
            loss, outputs = self.model.loss_and_grad(self.params, inputs, targets, self.grads)
            if self.xp is np:  # to look at a number on a GPU is to wait for it: there, the epoch's end must do
                self._check("loss", loss)
            for metric in metrics.values():
                metric.add(outputs, targets)
            self.optimizer.step(self.params, self.grads)
            total, samples = total + loss.astype(self.xp.float64), samples + len(targets)
            on_batch(state, loss)
        return {"loss": float(total) / samples, **{name: metric.value() for name, metric in metrics.items()}}

    def _check(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"{name} is {value} in epoch {self.state.curr_epoch}, batch {self.state.curr_batch}: "
                "the run has diverged; lower optimizer.η, or bound the gradients with optimizer.clip"
            )

    def _metrics(self) -> dict[str, Metric]:
        shift = 0.0 if self.dataset.class_names else float(self.dataset.training.targets.mean())
        names = [name for name in self.config.fit.metrics if name != "loss"]
        return {name: build_metric(name, self.config.loss, shift, self.xp) for name in names}
