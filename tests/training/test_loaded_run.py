"""Runs can be loaded for prediction and evaluation, and their folders stay unchanged."""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.training import StopRequest
from tests.training.conftest import fit_interrupted

PETS = "age,size,species\n" + "".join(
    f"{age},{size},{kind}\n"
    for age, size, kind in itertools.islice(
        itertools.cycle([(1, "small", "cat"), (2, "small", "cat"), (8, "big", "dog"), (9, "big", "dog")]), 60
    )
)


def settings(source: str, loss: str = "softmax_cross_entropy", **sections: Any) -> dict[str, Any]:
    target = {} if source in ("digits", "diabetes") else {"target": "species"}
    whole = {
        "name": "loaded",
        "data": {"source": source, "test": 0.2, **target},
        "model": {"kind": "linear"},
        "loss": loss,
        "optimizer": {"kind": "adam", "η": 0.05},
        "fit": {"epochs": 3, "checkpoint": {"every": "1 epoch"}},
    }
    return {name: value | sections.get(name, {}) if isinstance(value, dict) else value for name, value in whole.items()}


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    (tmp_path / "pets.csv").write_text(PETS)
    return mxtrain.fit(settings(str(tmp_path / "pets.csv")), run_dir=tmp_path / "run").run_dir


@pytest.mark.parametrize(("source", "loss"), [("digits", "softmax_cross_entropy"), ("diabetes", "squared_error")])
def test_evaluate_gives_the_metrics_of_training_exactly(source: str, loss: str, tmp_path: Path) -> None:
    metrics = ["accuracy"] if source == "digits" else ["mae", "r2"]
    run_dir = mxtrain.fit(settings(source, loss, fit={"metrics": metrics}), run_dir=tmp_path).run_dir
    run = mxtrain.load_run(run_dir)
    measured = run.evaluate(part="validation")
    assert list(measured) == ["loss", *metrics]
    assert measured == {name: run.history[-1][f"val_{name}"] for name in measured}
    assert run.evaluate() == run.evaluate(part="test") != measured


def test_results_have_probabilities_and_thresholds(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(80, 2))
    y = np.where(x[:, 0] > 0.5, "yes", "no")
    result = mxtrain.fit(settings("in_memory", "logistic", data={"target": None}), data=(x, y), run_dir=tmp_path)
    run = mxtrain.load_run(tmp_path)
    np.testing.assert_array_equal(result.probabilities(x), run.probabilities(x))
    assert result.fit_threshold("f1") == run.fit_threshold("f1", data=(x, y))


def test_classes_are_predicted_by_name(pets: Path) -> None:
    run = mxtrain.load_run(pets)
    assert run.class_names == ("cat", "dog")
    assert run.feature_names == ("age", "size=big", "size=small")
    new = {"size": ["big", "small"], "age": [8, 1], "colour": ["black", "white"]}
    assert run.predict(new).tolist() == ["dog", "cat"]
    likely = run.probabilities(new)
    assert likely.shape == (2, 2)
    assert likely.sum(axis=1) == pytest.approx(1)
    assert likely[0, 1] > 0.5 > likely[1, 1]


def test_a_file_without_targets_can_be_predicted_but_not_evaluated(pets: Path, tmp_path: Path) -> None:
    run = mxtrain.load_run(pets)
    (tmp_path / "new.csv").write_text("size,age\nsmall,2\nbig,9\nsmall,1\n")
    assert run.predict(tmp_path / "new.csv").tolist() == ["cat", "dog", "cat"]
    with pytest.raises(mxtrain.DataError, match="has no 'species' to compare predictions with"):
        run.evaluate(tmp_path / "new.csv")
    assert run.evaluate(tmp_path / "pets.csv")["accuracy"] == 1


def test_numbers_are_predicted_in_the_dtype_of_the_run(tmp_path: Path) -> None:
    run = mxtrain.load_run(mxtrain.fit(settings("diabetes", "squared_error"), run_dir=tmp_path).run_dir)
    predicted = run.predict("diabetes")
    assert (predicted.shape, predicted.dtype, run.class_names) == ((442,), np.float32, None)
    with pytest.raises(ValueError, match="predicts numbers, which have no probabilities"):
        run.probabilities("diabetes")


def test_loading_predicting_and_evaluating_write_nothing(pets: Path) -> None:
    before = content(pets)
    run = mxtrain.load_run(pets)
    run.evaluate()
    run.predict({"age": [1], "size": ["big"]})
    assert content(pets) == before


