"""The compiled backend gives the bits of NumPy for every rule, size, memory layout, thread and process."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends import select_backend
from mxtrain.optim.backends.compiled.numba_backend import compile_loop
from mxtrain.optim.ir import sqrt, trace, where
from tests.tables import CONFIGS, STAGES, special_arrays, update_one, with_stage

SIZES = [0, 1, 7, 4095, 4096, 4097, 1_000_003]


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays are bitwise equal, with all NaN equal."""
    return bool(((a.view(f"u{a.itemsize}") == b.view(f"u{b.itemsize}")) | (np.isnan(a) & np.isnan(b))).all())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stage", ["plain", "all"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_bits_equal_those_of_numpy(config: Any, stage: str, dtype: str) -> None:
    config = with_stage(config, STAGES[stage])
    for size in SIZES if stage == "all" else SIZES[:-1]:
        weight, *gradients = special_arrays(size, dtype, count=4)
        compiled, numpy = (mxtrain.build(config, backend=name, on_nonfinite="ignore") for name in ("compiled", "numpy"))
        other = weight.copy()
        for gradient in gradients:
            update_one(compiled, gradient, weight)
            update_one(numpy, gradient, other)
        assert same_bits(weight, other), f"{size} elements"


@pytest.mark.parametrize("offset", [1, 2, 3, 4])
def test_any_alignment_gives_the_same_bits(offset: int) -> None:
    (base, gradient_base) = special_arrays(1001, "float32", count=2)
    memory = bytearray(4 * 1001 + 8)
    weight = np.frombuffer(memory, dtype="float32", count=1000, offset=offset)
    weight[:] = base[:1000]
    expected = base[:1000].copy()
    gradient = gradient_base[1:]
    mxtrain.build({"kind": "adam"}, backend="compiled", on_nonfinite="ignore").update(0, gradient, weight)
    mxtrain.build({"kind": "adam"}, backend="numpy", on_nonfinite="ignore").update(0, gradient, expected)
    assert same_bits(np.array(weight), expected)


@pytest.mark.parametrize("view", [lambda a: a[::2], lambda a: a[:, 3:50], lambda a: a.T, lambda a: a[::-1, ::-1]])
def test_any_layout_gives_the_same_bits(view: Any) -> None:
    base, gradient = special_arrays(10_000, "float32", count=2)
    one, other, gradient = base.reshape(100, 100), base.reshape(100, 100).copy(), gradient.reshape(100, 100)
    mxtrain.build({"kind": "adam"}, backend="compiled", on_nonfinite="ignore").update(0, view(gradient), view(one))
    mxtrain.build({"kind": "adam"}, backend="numpy", on_nonfinite="ignore").update(0, view(gradient), view(other))
    assert same_bits(one, other)


def test_a_gradient_may_be_read_only() -> None:
    weight, gradient = special_arrays(100, "float32", count=2)
    gradient.flags.writeable = False
    expected = weight.copy()
    mxtrain.build({"kind": "adam"}, backend="numpy", on_nonfinite="ignore").update(0, gradient, expected)
    mxtrain.build({"kind": "adam"}, backend="compiled", on_nonfinite="ignore").update(0, gradient, weight)
    assert same_bits(weight, expected)


def test_where_and_comparisons() -> None:
    def formula(W: Any, g: Any) -> dict[str, Any]:
        return {"W": where(g <= 0.5, sqrt(abs(W)), where(g < W, -W, g / W)), "g": W}

    program = trace("choice", formula, ("W", "g"), ())
    one = special_arrays(5000, "float32", count=2)
    other = [array.copy() for array in one]
    select_backend("compiled").run(program, [one], program.evaluate_scalars({}))
    select_backend("numpy").run(program, [other], program.evaluate_scalars({}))
    assert same_bits(one[0], other[0])
    assert same_bits(one[1], other[1])


def test_other_hyperparameters_compile_nothing() -> None:
    weight, gradient = special_arrays(10, "float32", count=2)
    mxtrain.build({"kind": "adam"}, backend="compiled", on_nonfinite="ignore").update(0, gradient, weight)
    compiled = compile_loop.cache_info().misses
    other = {"kind": "adam", "η": 0.3, "β1": 0.5, "β2": 0.7, "ϵ": 1e-3, "λ": 0.2}
    mxtrain.build(other, backend="compiled", on_nonfinite="ignore").update(0, gradient, weight)
    assert compile_loop.cache_info().misses == compiled


