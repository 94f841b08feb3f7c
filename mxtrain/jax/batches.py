"""Parameters of a pytree by name, and batches of those that have one rule and dtype."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from mxtrain.errors import ArrayError, ArrayTypeError, ConfigError, ConfigProblem
from mxtrain.optim.ir import AnyProgram, MatrixProgram, Variant
from mxtrain.optim.param_groups import ParamGroups

_WORKING_DTYPE = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
"""Dtype in which parameters of a dtype are updated."""


@dataclass(frozen=True)
class Batch:
    """Parameters with one rule and one dtype, which share a count of updates and scalar slots.

    Attributes:
        group: the number of the parameter group.
        dtype: the dtype in which they are updated.
        names: the names of the parameters.
        positions: their places in the step.
        scalar_names: the names of the scalar slots.
        width: the number of scalars of the programs with the most.
    """

    group: int
    dtype: str
    names: tuple[str, ...]
    positions: tuple[int, ...]
    scalar_names: tuple[str, ...]
    width: int


def flatten(params: Any) -> tuple[list[str], list[Any], Any]:
    """Return the name of each leaf of a pytree, its path joined by dots, the leaves, and the structure."""
    paths, structure = jax.tree_util.tree_flatten_with_path(params)
    names = [".".join(map(_key, path)) or "W" for path, _ in paths]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ArrayError(f"two parameters have the name {repeated!r}; rename one of them")
    return names, [leaf for _, leaf in paths], structure


def _key(entry: Any) -> str:
    return str(next(getattr(entry, name) for name in ("key", "name", "idx") if hasattr(entry, name)))


def make_batches(groups: ParamGroups, names: Sequence[str], leaves: Sequence[Any]) -> list[Batch]:
    """Return the batches of parameters with one rule and dtype, in the order of their first parameters.

    Raises:
        ArrayTypeError: a leaf is not an array of floating-point numbers.
        ConfigError: a leaf of half precision has a rule with `master: true`.
    """
    members: dict[tuple[int, str], list[int]] = {}
    for position, (name, leaf) in enumerate(zip(names, leaves, strict=True)):
        dtype = str(getattr(leaf, "dtype", type(leaf).__name__))
        if dtype not in _WORKING_DTYPE:
            raise ArrayTypeError(
                f"weight {name!r} must be an array of {', '.join(_WORKING_DTYPE)}, got {dtype}; "
                "keep other leaves out of the parameters, for example with optax.masked"
            )
        number = groups.number(name, tuple(leaf.shape))
        if groups.all[number].rule.master and dtype != _WORKING_DTYPE[dtype]:
            message = f"a transformation keeps no copy of weight {name!r}, which is {dtype}; hold float32 weights"
            raise ConfigError([ConfigProblem("optimizer.master", message)])
        members.setdefault((number, _WORKING_DTYPE[dtype]), []).append(position)
    result = []
    for (number, dtype), positions in members.items():
        rule = groups.all[number].rule
        variants: list[Variant] = ["update", "synchronize"] if rule.lookahead is not None else ["update"]
        width = max(_scalar_count(groups.program(number, variant)) for variant in variants)
        scalar_names = tuple(rule.stored_scalars())
        result.append(Batch(number, dtype, tuple(names[i] for i in positions), tuple(positions), scalar_names, width))
    return result


def _scalar_count(program: AnyProgram) -> int:
    return len(program.coefficients if isinstance(program, MatrixProgram) else program.scalars)


def split(values: Sequence[Any], batches: Sequence[Batch]) -> list[list[Any]]:
    """Return the part of each batch of the scalar slots of all of them."""
    parts, rest = [], list(values)
    for batch in batches:
        parts.append(rest[: len(batch.scalar_names)])
        rest = rest[len(batch.scalar_names) :]
    return parts
