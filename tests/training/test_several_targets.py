"""Runs with several targets at once: regression and boolean targets, from files, arrays and frames."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as sklearn_metrics

import mxtrain
from mxtrain.data import Preprocessing
from mxtrain.errors import ConfigError, DataError
from tests.training.conftest import fit_interrupted, results

TARGETS = ["u", "v", "w"]
_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(80, 2))
NUMBERS = np.exp(0.3 * X @ _RNG.normal(size=(2, 3))) * [1, 1000, 5]
BOOLEANS = X @ _RNG.normal(size=(2, 3)) + _RNG.normal(size=(80, 3)) > 0
NUMBER_LOSSES: list[Any] = [
    "squared_error",
    "absolute",
    {"kind": "huber", "δ": 0.5},
    {"kind": "quantile", "q": 0.3},
    "poisson",
    "gamma",
    "tweedie",
]


def config(loss: Any = "squared_error", epochs: int = 2, **data: Any) -> dict[str, Any]:
    """Return a small run on `train.csv`."""
    return {
        "dtype": "float64",
        "data": {"source": "train.csv", "target": TARGETS, "batch_size": 16, **data},
        "model": {"kind": "linear"},
        "loss": loss,
        "optimizer": {"kind": "adam", "η": 0.05},
        "fit": {"epochs": epochs, "metrics": "auto"},
    }


def frame(targets: np.ndarray[Any, Any], names: list[str] = TARGETS) -> pl.DataFrame:
    """Return the inputs and the targets as a frame."""
    columns = dict(zip(names, targets.T.tolist(), strict=True))
    return pl.DataFrame({"a": X[:, 0], "b": X[:, 1], **columns})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a new folder with the table of numbers."""
    monkeypatch.chdir(tmp_path)
    frame(NUMBERS).write_csv("train.csv")
    return tmp_path


@pytest.mark.parametrize("loss", NUMBER_LOSSES, ids=str)
def test_metrics_are_uniform_averages_as_in_scikit_learn(loss: Any) -> None:
    run = mxtrain.load_run(mxtrain.fit(config(loss), run_dir="run").run_dir)
    predicted = run.predict("train.csv")
    found = run.compare(samples="train.csv")
    assert predicted.shape == NUMBERS.shape
    expected = {
        "mae": sklearn_metrics.mean_absolute_error(NUMBERS, predicted),
        "r2": sklearn_metrics.r2_score(NUMBERS, predicted),
    }
    if "rmse" in found.metrics:
        expected["rmse"] = sklearn_metrics.root_mean_squared_error(NUMBERS, predicted)
    for name, value in expected.items():
        assert found.metrics[name] == pytest.approx(value, rel=1e-10)
        each = [found.by_target[target][name] or 0.0 for target in TARGETS]
        assert np.mean(each) == pytest.approx(value, rel=1e-10)
    assert sum(found.by_target[target]["loss"] or 0.0 for target in TARGETS) == pytest.approx(
        found.metrics["loss"], rel=1e-10
    )


