"""`mxtrain predict`: what a trained model says of new samples."""

import csv
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.completion import complete_file
from mxtrain.cli.options import Plugin, RunFolder

if TYPE_CHECKING:
    from mxtrain.training import LoadedRun


def predict(
    run: RunFolder,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Samples with the features that the run knows.",
            show_default=False,
            autocompletion=complete_file,
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="CSV", help="Where to write; - or left out, stdout.")
    ] = "-",
    plugin: Plugin = None,
) -> None:
    """Predict the samples of a file, as CSV.

    There is a row for each row of the file, in their order. The column `prediction` has the number, or the name of the
    class; of classes, a column for each has how likely it is. Features are treated as they were in training.
    """
    from mxtrain.cli.loading import load_told
    from mxtrain.config.source import expand_home
    from mxtrain.errors import DataError

    target = None if output == "-" else Path(expand_home(output))
    if target is not None and target.is_file() and target.samefile(expand_home(file)):
        raise DataError(f"{output}: is the file to predict for; name another file with --output")
    loaded = load_told(run, plugin)
    header, columns = _table(loaded, file)
    text = _csv(header, columns)
    if target is None:
        from mxtrain.cli.streams import write_file_text

        write_file_text(text)
    else:
        _put(target, text.encode())


def _table(run: "LoadedRun", file: str) -> tuple[list[str], list[list[str]]]:
    """The header, and each column as texts that read back to the same numbers."""
    outputs = run.outputs(file)
    predictions = run.decide_texts(outputs)
    if run.class_names is None:
        return ["prediction"], [predictions]
    likelihood = [[str(value) for value in column] for column in run.likelihood(outputs).T]
    return ["prediction", *(f"probability_{name}" for name in run.class_names)], [predictions, *likelihood]


def _put(path: Path, content: bytes) -> None:
    """All of it or nothing, so that a full disk leaves the old file; into a pipe or a device, as it comes."""
    from mxtrain.atomic_io import write_output

    write_output(path, content)


def _csv(header: list[str], columns: list[list[str]]) -> str:
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return stream.getvalue()
