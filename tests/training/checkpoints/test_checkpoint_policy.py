"""`fit.checkpoint.every: auto` spends at most 2 % of the time on checkpoints, and no result depends on when they are written."""

import json
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.config import run_from_dict
from mxtrain.training import Checkpoints, StopRequest, Trainer
from mxtrain.training.checkpoints import checkpoint_policy


def config(**fit: Any) -> dict[str, Any]:
    return {
        "data": {"source": "diabetes", "batch_size": 150},
        "model": {"kind": "linear"},
        "loss": "squared_error",
        "optimizer": {"kind": "adam"},
        "fit": {"epochs": 4, **fit},
    }


def checkpoints(run_dir: Path) -> list[str]:
    return Checkpoints(run_dir / "checkpoints", keep=1).names()


class Clock:
    """Simulated clock that advances by a fixed time for each step and each save."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds_to_save: float) -> None:
        self.now, self.saving, self.seconds_to_save = 0.0, 0.0, seconds_to_save
        self.saved_at: list[float] = []
        write = Checkpoints.save

        def save(*arguments: Any) -> str:
            self.now += self.seconds_to_save
            self.saving += self.seconds_to_save
            self.saved_at.append(self.now)
            return write(*arguments)

        monkeypatch.setattr(checkpoint_policy.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(Checkpoints, "save", save)

    def train(self, trainer: Trainer, watching: checkpoint_policy.CheckpointPolicy, seconds_per_step: float) -> None:
        while not trainer.is_finished:
            for _ in trainer.steps():
                self.now += seconds_per_step
                watching.after_step()
            watching.after_epoch(trainer.finish_epoch())


@pytest.mark.parametrize(("seconds_to_save", "epochs"), [(0.004, 100), (0.5, 600), (30.0, 600)])
def test_auto_spends_two_percent_of_the_time_and_bounds_the_work_lost(
    seconds_to_save: float, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(run_from_dict(config(epochs=epochs)).resolve())
    clock = Clock(monkeypatch, seconds_to_save)
    clock.train(
        trainer,
        checkpoint_policy.CheckpointPolicy(trainer, Checkpoints(tmp_path / "checkpoints", keep=3)),
        seconds_per_step=4.0,
    )
    first_and_last = 2 * seconds_to_save  # the cost of the first is unknown, and the last is always written
    assert clock.saving - first_and_last <= 0.02 * clock.now
    gaps = [after - before for before, after in zip([0.0, *clock.saved_at], clock.saved_at, strict=False)]
    assert max(gaps) <= 51 * seconds_to_save + 2 * 4.0
    assert len(gaps) > 5


def test_with_auto_the_first_checkpoint_is_due_after_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(run_from_dict(config(epochs=10)).resolve())
    clock = Clock(monkeypatch, seconds_to_save=0.0)
    clock.train(
        trainer,
        checkpoint_policy.CheckpointPolicy(trainer, Checkpoints(tmp_path / "checkpoints", keep=3)),
        seconds_per_step=0.125,
    )
    assert clock.saved_at[0] == 1.0


def test_a_short_run_writes_one_checkpoint_at_its_end(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(config(), run_dir=tmp_path).run_dir
    assert checkpoints(run_dir) == ["epoch-000004-batch-00000000"]
    assert mxtrain.verify(run_dir) == [], "the replay starts at the beginning"
    file = run_dir / "metrics.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"epoch": 2', b'"epoch": 7'))
    assert mxtrain.verify(run_dir) == ["metrics.jsonl"]


def test_results_do_not_depend_on_when_checkpoints_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_policy, "FIRST_GUESS", 0.0)  # `auto` saves after each step
    results = {
        every: mxtrain.fit(config(checkpoint={"every": every}), run_dir=tmp_path / every).run_dir
        for every in ("auto", "1 epoch", "1 iteration", "9 minutes")
    }
    for name in ("model.safetensors", "metrics.jsonl"):
        assert len({(run_dir / name).read_bytes() for run_dir in results.values()}) == 1, name


def test_a_signal_saves_at_once(tmp_path: Path) -> None:
    with pytest.raises(mxtrain.RunInterrupted):
        mxtrain.fit(config(), run_dir=tmp_path, stop=StopRequest(signal=15))
    assert checkpoints(tmp_path) == ["epoch-000000-batch-00000001"]


def test_with_rollback_auto_is_every_epoch(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(config(on_nonfinite="rollback", checkpoint={"keep": 9}), run_dir=tmp_path).run_dir
    assert checkpoints(run_dir) == [f"epoch-{epoch:06}-batch-00000000" for epoch in (1, 2, 3, 4)]


def test_auto_is_the_default_and_metrics_are_written_after_every_epoch(tmp_path: Path) -> None:
    lines: list[int] = []

    class Reader:
        def on_epoch(self, state: Any, row: Any) -> None:
            lines.append(len((tmp_path / "metrics.jsonl").read_text().splitlines()))

    mxtrain.fit(config(), run_dir=tmp_path, callbacks=[Reader()])
    assert lines == [1, 2, 3, 4]
    saved = json.loads((tmp_path / "checkpoints/epoch-000004-batch-00000000/record.json").read_text())
    assert saved["config"]["fit"]["checkpoint"]["every"] == "auto"
