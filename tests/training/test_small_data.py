"""Batches larger than the data, and metrics that are not defined for the samples."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.config import run_from_dict
from mxtrain.config.fit_section import EarlyStopping
from mxtrain.sweeps.trial import NoValueError, SeedRun
from mxtrain.training import Progress, advance, train_until
from mxtrain.training.early_stopping import BestEpoch


def config(batch_size: int, **fit: Any) -> dict[str, Any]:
    return {
        "data": {
            "source": "in_memory",
            "batch_size": batch_size,
            "validation": 0,
            "shuffle": False,
            "standardize_target": False,
        },
        "model": {"kind": "linear"},
        "loss": "squared_error",
        "optimizer": {"kind": "sgd", "η": 0.1, "μ": 0.9},
        "fit": {"epochs": 6, **fit},
    }


@pytest.fixture(scope="module")
def data() -> Any:
    X = np.random.default_rng(0).normal(size=(16, 2))
    return X, X @ [1.0, -2.0]


def test_a_batch_size_above_the_training_size_scales_by_the_training_size(data: Any, tmp_path: Path) -> None:
    whole = mxtrain.fit(config(16), run_dir=tmp_path / "16", data=data)
    larger = mxtrain.fit(config(1024), run_dir=tmp_path / "1024", data=data)
    assert larger.history == whole.history
    assert larger.state == whole.state
    assert mxtrain.load_run(larger.run_dir).config.optimizer.scale == 1 / 16
    again = mxtrain.fit(larger.run_dir / "config.yaml", run_dir=tmp_path / "again", data=data)
    assert again.history == whole.history


def test_resume_verify_and_advance_give_the_same_results(data: Any, tmp_path: Path) -> None:
    whole = mxtrain.fit(config(16), run_dir=tmp_path / "16", data=data)
    short = mxtrain.fit(config(1024, epochs=2), run_dir=tmp_path / "short", data=data)
    assert mxtrain.resume(short.run_dir, overrides=["fit.epochs=6"], data=data).history == whole.history
    assert mxtrain.verify(short.run_dir, data=data) == []
    run = run_from_dict(config(1024)).resolve()
    assert advance(run, advance(run, None, 3, data=data), 6, data=data).record["rows"] == whole.history


def test_segments_give_the_same_results(tmp_path: Path) -> None:
    data = {"source": "diabetes", "validation": 0.2}
    runs = [run_from_dict({**config(1), "data": data | {"batch_size": size}}).resolve() for size in (354, 4096)]
    for epochs in (1, 3):
        found = [train_until(run, tmp_path / str(run.data.batch_size), epochs).rows for run in runs]
        assert found[0] == found[1]
        assert len(found[0]) == epochs


def test_a_run_of_an_earlier_version_keeps_its_scale(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("mxtrain.training.loop.resolve_with_data", lambda run, *arguments: run)
        old = mxtrain.fit(config(1024), run_dir=tmp_path / "old", data=data)
        mxtrain.fit(config(1024, epochs=3), run_dir=tmp_path / "run", data=data)
    assert mxtrain.resume(tmp_path / "run", overrides=["fit.epochs=6"], data=data).history == old.history
    assert mxtrain.verify(tmp_path / "run", data=data) == []


def test_an_explicit_scale_is_unchanged(data: Any, tmp_path: Path) -> None:
    settings = config(1024)
    settings["optimizer"]["scale"] = 0.01
    result = mxtrain.fit(settings, run_dir=tmp_path / "run", data=data)
    assert mxtrain.load_run(result.run_dir).config.optimizer.scale == 0.01


class Notes(mxtrain.Callback):
    def on_start(self, info: Any) -> None:
        self.notes = info.notes


def test_an_undefined_metric_is_null_reported_once_and_never_the_best(data: Any, tmp_path: Path) -> None:
    X, _ = data
    settings = config(4, metrics=["r2"], early_stopping={"monitor": "val_r2", "patience": 2})
    settings["fit"]["checkpoint"] = {"best": "val_r2"}
    settings["data"]["validation"] = 0.07  # one sample
    notes = Notes()
    result = mxtrain.fit(settings, run_dir=tmp_path / "run", data=data, callbacks=[notes])
    assert notes.notes == ("val_r2 has no value, and is null: the validation part is one sample",)
    assert [row["val_r2"] for row in result.history] == [None] * 6
    assert all(row["r2"] is not None for row in result.history)
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["val_r2"] is None
    assert "val_r2 –" in repr(result)
    run = mxtrain.load_run(tmp_path / "run")
    assert run.epoch == 6
    assert run.evaluate(data=data)["r2"] is None
    assert mxtrain.verify(tmp_path / "run", data=data) == []
    assert run.evaluate((X, np.ones(16)))["r2"] is None
    runs, damaged = mxtrain.training.list_runs(tmp_path, sort="val_r2")
    assert (len(runs), damaged) == (1, [])


def test_equal_targets_are_reported(data: Any, tmp_path: Path) -> None:
    notes = Notes()
    mxtrain.fit(config(4, metrics=["r2"]), run_dir=tmp_path, data=(data[0], np.ones(16)), callbacks=[notes])
    assert notes.notes == ("r2 has no value, and is null: all 16 targets of the training part are equal",)


def test_early_stopping_ignores_null() -> None:
    stopping = EarlyStopping(monitor="val_r2", patience=2)
    rows = [{"epoch": epoch, "val_r2": value} for epoch, value in enumerate([None, -3.0, None, -2.0, None, None], 1)]
    best = BestEpoch.of(rows, stopping)
    assert (best.epoch, best.value, best.is_patience_exhausted(6, stopping)) == (4, -2.0, True)


def test_a_trial_whose_objective_is_null_has_no_value(tmp_path: Path) -> None:
    run = run_from_dict({**config(4), "data": {"source": "diabetes"}, "fit": {"metrics": ["r2"], "epochs": 1}})
    member = SeedRun(run, tmp_path, Progress([{"epoch": 1, "val_r2": None}], True, 1))
    with pytest.raises(NoValueError, match="the objective val_r2 has no value after epoch 1: it is null"):
        member.value("val_r2", None)
