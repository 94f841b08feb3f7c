"""`on_nonfinite: rollback` returns only to scheduled checkpoints, so that an interruption does not change the result."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.training import Checkpoints
from tests.training.checkpoints.rollback_storm import config, contents, interrupted, write_table


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "table.npz"
    write_table(path)
    return path


@pytest.mark.parametrize(("every", "keep"), [("2 epochs", 1), ("5 iterations", 2)])
def test_an_interrupted_run_ends_with_the_same_bytes(every: str, keep: int, table: Path, tmp_path: Path) -> None:
    whole = mxtrain.fit(config(table, every, keep), run_dir=tmp_path / "whole")
    run_dir = tmp_path / "parts"
    assert interrupted(config(table, every, keep), run_dir, lambda: 4) > 5
    assert contents(run_dir) == contents(whole.run_dir)
    if keep > 1:
        assert mxtrain.verify(run_dir) == []


def test_stopping_and_extending_a_run_gives_the_same_bytes(table: Path, tmp_path: Path) -> None:
    settings = config(table, "2 epochs", 1)
    whole = mxtrain.fit(settings, run_dir=tmp_path / "whole")

    class StopsTraining(mxtrain.Callback):
        def on_epoch(self, state: Any, row: Any) -> None:
            raise mxtrain.StopTraining

    run_dir = mxtrain.fit(
        config(table, "2 epochs", 1, epochs=3), run_dir=tmp_path / "a", callbacks=[StopsTraining()]
    ).run_dir
    mxtrain.resume(run_dir)
    mxtrain.resume(run_dir, overrides=["fit.epochs=5"])
    assert contents(run_dir) == contents(whole.run_dir)


def test_the_checkpoint_of_the_best_epoch_is_scheduled_too(table: Path, tmp_path: Path) -> None:
    settings = config(table, "4 epochs", 2)
    settings["fit"]["checkpoint"]["best"] = "loss"
    whole = mxtrain.fit(settings, run_dir=tmp_path / "whole")
    interrupted(settings, tmp_path / "parts", lambda: 4)
    assert contents(tmp_path / "parts") == contents(whole.run_dir)


def test_advance_and_segments_roll_back_like_fit(table: Path, tmp_path: Path) -> None:
    settings = config(table, "2 epochs", 1)
    whole = mxtrain.fit(settings, run_dir=tmp_path / "whole")
    run = mxtrain.RunConfig.model_validate(settings).resolve()
    snapshot = None
    for epochs in range(1, 6):
        snapshot = mxtrain.training.advance(run, snapshot, epochs)
        snapshot = type(snapshot).from_files(snapshot.to_files())
        progress = mxtrain.training.train_until(run, tmp_path / "parts", epochs)
    assert snapshot is not None
    assert snapshot.record["rows"] == progress.rows == whole.history


def test_checkpoints_of_earlier_versions_can_be_loaded(table: Path, tmp_path: Path) -> None:
    settings = config(table, "2 epochs", 3)
    stop = mxtrain.training.callbacks.StopRequest(2)
    with pytest.raises(mxtrain.RunInterrupted):
        mxtrain.fit(settings, run_dir=tmp_path / "run", stop=stop)
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints", keep=3)
    snapshot = checkpoints.newest()
    assert snapshot is not None
    record = {name: value for name, value in snapshot.record.items() if name != "rollback"}
    checkpoints.save(replace(snapshot, record=record, rollback=None))
    assert len(mxtrain.resume(tmp_path / "run").history) == 5
    assert mxtrain.verify(tmp_path / "run") == []


def test_minutes_are_refused_with_rollback(table: Path, tmp_path: Path) -> None:
    message = (
        r"fit\.checkpoint\.every: minutes do not go with on_nonfinite: rollback, because .*, got '5 minutes'; "
        "use epochs or iterations, such as '1 epoch'"
    )
    settings = config(table, "5 minutes", 3)
    with pytest.raises(mxtrain.ConfigError, match=message):
        mxtrain.fit(settings, run_dir=tmp_path / "run")
    with pytest.raises(mxtrain.ConfigError, match=message):
        mxtrain.fit(mxtrain.RunConfig.model_validate(settings), run_dir=tmp_path / "run")
    file = tmp_path / "run.yaml"
    text = (
        f"data: {{source: {table}, target: y}}\nmodel: {{kind: linear}}\nloss: squared_error\n"
        "optimizer: {kind: sgd}\nfit:\n  on_nonfinite: rollback\n  checkpoint:\n    every: 5 minutes\n"
    )
    file.write_text(text)
    with pytest.raises(mxtrain.ConfigError, match=rf"{file}:8:12: {message}"):
        mxtrain.fit(file, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_an_earlier_version_with_minutes_can_be_loaded(table: Path, tmp_path: Path) -> None:
    run_dir = mxtrain.fit(config(table, "1 epoch", 3), run_dir=tmp_path / "run").run_dir
    file = run_dir / "config.yaml"
    file.write_text(file.read_text().replace("1 epoch", "5 minutes"))
    assert mxtrain.load_run(run_dir).status.state == "finished"
    with pytest.raises(mxtrain.ConfigError, match="minutes do not go with on_nonfinite: rollback"):
        mxtrain.resume(run_dir)
    assert len(mxtrain.resume(run_dir, overrides=["fit.checkpoint.every=1 epoch", "fit.epochs=6"]).history) == 6
