"""Format of a new table for a trained model: that of the training data where it suits, otherwise detected."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from mxtrain.data.readers.columns import names_in_other_case
from mxtrain.data.readers.dialect import (
    Dialect,
    FormatOptions,
    FormatSettings,
    decimal_mark,
    detect_dialect,
    first_rows,
)
from mxtrain.data.readers.header_detection import is_value
from mxtrain.errors import DataError
from mxtrain.types import describe

_MAX_NAMES = 8
"""Largest number of names in an error message."""


@dataclass(frozen=True, slots=True)
class RecordedFormat(FormatOptions):
    """The format of the training data of a model, and the columns that a new table must have.

    A new table may have another separator, quote, decimal mark or encoding, which are detected.

    Attributes:
        names: the columns that the model needs.
        numbers: those of them that are numbers.
        positions: the names of all columns of the training data, if its file did not name them; otherwise None. They
            identify the columns of a new table by their order.
        targets: the columns that a new table may lack.
    """

    names: Collection[str] = ()
    numbers: Collection[str] = ()
    positions: tuple[str, ...] | None = None
    targets: Collection[str] = ()


def choose_dialect(text: str, settings: FormatSettings, is_whole: bool, source: str) -> Dialect | None:
    """Return the format of a table as its settings demand; see `detect_dialect` and `detect_like_recorded`.

    Raises:
        DataError: a separator is set that the table does not have; or as `detect_like_recorded`.
    """
    if isinstance(settings, RecordedFormat):
        return detect_like_recorded(text, settings, is_whole, source)
    dialect = detect_dialect(text, settings, is_whole)
    if dialect is not None and settings.separator is not None and len(dialect.names) == dialect.width == 1:
        detected = detect_dialect(text, FormatOptions(comment=settings.comment, quote=settings.quote), is_whole)
        if detected is not None and detected.width > 1:
            remedy = f"remove data.separator to detect it, or set it to {describe(detected.separator)}"
            raise DataError(f"{source}:{dialect.header_line}: has no {describe(settings.separator)}; {remedy}")
    return dialect


def detect_like_recorded(text: str, recorded: RecordedFormat, is_whole: bool, source: str) -> Dialect | None:
    r"""Return the format of a new table; None if it has no lines.

    Args:
        text: the beginning of the table.
        recorded: the format of the training data.
        is_whole: True if `text` is the whole table.
        source: the name of the table in error messages.

    Raises:
        DataError: the table does not name its columns as the training data did, or has another number of them.

    Example:
        >>> recorded = RecordedFormat(separator=";", decimal=",", names=["a", "b"], numbers=["a"])
        >>> dialect = detect_like_recorded("b,a\nx,1.5\n", recorded, True, "new.csv")
        >>> dialect.separator, dialect.decimal
        (',', '.')
        >>> recorded = RecordedFormat(separator=",", names=["1", "2"], positions=("0", "1", "2"), targets=["0"])
        >>> detect_like_recorded("3,x\n5,y\n", recorded, True, "new.csv").names
        ('1', '2')
    """
    found = [detect_dialect(text, options, is_whole) for options in _candidates(text, recorded)]
    dialects = [dialect for dialect in found if dialect is not None]
    if not dialects:
        return None
    for dialect in dialects:
        named = _with_names(dialect, recorded)
        if named is not None:
            _check_no_header(text, named, recorded, source)
            return replace(named, decimal=_decimal(text, named, recorded))
    if recorded.positions is not None:
        raise _width_error(dialects, recorded, source)
    detected = detect_dialect(text, FormatOptions(), is_whole)
    if detected is not None and not detected.has_header:
        names = ", ".join(map(describe, list(recorded.names)[:_MAX_NAMES]))
        more = ", ..." if len(recorded.names) > _MAX_NAMES else ""
        message = f"must name the columns, got a row of values; add a line before it with their names: {names}{more}"
        raise DataError(f"{source}:{detected.header_line}: {message}")
    return max(dialects, key=lambda dialect: dialect.width)


def _candidates(text: str, recorded: RecordedFormat) -> Iterator[FormatOptions]:
    """Yield the options to try: those of the training data, then detection."""
    quote = None if recorded.quote == '"' or '"' in text else recorded.quote
    base = FormatOptions(recorded.separator, None, quote, None, recorded.thousands, recorded.comment)
    for options in (base, FormatOptions()):
        yield replace(options, header=True)
        if recorded.positions is not None:
            yield replace(options, header=False)


def _with_names(dialect: Dialect, recorded: RecordedFormat) -> Dialect | None:
    """Return a format with the names of the columns; None if a column of the model is missing."""
    if dialect.has_header:
        renamed = names_in_other_case(dialect.names, recorded.names)
        has_all = set(recorded.names) <= {*dialect.names, *renamed.values()}
        is_position = recorded.positions is not None and all(name.isdigit() for name in recorded.positions)
        return dialect if has_all and not is_position else None
    names = recorded.positions or ()
    others = tuple(name for name in names if name not in recorded.targets)
    if dialect.width not in (len(names), len(others)):
        return None
    return replace(dialect, names=names if dialect.width == len(names) else others)


def _check_no_header(text: str, dialect: Dialect, recorded: RecordedFormat, source: str) -> None:
    """Raise a DataError if the first row has names above numbers, which the training data had not."""
    if dialect.has_header or recorded.positions is None:
        return
    rows = first_rows(text, dialect)
    indices = [i for i, name in enumerate(dialect.names) if name in recorded.numbers]
    cells = [rows[0][i] for i in indices if i < len(rows[0])]
    below = [row[i] for row in rows[1:] for i in indices if i < len(row)]
    if len(cells) > 1 and not any(map(is_value, cells)) and all(cells) and sum(map(is_value, below)) > len(below) / 2:
        got = ", ".join(map(describe, cells[:3]))
        message = f"must be a row of values, as the training data, which did not name their columns, got {got}"
        raise DataError(f"{source}:{dialect.first_line}: {message}; delete this line")


def _width_error(dialects: Sequence[Dialect], recorded: RecordedFormat, source: str) -> DataError:
    width = len(recorded.positions or ())
    got = max(dialect.width for dialect in dialects)
    fewer = len([name for name in recorded.positions or () if name not in recorded.targets])
    return DataError(
        f"{source}: must have {width} columns, or {fewer} without the target, in the order of the training data, which "
        f"did not name them, got {got}"
    )


def _decimal(text: str, dialect: Dialect, recorded: RecordedFormat) -> str | None:
    """Return the decimal mark that the numbers of the model have in this table; otherwise, of the training data."""
    indices = [i for i, name in enumerate(dialect.names) if name in recorded.numbers]
    offset = 1 if dialect.row_names else 0
    cells = ([row[i + offset] for i in indices if i + offset < len(row)] for row in first_rows(text, dialect))
    return decimal_mark(cells) or recorded.decimal
