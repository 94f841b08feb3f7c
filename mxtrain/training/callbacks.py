"""Callbacks that watch or end a run, and stop requests from signals."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

from mxtrain.config import RunConfig
from mxtrain.optim.optimization_state import OptimizationState

Row: TypeAlias = dict[str, Any]
"""One epoch's metrics, by name, as they stand in metrics.jsonl."""


class StopTraining(Exception):  # noqa: N818 - not an error: a callback's wish
    """Raised by a callback, it ends the run in good order: saved, with its model, and to be resumed at will."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known before the first step.

    Args:
        config: the resolved config.
        run_dir: the run's folder.
        batches: batches in an epoch.
        samples: samples in the training and in the validation part.
        parameters: numbers that are trained.
        history: the metrics of each epoch that is finished already, where a run is resumed.
        notes: what the user should know of the past, such as a damaged checkpoint that was skipped.
        target_moments: in a regression with a validation part, the mean and the standard deviation of its targets, as
            they are trained on; otherwise None.
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
        """How many epochs are finished already."""
        return len(self.history)


class Callback:
    """Watches a run: inherit, and write the methods that you need; each does nothing by itself.

    StopTraining, raised by `on_start`, `on_batch` or `on_epoch`, ends the run in good order. Any other exception ends
    it as a failure, and comes out of `fit`.

    Example:
        >>> class Enough(Callback):
        ...     def on_epoch(self, state, row):
        ...         if row["val_loss"] < 0.1:
        ...             raise StopTraining
    """

    def on_start(self, info: RunInfo) -> None:
        """Before the first step."""

    def on_batch(self, state: OptimizationState, loss: Any) -> None:
        """After every batch; `loss` is the batch's sum over its samples, on the array module of the run."""

    def on_epoch(self, state: OptimizationState, row: Row) -> None:
        """After every epoch, with its metrics; the epoch is saved by then, as far as `fit.checkpoint` wants it."""

    def on_end(self, seconds: float) -> None:
        """After the last epoch, with the time that training took."""

    def on_error(self, error: BaseException) -> None:
        """Instead of `on_end`, where the run failed or was interrupted."""


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
    """Refuse what could never be called.

    Raises:
        TypeError: one is a class, or has none of the methods of a Callback.
    """
    for i, callback in enumerate(callbacks):
        if isinstance(callback, type) or not any(hasattr(callback, event) for event in EVENTS):
            got = f"the class {callback.__qualname__}" if isinstance(callback, type) else repr(callback)
            raise TypeError(f"callbacks[{i}] must be an object with one of {', '.join(EVENTS)}, got {got}")


def notify(callbacks: Iterable[object], event: str, *details: Any) -> None:
    """Call a method of each callback, of those that have it: who does not inherit need not have them all.

    Each gets an epoch's row and state as its own. Where one wants to stop, the others still hear of what there is.
    """
    stop: StopTraining | None = None
    for callback in callbacks:
        method = getattr(callback, event, None)
        if method is not None:
            try:
                method(*(deepcopy(details) if event == "on_epoch" else details))
            except StopTraining as wish:
                stop = wish
    if stop is not None:
        raise stop


def notify_error(callbacks: Iterable[object], error: BaseException) -> None:
    """Call `on_error` of each callback; what goes wrong there is noted on the error, and hides nothing of it."""
    for callback in callbacks:
        method = getattr(callback, "on_error", None)
        if method is not None:
            try:
                method(error)
            except Exception as another:  # noqa: BLE001 - whatever it is, the first error is the one that counts
                error.add_note(f"and {type(callback).__name__}.on_error raised {another!r}")


SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class StopRequest:
    """Whether a run shall stop: the number of the signal that said so, 0 for none."""

    signal: int = 0


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a request, which `fit` obeys; a second one acts at once, as ever.

    Only the main thread may use it, as Python handles signals there.
    """
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        if request.signal:
            signal.signal(number, before[signal.Signals(number)] or signal.SIG_DFL)
            signal.raise_signal(number)
        else:
            request.signal = number

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number in SIGNALS:
            signal.signal(number, before[number] or signal.SIG_DFL)
