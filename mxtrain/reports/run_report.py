"""Report of a run: summary, metrics, charts and the config with its changed values marked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mxtrain.config import RunConfig, to_yaml
from mxtrain.config.dotted_paths import flatten
from mxtrain.data import Data, DataParts
from mxtrain.errors import resume_command
from mxtrain.formatting import format_count, format_duration, format_number, format_value
from mxtrain.names import display_name
from mxtrain.reports.charts import Chart
from mxtrain.reports.page import Report, write_report
from mxtrain.reports.run_charts import (
    diagnostic_charts,
    metric_charts,
    prediction_charts,
    schedule_charts,
    thinning_note,
)
from mxtrain.reports.run_data import RunData, read_run_data
from mxtrain.training import Row
from mxtrain.training.model_factory import ModelFactory
from mxtrain.types import METRIC_INFO, Config, describe

_MAX_SHAPES = 12
"""Largest number of parameters whose shapes are listed."""
_OVERFIT_FACTOR = 1.1
"""Smallest ratio of the validation loss to its minimum at which overfitting is reported."""


def summary(run: RunData) -> str:
    """Describe the progress of a run, its best epoch and the evaluation of its model."""
    parts = _describe_progress(run), _describe_best_epoch(run), _describe_evaluation(run)
    return " ".join(filter(None, parts))


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
    return f"Not finished: {epochs}{time} so far; continue it with `{resume_command(run.path)}`."


def _describe_best_epoch(run: RunData) -> str:
    best, monitor = run.best, run.monitor
    if best is None or monitor is None:
        return ""
    text = f"{_metric_phrase(monitor)} was best in epoch {best['epoch']:,}: {format_number(best[monitor])}."
    last = run.history[-1]
    if _overfits(best, last):
        rise = f"from {format_number(best['val_loss'])} to {format_number(last['val_loss'])}"
        text += f" Afterwards the validation loss rose {rise} while the training loss fell, a sign of overfitting."
    if run.epoch != len(run.history):
        text += f" The model is that of epoch {run.epoch:,}."
    return text


def _overfits(best: Row, last: Row) -> bool:
    return (
        "val_loss" in last and last["val_loss"] > _OVERFIT_FACTOR * best["val_loss"] > 0 and last["loss"] < best["loss"]
    )


def _describe_evaluation(run: RunData) -> str:
    if run.comparison is None:
        return ""
    part = run.comparison.part
    metrics = ", ".join(f"{name} {format_number(value)}" for name, value in run.comparison.metrics.items())
    return f"On the {part} part ({format_count(len(run.comparison.targets), 'sample')}): {metrics}."


def _metric_phrase(monitor: str) -> str:
    """Spell out a metric at the beginning of a sentence.

    >>> _metric_phrase("val_loss"), _metric_phrase("accuracy"), _metric_phrase("val_r2")
    ('Validation loss', 'Training accuracy', 'Validation R²')
    """
    part = "Validation" if monitor.startswith("val_") else "Training"
    name = monitor.removeprefix("val_")
    return f"{part} {METRIC_INFO[name].label if name in METRIC_INFO else name}"


def _config_lines(config: RunConfig) -> list[tuple[str, bool, str | None]]:
    """Return the lines of a config in YAML; of each, whether its value is not the default, and the default."""
    changed = non_default_values(config)
    path: list[str] = []
    lines = []
    for line in to_yaml(config).splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        path[depth:] = [line.strip().partition(":")[0]]
        default = changed.get(".".join(path))
        lines.append((line, default is not None, default))
    return lines


def non_default_values(config: RunConfig) -> dict[str, str]:
    """Return the values that differ from their defaults: path to default, "" for a field without a default.

    >>> from mxtrain.config import run_from_dict
    >>> non_default_values(run_from_dict({
    ...     "data": {"source": "digits", "batch_size": 64}, "model": {"kind": "linear"},
    ...     "loss": "softmax_cross_entropy", "optimizer": {"kind": "adam"}}).resolve())["data.batch_size"]
    '32'
    """
    found = _non_default_values(config, "")
    is_derived = {
        "optimizer.scale": config.optimizer.scale == 1 / config.data.batch_size,
        "threads": True,
        "data.standardize": config.data == config.data.model_copy(update={"standardize": None}).resolve(),
    }
    by_loss = config.model_copy(update={"data": config.data.model_copy(update={"standardize_target": None})})
    if config.standardizes_target == by_loss.standardizes_target:
        is_derived["data.standardize_target"] = True
    else:
        found["data.standardize_target"] = _format_default(by_loss.standardizes_target)
    return {path: default for path, default in found.items() if not is_derived.get(path, False)}


def _non_default_values(config: Config, prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, field in type(config).model_fields.items():
        path, value = f"{prefix}{display_name(name)}", getattr(config, name)
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(value, Config):
            found |= _non_default_values(value, f"{path}.")
            if type(default) is not type(value):
                found |= {} if field.is_required() else {path: _format_default(default)}
                found |= {f"{path}.kind": ""} if "kind" in type(value).model_fields else {}
        elif field.is_required():
            found[path] = ""
        elif value != default:
            found[path] = _format_default(default)
    return found


def _format_default(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_format_default, value))}]"
    return "another kind" if isinstance(value, Config) else describe(value).strip("'")


def report_run(
    run_dir: Path,
    output: Path | None = None,
    *,
    model: ModelFactory | None = None,
    data: Data | DataParts | None = None,
) -> Report:
    """Write the report of a run, which need not be finished.

    Args:
        run_dir: the run's folder.
        output: the page; None writes report.html in the run's folder.
        model: the factory of the run's model, if that is a custom one.
        data: the data that the run was trained on, if they were passed in memory; without them, the report has no
            predictions.

    Raises:
        TrainingError: the folder holds no run.
        ConfigError: the run's config is invalid, or its model was not passed.
        OSError: the report cannot be written.
    """
    run = read_run_data(run_dir, model, data)
    predictions: list[Chart] = []
    if run.loaded is not None and run.comparison is not None:
        names, targets = run.loaded.class_names, run.loaded.preprocessing.target_names
        predictions = prediction_charts(run.comparison, names, targets)
    sections = {
        "Curves": metric_charts(run),
        "Predictions": predictions,
        "Schedules": schedule_charts(run),
        "Diagnostics": diagnostic_charts(run),
    }
    return write_report(
        output or run.path / "report.html",
        "run.html",
        [chart for charts in sections.values() for chart in charts],
        run.notes,
        follow_links=output is not None,
        name=run.path.resolve().name or run.config.name,
        state=run.status.state,
        summary=summary(run),
        failure=run.status.reason,
        thinning=thinning_note(run),
        metrics=_metrics_table(run) if run.history else None,
        facts=_facts(run),
        sections=sections,
        config_lines=_config_lines(run.config),
        environment={
            name.replace("packages.", ""): value for name, value in flatten(run.environment).items() if value != {}
        },
    )


def _metrics_table(run: RunData) -> dict[str, Any]:
    """Return the metrics of the model's epoch, of the best epoch, and of the test part."""
    row = run.history[run.epoch - 1]
    columns: dict[str, Mapping[str, Any]] = {f"training, epoch {run.epoch}": row}
    if "val_loss" in row:
        columns[f"validation, epoch {run.epoch}"] = _validation_metrics(row)
    if run.best is not None and run.best["epoch"] != run.epoch and "val_loss" in row:
        columns[f"validation, best epoch {run.best['epoch']}"] = _validation_metrics(run.best)
    names = list(run.metrics)
    if run.comparison is not None and run.comparison.part == "test":
        columns["test"] = run.comparison.metrics
        names = list(dict.fromkeys([*names, *run.comparison.metrics]))
    rows = {name: [format_number(row[name]) if name in row else "–" for row in columns.values()] for name in names}
    return {"columns": list(columns), "rows": rows}


