"""Inputs of a trained model in chunks, from files that need not fit in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_sources import ARCHIVES, ARRAYS, CLASS_SOURCES, has_ending
from mxtrain.data.inference_data import features_of_table, load_for_prediction, recorded_format, with_known_names
from mxtrain.data.preprocessing.preprocessing import Preprocessing
from mxtrain.data.readers.columns import check_names_exist
from mxtrain.data.readers.dialect import FormatSettings
from mxtrain.data.readers.raw_table import RawTable, TableError, problems_error
from mxtrain.data.readers.table_bytes import STDIN
from mxtrain.data.readers.table_files import raw_chunks
from mxtrain.errors import DataError
from mxtrain.names import nfc


@dataclass(frozen=True, slots=True, eq=False)
class PredictionChunk:
    """Some rows of a file.

    Attributes:
        inputs: (m, d), the inputs of the model for the m valid rows.
        valid: (n,), False for a row that is malformed or has an invalid value.
        kept: the original text of the columns to keep, each of n values; empty for a missing value.
        problems: the messages about the rows that are not valid, in the order of the rows.
        notes: messages about categories that the training set lacks.
    """

    inputs: NDArray[Any]
    valid: NDArray[np.bool_]
    kept: dict[str, list[str]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def prediction_chunks(
    path: str, preprocessing: Preprocessing, settings: FormatSettings, keep: Sequence[str] = (), strict: bool = False
) -> Iterator[PredictionChunk]:
    """Yield the inputs of a model for a file, chunk by chunk.

    Args:
        path: a table, `-` for a table on standard input, or any other file that `load_for_prediction` reads.
        preprocessing: the fitted preprocessing of the model.
        settings: the format of the training data; a table may have another one.
        keep: the columns of a table whose text is returned too.
        strict: True to raise an error for a row that is malformed or has an invalid value.

    Raises:
        DataError: the file cannot be read, or lacks a column; with `strict`, also for each invalid row.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from mxtrain.config.data_section import DataConfig
        >>> from mxtrain.data.preprocessing.features import NumericFeature
        >>> path = f"{tempfile.mkdtemp()}/new.csv"
        >>> _ = Path(path).write_text("id,age\\n007,8\\n008,?!\\n")
        >>> fitted = Preprocessing((NumericFeature("age", 4.0, 2.0),), "y", None, "float32")
        >>> [chunk] = prediction_chunks(path, fitted, DataConfig(source="digits"), keep=["id"])
        >>> chunk.inputs.tolist(), chunk.valid.tolist(), chunk.kept, len(chunk.problems)
        ([[2.0]], [True, False], {'id': ['007', '008']}, 1)
    """
    names = list(map(nfc, keep))
    if path in CLASS_SOURCES or has_ending(path, (*ARCHIVES, *ARRAYS)):
        if names:
            raise DataError(f"{path}: has no columns to keep, which only a table has; leave out {names[0]!r}")
        inputs, _ = load_for_prediction(path, preprocessing)
        yield PredictionChunk(inputs, np.ones(len(inputs), dtype=bool))
        return
    rows = 0
    for chunk in raw_chunks(path, recorded_format(preprocessing, settings)):
        raw = with_known_names(chunk, [*preprocessing.kinds, *names])
        check_names_exist(raw.header, "column", raw.names, *preprocessing.kinds, *names)
        rows += len(raw)
        yield _prediction_chunk(raw, preprocessing, settings, names, strict)
    if not rows:
        raise DataError(f"{'standard input' if path == STDIN else path}: has a header but no samples")


def _prediction_chunk(
    raw: RawTable, preprocessing: Preprocessing, settings: FormatSettings, keep: Sequence[str], strict: bool
) -> PredictionChunk:
    if (whole := [problem for problem in raw.problems if problem.row < 0]) or (strict and raw.problems):
        raise problems_error(whole or raw.problems)
    problems = {problem.row: str(problem) for problem in reversed(raw.problems)}
    rows = np.setdiff1d(np.arange(len(raw)), np.array(list(problems), dtype=np.int64))

    notes: list[str] = []

    def convert(some: NDArray[np.int64]) -> NDArray[Any]:
        table = raw if len(some) == len(raw) else raw.take(some)
        return preprocessing.apply(features_of_table(table, preprocessing, settings), notes=notes)

    parts = [convert(rows)] if strict else list(_valid_parts(rows, convert, problems))
    valid = np.ones(len(raw), dtype=bool)
    valid[list(problems)] = False
    inputs = np.concatenate(parts) if parts else np.empty((0, len(preprocessing.feature_names)), preprocessing.dtype)
    kept = {name: column_text(raw.columns[name]) for name in keep}
    messages = tuple(problems[row] for row in sorted(problems))
    return PredictionChunk(inputs, valid, kept, messages, tuple(f"{raw.source}: {note}" for note in notes))


def _valid_parts(
    rows: NDArray[np.int64], convert: Callable[[NDArray[np.int64]], NDArray[Any]], problems: dict[int, str]
) -> Iterator[NDArray[Any]]:
    """Yield the inputs for the valid ones of some rows, in order, and add the problem of each other row.

    An error that does not name its rows is located by bisection.
    """
    if not len(rows):
        return
    try:
        yield convert(rows)
    except DataError as error:
        located = error.problems if isinstance(error, TableError) else ()
        found = {problem.row: str(problem) for problem in reversed(located)}
        if -1 in found:
            raise
        if found:
            problems |= {int(rows[row]): message for row, message in found.items()}
            yield from _valid_parts(np.delete(rows, list(found)), convert, problems)
        elif len(rows) == 1:
            problems[int(rows[0])] = str(error)
        else:
            middle = len(rows) // 2
            yield from _valid_parts(rows[:middle], convert, problems)
            yield from _valid_parts(rows[middle:], convert, problems)


def column_text(column: Any) -> list[str]:
    """Return the values of a Polars series as text: that of a text table unchanged, and empty for a missing value.

    >>> import polars
    >>> column_text(polars.Series(["007", None])), column_text(polars.Series([True, False])), column_text(
    ...     polars.Series([1.5, 2.0]))
    (['007', ''], ['true', 'false'], ['1.5', '2.0'])
    """
    return [
        "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        for value in column.to_list()
    ]
