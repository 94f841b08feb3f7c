"""Runs on data in memory equal runs on a file, byte for byte, and refuse changed data."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import mxtrain
from mxtrain.config import DataConfig, run_from_dict
from tests.training.conftest import fit_interrupted, results

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((60, 3))
y = X @ [1.0, -2.0, 0.5] + 3
LABELS = np.where(y > 3, "large", "small")
TABLE = {"a": X[:, 0].tolist(), "b": X[:, 1], "kind": ["round", "square", "flat"] * 20, "size": LABELS}

CONFIG: dict[str, Any] = {
    "name": "in-memory",
    "data": {"source": "in_memory", "batch_size": 8, "test": 0.2},
    "model": {"kind": "mlp", "hidden": [4]},
    "loss": "squared_error",
    "optimizer": {"kind": "adam", "η": 0.01},
    "fit": {"epochs": 3, "metrics": ["mae"]},
}
CLASSES = CONFIG | {"loss": "softmax_cross_entropy", "fit": {"epochs": 3, "metrics": ["accuracy"]}}
COLUMNS = CLASSES | {"data": {**CONFIG["data"], "target": "size"}}
RUNS: dict[str, Any] = {
    "numbers": (CONFIG, (X, y)),
    "classes": (CLASSES, (X, LABELS)),
    "columns": (COLUMNS, TABLE),
    "a data frame": (COLUMNS, pl.DataFrame(TABLE)),
}
CHANGED_DATA = {"numbers": (X, y + 1), "classes": (X, LABELS[::-1]), "columns": TABLE | {"a": X[:, 1]}}


@pytest.mark.parametrize(("config", "data"), RUNS.values(), ids=RUNS.keys())
def test_resume_verify_and_evaluate_give_identical_bytes_on_the_same_data(
    config: Any, data: Any, tmp_path: Path
) -> None:
    whole = mxtrain.fit(config, run_dir=tmp_path / "whole", data=data)
    fit_interrupted(config, tmp_path / "cut", batches=7, data=data)
    mxtrain.resume(tmp_path / "cut", data=data)
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    assert mxtrain.verify(tmp_path / "cut", data=data) == []

    run = mxtrain.load_run(tmp_path / "cut")
    measured = run.evaluate(part="validation", data=data)
    assert measured["loss"] == whole.history[-1]["val_loss"]
    assert run.evaluate(data=data) == run.compare("test", data=data).metrics != measured

    again = mxtrain.fit(tmp_path / "cut" / "config.yaml", run_dir=tmp_path / "again", data=data)
    assert again.history == whole.history


def test_a_run_of_an_earlier_version_can_be_resumed_verified_and_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions wrote `handed_over` to config.yaml and to checkpoints."""
    whole = mxtrain.fit(CONFIG, run_dir=tmp_path / "whole", data=(X, y))
    write = DataConfig.to_dict
    with monkeypatch.context() as earlier:
        earlier.setattr(DataConfig, "to_dict", lambda config: write(config) | {"source": "handed_over"})
        fit_interrupted(CONFIG, tmp_path / "cut", batches=7, data=(X, y))
        mxtrain.fit(CONFIG, run_dir=tmp_path / "old", data=(X, y))
    for name in ("cut", "old"):
        assert "source: handed_over" in (tmp_path / name / "config.yaml").read_text(encoding="utf-8")
        records = (tmp_path / name).glob("checkpoints/*/record.json")
        assert all('"source": "handed_over"' in record.read_text(encoding="utf-8") for record in records)

    assert mxtrain.load_run(tmp_path / "old").evaluate(data=(X, y)) == mxtrain.load_run(tmp_path / "whole").evaluate(
        data=(X, y)
    )
    assert mxtrain.verify(tmp_path / "old", data=(X, y)) == []
    assert mxtrain.resume(tmp_path / "cut", data=(X, y)).history == whole.history
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    assert mxtrain.verify(tmp_path / "cut", data=(X, y)) == []
    longer = mxtrain.resume(tmp_path / "old", data=(X, y), overrides=["fit.epochs=4"])
    assert longer.history[:3] == whole.history


