"""Datasets of runs: targets for each loss, standardization, and checks against the config."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxtrain.config.run_section import RunConfig
from mxtrain.data import Dataset, prepare
from mxtrain.errors import DataError


def run(data: dict[str, Any], loss: str, **rest: Any) -> RunConfig:
    explicit = {"missing": "error", "unseen": "error", "standardize_target": False}
    sections = {
        "data": explicit | data,
        "loss": loss,
        "model": {"kind": "linear"},
        "optimizer": {"kind": "sgd"},
        **rest,
    }
    return RunConfig.model_validate(sections)


def from_csv(folder: Path, content: str, loss: str, dtype: str = "float32", **data: Any) -> Dataset:
    path = folder / "train.csv"
    path.write_text(content)
    return prepare(run({"source": str(path), "target": "y", "validation": 0.0, **data}, loss, dtype=dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_takes_class_indices_and_an_output_for_each_class(dtype: str) -> None:
    dataset = prepare(run({"source": "digits"}, "softmax_cross_entropy", dtype=dtype))
    assert (len(dataset.training), len(dataset.validation)) == (1438, 359)
    assert (dataset.n_features, dataset.n_outputs) == (64, 10)
    assert dataset.training.inputs.dtype == dataset.validation.inputs.dtype == dtype
    assert dataset.training.targets.dtype == np.int64
    assert np.bincount(dataset.validation.targets).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logistic_takes_0_and_1_and_one_output(tmp_path: Path, dtype: str) -> None:
    dataset = from_csv(tmp_path, "x,y\n1,no\n2,yes\n3,no\n", "logistic", dtype)
    assert dataset.class_names == ("no", "yes")
    assert dataset.n_outputs == 1
    assert dataset.training.targets.dtype == dtype
    assert dataset.training.targets.tolist() == [0, 1, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_squared_error_takes_numbers_and_one_output(dtype: str) -> None:
    dataset = prepare(run({"source": "diabetes"}, "squared_error", dtype=dtype))
    assert (dataset.class_names, dataset.n_outputs) == (None, 1)
    assert dataset.training.targets.dtype == dtype
    assert max(dataset.training.targets.max(), dataset.validation.targets.max()) == 346


def test_only_the_training_set_is_measured() -> None:
    dataset = prepare(run({"source": "diabetes"}, "squared_error", dtype="float64"))
    assert dataset.training.inputs.mean(axis=0) == pytest.approx(np.zeros(10), abs=1e-12)
    assert np.abs(dataset.validation.inputs.mean(axis=0)).max() > 0.01


def test_features_can_stay_unchanged(tmp_path: Path) -> None:
    dataset = from_csv(tmp_path, "x,y\n1,2\n3,4\n", "squared_error", standardize="none")
    assert dataset.training.inputs.tolist() == [[1], [3]]


def test_without_validation_the_set_is_empty(tmp_path: Path) -> None:
    dataset = from_csv(tmp_path, "a,b,y\n1,2,2\n3,5,4\n", "squared_error")
    assert dataset.validation.inputs.shape == (0, 2)
    assert dataset.validation.targets.shape == (0,)


def test_three_classes_are_too_many_for_logistic(tmp_path: Path) -> None:
    message = "'y' has 3 classes, and logistic is for two; set loss: softmax_cross_entropy"
    with pytest.raises(DataError, match=message):
        from_csv(tmp_path, "x,y\n1,a\n2,b\n3,c\n", "logistic")


def test_dropping_the_only_batch_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        from_csv(tmp_path, "x,y\n1,2\n3,4\n", "squared_error", last_batch="drop", batch_size=3)
    assert str(caught.value) == (
        "data.batch_size: must be at most 2, the number of training samples, as last_batch: drop would leave no batch, got 3; "
        "lower it, or set last_batch: keep"
    )
    assert len(from_csv(tmp_path, "x,y\n1,2\n3,4\n", "squared_error", batch_size=3).training) == 2


@pytest.mark.parametrize(
    ("content", "dtype", "standardize", "name", "remedy"),
    [
        ("x,y\n1e39,2\n3,4\n", "float32", "none", "x", "set dtype: float64, or scale it down"),
        ("x,y\n1,1e39\n3,4\n", "float32", "features", "y", "set dtype: float64, or scale it down"),
        ("x,y\n1e200,2\n3,4\n", "float32", "none", "x", "set data.standardize: features"),
        ("x,y\n1,1e200\n3,4\n", "float32", "features", "y", "set data.standardize_target: true"),
    ],
)
def test_numbers_that_overflow_the_dtype(
    tmp_path: Path, content: str, dtype: str, standardize: str, name: str, remedy: str
) -> None:
    with pytest.raises(DataError) as caught:
        from_csv(tmp_path, content, "squared_error", dtype, standardize=standardize)
    message = f"{tmp_path / 'train.csv'}: '{name}' has values too large to compute with in {dtype}; {remedy}"
    assert str(caught.value) == message
