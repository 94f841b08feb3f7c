"""Progress of a sweep, and tables of its plan, its status and its results."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from mxtrain.cli import streams
from mxtrain.cli.ranking_output import SPREAD, ranking_table
from mxtrain.cli.rich_output import (
    NotebookOutput,
    RightMargin,
    facts_table,
    number_column,
    plain_table,
    shown_path,
    table_or_lines,
)
from mxtrain.cli.run_output import NOTEBOOK_WIDTH
from mxtrain.cli.streams import messages
from mxtrain.errors import escape_unprintable, resume_command
from mxtrain.formatting import format_duration, format_number, format_objective, format_value

if TYPE_CHECKING:
    from mxtrain.sweeps import SweepPlan, SweepResult, Watch

_MAX_BEST, _MAX_FAILED = 5, 10
"""Largest numbers of best and of failed trials that are listed."""


def print_result(result: "SweepResult", seconds: float | None, as_json: bool) -> None:
    """Print the best trials, a summary and the failed trials."""
    if as_json:
        streams.write_json(result.to_dict())
        return
    if best := _best_trials(result):
        table = table_or_lines(_trials_table(result, best), lambda: _trials_lines(result, best), wrap_cells=False)
        streams.print_results(table, "")
    for ranking in result.rankings:
        streams.print_results(ranking_table(ranking), "")
    streams.print_results(facts_table(_facts(result, seconds)))
    failed = result.in_state("failed")
    for row in failed[:_MAX_FAILED]:
        error = " ".join(row["error"].split())
        streams.messages().print(escape_unprintable(f"trial {row['number']} failed: {error}"), soft_wrap=True)
    if failed:
        more = f"{len(failed) - _MAX_FAILED} more failed; " if len(failed) > _MAX_FAILED else ""
        streams.messages().print(f"{more}--retry-failed tries failed trials again", soft_wrap=True)


def print_status(result: "SweepResult", as_json: bool) -> None:
    """Print the state of a sweep and the command that continues it."""
    print_result(result, None, as_json)
    ended = sum(len(result.in_state(state)) for state in _ENDED)
    if ended < result.total and not result.in_state("running"):
        hint = f"it is not running now; continue it with `{resume_command(Path(shown_path(result.run_dir)))}`"
        streams.messages().print(escape_unprintable(hint), soft_wrap=True)


def print_plan(plan: "SweepPlan", as_json: bool) -> None:
    """Print the plan of a sweep."""
    if as_json:
        streams.write_json(plan.to_dict())
        return
    search = plain_table(Column("searched", style="cyan", overflow="fold"), "values")
    for path, distribution in plan.search().items():
        search.add_row(escape_unprintable(path), escape_unprintable(distribution))
    first = plain_table("first points")
    for number, point in enumerate(plan.points):
        first.add_row(escape_unprintable(f"trial {number}  {format_params({'params': point})}"))
    streams.print_results(search, "", facts_table(plan.facts()), "", first)


def format_objectives(result: "SweepResult", row: dict[str, Any]) -> str:
    """Format the value of each objective of a trial, with its name."""
    if row["value"] is None:
        return "-"
    values = _as_list(row["value"])
    pairs = zip(result.objectives, values, strict=True)
    return ", ".join(f"{each.metric} {format_objective(each.metric, value)}" for each, value in pairs)


def format_params(row: dict[str, Any]) -> str:
    """Format the searched values of a trial."""
    return "  ".join(f"{path} {_format_param(value)}" for path, value in row["params"].items())


def _best_trials(result: "SweepResult") -> list[dict[str, Any]]:
    """Return the best few trials, or those on the Pareto front."""
    if len(result.objectives) > 1:
        return result.front
    sign = -1 if result.objectives[0].maximize else 1
    return sorted(result.in_state("complete"), key=lambda row: (sign * row["value"], row["number"]))[:_MAX_BEST]


def _trials_table(result: "SweepResult", rows: list[dict[str, Any]]) -> Table:
    has_seeds = any("spread" in row for row in rows)
    headers = [
        header for each in result.objectives for header in (each.metric, *(["± over seeds"] if has_seeds else []))
    ]
    table = plain_table(number_column("trial"), *map(number_column, headers))
    paths = list(dict.fromkeys(path for row in rows for path in row["params"]))
    for path in paths:
        table.add_column(path, no_wrap=True)
    for row in rows:
        values, deviations = (_as_list(row.get(key)) for key in ("value", "spread"))
        numbers: list[str] = []
        for index, (objective, value) in enumerate(zip(result.objectives, values, strict=True)):
            numbers.append(format_objective(objective.metric, value))
            if has_seeds:
                numbers.append(format_number(deviations[index]) if "spread" in row else "")
        point = (_format_param(row["params"][path]) if path in row["params"] else "" for path in paths)
        table.add_row(str(row["number"]), *numbers, *map(escape_unprintable, point))
    return table


def _as_list(value: Any) -> list[Any]:
    """Return the numbers of all objectives, of which results.json holds a single one without a list."""
    return value if isinstance(value, list) else [value]


def _trials_lines(result: "SweepResult", rows: list[dict[str, Any]]) -> Table:
    """Create one line for each value of each trial, for a narrow terminal."""
    lines = Table.grid(Column(style="dim", no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    for row in rows:
        lines.add_row(f"trial {row['number']}", format_objectives(result, row))
        for path, value in row["params"].items():
            lines.add_row(f"  {path}", escape_unprintable(_format_param(value)))
    return lines


def _facts(result: "SweepResult", seconds: float | None) -> dict[str, str]:
    counts = {state: len(result.in_state(state)) for state in (*_ENDED, "running")}
    ended = sum(counts.values()) - counts["running"]
    counts["waiting"] = result.total - ended - counts["running"]  # between segments, or not started
    states = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    facts = {"trials": f"{ended} of {result.total} ended: {states}" if ended < result.total else f"{ended}: {states}"}
    if seconds is not None:
        trained = sum(row["seconds"] for row in result.trials)
        facts["time"] = f"{format_duration(seconds)}, {format_duration(trained)} of training"
    folder = shown_path(result.run_dir)
    if result.best is not None:
        facts["best"] = f"{folder}/best.yaml, trained in {shown_path(Path(result.best['run_dir']))}"
    if any(ranking.seeds for ranking in result.rankings):
        facts["spread"] = SPREAD
    return facts | {"sweep": folder}


def _format_param(value: Any) -> str:
    """Format a searched value; of a mapping with values searched inside, only its kind.

    >>> _format_param([64, 64]), _format_param({"kind": "sgd", "μ": 0.5}), _format_param(0.00123456789)
    ('[64, 64]', 'sgd', '0.00123457')
    """
    return format_value(value["kind"] if isinstance(value, dict) and "kind" in value else value)


LINES = 200
"""Maximum number of lines that are printed for a sweep."""
_LABEL = len("running  ")
_ENDED = ("complete", "pruned", "failed")


@contextmanager
def show_progress(quiet: bool) -> "Iterator[Watch]":
    """Show the progress of a sweep on stderr: a live display on a terminal, lines elsewhere."""
    console = messages()
    if quiet:
        yield lambda result: None
    elif console.is_terminal and not console.is_dumb_terminal:
        with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
            yield Screen(live).show
    else:
        yield Lines(console).show


@contextmanager
def show_progress_in_notebook() -> "Iterator[Watch]":
    """Show the progress of a sweep as the output of a notebook cell."""
    output = NotebookOutput(NOTEBOOK_WIDTH)
    yield Screen(output.show).show


class Screen:
    """Shows the progress of a sweep: ended and running trials, and the best so far.

    Args:
        draw: a live display, or a function that shows the progress elsewhere.
    """

    def __init__(self, draw: Live | Callable[[RenderableType], object]) -> None:
        self._draw = (lambda content: draw.update(content, refresh=True)) if isinstance(draw, Live) else draw
        self._start_time = time.monotonic()
        self._ended_before: int | None = None

    def show(self, result: "SweepResult") -> None:
        ended = sum(len(result.in_state(state)) for state in _ENDED)
        if self._ended_before is None:
            self._ended_before = ended
        bar = ProgressBar(total=result.total, completed=ended, width=48)
        lines = [_labelled_line("trials", self._counts(result, ended))]
        best = result.best
        if best is not None:
            lines.append(
                _labelled_line(
                    "best", f"trial {best['number']}  {format_objectives(result, best)}  {format_params(best)}"
                )
            )
        lines += [
            _labelled_line("running", f"trial {row['number']}, epoch {row['epochs']}  {format_params(row)}")
            for row in result.in_state("running")[:8]
        ]
        indented = Padding(bar, (0, 0, 0, _LABEL), expand=False)
        self._draw(RightMargin(Group(indented, *lines)))

    def _counts(self, result: "SweepResult", ended: int) -> str:
        parts = [f"{ended} of {result.total}"]
        parts += [f"{len(rows)} {state}" for state in ("pruned", "failed") if (rows := result.in_state(state))]
        here = ended - (self._ended_before or 0)
        if here > 0 and ended < result.total:
            left = (time.monotonic() - self._start_time) / here * (result.total - ended)
            parts.append(f"{format_duration(left)} left")
        return ", ".join(parts)


def _labelled_line(label: str, value: str) -> Text:
    """Create one line, cut with an ellipsis at the width of the terminal."""
    return Text.assemble((label.ljust(_LABEL), "dim"), value, no_wrap=True, overflow="ellipsis")


class Lines:
    """Prints a line for each trial that ends; in a sweep of more than `LINES`, for every k-th and each that fails."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed: set[int] | None = None

    def show(self, result: "SweepResult") -> None:
        ended = {row["number"]: row for row in result.trials if row["state"] in _ENDED}
        if self._printed is None:
            self._printed = set(ended)
            if ended:
                self._console.print(f"{len(ended)} of {result.total} trials have ended already", soft_wrap=True)
        every = -(-result.total // LINES)
        for number in sorted(ended.keys() - self._printed):
            self._printed.add(number)
            row = ended[number]
            if number % every == 0 or row["state"] == "failed":
                self._console.print(escape_unprintable(_trial_line(result, row)), soft_wrap=True)


def _trial_line(result: "SweepResult", row: dict[str, Any]) -> str:
    width = len(str(result.total - 1))
    outcome = row["error"].splitlines()[0] if row["state"] == "failed" else format_objectives(result, row)
    after = f" after epoch {row['epochs']}" if row["state"] == "pruned" else ""
    return f"trial {row['number']:>{width}} {row['state']}{after}  {outcome}  {format_params(row)}"
