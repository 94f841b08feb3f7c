"""After a power loss at any moment, the state of the last finished save exists, or a newer one.

Some hundred states of each save are tried; MXTRAIN_TEST_CRASHES sets another number.
"""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.config import read_sweep, sweep_from_dict
from mxtrain.errors import SweepError
from mxtrain.sweeps import SweepFolder, SweepResult
from mxtrain.training.checkpoints.storage import Checkpoints
from mxtrain.training.run_folder.history import CheckpointMetricsLog
from mxtrain.training.run_folder.run_status import read_status
from tests.training.checkpoints.crash_states import Recording, put_state, recording, tree

STATES = int(os.environ.get("MXTRAIN_TEST_CRASHES", "0"))
CONFIG: dict[str, Any] = {
    "name": "crashed",
    "data": {"source": "diabetes", "batch_size": 200},
    "model": {"kind": "linear"},
    "loss": "squared_error",
    "optimizer": {"kind": "nadam"},
    "fit": {"epochs": 3, "metrics": ["r2"], "checkpoint": {"every": "1 epoch", "keep": 2}},
}
Check = Callable[[Path, Any], str | None]
"""A function of a folder and the last acknowledged save, which returns the problem in the folder, or None."""


def violations(recorded: Recording, check: Check, states: int, folder: Path) -> list[str]:
    """Return the problems in states that a power cut may leave; each call is the last one about equally often."""
    found = []
    for number in range(STATES or states):
        choose = random.Random(number)
        at = number % (len(recorded.changes) + 1)
        state = folder / str(number)
        put_state(recorded, at, choose, state)
        if wrong := check(state, recorded.acknowledged(at)):
            found.append(f"state {number}, after call {at}: {wrong}")
    return found


def without_file_flushes(recorded: Recording) -> Recording:
    folders = recorded.folders()
    return recorded.without(lambda change: change.kind == "fsync" and change.inode not in folders)


def without_folder_flushes(recorded: Recording) -> Recording:
    folders = recorded.folders()
    return recorded.without(lambda change: change.kind == "fsync" and change.inode in folders)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def assert_is_recorded(recorded: Recording, disk: Path, tmp_path: Path) -> None:
    """Check that every write used a recorded call."""
    put_state(recorded, len(recorded.changes), None, tmp_path / "whole")
    assert tree(tmp_path / "whole") == tree(disk)


# Each of these saves several times, and returns the check of a state after a power cut.


def save_checkpoints(disk: Path, recorded: Recording) -> Check:
    snapshot = mxtrain.advance(mxtrain.RunConfig.model_validate(CONFIG).resolve(), None, 1)
    row = snapshot.record["rows"][0]
    checkpoints = Checkpoints(disk / "checkpoints", keep=2)
    checkpoints.prepare()
    saved = {}
    for number, epoch in enumerate((1, 2, 3, 3, 4)):  # one is replaced
        rows = [row | {"epoch": i + 1} for i in range(epoch)]
        state = snapshot.record["state"] | {"curr_epoch": epoch}
        record = snapshot.record | {"rows": rows, "state": state, "left_out_in_a_row": number}
        saved[number] = replace(snapshot, record=record)
        if number == 3:  # like another process
            checkpoints = Checkpoints(disk / "checkpoints", keep=2)
            checkpoints.prepare()
        checkpoints.save(saved[number])
        recorded.acknowledge(number)

    def check(state: Path, acknowledged: int | None) -> str | None:
        checkpoints = Checkpoints(state / "checkpoints", keep=2)
        newest = checkpoints.newest()
        if newest is None:
            return (
                None
                if acknowledged is None
                else f"nothing found, {acknowledged} was acknowledged; {checkpoints.damaged}"
            )
        number = newest.record["left_out_in_a_row"]
        if number < (-1 if acknowledged is None else acknowledged):
            return f"found {number}, {acknowledged} was acknowledged; {checkpoints.damaged}"
        return "it is not what was saved" if newest.differences(saved[number]) else None

    return check


