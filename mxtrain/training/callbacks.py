"""How to watch a run, and how to end it early."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from mxtrain.config import RunConfig
from mxtrain.state import OptimizationState

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
        notes: what the user should know of the past, such as a damaged checkpoint that was passed over.
    """

    config: RunConfig
    run_dir: Path
    batches: int
    samples: tuple[int, int]
    parameters: int
    history: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """How many epochs are finished already."""
        return len(self.history)


class Callback:
    """Watches a run: inherit, and write the methods that you need; each does nothing by itself.

    StopTraining, raised by a method that is called while the run goes on, ends the run in good order. Any other
    exception ends it as a failure, and comes out of `fit`.

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


def tell(callbacks: Iterable[object], event: str, *details: Any) -> None:
    """Call a method of each callback, of those that have it: who does not inherit need not have them all."""
    for callback in callbacks:
        method = getattr(callback, event, None)
        if method is not None:
            method(*details)
