"""Runs with weights of samples and classes: equal to repeated samples, on every backend, after a resume, in metrics."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as sklearn_metrics

import mxtrain
from tests.training.conftest import fit_interrupted, results

_RNG = np.random.default_rng(2)
N = 60
X = _RNG.normal(size=(N, 3))
SCORE = X @ [1.0, 2.0, -1.0] + _RNG.normal(size=N)
TIMES = _RNG.integers(1, 4, N)
CLASS_TIMES = {"a": 1, "b": 2, "c": 3}
TARGETS: dict[str, Any] = {
    "number": SCORE,
    "count": np.exp(SCORE / 4).round() + 1,
    "binary": np.where(SCORE > 0, "yes", "no"),
    "class": np.array(["a", "b", "c"])[np.digitize(SCORE, [-1, 1])],
}
LOSSES: list[tuple[Any, str]] = [
    ("squared_error", "number"),
    ("absolute", "number"),
    ({"kind": "huber", "δ": 0.5}, "number"),
    ({"kind": "quantile", "q": [0.1, 0.5, 0.9]}, "number"),
    ("poisson", "count"),
    ("gamma", "count"),
    ({"kind": "tweedie", "power": 1.3}, "count"),
    ("logistic", "binary"),
    ("softmax_cross_entropy", "class"),
    ({"kind": "softmax_cross_entropy", "label_smoothing": 0.1}, "class"),
    ("focal", "class"),
]


def frame(target: str, times: Any = None) -> pl.DataFrame:
    """Return a table of the inputs, a target, its groups and, as a column `w`, weights; with `times`, repeated rows."""
    table = pl.DataFrame({"x0": X[:, 0], "x1": X[:, 1], "x2": X[:, 2], "y": TARGETS[target]})
    table = table.with_columns(w=pl.Series(TIMES), g=pl.Series(np.arange(N) // 3).cast(pl.String))
    return table if times is None else table[np.repeat(np.arange(N), times).tolist()]


def config(loss: Any, **changes: Any) -> dict[str, Any]:
    """Return a run in full batches on the columns x0, x1 and x2, without standardization."""
    data = {"features": ["x0", "x1", "x2"], "standardize": "none", "batch_size": 1000, "validation": 0}
    is_standardizable = loss in ("squared_error", "absolute") or (
        isinstance(loss, dict) and loss["kind"] in ("huber", "quantile")
    )
    data |= {"standardize_target": False} if is_standardizable else {}
    return {
        "dtype": "float64",
        "data": {"source": "in_memory", "target": "y", **data, **changes.pop("data", {})},
        "model": {"kind": "mlp", "hidden": [4], "activation": "tanh"},
        "loss": loss,
        "optimizer": {"kind": "adam", "η": 0.01},
        "fit": {"epochs": 4},
        **changes,
    }


def losses(run: Any) -> list[float]:
    return [row["loss"] for row in run.history]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a new folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("loss", "target"), LOSSES, ids=str)
def test_weights_of_samples_equal_repeated_samples(loss: Any, target: str) -> None:
    weighted = mxtrain.fit(config(loss, data={"weight": "w"}), data=frame(target), run_dir="weighted")
    argument = mxtrain.fit(config(loss), data=frame(target), sample_weight=10.0 * TIMES, run_dir="argument")
    repeated = mxtrain.fit(config(loss), data=frame(target, TIMES), run_dir="repeated")
    np.testing.assert_allclose(losses(weighted), losses(repeated), rtol=1e-12)
    np.testing.assert_allclose(losses(argument), losses(repeated), rtol=1e-12)
    for name, value in repeated.parameters.items():
        np.testing.assert_allclose(weighted.parameters[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "loss", ["softmax_cross_entropy", "focal", {"kind": "softmax_cross_entropy", "label_smoothing": 0.2}]
)
@pytest.mark.parametrize("with_samples", [False, True])
def test_weights_of_classes_equal_repeated_samples(loss: Any, with_samples: bool) -> None:
    times = np.array([CLASS_TIMES[label] for label in TARGETS["class"]])
    data, total = {}, times.copy()
    if with_samples:
        data, total = {"weight": "w"}, times * TIMES
    # repeated samples divide the gradient by their number; weights of samples have the mean 1
    scale = float(TIMES.mean() / total.sum()) ** -1 if with_samples else float(total.sum())
    settings = {"kind": "adam", "η": 0.01, "scale": 1 / scale}
    weights = {name: float(number) for name, number in CLASS_TIMES.items()}
    weighted = mxtrain.fit(
        config(loss, class_weight=weights, data=data, optimizer=settings), data=frame("class"), run_dir="weighted"
    )
    repeated = mxtrain.fit(config(loss), data=frame("class", total), run_dir="repeated")
    np.testing.assert_allclose(losses(weighted), losses(repeated), rtol=1e-12)


def test_balanced_classes_equal_their_weights() -> None:
    labels, counts = np.unique(TARGETS["class"], return_counts=True)
    weights = dict(zip(labels.tolist(), (N / (3 * counts)).tolist(), strict=True))
    runs = [
        mxtrain.fit(config("focal", class_weight=each), data=frame("class"), run_dir=f"run-{type(each).__name__}")
        for each in ("balanced", weights)
    ]
    assert losses(runs[0]) == losses(runs[1])


METRICS: dict[str, tuple[Any, list[str]]] = {
    "number": ("squared_error", ["mae", "r2", "rmse", "mape", "median_absolute_error"]),
    "binary": ("logistic", ["accuracy", "balanced_accuracy", "f1", "precision", "recall", "roc_auc", "average_precision", "log_loss", "brier"]),
    "class": ("softmax_cross_entropy", ["accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss", "brier", "top_k"]),
}  # fmt: skip


@pytest.mark.parametrize("target", METRICS)
def test_metrics_of_weighted_validation_data_equal_those_of_repeated_samples(target: str) -> None:
    loss, names = METRICS[target]
    frame(target).write_csv("weighted.csv")
    frame(target, TIMES).drop("w").write_csv("repeated.csv")
    run = config(loss, data={"weight": "w"}, fit={"epochs": 2, "metrics": names})
    weighted = mxtrain.fit(run, data=frame(target), validation="weighted.csv", run_dir="weighted")
    repeated = mxtrain.fit(run, data=frame(target), validation="repeated.csv", run_dir="repeated")
    median = "median_absolute_error"  # of weighted samples, it is one of them
    for name in ("loss", *(name for name in names if name != median)):
        assert weighted.history[-1][f"val_{name}"] == pytest.approx(repeated.history[-1][f"val_{name}"], rel=1e-12)
    found = weighted.evaluate("weighted.csv")
    assert found == weighted.evaluate(frame(target)) == weighted.evaluate(part="validation")
    assert {f"val_{name}": value for name, value in found.items()}.items() <= weighted.history[-1].items()
    if target == "number":
        predicted = weighted.predict("weighted.csv")
        expected = sklearn_metrics.median_absolute_error(SCORE, predicted, sample_weight=TIMES)
        assert found[median] == pytest.approx(expected, rel=1e-12)


def test_the_confusion_matrix_and_the_threshold_are_weighted() -> None:
    run = config("logistic", data={"weight": "w"}, fit={"epochs": 5, "metrics": ["f1"]})
    result = mxtrain.fit(run, data=frame("binary"), validation=frame("binary"), run_dir="weighted")
    repeated = mxtrain.fit(
        run, data=frame("binary"), validation=frame("binary", TIMES).with_columns(w=1), run_dir="repeated"
    )
    parts = mxtrain.DataParts(frame("binary"), frame("binary"))
    loaded = mxtrain.load_run(result.run_dir)
    report = loaded.compare("validation", data=parts).class_report()
    assert report is not None
    expected = sklearn_metrics.confusion_matrix(TARGETS["binary"], result.predict(frame("binary")), sample_weight=TIMES)
    np.testing.assert_allclose(report.matrix / report.matrix.sum(), expected / expected.sum(), rtol=1e-12)
    other = mxtrain.load_run(repeated.run_dir)
    others = mxtrain.DataParts(frame("binary"), frame("binary", TIMES).with_columns(w=1))
    for metric in ("f1", "balanced_accuracy"):
        threshold = loaded.fit_threshold(metric, data=parts)
        assert threshold == pytest.approx(other.fit_threshold(metric, data=others), rel=1e-12)
        predicted = result.predict(frame("binary"), threshold=threshold)
        value = loaded.evaluate(part="validation", data=parts, threshold=threshold)["f1"]
        found = sklearn_metrics.f1_score(TARGETS["binary"], predicted, sample_weight=TIMES, pos_label="yes")
        assert value == pytest.approx(found, rel=1e-12)


def test_held_out_data_without_the_column_of_weights_count_alike_with_a_note() -> None:
    frame("number").drop("w").write_csv("equal.csv")
    notes: list[str] = []

    class Collect(mxtrain.Callback):
        def on_start(self, info: Any) -> None:
            notes.extend(info.notes)

    run = config("squared_error", data={"weight": "w", "test": "equal.csv"})
    result = mxtrain.fit(run, data=frame("number"), validation="equal.csv", run_dir="run", callbacks=[Collect()])
    note = "equal.csv: there is no column 'w' (data.weight), so all samples count alike"
    assert sum(line.endswith(note) for line in notes) == 2
    with pytest.warns(UserWarning, match="there is no column 'w'"):
        found = result.evaluate("equal.csv")
    expected = sklearn_metrics.mean_absolute_error(SCORE, result.predict("equal.csv"))
    assert found["mae"] == pytest.approx(expected, rel=1e-12)


def test_a_part_without_weight_is_refused() -> None:
    run = config("squared_error", data={"weight": "w", "validation": 0.5})
    with pytest.raises(mxtrain.DataError, match="data.weight: the weights of all training samples are 0"):
        mxtrain.fit(run, data=frame("number").with_columns(w=pl.Series([0] * 59 + [1])), run_dir="run")


EVERYTHING: dict[str, Any] = {
    "data": {"weight": "w", "groups": "g", "batch_size": 8, "validation": 0.3, "test": 0.2, "standardize": "features"},
    "class_weight": "balanced",
    "fit": {
        "epochs": 4,
        "metrics": ["balanced_accuracy", "f1", "roc_auc"],
        "early_stopping": {"monitor": "val_balanced_accuracy", "patience": 2},
        "checkpoint": {"every": "3 iterations", "best": "val_f1"},
    },
}


def everything(loss: Any, **changes: Any) -> dict[str, Any]:
    """Return a run with weights of samples and classes, groups and early stopping by a metric of all samples."""
    return config(loss, **(json.loads(json.dumps(EVERYTHING)) | changes))


@pytest.mark.parametrize(("loss", "target"), [("focal", "class"), ("logistic", "binary")])
def test_a_resumed_run_with_weights_and_groups_is_equal_to_the_byte(loss: str, target: str) -> None:
    data = frame(target)
    mxtrain.fit(everything(loss), data=data, run_dir="whole")
    mxtrain.resume(fit_interrupted(everything(loss), Path("parts"), batches=7, data=data), data=data)
    assert results(Path("parts")) == results(Path("whole"))
    assert mxtrain.verify("parts", data=data) == []


@pytest.mark.parametrize(
    ("loss", "target"), [("focal", "class"), ({"kind": "quantile", "q": 0.9}, "number"), ("poisson", "count")]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_are_equal_to_the_bit(loss: Any, target: str, dtype: str) -> None:
    weights = {"class_weight": "balanced"} if target == "class" else {}
    data = {"weight": "w", "groups": "g", "batch_size": 8, "validation": 0.3, "standardize": "features"}
    runs = []
    for backend in ("numpy", "compiled"):
        run = config(loss, data=data, dtype=dtype, **weights) | {"backend": backend, "dtype": dtype}
        runs.append(mxtrain.fit(run, data=frame(target), run_dir=backend))
    assert runs[0].history == runs[1].history
    for name, value in runs[0].parameters.items():
        assert value.tobytes() == runs[1].parameters[name].tobytes()


@pytest.mark.parametrize(
    ("loss", "target", "metric", "direction"),
    [
        ("softmax_cross_entropy", "class", "balanced_accuracy", "maximize"),
        ({"kind": "quantile", "q": 0.9}, "number", "pinball", "minimize"),
    ],
)
def test_sweeps_compare_weighted_metrics(loss: Any, target: str, metric: str, direction: str) -> None:
    frame(target).write_csv("train.csv")
    data = {"source": "train.csv", "weight": "w", "groups": "g", "batch_size": 16, "validation": 0.4}
    run = config(
        loss, data=data, fit={"epochs": 3, "metrics": [metric], "early_stopping": {"monitor": f"val_{metric}"}}
    )
    search = {"search": {"optimizer.η": {"choice": [0.001, 0.1]}}, "sampler": {"kind": "grid"}}
    found = mxtrain.sweep(
        run | {"sweep": search | {"objective": {direction: f"val_{metric}"}}}, run_dir="sweep", workers=1
    )
    assert len(list(found)) == 2
    assert found.best is not None
    best = mxtrain.load_run(found.best["run_dir"])
    assert best.evaluate(part="validation")[metric] == found.best["value"]
    compared = best.compare("validation")
    if metric == "pinball":
        held_out = frame(target).filter(pl.Series(np.isin(SCORE.round(9), compared.targets.round(9))))
        error = sklearn_metrics.mean_pinball_loss(
            held_out["y"], best.predict(held_out), alpha=0.9, sample_weight=held_out["w"]
        )
        assert found.best["value"] == pytest.approx(error, rel=1e-12)


def test_class_weights_that_overflow_are_refused() -> None:
    weights = dict.fromkeys(CLASS_TIMES, 1e300)
    settings = config("focal", class_weight=weights) | {"dtype": "float32"}
    with pytest.raises(mxtrain.errors.ConfigError, match=r"class_weight: must be at most 3\.4e\+38 in float32, got 1e"):
        mxtrain.fit(settings, data=frame("class"), run_dir="run")
