"""CUDA kernels of programs with reductions, tested without a GPU: NumPy's bits on the host, compiled for CUDA by NVRTC."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends.codegen_cuda import CUDA_PREAMBLE, generate_cuda_pass_source
from mxtrain.optim.backends.cupy_backend import CuPyPassRun
from mxtrain.optim.backends.numpy_backend import NumPyBackend
from mxtrain.optim.backends.passes import MultiPassUpdate, run_passes
from mxtrain.optim.ir import (
    MultiPassProgram,
    UpdateProgram,
    absolute,
    dot,
    max_abs,
    maximum,
    mean,
    minimum,
    norm,
    sign,
    sqrt,
    total_dot,
    total_max_abs,
    total_mean,
    total_norm,
    trace,
    where,
)
from mxtrain.optim.ir import sum as sum_of
from mxtrain.optim.rules import RULES
from tests.optim.backends.compiled.test_numba_backend import same_bits
from tests.optim.backends.cuda_host import CAN_RUN_KERNELS, Device, DeviceArray, HostCuPy, on_device
from tests.optim.backends.test_codegen import Compiler, HostBackend
from tests.tables import special_arrays

needs_threads = pytest.mark.skipif(not CAN_RUN_KERNELS, reason="kernels run on Linux with a C++ compiler")


def lamb(W: Any, g: Any, m: Any, v: Any, *, η: Any, β1: Any, β2: Any, small: Any) -> dict[str, Any]:
    m = β1 * m + (1 - β1) * g
    v = β2 * v + (1 - β2) * (g * g)
    u = m / (sqrt(v) + small) + 0.01 * W
    size, length = norm(W), norm(u)
    ratio = where(size <= 0, 1, where(length <= 0, 1, size / length))
    return {"W": W - (η * ratio) * u, "m": m, "v": v}


def totals(W: Any, g: Any, *, d: Any, count: Any, clip: Any) -> dict[str, Any]:
    length = total_norm(g)
    g = g * minimum(1, clip / (length + 1e-6))
    d = maximum(d, absolute(total_dot(W, g)) / (1 + total_max_abs(W) + total_mean(absolute(W))))
    return {"W": W - d * g, "d": d, "count": count + 1}


def everything(W: Any, g: Any, *, η: Any) -> dict[str, Any]:
    centered = g - mean(g)
    spread = sqrt(mean(centered * centered))
    slope = sign(dot(W, g)) + sign(-max_abs(g)) + (sum_of(W) < 0)
    return {"W": maximum(W, -1 - spread) - η * where(absolute(g) <= max_abs(W), slope, -slope) * g, "g": centered}


def traced(name: str, formula: Any, arrays: Sequence[str], scalars: Sequence[str], state: Sequence[str] = ()) -> Any:
    program = trace(name, formula, arrays, scalars, state)
    assert isinstance(program, MultiPassProgram)
    return program


PROGRAMS: dict[str, MultiPassProgram] = {
    "lamb": traced("lamb_like", lamb, ("W", "g", "m", "v"), ("η", "β1", "β2", "small")),
    "totals": traced("totals", totals, ("W", "g"), ("clip",), ("d", "count")),
    "everything": traced("everything", everything, ("W", "g"), ("η",)),
}
COEFFICIENTS = {"η": 0.1, "β1": 0.9, "β2": 0.999, "small": 1e-8, "clip": 3.0}
SIZES = [0, 1, 127, 128, 129, 4095, 4096, 4097, 131_075, 3, 9000]


class PassBackend(HostBackend):
    """Backend whose arrays may be on several devices."""

    devices = 1

    def start_passes(self, program: MultiPassProgram, groups: Any, scalars: Any) -> CuPyPassRun:
        groups = [
            [on_device(array, Device(row % self.devices)) for array in arrays] for row, arrays in enumerate(groups)
        ]
        return CuPyPassRun(self.cupy, program, groups, scalars)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> PassBackend:
    return PassBackend(tmp_path_factory.mktemp("host"))


def run(backend: Any, program: MultiPassProgram, arrays: Sequence[Sequence[np.ndarray]]) -> dict[str, float]:
    """Run a program on two batches of arrays, those at even and odd places, and return its scalar slots."""
    names = {str(each.label) for each in leaves(program.scalars) if each.operation == "input"}
    scalars = program.evaluate_scalars({name: COEFFICIENTS[name] for name in names})
    updates = [
        MultiPassUpdate(program, arrays[first::2], scalars, {"d": 0.5, "count": 3.0}, range(first, len(arrays), 2))
        for first in (0, 1)
    ]
    run_passes(backend, [each for each in updates if each.arrays])
    return updates[0].state


def leaves(scalars: Sequence[Any]) -> list[Any]:
    return [leaf for each in scalars for leaf in ([each] if not each.operands else leaves(each.operands))]


def check(
    backend: Any, program: MultiPassProgram, arrays: list[list[np.ndarray]], move: Any = np.array, get: Any = np.asarray
) -> None:
    """Check that a backend and NumPy give equal bits; `move` and `get` move arrays to the device and back."""
    expected = [[array.copy() for array in each] for each in arrays]
    found = [[move(array) for array in each] for each in arrays]
    state, other = run(NumPyBackend(), program, expected), run(backend, program, found)
    assert same_bits(np.array([*state.values()]), np.array([*other.values()]))
    for one, two in zip(expected, found, strict=True):
        for array, same in zip(one, two, strict=True):
            assert same_bits(array.reshape(-1), np.ascontiguousarray(get(same)).reshape(-1))


def inputs(program: MultiPassProgram, dtype: str) -> list[list[list[np.ndarray]]]:
    """Return inputs of all sizes: normal deviates together, then special values, denormals and zeros one by one."""
    generator = np.random.default_rng(1)
    count = len(program.arrays)
    tiny = np.finfo(dtype).smallest_subnormal
    zeros = [np.full(200, -0.0, dtype=dtype) for _ in range(count)]
    return [
        [[generator.standard_normal(size).astype(dtype) ** 2 for _ in range(count)] for size in SIZES],
        *([special_arrays(size, dtype, count, seed=size)] for size in SIZES),
        [[(tiny * generator.integers(-9, 9, size=5000)).astype(dtype) for _ in range(count)]],
        [zeros],
        [[np.where(np.arange(200) == 7, np.inf, each).astype(dtype) for each in zeros]],
    ]


@needs_threads
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_kernels_give_numpys_bits(program: MultiPassProgram, dtype: str, host: PassBackend) -> None:
    for arrays in inputs(program, dtype):
        check(host, program, arrays)


@needs_threads
def test_denormal_numbers_are_added(host: PassBackend) -> None:
    """A sum of squares of denormal float32 numbers is not zero in float64."""
    weight, gradient = (np.full(100, 1e-40, dtype="float32") for _ in range(2))
    program = traced("tiny", lambda W, g: {"W": W / norm(g)}, ("W", "g"), ())
    run(host, program, [[weight, gradient]])
    assert np.allclose(weight, 0.1)


@needs_threads
def test_random_shapes_layouts_and_devices(host: PassBackend) -> None:
    generator = np.random.default_rng(3)
    layouts = [np.array, np.asfortranarray, lambda a: np.repeat(a, 2, axis=0)[::2] if a.ndim else a.copy()]
    for number in range(100):
        program = list(PROGRAMS.values())[number % 3]
        dtype = ("float32", "float64")[number // 3 % 2]
        shapes = [
            tuple(generator.integers(0, [5, 70, 300][generator.integers(3)], size=generator.integers(0, 3)))
            for _ in range(generator.integers(1, 8))
        ]
        arrays = [
            [np.asarray(generator.standard_normal(shape) ** 2, dtype=dtype) for _ in program.arrays] for shape in shapes
        ]
        host.devices = 1 + int(generator.integers(3))
        check(host, program, arrays, layouts[number % len(layouts)])
    host.devices = 1


@needs_threads
def test_one_launch_for_all_parameters_of_a_pass(host: PassBackend) -> None:
    launches = host.cupy.launches
    program = PROGRAMS["lamb"]
    run(host, program, [[np.ones(5, dtype="float32") for _ in range(4)] for _ in range(20)])
    assert host.cupy.launches - launches == 2 * len(program.passes), "two batches"


class Uploads(HostCuPy):
    """CuPy whose arrays must not be read by the host."""

    def asarray(self, array: Any) -> DeviceArray:
        assert not isinstance(array, DeviceArray), "a transfer from the device"
        return super().asarray(array)


@needs_threads
def test_only_scalar_slots_are_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    downloads = []
    monkeypatch.setattr(DeviceArray, "get", lambda self: downloads.append(self.shape) or np.array(self))
    backend = PassBackend(tmp_path)
    backend.cupy = Uploads(tmp_path)
    for program in PROGRAMS.values():
        run(backend, program, [[np.ones(5000, dtype="float32") for _ in program.arrays]])
    assert downloads == [(PROGRAMS["totals"].record_width,)]


RULES_WITH_SUMS = {
    each.kind: each
    for each in (mxtrain.build({"kind": rule.model_fields["kind"].default}).rule for rule in RULES)
    if isinstance(each.program(), MultiPassProgram)
}


WRAPPERS: dict[str, Any] = {
    "lookahead": {"period": 2}, "ema": {"decay": 0.9}, "bounds": [-0.5, 0.6], "scale": 0.5, "clip_norm": 1,
    "skip_nonfinite": True, "accumulate": 2,
}  # fmt: skip
WRAPPED = {
    "adam with wrappers": mxtrain.build({"kind": "adam", "decoupled": True, "cautious": True, **WRAPPERS}).rule,
    "lion with wrappers": mxtrain.build({"kind": "lion", **WRAPPERS}).rule,
}
TRAINED = RULES_WITH_SUMS | WRAPPED


@needs_threads
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", TRAINED.values(), ids=TRAINED.keys())
def test_optimizers_give_numpys_bits(rule: Any, dtype: str, host: PassBackend) -> None:
    generator = np.random.default_rng(4)
    shapes = {"a": (), "b": (0, 3), "c": (4097,), "d": (123, 57), "e": (2, 500)}
    start, *gradients = (
        {name: np.asarray(generator.standard_normal(shape), dtype=dtype) for name, shape in shapes.items()}
        for _ in range(4)
    )
    results = []
    for backend in (NumPyBackend(), host):
        for is_flat in (False, True):
            optimizer = mxtrain.Optimizer(rule, backend)
            params: Any = {name: value.copy() for name, value in start.items()}
            params = mxtrain.FlatParameters(params) if is_flat else params
            for grads in gradients * 2:
                optimizer.step(params, mxtrain.FlatParameters(grads) if is_flat else grads)
            state = optimizer.state_dict()["parameters"].values()
            slots = [slot.tobytes() for each in state for slot in each["slots"].values()]
            results.append(([params[name].tobytes() for name in shapes], slots))
    assert all(result == results[0] for result in results)


@pytest.fixture(scope="module")
def nvrtc() -> Compiler:
    return Compiler()


KERNELS: dict[str, UpdateProgram] = PROGRAMS | {kind: rule.program() for kind, rule in RULES_WITH_SUMS.items()}
KERNELS["adam with wrappers"] = WRAPPED["adam with wrappers"].program("synchronize")


@pytest.mark.parametrize("architecture", ["compute_80", "compute_90"])
@pytest.mark.parametrize("ctype", ["float", "double"])
@pytest.mark.parametrize("program", KERNELS.values(), ids=KERNELS.keys())
def test_kernels_compile_and_round_every_operation(
    program: MultiPassProgram, ctype: str, architecture: str, nvrtc: Compiler
) -> None:
    for each in program.passes:
        ptx = nvrtc.ptx(CUDA_PREAMBLE + generate_cuda_pass_source(program, each, ctype), architecture)
        instructions = re.findall(r"\b(?:add|sub|mul|div|sqrt|abs|neg|fma|mad)\.[\w.]*f(?:32|64)", ptx)
        assert instructions
        assert not [name for name in instructions if name.startswith(("fma", "mad")) or "ftz" in name]
        assert all(".rn." in name or name.startswith(("abs", "neg")) for name in instructions)
        assert not re.findall(r"\bcvt\.[\w.]*ftz", ptx), "denormal numbers are flushed to zero"
        assert "bar.sync" in ptx