def save_optimizer(disk: Path, recorded: Recording) -> Check:
    optimizer = mxtrain.build({"kind": "adam"}, backend="numpy")
    weight = np.ones(50, "f4")
    contents = []
    for number in range(4):
        optimizer.update(0, weight, np.full(50, 0.5, "f4"))
        optimizer.save(disk / "state")
        contents.append((disk / "state").read_bytes())
        recorded.acknowledge(number)

    def check(state: Path, acknowledged: int | None) -> str | None:
        other = mxtrain.build({"kind": "adam"}, backend="numpy")
        if not (state / "state").exists():
            return None if acknowledged is None else "the file is missing"
        try:
            other.load(state / "state")
        except mxtrain.StateError as error:
            return str(error)
        number = contents.index((state / "state").read_bytes())
        return (
            None
            if number >= (-1 if acknowledged is None else acknowledged)
            else f"{number}, {acknowledged} was acknowledged"
        )

    return check


def save_metrics_log(disk: Path, recorded: Recording) -> Check:
    rows: list[dict[str, Any]] = [{"epoch": i + 1, "loss": 1 / (i + 1)} for i in range(9)]
    log = CheckpointMetricsLog(disk / "checkpoints.jsonl")
    extents = []
    for number, count in enumerate((1, 2, 4, 6, 9)):
        if number == 3:  # another process, without knowledge of the existing files
            log = CheckpointMetricsLog(disk / "checkpoints.jsonl")
        extents.append((log.write_rows(rows[:count]), rows[:count]))
        recorded.acknowledge(number)

    def check(state: Path, acknowledged: int | None) -> str | None:
        for extent, expected in extents[: 0 if acknowledged is None else acknowledged + 1]:
            try:
                if CheckpointMetricsLog(state / "checkpoints.jsonl").read(extent)[0] != expected:
                    return f"the rows of {acknowledged} differ"
            except ValueError as error:
                return str(error)
        return None

    return check


def save_sweep(disk: Path, recorded: Recording) -> Check:
    run = {name: value for name, value in CONFIG.items() if name != "name"}
    search = {"optimizer.η": {"choice": [0.1, 0.2]}}
    config = {"name": "s", **run, "sweep": {"search": search, "objective": {"minimize": "val_loss"}, "trials": 4}}
    plan = sweep_from_dict(config)
    folder = SweepFolder(disk / "sweep")
    folder.make()
    with folder.locked():
        folder.claim(plan)
    recorded.acknowledge(0)
    for number in range(1, 4):
        running = {
            "state": "running",
            "params": {},
            "drawn": {},
            "run_dir": str(disk / "sweep"),
            "epochs": 0,
            "seconds": 0.0,
        }
        rows = tuple({"number": i, **running} for i in range(number))
        folder.write_results(SweepResult("s", folder.path, plan.settings.objectives, rows, 4))
        recorded.acknowledge(number)

    def check(state: Path, acknowledged: int | None) -> str | None:
        if acknowledged is None:
            return None
        left = SweepFolder(state / "sweep")
        if read_sweep(left.file) != plan:
            return "the sweep is another one"
        try:
            found = len(left.read_results().trials)
        except SweepError as error:
            return str(error) if acknowledged > 0 or "no sweep" not in str(error) else None
        return None if found >= acknowledged else f"found {found} rows, {acknowledged} were acknowledged"

    return check


SAVES = {
    "checkpoints": save_checkpoints,
    "optimizer": save_optimizer,
    "metrics log": save_metrics_log,
    "sweep": save_sweep,
}


