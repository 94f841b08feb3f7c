"""Damage in a run's folder is always reported before wrong numbers are returned, and affects no other run."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.training import list_runs, replay
from mxtrain.training.checkpoints.storage import Checkpoints

CONFIG: dict[str, Any] = {
    "name": "damaged",
    "data": {"source": "diabetes", "batch_size": 200},
    "model": {"kind": "linear"},
    "loss": "squared_error",
    "optimizer": {"kind": "adam"},
    "fit": {"epochs": 4, "checkpoint": {"every": "1 epoch", "keep": 3}},
}
DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mxtrain.fit(CONFIG, run_dir=tmp_path_factory.mktemp("runs") / "run").run_dir


@pytest.fixture
def run_dir(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs" / "run"))


def flip(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "preprocessing.json"])
def test_every_flipped_bit_of_the_model_is_detected(name: str, run_dir: Path) -> None:
    good = (run_dir / name).read_bytes()
    for position in range(0, len(good), 7):
        flip(run_dir / name, position)
        with pytest.raises(mxtrain.TrainingError, match=f"{name} is damaged; `mxtrain resume"):
            mxtrain.load_run(run_dir)
        (run_dir / name).write_bytes(good)
    flip(run_dir / name, len(good) // 2)
    mxtrain.resume(run_dir)
    assert (run_dir / name).read_bytes() == good
    assert mxtrain.load_run(run_dir).notes == ()


def test_damaged_metrics_are_reported_and_the_run_can_be_loaded(run_dir: Path) -> None:
    flip(run_dir / "metrics.jsonl", 20)
    (note,) = mxtrain.load_run(run_dir).notes
    assert "metrics.jsonl is damaged" in note


@pytest.mark.parametrize(
    "name", ["status.json", "metrics.jsonl", "preprocessing.json", "timings.jsonl", "environment.json"]
)
@pytest.mark.parametrize("text", [DEEP, "[]", "{}", "null", '{"state": [], "epoch": {}, "sha256": 3}', "\x00"])
def test_invalid_json_in_any_file_causes_no_traceback(name: str, text: str, run_dir: Path) -> None:
    (run_dir / name).write_text(text)
    runs, _ = list_runs(run_dir.parent)
    assert [run.path for run in runs] == [run_dir]
    with suppress(mxtrain.TrainingError):
        mxtrain.load_run(run_dir)
    mxtrain.verify(run_dir)
    assert len(mxtrain.resume(run_dir, overrides=["fit.epochs=5"]).history) == 5


def test_verify_reports_a_damaged_checkpoint(run_dir: Path) -> None:
    newest = max((run_dir / "checkpoints").iterdir())
    (newest / "arrays.safetensors").write_bytes(b"damaged")
    found = replay(run_dir)
    assert found.differences == []
    (note,) = found.notes
    assert note.startswith(f"the checkpoint {newest} is damaged and was skipped: ")


@pytest.mark.parametrize("name", ["model.safetensors", "metrics.jsonl"])
def test_verify_compares_the_final_files(name: str, run_dir: Path) -> None:
    assert mxtrain.verify(run_dir) == []
    flip(run_dir / name, len((run_dir / name).read_bytes()) - 3)
    assert mxtrain.verify(run_dir) == [name]
    (run_dir / name).unlink()
    assert mxtrain.verify(run_dir) == [name]


def test_a_checkpoint_that_cannot_be_removed_does_not_end_the_run(run_dir: Path) -> None:
    oldest = min((run_dir / "checkpoints").iterdir())
    (oldest / "SHA256SUMS").unlink()
    (oldest / "SHA256SUMS").mkdir()
    (oldest / "SHA256SUMS" / "below").write_text("")
    assert len(mxtrain.resume(run_dir, overrides=["fit.epochs=5"]).history) == 5
    assert not oldest.exists()
    assert len(Checkpoints(run_dir / "checkpoints", keep=3).names()) == 3