def test_the_repr_of_a_run_is_one_line(tmp_path: Path) -> None:
    result = mxtrain.fit(settings("digits", fit={"epochs": 2}), run_dir=tmp_path)
    last = result.history[-1]
    found = f"epoch 2: loss {last['loss']:.4f}, val_loss {last['val_loss']:.4f}"
    assert repr(result) == f"FitResult({str(tmp_path)!r}, last {found})"
    assert repr(mxtrain.load_run(tmp_path)) == f"LoadedRun({str(tmp_path)!r}, finished, {found})"


def test_the_repr_of_a_run_without_epochs_is_one_line(tmp_path: Path) -> None:
    run_dir = fit_interrupted(settings("digits"), tmp_path / "cut", batches=5)
    assert repr(mxtrain.load_run(run_dir)) == f"LoadedRun({str(run_dir)!r}, unfinished, no epoch is finished)"


def test_a_run_can_be_loaded_if_its_data_are_missing(pets: Path, tmp_path: Path) -> None:
    shutil.move(pets, tmp_path / "elsewhere")
    (tmp_path / "pets.csv").unlink()
    run = mxtrain.load_run(tmp_path / "elsewhere")
    assert run.predict({"age": [1], "size": ["small"]}).tolist() == ["cat"]
    with pytest.raises(mxtrain.DataError, match=r"pets\.csv: cannot be read: No such file"):
        run.evaluate()


def test_changed_data_are_not_evaluated(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "pets.csv").write_text(PETS + "5,big,cat\n")
    with pytest.raises(mxtrain.TrainingError, match="are not those that the run was trained on"):
        mxtrain.load_run(pets).evaluate()


def test_an_unfinished_run_loads_its_newest_checkpoint(tmp_path: Path) -> None:
    run_dir = fit_interrupted(settings("digits"), tmp_path / "cut", batches=50)
    run = mxtrain.load_run(run_dir)
    assert (run.status.state, len(run.history), run.notes) == ("unfinished", 1, ())
    assert not (run_dir / "model.safetensors").exists()
    newest = max((run_dir / "checkpoints").iterdir())
    (newest / "record.json").write_bytes(b"{}")
    run = mxtrain.load_run(run_dir)
    assert "is damaged and was skipped" in run.notes[0]
    shorter = mxtrain.fit(settings("digits", fit={"epochs": 1}), run_dir=tmp_path / "one")
    for name, value in shorter.parameters.items():
        assert (run.parameters[name] == value).all()


def test_a_finished_run_that_is_resumed_loads_its_newest_checkpoint(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(settings("digits", fit={"epochs": 1}), run_dir=tmp_path).run_dir
    stop = StopRequest(signal=15)
    with pytest.raises(mxtrain.RunInterrupted):
        mxtrain.resume(run_dir, overrides=["fit.epochs=2"], stop=stop)
    run = mxtrain.load_run(run_dir)
    assert run.status.state == "unfinished"
    newest = mxtrain.training.checkpoints.storage.Checkpoints(run_dir / "checkpoints", 1).newest()
    assert newest is not None
    assert all((run.parameters[name] == value).all() for name, value in newest.parameters.items())


def test_a_run_that_diverged_is_marked_as_failed_with_the_reason(tmp_path: Path) -> None:
    config = settings("diabetes", "squared_error") | {"optimizer": {"kind": "sgd", "η": 1e30}}
    with pytest.raises(mxtrain.TrainingError, match="the run has diverged"):
        mxtrain.fit(config, run_dir=tmp_path)
    status = mxtrain.training.run_folder.run_status.read_status(tmp_path)
    assert status.state == "failed"
    assert "the run has diverged" in status.reason


def test_the_best_epoch_is_the_one_that_is_loaded(tmp_path: Path) -> None:
    config = settings(
        "diabetes",
        "squared_error",
        model={"kind": "mlp", "hidden": [32]},
        optimizer={"η": 0.3},
        fit={"epochs": 50, "early_stopping": {"patience": 2}},
    )
    run = mxtrain.load_run(mxtrain.fit(config, run_dir=tmp_path).run_dir)
    assert run.epoch == len(run.history) - 2
    assert run.evaluate(part="validation")["loss"] == run.history[run.epoch - 1]["val_loss"]


DAMAGE = {
    "preprocessing.json": (b'{"data": 1}', r"preprocessing\.json is damaged"),
    "model.safetensors": (b"\x00" * 9, r"model\.safetensors is damaged"),
}


@pytest.mark.parametrize(("file", "damage"), DAMAGE.items())
def test_damaged_files_are_reported_on_one_line_with_the_remedy(file: str, damage: Any, pets: Path) -> None:
    (pets / file).write_bytes(damage[0])
    with pytest.raises(mxtrain.TrainingError, match=damage[1]) as caught:
        mxtrain.load_run(pets)
    assert "mxtrain resume" in str(caught.value)
    mxtrain.resume(pets)
    mxtrain.load_run(pets)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros(2), r"^inputs must be numbers, one row for each sample, got float64 of \(2,\); use reshape"),
        (np.array([["a", "b"]]), r"^inputs must be numbers, one row for each sample, got <U1 of \(1, 2\)"),
        (np.zeros((1, 65)), "^inputs: must have 64 features, got 65$"),
        ([[1.0, np.nan] + [0] * 62], r"^inputs: \[0\]: column 'pixel_0_1': a value is missing"),
    ],
)
def test_inputs_of_the_wrong_shape_or_type_are_refused(inputs: Any, message: str, tmp_path: Path) -> None:
    run = mxtrain.load_run(mxtrain.fit(settings("digits", fit={"epochs": 1}), run_dir=tmp_path).run_dir)
    with pytest.raises(mxtrain.DataError, match=message):
        run.predict(inputs)


