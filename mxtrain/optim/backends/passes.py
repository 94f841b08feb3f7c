"""Updates of several passes: the reductions between them, per parameter and over all parameters of a step.

Each parameter has a record of float64 numbers: its size, the size of all parameters together, the scalar slots that the
update computes, and the results of the reductions so far. A backend reads it in each pass and writes new results to it;
this module combines the results of all parameters. On a GPU the records stay on the device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.optim.backends.arrays import Backend, PassRun, ProgramArrays, array_module
from mxtrain.optim.backends.scalar_statements import ScalarStatements
from mxtrain.optim.ir import MultiPassProgram
from mxtrain.optim.ir.summation import combine
from mxtrain.types import Array

SIZE, TOTAL_SIZE, FIRST_STATE = range(3)
"""First columns of a record, as in `MultiPassProgram.record_columns`."""


@dataclass(slots=True)
class MultiPassUpdate:
    """An update of several passes of parameters that have the same scalars.

    Attributes:
        program: the program.
        arrays: the program's arrays for each parameter.
        scalars: the scalars of the host, in float64.
        state: the scalar slots; those that the program computes are replaced.
        positions: the place of each parameter in the step, in which sums over all of them are added.
        family: the number of the rule: sums over all parameters cover those of updates with the same number.
    """

    program: MultiPassProgram
    arrays: Sequence[ProgramArrays]
    scalars: Sequence[float]
    state: dict[str, float]
    positions: Sequence[int]
    family: int = 0


def run_passes(backend: Backend, updates: Sequence[MultiPassUpdate]) -> None:
    """Run all passes of all updates of a step in place."""
    families: dict[int, list[MultiPassUpdate]] = {}
    for update in updates:
        families.setdefault(update.family, []).append(update)
    for members in families.values():
        _run_family(backend, members)


def _run_family(backend: Backend, updates: Sequence[MultiPassUpdate]) -> None:
    """Run all passes of the updates whose sums over all parameters belong together."""
    records = [_new_records(update) for update in updates]
    have_totals = any(update.program.has_totals for update in updates)
    if have_totals:
        total_size = sum(float(each[:, SIZE].sum()) for each in records)
        for each in records:
            each[:, TOTAL_SIZE] = total_size
    runs = [backend.start_passes(each.program, each.arrays, each.scalars) for each in updates]
    on_device = [run.upload(each) for run, each in zip(runs, records, strict=True)]
    done = [0] * len(updates)
    while any(number < len(update.program.passes) for number, update in zip(done, updates, strict=True)):
        for i, (update, run, each) in enumerate(zip(updates, runs, on_device, strict=True)):
            done[i] = _run_until_total(update.program, run, each, done[i])
        if have_totals:
            _combine_totals(updates, on_device, [number - 1 for number in done])
    for run in runs:
        run.finish()
    for update, run, each in zip(updates, runs, on_device, strict=True):
        if update.program.state and len(each):
            update.state.update(_evaluate_state(update, run.download(each[0])))


def _run_until_total(program: MultiPassProgram, run: PassRun, records: Array, number: int) -> int:
    """Run passes up to the next one with sums over all parameters; programs of one rule may have them in others.

    Returns:
        The number of passes that have been run.
    """
    while number < len(program.passes):
        run.run(number, records)
        number += 1
        if _totals_of(program, number - 1):
            break
    return number


def _new_records(update: MultiPassUpdate) -> NDArray[np.float64]:
    records = np.zeros((len(update.arrays), update.program.record_width))
    records[:, SIZE] = [arrays[0].size for arrays in update.arrays]
    for column, (name, _) in enumerate(update.program.state, start=FIRST_STATE):
        records[:, column] = update.state[name]
    return records


def _combine_totals(updates: Sequence[MultiPassUpdate], records: Sequence[Array], numbers: Sequence[int]) -> None:
    """Combine the results of a pass of each update that cover all parameters, and write them to the record of each."""
    totals = [_totals_of(update.program, number) for update, number in zip(updates, numbers, strict=True)]
    positions = list(chain.from_iterable(update.positions for update in updates))
    order = None if positions == sorted(positions) else np.argsort(positions, kind="stable")
    for columns in zip(*totals, strict=True):
        operation = columns[0][1]
        results = [each[:, column] for each, (column, _) in zip(records, columns, strict=True)]
        xp = np if isinstance(results[0], np.ndarray) else array_module("cupy")
        joined = results[0] if len(results) == 1 else xp.concatenate(results)
        with np.errstate(all="ignore"):
            total = combine(operation, joined if order is None else joined[xp.asarray(order)])
        for each, (column, _) in zip(records, columns, strict=True):
            each[:, column] = total


def _totals_of(program: MultiPassProgram, number: int) -> list[tuple[int, str]]:
    """Return the column and the operation of each total that a pass computes."""
    if number >= len(program.passes):
        return []
    first = program.first_result
    results = program.passes[number].results
    return [
        (first + result, program.reductions[result].operation)
        for result in results
        if program.reductions[result].scope == "total"
    ]


def _evaluate_state(update: MultiPassUpdate, record: NDArray[np.float64]) -> dict[str, float]:
    values = scalar_evaluator(update.program, None)(np.array(update.scalars), record)
    return {name: float(value) for (name, _), value in zip(update.program.state, values, strict=True)}


_EXPRESSIONS = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "maximum": "maximum({}, {})",  # of NumPy, which keeps NaN
    "minimum": "minimum({}, {})",
    "less": "{} < {}",
    "less_equal": "{} <= {}",
    "negative": "-{}",
    "sqrt": "sqrt({})",
    "absolute": "abs({})",
    "where": "{1} if {0} else {2}",
    "sign": "sign({0}) + {2}",
}


@cache
def scalar_evaluator(
    program: MultiPassProgram, number: int | None
) -> Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[Any, ...]]:
    """Return a function from the scalars of the host and a record to the scalars of a pass, in float64.

    Division by zero and NaN follow IEEE 754, without warnings.

    Args:
        program: the program.
        number: the number of the pass; None for the scalar slots that the program computes.
    """
    scalars = [scalar for _, scalar in program.state] if number is None else program.passes[number].program.scalars
    leaves = {scalar: f"h[{i}]" for scalar, i in program.scalar_numbers.items()}
    leaves |= {leaf: f"r[{column}]" for leaf, column in program.record_columns.items()}
    statements = ScalarStatements(leaves, _EXPRESSIONS, "    {} = {}")
    names = [statements.name(scalar) for scalar in scalars]
    source = "\n".join(
        ["def evaluate(h, r):", *statements.lines, f"    return ({''.join(f'{name}, ' for name in names)})"]
    )
    namespace: dict[str, Any] = {name: getattr(np, name) for name in ("maximum", "minimum", "sqrt", "sign")}
    exec(source, namespace)
    evaluate: Callable[..., tuple[Any, ...]] = np.errstate(all="ignore")(namespace["evaluate"])
    return evaluate