def _validation_metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}


def _facts(run: RunData) -> dict[str, object]:
    config, loaded = run.config, run.loaded
    facts: dict[str, object] = {"folder": run.path, "epochs": f"{len(run.history):,} of {config.fit.epochs:,}"}
    if run.history:
        facts["iterations"] = f"{run.history[-1]['iteration']:,}, in batches of {config.data.batch_size:,}"
    if run.seconds is not None and run.history:
        per_epoch = run.seconds / len(run.history)
        duration = f"{1000 * per_epoch:.3g} ms" if per_epoch < 1 else format_duration(per_epoch)
        facts["time"] = f"{format_duration(run.seconds)}, {duration} per epoch"
    facts["data"] = _describe_data(run)
    fields = {name: value for name, value in config.model.to_dict().items() if value is not None}
    facts["model"] = ", ".join(
        f"{name} {format_value(value)}" if name != "kind" else str(value) for name, value in fields.items()
    )
    if loaded is not None:
        total = sum(array.size for array in loaded.parameters.values())
        shapes = [f"{name} {'×'.join(map(str, array.shape)) or '1'}" for name, array in loaded.parameters.items()]
        more = ", ..." if len(shapes) > _MAX_SHAPES else ""
        facts["parameters"] = f"{total:,} of {config.dtype}: {', '.join(shapes[:_MAX_SHAPES])}{more}"
    facts["loss"] = config.loss
    rule = config.optimizer
    facts["optimizer"] = rule.kind if rule.needs_values else f"{rule.kind}, η {rule.η:g}"
    facts["seed"] = config.seed
    return facts


def _describe_data(run: RunData) -> str:
    parts = [run.config.data.source]
    if run.comparison is not None:
        parts.append(", ".join(f"{size:,} for {part}" for part, size in run.comparison.samples.items()))
    if run.loaded is not None:
        parts.append(format_count(len(run.loaded.feature_names), "feature"))
        names = run.loaded.class_names
        parts.append(
            format_count(len(names), "class", "classes") if names else f"predicts {run.loaded.preprocessing.target}"
        )
    return "; ".join(parts)