def test_python_threads_may_update_concurrently() -> None:
    def work(seed: int) -> np.ndarray:
        weight, *gradients = special_arrays(600_000, "float32", count=6, seed=seed)
        optimizer = mxtrain.build({"kind": "adam"}, backend="compiled", on_nonfinite="ignore")
        for gradient in gradients:
            optimizer.update(0, gradient, weight)
        return weight

    expected = [work(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        for one, other in zip(pool.map(work, range(6)), expected, strict=True):
            assert same_bits(one, other)


def _update_in_child(results: Any) -> None:
    weight, gradient = special_arrays(600_000, "float32", count=2)
    mxtrain.build({"kind": "adam"}, backend="compiled", on_nonfinite="ignore").update(0, gradient, weight)
    results.put(weight.tobytes())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_processes_may_update() -> None:
    weight, gradient = special_arrays(600_000, "float32", count=2)
    mxtrain.build({"kind": "adam"}, backend="compiled", on_nonfinite="ignore").update(
        0, gradient, weight
    )  # starts the workers
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns about forks of multi-threaded processes
        child = context.Process(target=_update_in_child, args=(results,))
        child.start()
    try:
        assert results.get(timeout=60) == weight.tobytes()
    finally:
        child.join(timeout=60)


def test_auto_switches_to_compiled_loops_once_they_pay_off() -> None:
    code = """
import sys, numpy as np, mxtrain
weight, gradient = np.ones(8, dtype="float32"), np.ones(8, dtype="float32")
optimizer = mxtrain.build({"kind": "adam"})
optimizer.update(0, gradient, weight)
assert "numba" not in sys.modules
large, slope = np.ones(20_000_000, dtype="float32"), np.ones(20_000_000, dtype="float32")
for _ in range(12):
    optimizer.update(1, slope, large)
assert "numba" in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


WITHOUT_NUMBA = {"missing": {}, "disabled": {"NUMBA_DISABLE_JIT": "1"}}


@pytest.mark.parametrize("reason", WITHOUT_NUMBA)
def test_without_numba_auto_uses_numpy(reason: str) -> None:
    code = f"""
import sys, numpy as np, mxtrain
if {reason == "missing"}:
    sys.modules["numba"] = None  # its import fails
else:
    import numba
weight, gradient = np.zeros(8, dtype="float32"), np.ones(8, dtype="float32")
optimizer = mxtrain.build({{"kind": "sgd", "η": 1, "λ": 0}}, backend="auto")
for _ in range(2):
    optimizer.step({{"w": weight}}, {{"w": gradient}})
print(weight[0])
mxtrain.build({{"kind": "sgd"}}, backend="compiled")
"""
    environment = os.environ | WITHOUT_NUMBA[reason]
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "-2.0", result.stderr
    assert "BackendError: the backend compiled needs Numba, which cannot be used here (" in result.stderr


def test_the_last_call_is_not_reused_after_changes_in_place() -> None:
    """The backend caches the addresses of small arrays; their dtype and shape may be set in place."""
    weight, gradient = np.zeros(8, "float32"), np.ones(8, "float32")
    optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0}, backend="compiled")
    optimizer.update(0, gradient, weight)
    weight.shape = gradient.shape = (2, 4)
    optimizer.update(0, gradient, weight)
    assert (weight == -2).all()
    weight[...], gradient[...] = 0, 0
    weight.dtype = gradient.dtype = "float64"
    gradient += 1
    optimizer.update(0, gradient, weight)
    assert (weight == -1).all()


@pytest.mark.parametrize("copy_both", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copy_does_not_reuse_the_last_call(copy_both: Any) -> None:
    weight, gradient = np.zeros(8, "float32"), np.ones(8, "float32")
    optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0}, backend="compiled")
    optimizer.update(0, gradient, weight)
    other, (its_gradient, its_weight) = copy_both((optimizer, (gradient, weight)))
    other.update(0, its_gradient, its_weight)
    assert (its_weight == -2).all()
    assert (weight == -1).all()
