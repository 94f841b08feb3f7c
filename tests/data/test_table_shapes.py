"""Tables in the shapes in which people have them, from files and in memory: each is read as it is meant."""

import os
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mxtrain.config import run_from_dict
from mxtrain.config.data_section import ColumnKind, DataConfig
from mxtrain.data.batches import InMemorySamples
from mxtrain.data.dataset import prepare
from mxtrain.data.kinds.frames import raw_table_of
from mxtrain.data.kinds.typed_columns import type_columns
from mxtrain.data.prediction_chunks import prediction_chunks
from mxtrain.data.readers.columns import CategoricalColumn, Columns
from mxtrain.data.readers.raw_table import RawTable
from mxtrain.data.readers.table_files import read_raw
from mxtrain.errors import DataError
from mxtrain.training.resume_checks import resolve_with_data
from tests.data.shapes import BASE, N_ROWS, REFUSED, ROWS, SHAPES, Shape, changed, kinds_of, with_gaps

pd: Any = pytest.importorskip("pandas")
pa: Any = pytest.importorskip("pyarrow")

LEFT_OUT = {"index", "identifier", "constant"}
"""The kinds of columns that are no features, so that they may lack a name."""
SETTINGS = DataConfig(source="trees.csv", target="health")


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def values_of(columns: Columns, name: str) -> np.ndarray[Any, Any]:
    """Return the numbers, or the days, of a column."""
    column = columns.columns[name]
    assert not isinstance(column, CategoricalColumn)
    return column.values


def read(raw: RawTable, target: str, loss: str) -> Columns:
    """Return the columns of a table with their kinds; that of the target is that of the loss."""
    wanted: dict[str, ColumnKind | None] = dict.fromkeys(raw.names)
    wanted[target] = "category" if loss == "softmax_cross_entropy" else "number"
    return type_columns(raw, wanted)


def check_kinds(columns: Columns, expected: Mapping[str, str]) -> None:
    """Compare the kinds of columns with those expected; columns without a name must be no features."""
    found = dict(columns.kinds)
    unnamed = {found.pop(name) for name in list(found) if name not in expected}
    assert found == {name: kind for name, kind in expected.items() if name}
    assert unnamed <= LEFT_OUT


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_file_is_read_as_it_is_meant(shape: Shape) -> None:
    Path(shape.name).write_bytes(shape.content)
    raw = read_raw(shape.name, SETTINGS)
    assert len(raw) == N_ROWS
    columns = read(raw, shape.target, shape.loss)
    check_kinds(columns, shape.kinds)
    gaps = {name: int(column.missing.sum()) for name, column in columns.columns.items()}
    assert N_ROWS - gaps.pop(shape.target) == shape.n_samples
    assert {name: count for name, count in gaps.items() if count} == shape.missing
    for name, value in shape.found.items():
        assert raw.found[name] == value


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_file_is_read_again_with_the_format_that_was_found(shape: Shape) -> None:
    Path(shape.name).write_bytes(shape.content)
    raw = read_raw(shape.name, SETTINGS)
    again = read_raw(shape.name, SETTINGS.model_copy(update=dict(raw.found)))
    assert again.names == raw.names
    assert all(again.columns[name].equals(column) for name, column in raw.columns.items())


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_standard_input_is_read_as_the_file(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(shape.name).write_bytes(shape.content)
    data = {"source": shape.name, "target": shape.target, "validation": 0.0}
    parts = {"model": {"kind": "linear"}, "loss": shape.loss, "optimizer": {"kind": "sgd", "η": 0.1}}
    config = run_from_dict({"data": data, **parts}).resolve()
    dataset = prepare(config)
    resolved = resolve_with_data(config, (dataset, "")).data
    expected = [chunk.inputs for chunk in prediction_chunks(shape.name, dataset.preprocessing, resolved)]
    reading, writing = os.pipe()
    os.write(writing, shape.content)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        piped = [chunk.inputs for chunk in prediction_chunks("-", dataset.preprocessing, resolved)]
    np.testing.assert_array_equal(np.concatenate(piped), np.concatenate(expected))
    assert len(np.concatenate(piped)) == N_ROWS
    if shape.n_samples == N_ROWS:
        assert isinstance(dataset.training, InMemorySamples)
        np.testing.assert_array_equal(np.concatenate(piped), dataset.training.inputs)


@pytest.mark.parametrize(
    "shape", [shape for shape in SHAPES if shape.kinds == kinds_of()], ids=lambda shape: shape.name
)
def test_shapes_of_the_same_table_have_the_same_numbers(shape: Shape) -> None:
    Path(shape.name).write_bytes(shape.content)
    columns = read(read_raw(shape.name, SETTINGS), shape.target, shape.loss)
    if not shape.missing:
        for name in ("girth", "height"):
            assert values_of(columns, name).tolist() == [row[name] for row in ROWS]


@pytest.mark.parametrize("shape", REFUSED, ids=lambda shape: shape.name)
def test_all_problems_of_a_file_are_reported_at_once(shape: Shape) -> None:
    Path(shape.name).write_bytes(shape.content)
    with pytest.raises(DataError) as caught:
        read(read_raw(shape.name, SETTINGS), shape.target, shape.loss)
    for part in shape.problems:
        assert part in str(caught.value)


def _columns(names: tuple[str, ...] = BASE, rows: list[dict[str, Any]] = ROWS) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in names}


