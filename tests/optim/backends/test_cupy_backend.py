"""Rules and runs on a CUDA device, with CuPy in .venv: `make test-gpu`."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain import FlatParameters
from mxtrain.optim.backends import select_backend
from tests.optim.backends.compiled.test_numba_backend import same_bits
from tests.optim.backends.test_cuda_passes import PROGRAMS as PASS_PROGRAMS
from tests.optim.backends.test_cuda_passes import RULES_WITH_SUMS, check, inputs
from tests.tables import CONFIGS, GOLDEN, SHAPES, STAGES, as_bytes, special_arrays, with_stage

ROOT = Path(__file__).parents[3]


def import_cupy() -> ModuleType | str:
    """Return CuPy, or the reason why it cannot be used."""
    try:
        select_backend("cupy")
    except mxtrain.BackendError as error:
        return str(error)
    return import_module("cupy")


cupy: Any = import_cupy()
pytestmark = pytest.mark.skipif(isinstance(cupy, str), reason=f"needs a CUDA device: {cupy}")


def update_weight(config: Any, weight: np.ndarray, gradients: list[np.ndarray], on_gpu: bool) -> list[np.ndarray]:
    """Return the weight and its slots after some updates, on the host."""
    move = cupy.asarray if on_gpu else np.array
    optimizer = mxtrain.build(config, backend="cupy" if on_gpu else "numpy", on_nonfinite="ignore")
    weight = move(weight)
    for gradient in gradients:
        optimizer.step({"W": weight}, {"W": move(gradient)})
    slots = optimizer.state_dict()["parameters"]["W"]["slots"].values()
    return [array.get() if on_gpu else array for array in (weight, *slots)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_every_rule_gives_numpys_bits(config: Any, stage: Any, dtype: str) -> None:
    """The inputs include denormals, infinities, NaN and signed zeros."""
    for shape in SHAPES.values():
        weight, *gradients = (array.reshape(shape) for array in special_arrays(int(np.prod(shape)), dtype, count=4))
        staged = with_stage(config, stage)
        on_gpu, on_cpu = (update_weight(staged, weight, gradients, use_gpu) for use_gpu in (True, False))
        assert len(on_gpu) == len(on_cpu)
        assert all(same_bits(one.reshape(-1), other.reshape(-1)) for one, other in zip(on_gpu, on_cpu, strict=True))


LAYOUTS: dict[str, Any] = {
    "C order": lambda array: cupy.asarray(array),
    "Fortran order": lambda array: cupy.asfortranarray(cupy.asarray(array)),
    "strided": lambda array: cupy.repeat(cupy.asarray(array), 2, axis=0)[::2],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("program", PASS_PROGRAMS.values(), ids=PASS_PROGRAMS.keys())
def test_passes_with_reductions_give_numpys_bits(program: Any, dtype: str) -> None:
    """The inputs include denormals, infinities, NaN and signed zeros, in sizes around those of blocks and lanes."""
    for arrays in inputs(program, dtype):
        check(select_backend("cupy"), program, arrays, cupy.asarray, cupy.asnumpy)
    generator = np.random.default_rng(2)
    matrices = [[generator.random((97, 61)).astype(dtype) for _ in program.arrays] for _ in range(3)]
    for layout in LAYOUTS.values():
        check(select_backend("cupy"), program, matrices, layout, cupy.asnumpy)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", RULES_WITH_SUMS.values(), ids=RULES_WITH_SUMS.keys())
def test_rules_with_sums_give_numpys_bits(rule: Any, dtype: str) -> None:
    generator = np.random.default_rng(4)
    shapes = {"a": (), "b": (0, 3), "c": (4097,), "d": (123, 57), "e": (131_075,)}
    start, *gradients = (
        {name: np.asarray(generator.standard_normal(shape), dtype=dtype) for name, shape in shapes.items()}
        for _ in range(4)
    )
    results = []
    for backend, move, get in (("numpy", np.array, np.asarray), ("cupy", cupy.asarray, cupy.asnumpy)):
        for is_flat in (False, True):
            optimizer = mxtrain.Optimizer(rule, select_backend(backend))
            params: Any = {name: move(value.copy()) for name, value in start.items()}
            params = FlatParameters(params) if is_flat else params
            for gradient in gradients:
                grads = {name: move(value) for name, value in gradient.items()}
                optimizer.step(params, FlatParameters(grads) if is_flat else grads)
            results.append([get(params[name]).tobytes() for name in shapes])
    assert all(result == results[0] for result in results)


def test_sums_over_parameters_on_several_devices() -> None:
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs two CUDA devices")
    numbers = iter(range(1_000))

    def move(array: np.ndarray) -> Any:
        with cupy.cuda.Device(next(numbers) // len(program.arrays) % 2):  # the arrays of a parameter on one device
            return cupy.asarray(array)

    for program in PASS_PROGRAMS.values():
        arrays = [[np.ones(5000, dtype="float32") for _ in program.arrays] for _ in range(6)]
        numbers = iter(range(1_000))
        check(select_backend("cupy"), program, arrays, move, cupy.asnumpy)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['optimizer']}, {case['what']}")
def test_golden_values_match_bit_for_bit(case: Any) -> None:
    weight = cupy.array(GOLDEN["weight"], dtype="float32").reshape(GOLDEN["shape"])
    optimizer = mxtrain.build(case["config"], backend="cupy")
    for t, gradient in enumerate(GOLDEN["gradients"], start=1):
        optimizer.step({"W": weight}, {"W": cupy.array(gradient, dtype="float32").reshape(GOLDEN["shape"])})
        if str(t) in case["weights_after"]["float32"]:
            expected = np.array(case["weights_after"]["float32"][str(t)], dtype="float32")
            assert weight.get().tobytes() == expected.tobytes(), f"update {t}"


def test_flat_loose_and_grouped_parameters_give_numpys_bits() -> None:
    names = {"W1": 5_000, "b1": 7, "W2": 300, "b2": 1}
    weights, gradients = (
        {name: special_arrays(size, "float32", count=1, seed=seed)[0] for name, size in names.items()}
        for seed in (0, 1)
    )
    config = {"kind": "adamw", "groups": {"b*": {"λ": 0}, "W2": {"η": 0.1}}}
    expected = {name: array.copy() for name, array in weights.items()}
    mxtrain.build(config, backend="numpy", on_nonfinite="ignore").step(expected, gradients)
    loose, grads = ({name: cupy.asarray(array) for name, array in each.items()} for each in (weights, gradients))
    flat = FlatParameters(loose)
    mxtrain.build(config, backend="auto", on_nonfinite="ignore").step(flat, FlatParameters(grads))
    mxtrain.build(config, backend="cupy", on_nonfinite="ignore").step(loose, grads)
    for name, array in expected.items():
        assert same_bits(loose[name].get(), array)
        assert same_bits(flat[name].get(), array)


def test_a_weight_and_its_gradient_must_be_on_the_same_device() -> None:
    optimizer = mxtrain.build({"kind": "sgd"})
    with pytest.raises(mxtrain.ArrayTypeError, match=r"weight 0 is on the CPU \(NumPy\), its gradient on the GPU"):
        optimizer.update(0, cupy.ones(3, "float32"), np.ones(3, "float32"))


@pytest.mark.parametrize("file", ["adam.yaml", "sgd.yaml"])
def test_a_run_trains_on_the_gpu_and_resumes_to_the_byte(file: str, tmp_path: Path) -> None:
    """Losses are close to those of the CPU, not equal, because cuBLAS computes the matrix products."""
    path, overrides = ROOT / "configs" / file, ["fit.epochs=3"]
    on_gpu = mxtrain.fit(path, run_dir=tmp_path / "gpu", overrides=[*overrides, "backend=cupy"])
    on_cpu = mxtrain.fit(path, run_dir=tmp_path / "cpu", overrides=[*overrides, "backend=numpy"])
    assert on_gpu.history[-1]["val_loss"] == pytest.approx(on_cpu.history[-1]["val_loss"], rel=0.02)
    mxtrain.fit(path, run_dir=tmp_path / "resumed", overrides=["fit.epochs=1", "backend=cupy"])
    resumed = mxtrain.resume(tmp_path / "resumed", overrides=overrides)
    assert as_bytes(resumed.parameters) == as_bytes(on_gpu.parameters)