def test_an_empty_input_gives_no_predictions(tmp_path: Path) -> None:
    run = mxtrain.load_run(mxtrain.fit(settings("digits", fit={"epochs": 1}), run_dir=tmp_path).run_dir)
    assert run.predict(np.zeros((0, 64))).tolist() == []


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(mxtrain.TrainingError, match="there is no run in"):
        mxtrain.load_run(tmp_path)


LABELS: dict[str, Any] = {
    "list of integers": [3, 7],
    "list of booleans": [False, True],
    "list of texts": ["3", "7"],
    "zip codes": ["03", "07"],
    "list of floats": [3.0, 7.0],
    **{dtype: np.array([3, 7], dtype=dtype) for dtype in ("int8", "int64", "uint8", "uint64", "float32", "bool", "U3")},
    "large": [2**62, 2**62 + 1],
    "larger": [2**63, 2**63 + 1],
}
LABELS["bool"] = np.array([False, True])


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_predicted_in_their_own_dtype(kind: str, tmp_path: Path) -> None:
    X = np.array([[-1.0], [1.0]] * 20)
    y = [*LABELS[kind]] * 20 if isinstance(LABELS[kind], list) else np.tile(LABELS[kind], 20)
    config = {
        "data": {"source": "in_memory"},
        "model": {"kind": "linear"},
        "loss": "logistic" if kind.startswith("list") else "softmax_cross_entropy",
        "optimizer": {"kind": "adam", "η": 0.1},
        "fit": {"epochs": 9},
    }
    run = mxtrain.load_run(mxtrain.fit(config, run_dir=tmp_path, data=(X, y)).run_dir)
    predicted = run.predict(X)
    assert predicted.dtype == (np.asarray(y).dtype if kind != "U3" else np.dtype("U1"))
    assert np.mean(predicted == y) == run.evaluate((X, y))["accuracy"] == 1


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["3", "7"], np.array([3, 7])),
        (["3.0", "7.0"], np.array([3, 7])),
        (["False", "True"], np.array([False, True])),
        (["FALSE", "TRUE"], np.array([False, True])),
        (["03", "07"], np.array(["03", "07"])),
        (["7", "x"], np.array(["7", "x"])),
    ],
)
def test_csv_classes_are_typed_in_python_and_keep_their_spelling_on_the_command_line(
    cells: list[str], expected: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{2 * i - 1},{cell}\n" for i, cell in enumerate(cells)) * 20
    source = tmp_path / "t.csv"
    source.write_text(f"a,species\n{rows}")
    config = settings(str(source), optimizer={"η": 0.1}, fit={"epochs": 9})
    run = mxtrain.load_run(mxtrain.fit(config, run_dir=tmp_path / "run").run_dir)
    predicted = run.predict([[-1.0], [1.0]])
    assert predicted.dtype == expected.dtype
    assert predicted.tolist() == expected.tolist()
    spelled = [cell.removesuffix(".0") for cell in cells]
    assert run.decide_texts(run.outputs([[-1.0], [1.0]])) == spelled
    assert run.class_names == tuple(spelled)


@pytest.mark.parametrize("extension", ["npz", "npy", "jsonl"])
def test_labels_of_typed_files_keep_their_type(extension: str, tmp_path: Path) -> None:
    X, y = np.array([[-1.0], [1.0]] * 20), np.array([3, 7] * 20, dtype="uint8")
    np.savez(tmp_path / "t.npz", inputs=X, species=y)
    np.save(tmp_path / "t.npy", X)
    np.save(tmp_path / "y.npy", y)
    lines = (json.dumps({"a": a, "species": str(kind)}) for a, kind in zip(X[:, 0].tolist(), y.tolist(), strict=True))
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    data = {"target": str(tmp_path / "y.npy")} if extension == "npy" else {}
    config = settings(str(tmp_path / f"t.{extension}"), optimizer={"η": 0.1}, fit={"epochs": 9}, data=data)
    predicted = mxtrain.load_run(mxtrain.fit(config, run_dir=tmp_path / "run").run_dir).predict(X)
    assert predicted.dtype == ("U1" if extension == "jsonl" else np.uint8)
    assert (predicted == (y.astype(str) if extension == "jsonl" else y)).all()


def test_a_run_saved_without_the_dtype_of_its_labels_predicts_text(tmp_path: Path) -> None:
    X, y = np.array([[-1.0], [1.0]] * 20), np.array([3, 7] * 20)
    np.savez(tmp_path / "t.npz", inputs=X, species=y)
    run_dir = mxtrain.fit(settings(str(tmp_path / "t.npz")), run_dir=tmp_path / "run").run_dir
    file = run_dir / "preprocessing.json"
    record = json.loads(file.read_text())
    assert record["preprocessing"].pop("class_dtype") == "int64"
    preprocessing = mxtrain.data.Preprocessing.from_dict(record["preprocessing"])
    assert preprocessing.classes is not None
    assert preprocessing.classes.tolist() == ["3", "7"]
    for damaged in ("int65", "object", 3, None):
        with pytest.raises(mxtrain.DataError, match="the preprocessing of a run is damaged"):
            mxtrain.data.Preprocessing.from_dict(record["preprocessing"] | {"class_dtype": damaged})


@pytest.mark.parametrize("standardize", ["features", "none"])
@pytest.mark.parametrize("held", ["table", "array", "npz", "npy"])
def test_a_feature_that_was_constant_in_training_is_ignored(held: str, standardize: str, tmp_path: Path) -> None:
    """A sensor that is constant in training (20.0, or 0 without standardization), and varies later."""
    value = 20.0 if standardize == "features" else 0.0
    b = np.arange(100.0) % 10
    X, y = np.column_stack([np.full(100, value), b]), 3 * b
    np.savez(tmp_path / "t.npz", inputs=X, y=y)
    np.save(tmp_path / "t.npy", X)
    np.save(tmp_path / "y.npy", y)
    sources: dict[str, dict[str, Any]] = {
        "table": {"source": "in_memory", "target": "y"},
        "array": {"source": "in_memory"},
        "npz": {"source": str(tmp_path / "t.npz"), "target": "y"},
        "npy": {"source": str(tmp_path / "t.npy"), "target": str(tmp_path / "y.npy")},
    }
    training_data: dict[str, Any] = {"table": {"temp": X[:, 0], "b": b, "y": y}, "array": (X, y)}
    config = {
        "data": {**sources[held], "standardize": standardize},
        "model": {"kind": "mlp", "hidden": [8]},
        "loss": "squared_error",
        "optimizer": {"kind": "adam", "η": 0.05, "λ": 0},
        "fit": {"epochs": 3},
    }
    run = mxtrain.load_run(mxtrain.fit(config, run_dir=tmp_path / "run", data=training_data.get(held)).run_dir)
    new = np.array([[value, 5.0], [value + 0.5, 5.0], [-1e30, 5.0], [120.0, 5.0]])
    predicted = run.predict({"temp": new[:, 0], "b": new[:, 1]} if held == "table" else new)
    assert len(set(predicted.tolist())) == 1


def test_loading_a_trial_with_several_seeds_suggests_the_run_of_a_seed(tmp_path: Path) -> None:
    (tmp_path / "0000" / "seed-0").mkdir(parents=True)
    (tmp_path / "0000" / "seed-0" / "config.yaml").write_text("")
    with pytest.raises(mxtrain.TrainingError, match=r"several seeds: name \S*0000/seed-0$"):
        mxtrain.load_run(tmp_path / "0000")


def binary_run(tmp_path: Path, loss: str, **data: Any) -> tuple[mxtrain.LoadedRun, Any]:
    generator = np.random.default_rng(0)
    X = generator.standard_normal((300, 2))
    y = np.where(X[:, 0] + generator.standard_normal(300) > 1.5, "yes", "no")
    config = {
        "data": {"source": "in_memory", **data}, "model": {"kind": "linear"}, "loss": loss,
        "optimizer": {"kind": "adam", "η": 0.05}, "fit": {"epochs": 4},
    }  # fmt: skip
    return mxtrain.load_run(mxtrain.fit(config, run_dir=tmp_path / "run", data=(X, y)).run_dir), (X, y)


@pytest.mark.parametrize("loss", ["logistic", "softmax_cross_entropy"])
def test_a_threshold_decides_between_two_classes(loss: str, tmp_path: Path) -> None:
    run, (X, y) = binary_run(tmp_path, loss)
    likely = run.probabilities(X)[:, 1]
    for threshold in (0.05, 0.5, 0.9):
        predicted = run.predict(X, threshold=threshold)
        assert (predicted == np.where(likely >= threshold, "yes", "no")).all()
        measured = run.evaluate((X, y), threshold=threshold)
        assert measured["accuracy"] == pytest.approx(np.mean(predicted == y))
        assert measured["loss"] == run.evaluate((X, y))["loss"]
        texts = run.decide_texts(run.outputs(X), threshold)
        assert texts == predicted.tolist()


@pytest.mark.parametrize("metric", ["f1", "balanced_accuracy", "fitted"])
def test_a_threshold_is_chosen_on_the_validation_data(metric: Any, tmp_path: Path) -> None:
    run, data = binary_run(tmp_path, "logistic", validation=0.4)
    threshold = run.fit_threshold(metric, data=data)
    assert run.threshold(metric, data=data) == threshold

    def score(threshold: float) -> float:
        report = run.compare("validation", data=data, threshold=threshold).class_report()
        assert report is not None
        return float(report.f1[1]) if metric == "f1" else report.balanced_accuracy

    assert score(threshold) >= max(map(score, np.linspace(0.01, 0.99, 99)))
    assert score(threshold) > score(0.5)
    result = mxtrain.resume(run.path, data=data)
    assert (result.predict(data[0], threshold=metric) == run.predict(data[0], threshold)).all()
    assert result.evaluate(data, threshold=metric) == run.evaluate(data, threshold=threshold)


def test_thresholds_need_two_classes_and_validation_data(tmp_path: Path) -> None:
    run, data = binary_run(tmp_path, "logistic", validation=0.0)
    with pytest.raises(mxtrain.DataError, match=r"the validation part, which the run does not have; set data\.valid"):
        run.fit_threshold(data=data)
    with pytest.raises(ValueError, match="must be one of fitted, balanced_accuracy, f1, got 'f2'$"):
        run.predict(data[0], threshold="f2")  # type: ignore[arg-type]
    for source, loss, got in (
        ("digits", "softmax_cross_entropy", "has 10 classes"), ("diabetes", "squared_error", "predicts numbers"),
    ):  # fmt: skip
        run = mxtrain.load_run(mxtrain.fit(settings(source, loss, fit={"epochs": 1}), run_dir=tmp_path / loss).run_dir)
        with pytest.raises(ValueError, match=f"is for two classes, and the run {got}; leave it out"):
            run.predict(source, threshold=0.5)
        with pytest.raises(ValueError, match=f"is for two classes, and the run {got}; leave it out"):
            run.fit_threshold()


@pytest.mark.parametrize("kind", ["dict", "records", "pandas", "polars", "arrow", "structured array"])
def test_frames_of_every_kind_are_predicted_and_evaluated(kind: str, pets: Path) -> None:
    pandas, polars, arrow = map(pytest.importorskip, ("pandas", "polars", "pyarrow"))
    columns: dict[str, Any] = {
        "note": ["x", "y", "z"], "species": ["dog", "cat", "dog"], "size": ["big", "small", "big"], "age": [8, 1, 9],
    }  # fmt: skip
    records = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    data = {
        "dict": lambda: columns,
        "records": lambda: records,
        "pandas": lambda: pandas.DataFrame(columns),
        "polars": lambda: polars.DataFrame(columns),
        "arrow": lambda: arrow.table(columns),
        "structured array": lambda: pandas.DataFrame(columns).to_records(index=False),
    }[kind]()
    run = mxtrain.load_run(pets)
    assert run.predict(data).tolist() == ["dog", "cat", "dog"]
    assert run.probabilities(data).shape == (3, 2)
    assert run.evaluate(data)["accuracy"] == 1
    report = run.compare(samples=data).class_report()
    assert report is not None
    assert report.matrix.tolist() == [[1, 0], [0, 2]]
