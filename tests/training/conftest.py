"""Helpers of the training tests: interruption of runs, and comparison of their files."""

from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.training import StopRequest


class StopAfter(mxtrain.Callback):
    """Request a stop after `batches` batches, as Ctrl-C or SIGTERM does."""

    def __init__(self, batches: int) -> None:
        self.left, self.request = batches, StopRequest()

    def on_batch(self, state: Any, loss: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.request.signal = 15


def fit_interrupted(config: Any, run_dir: Path, batches: int, **arguments: Any) -> Path:
    """Train, stop after `batches` batches, and return the folder; keyword arguments are those of `mxtrain.fit`."""
    stop = StopAfter(batches)
    with pytest.raises(mxtrain.RunInterrupted):
        mxtrain.fit(config, run_dir=run_dir, callbacks=[stop], stop=stop.request, **arguments)
    return run_dir


def results(run_dir: Path) -> dict[str, bytes]:
    """Return the files that must not depend on interruptions: config, parameters, metrics, the last checkpoint."""
    last = max(path for path in (run_dir / "checkpoints").iterdir() if not path.name.startswith("."))
    names = ("config.yaml", "model.safetensors", "metrics.jsonl", "preprocessing.json")
    files = [*(run_dir / name for name in names), *sorted(last.iterdir())]
    return {file.relative_to(run_dir).as_posix(): file.read_bytes() for file in files}
