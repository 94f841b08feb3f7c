"""Commands that use a trained model: `mxtrain evaluate` and `mxtrain predict`."""

import csv
import warnings
from contextlib import suppress
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxtrain.cli.options import AsJson, Plugin, RunFolder, choice_option, complete_file, load_factory
from mxtrain.cli.streams import messages, write_file_text, write_json
from mxtrain.errors import DataError, escape_unprintable

if TYPE_CHECKING:
    from mxtrain.training import Comparison, LoadedRun


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
            help="A file with the features of the run.",
            show_default=False,
            autocompletion=complete_file,
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="CSV", help="The file to write; - is stdout.")] = "-",
    threshold: ThresholdOption = None,
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
    header, columns = _prediction_columns(loaded, file, _parse_threshold(loaded, threshold))
    text = _csv_text(header, columns)
    if target is None:
        write_file_text(text)
    else:
        _write_output(target, text.encode())


def _prediction_columns(run: "LoadedRun", file: str, threshold: float | None) -> tuple[list[str], list[list[str]]]:
    """Return the header, and each column as texts that read back to the same numbers."""
    outputs = run.outputs(file)
    predictions = run.decide_texts(outputs, threshold)
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
