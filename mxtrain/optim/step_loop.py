"""A hand-written training loop with stop conditions, callbacks and history."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self

from mxtrain.errors import ConfigError, ConfigProblem, NonFiniteError, UsageError
from mxtrain.optim.inputs.foreign_arrays import weight_array
from mxtrain.optim.inputs.trees import flatten
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.stopping import Progress, Stop, StopConditions, StopTest, StopTraining
from mxtrain.types import describe

_USES_LOSS = ("target", "ftol", "patience")


class SteppingOptimizer(Protocol):
    """The part of `Optimizer` that a loop uses."""

    state: OptimizationState

    def step(self, params: Any, grads: Any) -> None:
        """Update every parameter."""

    def evaluation_params(self, params: Any) -> Any:
        """Return the weights to evaluate."""


class StepLoop:
    """Iterator over the iterations of a loop, which yields itself; made by `Optimizer.steps`.

    Each iteration must call it once, with the gradients and, where a condition needs it, the loss at `params`.

    Attributes:
        params: the parameters.
        progress: the counts and values that stop conditions see.
        history: with `history=True`, lists by name: `iteration`, `loss`, `gradient_norm` (with `gtol`), `seconds`.
        message: the reason why the loop ended; empty while it runs.
        success: True if a condition of convergence ended the loop; False for a limit or a callback, or while it runs.
    """

    def __init__(
        self,
        optimizer: SteppingOptimizer,
        params: Any,
        conditions: StopConditions,
        *,
        callbacks: Iterable[Any] = (),
        history: bool = False,
        steps_per_epoch: int | None = None,
    ) -> None:
        is_count = isinstance(steps_per_epoch, int) and not isinstance(steps_per_epoch, bool) and steps_per_epoch >= 1
        if steps_per_epoch is not None and not is_count:
            message = f"must be a whole number, at least 1, got {describe(steps_per_epoch)}"
            raise ConfigError([ConfigProblem("steps_per_epoch", message)])
        self._optimizer, self.params, self._test = optimizer, params, StopTest(conditions)
        self._needs_loss = history or _uses_loss(conditions)
        self._needs_norm = _uses(conditions, "gtol") or _uses(conditions, "when")
        self._uses_function = _uses(conditions, "when")
        self._needs_steps = conditions.tests_steps
        self._callbacks = [_callback(i, each) for i, each in enumerate(callbacks)]
        self._steps_per_epoch, self._is_pending, self._begin = steps_per_epoch, False, time.perf_counter()
        self.progress = Progress(point_norm=self._point_norm)
        self.history: dict[str, list[Any]] | None = None
        if history:
            norm = ("gradient_norm",) if self._needs_norm else ()
            self.history = {name: [] for name in ("iteration", "loss", *norm, "seconds")}
        self.message, self.success = "", False

    @property
    def iteration(self) -> int:
        """The number of the current iteration, 1 during the first; after the loop, that of finished updates."""
        return self.progress.iterations + (not self.message)

    @property
    def evaluation_params(self) -> Any:
        """The weights to evaluate; see `Optimizer.evaluation_params`."""
        return self._optimizer.evaluation_params(self.params)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Self:
        if self._is_pending:
            raise UsageError(f"iteration {self.iteration} ended without a call of step(grads)")
        if not self.message:
            self._set_seconds()
            self._end(self._test(self.progress) if self.progress.iterations else None)
        if self.message:
            raise StopIteration
        if self._steps_per_epoch is not None and self.progress.iterations % self._steps_per_epoch == 0:
            self._optimizer.state.begin_epoch()
        self._is_pending = True
        return self

    def __call__(self, grads: Any, *, loss: Any = None) -> None:
        """Test the stop conditions at the present parameters, and update them if none holds.

        Args:
            grads: as in `Optimizer.step`.
            loss: the value at `params`; it is read only if a condition, the history or a callback needs it.

        Raises:
            UsageError: the iteration has called it before, or a condition needs the loss and it is missing.
            NonFiniteError: the loss is NaN or infinite, and is read; nothing has changed.
            ArrayError, ScheduleError, ConfigError: as in `Optimizer.step`; state is unchanged.
        """
        if not self._is_pending:
            raise UsageError("step was called outside of an iteration of its loop, or twice in one iteration")
        progress = self.progress
        if self._needs_loss or (self._uses_function and loss is not None):
            value = self._read_loss(loss)
            progress.previous_value = progress.value if progress.iterations else None
            progress.set_value(value)
        if self._needs_norm:
            norms = (float(abs(leaf).max()) for leaf in flatten("grads", grads).leaves if leaf is not None)
            progress.gradient_norm = max(norms, default=0.0)
        stop = self._stop_before_update()
        if stop is None:
            self._update(grads)
        self._is_pending = False
        self._record(loss)
        self._end(stop)

    def _stop_before_update(self) -> Stop | None:
        """Return the condition that holds at the present parameters, which are then not updated."""
        progress = self.progress
        progress.evaluations += 1
        self._set_seconds()
        if not (self._needs_loss or self._needs_norm):
            return None
        found = self._test(progress)
        return found if found is not None and found.success else None

    def _update(self, grads: Any) -> None:
        before = [leaf.copy() for leaf in self._leaves()] if self._needs_steps else []
        self._optimizer.step(self.params, grads)
        self.progress.iterations += 1
        if self._needs_steps:
            changes = (leaf - old for leaf, old in zip(self._leaves(), before, strict=True))
            self.progress.step_norm = _norm(changes)

    def _record(self, loss: Any) -> None:
        progress = self.progress
        if self.history is not None:
            row = {"iteration": progress.iterations, "loss": progress.value, "gradient_norm": progress.gradient_norm}
            for name, column in self.history.items():
                column.append(progress.seconds if name == "seconds" else row[name])
        for callback in self._callbacks:
            try:
                callback(self, loss)
            except (StopIteration, StopTraining):
                self._end(Stop("a callback stopped the loop", success=False))

    def _end(self, stop: Stop | None) -> None:
        if stop is not None and not self.message:
            self.message, self.success = stop.message, stop.success

    def _set_seconds(self) -> None:
        self.progress.seconds = time.perf_counter() - self._begin

    def _read_loss(self, loss: Any) -> float:
        if loss is None:
            raise UsageError("a stop condition or the history needs the loss; call step(grads, loss=loss)")
        value = float(loss)
        if not math.isfinite(value):
            raise NonFiniteError(
                f"the loss is {value:g} in iteration {self.iteration}; lower η, or bound the gradients with clip_norm"
            )
        return value

    def _leaves(self) -> list[Any]:
        tree = flatten("params", self.params)
        return [
            weight_array(name, leaf) for name, leaf in zip(tree.names, tree.leaves, strict=True) if leaf is not None
        ]

    def _point_norm(self) -> float:
        return _norm(self._leaves())


def _uses(conditions: StopConditions, name: str) -> bool:
    return getattr(conditions, name) is not None or any(_uses(each, name) for each in conditions.all_of)


def _uses_loss(conditions: StopConditions) -> bool:
    return any(_uses(conditions, name) for name in _USES_LOSS)


def _norm(arrays: Iterable[Any]) -> float:
    return math.sqrt(sum(float((abs(each) ** 2).sum()) for each in arrays))


def _callback(number: int, callback: Any) -> Callable[[StepLoop, Any], object]:
    """Return a function of the loop and the loss for a function of the loop, or an object with `on_batch`."""
    on_batch = getattr(callback, "on_batch", None)
    if on_batch is not None and not isinstance(callback, type):
        return lambda loop, loss: on_batch(loop._optimizer.state, loss)
    if not callable(callback) or isinstance(callback, type):
        message = f"must be a function of the loop or an object with on_batch, got {describe(callback)}"
        raise ConfigError([ConfigProblem(f"callbacks.{number}", message)])
    return lambda loop, loss: callback(loop)
