"""Callbacks that observe or stop a run."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from mxtrain.config import RunConfig
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.stopping import StopTraining as StopTraining
from mxtrain.signals import StopRequest as StopRequest
from mxtrain.signals import graceful_stop as graceful_stop

Row: TypeAlias = dict[str, Any]
"""The metrics of one epoch, by name, as in metrics.jsonl."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Facts about a run before its first step.

    Args:
        config: the resolved config.
        run_dir: the run's folder.
        batches: the number of batches in an epoch.
        samples: the numbers of samples in the training and in the validation part.
        parameters: the number of trained numbers.
        history: the metrics of each finished epoch of a resumed run.
        notes: messages about the past of the run, such as a damaged checkpoint that was skipped.
        target_moments: for a regression with a validation part, the mean and the standard deviation of its targets, in
            the unit in which they are trained; otherwise None.
    """

    config: RunConfig
    run_dir: Path
    batches: int
    samples: tuple[int, int]
    parameters: int
    history: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    target_moments: tuple[float, float] | None = None

    @property
    def epochs(self) -> int:
        """The number of finished epochs."""
        return len(self.history)


class Callback:
    """Base class of callbacks, whose methods are called during a run; override those that you need.

    Raise `StopTraining` in `on_start`, `on_batch` or `on_epoch` to stop the run and save it. Any other exception ends
    the run as failed, and is raised by `fit`. Objects of other classes that have any of these methods work too.

    Example:
        >>> class Enough(Callback):
        ...     def on_epoch(self, state, row):
        ...         if row["val_loss"] < 0.1:
        ...             raise StopTraining
    """

    def on_start(self, info: RunInfo) -> None:
        """Called before the first step."""

    def on_batch(self, state: OptimizationState, loss: Any) -> None:
        """Called after each batch; `loss` is the sum over its samples, a scalar of the array module of the run."""

    def on_epoch(self, state: OptimizationState, row: Row) -> None:
        """Called after each epoch with its metrics, when checkpoints that `fit.checkpoint` schedules are written."""

    def on_end(self, seconds: float) -> None:
        """Called after the last epoch, with the duration of training in seconds."""

    def on_error(self, error: BaseException) -> None:
        """Called instead of `on_end` if the run failed or was interrupted."""


class Logger(Callback):
    """A callback on which training does not depend.

    An exception that one of its methods raises is reported once on stderr, and training continues. StopTraining ends
    the run as with any callback.

    Example:
        >>> class Printer(Logger):
        ...     def on_epoch(self, state, row):
        ...         print(row["loss"])
    """


EVENTS = ("on_start", "on_batch", "on_epoch", "on_end", "on_error")


def check_callbacks(callbacks: Iterable[object]) -> None:
    """Check that each object has a method of a callback.

    Raises:
        TypeError: an object is a class, or has none of the methods of a Callback.
    """
    for i, callback in enumerate(callbacks):
        if isinstance(callback, type) or not any(hasattr(callback, event) for event in EVENTS):
            got = f"the class {callback.__qualname__}" if isinstance(callback, type) else repr(callback)
            raise TypeError(f"callbacks[{i}] must be an object with one of {', '.join(EVENTS)}, got {got}")


def notify(callbacks: Iterable[object], event: str, *details: Any) -> None:
    """Call a method of each callback that has it; callbacks may implement any subset.

    Each callback gets its own copy of an epoch's row and state. If one raises StopTraining, the others are still
    called before it is raised.
    """
    stop: StopTraining | None = None
    for callback in callbacks:
        method = getattr(callback, event, None)
        if method is not None:
            try:
                method(*(deepcopy(details) if event == "on_epoch" else details))
            except StopTraining as request:
                stop = request
    if stop is not None:
        raise stop


def notify_error(callbacks: Iterable[object], error: BaseException) -> None:
    """Call `on_error` of each callback; errors that it raises are added as notes to the first error."""
    for callback in callbacks:
        method = getattr(callback, "on_error", None)
        if method is not None:
            try:
                method(error)
            except Exception as another:  # noqa: BLE001 - the first error is the one to raise
                error.add_note(f"and {type(callback).__name__}.on_error raised {another!r}")
