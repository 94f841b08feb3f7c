"""Operations of matrix rules: NumPy and compiled code give the same bits, and the sums are right."""

import numpy as np
import pytest

from mxtrain.optim.backends.compiled.numba_matrices import NumbaMatrixOperations
from mxtrain.optim.backends.matrix_operations import NumPyMatrixOperations
from mxtrain.optim.ir import Workspace

SHAPES = [(1, 1), (3, 5), (70, 128), (129, 300), (5000, 3), (3, 5000), (400, 1000), (2, 129)]
VIEWS = {
    "contiguous": lambda x: x,
    "rows apart": lambda x: np.concatenate([x, x], axis=1)[:, : x.shape[1]],
    "Fortran order": np.asfortranarray,
    "every other": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
}


@pytest.fixture
def both():
    return NumPyMatrixOperations(Workspace()), NumbaMatrixOperations(Workspace())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("threads", ["1", "2"])
def test_compiled_sums_and_steps_have_the_bits_of_numpy(both, monkeypatch, dtype, shape, view, threads):
    monkeypatch.setenv("MXTRAIN_THREADS", threads)
    generator = np.random.default_rng(0)
    x, W = (view(generator.standard_normal(shape).astype(dtype)) for _ in range(2))
    exact = np.square(x.astype("float64"))
    (rows, columns), (other_rows, other_columns) = (each.axis_square_sums(x) for each in both)
    assert (rows.tobytes(), columns.tobytes()) == (other_rows.tobytes(), other_columns.tobytes())
    assert np.allclose(rows, exact.sum(axis=1), rtol=1e-13)
    assert np.allclose(columns, exact.sum(axis=0), rtol=1e-13)
    for each in both:
        pair = each.column_square_sums(x, W)
        assert [sums.tobytes() for sums in pair] == [columns.tobytes(), each.axis_square_sums(W)[1].tobytes()]
    first, second = (each.square_sum(x) for each in both)
    assert first == second == pytest.approx(exact.sum(), rel=1e-13)
    factors = (rows / rows.mean() / shape[1]).astype(dtype), (columns / shape[0]).astype(dtype)
    first, second = (each.scaled_square_sum(x, *factors, 0.3) for each in both)
    assert first == second == pytest.approx((exact * np.minimum(np.outer(*factors), 0.3) ** 2).sum(), rel=1e-4)
    results = [view(np.array(W)) for _ in both]
    for each, result in zip(both, results, strict=True):
        each.scale_columns(x, factors[1], result)
    assert results[0].tobytes() == results[1].tobytes() == (x * factors[1]).tobytes()
    results = [view(np.array(W)) for _ in both]
    for each, result in zip(both, results, strict=True):
        each.scaled_step(result, x, *factors, largest=0.3, step=-0.5, decay=-0.25)
    assert results[0].tobytes() == results[1].tobytes()
    wanted = 0.75 * W - 0.5 * x * np.minimum(np.outer(*factors), 0.3)
    assert np.allclose(results[0], wanted, rtol=1e-4, atol=1e-5)


def test_the_sum_of_columns_does_not_lose_small_numbers(both):
    x = np.full((4096, 1), 1e-3)
    x[0] = 1e5
    for each in both:
        assert each.axis_square_sums(x)[1][0] == pytest.approx(1e10 + 4095e-6, rel=1e-12)


def test_nan_stays_nan(both):
    x = np.ones((3, 200))
    x[1, 7] = np.nan
    for each in both:
        rows, columns = each.axis_square_sums(x)
        assert np.isnan(rows).tolist() == [False, True, False]
        assert np.flatnonzero(np.isnan(columns)).tolist() == [7]
        W, factors = np.ones((3, 200)), (np.array([1, np.nan, 1]), np.ones(200))
        each.scaled_step(W, np.ones((3, 200)), *factors, largest=0.5, step=1.0, decay=0.0)
        assert np.isnan(W).any(axis=1).tolist() == [False, True, False]


def test_the_norm_is_that_of_all_elements(both):
    x = np.random.default_rng(0).standard_normal((300, 1000))
    first, second = (each.norm(x) for each in both)
    assert first == second == pytest.approx(np.linalg.norm(x), rel=1e-14)
