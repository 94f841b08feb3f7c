"""Vectors: compiled operations have NumPy's bits on any number of threads."""

from typing import Any

import numpy as np
import pytest

from mxtrain.minimization import small_systems
from mxtrain.minimization.compiled_vectors import CompiledVectorOperations
from mxtrain.minimization.vector_operations import NumPyVectorOperations
from mxtrain.minimization.vectors import Vectors
from mxtrain.optim.ir.summation import reduce_array

SIZES = [0, 1, 2, 10, 127, 128, 129, 300, 4095, 4096, 4097, 70_000, 200_001]


@pytest.mark.parametrize("threads", ["1", "2", "3"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_operations_have_the_bits_of_numpy(dtype: str, threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", threads)
    rng, plain, compiled = np.random.default_rng(1), NumPyVectorOperations(), CompiledVectorOperations()
    coefficients = [0.3, 1e-3, -2.0, 7.0, 1 / 3]
    for size in SIZES:
        matrix = rng.normal(size=(6, size)).astype(dtype)
        expected = plain.dots(matrix, (0, 1, 2, 3), (4, 5))
        assert compiled.dots(matrix, (0, 1, 2, 3), (4, 5)).tobytes() == expected.tobytes()
        if size:
            assert expected[1, 1] == reduce_array("dot", matrix[1], matrix[5])
            assert compiled.max_abs(matrix, 3) == plain.max_abs(matrix, 3) == np.abs(matrix[3]).max()
        for count in range(1, 6):
            results = [matrix.copy(), matrix.copy()]
            for operations, result in zip((plain, compiled), results, strict=True):
                operations.combine(result, 1, coefficients[:count], tuple(range(count)))
            assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize("operations", [NumPyVectorOperations(), CompiledVectorOperations()], ids=["numpy", "compiled"])
def test_nan_and_infinity_are_results(operations: Any) -> None:
    matrix = np.ones((2, 9000))
    matrix[0, 5000] = np.inf
    assert operations.max_abs(matrix, 0) == np.inf
    assert operations.dots(matrix, (0,), (1,))[0, 0] == np.inf
    matrix[0, 8000] = np.nan
    assert np.isnan(operations.max_abs(matrix, 0))
    assert np.isnan(operations.dots(matrix, (0,), (1,))[0, 0])


def test_small_systems_have_the_bits_of_python_when_they_are_compiled() -> None:
    from mxtrain.minimization import compiled_small_systems as compiled

    rng = np.random.default_rng(2)
    m, theta = 7, 1.7
    steps = rng.normal(size=(m, 40))
    hessian = np.diag(rng.uniform(1, 2, 40))
    changes = steps @ hessian
    sy, yy, ss = (np.ascontiguousarray(a @ b.T) for a, b in ((steps, changes), (changes, changes), (steps, steps)))
    v = rng.normal(size=2 * m)
    outputs: list[list[Any]] = []
    for module in (small_systems, compiled):
        direction, factor, product = np.empty(2 * m + 1), np.zeros((m, m)), np.empty(2 * m)
        module.inverse_hessian_coefficients(sy, yy, v[:m], v[m:], 1 / theta, direction)
        assert module.factor_middle(sy, ss, theta, factor)
        module.multiply_middle(factor, sy, v, product)
        solution = v.copy()
        mixed = np.tril(sy, -1) * 0.25 + np.triu(sy) * 0.75
        assert module.subspace_coefficients(sy, yy * 0.75, ss * 0.25, mixed, theta, solution)
        outputs.append([direction.tobytes(), factor.tobytes(), product.tobytes(), solution.tobytes()])
    assert outputs[0] == outputs[1]
    lower = np.tril(sy, -1)
    middle = np.block([[-np.diag(np.diag(sy)), lower.T], [lower, theta * ss]])
    np.testing.assert_allclose(middle @ product, v, rtol=1e-9, atol=1e-9)


def test_vectors_change_to_compiled_operations_without_a_change_of_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    import mxtrain.minimization.vectors as module

    vectors = Vectors(3, np.zeros(5000))
    vectors.set(0, np.linspace(-1, 1, 5000))
    vectors.set(1, np.linspace(2, 3, 5000) ** 3)
    monkeypatch.setattr(module, "is_worth_compiling", lambda seconds: False)
    before = vectors.dots((0,), (1,))
    monkeypatch.setattr(module, "is_worth_compiling", lambda seconds: True)
    assert vectors.dots((0,), (1,)).tobytes() == before.tobytes()
    assert type(vectors._operations) is CompiledVectorOperations
