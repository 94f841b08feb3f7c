"""One training step: gradient, checks for NaN and infinity, clipping, metrics and update."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.config import RunConfig
from mxtrain.config.fit_section import OnNonfinite
from mxtrain.errors import TrainingError
from mxtrain.loss_config import STANDARDIZABLE_LOSSES, loss_kind
from mxtrain.nn import Metric, Model, check_returned, metric_sums, qualified_name, restore_metric
from mxtrain.optim.backends.matmul import single_threaded_blas
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.optimizer import Optimizer
from mxtrain.optim.rule_checks import coefficients_error
from mxtrain.optim.rules import Rule, Time
from mxtrain.training.gradient_norms import clip_to_norm, clipped_fraction, gradient_norm, update_ratios
from mxtrain.training.model_factory import ModelFactory, compare_losses, weights_argument
from mxtrain.training.slot_check import SlotCheck
from mxtrain.types import Array


@dataclass(slots=True)
class EpochSums:
    """Sums over the finished batches of an epoch. On a GPU they stay on the device until they are read.

    Attributes:
        metrics: the training metrics, by name.
        loss: the sum of the losses of all samples, in float64.
        samples: the number of samples.
        weight: the sum of the weights of all samples; None if they have no weights.
        gradient_norm_sum: the sum of the gradient norms.
        max_gradient_norm: the largest gradient norm.
        steps: the number of updates.
        skipped: the number of skipped batches.
        last_diagnostics: the diagnostics of the last step of the epoch, after that step.
    """

    metrics: dict[str, Metric]
    loss: Any = 0.0
    samples: int = 0
    weight: Any = None
    gradient_norm_sum: Any = 0.0
    max_gradient_norm: Any = 0.0
    steps: int = 0
    skipped: int = 0
    last_diagnostics: dict[str, Any] = field(default_factory=dict)

    def means(self) -> dict[str, float | None]:
        """Return the mean loss and the metrics; NaN if every batch was skipped."""
        divisor = self.samples if self.weight is None else float(self.weight)
        loss = float(self.loss) / divisor if divisor else math.nan
        return {"loss": loss, **{name: metric.value() for name, metric in self.metrics.items()}}

    def diagnostics(self) -> dict[str, Any]:
        """Return the diagnostics of the epoch's gradients and updates."""
        norm = float(self.gradient_norm_sum) / self.steps if self.steps else 0.0
        found = {"grad_norm": norm, "grad_norm_max": float(self.max_gradient_norm), **self.last_diagnostics}
        return found | ({"skipped": self.skipped} if self.skipped else {})

    def to_record(self) -> dict[str, Any]:
        """Return the sums as plain numbers, which JSON represents exactly."""
        return {
            "metrics": {name: metric_sums(metric) for name, metric in self.metrics.items()},
            "loss": float(self.loss),
            "samples": self.samples,
            "norms": float(self.gradient_norm_sum),
            "largest": float(self.max_gradient_norm),
            "steps": self.steps,
            "skipped": self.skipped,
            "last": self.last_diagnostics,
            **({} if self.weight is None else {"weight": float(self.weight)}),
        }

    def restore(self, record: Mapping[str, Any]) -> None:
        """Continue from the sums that `to_record` returned."""
        for name, metric in self.metrics.items():
            restore_metric(metric, record["metrics"][name])
        self.loss, self.samples, self.weight = record["loss"], record["samples"], record.get("weight")
        self.gradient_norm_sum, self.max_gradient_norm = record["norms"], record["largest"]
        self.steps, self.skipped, self.last_diagnostics = record["steps"], record["skipped"], record["last"]


