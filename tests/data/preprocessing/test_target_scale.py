"""Standardization of targets, and its inverse."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxtrain.config import run_from_dict
from mxtrain.data import Dataset, Preprocessing, load_for_prediction, prepare, read_in_memory_data, samples_from_memory
from mxtrain.data.preprocessing.scalers import TargetScale
from mxtrain.errors import DataError

GENERATOR = np.random.default_rng(0)
INPUTS = GENERATOR.standard_normal((40, 2))
PRICES = 300_000 + 50_000 * GENERATOR.standard_normal(40)


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prepared(data_in_memory: Any = None, dtype: str = "float32", **data: Any) -> Dataset:
    sections = {"loss": "squared_error", "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}, "dtype": dtype}
    config = run_from_dict({"data": {"standardize_target": True, **data}, **sections})
    return prepare(config, read_in_memory_data(config, data_in_memory))


def columns(prices: Any = PRICES) -> dict[str, list[float]]:
    return {"a": INPUTS[:, 0].tolist(), "b": INPUTS[:, 1].tolist(), "price": prices.tolist()}


def written(source: str, prices: Any = PRICES) -> dict[str, Any]:
    """Write the samples to a source, and return the fields of `data` that name it."""
    table = columns(prices)
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    match source:
        case "t.csv":
            lines = [",".join(rows[0]), *(",".join(map(repr, row.values())) for row in rows)]
            Path(source).write_text("\n".join(lines) + "\n")
        case "t.jsonl":
            Path(source).write_text("".join(json.dumps(row) + "\n" for row in rows))
        case "t.npz":
            np.savez(source, inputs=INPUTS, price=prices)
        case "t.npy":
            np.save(source, INPUTS)
            np.save("price.npy", prices)
            return {"source": source, "target": "price.npy"}
        case "shards/":
            Path(source).mkdir()
            for number, rows_of_one in enumerate((slice(0, 15), slice(15, 40))):
                np.save(f"shards/inputs-{number}.npy", INPUTS[rows_of_one])
                np.save(f"shards/targets-{number}.npy", prices[rows_of_one])
            return {"source": source}
    return {"source": source, "target": "price"}


SOURCES = ["t.csv", "t.jsonl", "t.npz", "t.npy", "shards/"]


@pytest.mark.parametrize("source", SOURCES)
def test_the_training_set_has_mean_0_and_variance_1_and_no_other_is_measured(source: str) -> None:
    dataset = prepared(**written(source), validation=0.25, test=0.25)
    training = dataset.training.targets
    assert training.dtype == np.float32
    assert training.mean(dtype=float) == pytest.approx(0, abs=1e-7)
    assert training.std(dtype=float) == pytest.approx(1, rel=1e-6)
    assert abs(dataset.validation.targets.mean()) > 0.01
    back = [
        dataset.preprocessing.restore_target_unit(getattr(dataset, name).targets)
        for name in ("training", "validation", "test")
    ]
    assert np.sort(np.concatenate(back)) == pytest.approx(np.sort(PRICES), rel=1e-7)


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_bits(source: str) -> None:
    in_memory = prepared((INPUTS, PRICES), source="in_memory")
    dataset = prepared(**written(source))
    assert dataset.preprocessing.target_scale == in_memory.preprocessing.target_scale
    assert (dataset.training.targets == in_memory.training.targets).all()


def test_columns_in_memory() -> None:
    in_memory = prepared(columns(), source="in_memory", target="price")
    assert (
        in_memory.preprocessing.target_scale
        == prepared((INPUTS, PRICES), source="in_memory").preprocessing.target_scale
    )


def test_the_packaged_table() -> None:
    dataset = prepared(source="diabetes", dtype="float64")
    assert dataset.training.targets.std() == pytest.approx(1)
    targets = load_for_prediction("diabetes", dataset.preprocessing, with_targets=True)[1]
    assert targets is not None
    assert dataset.preprocessing.restore_target_unit(targets).max() == pytest.approx(346)


@pytest.mark.parametrize("source", ["t.csv", "t.jsonl", "t.npz", "shards/"])
def test_separate_files_are_standardized_by_the_training_set(source: str) -> None:
    named = written(source)
    dataset = prepared(**named, validation=source, test=source)
    assert len(dataset.training) == len(dataset.validation) == 40
    assert (dataset.validation.targets == dataset.training.targets).all()
    assert (dataset.test.targets == dataset.training.targets).all()
    again = load_for_prediction(source, dataset.preprocessing, with_targets=True)[1]
    assert (again == dataset.training.targets).all()


def test_later_samples_in_memory_are_standardized() -> None:
    dataset = prepared((INPUTS, PRICES), source="in_memory", validation=0)
    _, targets = samples_from_memory((INPUTS, PRICES), dataset.preprocessing)
    assert (targets == dataset.training.targets).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_deviations_beside_a_large_mean_are_kept(dtype: str) -> None:
    """In float32 all numbers from 1e9 - 32 to 1e9 + 32 are equal."""
    targets = 1e9 + 5 * GENERATOR.standard_normal(40)
    dataset = prepared((INPUTS, targets), dtype, source="in_memory", validation=0)
    back = dataset.preprocessing.restore_target_unit(dataset.training.targets)
    assert back.dtype == np.float64
    assert np.abs(back - targets).max() < 1e-5


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e39, 1e200, 1e308])
def test_targets_of_any_size_suit_float32(size: float) -> None:
    targets = size * ((np.arange(40) % 5 - 1) / 4)
    dataset = prepared((INPUTS, targets), source="in_memory", validation=0)
    assert dataset.training.targets.std() == pytest.approx(1)
    assert dataset.preprocessing.restore_target_unit(dataset.training.targets) == pytest.approx(
        targets, rel=1e-6, abs=size * 1e-6
    )


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", ">f4", "float32"])
def test_numbers_of_any_dtype_are_measured_in_float64(dtype: str) -> None:
    targets = np.arange(101).astype(dtype)
    assert TargetScale.fit(targets, "y.npy", "y") == TargetScale(50.0, np.sqrt(850))


def test_a_mean_is_not_lost_to_rounding() -> None:
    assert TargetScale.fit(np.array([2.0**53, 2.0**53 + 64]), "t.csv", "y") == TargetScale(2.0**53 + 32, 32.0)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e-310, 1e300])
@pytest.mark.parametrize("count", [1, 3, 1000])
def test_targets_that_are_all_equal_are_refused_by_value(value: float, count: int) -> None:
    with pytest.raises(DataError) as caught:
        TargetScale.fit(np.full(count, value), "t.csv", "price")
    assert str(caught.value) == (
        f"t.csv: 'price': the targets of the training set are all {value}, and cannot be brought to variance 1; "
        "set data.standardize_target: false, or choose another target"
    )


@pytest.mark.parametrize("targets", [[0.3, 0.1 + 0.2], [1e9, np.nextafter(1e9, 2e9)], [0.0, 5e-324]])
def test_rounding_errors_are_not_a_deviation(targets: list[float]) -> None:
    with pytest.raises(
        DataError, match=r"are equal up to rounding in float64, and cannot be brought to variance 1; set data\."
    ):
        TargetScale.fit(np.array(targets), "t.csv", "price")


@pytest.mark.parametrize("source", SOURCES)
def test_equal_targets_are_refused_in_every_source(source: str) -> None:
    with pytest.raises(DataError, match=r"the targets of the training set are all 0\.1, "):
        prepared(**written(source, np.full(40, 0.1)))


def test_a_later_target_that_the_dtype_cannot_hold_is_refused() -> None:
    fitted = prepared((INPUTS, PRICES), source="in_memory").preprocessing
    with pytest.raises(DataError, match="data: 'y' has values too large to compute with in float32"):
        samples_from_memory((INPUTS, np.full(40, 1e50)), fitted)


def test_it_survives_json_exactly() -> None:
    fitted = prepared((INPUTS, PRICES), source="in_memory").preprocessing
    text = json.dumps(fitted.to_dict(), allow_nan=False)
    assert Preprocessing.from_dict(json.loads(text)) == fitted
    with pytest.raises(DataError, match="the preprocessing of a run is damaged"):
        Preprocessing.from_dict(fitted.to_dict() | {"target_scale": {"mean": 1.0}})


def test_without_the_setting_targets_are_unchanged() -> None:
    dataset = prepared((INPUTS, PRICES), source="in_memory", validation=0, standardize_target=False)
    assert dataset.preprocessing.target_scale is None
    assert (dataset.training.targets == PRICES.astype(np.float32)).all()
    assert dataset.preprocessing.restore_target_unit(dataset.training.targets) is dataset.training.targets
