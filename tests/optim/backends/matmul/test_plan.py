"""Matrix products have the same bits in Python and in compiled code on any number of threads."""

import copy
import hashlib
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from mxtrain.nn import MLP
from mxtrain.nn.activations import ACTIVATIONS
from mxtrain.optim.backends.matmul import MatMul, MatMulPlan, gemm, plan
from mxtrain.optim.backends.matmul.tiled_matmul import split_into_tiles
from tests.tables import as_bytes

needs_gemm = pytest.mark.skipif(gemm("float32") is None, reason="NumPy's BLAS cannot be called directly here")

WIDTHS = [(784, 256, 128, 10), (300, 500, 200, 1), (784, 256, 1), (64, 64, 10), (5, 3, 2), (1, 1)]
WIDE = (784, 256, 128, 10)


def run_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "is_worth_compiling", lambda seconds: False)


def run_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "is_worth_compiling", lambda seconds: True)


def run_untiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "gemm", lambda dtype: None)


def compute_all(widths: Any, activation: Any, dtype: str, n: int) -> dict[str, Any]:
    """Return everything that a model computes from one batch."""
    model = MLP(widths, activation, "squared_error" if widths[-1] == 1 else "softmax_cross_entropy")
    params = {name: value + dtype_of(dtype, 0.01) for name, value in model.init(0, dtype).items()}
    grads = {name: np.empty_like(value) for name, value in params.items()}
    random = np.random.default_rng(1)
    inputs = random.standard_normal((n, widths[0])).astype(dtype)
    targets = np.zeros(n, dtype) if widths[-1] == 1 else random.integers(0, widths[-1], n)
    loss, outputs = model.loss_and_grad(params, inputs, targets, grads)
    return {"loss": loss, "outputs": outputs, **grads, "predicted": model.predict(params, inputs)}


def dtype_of(dtype: str, number: float) -> Any:
    return np.dtype(dtype).type(number)


