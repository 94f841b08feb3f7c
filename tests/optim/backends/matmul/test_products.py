"""Products of whole matrices: exact to rounding, symmetric where asked, the same bits in Python and compiled."""

import numpy as np
import pytest

from mxtrain.optim.backends.matmul import multiply
from mxtrain.optim.backends.matmul.products import split_into_squares

SIZES = [(1, 1, 1), (3, 4, 5), (300, 256, 100), (513, 700, 65), (600, 600, 300)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "n", "k"), SIZES)
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_a_product_is_that_of_numpy(dtype, m, n, k, transpose_a, transpose_b):
    generator = np.random.default_rng(0)
    a = generator.standard_normal((k, m) if transpose_a else (m, k)).astype(dtype)
    b = generator.standard_normal((n, k) if transpose_b else (k, n)).astype(dtype)
    out = np.full((m, n), np.nan, dtype)
    multiply(a, b, out, transpose_a=transpose_a, transpose_b=transpose_b)
    exact = (a.T if transpose_a else a).astype("float64") @ (b.T if transpose_b else b).astype("float64")
    assert np.allclose(out, exact, atol=1e-3 if dtype == "float32" else 1e-11, rtol=0)


@pytest.mark.parametrize("size", [1, 100, 300, 700])
def test_a_symmetric_product_is_symmetric_and_that_of_all_tiles(size):
    x = np.random.default_rng(0).standard_normal((size, 90)).astype("float32")
    half, whole = (np.full((size, size), np.nan, "float32") for _ in range(2))
    multiply(x, x, half, transpose_b=True, symmetric=True)
    multiply(x, x, whole, transpose_b=True)
    above = np.triu_indices(size)
    assert np.array_equal(half[above], whole[above])
    assert np.allclose(half, half.T, atol=1e-4)


@pytest.mark.parametrize("symmetric", [False, True])
def test_python_and_compiled_code_give_the_same_bits(monkeypatch, symmetric):
    x = np.random.default_rng(0).standard_normal((700, 700)).astype("float32")
    results = []
    for is_worth in (False, True):
        monkeypatch.setattr(f"{multiply.__module__}.is_worth_compiling", lambda seconds, worth=is_worth: worth)
        results.append(np.empty_like(x))
        multiply(x, x, results[-1], transpose_b=True, symmetric=symmetric)
    assert results[0].tobytes() == results[1].tobytes()


def test_other_memory_orders_and_empty_matrices_are_left_to_numpy():
    a, b = np.arange(12.0).reshape(3, 4)[:, ::2], np.asfortranarray(np.arange(6.0).reshape(2, 3))
    out = np.empty((3, 3))
    multiply(a, b, out)
    assert np.array_equal(out, a @ b)
    empty = np.full((2, 2), np.nan)
    multiply(np.ones((2, 0)), np.ones((0, 2)), empty)
    assert (empty == 0).all()


@pytest.mark.parametrize(("m", "n"), [(1, 1), (256, 257), (5000, 10), (3072, 3071)])
def test_tiles_cover_a_matrix_once(m, n):
    covered = np.zeros((m, n), dtype="uint8")
    for top, bottom, left, right in split_into_squares(m, n):
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()
