"""Compiled counts of elements, without divisions where only the sign of a quotient counts: the bits of NumPy."""

from typing import Any

import numpy as np
import pytest

from mxtrain import build
from mxtrain.optim.backends.compiled.codegen_numba import generate_numba_pass_source
from mxtrain.optim.ir import MultiPassProgram, Program
from mxtrain.optim.ir.counting import count_of, without_quotients
from tests.tables import CONFIGS

SPECIAL = [0.0, -0.0, 1e-45, -1e-45, 1e-38, 8e-28, -8.1e-28, 1e-20, 1.0, -1.0, 1e9, 6e8, -1e19, np.inf, -np.inf, np.nan]
RULES: dict[str, dict[str, Any]] = {
    "adamw": {"kind": "adamw"},
    "adamw with a tiny ϵ": {"kind": "adamw", "ϵ": 1.2e-38},
    "adamw with a large ϵ": {"kind": "adamw", "ϵ": 1e30},
    "adamax": {"kind": "adamax"},
    "radam": {"kind": "radam"},
    "adadelta": {"kind": "adadelta"},
    "lion": {"kind": "lion"},
}


def first_pass(config: dict[str, Any]) -> Program:
    """Return the pass of a cautious rule that counts."""
    program = build(config | {"cautious": True})._groups.all[0].program
    assert isinstance(program, MultiPassProgram)
    return program.passes[0].program


def values(size: int, seed: int, *, special: bool) -> Any:
    """Return random numbers of all magnitudes, or special ones."""
    generator = np.random.default_rng(seed)
    if special:
        return generator.choice(SPECIAL, size)
    return generator.standard_normal(size) * 10.0 ** generator.integers(-30, 12, size)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.filterwarnings("ignore")
def test_compiled_counts_are_those_of_numpy(name: str, dtype: str) -> None:
    sizes = [5, 4096, 3 * 4096 + 77]
    optimizers = [
        build(RULES[name] | {"cautious": True}, backend=backend, on_nonfinite="ignore")
        for backend in ("numpy", "compiled")
    ]
    weights = [
        {f"W{i}": values(size, i, special=False).astype(dtype) for i, size in enumerate(sizes)} for _ in optimizers
    ]
    for step in range(6):
        with np.errstate(all="ignore"):
            numbers = [values(size, 10 * step + i, special=step > 3) for i, size in enumerate(sizes)]
            grads = {f"W{i}": g.astype(dtype) for i, g in enumerate(numbers)}
        for optimizer, params in zip(optimizers, weights, strict=True):
            optimizer.step(params, grads)
        for key, W in weights[0].items():
            np.testing.assert_array_equal(W, weights[1][key], err_msg=f"{key} after step {step}")


@pytest.mark.parametrize(
    ("name", "slow"),
    [("adamw", []), ("adamax", []), ("radam", ["sqrt"]), ("lion", []), ("adadelta", ["divide", "sqrt", "sqrt"])],
)
def test_divisions_that_a_count_needs(name: str, slow: list[str]) -> None:
    count = count_of(first_pass(RULES[name]))
    assert count is not None
    instructions = without_quotients(count).program.instructions
    assert sorted(each.operation for each in instructions if each.operation in ("divide", "sqrt")) == slow


def test_only_passes_that_count_have_whole_numbers() -> None:
    for config in CONFIGS.values():
        program = build(config)._groups.all[0].program
        if isinstance(program, MultiPassProgram):
            assert all("uint32" not in generate_numba_pass_source(program, each, "float32") for each in program.passes)
