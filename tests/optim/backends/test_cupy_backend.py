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
from tests.optim.backends.test_numba_backend import same_bits
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
        optimizer.update(0, move(gradient), weight)
    slots = optimizer.state_dict()["parameters"][0]["slots"].values()
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
