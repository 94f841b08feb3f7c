"""Watching a run: a bar where there is a terminal, and next to no cost."""

import io
import time
from pathlib import Path

from rich.console import Console

from mxtrain.cli import progress
from mxtrain.config import read_run
from mxtrain.state import OptimizationState
from mxtrain.training import RunInfo


def watched(screen: io.StringIO) -> tuple[progress.Bar, progress.Progress]:
    drawing = progress._progress(Console(file=screen, force_terminal=True, width=110, color_system=None))
    bar = progress.Bar(drawing)
    bar.on_start(RunInfo(read_run("run.yaml"), Path("runs/run-1"), 45, (1438, 359), 650))
    return bar, drawing


def test_the_bar_shows_epoch_batch_and_the_mean_loss_of_a_sample():
    screen = io.StringIO()
    bar, drawing = watched(screen)
    with drawing:
        bar.on_batch(OptimizationState(32, 1, 7, 7), 64.0)
    assert "epoch 1/2" in screen.getvalue()
    assert "batch  7/45" in screen.getvalue()
    assert "loss 2.0000" in screen.getvalue()


def test_the_last_batch_of_an_epoch_is_smaller():
    screen = io.StringIO()
    bar, drawing = watched(screen)
    with drawing:
        bar.on_batch(OptimizationState(32, 1, 45, 45), 60.0)
    assert "loss 2.0000" in screen.getvalue()  # 1438 = 44 * 32 + 30


def test_a_loss_is_read_only_when_it_is_drawn():
    class OnDevice:
        reads = 0

        def __float__(self) -> float:
            self.reads += 1
            return 1.0

    loss = OnDevice()
    bar, drawing = watched(io.StringIO())
    with drawing:
        for batch in range(1, 41):
            bar.on_batch(OptimizationState(32, 1, batch, batch), loss)
    assert loss.reads == 1


def test_a_batch_costs_less_than_a_microsecond():
    bar, drawing = watched(io.StringIO())
    state = OptimizationState(32, 1, 1, 1)
    with drawing:
        bar.on_batch(state, 1.0)
        bar.due = float("inf")  # drawing happens ten times a second, however many batches there are
        best = min(_seconds(bar, state, 10_000) for _ in range(5))
    assert best / 10_000 < 1e-6


def _seconds(bar: progress.Bar, state: OptimizationState, batches: int) -> float:
    begin = time.perf_counter()
    for _ in range(batches):
        bar.on_batch(state, 1.0)
    return time.perf_counter() - begin
