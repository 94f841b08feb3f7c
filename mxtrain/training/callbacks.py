"""How to watch a run: a small protocol, with nothing to inherit from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from mxtrain.config import RunConfig
from mxtrain.state import OptimizationState

Row: TypeAlias = dict[str, Any]
"""One epoch's metrics, by name, as they stand in metrics.jsonl."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known before the first step.

    Args:
        config: the resolved config.
        run_dir: the run's folder.
        batches: batches in an epoch.
        samples: samples in the training and in the validation part.
        parameters: numbers that are trained.
        epochs: epochs that are finished already, where a run is resumed.
        notes: what the user should know of the past, such as a damaged checkpoint that was passed over.
    """

    config: RunConfig
    run_dir: Path
    batches: int
    samples: tuple[int, int]
    parameters: int
    epochs: int = 0
    notes: tuple[str, ...] = ()


class Callback(Protocol):
    """Watches a run. An exception that a callback raises ends the run.

    Example:
        >>> class Printer:
        ...     def on_start(self, info): print(f"{info.parameters} parameters")
        ...     def on_batch(self, state, loss): pass
        ...     def on_epoch(self, state, row): print(row["epoch"], row["loss"])
        ...     def on_end(self, seconds): pass
    """

    def on_start(self, info: RunInfo) -> None:
        """Before the first step."""

    def on_batch(self, state: OptimizationState, loss: Any) -> None:
        """After every batch; `loss` is the batch's sum over its samples, on the array module of the run."""

    def on_epoch(self, state: OptimizationState, row: Row) -> None:
        """After every epoch, with its metrics."""

    def on_end(self, seconds: float) -> None:
        """After the last epoch, with the time that training took."""
