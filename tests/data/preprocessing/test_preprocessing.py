"""Fitted preprocessing: saved with a run, and applied to new data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxtrain.config.run_section import RunConfig
from mxtrain.data import Dataset, Preprocessing, columns_of, load_for_prediction, prepare
from mxtrain.errors import DataError


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prepared(loss: str = "softmax_cross_entropy", **data: Any) -> Dataset:
    sections = {"loss": loss, "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}}
    return prepare(RunConfig.model_validate({"data": {"validation": 0, **data}, **sections}))


def pets(loss: str = "logistic", **data: Any) -> Dataset:
    Path("train.csv").write_text("age,size,y\n0.1,big,no\n0.3,small,yes\n,big,no\n")
    return prepared(loss, source="train.csv", target="y", missing="mean", **data)


def test_it_survives_json_exactly() -> None:
    for dataset in (pets(), prepared(source="digits"), prepared("squared_error", source="diabetes")):
        text = json.dumps(dataset.preprocessing.to_dict(), allow_nan=False)
        again = Preprocessing.from_dict(json.loads(text))
        assert again == dataset.preprocessing
        assert json.dumps(again.to_dict()) == text


@pytest.mark.parametrize("damaged", [{}, {"columns": 3}, {"columns": [{"kind": "date", "name": "x"}]}])
def test_damaged_preprocessing_is_refused(damaged: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="the preprocessing of a run is damaged"):
        Preprocessing.from_dict(pets().preprocessing.to_dict() | {"columns": None} | damaged)


def test_the_training_file_gives_the_training_samples() -> None:
    dataset = pets()
    inputs, targets = load_for_prediction("train.csv", dataset.preprocessing, with_targets=True)
    assert inputs.dtype == np.float32
    assert (inputs == dataset.training.inputs).all()
    assert targets is not None
    assert (targets == dataset.training.targets).all()
    assert targets.dtype == dataset.training.targets.dtype


def test_targets_are_returned_only_if_the_file_has_them() -> None:
    preprocessing = pets().preprocessing
    Path("new.csv").write_text("name,size,age\nTom,small,0.2\n")
    inputs, targets = load_for_prediction("new.csv", preprocessing, with_targets=True)
    assert (inputs.shape, targets) == ((1, 3), None)


def test_a_prediction_does_not_read_the_targets() -> None:
    """The targets are unknown: blank, or a mark that names no class."""
    preprocessing = pets().preprocessing
    for blank in ("", "?", "unknown"):
        Path("new.csv").write_text(f"y,size,age\n{blank},small,0.2\n")
        inputs, targets = load_for_prediction("new.csv", preprocessing)
        assert (inputs.shape, targets) == ((1, 3), None)
        with pytest.raises(DataError, match="^new.csv(:2)?: column 'y': "):
            load_for_prediction("new.csv", preprocessing, with_targets=True)


def test_columns_from_python() -> None:
    preprocessing = pets().preprocessing
    data = columns_of({"size": ["big"], "age": [None]}, lambda _, names: preprocessing.kinds)
    assert preprocessing.apply(data)[0].tolist() == pytest.approx([0, 1, 0])


@pytest.mark.parametrize("source", ["arrays.npz", "digits"])
def test_arrays_give_the_training_samples(source: str) -> None:
    np.savez("arrays.npz", images=np.arange(24.0).reshape(6, 2, 2), label=[3, 5, 3, 5, 3, 5], more=np.zeros(6))
    named = {} if source == "digits" else {"target": "label", "features": ["images"]}
    dataset = prepared(source=source, **named)
    inputs, targets = load_for_prediction(source, dataset.preprocessing, with_targets=True)
    assert (inputs == dataset.training.inputs).all()
    assert targets is not None
    assert targets.tolist() == dataset.training.targets.tolist()


def test_arrays_of_another_shape_are_refused() -> None:
    preprocessing = prepared(source="digits").preprocessing
    np.savez("wrong.npz", images=np.zeros((3, 5)))
    with pytest.raises(DataError, match=r"^wrong.npz: must have 64 features, got 5$"):
        load_for_prediction("wrong.npz", preprocessing)
    with pytest.raises(DataError, match=r"^array.npy: cannot be read: No such file or directory$"):
        load_for_prediction("array.npy", preprocessing)
    with pytest.raises(DataError, match="must be a table, an .npz archive, an .npy file, or a folder"):
        load_for_prediction("new.docx", preprocessing)


def test_text_columns_need_a_table() -> None:
    with pytest.raises(DataError, match="data: the model has columns of text, which an array cannot hold; use a table"):
        pets().preprocessing.apply(np.zeros((1, 3)))


def test_labels_are_matched_as_classes_are() -> None:
    Path("train.csv").write_text("x,y\n1,1\n2,2\n")
    preprocessing = prepared(source="train.csv", target="y").preprocessing
    Path("new.csv").write_text("x,y\n1,02\n2,1.0\n")
    targets = load_for_prediction("new.csv", preprocessing, with_targets=True)[1]
    assert targets is not None
    assert targets.tolist() == [1, 0]
