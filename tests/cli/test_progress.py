"""Progress output on a terminal: contents of the bar and the lines, widths, and cost."""

import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live

from mxtrain.cli import run_output, sweep_output
from mxtrain.config import Objective, read_run
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.sweeps import SweepResult
from mxtrain.training import RunInfo


def terminal(screen: io.StringIO, width: int) -> Console:
    return Console(file=screen, force_terminal=True, width=width, color_system=None)


def started_bar(screen: io.StringIO, width: int = 110) -> tuple[run_output.Bar, run_output.Progress]:
    drawing = run_output._progress(terminal(screen, width))
    bar = run_output.Bar(drawing)
    bar.on_start(RunInfo(read_run("run.yaml"), Path("runs/run-1"), 45, (1438, 359), 650))
    return bar, drawing


def test_the_bar_shows_epoch_batch_and_mean_loss():
    screen = io.StringIO()
    bar, drawing = started_bar(screen)
    with drawing:
        bar.on_batch(OptimizationState(32, 1, 7, 7), 64.0)
    assert "epoch 1/2" in screen.getvalue()
    assert "batch  7/45" in screen.getvalue()
    assert "loss 2.0000" in screen.getvalue()


def test_the_mean_loss_uses_the_size_of_a_smaller_last_batch():
    screen = io.StringIO()
    bar, drawing = started_bar(screen)
    with drawing:
        bar.on_batch(OptimizationState(32, 1, 45, 45), 60.0)
    assert "loss 2.0000" in screen.getvalue()  # 1438 = 44 * 32 + 30


def test_the_loss_is_read_only_when_the_bar_is_drawn():
    class OnDevice:
        reads = 0

        def __float__(self) -> float:
            self.reads += 1
            return 1.0

    loss = OnDevice()
    bar, drawing = started_bar(io.StringIO())
    with drawing:
        for batch in range(1, 41):
            bar.on_batch(OptimizationState(32, 1, batch, batch), loss)
    assert loss.reads == 1


def lines(screen: io.StringIO) -> list[str]:
    """Return the output without control sequences."""
    return re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", screen.getvalue()).replace("\r", "\n").splitlines()


@pytest.mark.parametrize("width", [30, 40, 60, 80, 110])
def test_the_bar_leaves_room_for_the_echo_of_ctrl_c(width):
    screen = io.StringIO()
    bar, drawing = started_bar(screen, width)
    with drawing:
        bar.on_epoch(OptimizationState(32, 1, 45, 45), {"val_accuracy": 0.5})
        bar.on_batch(OptimizationState(32, 2, 7, 52), 64.0)
    assert 25 < max(map(len, lines(screen))) <= width - len("^C")


@pytest.mark.parametrize(("width", "expected"), [(40, []), (60, ["val_accuracy"]), (80, ["val_accuracy", "batch"])])
def test_a_narrow_terminal_shows_fewer_values_and_cuts_none(width, expected):
    screen = io.StringIO()
    bar, drawing = started_bar(screen, width)
    with drawing:
        bar.on_epoch(OptimizationState(32, 1, 45, 45), {"val_accuracy": 0.5})
        bar.on_batch(OptimizationState(32, 2, 7, 52), 64.0)
    assert "epoch 2/2 " in screen.getvalue()
    assert "loss 2.0000" in screen.getvalue()
    assert "…" not in screen.getvalue()
    output_lines = [line for line in lines(screen) if line.startswith("epoch 2/2")]
    assert [name for name in ("val_accuracy", "batch") if any(name in line for line in output_lines)] == expected


@pytest.mark.parametrize(
    ("width", "line"),
    {
        30: "epoch 1/2  loss 0.5000",
        70: "epoch 1/2  loss 0.5000  val_loss 0.2500  val_accuracy 0.9000",
        100: "epoch 1/2  loss 0.5000  accuracy 0.8000  val_loss 0.2500  val_accuracy 0.9000  η 0.01",
    }.items(),
)
def test_the_line_of_an_epoch_stays_above_the_bar_and_is_not_wrapped(width, line):
    screen = io.StringIO()
    bar, drawing = started_bar(screen, width)
    row = {"epoch": 1, "iteration": 45, "loss": 0.5, "accuracy": 0.8, "val_loss": 0.25, "val_accuracy": 0.9, "η": 0.01}
    with drawing:
        bar.on_batch(OptimizationState(32, 1, 45, 45), 64.0)
        bar.on_epoch(OptimizationState(32, 1, 45, 45), row)
        bar.due = 0.0
        bar.on_batch(OptimizationState(32, 2, 1, 46), 64.0)
    output_lines = [each.rstrip() for each in lines(screen)]
    assert line in output_lines
    assert any(each.startswith("epoch 2/2") for each in output_lines[output_lines.index(line) :])


def test_lines_are_shorter_when_the_terminal_becomes_narrow():
    screen = io.StringIO()
    bar, drawing = started_bar(screen, 110)
    with drawing:
        bar.on_batch(OptimizationState(32, 1, 7, 7), 64.0)
        drawing.console.width, bar.due = 50, 0.0
        bar.on_batch(OptimizationState(32, 1, 8, 8), 64.0)
    last = [line for line in lines(screen) if line.startswith("epoch 1/2")][-1]
    assert "loss 2.0000" in last
    assert "batch" not in last


def test_a_metric_without_a_value_is_null_in_the_line_and_in_the_bar():
    screen = io.StringIO()
    bar, drawing = started_bar(screen)
    with drawing:
        bar.on_epoch(OptimizationState(32, 1, 45, 45), {"loss": 0.5, "val_accuracy": None})
    assert "epoch 1/2  loss 0.5000  val_accuracy null" in screen.getvalue()


def test_a_long_run_prints_every_kth_epoch():
    screen = io.StringIO()
    bar, drawing = started_bar(screen)
    bar.info.config.fit.__dict__["epochs"] = 1000
    with drawing:
        for epoch in range(1, 1001):
            bar.on_epoch(OptimizationState(32, epoch, 45, 45 * epoch), {"loss": 0.5})
    printed = [int(line[6:10]) for line in lines(screen) if line.startswith("epoch ")]
    assert printed == [1, *range(10, 1001, 10)]


def test_lines_of_a_sweep_fit_the_terminal_and_mark_where_they_are_cut():
    screen = io.StringIO()
    point = {f"optimizer.field_{number}": number / 7 for number in range(9)}
    row = {"number": 0, "state": "running", "epochs": 3, "params": point}
    with Live(console=terminal(screen, 80), auto_refresh=False) as live:
        sweep_output.Screen(live).show(
            SweepResult("small", Path("here"), (Objective("val_loss", maximize=False),), (row,), 5)
        )
    running = next(line for line in lines(screen) if line.startswith("running  trial 0, epoch 3  optimizer.field_0"))
    assert running.endswith("…")
    assert max(map(len, lines(screen))) <= 80 - len("^C")


def test_a_batch_costs_less_than_a_microsecond():
    bar, drawing = started_bar(io.StringIO())
    state = OptimizationState(32, 1, 1, 1)
    with drawing:
        bar.on_batch(state, 1.0)
        bar.due = float("inf")  # the bar is drawn ten times a second, regardless of the number of batches
        best = min(_seconds(bar, state, 10_000) for _ in range(5))
    assert best / 10_000 < 1e-6


def _seconds(bar: run_output.Bar, state: OptimizationState, batches: int) -> float:
    begin = time.perf_counter()
    for _ in range(batches):
        bar.on_batch(state, 1.0)
    return time.perf_counter() - begin
