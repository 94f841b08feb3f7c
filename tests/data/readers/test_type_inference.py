"""Type inference: one decision of a column's kind, with missing marks only in sources without types."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mxtrain.data.readers.columns import CategoricalColumn, Kind
from mxtrain.data.readers.type_inference import ColumnBuilder
from mxtrain.errors import DataError

CELLS = ["1", " 2.5 ", "-3", "", "NA", "nan", "?", "cat", " dog", "1_0", "1e999", "1,234", "true", "NA"]
VALUES = [1, 2.5, None, float("nan"), "", "NA", "cat", " dog", True, 10**400, float("inf"), "1", np.int64(7), [1]]


def build(values: Sequence[Any], kind: Kind | None, has_types: bool, chunk: int = 1024) -> Any:
    """Return the values of a column, or the error message."""
    builder = ColumnBuilder("x", kind, lambda row: f"row {row}", source_has_types=has_types)
    try:
        for start in range(0, len(values), chunk):
            builder.extend(values[start : start + chunk])
    except DataError as error:
        return str(error)
    column = builder.column()
    if isinstance(column, CategoricalColumn):
        return [None if code < 0 else column.labels[code] for code in column.codes], column.dtype, sorted(column.typed)
    return [None if np.isnan(value) else value for value in column.values]


@pytest.mark.parametrize("kind", [None, "number", "text"])
@pytest.mark.parametrize("has_types", [True, False])
def test_columns_and_errors_do_not_depend_on_the_chunks(kind: Kind | None, has_types: bool) -> None:
    generator = random.Random(0)
    for _ in range(500):
        pool = generator.sample(VALUES if has_types else CELLS, 3)  # type: ignore[arg-type]
        values = [generator.choice(pool) for _ in range(generator.randrange(9))]
        expected = build(values, kind, has_types)
        assert build(values, kind, has_types, chunk=1) == build(values, kind, has_types, chunk=2) == expected


@pytest.mark.parametrize(
    ("values", "kind", "with_types", "without_types"),
    [
        (["NA", "7"], None, (["NA", "7"], "str", []), [None, 7]),
        (["7", "NA"], None, (["7", "NA"], "str", []), [7, None]),
        (["NA", "cat"], None, (["NA", "cat"], "str", []), (["NA", "cat"], None, [])),
        (["cat", "NA", ""], None, (["cat", "NA", None], "str", []), (["cat", "NA", None], None, [])),
        (["NA", "?", " "], None, (["NA", "?", None], "str", []), [None, None, None]),
        (["NA", ""], "number", "row 0: column 'x': must be a number, got 'NA'", [None, None]),
        (["NA", "7"], "text", (["NA", "7"], "str", []), (["NA", "7"], None, [])),
    ],
)
def test_marks_of_missing_values(values: list[str], kind: Kind | None, with_types: Any, without_types: Any) -> None:
    assert build(values, kind, has_types=True) == with_types
    assert build(values, kind, has_types=False) == without_types


def test_a_number_in_an_inferred_text_column_is_an_error_in_both() -> None:
    message = "row 1: column 'x': must be text, as the values before it, got "
    assert build(["cat", 7], None, has_types=True).startswith(f"{message}7; correct it, or")
    assert build(["cat", "7"], None, has_types=False).startswith(f"{message}'7'; correct it, or")


def test_numbers_are_exact_with_and_without_python_calls_for_each() -> None:
    numbers = [0.1, 3, -0.0, 2**60 + 1, 1e308]
    assert (
        build(numbers, None, has_types=True) == build([np.float64(0.1), *numbers[1:]], None, has_types=True) == numbers
    )
    assert build([str(n) for n in numbers], None, has_types=False) == [float(n) for n in numbers]
