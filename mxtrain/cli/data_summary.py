"""Output of `mxtrain validate`: what the data of a run hold, and what is done with each column."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Column, Table

from mxtrain.cli.rich_output import number_column, plain_table
from mxtrain.cli.streams import print_results
from mxtrain.config.data_sources import TABLES, has_ending
from mxtrain.data import prepare
from mxtrain.data.kinds.summary import ColumnSummary, summarize_columns
from mxtrain.data.loading import read_columns
from mxtrain.errors import escape_unprintable
from mxtrain.formatting import format_count
from mxtrain.training.class_weights import class_weights
from mxtrain.types import CLASS_LOSSES

if TYPE_CHECKING:
    from mxtrain.config import RunConfig

_MAX_COLUMNS = 200
"""Largest number of columns that are printed; of more, these first ones are."""


@dataclass(frozen=True, slots=True)
class DataSummary:
    """The data of a run, as it is trained on them.

    Attributes:
        rows: the number of rows of a table; None for arrays.
        training, validation, test: the numbers of samples.
        inputs: the number of inputs of the model.
        columns: a summary of each column of a table.
        notes: messages about samples that are left out, and about unseen categories.
    """

    rows: int | None
    training: int
    validation: int
    test: int
    inputs: int
    columns: list[ColumnSummary]
    notes: list[str]


def summarize_data(config: "RunConfig") -> DataSummary:
    """Read the data of a run as training does.

    Raises:
        DataError: the data cannot be read, or training would refuse them.
        ConfigError: the weights of classes do not suit the classes.
    """
    config, columns = config.resolve(), None
    data = config.data
    if has_ending(data.source, TABLES):
        columns = read_columns(data, config.equivalent_builtin_loss in CLASS_LOSSES)
    dataset = prepare(config)
    class_weights(config, dataset, np)  # raises an error for classes that do not exist
    return DataSummary(
        None if columns is None else len(columns),
        len(dataset.training),
        len(dataset.validation),
        len(dataset.test),
        dataset.n_features,
        [] if columns is None else summarize_columns(columns, data),
        [note for note in dataset.notes if not note.startswith("left out column")],
    )


def print_data_summary(summary: DataSummary) -> None:
    """Print the numbers of samples, and a line for each column of a table."""
    parts = [f"{getattr(summary, part):,} {part}" for part in ("training", "validation", "test")]
    sizes = ", ".join(part for part in parts if not part.startswith("0 "))
    rows = "" if summary.rows is None else f"{format_count(summary.rows, 'row')}; "
    print_results(f"{rows}samples: {sizes}; {format_count(summary.inputs, 'input')} of the model")
    if summary.columns:
        print_results("", _columns_table(summary.columns))
    if summary.notes:
        print_results("", *map(escape_unprintable, summary.notes))


def _columns_table(columns: list[ColumnSummary]) -> Table:
    table = plain_table(
        Column("column", overflow="fold"),
        Column("read as", no_wrap=True),
        number_column("missing"),
        number_column("distinct"),
        Column("values", overflow="fold"),
        Column("use"),
    )
    for column in columns[:_MAX_COLUMNS]:
        counts = ("" if count is None else f"{count:,}" for count in (column.missing, column.distinct))
        texts = map(escape_unprintable, (column.values, column.use))
        table.add_row(escape_unprintable(column.name), column.kind, *counts, *texts)
    if len(columns) > _MAX_COLUMNS:
        table.add_row(f"and {len(columns) - _MAX_COLUMNS:,} more")
    return table
