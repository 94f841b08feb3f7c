"""Validation and test data, and weights of samples, that Python passes to `fit`."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import mxtrain
from mxtrain.errors import ConfigError, DataError, TrainingError
from tests.training.conftest import fit_interrupted, results

_RNG = np.random.default_rng(1)
X, V = _RNG.normal(size=(60, 3)), _RNG.normal(size=(20, 3))
Y, VY = X @ [1.0, 2.0, 3.0] + _RNG.normal(size=60), V @ [1.0, 2.0, 3.0]
W, VW = _RNG.uniform(0, 3, 60), _RNG.uniform(0, 3, 20)
TRAIN = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": Y, "w": W})
VALID = pl.DataFrame({"a": V[:, 0], "b": V[:, 1], "c": V[:, 2], "y": VY, "w": VW})
ARRAYS: dict[str, Any] = {"source": "in_memory"}
COLUMNS: dict[str, Any] = {"source": "in_memory", "target": "y", "weight": "w"}
TABLE: dict[str, Any] = {"source": "train.csv", "target": "y", "weight": "w"}


def config(data: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Return a small run."""
    return {
        "dtype": "float64",
        "data": {"batch_size": 16, **data},
        "model": {"kind": "mlp", "hidden": [4]},
        "loss": "squared_error",
        "optimizer": {"kind": "adam", "η": 0.05},
        "fit": {"epochs": 3, "metrics": ["mae", "r2"], "checkpoint": {"every": "1 epoch"}},
        **others,
    }


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a new folder with tables and archives."""
    monkeypatch.chdir(tmp_path)
    TRAIN.write_csv("train.csv")
    VALID.write_csv("valid.csv")
    VALID.drop("w").write_csv("equal.csv")
    np.savez("valid.npz", X=V, y=VY)


FORMS: dict[str, Any] = {
    "pandas": VALID.to_pandas(),
    "polars": VALID,
    "arrow": VALID.to_arrow(),
    "dict": VALID.to_dict(as_series=False),
    "records": VALID.to_dicts(),
    "path": "valid.csv",
    "Path": Path("valid.csv"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("data", [COLUMNS, TABLE], ids=["frame", "file"])
def test_every_form_of_validation_data_gives_the_same_run(form: Any, data: dict[str, Any]) -> None:
    given = TRAIN if data is COLUMNS else None
    expected = mxtrain.fit(config(TABLE | {"validation": "valid.csv"}), run_dir="expected")
    result = mxtrain.fit(config(data), data=given, validation=form, run_dir="run")
    assert result.history == expected.history
    assert result.evaluate(part="validation")["r2"] == result.history[-1]["val_r2"]
    is_path = isinstance(form, str | Path)
    assert result.config.data.validation == (str(Path("valid.csv").absolute()) if is_path else "in_memory")


def test_fractions_and_archives_replace_the_fields_of_the_config() -> None:
    expected = mxtrain.fit(config(ARRAYS | {"validation": 0.4, "test": 0.1}), data=(X, Y), run_dir="expected")
    result = mxtrain.fit(config(ARRAYS | {"validation": 0}), data=(X, Y), validation=0.4, test=0.1, run_dir="run")
    assert results(result.run_dir) == results(expected.run_dir)
    assert mxtrain.resume("run", data=(X, Y), overrides=["fit.epochs=4"]).state.curr_epoch == 4
    found = mxtrain.fit(config(ARRAYS), data=(X, Y), validation="valid.npz", test=(V, VY), run_dir="archive")
    assert found.evaluate(part="validation") == found.evaluate(part="test") == found.evaluate((V, VY))
    assert found.evaluate()["r2"] == found.history[-1]["val_r2"]


def test_a_validation_set_allows_metrics_that_need_one() -> None:
    run = config(ARRAYS | {"validation": 0})
    run["fit"] |= {"metrics": ["rmse"], "early_stopping": {"monitor": "val_rmse"}}
    assert "val_rmse" in mxtrain.fit(run, data=(X, Y), validation=(V, VY), run_dir="run").history[-1]


def test_run_files_and_run_configs_take_the_arguments() -> None:
    first = mxtrain.fit(config(TABLE), validation=VALID, run_dir="first")
    for form in ("first/config.yaml", first.config):
        again = mxtrain.fit(form, validation=VALID, run_dir=f"again-{type(form).__name__}")
        assert results(again.run_dir) == results(first.run_dir)
    with pytest.raises(ConfigError, match="data.validation: the validation data are not in the config; pass them in"):
        mxtrain.fit("first/config.yaml", run_dir="other")
    with pytest.raises(ConfigError, match="in-memory data cannot be passed to the processes of a sweep"):
        mxtrain.sweep(
            config(TABLE | {"validation": "in_memory"})
            | {
                "sweep": {
                    "search": {"optimizer.η": {"choice": [0.1]}},
                    "objective": {"minimize": "val_loss"},
                    "trials": 1,
                }
            },
            run_dir="sweep",
        )


PASSED: dict[str, dict[str, Any]] = {
    "all": {"data": (X, Y), "validation": (V, VY, VW), "test": (V, VY), "sample_weight": W},
    "weights": {"data": (X, Y), "sample_weight": W.tolist()},
    "file": {"data": (X, Y), "validation": "valid.npz"},
}


@pytest.mark.parametrize("passed", PASSED.values(), ids=PASSED)
def test_a_resumed_run_is_equal_to_the_byte(passed: dict[str, Any]) -> None:
    whole = mxtrain.fit(config(ARRAYS), run_dir="whole", **passed)
    fit_interrupted(config(ARRAYS), Path("parts"), batches=5, **passed)
    mxtrain.resume("parts", **passed)
    assert results(Path("parts")) == results(Path("whole"))
    parts = mxtrain.DataParts(**passed)
    assert mxtrain.verify("parts", data=parts) == []
    run = mxtrain.load_run("parts")
    assert run.evaluate(part="validation", data=parts)["loss"] == whole.history[-1]["val_loss"]
    assert whole.evaluate(part="validation")["loss"] == whole.history[-1]["val_loss"]


CHANGES: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"validation": None},
        ConfigError,
        "data.validation: the validation data are not in the config; pass them in Python",
    ),
    ({"test": None}, ConfigError, "data.test: the test data are not in the config; pass them in Python as test="),
    (
        {"sample_weight": None},
        ConfigError,
        "data.weight: the weights are not in the config; pass them in Python as sample_",
    ),
    ({"sample_weight": W + 1}, TrainingError, "the data passed in Python are not those that the run was trained on"),
    ({"validation": (V, VY + 1, VW)}, TrainingError, "the data passed in Python are not those"),
    ({"validation": (V, VY)}, TrainingError, "the data passed in Python are not those"),
    ({"test": (V[::-1], VY)}, TrainingError, "the data passed in Python are not those"),
    ({"validation": 0.2}, ConfigError, "data.validation: was 'in_memory' when the run started, and cannot become 0.2"),
    (
        {"data": None, "sample_weight": None},
        ConfigError,
        "data.source: the data are not in the config; pass them in Python",
    ),
]


@pytest.mark.parametrize(("changes", "error", "message"), CHANGES)
def test_a_resume_needs_the_same_data(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    mxtrain.fit(config(ARRAYS), run_dir="run", **PASSED["all"])
    with pytest.raises(error, match=message):
        mxtrain.resume("run", overrides=["fit.epochs=4"], **(PASSED["all"] | changes))


def test_a_changed_file_or_frame_beside_other_data_is_refused() -> None:
    mxtrain.fit(config(COLUMNS), data=TRAIN, validation="valid.csv", run_dir="file")
    mxtrain.fit(config(TABLE), validation=VALID, run_dir="frame")
    Path("valid.csv").write_text(Path("valid.csv").read_text().replace("1", "2"))
    with pytest.raises(TrainingError, match="SHA-256 differs"):
        mxtrain.resume("file", data=TRAIN, overrides=["fit.epochs=4"])
    for column in ("a", "y", "w"):
        with pytest.raises(TrainingError, match="SHA-256 differs"):
            mxtrain.resume("frame", validation=VALID.with_columns(pl.col(column) + 1), overrides=["fit.epochs=4"])
    same = VALID.select("w", "y", "c", "b", "a").to_pandas()
    assert mxtrain.resume("frame", validation=same, overrides=["fit.epochs=4"]).state.curr_epoch == 4


ERRORS: list[tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = [
    (
        COLUMNS,
        {"data": TRAIN, "sample_weight": W},
        ConfigError,
        "data.weight: is 'w', and sample_weight= was passed; keep one",
    ),
    (
        TABLE,
        {"sample_weight": W},
        ConfigError,
        r"sample_weight: belongs to the samples in data=; for a file, name a column",
    ),
    (ARRAYS, {"sample_weight": W[:5]}, DataError, "sample_weight: must hold 60 numbers, one for each sample, got 5"),
    (
        ARRAYS,
        {"sample_weight": X},
        DataError,
        r"sample_weight: must hold 60 numbers, .*got an array of the shape",
    ),
    (ARRAYS, {"sample_weight": ["a"] * 60}, DataError, "sample_weight: must hold 60 numbers, .*got a list"),
    (
        ARRAYS,
        {"sample_weight": W - 1.5},
        DataError,
        r"sample_weight\[\d+\]: the weight of a sample must be a finite number of",
    ),
    (
        ARRAYS,
        {"sample_weight": [float("inf")] * 60},
        DataError,
        r"sample_weight\[0\]: the weight of a sample must be a finite number of",
    ),
    (
        ARRAYS,
        {"sample_weight": [float("nan")] * 60},
        DataError,
        r"sample_weight\[0\]: the weight of a sample is missing",
    ),
    (ARRAYS, {"sample_weight": W * 0}, DataError, "sample_weight: the weights of all samples are 0; set one above 0"),
    (
        ARRAYS,
        {"data": (X, Y, W)},
        DataError,
        "data: must be a pair .*, got a tuple of 3; pass weights as sample_weight=",
    ),
    (ARRAYS, {"validation": 1.5}, ConfigError, "data.validation: must be at least 0 and below 1, got 1.5"),
    (ARRAYS, {"validation": 0.6, "test": 0.4}, ConfigError, "data.test: validation and test together must be below 1"),
    (ARRAYS, {"validation": "no.npz"}, ConfigError, "data.validation: no such file: .*no.npz"),
    (ARRAYS, {"validation": "valid.csv"}, ConfigError, "data.validation: must be a path that ends in .npz, to match"),
    (ARRAYS, {"validation": (V,)}, DataError, "validation: must be a pair .*, got a tuple of 1"),
    (
        ARRAYS,
        {"test": (V, VY[:4])},
        DataError,
        "test: must have one target for each sample, .* got 20 samples and 4 values",
    ),
    (ARRAYS, {"test": (V, VY, VW[:4])}, DataError, "test: weights: must hold 20 numbers, one for each sample, got 4"),
    (ARRAYS, {"test": [1, 2]}, DataError, "test: must be .*, or columns by name, got a list"),
    (ARRAYS, {"test": (V[:, :2], VY)}, DataError, "inputs: must have 3 features, got 2"),
    (COLUMNS, {"data": TRAIN, "test": VALID.drop("y")}, DataError, "test: has no 'y' to compare predictions with"),
    (COLUMNS, {"data": TRAIN, "test": VALID.drop("a")}, DataError, "test: there is no column 'a'; there are"),
    (
        COLUMNS,
        {"data": TRAIN, "test": VALID.with_columns(w=-1.0)},
        DataError,
        "test: row 1: data.weight: column 'w': the weight",
    ),
]


@pytest.mark.parametrize(("data", "passed", "error", "message"), ERRORS)
def test_errors(data: dict[str, Any], passed: dict[str, Any], error: type[Exception], message: str) -> None:
    given = passed if data is TABLE else {"data": (X, Y)} | passed
    with pytest.raises(error, match=message):
        mxtrain.fit(config(data), run_dir="run", **given)
    assert not Path("run").exists()


def test_rows_without_a_target_take_their_weights_with_them() -> None:
    gaps = TRAIN.with_row_index().with_columns(y=pl.when(pl.col("index") % 7 > 0).then("y")).drop("index", "w")
    columns = {key: value for key, value in COLUMNS.items() if key != "weight"} | {"validation": 0}
    one = mxtrain.fit(config(columns), data=gaps, sample_weight=W, run_dir="one")
    kept = np.arange(60) % 7 > 0
    other = mxtrain.fit(config(columns), data=gaps.filter(kept), sample_weight=pl.Series(W[kept]), run_dir="other")
    assert one.history == other.history


WEIGHTS: dict[str, Any] = {
    "list": W.tolist(),
    "polars": pl.Series(W),
    "pandas": pl.DataFrame({"w": W}).to_pandas()["w"],
    "arrow": pl.Series(W).to_arrow(),
    "float32": W.astype(np.float32),
    "masked": np.ma.masked_array(W, mask=[False] * 60),
}


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_may_be_any_column_of_numbers(weights: Any) -> None:
    expected = mxtrain.fit(
        config(ARRAYS), data=(X, Y), sample_weight=np.asarray(weights, np.float64), run_dir="expected"
    )
    result = mxtrain.fit(config(ARRAYS), data=(X, Y), sample_weight=weights, run_dir="run")
    assert results(result.run_dir) == results(expected.run_dir)


def test_a_masked_weight_is_missing() -> None:
    weights = np.ma.masked_array(W, mask=np.arange(60) == 3)
    with pytest.raises(DataError, match=r"sample_weight\[3\]: the weight of a sample is missing"):
        mxtrain.fit(config(ARRAYS), data=(X, Y), sample_weight=weights, run_dir="run")
