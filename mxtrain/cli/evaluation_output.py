"""Output of `mxtrain evaluate`: metrics, the confusion matrix, and a table by class."""

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Column, Table

from mxtrain.cli.rich_output import is_narrow_enough, number_column, plain_table
from mxtrain.cli.streams import messages, print_results
from mxtrain.errors import escape_unprintable
from mxtrain.formatting import format_count, format_number

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mxtrain.training import ClassReport, Comparison

_MAX_MATRIX_CLASSES = 12
"""Largest number of classes whose confusion matrix is printed; of more, the most frequent errors are."""
_MAX_LISTED_CLASSES = 20
"""Largest number of classes in the table by class; of more, those with the lowest F1 are printed."""
_MAX_CONFUSIONS = 10
_MAX_JSON_CLASSES, _MAX_JSON_CONFUSIONS = 100, 100
"""Largest number of classes whose confusion matrix is part of the JSON, and of errors that replace a larger one."""
_MAX_NAME = 24
"""Largest number of characters of the name of a class in a table."""


def print_evaluation(found: "Comparison", epoch: int, source: str) -> None:
    """Print metrics and, for a classifier, the confusion matrix and the table by class."""
    parts: list[RenderableType] = [_metrics_table(found, epoch, source)]
    if found.by_target:
        parts += ["", _target_table(found)]
    report = found.class_report()
    if report is not None:
        parts += ["", *_matrix(report), "", *_class_table(report)]
    print_results(*parts)


def evaluation_json(found: "Comparison") -> dict[str, Any]:
    """Return metrics and, for a classifier, the confusion matrix and the measures of each class, for JSON.

    A matrix of many classes is replaced by the most frequent errors.
    """
    report = found.class_report()
    value: dict[str, Any] = {} if found.threshold is None else {"threshold": found.threshold}
    value["metrics"] = found.metrics
    if found.by_target:
        value["targets"] = found.by_target
    if report is None:
        return value
    columns = report.precision, report.recall, report.f1, report.support
    value["classes"] = [
        {"class": name, "precision": precision, "recall": recall, "f1": f1, "support": support}
        for name, precision, recall, f1, support in zip(
            report.names, *(column.tolist() for column in columns), strict=True
        )
    ]
    value["averages"] = report.averages()
    if len(report.names) <= _MAX_JSON_CLASSES:
        value["confusion_matrix"] = report.matrix.tolist()
    else:
        value["confusions"] = [
            {"class": name, "predicted": predicted, "samples": count}
            for name, predicted, count in report.confusions(_MAX_JSON_CONFUSIONS)
        ]
    return value


def _metrics_table(found: "Comparison", epoch: int, source: str) -> Table:
    for name in (name for name, value in found.metrics.items() if value is None):
        messages().print(f"{name} is undefined: there is only one sample, or all targets are equal", soft_wrap=True)
    source_column = Column(escape_unprintable(source), justify="right", overflow="fold")
    table = plain_table(Column(f"epoch {epoch}", style="dim"), source_column)
    if found.threshold is not None:
        table.add_row("threshold", format_number(found.threshold))
    for name, value in found.metrics.items():
        table.add_row(name, format_number(value))
    return table


def _target_table(found: "Comparison") -> Table:
    """Return the metrics of each of several targets."""
    names = next(iter(found.by_target.values()))
    table = plain_table(Column("target", style="dim", overflow="fold"), *map(number_column, names))
    for target, metrics in found.by_target.items():
        table.add_row(_shown(target), *map(format_number, metrics.values()))
    return table


def _matrix(report: "ClassReport") -> list["RenderableType"]:
    """Return the confusion matrix, or the most frequent errors if it is too wide."""
    if len(report.names) > _MAX_MATRIX_CLASSES:
        return _confusions(report)
    names = [_shown(name) for name in report.names]
    table = plain_table(Column("class", style="dim"), *(number_column(f"as {name}") for name in names))
    for name, counts in zip(names, report.matrix.tolist(), strict=True):
        table.add_row(name, *map(_count, counts))
    return [table] if is_narrow_enough(table) else _confusions(report)


def _confusions(report: "ClassReport") -> list["RenderableType"]:
    """Return the table of the most frequent errors, and the number of the others."""
    confusions = report.confusions(_MAX_CONFUSIONS)
    if not confusions:
        return ["no sample is predicted as another class"]
    table = plain_table(Column("class", style="dim"), "predicted as", number_column("samples"))
    for name, predicted, count in confusions:
        table.add_row(_shown(name), _shown(predicted), _count(count))
    others = np.count_nonzero(report.matrix) - np.count_nonzero(report.matrix.diagonal()) - len(confusions)
    return [table, f"and {others:,} pairs of classes with fewer errors"] if others else [table]


def _class_table(report: "ClassReport") -> list["RenderableType"]:
    """Return the table of the measures of each class; of many classes, of those with the lowest F1."""
    table = plain_table(Column("class", style="dim"), *map(number_column, ("precision", "recall", "f1", "support")))
    columns = [column.tolist() for column in (report.precision, report.recall, report.f1, report.support)]
    shown = list(range(len(report.names)))
    if len(shown) > _MAX_LISTED_CLASSES:
        occurring = [index for index in shown if columns[3][index]]
        shown = sorted(sorted(occurring, key=lambda index: columns[2][index])[:_MAX_LISTED_CLASSES])
    for index in shown:
        numbers = [format_number(column[index]) for column in columns[:3]]
        table.add_row(_shown(report.names[index]), *numbers, _count(columns[3][index]))
    total = _count(report.support.sum().item())
    for name, values in report.averages().items():
        table.add_row(f"{name} mean", *map(format_number, values.values()), total)
    hidden = len(report.names) - len(shown)
    note = f"{format_count(hidden, 'class', 'classes')} with a higher f1, or without samples, left out; see --json"
    return [table, note] if hidden else [table]


def _shown(name: str) -> str:
    """Return the name of a class, shortened."""
    text = escape_unprintable(name)
    return text if len(text) <= _MAX_NAME else f"{text[: _MAX_NAME - 3]}..."


def _count(number: float) -> str:
    """Format a number of samples, or a weight."""
    return f"{number:,}" if isinstance(number, int) else format_number(number)
