"""The metrics of a run that stands in a folder, read without touching it."""

from collections.abc import Sequence
from pathlib import Path

from mxtrain.atomic_io import read_file
from mxtrain.config import RunConfig
from mxtrain.training.callbacks import Row
from mxtrain.training.json_text import parse
from mxtrain.training.patience import Patience


def read_history(run_dir: Path) -> list[Row]:
    """The lines of metrics.jsonl that are whole and in order; a kill may have torn the last one."""
    rows: list[Row] = []
    try:
        lines = read_file(run_dir / "metrics.jsonl").splitlines()
    except OSError:
        return rows
    for line in lines:
        try:
            row = parse(line)
            if row["epoch"] != len(rows) + 1:
                return rows
        except (ValueError, LookupError, TypeError):
            return rows
        rows.append(row)
    return rows


def final_epoch(config: RunConfig, history: Sequence[Row]) -> int:
    """The epoch whose parameters a run ends with: the best, where early stopping restores it, or else the last.

        >>> from mxtrain.atomic_io import read_file
    from mxtrain.config import run_from_dict
        >>> config = run_from_dict({
        ...     "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "sgd"}, "fit": {"early_stopping": {"monitor": "loss", "patience": 2}}})
        >>> final_epoch(config, [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 1.0}, {"epoch": 3, "loss": 2.0}])
        2
    """
    stopping = config.fit.early_stopping
    if stopping is None or not stopping.restore_best:
        return len(history)
    return Patience.after(history, stopping).epoch or len(history)


def stopped_early(config: RunConfig, history: Sequence[Row]) -> bool:
    """Whether early stopping has ended a run before its last epoch."""
    stopping, epochs = config.fit.early_stopping, len(history)
    if stopping is None or epochs >= config.fit.epochs:
        return False
    return Patience.after(history, stopping).is_over(epochs, stopping)