def test_each_target_is_standardized_and_saved() -> None:
    mxtrain.fit(config(validation=0), run_dir="run")
    saved = json.loads(Path("run/preprocessing.json").read_text())["preprocessing"]
    assert saved["target_columns"] == TARGETS
    np.testing.assert_allclose(saved["target_scale"]["mean"], NUMBERS.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(saved["target_scale"]["scale"], NUMBERS.std(axis=0), rtol=1e-12)
    restored = Preprocessing.from_dict(saved)
    assert Preprocessing.from_dict(json.loads(json.dumps(restored.to_dict()))) == restored


def test_the_list_is_in_the_resolved_config_and_a_list_of_one_is_a_name() -> None:
    mxtrain.fit(config(), run_dir="run")
    assert "  target: [u, v, w]\n" in Path("run/config.yaml").read_text()
    one, name = (
        mxtrain.fit(config(target=target, exclude=["v", "w"]), run_dir=f"run-{len(target)}-{type(target).__name__}")
        for target in (["u"], "u")
    )
    assert results(one.run_dir) == results(name.run_dir)
    assert "target_columns" not in Path(name.run_dir, "preprocessing.json").read_text()


@pytest.mark.parametrize("loss", ["squared_error", "logistic"])
def test_a_resumed_run_is_equal_to_the_byte(loss: str) -> None:
    frame(NUMBERS if loss == "squared_error" else BOOLEANS).write_csv("train.csv")
    run = config(loss, epochs=3) | {"model": {"kind": "mlp", "hidden": [4]}}
    run["fit"] = run["fit"] | {
        "early_stopping": {"monitor": "val_loss", "patience": 2},
        "checkpoint": {"every": "1 epoch"},
    }
    mxtrain.fit(run, run_dir="whole")
    mxtrain.resume(fit_interrupted(run, Path("parts"), batches=6))
    assert results(Path("whole")) == results(Path("parts"))
    assert mxtrain.verify("parts") == []


@pytest.mark.parametrize(
    ("values", "dtype"),
    [(BOOLEANS, "bool"), (BOOLEANS.astype(np.int64), "int64"), (BOOLEANS.astype(np.float64), "float64")],
)
def test_boolean_targets_come_back_in_their_dtype(values: np.ndarray[Any, Any], dtype: str) -> None:
    data = config("logistic", source="in_memory")
    run = mxtrain.load_run(mxtrain.fit(data, run_dir="run", data=frame(values)).run_dir)
    predicted, likelihood = run.predict(frame(values)), run.probabilities(X)
    assert predicted.dtype == dtype
    assert predicted.shape == likelihood.shape == (80, 3)
    np.testing.assert_array_equal(predicted, likelihood > 0.5)
    found = run.compare(samples=frame(values))
    assert found.metrics["accuracy"] == sklearn_metrics.accuracy_score(BOOLEANS, predicted)
    assert found.metrics["f1"] == pytest.approx(sklearn_metrics.f1_score(BOOLEANS, predicted, average="macro"))
    assert found.metrics["roc_auc"] == pytest.approx(sklearn_metrics.roc_auc_score(BOOLEANS, likelihood))
    assert found.targets.dtype == dtype
    with pytest.raises(ValueError, match="the run has several targets"):
        run.predict(X, threshold=0.5)


def test_files_arrays_and_frames_train_the_same_model() -> None:
    np.savez("train.npz", X=X, y=NUMBERS)
    Path("shards").mkdir()
    np.save("shards/inputs-0.npy", X)
    np.save("shards/targets-0.npy", NUMBERS)
    rows = config()["data"]
    named = {key: value for key, value in rows.items() if key not in ("source", "target")}
    zero = {"model": {"kind": "linear", "output_init": "zero"}}  # the default of tables only
    runs = [
        mxtrain.fit(config() | zero, run_dir="csv"),
        mxtrain.fit(config(source="in_memory") | zero, run_dir="frame", data=frame(NUMBERS)),
        mxtrain.fit(config(source="train.npz", target="y") | zero, run_dir="npz"),
        mxtrain.fit(config() | {"data": {"source": "in_memory", **named}} | zero, run_dir="pair", data=(X, NUMBERS)),
        mxtrain.fit(
            config() | {"data": {"source": "in_memory", **named}} | zero, run_dir="lists", data=(X, NUMBERS.tolist())
        ),
    ]
    for run in runs[1:]:
        assert run.history[-1]["val_loss"] == runs[0].history[-1]["val_loss"]
        np.testing.assert_array_equal(run.predict(X), runs[0].predict(X))
    streamed = mxtrain.fit(config() | {"data": {"source": "shards/", **named}}, run_dir="shards-run")
    assert streamed.predict(X).shape == (80, 3)
    for samples in ("train.npz", (X, NUMBERS)):
        assert runs[2].evaluate(samples)["r2"] == runs[3].evaluate((X, NUMBERS))["r2"]
    assert streamed.evaluate("shards/") == streamed.evaluate((X, NUMBERS))


def test_rows_without_one_of_the_targets_are_left_out_and_counted() -> None:
    table = frame(NUMBERS).with_row_index()
    gaps = table.with_columns(u=pl.when(pl.col("index") != 3).then("u"), w=pl.when(pl.col("index") > 3).then("w"))
    gaps.drop("index").write_csv("train.csv")
    notes: list[str] = []

    class Collect(mxtrain.Callback):
        def on_start(self, info: Any) -> None:
            notes.extend(info.notes)
            assert sum(info.samples) == 76

    result = mxtrain.fit(config(), run_dir="run", callbacks=[Collect()])
    assert "left out 4 samples without one of the targets 'u', 'w'" in notes
    with pytest.warns(UserWarning, match="left out 4 samples without one of the targets"):
        result.evaluate("train.csv")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"loss": "softmax_cross_entropy"},
            ConfigError,
            "data.target: names 3 columns, and softmax_cross_entropy is for",
        ),
        (
            {"loss": {"kind": "quantile", "q": [0.1, 0.9]}},
            ConfigError,
            "a list of quantiles is for one target; use one",
        ),
        ({"data": {"target": ["u", "u"]}}, ConfigError, "data.target: 'u' is listed twice; keep one"),
        ({"data": {"target": []}}, ConfigError, r"data.target: must be a list of at least one name, got \[\]"),
        ({"data": {"target": ["u", 3]}}, ConfigError, "data.target: must be a string, got 3; put it in quotes"),
        (
            {"data": {"target": ["u", "a"], "features": ["a"]}},
            DataError,
            "data.features: 'a' is the target; leave it out",
        ),
        ({"data": {"target": ["u", "x"]}}, DataError, "data.target: there is no column 'x'"),
        ({"data": {"source": "train.npz", "target": ["y", "z"]}}, ConfigError, "an archive has one array of targets"),
        ({"data": {"exclude": ["v"]}}, ConfigError, "data.exclude: 'v' is the target; keep one of the two"),
        (
            {"loss": "logistic"},
            DataError,
            r"train.csv:2: column 'u': one of several targets must be 0 or 1, or false or",
        ),
        ({"data": {"target": ["u", "c"]}}, DataError, "'c': the targets of the training set are all 1.0"),
        (
            {"class_weight": "balanced", "loss": "logistic", "data": {"target": ["d", "e"]}},
            ConfigError,
            "class_weight: is for one target",
        ),
    ],
)
def test_errors(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    np.savez("train.npz", X=X, y=NUMBERS)
    constant: dict[str, Any] = {"c": [1.0] * 80, "d": BOOLEANS[:, 0], "e": BOOLEANS[:, 1]}
    frame(NUMBERS).with_columns(pl.Series(name, values) for name, values in constant.items()).write_csv("train.csv")
    run = config()
    run["data"] |= changes.pop("data", {})
    with pytest.raises(error, match=message):
        mxtrain.fit(run | changes, run_dir="run")


@pytest.mark.parametrize(
    ("targets", "loss", "message"),
    [
        (
            NUMBERS,
            "softmax_cross_entropy",
            r"must hold one value for each sample, got the shape \(80, 3\); for one-hot",
        ),
        (
            NUMBERS,
            {"kind": "quantile", "q": [0.1, 0.9]},
            "'y' has 3 columns, and a list of quantiles is for one target",
        ),
        (frame(NUMBERS), "squared_error", "y is a table; pass the column .* or y.to_numpy\\(\\) for several targets"),
        (np.zeros((80, 2, 2)), "squared_error", r"must hold one value for each sample, got the shape \(80, 2, 2\)"),
        ([[1.0, 2.0]] * 79 + [[1.0]], "squared_error", "data: y must hold as many values for each sample"),
        (np.where(NUMBERS > 2, np.nan, 1), "squared_error", r"column 'y\[\d\]': a value is missing"),
    ],
)
def test_errors_of_arrays(targets: Any, loss: Any, message: str) -> None:
    run = config(loss) | {"data": {"source": "in_memory"}}
    with pytest.raises(DataError, match=message):
        mxtrain.fit(run, run_dir="run", data=(X, targets))


def test_evaluation_data_must_have_all_targets() -> None:
    result = mxtrain.fit(config(), run_dir="run")
    frame(NUMBERS).drop("v").write_csv("new.csv")
    for samples in ("new.csv", frame(NUMBERS).drop("v")):
        with pytest.raises(DataError, match="'v'"):
            result.evaluate(samples)
    with pytest.raises(DataError, match="y must hold 3 values for each sample, got 2"):
        result.evaluate((X, NUMBERS[:, :2]))
    assert result.predict("new.csv").shape == (80, 3)


def test_a_separate_validation_file_and_early_stopping_use_all_targets() -> None:
    frame(NUMBERS).write_csv("valid.csv")
    run = config(validation="valid.csv", test="valid.csv", epochs=3)
    run["fit"]["early_stopping"] = {"monitor": "val_rmse", "patience": 1}
    result = mxtrain.fit(run, run_dir="run")
    loaded = mxtrain.load_run(result.run_dir)
    assert result.best is not None
    assert loaded.evaluate()["rmse"] == loaded.evaluate("valid.csv")["rmse"] == result.best["val_rmse"]


def test_the_report_has_charts_of_each_target() -> None:
    pytest.importorskip("plotly")
    page = mxtrain.fit(config(), run_dir="run").report()
    text = Path("run/report.html").read_text()
    assert all(f"true {name}" in text for name in TARGETS)
    assert page is not None