def _graded(values: list[Any]) -> dict[str, list[Any]]:
    labels = {"poor": values[0], "fair": values[1], "good": values[2]}
    return {**_columns(BASE[:2]), "health": [labels[row["health"]] for row in ROWS]}


DATED = ("girth", "planted", "health")
PRICED = ("girth", "value", "health")
IN_MEMORY: dict[str, tuple[dict[str, list[Any]], dict[str, str]]] = {
    "plain": (_columns(), kinds_of()),
    "all as text": ({name: [str(value) for value in values] for name, values in _columns().items()}, kinds_of()),
    "thousands": (_columns(PRICED, changed("value", lambda _, value: f"{value:,.2f}")), kinds_of(PRICED)),
    "dollars": (_columns(PRICED, changed("value", lambda _, value: f"${value:,.2f}")), kinds_of(PRICED)),
    "percent": (_columns(rows=changed("height", lambda _, value: f"{value}%")), kinds_of()),
    "decimals": (_columns(rows=changed("girth", lambda _, value: Decimal(str(value)))), kinds_of()),
    "booleans": (_columns(("girth", "leafy", "health")), kinds_of(("girth", "leafy", "health"))),
    "booleans as text": (
        _columns(
            ("girth", "leafy", "health"), changed("leafy", lambda i, value: str(value).upper() if i % 2 else str(value))
        ),
        kinds_of(("girth", "leafy", "health")),
    ),
    "dates": (_columns(DATED), kinds_of(DATED)),
    "times": (
        _columns(DATED, changed("planted", lambda _, day: datetime(day.year, day.month, day.day, 7))),
        kinds_of(DATED),
    ),
    "dates as text": (_columns(DATED, changed("planted", lambda _, day: str(day))), kinds_of(DATED)),
    "european dates": (_columns(DATED, changed("planted", lambda _, day: f"{day:%d.%m.%Y}")), kinds_of(DATED)),
    "dates with gaps": (_columns(DATED, with_gaps("planted", [None])), kinds_of(DATED)),
    "identifier": (_columns(("tag", *BASE)), kinds_of(("tag", *BASE))),
    "constant": ({**_columns(), "year": [2020] * N_ROWS}, {**kinds_of(), "year": "constant"}),
    "index": ({"index": list(range(1, N_ROWS + 1)), **_columns()}, {"index": "index", **kinds_of()}),
    "missing numbers": (_columns(rows=with_gaps("height", [None])), kinds_of()),
    "marks": (
        {**_columns(), "height": [str(row["height"]) for row in with_gaps("height", ["NA", "-", "?", ""])]},
        kinds_of(),
    ),
    "missing categories": (_columns(rows=with_gaps("district", [None])), kinds_of()),
    "missing targets": (_columns(rows=with_gaps("health", [None])), kinds_of()),
    "rare category": (_columns(rows=changed("district", lambda i, value: "Insel" if i == 17 else value)), kinds_of()),
    "rare class": (_columns(rows=changed("health", lambda i, value: "dead" if i == 17 else value)), kinds_of()),
    "integer classes": (_graded([3, 4, 5]), kinds_of(("girth", "height", "health"))),
    "float classes": (_graded([0.0, 1.0, 2.0]), kinds_of(("girth", "height", "health"))),
    "boolean classes": (_graded([False, True, True]), kinds_of(("girth", "height", "health"))),
}


FRAMES: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "dict": lambda columns: columns,
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
}


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("name", IN_MEMORY)
def test_columns_in_memory_are_read_as_they_are_meant(name: str, library: str) -> None:
    columns, kinds = IN_MEMORY[name]
    frame = FRAMES[library](columns)
    raw = raw_table_of({column: frame[column] for column in columns})
    check_kinds(read(raw, "health", "softmax_cross_entropy"), kinds)


def test_dates_of_frames_and_of_text_are_the_same_days() -> None:
    columns = _columns(DATED)
    as_text = {**columns, "planted": [f"{day:%d.%m.%Y}" for day in columns["planted"]]}
    tables = [read(raw_table_of(each), "health", "softmax_cross_entropy") for each in (columns, as_text)]
    days = [values_of(table, "planted") for table in tables]
    assert days[0][0] == (columns["planted"][0] - date(1970, 1, 1)).days
    assert days[0].tolist() == days[1].tolist()
