"""On a CUDA device every rule gives NumPy's bits, and a run stays there: `make test-gpu`, with CuPy in .venv."""

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
from tests.tables import CONFIGS, GOLDEN, SHAPES, STAGES, awkward

ROOT = Path(__file__).parents[3]


def device() -> ModuleType | str:
    """CuPy, or why it cannot be used."""
    try:
        select_backend("cupy")
    except mxtrain.BackendError as error:
        return str(error)
    return import_module("cupy")


cupy: Any = device()
pytestmark = pytest.mark.skipif(isinstance(cupy, str), reason=f"needs a CUDA device: {cupy}")


def updated(config: Any, weight: np.ndarray, gradients: list[np.ndarray], on_gpu: bool) -> list[np.ndarray]:
    """The weight and its slots after some updates, on the host."""
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
    """With denormals, infinities, NaN and signed zeros among the inputs."""
    for shape in SHAPES.values():
        weight, *gradients = (array.reshape(shape) for array in awkward(int(np.prod(shape)), dtype, count=4))
        there, here = (updated(config | stage, weight, gradients, on_gpu) for on_gpu in (True, False))
        assert len(there) == len(here)
        assert all(same_bits(one.reshape(-1), other.reshape(-1)) for one, other in zip(there, here, strict=True))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['optimizer']}, {case['what']}")
def test_golden_numbers_match_bit_for_bit(case: Any) -> None:
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
        {name: awkward(size, "float32", count=1, seed=seed)[0] for name, size in names.items()} for seed in (0, 1)
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


def test_a_weight_and_its_gradient_must_be_in_one_place() -> None:
    optimizer = mxtrain.build({"kind": "sgd"})
    with pytest.raises(mxtrain.ArrayTypeError, match=r"weight 0 is on the CPU \(NumPy\), its gradient on the GPU"):
        optimizer.update(0, cupy.ones(3, "float32"), np.ones(3, "float32"))


@pytest.mark.parametrize("file", ["adam.yaml", "sgd.yaml"])
def test_a_run_trains_there_and_resumes_to_the_byte(file: str, tmp_path: Path) -> None:
    """The products of its matrices are cuBLAS's, so the losses are near those of the CPU, not equal."""
    path, overrides = ROOT / "configs" / file, ["fit.epochs=3"]
    there = mxtrain.fit(path, run_dir=tmp_path / "there", overrides=[*overrides, "backend=cupy"])
    here = mxtrain.fit(path, run_dir=tmp_path / "here", overrides=[*overrides, "backend=numpy"])
    assert there.history[-1]["val_loss"] == pytest.approx(here.history[-1]["val_loss"], rel=0.02)
    mxtrain.fit(path, run_dir=tmp_path / "cut", overrides=["fit.epochs=1", "backend=cupy"])
    cut = mxtrain.resume(tmp_path / "cut", overrides=overrides)
    assert {name: array.tobytes() for name, array in cut.parameters.items()} == {
        name: array.tobytes() for name, array in there.parameters.items()
    }
