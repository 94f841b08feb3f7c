"""Commands that use a trained model: `mxtrain evaluate` and `mxtrain predict`."""

import csv
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxtrain.cli.options import AsJson, Plugin, RunFolder, choice_option, complete_file, load_factory
from mxtrain.cli.streams import messages, write_file_text, write_json
from mxtrain.errors import DataError, escape_unprintable
from mxtrain.formatting import format_count
from mxtrain.names import nfc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mxtrain.training import Comparison, LoadedRun

PREDICTION, PROBABILITY = "prediction", "probability_"
"""The column of predictions, and the beginning of the names of columns of probabilities."""
_TEXT = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", "/")
"""Endings of the names of data that may name the output; a folder is refused when it is opened."""
_MAX_REPORTED = 20
"""Largest number of invalid rows, and of notes about categories, that are reported one by one."""


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
ThresholdOption = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER|fitted|f1|balanced_accuracy",
        help="For two classes: the probability of the second from which it is predicted, or what a threshold that is "
        "chosen on the validation data maximizes; fitted is balanced_accuracy.",
        show_default=False,
    ),
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
    threshold: ThresholdOption = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a run's model, on its own data or on a file.

    Prints the loss and other metrics; for a classifier also the confusion matrix, and precision, recall and F1 of each
    class. A run that is not finished is evaluated with its newest model.
    """
    if data is not None and file is not None:
        raise typer.BadParameter("is the same as FILE; leave one of them out", param_hint="--data")
    data = file if data is None else data
    if data is not None and part is not None:
        raise typer.BadParameter("is a part of the run's own data; leave it out, or the file", param_hint="--part")
    loaded = _load_run_and_warn(run, plugin)
    found = _compare_and_warn(loaded, data, part, _parse_threshold(loaded, threshold))
    part_name = part.value if part else loaded.last_part
    if as_json:
        from mxtrain.cli.evaluation_output import evaluation_json

        where = {"data": data} if data is not None else {"part": part_name}
        write_json({"run_dir": run, **where, "epoch": loaded.epoch, **evaluation_json(found)})
    else:
        from mxtrain.cli.evaluation_output import print_evaluation

        print_evaluation(found, loaded.epoch, data or part_name)


def _compare_and_warn(
    run: "LoadedRun", data: str | None, part: Portion | None, threshold: float | None
) -> "Comparison":
    """Compare predictions with targets, and print the warnings on stderr."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        found = run.compare(part.value if part else None, samples=data, threshold=threshold)
    for note in notes:
        messages().print(escape_unprintable(str(note.message)), soft_wrap=True)
    return found


def _parse_threshold(run: "LoadedRun", text: str | None) -> float | None:
    """Return the threshold that an option names; if it is chosen on the validation data, report it on stderr."""
    if text is None:
        return None
    value: Any = text
    with suppress(ValueError):
        value = float(text)
    try:
        threshold = run.threshold(value)
    except ValueError as error:
        message = str(error).removeprefix("threshold: ")
        raise typer.BadParameter(message, param_hint="--threshold") from None
    if isinstance(value, str):
        messages().print(
            f"threshold {threshold!r} maximizes {text.replace('fitted', 'balanced_accuracy')} on the validation data",
            soft_wrap=True,
        )
    return threshold


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
            help="A file with the features of the run; - is a table on standard input.",
            show_default=False,
            autocompletion=complete_file,
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="CSV", help="The file to write; - is stdout.")] = "-",
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="A column of a table to copy to the output; may be repeated.", show_default=False
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a row that cannot be predicted.")] = False,
    threshold: ThresholdOption = None,
    plugin: Plugin = None,
) -> None:
    """Predict the samples of a file, as CSV.

    Writes one row for each row of the file, in the same order. The column `prediction` holds the number, or the name of
    the class; a classifier also gives one column of probabilities for each class. A list of quantiles has a column for
    each, such as `prediction_0.9`; several targets have one for each, such as `prediction_price`, and boolean targets
    also one of the probability. Features are preprocessed as in training. A row that is malformed or has an invalid
    value is reported on stderr, and its prediction is empty. Tables are read and written in chunks, so they may be
    larger than the memory.
    """
    from mxtrain.config.data_sources import has_ending, is_path
    from mxtrain.paths import expand_home

    _check_kept(keep)
    target = None if output == "-" else Path(expand_home(output))
    if is_path(output) and not has_ending(output, _TEXT):
        raise DataError(f"{output}: predictions are written as CSV; name a file that ends in .csv with --output")
    if target is not None and file != "-" and target.is_file() and target.samefile(expand_home(file)):
        raise DataError(f"{output}: is the file to predict for; name another file with --output")
    loaded = _load_run_and_warn(run, plugin)
    chunks = _predicted_chunks(loaded, file, keep or (), strict, _parse_threshold(loaded, threshold))
    if target is None:
        for text in chunks:
            write_file_text(text)
        return
    from mxtrain.atomic_io import open_output

    with open_output(target) as stream:
        for text in chunks:
            stream.write(text.encode())


