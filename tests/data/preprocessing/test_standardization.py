"""Standardization of features in memory and on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxtrain.data import DiskSamples, Standardization
from mxtrain.data.preprocessing.scalers import moments_of_blocks
from mxtrain.data.readers.numpy_files import open_array_pair


@pytest.mark.parametrize("dtype", ["uint8", "int64", ">f4", "float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize("samples", [2, 100, 10_000])
def test_mean_becomes_0_and_variance_1(dtype: str, samples: int) -> None:
    inputs = np.random.default_rng(0).integers(0, 200, (samples, 5)).astype(dtype)
    fitted = Standardization.fit(inputs)
    assert fitted.mean.dtype == fitted.scale.dtype == np.float64
    mapped = fitted.apply(inputs, np.float64)
    assert mapped.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-12)
    assert mapped.var(axis=0) == pytest.approx(np.ones(5))


def test_a_large_mean_loses_no_digits() -> None:
    inputs = 1e9 + np.array([[-1.0], [1.0]])
    assert Standardization.fit(inputs).apply(inputs, np.float64).tolist() == [[-1], [1]]


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, 1e300, -1e-300])
def test_a_constant_becomes_exactly_0(value: float) -> None:
    """The rounded mean of many equal numbers may differ from them."""
    inputs = np.full((1001, 1), value)
    standardization = Standardization.fit(inputs)
    assert standardization.scale.tolist() == [1]
    assert not standardization.apply(inputs, np.float32).any()


def test_the_map_is_computed_in_float64_and_rounded_once() -> None:
    inputs = np.random.default_rng(0).normal(1e4, 1, (50, 3))
    standardization = Standardization.fit(inputs)
    exact: Any = (inputs - standardization.mean) / standardization.scale
    assert (standardization.apply(inputs, np.float32) == exact.astype(np.float32)).all()


@pytest.mark.parametrize("inputs", [np.zeros((4, 6)).T, np.zeros((4, 6))[::2, ::3]])
def test_results_are_contiguous_and_have_the_dtype(inputs: Any) -> None:
    mapped = Standardization.fit(inputs).apply(inputs, "float32")
    assert mapped.flags.c_contiguous
    assert mapped.dtype == np.float32


def test_the_identity_changes_nothing() -> None:
    inputs = np.random.default_rng(0).normal(size=(5, 2))
    assert (Standardization.identity(2).apply(inputs, np.float64) == inputs).all()


@pytest.mark.parametrize("values", [
    [1e200, 2e200, 1.0], [1.7976931348623157e308, 1.0, 2.0], [1e160, -1e160, 3.0], [-1.7e308, 1.7e308, 0.0], [1e-200, 2e-200, 0.0],
    [5e-310, 1e-309, 0.0],
])  # fmt: skip
@pytest.mark.parametrize("whole", [False, True])
def test_numbers_of_any_size_come_to_mean_0_and_variance_1(values: list[float], whole: bool, tmp_path: Path) -> None:
    ordinary = [1.0, 2.0, 4.0]
    inputs = np.array([values, values if whole else ordinary]).T
    standardize: Any = "whole" if whole else "features"
    standardization = Standardization.fit(inputs, standardize)
    np.save(tmp_path / "inputs.npy", np.ascontiguousarray(inputs))
    arrays = open_array_pair(str(tmp_path / "inputs.npy"), None)
    moments, _ = moments_of_blocks(arrays, np.ones(3, dtype=bool))
    on_disk = Standardization.from_moments(moments, standardize)
    part = DiskSamples(arrays, np.arange(3), np.zeros(3), on_disk, "float64")
    for mapped in (standardization.apply(inputs, np.float64), next(part.in_order(3, 0, 3))[0]):
        assert mapped.mean(axis=0) == pytest.approx(np.zeros(2), abs=1e-9)
        assert mapped.var(axis=0) == pytest.approx(np.ones(2))
    if not whole:
        assert (standardization.scale[1], standardization.mean[1]) == (np.std(ordinary), np.mean(ordinary))
        assert (on_disk.scale[1], on_disk.mean[1]) == pytest.approx((np.std(ordinary), np.mean(ordinary)))


@pytest.mark.parametrize("standardize", ["features", "whole", "none"])
def test_a_feature_that_is_0_in_all_of_training_stays_0(standardize: Any, tmp_path: Path) -> None:
    """Its weights are never trained, and must not affect predictions."""
    inputs = np.array([[0.0, 5.0, 5.0, 4.0], [0.0, 5.0, 5.0, 6.0]])
    if standardize == "whole":
        inputs[:, 0] = 4.25  # the mean of all: 0 once it is subtracted
        inputs[:, 3] = [1.75, 3.75]
    np.save(tmp_path / "inputs.npy", np.vstack([inputs, inputs + 1]))
    arrays = open_array_pair(str(tmp_path / "inputs.npy"), None)
    is_training = np.arange(4) < 2
    on_disk = Standardization.from_moments(moments_of_blocks(arrays, is_training)[0], standardize)
    in_memory = Standardization.fit(inputs, standardize)
    for fitted in (on_disk, in_memory):
        assert fitted.constant.tolist() == [True, *[standardize == "features"] * 2, False]
        never = ~in_memory.apply(inputs, np.float64).any(axis=0)
        for value in (0.0, 7.0, -1e300, 1e308):
            assert not fitted.apply(np.full((1, 4), value), np.float32)[:, never].any()
    part = DiskSamples(arrays, np.arange(4), np.zeros(4), on_disk, "float32")
    (batch,) = part.in_order(4, 0, 4)
    assert (batch[0] == in_memory.apply(np.vstack([inputs, inputs + 1]), np.float32)).all()
    assert not batch[0][:, 0].any()
