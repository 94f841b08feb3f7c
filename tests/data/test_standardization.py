"""Features come to mean 0 and variance 1, whatever they were before."""

from typing import Any

import numpy as np
import pytest

from mxtrain.data import Standardization


@pytest.mark.parametrize("dtype", ["uint8", "int64", ">f4", "float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize("samples", [2, 100, 10_000])
def test_mean_becomes_0_and_variance_1(dtype: str, samples: int) -> None:
    inputs = np.random.default_rng(0).integers(0, 200, (samples, 5)).astype(dtype)
    fitted = Standardization.fit(inputs)
    assert fitted.mean.dtype == fitted.scale.dtype == np.float64
    mapped = fitted.apply(inputs, np.float64)
    assert mapped.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-12)
    assert mapped.var(axis=0) == pytest.approx(np.ones(5))


def test_a_large_mean_costs_no_digits() -> None:
    inputs = 1e9 + np.array([[-1.0], [1.0]])
    assert Standardization.fit(inputs).apply(inputs, np.float64).tolist() == [[-1], [1]]


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, 1e300, -1e-300])
def test_a_constant_becomes_exactly_0(value: float) -> None:
    """Even where the mean of many equal numbers is not that number."""
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
def test_what_comes_out_is_contiguous_and_of_the_dtype(inputs: Any) -> None:
    mapped = Standardization.fit(inputs).apply(inputs, "float32")
    assert mapped.flags.c_contiguous
    assert mapped.dtype == np.float32


def test_the_identity_changes_nothing() -> None:
    inputs = np.random.default_rng(0).normal(size=(5, 2))
    assert (Standardization.identity(2).apply(inputs, np.float64) == inputs).all()
