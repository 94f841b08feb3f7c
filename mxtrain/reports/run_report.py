"""Report of a run: summary, metrics, charts and the config with its changed values marked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mxtrain.config import RunConfig, to_yaml
from mxtrain.config.dotted_paths import flatten
from mxtrain.data import Data
from mxtrain.errors import resume_command
from mxtrain.formatting import format_count, format_duration, format_number
from mxtrain.names import display_name
from mxtrain.reports.charts import Figure
from mxtrain.reports.page import Html, Report, facts, heading, note, numbers, paragraph, place, text, write_report
from mxtrain.reports.run_charts import diagnostic_charts, metric_charts, outcome_charts, schedule_charts, thinning
from mxtrain.reports.run_data import RunData, read_run_data
from mxtrain.training import Row
from mxtrain.training.model_factory import ModelFactory
from mxtrain.types import Config, describe

_NAMES = {"r2": "R²", "mae": "mean absolute error"}
_OVERFIT_FACTOR = 1.1
"""By which factor the validation loss must have risen since its best to speak of it."""


def summary(run: RunData) -> str:
    """How far the run came, how good its best epoch was, and how good its model is."""
    return " ".join(
        part for part in (_describe_progress(run), _describe_best_epoch(run), _describe_evaluation(run)) if part
    )


def _describe_progress(run: RunData) -> str:
    done, planned = len(run.history), run.config.fit.epochs
    epochs = format_count(done, "epoch") if done == planned else f"{done:,} of {format_count(planned, 'epoch')}"
    time = f" in {format_duration(run.seconds)}" if run.seconds is not None and done else ""
    match run.status.state:
        case "finished" if done < planned:
            return f"Stopped early, after {epochs}{time}."
        case "finished":
            return f"Trained for {epochs}{time}."
        case "failed":
            return f"Failed after {epochs}{time}." if done else "Failed in its first epoch."
    return f"Not finished: {epochs}{time} so far; `{resume_command(run.path)}` goes on."


def _describe_best_epoch(run: RunData) -> str:
    best, monitor = run.best, run.monitor
    if best is None or monitor is None:
        return ""
    told = f"{_words(monitor)} was best in epoch {best['epoch']:,}: {format_number(best[monitor])}."
    last = run.history[-1]
    if _overfits(best, last):
        rise = f"from {format_number(best['val_loss'])} to {format_number(last['val_loss'])}"
        told += f" Afterwards the validation loss rose {rise} while the training loss fell, a sign of overfitting."
    if run.epoch != len(run.history):
        told += f" The model is that of epoch {run.epoch:,}."
    return told


def _overfits(best: Row, last: Row) -> bool:
    return (
        "val_loss" in last and last["val_loss"] > _OVERFIT_FACTOR * best["val_loss"] > 0 and last["loss"] < best["loss"]
    )


def _describe_evaluation(run: RunData) -> str:
    if run.comparison is None:
        return ""
    part = run.comparison.part
    told = ", ".join(f"{name} {format_number(value)}" for name, value in run.comparison.metrics.items())
    return f"On the {part} part ({format_count(run.comparison.samples[part], 'sample')}): {told}."


def _words(monitor: str) -> str:
    """A metric's name at the beginning of a sentence.

    >>> _words("val_loss"), _words("accuracy"), _words("val_r2")
    ('Validation loss', 'Training accuracy', 'Validation R²')
    """
    part = "Validation" if monitor.startswith("val_") else "Training"
    name = monitor.removeprefix("val_")
    return f"{part} {_NAMES.get(name, name)}"


def marked_config(config: RunConfig) -> Html:
    """The config in YAML, with each value that differs from its default marked, and the default beside it."""
    marks = differing(config)
    above: list[str] = []
    told = []
    for line in to_yaml(config).splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        above[depth:] = [line.strip().partition(":")[0]]
        default = marks.get(".".join(above))
        was = f'<span class="was">  # default: {text(default)}</span>' if default else ""
        kind = "line" if default is None else "line set"
        told.append(f'<span class="{kind}">{text(line)}{was}</span>')
    return Html(f"<pre>{''.join(told)}</pre>")


def differing(config: RunConfig) -> dict[str, str]:
    """Which values are not left to their defaults, by their paths; with the default, or nothing where there is none.

    >>> from mxtrain.config import run_from_dict
    >>> differing(run_from_dict({
    ...     "data": {"source": "digits", "batch_size": 64}, "model": {"kind": "linear"},
    ...     "loss": "softmax_cross_entropy", "optimizer": {"kind": "adam"}}).resolve())["data.batch_size"]
    '32'
    """
    found = _differing(config, "")
    resolved = {
        "optimizer.scale": config.optimizer.scale == 1 / config.data.batch_size,
        "threads": True,
        "data.standardize": config.data == config.data.model_copy(update={"standardize": None}).resolve(),
    }
    return {path: default for path, default in found.items() if not resolved.get(path, False)}


def _differing(config: Config, above: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, field in type(config).model_fields.items():
        path, value = f"{above}{display_name(name)}", getattr(config, name)
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(value, Config):
            found |= _differing(value, f"{path}.")
            if type(default) is not type(value):
                found |= {} if field.is_required() else {path: _plain(default)}
                found |= {f"{path}.kind": ""} if "kind" in type(value).model_fields else {}
        elif field.is_required():
            found[path] = ""
        elif value != default:
            found[path] = _plain(default)
    return found


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return "another kind" if isinstance(value, Config) else describe(value).strip("'")


def report_run(
    run_dir: Path, output: Path | None = None, *, model: ModelFactory | None = None, data: Data | None = None
) -> Report:
    """Write what a run has come to, be it finished or not.

    Args:
        run_dir: the run's folder.
        output: the page; left out, report.html in the run's folder.
        model: what the run was trained with, where its model is a custom one.
        data: what the run was trained on, where it was handed over; left out, the predictions are not shown.

    Raises:
        TrainingError: there is no run.
        ConfigError: its config is wrong, or its model was not handed over.
        OSError: the report cannot be written.
    """
    run = read_run_data(run_dir, model, data)
    curves, schedules, health = metric_charts(run), schedule_charts(run), diagnostic_charts(run)
    outcome = _prediction_charts(run)
    sections: dict[str, list[Figure]] = {
        "Curves": [*curves],
        "Predictions": outcome,
        "Schedules": [*schedules],
        "Diagnostics": [*health],
    }
    blocks = [*_header(run), *_section_blocks(sections), *_settings(run)]
    figures = [figure for group in sections.values() for figure in group]
    path = output or run.path / "report.html"
    return write_report(path, f"{_name(run)} · mxtrain", blocks, figures, run.notes, follow=output is not None)


def _name(run: RunData) -> str:
    return run.path.resolve().name or run.config.name


def _prediction_charts(run: RunData) -> list[Figure]:
    if run.loaded is None or run.comparison is None:
        return []
    return outcome_charts(run.comparison, run.loaded.class_names, run.loaded.preprocessing.target)


def _header(run: RunData) -> list[Html]:
    state = run.status.state
    blocks = [
        Html(f'<h1>{text(_name(run))} <span class="status {state}">{state}</span></h1>'),
        paragraph(summary(run), "lead"),
    ]
    if run.status.reason:
        blocks.append(note(f"The run failed: {run.status.reason}", "failed"))
    blocks += [note(words) for words in (*run.notes, thinning(run)) if words]
    if run.history:
        blocks.append(_metrics(run))
    return [*blocks, heading("Facts"), facts(_facts(run))]


def _metrics(run: RunData) -> Html:
    """The metrics of the epoch that the model is from, of the best one, and of the test part."""
    row = run.history[run.epoch - 1]
    columns: dict[str, Mapping[str, Any]] = {f"training, epoch {run.epoch}": row}
    if "val_loss" in row:
        columns[f"validation, epoch {run.epoch}"] = _validation(row)
    if run.best is not None and run.best["epoch"] != run.epoch and "val_loss" in row:
        columns[f"validation, best epoch {run.best['epoch']}"] = _validation(run.best)
    if run.comparison is not None and run.comparison.part == "test":
        columns["test"] = run.comparison.metrics
    names = list(
        dict.fromkeys([*run.metrics, *(run.comparison.metrics if "test" in columns and run.comparison else ())])
    )
    cells = {name: [format_number(it[name]) if name in it else "–" for it in columns.values()] for name in names}
    return numbers("metric", list(columns), cells)


def _validation(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}


def _facts(run: RunData) -> dict[str, object]:
    config, loaded = run.config, run.loaded
    told: dict[str, object] = {
        "folder": run.path,
        "epochs": f"{len(run.history):,} of {config.fit.epochs:,}",
    }
    if run.history:
        told["iterations"] = f"{run.history[-1]['iteration']:,}, in batches of {config.data.batch_size:,}"
    if run.seconds is not None and run.history:
        each = run.seconds / len(run.history)
        duration = f"{1000 * each:.3g} ms" if each < 1 else format_duration(each)
        told["time"] = f"{format_duration(run.seconds)}, {duration} for each epoch"
    told["data"] = _data(run)
    told["model"] = ", ".join(
        f"{name} {value}" if name != "kind" else str(value) for name, value in _model_fields(config.model)
    )
    if loaded is not None:
        total = sum(array.size for array in loaded.parameters.values())
        shapes = [f"{name} {'×'.join(map(str, array.shape)) or '1'}" for name, array in loaded.parameters.items()]
        more = ", ..." if len(shapes) > 12 else ""
        told["parameters"] = f"{total:,} of {config.dtype}: {', '.join(shapes[:12])}{more}"
    told["loss"] = config.loss
    told["optimizer"] = f"{config.optimizer.kind}, η {config.optimizer.η:g}"
    told["seed"] = config.seed
    return told


def _data(run: RunData) -> str:
    told = [run.config.data.source]
    if run.comparison is not None:
        told.append(", ".join(f"{size:,} for {part}" for part, size in run.comparison.samples.items()))
    if run.loaded is not None:
        told.append(format_count(len(run.loaded.feature_names), "feature"))
        names = run.loaded.class_names
        told.append(
            format_count(len(names), "class", "classes") if names else f"predicts {run.loaded.preprocessing.target}"
        )
    return "; ".join(told)


def _model_fields(config: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in config.to_dict().items() if value is not None]


def _section_blocks(sections: Mapping[str, list[Figure]]) -> list[Html]:
    return [block for name, group in sections.items() if group for block in (heading(name), *map(place, group))]


def _settings(run: RunData) -> list[Html]:
    blocks = [
        heading("Config"),
        paragraph("The resolved config, as in config.yaml. Marked is what differs from its default.", "dim"),
        marked_config(run.config),
    ]
    if run.environment:
        told = {name.replace("packages.", ""): value for name, value in flatten(run.environment).items()}
        blocks += [heading("Environment"), facts(told)]
    return blocks