def test_a_file_with_the_same_numbers_gives_the_same_bytes(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", X=X, y=y)
    of_file = CONFIG | {"data": {**CONFIG["data"], "source": str(tmp_path / "data.npz"), "target": "y"}}
    first = mxtrain.fit(of_file, run_dir=tmp_path / "file")
    second = mxtrain.fit(CONFIG, run_dir=tmp_path / "memory", data=(X, y))
    assert first.history == second.history
    for name, value in first.parameters.items():
        assert value.tobytes() == second.parameters[name].tobytes()


def test_columns_give_the_same_results_as_a_table_file(tmp_path: Path) -> None:
    pl.DataFrame(TABLE).write_parquet(tmp_path / "data.parquet")
    of_file = COLUMNS | {"data": {**COLUMNS["data"], "source": str(tmp_path / "data.parquet")}}
    first = mxtrain.fit(of_file, run_dir=tmp_path / "file")
    assert first.history == mxtrain.fit(COLUMNS, run_dir=tmp_path / "memory", data=TABLE).history


@pytest.mark.parametrize("name", CHANGED_DATA)
def test_a_run_is_not_resumed_on_other_data(name: str, tmp_path: Path) -> None:
    config, data = RUNS[name]
    run_dir = mxtrain.fit(config, run_dir=tmp_path / "run", data=data).run_dir
    before = results(run_dir)
    other = "the data passed in Python are not those that the run was trained on: their SHA-256 differs"
    with pytest.raises(mxtrain.TrainingError, match=f"^{other}; pass the original data, or start a new run"):
        mxtrain.resume(run_dir, data=CHANGED_DATA[name], overrides=["fit.epochs=4"])
    with pytest.raises(mxtrain.TrainingError, match=other):
        mxtrain.verify(run_dir, data=CHANGED_DATA[name])
    with pytest.raises(mxtrain.TrainingError, match=f"{other}; pass the original data, or evaluate on a separate file"):
        mxtrain.load_run(run_dir).evaluate(data=CHANGED_DATA[name])
    assert results(run_dir) == before


def test_data_that_are_invalid_for_the_config_are_reported_as_changed(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(CLASSES, run_dir=tmp_path / "run", data=(X, LABELS)).run_dir
    with pytest.raises(mxtrain.TrainingError, match="the data passed in Python are not those"):
        mxtrain.resume(run_dir, data=(X, ["large"] * 60))


def test_a_run_is_not_resumed_without_its_data(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(CONFIG, run_dir=tmp_path / "run", data=(X, y)).run_dir
    message = r"data\.source: the data are not in the config; pass them in Python as data="
    for open_run in (mxtrain.resume, mxtrain.verify, lambda path: mxtrain.load_run(path).evaluate()):
        with pytest.raises(mxtrain.ConfigError, match=message):
            open_run(run_dir)
    np.savez(tmp_path / "new.npz", X=X, y=y)
    with pytest.raises(mxtrain.ConfigError, match=r"data\.source: was 'in_memory' when the run started, and cannot"):
        mxtrain.resume(run_dir, overrides=[f"data.source={tmp_path / 'new.npz'}", "data.target=y"])


def test_data_and_config_must_agree_on_the_source(tmp_path: Path) -> None:
    packaged = {**CONFIG, "data": {"source": "diabetes"}}
    message = r"data\.source: data= was passed, but the config has diabetes; set source: in_memory"
    with pytest.raises(mxtrain.ConfigError, match=message):
        mxtrain.fit(packaged, run_dir=tmp_path / "run", data=(X, y))
    with pytest.raises(mxtrain.ConfigError, match="the data are not in the config; pass them"):
        mxtrain.fit(CONFIG, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run_dir = mxtrain.fit(packaged, run_dir=tmp_path / "run").run_dir
    for open_run in (mxtrain.resume, mxtrain.verify, lambda path, data: mxtrain.load_run(path).evaluate(data=data)):
        with pytest.raises(mxtrain.ConfigError, match=message):
            open_run(run_dir, data=(X, y))


def test_errors_of_the_source_have_the_position_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "data: {source: diabetes}\nmodel: {kind: linear}\nloss: squared_error\noptimizer: {kind: adam}\n"
    Path("run.yaml").write_text(text)
    with pytest.raises(mxtrain.ConfigError, match=r"^run\.yaml:1:16: data\.source: data= was passed, but"):
        mxtrain.fit("run.yaml", data=(X, y))
    Path("run.yaml").write_text(text.replace("diabetes", "in_memory"))
    with pytest.raises(mxtrain.ConfigError, match=r"^run\.yaml:1:16: data\.source: the data are not in the config"):
        mxtrain.fit("run.yaml")
    assert len(mxtrain.fit("run.yaml", data=(X, y)).history) == 10


def test_changes_of_the_users_arrays_during_training_have_no_effect(tmp_path: Path) -> None:
    class Change(mxtrain.Callback):
        def on_epoch(self, state: Any, row: Any) -> None:
            inputs[:], targets[:] = 0, 0

    whole = mxtrain.fit(CONFIG | {"dtype": "float64"}, run_dir=tmp_path / "whole", data=(X, y))
    inputs, targets = X.copy(), y.copy()
    changed = mxtrain.fit(
        CONFIG | {"dtype": "float64"}, run_dir=tmp_path / "changed", data=(inputs, targets), callbacks=[Change()]
    )
    assert changed.history == whole.history
    assert not inputs.any()


def test_read_only_arrays_are_accepted(tmp_path: Path) -> None:
    inputs, targets = X.copy(), y.copy()
    for array in (inputs, targets):
        array.flags.writeable = False
    result = mxtrain.fit(CONFIG, run_dir=tmp_path / "run", data=(inputs, targets))
    mxtrain.load_run(result.run_dir).evaluate(data=(inputs, targets))
    np.testing.assert_array_equal(inputs, X)


def test_advance_continues_a_snapshot_on_the_same_data() -> None:
    run = run_from_dict(CONFIG).resolve()
    first = mxtrain.advance(run, None, 1, data=(X, y))
    assert mxtrain.advance(run, first, 3, data=(X, y)).differences(mxtrain.advance(run, None, 3, data=(X, y))) == []
    with pytest.raises(mxtrain.TrainingError, match="pass the original data, or start again without a snapshot"):
        mxtrain.advance(run, first, 3, data=(X, y + 1))
    with pytest.raises(mxtrain.ConfigError, match="the data are not in the config"):
        mxtrain.advance(run, first, 3)


@pytest.mark.parametrize(("config", "data"), RUNS.values(), ids=RUNS.keys())
def test_new_samples_in_memory_and_in_a_file_are_evaluated_alike(config: Any, data: Any, tmp_path: Path) -> None:
    run = mxtrain.load_run(mxtrain.fit(config, run_dir=tmp_path / "run", data=data).run_dir)
    if isinstance(data, tuple):
        np.savez(tmp_path / "new.npz", X=data[0], y=data[1])
        assert run.evaluate(data) == run.evaluate(tmp_path / "new.npz")
        assert run.predict(X).shape == (60,)
    else:
        pl.DataFrame(data).write_csv(tmp_path / "new.csv")
        assert run.evaluate(data) == pytest.approx(run.evaluate(tmp_path / "new.csv"))
        assert set(run.predict(data)) == {"large", "small"}


INVALID_SAMPLES: dict[str, Any] = {
    "an array": (X, r"data: must be \(X, y\), or columns by name, got an array of the shape \(60, 3\)"),
    "other lengths": ((X, LABELS[:3]), "one target for each sample, .*, got 60 samples and 3 values of 'y'"),
    "no samples": ((np.empty((0, 3)), []), "at least one sample, got 0 samples and 0 values of 'y'"),
    "another class": (
        (X, ["huge"] * 60),
        "data: row 1: column 'y': the class 'huge' does not occur in the training data",
    ),
    "no target": ({f"X[{i}]": [1] for i in range(3)}, "data: has no 'y' to compare predictions with"),
}


@pytest.mark.parametrize(("samples", "message"), INVALID_SAMPLES.values(), ids=INVALID_SAMPLES.keys())
def test_invalid_samples_for_evaluation_are_reported(samples: Any, message: str, tmp_path: Path) -> None:
    run = mxtrain.load_run(mxtrain.fit(CLASSES, run_dir=tmp_path / "run", data=(X, LABELS)).run_dir)
    with pytest.raises(mxtrain.DataError, match=message):
        run.evaluate(samples)
    with pytest.raises(mxtrain.DataError, match="data: has no parts; leave out `part`, or the samples"):
        run.evaluate((X, LABELS), part="test")


def test_a_sweep_does_not_accept_data_in_memory(tmp_path: Path) -> None:
    search = {"search": {"optimizer.η": {"log": [1e-4, 1e-1]}}, "objective": {"minimize": "val_loss"}, "trials": 2}
    message = "data.source: in-memory data cannot be passed to the processes of a sweep; name a file"
    with pytest.raises(mxtrain.ConfigError, match=message):
        mxtrain.sweep(CONFIG | {"sweep": search}, run_dir=tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_a_report_notes_that_the_data_are_not_available(tmp_path: Path) -> None:
    from mxtrain.reports.run_data import read_run_data

    run_dir = mxtrain.fit(CONFIG, run_dir=tmp_path / "run", data=(X, y)).run_dir
    facts = read_run_data(run_dir)
    assert facts.comparison is None
    assert "the data are not in the config" in facts.notes[0]
    shown = read_run_data(run_dir, data=(X, y))
    assert shown.comparison is not None
    assert not shown.notes


def test_equal_numbers_of_any_dtype_give_the_same_bytes(tmp_path: Path) -> None:
    """The numbers are also far from 0, where float32 arithmetic would round."""
    narrow = (1000 + 100 * X).astype("float32")
    forms = {
        "float32": narrow,
        "float64": narrow.astype("float64"),
        "lists": narrow.tolist(),
        "turned": np.asfortranarray(narrow),
    }
    runs = [
        results(
            mxtrain.fit(
                CONFIG | {"data": {**CONFIG["data"], "standardize": "features"}},
                run_dir=tmp_path / name,
                data=(form, y),
            ).run_dir
        )
        for name, form in forms.items()
    ]
    assert all(run == runs[0] for run in runs)