def _check_kept(names: list[str] | None) -> None:
    for name in names or ():
        if name == PREDICTION or name.startswith((f"{PREDICTION}_", PROBABILITY)):
            raise typer.BadParameter(f"{name!r} is the name of a column of predictions", param_hint="--keep")
    if len(set(names or ())) < len(names or ()):
        raise typer.BadParameter("a column is named twice", param_hint="--keep")


def _predicted_chunks(
    run: "LoadedRun", file: str, keep: Sequence[str], strict: bool, threshold: float | None
) -> Iterator[str]:
    """Yield the rows of the output as CSV, chunk by chunk, the header first; report invalid rows on stderr."""
    from mxtrain.data.prediction_chunks import prediction_chunks

    rows, invalid, notes, is_first = 0, 0, 0, True
    for chunk in prediction_chunks(file, run.preprocessing, run.config.data, keep, strict):
        header, columns = _prediction_columns(run, chunk.inputs, threshold)
        if not chunk.valid.all():
            columns = [_spread(column, chunk.valid) for column in columns]
        names = [[*keep, *header]] if is_first else []
        yield _csv_text([*names, *zip(*(chunk.kept[nfc(name)] for name in keep), *columns, strict=True)])
        for problem in chunk.problems[: max(_MAX_REPORTED - invalid, 0)]:
            messages().print(escape_unprintable(problem), soft_wrap=True)
        for note in chunk.notes[: max(_MAX_REPORTED - notes, 0)]:
            messages().print(escape_unprintable(note), soft_wrap=True)
        notes += len(chunk.notes)
        rows, invalid, is_first = rows + len(chunk.valid), invalid + len(chunk.problems), False
    if invalid:
        listed = f"; the first {_MAX_REPORTED} are listed" if invalid > _MAX_REPORTED else ""
        message = f"{invalid:,} of {format_count(rows, 'row')} cannot be predicted and have an empty prediction{listed}"
        messages().print(message, soft_wrap=True)


def _prediction_columns(
    run: "LoadedRun", inputs: "NDArray[Any]", threshold: float | None
) -> tuple[list[str], list[list[str]]]:
    """Return the header, and each column as texts that read back to the same numbers."""
    outputs = run.outputs_of_prepared(inputs)
    if names := run.prediction_names:
        header = [f"{PREDICTION}_{name}" for name in names]
        columns = [[str(value) for value in column] for column in run.decide(outputs).T]
        if run.preprocessing.is_multilabel:
            header += [f"{PROBABILITY}{name}" for name in names]
            columns += [[str(value) for value in column] for column in run.likelihood(outputs).T]
        return header, columns
    predictions = run.decide_texts(outputs, threshold)
    if run.class_names is None:
        return [PREDICTION], [predictions]
    likelihood = [[str(value) for value in column] for column in run.likelihood(outputs).T]
    return [PREDICTION, *(f"{PROBABILITY}{name}" for name in run.class_names)], [predictions, *likelihood]


def _spread(values: list[str], valid: "NDArray[Any]") -> list[str]:
    """Return the values of the valid rows for all rows, empty for the others."""
    remaining = iter(values)
    return [next(remaining) if is_valid else "" for is_valid in valid.tolist()]


def _csv_text(rows: Iterable[Sequence[str]]) -> str:
    stream = StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
