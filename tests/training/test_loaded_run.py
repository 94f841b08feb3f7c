"""What a run has come to can be loaded, asked and evaluated, and its folder stays as it is."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.training import StopRequest

PETS = "age,size,species\n" + "".join(
    f"{age},{size},{kind}\n"
    for age, size, kind in itertools.islice(
        itertools.cycle([(1, "small", "cat"), (2, "small", "cat"), (8, "big", "dog"), (9, "big", "dog")]), 60
    )
)


def settings(source: str, loss: str = "softmax_cross_entropy", **parts: Any) -> dict[str, Any]:
    target = {} if source in ("digits", "diabetes") else {"target": "species"}
    whole = {
        "name": "loaded",
        "data": {"source": source, "test": 0.2, **target},
        "model": {"kind": "linear"},
        "loss": loss,
        "optimizer": {"kind": "adam", "η": 0.05},
        "fit": {"epochs": 3, "checkpoint": {"every": "1 epoch"}},
    }
    return {name: value | parts.get(name, {}) if isinstance(value, dict) else value for name, value in whole.items()}


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def interrupted(config: dict[str, Any], run_dir: Path, batches: int) -> Path:
    """A run that was stopped after so many batches."""
    stop = StopRequest()

    class Stop(mxtrain.Callback):
        def __init__(self) -> None:
            self.seen = 0

        def on_batch(self, state: Any, loss: Any) -> None:
            self.seen += 1
            stop.signal = 15 if self.seen == batches else 0

    with pytest.raises(mxtrain.RunInterrupted):
        mxtrain.fit(config, run_dir=run_dir, callbacks=[Stop()], stop=stop)
    return run_dir


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    (tmp_path / "pets.csv").write_text(PETS)
    return mxtrain.fit(settings(str(tmp_path / "pets.csv")), run_dir=tmp_path / "run").run_dir


@pytest.mark.parametrize(("source", "loss"), [("digits", "softmax_cross_entropy"), ("diabetes", "squared_error")])
def test_evaluating_gives_what_training_measured_to_the_byte(source: str, loss: str, tmp_path: Path) -> None:
    metrics = ["accuracy"] if source == "digits" else ["mae", "r2"]
    run_dir = mxtrain.fit(settings(source, loss, fit={"metrics": metrics}), run_dir=tmp_path).run_dir
    run = mxtrain.load_run(run_dir)
    measured = run.evaluate(part="validation")
    assert list(measured) == ["loss", *metrics]
    assert measured == {name: run.history[-1][f"val_{name}"] for name in measured}
    assert run.evaluate() == run.evaluate(part="test") != measured


def test_classes_come_back_as_their_names_and_categories_as_they_were(pets: Path) -> None:
    run = mxtrain.load_run(pets)
    assert run.class_names == ("cat", "dog")
    assert run.feature_names == ("age", "size=big", "size=small")
    new = {"size": ["big", "small"], "age": [8, 1], "colour": ["black", "white"]}
    assert run.predict(new).tolist() == ["dog", "cat"]
    likely = run.probabilities(new)
    assert likely.shape == (2, 2)
    assert likely.sum(axis=1) == pytest.approx(1)
    assert likely[0, 1] > 0.5 > likely[1, 1]


def test_a_file_without_targets_can_be_predicted_and_not_evaluated(pets: Path, tmp_path: Path) -> None:
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


def test_nothing_is_written(pets: Path) -> None:
    before = content(pets)
    run = mxtrain.load_run(pets)
    run.evaluate()
    run.predict({"age": [1], "size": ["big"]})
    assert content(pets) == before


def test_a_run_is_shown_as_one_line_without_its_arrays(tmp_path: Path) -> None:
    result = mxtrain.fit(settings("digits", fit={"epochs": 2}), run_dir=tmp_path)
    last = result.history[-1]
    found = f"epoch 2: loss {last['loss']:.4f}, val_loss {last['val_loss']:.4f}"
    assert repr(result) == f"FitResult({str(tmp_path)!r}, last {found})"
    assert repr(mxtrain.load_run(tmp_path)) == f"LoadedRun({str(tmp_path)!r}, finished, {found})"


def test_a_run_without_an_epoch_is_shown_as_one_line_too(tmp_path: Path) -> None:
    run_dir = interrupted(settings("digits"), tmp_path / "cut", batches=5)
    assert repr(mxtrain.load_run(run_dir)) == f"LoadedRun({str(run_dir)!r}, unfinished, no epoch is finished)"


def test_the_data_may_be_gone(pets: Path, tmp_path: Path) -> None:
    shutil.move(pets, tmp_path / "elsewhere")
    (tmp_path / "pets.csv").unlink()
    run = mxtrain.load_run(tmp_path / "elsewhere")
    assert run.predict({"age": [1], "size": ["small"]}).tolist() == ["cat"]
    with pytest.raises(mxtrain.DataError, match=r"pets\.csv: cannot be read: No such file"):
        run.evaluate()


def test_other_data_in_the_place_of_the_runs_own_are_not_evaluated(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "pets.csv").write_text(PETS + "5,big,cat\n")
    with pytest.raises(mxtrain.TrainingError, match="are not those that the run was trained on"):
        mxtrain.load_run(pets).evaluate()


def test_an_unfinished_run_has_the_model_of_its_newest_checkpoint(tmp_path: Path) -> None:
    run_dir = interrupted(settings("digits"), tmp_path / "cut", batches=50)
    run = mxtrain.load_run(run_dir)
    assert (run.status.state, len(run.history), run.notes) == ("unfinished", 1, ())
    assert not (run_dir / "model.safetensors").exists()
    newest = max((run_dir / "checkpoints").iterdir())
    (newest / "record.json").write_bytes(b"{}")
    run = mxtrain.load_run(run_dir)
    assert "is damaged and was passed over" in run.notes[0]
    shorter = mxtrain.fit(settings("digits", fit={"epochs": 1}), run_dir=tmp_path / "one")
    for name, value in shorter.parameters.items():
        assert (run.parameters[name] == value).all()


def test_a_finished_run_that_goes_on_is_no_longer_its_old_model(tmp_path: Path) -> None:
    run_dir = mxtrain.fit(settings("digits", fit={"epochs": 1}), run_dir=tmp_path).run_dir
    stop = StopRequest(signal=15)
    with pytest.raises(mxtrain.RunInterrupted):
        mxtrain.resume(run_dir, overrides=["fit.epochs=2"], stop=stop)
    run = mxtrain.load_run(run_dir)
    assert run.status.state == "unfinished"
    newest = mxtrain.training.checkpoints.Checkpoints(run_dir / "checkpoints", 1).newest()
    assert newest is not None
    assert all((run.parameters[name] == value).all() for name, value in newest.parameters.items())


def test_a_run_that_diverged_is_failed_and_says_why(tmp_path: Path) -> None:
    config = settings("diabetes", "squared_error") | {"optimizer": {"kind": "sgd", "η": 1e30}}
    with pytest.raises(mxtrain.TrainingError):
        mxtrain.fit(config, run_dir=tmp_path)
    status = mxtrain.training.status.read_status(tmp_path)
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
def test_damage_is_one_line_that_names_the_file_and_the_remedy(file: str, damage: Any, pets: Path) -> None:
    (pets / file).write_bytes(damage[0])
    with pytest.raises(mxtrain.TrainingError, match=damage[1]) as caught:
        mxtrain.load_run(pets)
    assert "mxtrain resume" in str(caught.value)
    mxtrain.resume(pets)
    mxtrain.load_run(pets)


@pytest.mark.parametrize("inputs", [np.zeros(2), np.array([["a", "b"]]), np.zeros((1, 65)), [[1.0, np.nan] + [0] * 62]])
def test_inputs_that_do_not_fit_are_refused(inputs: Any, tmp_path: Path) -> None:
    run = mxtrain.load_run(mxtrain.fit(settings("digits", fit={"epochs": 1}), run_dir=tmp_path).run_dir)
    with pytest.raises(mxtrain.DataError):
        run.predict(inputs)


def test_no_rows_no_predictions(tmp_path: Path) -> None:
    run = mxtrain.load_run(mxtrain.fit(settings("digits", fit={"epochs": 1}), run_dir=tmp_path).run_dir)
    assert run.predict(np.zeros((0, 64))).tolist() == []


def test_where_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(mxtrain.TrainingError, match="there is no run in"):
        mxtrain.load_run(tmp_path)
