"""Metrics are written once for all checkpoints, and a checkpoint is intact only with the metrics that it needs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.training.checkpoints.storage import Checkpoints

CONFIG: dict[str, Any] = {
    "name": "logged",
    "data": {"source": "diabetes", "batch_size": 200},
    "model": {"kind": "linear"},
    "loss": "squared_error",
    "optimizer": {"kind": "adam"},
    "fit": {"epochs": 6, "checkpoint": {"every": "1 epoch", "keep": 3}},
}


class Notes(mxtrain.Callback):
    """Callback that collects the notes of a run."""

    def on_start(self, info: mxtrain.RunInfo) -> None:
        self.notes = info.notes


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return mxtrain.fit(CONFIG, run_dir=tmp_path / "run").run_dir


def outcome(run_dir: Path) -> dict[str, bytes]:
    names = ("metrics.jsonl", "model.safetensors", "checkpoints.jsonl")
    return {name: (run_dir / name).read_bytes() for name in names}


def resumed(run_dir: Path) -> list[str]:
    """Resume a run and return its notes."""
    listener = Notes()
    mxtrain.resume(run_dir, callbacks=[listener])
    return [note for note in listener.notes if "the run is complete" not in note]


def at(file: Path, line: int) -> int:
    """Return the offset of a line in a file; lines count from 0."""
    return sum(map(len, file.read_bytes().splitlines(keepends=True)[:line]))


def flipped(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)


def test_written_bytes_grow_linearly_with_the_epochs(tmp_path: Path) -> None:
    sizes = {}
    for epochs in (10, 300):
        run_dir = mxtrain.fit(
            CONFIG | {"fit": {"epochs": epochs, "checkpoint": {"keep": 1}}}, run_dir=tmp_path / str(epochs)
        ).run_dir
        (checkpoint,) = (run_dir / "checkpoints").iterdir()
        sizes[epochs] = sum(file.stat().st_size for file in checkpoint.iterdir())
        assert (run_dir / "checkpoints.jsonl").read_bytes() == (run_dir / "metrics.jsonl").read_bytes()
    assert sizes[300] < sizes[10] + 100


def damages(file: Path) -> dict[str, Callable[[], object]]:
    return {
        "a flipped bit": lambda: flipped(file, 5),
        "cut off": lambda: file.write_bytes(file.read_bytes()[:-1]),
        "emptied": lambda: file.write_bytes(b""),
        "gone": lambda: file.unlink(),
        "edited": lambda: file.write_bytes(file.read_bytes().replace(b'"epoch": 2', b'"epoch": 7')),
    }


KINDS = ["a flipped bit", "cut off", "emptied", "gone", "edited"]


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints.jsonl"])
@pytest.mark.parametrize("kind", KINDS)
def test_either_metrics_file_can_replace_the_other(kind: str, name: str, run_dir: Path) -> None:
    before = outcome(run_dir)
    damages(run_dir / name)[kind]()
    (note,) = resumed(run_dir)
    assert note.startswith(f"{run_dir / name} ")
    assert "damaged" in note
    assert len(mxtrain.resume(run_dir, overrides=["fit.epochs=7"]).history) == 7
    mxtrain.fit(CONFIG | {"fit": CONFIG["fit"] | {"epochs": 7}}, run_dir=run_dir.with_name("whole"))
    assert outcome(run_dir) == outcome(run_dir.with_name("whole"))
    assert (run_dir / "metrics.jsonl").read_bytes().startswith(before["metrics.jsonl"])


@pytest.mark.parametrize("kind", ["a flipped bit", "emptied", "gone", "edited"])
def test_a_run_with_both_files_damaged_restarts_and_reports_it(kind: str, run_dir: Path) -> None:
    before = outcome(run_dir)
    for name in ("metrics.jsonl", "checkpoints.jsonl"):
        damages(run_dir / name)[kind]()
    *skipped, last = resumed(run_dir)
    assert last == "no checkpoint is intact: the run starts again from the beginning"
    assert len(skipped) == 3
    for note in skipped:
        assert "neither checkpoints.jsonl nor metrics.jsonl holds the metrics" in note
    assert outcome(run_dir) == before


def test_with_both_files_damaged_late_an_earlier_checkpoint_is_used(run_dir: Path) -> None:
    before = outcome(run_dir)
    for name in ("metrics.jsonl", "checkpoints.jsonl"):
        flipped(run_dir / name, at(run_dir / name, 5) + 3)
    notes = resumed(run_dir)
    assert notes[0].startswith(f"the checkpoint {run_dir / 'checkpoints' / 'epoch-000006-batch-00000000'} is damaged")
    assert len(notes) == 1, "the checkpoint of epoch 5 and the metrics that it needs are intact"
    assert outcome(run_dir) == before


def test_a_truncated_or_extra_line_is_not_damage(run_dir: Path) -> None:
    before = outcome(run_dir)
    for name in ("metrics.jsonl", "checkpoints.jsonl"):
        with (run_dir / name).open("ab") as file:
            file.write(b'{"epoch": 7, "loss": 1}\n{"epo')
    assert resumed(run_dir) == []
    assert (run_dir / "metrics.jsonl").read_bytes() == before["metrics.jsonl"]


def test_every_flipped_bit_of_the_metrics_is_detected(run_dir: Path) -> None:
    checkpoints, file = Checkpoints(run_dir / "checkpoints", keep=3), run_dir / "checkpoints.jsonl"
    (run_dir / "metrics.jsonl").unlink()
    for position in range(len(file.read_bytes())):
        flipped(file, position)
        with pytest.raises(ValueError, match="the SHA-256 differs"):
            checkpoints.read(checkpoints.names()[-1])
        flipped(file, position)
    assert checkpoints.read(checkpoints.names()[-1]).epochs == 6


def test_a_file_that_is_removed_during_training_is_rewritten(tmp_path: Path) -> None:
    class Remover(mxtrain.Callback):
        def on_epoch(self, state: Any, row: Any) -> None:
            file = tmp_path / "run" / "checkpoints.jsonl"
            if row["epoch"] == 2:
                file.unlink()
            elif row["epoch"] == 4:
                file.write_bytes(b"short")

    run_dir = mxtrain.fit(CONFIG, run_dir=tmp_path / "run", callbacks=[Remover()]).run_dir
    rows = [json.loads(line)["epoch"] for line in (run_dir / "checkpoints.jsonl").read_text().splitlines()]
    assert rows == [1, 2, 3, 4, 5, 6]
    assert mxtrain.verify(run_dir) == []


def test_a_checkpoint_of_another_format_is_skipped_with_the_reason(run_dir: Path) -> None:
    checkpoints = Checkpoints(run_dir / "checkpoints", keep=3)
    snapshot = checkpoints.newest()
    assert snapshot
    snapshot.record["format"] = 1
    checkpoints.save(snapshot)
    (note,) = resumed(run_dir)
    assert note.endswith("was skipped: it was written by another version of mxtrain")
