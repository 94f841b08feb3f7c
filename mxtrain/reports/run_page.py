"""The report of one run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mxtrain.data import Data
from mxtrain.models import ModelFactory
from mxtrain.numbers import count, duration, short
from mxtrain.reports.charts import Figure
from mxtrain.reports.outcome_charts import outcome_charts
from mxtrain.reports.page import Html, facts, heading, note, numbers, paragraph, place, text
from mxtrain.reports.run_charts import diagnostic_charts, metric_charts, schedule_charts, thinning
from mxtrain.reports.run_facts import RunFacts, read_facts
from mxtrain.reports.run_words import summary
from mxtrain.reports.settings import marked_config
from mxtrain.reports.written import Report, write_report
from mxtrain.training.flattened import flattened


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
    run = read_facts(run_dir, model, data)
    curves, schedules, health = metric_charts(run), schedule_charts(run), diagnostic_charts(run)
    outcome = _outcome(run)
    sections: dict[str, list[Figure]] = {
        "Curves": [*curves],
        "Predictions": outcome,
        "Schedules": [*schedules],
        "Diagnostics": [*health],
    }
    blocks = [*_header(run), *_drawn(sections), *_settings(run)]
    figures = [figure for group in sections.values() for figure in group]
    path = output or run.path / "report.html"
    return write_report(path, f"{_name(run)} · mxtrain", blocks, figures, run.notes, follow=output is not None)


def _name(run: RunFacts) -> str:
    return run.path.resolve().name or run.config.name


def _outcome(run: RunFacts) -> list[Figure]:
    if run.loaded is None or run.comparison is None:
        return []
    return outcome_charts(run.comparison, run.loaded.class_names, run.loaded.preprocessing.target)


def _header(run: RunFacts) -> list[Html]:
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


def _metrics(run: RunFacts) -> Html:
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
    cells = {name: [short(it[name]) if name in it else "–" for it in columns.values()] for name in names}
    return numbers("metric", list(columns), cells)


def _validation(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}


def _facts(run: RunFacts) -> dict[str, object]:
    config, loaded = run.config, run.loaded
    told: dict[str, object] = {
        "folder": run.path,
        "epochs": f"{len(run.history):,} of {config.fit.epochs:,}",
    }
    if run.history:
        told["iterations"] = f"{run.history[-1]['iteration']:,}, in batches of {config.data.batch_size:,}"
    if run.seconds is not None and run.history:
        each = run.seconds / len(run.history)
        told["time"] = (
            f"{duration(run.seconds)}, {f'{1000 * each:.3g} ms' if each < 1 else duration(each)} for each epoch"
        )
    told["data"] = _data(run)
    told["model"] = ", ".join(
        f"{name} {value}" if name != "kind" else str(value) for name, value in _short(config.model)
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


def _data(run: RunFacts) -> str:
    told = [run.config.data.source]
    if run.comparison is not None:
        told.append(", ".join(f"{size:,} for {part}" for part, size in run.comparison.samples.items()))
    if run.loaded is not None:
        told.append(count(len(run.loaded.feature_names), "feature"))
        names = run.loaded.class_names
        told.append(count(len(names), "class", "classes") if names else f"predicts {run.loaded.preprocessing.target}")
    return "; ".join(told)


def _short(config: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in config.to_dict().items() if value is not None]


def _drawn(sections: Mapping[str, list[Figure]]) -> list[Html]:
    return [block for name, group in sections.items() if group for block in (heading(name), *map(place, group))]


def _settings(run: RunFacts) -> list[Html]:
    blocks = [
        heading("Config"),
        paragraph("The resolved config, as in config.yaml. Marked is what differs from its default.", "dim"),
        marked_config(run.config),
    ]
    if run.environment:
        told = {name.replace("packages.", ""): value for name, value in flattened(run.environment).items()}
        blocks += [heading("Environment"), facts(told)]
    return blocks