@needs_gemm
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_python_and_compiled_code_give_the_same_bits(
    widths: Any, activation: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in (0, 1, 2, 32, 131):
        run_in_python(monkeypatch)
        expected = as_bytes(compute_all(widths, activation, dtype, n))
        run_compiled(monkeypatch)
        for threads in "123":
            monkeypatch.setenv("MXTRAIN_THREADS", threads)
            assert as_bytes(compute_all(widths, activation, dtype, n)) == expected


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_untiled_products_differ_only_by_rounding(activation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = compute_all(WIDE, activation, "float64", 131)
    run_untiled(monkeypatch)
    for name, expected in compute_all(WIDE, activation, "float64", 131).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=1e-11)


@needs_gemm
def test_nonfinite_values_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for select in (run_in_python, run_compiled):
        select(monkeypatch)
        out = np.empty((3, 4))
        b = np.eye(4)
        b[1, 1], b[2, 2], b[3, 3] = np.nan, np.inf, -np.inf
        product = MatMul(None, b, out, bias=np.zeros(4), activation=ACTIVATIONS["relu"])
        MatMulPlan([[product]], (3, 4)).run(np.ones((3, 4)))
        found.append(np.nan_to_num(out, nan=-7).tobytes())
    assert found[0] == found[1]


@needs_gemm
def test_relu_returns_no_negative_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    for select in (run_in_python, run_compiled):
        select(monkeypatch)
        for columns in (1, 3, 8, 37):
            out = np.empty((1, columns), "float32")
            b, bias = np.full((1, columns), -1e-45, "float32"), np.full(columns, -0.0, "float32")
            product = MatMul(None, b, out, bias=bias, activation=ACTIVATIONS["relu"])
            MatMulPlan([[product]], (1, 1)).run(np.full((1, 1), 1e-10, "float32"))
            assert not np.signbit(out).any()


def test_inputs_of_any_memory_layout() -> None:
    model = MLP((20, 8, 3), "relu", "softmax_cross_entropy")
    params = model.init(0, "float32")
    inputs = np.random.default_rng(0).standard_normal((40, 20)).astype("float32")
    expected = model.predict(params, inputs[8:16].copy()).tobytes()
    for same in (inputs[8:16], np.asfortranarray(inputs[8:16]), np.repeat(inputs, 2, axis=0)[16:32:2]):
        assert model.predict(params, same).tobytes() == expected


def test_plans_are_not_reused_for_other_parameters_of_the_same_shapes() -> None:
    model = MLP((4, 3), "relu", "softmax_cross_entropy")
    inputs = np.ones((2, 4))
    first, second = model.init(0, "float64"), model.init(1, "float64")
    assert (model.predict(first, inputs) != model.predict(second, inputs)).any()
    second["b1"] = second["b1"] + 1
    assert (model.predict(second, inputs) == model.predict(dict(second), inputs)).all()


def test_tiles_cover_a_product_exactly_once() -> None:
    for rows, columns, inner in [(128, 256, 784), (1, 5000, 5000), (3, 3, 10**6), (1000, 17, 900), (784, 256, 128)]:
        covered = np.zeros((rows, columns), int)
        for top, bottom, left, right in split_into_tiles(rows, columns, inner):
            covered[top:bottom, left:right] += 1
        assert (covered == 1).all()
    assert len(split_into_tiles(128, 256, 784)) == len(split_into_tiles(128, 64, 100_000)) == 4
    assert len(split_into_tiles(32, 64, 64)) == 1


@needs_gemm
def test_python_threads_may_run_plans_concurrently(monkeypatch: pytest.MonkeyPatch) -> None:
    run_compiled(monkeypatch)
    monkeypatch.setenv("MXTRAIN_THREADS", "3")
    expected = as_bytes(compute_all(WIDE, "relu", "float32", 128))
    found: list[Any] = []

    def work() -> None:
        found.extend(as_bytes(compute_all(WIDE, "relu", "float32", 128)) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 40


@needs_gemm
@pytest.mark.parametrize("environment", [{"NUMBA_DISABLE_JIT": "1"}, {"OPENBLAS_NUM_THREADS": "1"}, {}])
def test_bits_do_not_depend_on_the_environment(environment: dict[str, str]) -> None:
    """Without compiled code, with one BLAS thread, and with one BLAS thread per core."""
    code = """
import hashlib, numba
from tests.optim.backends.matmul.test_plan import WIDE, compute_all
for _ in range(2):
    print(hashlib.sha256(b"".join(x.tobytes() for x in compute_all(WIDE, "relu", "float32", 128).values())).hexdigest())
"""
    process = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    results = compute_all(WIDE, "relu", "float32", 128)
    digest = hashlib.sha256(b"".join(value.tobytes() for value in results.values())).hexdigest()
    assert process.stdout.split() == [digest] * 2


def test_irregular_arrays_are_never_written_by_address() -> None:
    """For Fortran order, another dtype, or wrong shapes, NumPy computes the product or raises an error."""
    model = MLP((4, 3), "relu", "softmax_cross_entropy")
    params, inputs = model.init(0, "float32"), np.ones((2, 4), "float32")
    expected = model.predict(params, inputs)
    fortran = params | {"W1": np.asfortranarray(params["W1"])}
    np.testing.assert_allclose(model.predict(fortran, inputs), expected, rtol=1e-6)
    np.testing.assert_allclose(model.predict(params, inputs.astype("float64")), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="shape"):
        model.predict(params, np.ones((2, 5), "float32"))
    read_only = {name: np.empty_like(value) for name, value in params.items()}
    for array in read_only.values():
        array.flags.writeable = False
    with pytest.raises(ValueError, match="read-only|out"):
        model.loss_and_grad(params, inputs, np.zeros(2, int), read_only)


@pytest.mark.parametrize("dtype", ["float16", "longdouble"])
def test_numpy_computes_dtypes_that_blas_does_not_support(dtype: str) -> None:
    found = compute_all((4, 3, 1), "relu", dtype, 5)
    for name, expected in compute_all((4, 3, 1), "relu", "float64", 5).items():
        np.testing.assert_allclose(found[name].astype("float64"), expected, rtol=0.02, atol=0.02)


def test_a_copy_of_a_model_has_its_own_plans() -> None:
    model = MLP((4, 3), "relu", "softmax_cross_entropy")
    params, inputs = model.init(0, "float32"), np.ones((2, 4), "float32")
    expected = model.predict(params, inputs)
    copied = copy.copy(model)
    assert (copied.predict(params, inputs) == expected).all()
    assert copied._plans is not model._plans


def test_threads_may_share_a_model() -> None:
    model = MLP((200, 300, 5), "relu", "softmax_cross_entropy")
    params = model.init(0, "float32")
    inputs = np.random.default_rng(0).standard_normal((8, 100, 200)).astype("float32")
    expected = [model.predict(params, each).tobytes() for each in inputs]
    wrong: list[int] = []

    def work(number: int) -> None:
        found = {model.predict(params, inputs[number].copy()).tobytes() for _ in range(50)}
        wrong.extend([number] * (found != {expected[number]}))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_model_drops_its_oldest_plans() -> None:
    model = MLP((2, 3), "relu", "softmax_cross_entropy")
    params = model.init(0, "float32")
    for n in range(1, 21):
        model.predict(params, np.ones((n, 2), "float32"))
    assert [shape[0] for _, shape, *_ in model._plans] == list(range(5, 21))
