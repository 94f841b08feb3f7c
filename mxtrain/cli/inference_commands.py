"""Commands that use a trained model: `mxtrain evaluate` and `mxtrain predict`."""

import csv
import warnings
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.options import AsJson, Plugin, RunFolder, choice_option, complete_file, load_factory
from mxtrain.cli.streams import messages, print_results, write_file_text, write_json
from mxtrain.errors import DataError, escape_unprintable

if TYPE_CHECKING:
    from mxtrain.training import LoadedRun


class Portion(StrEnum):
    """Parts of the data of a run."""

    training = "training"
    validation = "validation"
    test = "test"


EvaluatedFile = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE",
        help="A file with features and targets; default: the run's own data.",
        show_default=False,
        autocompletion=complete_file,
    ),
]
DataOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The same as FILE.", show_default=False, autocompletion=complete_file),
]
PartOption = Annotated[
    Portion | None,
    choice_option(Portion, "A part of the run's own data; default: test, else validation.", show_default=False),
]


def evaluate(
    run: RunFolder,
    file: EvaluatedFile = None,
    data: DataOption = None,
    part: PartOption = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a run's model, on its own data or on a file.

    Prints the loss, and the accuracy of a classifier or the mean absolute error and R² of a regression. A run that is
    not finished is evaluated with its newest model.
    """
    if data is not None and file is not None:
        raise typer.BadParameter("is the same as FILE; leave one of them out", param_hint="--data")
    data = file if data is None else data
    if data is not None and part is not None:
        raise typer.BadParameter("is a part of the run's own data; leave it out, or the file", param_hint="--part")
    loaded = _load_run_and_warn(run, plugin)
    measured = _measure_and_warn(loaded, data, part)
    part_name = part.value if part else loaded.last_part
    if as_json:
        where = {"data": data} if data is not None else {"part": part_name}
        write_json({"run_dir": run, **where, "epoch": loaded.epoch, "metrics": measured})
    else:
        _print_metrics(measured, loaded.epoch, data or part_name)


def _measure_and_warn(run: "LoadedRun", data: str | None, part: Portion | None) -> dict[str, float | None]:
    """Measure a model, and print the warnings on stderr."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        measured = run.evaluate(data, part=part.value if part else None)
    for note in notes:
        messages().print(escape_unprintable(str(note.message)), soft_wrap=True)
    return measured


def _print_metrics(metrics: "dict[str, float | None]", epoch: int, source: str) -> None:
    from rich.table import Column

    from mxtrain.cli.rich_output import plain_table
    from mxtrain.formatting import format_number

    for name in (name for name, value in metrics.items() if value is None):
        messages().print(f"{name} is undefined: there is only one sample, or all targets are equal", soft_wrap=True)
    source_column = Column(escape_unprintable(source), justify="right", overflow="fold")
    table = plain_table(Column(f"epoch {epoch}", style="dim"), source_column)
    for name, value in metrics.items():
        table.add_row(name, format_number(value))
    print_results(table)


def _load_run_and_warn(run: str, plugin: list[str] | None) -> "LoadedRun":
    """Load a run; report damage, and a run that is not finished."""
    from mxtrain.training import load_run

    loaded = load_run(run, model=load_factory(plugin))
    console = messages()
    for note in loaded.notes:
        console.print(escape_unprintable(note), soft_wrap=True)
    if loaded.status.state != "finished":
        epochs = f"{len(loaded.history)} of {loaded.config.fit.epochs} epochs"
        console.print(f"the run is {loaded.status.state}: this is its model after {epochs}", soft_wrap=True)
    return loaded


def predict(
    run: RunFolder,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A file with the features of the run.",
            show_default=False,
            autocompletion=complete_file,
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="CSV", help="The file to write; - is stdout.")] = "-",
    plugin: Plugin = None,
) -> None:
    """Predict the samples of a file, as CSV.

    Writes one row for each row of the file, in the same order. The column `prediction` holds the number, or the name of
    the class; a classifier also gives one column of probabilities for each class. Features are preprocessed as in
    training.
    """
    from mxtrain.paths import expand_home

    target = None if output == "-" else Path(expand_home(output))
    if target is not None and target.is_file() and target.samefile(expand_home(file)):
        raise DataError(f"{output}: is the file to predict for; name another file with --output")
    loaded = _load_run_and_warn(run, plugin)
    header, columns = _prediction_columns(loaded, file)
    text = _csv_text(header, columns)
    if target is None:
        write_file_text(text)
    else:
        _write_output(target, text.encode())


def _prediction_columns(run: "LoadedRun", file: str) -> tuple[list[str], list[list[str]]]:
    """Return the header, and each column as texts that read back to the same numbers."""
    outputs = run.outputs(file)
    predictions = run.decide_texts(outputs)
    if run.class_names is None:
        return ["prediction"], [predictions]
    likelihood = [[str(value) for value in column] for column in run.likelihood(outputs).T]
    return ["prediction", *(f"probability_{name}" for name in run.class_names)], [predictions, *likelihood]


def _write_output(path: Path, content: bytes) -> None:
    """Replace a file atomically, so that a full disk leaves the old one; write directly to a pipe or a device."""
    from mxtrain.atomic_io import write_output

    write_output(path, content)


def _csv_text(header: list[str], columns: list[list[str]]) -> str:
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return stream.getvalue()