class TrainingStep:
    """Performs the training steps of a run.

    Args:
        config: the resolved config.
        model: the model.
        params: the parameters; updated in place.
        optimizer: updates the parameters.
        xp: the array module, NumPy or CuPy.
        metrics: the training metrics, by name, without samples.
        n_outputs: the number of outputs of the model.
        batches: the number of batches in an epoch.
        factory: the function that made a custom model; None for a built-in model.
        class_weights: the weight of each class, (classes,); None without them.
        rule: the rule of the run; that of the optimizer lacks what the step does itself.
        roll_back: restores the last scheduled checkpoint, for `on_nonfinite: rollback`.

    Attributes:
        grads: the gradients of the last step.
        sums: sums over the finished batches of the current epoch.
        consecutive_skips: the number of batches skipped since the last update, or for `rollback` the last checkpoint.
        is_loss_compared: True if the loss of a custom model needs no comparison with that of evaluation.
    """

    def __init__(
        self,
        config: RunConfig,
        model: Model,
        params: FlatParameters,
        optimizer: Optimizer,
        xp: ModuleType,
        *,
        metrics: dict[str, Metric],
        n_outputs: int,
        batches: int,
        factory: ModelFactory | None,
        class_weights: Array | None,
        rule: Rule,
        roll_back: Callable[[], None] | None,
    ) -> None:
        self._config, self._model, self._params, self._optimizer, self._xp = config, model, params, optimizer, xp
        self._n_outputs, self._batches, self._roll_back = n_outputs, batches, roll_back
        self._rule, self._class_weights = rule, class_weights
        self._slot_check = SlotCheck(xp, config, rule)
        on_cpu = xp is np  # Python's functions of two numbers are faster there
        self._to_float64: Callable[[Any], Any] = float if on_cpu else lambda number: number.astype(xp.float64)
        self._maximum: Callable[[Any, Any], Any] = max if on_cpu else xp.maximum
        self._blas: AbstractContextManager[None] = single_threaded_blas if factory is None else nullcontext()
        self._unchecked_factory = factory  # until the first step
        self.is_loss_compared = factory is None
        self.grads = params.zeros_like()
        self.sums = EpochSums(metrics)
        self.consecutive_skips = 0

    def begin_epoch(self, metrics: dict[str, Metric]) -> None:
        """Begin an epoch with metrics without samples."""
        self._optimizer.state.begin_epoch()
        self.sums = EpochSums(metrics)

    def run(self, inputs: Array, targets: Array, weights: Array | None = None) -> Any:
        """Train on a batch, and return its loss.

        Args:
            inputs, targets: the batch.
            weights: the weight of each sample, (n,), by which its loss and gradient are multiplied; None without them.

        Raises:
            TrainingError: the loss, the gradient or a slot is not finite, and `fit.on_nonfinite` is `raise`, or too
                many consecutive batches were skipped.
            ModelError: the first step of a custom model does not return a loss and outputs.
            ConfigError: the model computes another loss than the config names.
        """
        with self._blas:  # norms too must not depend on the number of threads
            return self._run(inputs, targets, weights)

    def check_parameters(self) -> None:
        """Refuse parameters and optimizer slots that are not finite, so that they are never saved.

        Raises:
            TrainingError: names the first one.
        """
        name = first_nonfinite(self._xp, self._params)
        if name is not None:
            raise self.divergence_error(f"the parameter {name} has numbers that are not finite")
        slot = self._slot_check.scan(self._optimizer, self._params)
        if slot is not None:
            raise self.divergence_error(f"{slot} has numbers that are not finite")

    def restore(self, metrics: dict[str, Metric], sums: Mapping[str, Any], consecutive_skips: int) -> None:
        """Continue from the sums and the skips of a snapshot, after parameters and optimizer were restored.

        Args:
            metrics: the training metrics, by name, without samples.
            sums: what `EpochSums.to_record` returned.
            consecutive_skips: the number of batches skipped since the last update.
        """
        self.is_loss_compared |= not self._config.has_custom_loss  # earlier versions accepted any loss
        self._slot_check.restart()
        self.sums = EpochSums(metrics)
        self.sums.restore(sums)
        self.consecutive_skips = consecutive_skips

    def divergence_error(self, problem: str) -> TrainingError:
        """Return the error of a run that has diverged, with a remedy."""
        return _divergence_error(problem, self._config, self._optimizer.state)

    def _loss_and_grad(self, inputs: Array, targets: Array, weights: Array | None) -> tuple[Any, Array]:
        """Compute the loss, the outputs and the gradient of a batch; check those of a custom model."""
        total = self._total_weights(targets, weights)
        if total is None:
            returned = self._model.loss_and_grad(self._params, inputs, targets, self.grads)
        else:
            given = weights_argument(self._config, self._model.loss_and_grad, total)
            returned = self._model.loss_and_grad(self._params, inputs, targets, self.grads, **given)
        if self._unchecked_factory is not None:
            check_returned(returned, qualified_name(self._unchecked_factory), len(targets), self._n_outputs)
            self._unchecked_factory = None
        loss, outputs = returned
        if not self.is_loss_compared:
            predict = partial(self._model.predict, self._params, inputs)
            self.is_loss_compared = compare_losses(self._config, self._model, loss, outputs, predict, targets, total)
        return loss, outputs

    def _total_weights(self, targets: Array, weights: Array | None) -> Array | None:
        """Return the weight of each sample in the loss: its own, multiplied by that of its class."""
        if self._class_weights is None:
            return weights
        of_classes = self._class_weights[targets.astype(self._xp.int64)]
        return of_classes if weights is None else of_classes * weights

    def _run(self, inputs: Array, targets: Array, weights: Array | None) -> Any:
        loss, outputs = self._loss_and_grad(inputs, targets, weights)
        fit, rule, sums = self._config.fit, self._config.optimizer, self.sums
        scale = abs(rule.scale or 1.0)
        norm = gradient_norm(self._xp, self.grads) * scale
        if rule.skip_nonfinite and self._has_nonfinite_gradient(norm):
            self._optimizer.state.count_skipped()
            sums.skipped += 1
            return loss
        problem = describe_nonfinite(self._xp, fit.on_nonfinite, loss, norm, self.grads)
        if problem:
            self._skip_batch(problem)
            return loss
        is_checked = self._slot_check.is_needed(norm)
        if is_checked:
            outputs = outputs.copy()  # the update would change a view of parameters
        else:
            self._add_to_metrics(outputs, targets, weights)
        is_last = fit.diagnostics and self._optimizer.state.curr_batch + 1 == self._batches
        before = {name: value.copy() for name, value in self._params.items()} if is_last else {}
        limit = self._norm_limit()
        if limit is not None:
            clip_to_norm(self._xp, self.grads, norm, scale, limit)
        if not self._update(is_checked):
            return loss
        if is_checked:
            self._add_to_metrics(outputs, targets, weights)
        self._add_to_sums(loss, norm, targets, weights)
        if is_last:
            sums.last_diagnostics = {"update_ratio": update_ratios(self._xp, before, self._params)}
            if rule.clip > 0:
                sums.last_diagnostics["clipped"] = clipped_fraction(self._xp, self.grads, rule.scale, rule.clip)
        return loss

    def _add_to_sums(self, loss: Any, norm: Any, targets: Array, weights: Array | None) -> None:
        sums, total = self.sums, self._total_weights(targets, weights)
        sums.loss, sums.samples = sums.loss + self._to_float64(loss), sums.samples + len(targets)
        if total is not None:
            sums.weight = (sums.weight or 0.0) + total.sum(dtype=self._xp.float64)
        sums.gradient_norm_sum = sums.gradient_norm_sum + norm
        sums.max_gradient_norm = self._maximum(sums.max_gradient_norm, norm)
        sums.steps += 1

    def _has_nonfinite_gradient(self, norm: Any) -> bool:
        return not math.isfinite(float(norm)) and first_nonfinite(self._xp, self.grads) is not None

    def _norm_limit(self) -> float | None:
        """Return the bound of the gradient's norm; None without one, or if the optimizer clips means of gradients."""
        rule, state = self._rule, self._optimizer.state
        if rule.clip_norm is None or rule.accumulate > 1:
            return None
        iteration = state.curr_iter + 1
        return rule.at(Time(iteration, iteration, max(state.curr_epoch - 1, 0))).clip_norm

    def _add_to_metrics(self, outputs: Array, targets: Array, weights: Array | None) -> None:
        for metric in self.sums.metrics.values():
            metric.add(outputs, targets, weights)

    def _update(self, is_checked: bool) -> bool:
        """Update the parameters; return False if `is_checked` and the update was undone because of a slot."""
        check = self._slot_check
        saved = (self._optimizer.state_dict(), self._params.copy()) if is_checked else None
        try:
            self._optimizer.step(self._params, self.grads)
        except Exception as error:
            if (found := coefficients_error(self._optimizer.rule, error)) is None:
                raise
            raise found from error
        if saved is not None or check.is_due(self._optimizer.state.curr_iter):
            slot = check.scan(self._optimizer, self._params)
            if slot is not None and saved is not None:
                state, params = saved
                self._optimizer.load_state_dict(state)
                for dtype, buffer in self._params.buffers.items():
                    buffer[...] = params.buffers[dtype]
                self._skip_batch(f"{slot} would become infinite or NaN")
                return False
            if slot is not None:  # no rule can reach this from the slots of the last scan
                raise self.divergence_error(f"{slot} has numbers that are not finite")
        if self._roll_back is None:  # with it, a checkpoint ends the count
            self.consecutive_skips = 0
        return True

    def _skip_batch(self, problem: str) -> None:
        """Count a skipped batch without changing parameters, slots or schedules; for `rollback`, also roll back."""
        fit = self._config.fit
        if fit.on_nonfinite == "raise":
            self._optimizer.state.skip_batch()
            raise self.divergence_error(problem)
        self.consecutive_skips += 1
        if self.consecutive_skips > fit.nonfinite_limit:
            limit = fit.nonfinite_limit
            before = f"the previous {limit} batches were non-finite too"
            if self._roll_back is not None:
                before = f"{limit} batches since the last checkpoint were non-finite too"
            raise self.divergence_error(f"{problem}, and {before}")
        if self._roll_back is not None:
            self._roll_back()
            self._slot_check.restart()
        self._optimizer.state.skip_batch()
        self.sums.skipped += 1