@pytest.mark.parametrize("name", SAVES)
def test_completed_saves_survive_a_power_loss(
    name: str, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(disk, monkeypatch) as recorded:
        check = SAVES[name](disk, recorded)
    assert_is_recorded(recorded, disk, tmp_path)
    (tmp_path / "states").mkdir()
    assert violations(recorded, check, 250, tmp_path / "states") == []


@pytest.mark.parametrize("name", SAVES)
@pytest.mark.parametrize("unflushed", [without_file_flushes, without_folder_flushes])
def test_a_save_without_flushes_is_detected(
    name: str,
    unflushed: Callable[[Recording], Recording],
    disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with recording(disk, monkeypatch) as recorded:
        check = SAVES[name](disk, recorded)
    (tmp_path / "states").mkdir()

    def failing(state: Path, acknowledged: Any) -> str | None:
        try:
            return check(state, acknowledged)
        except (mxtrain.MxtrainError, ValueError) as error:
            return str(error)

    assert violations(unflushed(recorded), failing, 60, tmp_path / "states")


class Acknowledges(mxtrain.Callback):
    """Acknowledges each finished epoch; its checkpoint was saved before."""

    def __init__(self, recorded: Recording) -> None:
        self.recorded = recorded

    def on_epoch(self, state: Any, row: Any) -> None:
        self.recorded.acknowledge(row["epoch"])


def outcome(run_dir: Path) -> dict[str, bytes]:
    return {name: (run_dir / name).read_bytes() for name in ("model.safetensors", "metrics.jsonl")}


def record_run(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    with recording(disk, monkeypatch) as recorded:
        mxtrain.fit(CONFIG, run_dir=disk / "runs" / "one", callbacks=[Acknowledges(recorded)])
        recorded.acknowledge("finished")
    return recorded


def test_a_run_resumes_from_the_last_completed_save(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record_run(disk, monkeypatch)
    assert_is_recorded(recorded, disk, tmp_path)
    expected = outcome(disk / "runs/one")
    (tmp_path / "states").mkdir()
    resumed = 0

    def check(state: Path, acknowledged: int | str | None) -> str | None:
        nonlocal resumed
        run_dir = state / "runs/one"
        newest = Checkpoints(run_dir / "checkpoints", keep=2).newest()
        epochs = newest.epochs if newest else 0
        if acknowledged == "finished":
            if not read_status(run_dir).is_finished or mxtrain.load_run(run_dir).notes or outcome(run_dir) != expected:
                return "the run is not finished any more"
        elif epochs < (acknowledged or 0):
            return f"found {epochs} epochs, {acknowledged} were acknowledged"
        if acknowledged is not None and random.Random(str(state)).random() < 0.1:
            mxtrain.resume(run_dir)
            resumed += 1
            return None if outcome(run_dir) == expected else "resumed, it ends with other bytes"
        return None

    assert violations(recorded, check, 250, tmp_path / "states") == []
    assert resumed > 5
    without = [without_file_flushes(recorded), without_folder_flushes(recorded)]

    def damaged(state: Path, acknowledged: int | str | None) -> str | None:
        if acknowledged is None:
            return None
        newest = Checkpoints(state / "runs/one/checkpoints", keep=2).newest()
        return None if newest and (acknowledged == "finished" or newest.epochs >= int(acknowledged)) else "lost"

    for number, less in enumerate(without):
        (tmp_path / f"less{number}").mkdir()
        assert violations(less, damaged, 60, tmp_path / f"less{number}")


def test_a_checkpoint_that_is_being_replaced_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = mxtrain.fit(CONFIG, run_dir=tmp_path / "run").run_dir
    newest = max((run_dir / "checkpoints").iterdir())
    newest.rename(newest.with_name(f".{newest.name}.before"))
    found = Checkpoints(run_dir / "checkpoints", keep=1)
    snapshot = found.newest()
    assert snapshot is not None
    assert (snapshot.epochs, found.damaged) == (3, [])
    found.prepare()
    assert newest.is_dir()
    assert not newest.with_name(f".{newest.name}.before").exists()


def test_checkpoints_are_not_written_through_a_link(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(CONFIG, run_dir=tmp_path / "run").run_dir
    elsewhere = tmp_path / "elsewhere"
    (run_dir / "checkpoints").rename(elsewhere)
    (run_dir / "checkpoints").symlink_to(elsewhere)
    before = tree(elsewhere)
    with pytest.raises(mxtrain.TrainingError, match="checkpoints cannot be written: "):
        Checkpoints(run_dir / "checkpoints", keep=1).prepare()
    assert tree(elsewhere) == before