def _divergence_error(problem: str, config: RunConfig, state: OptimizationState) -> TrainingError:
    remedy = "lower optimizer.η, or bound the gradients with fit.clip_norm or optimizer.clip"
    if (state.curr_epoch, state.curr_batch) == (1, 1):  # before any update, so the data are too large
        data = config.data.resolve()
        settings = ["data.standardize: features"] if data.standardize == "none" else []
        if loss_kind(config.loss) in STANDARDIZABLE_LOSSES and not data.standardize_target:
            settings.append("data.standardize_target: true")
        remedy = f"set {' and '.join(settings)}" if settings else remedy
    return TrainingError(
        f"{problem} in epoch {state.curr_epoch}, batch {state.curr_batch}: the run has diverged; {remedy}"
    )


def first_nonfinite(xp: ModuleType, arrays: Mapping[str, Array]) -> str | None:
    """Return the name of the first array that contains NaN or infinity; None if all are finite."""
    return next((name for name, array in arrays.items() if not xp.isfinite(array).all()), None)


def describe_nonfinite(xp: ModuleType, policy: OnNonfinite, loss: Any, norm: Any, grads: FlatParameters) -> str | None:
    """Describe the NaN or infinity in a loss or a gradient; return None if both are finite.

    On a GPU nothing is checked with the policy `raise`, because reading a number would wait for the device.

    Args:
        xp: the array module, NumPy or CuPy.
        policy: `fit.on_nonfinite`.
        loss: the loss of the batch.
        norm: the norm of its gradient over all parameters.
        grads: the gradient of each parameter.

    Example:
        >>> grads = FlatParameters({"W1": np.ones(2), "b1": np.array([math.nan])})
        >>> describe_nonfinite(np, "raise", 0.5, math.nan, grads)
        'the gradient of b1 has numbers that are not finite'
    """
    if xp is not np and policy == "raise":
        return None
    if not math.isfinite(loss):
        return f"loss is {float(loss)}"
    if math.isfinite(norm):
        return None
    name = first_nonfinite(xp, grads)
    return f"the gradient of {name} has numbers that are not finite" if name else "the gradient's norm is infinite"
