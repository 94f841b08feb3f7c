"""Progress of a sweep, and tables of its plan, its status and its results."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from mxtrain.cli import streams
from mxtrain.cli.rich_output import NotebookOutput, RightMargin
from mxtrain.cli.run_output import NOTEBOOK_WIDTH
from mxtrain.cli.streams import messages
from mxtrain.errors import escape_unprintable, resume_command
from mxtrain.formatting import format_duration, format_number
from mxtrain.types import describe

if TYPE_CHECKING:
    from rich.table import Table

    from mxtrain.sweeps import SweepPlan, SweepResult

if TYPE_CHECKING:
    from mxtrain.sweeps import SweepResult, Watch

TOP = 5
"""Trials that are listed."""
_FAILED = 10
"""Failed trials that are told of."""


def print_result(result: "SweepResult", seconds: float | None, as_json: bool) -> None:
    """The best trials, the failed ones, and where all of it is."""
    if as_json:
        streams.write_json(result.to_dict())
        return
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, fact in _facts(result, seconds).items():
        facts.add_row(name, escape_unprintable(fact))
    best = _best(result)
    if best:
        streams.print_results(_table_or_lines(result, best), "")
    streams.print_results(facts)
    failed = result.in_state("failed")
    for row in failed[:_FAILED]:
        told = " ".join(row["error"].split())
        streams.messages().print(escape_unprintable(f"trial {row['number']} failed: {told}"), soft_wrap=True)
    if failed:
        more = f"{len(failed) - _FAILED} more failed; " if len(failed) > _FAILED else ""
        streams.messages().print(f"{more}--retry-failed tries failed trials again", soft_wrap=True)


def print_status(result: "SweepResult", as_json: bool) -> None:
    """How a sweep stands, and how it goes on."""
    print_result(result, None, as_json)
    ended = sum(len(result.in_state(state)) for state in ("complete", "pruned", "failed"))
    if ended < result.total and not result.in_state("running"):
        told = f"it is not running now; continue it with `{resume_command(result.run_dir)}`"
        streams.messages().print(escape_unprintable(told), soft_wrap=True)


def print_plan(plan: "SweepPlan", as_json: bool) -> None:
    """What would be done."""
    if as_json:
        streams.write_json(plan.to_dict())
        return
    from rich.table import Table

    search = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    search.add_column("searched", style="cyan", overflow="fold")
    search.add_column("for")
    for path, told in plan.search().items():
        search.add_row(escape_unprintable(path), escape_unprintable(told))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, fact in plan.facts().items():
        facts.add_row(name, escape_unprintable(fact))
    first = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    first.add_column("first points")
    for number, point in enumerate(plan.points):
        first.add_row(escape_unprintable(f"trial {number}  {format_params({'params': point})}"))
    streams.print_results(search, "", facts, "", first)


def told_value(result: "SweepResult", row: dict[str, Any]) -> str:
    """A trial's value for each objective, by name."""
    if row["value"] is None:
        return "-"
    values = row["value"] if isinstance(row["value"], list) else [row["value"]]
    named = zip(result.objectives, values, strict=True)
    return ", ".join(f"{each.metric} {_told(each.metric, value)}" for each, value in named)


def format_params(row: dict[str, Any]) -> str:
    """A trial's point; of a mapping with searches of its own, only its kind."""
    return "  ".join(f"{path} {_plain(value)}" for path, value in row["params"].items())


def _best(result: "SweepResult") -> list[dict[str, Any]]:
    """The trials to list: the best few, or those of the Pareto front."""
    if len(result.objectives) > 1:
        return result.front
    sign = -1 if result.objectives[0].maximize else 1
    return sorted(result.in_state("complete"), key=lambda row: (sign * row["value"], row["number"]))[:TOP]


def _table_or_lines(result: "SweepResult", rows: list[dict[str, Any]]) -> "Table":
    """A table of trials; where that is too wide, a line for each value of each trial."""
    from rich.measure import Measurement

    console = streams.results()
    table = _table(result, rows)
    unbounded = console.options.update(max_width=sys.maxsize)
    fits = Measurement.get(console, unbounded, table).maximum <= console.width
    return table if fits else _lines(result, rows)


def _lines(result: "SweepResult", rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    for row in rows:
        lines.add_row(f"trial {row['number']}", told_value(result, row))
        for path, value in row["params"].items():
            lines.add_row(f"  {path}", escape_unprintable(_plain(value)))
    return lines


def _table(result: "SweepResult", rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("trial", justify="right", no_wrap=True)
    for objective in result.objectives:
        table.add_column(objective.metric, justify="right", no_wrap=True)
    if any("spread" in row for row in rows):
        table.add_column("± over seeds", justify="right", no_wrap=True)
    paths = list(dict.fromkeys(path for row in rows for path in row["params"]))
    for path in paths:
        table.add_column(path, no_wrap=True)
    for row in rows:
        values = row["value"] if isinstance(row["value"], list) else [row["value"]]
        spread = row.get("spread")
        told = [] if spread is None else [format_number(spread[0] if isinstance(spread, list) else spread)]
        point = (escape_unprintable(_plain(row["params"][path])) if path in row["params"] else "" for path in paths)
        numbers = (_told(each.metric, value) for each, value in zip(result.objectives, values, strict=True))
        table.add_row(str(row["number"]), *numbers, *told, *point)
    return table


def _facts(result: "SweepResult", seconds: float | None) -> dict[str, str]:
    counts = {state: len(result.in_state(state)) for state in ("complete", "pruned", "failed", "running")}
    ended = sum(counts.values()) - counts["running"]
    counts["waiting"] = result.total - ended - counts["running"]  # between segments, or not started
    listed = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    of = f" of {result.total}" if ended < result.total else ""
    facts = {"trials": f"{ended}{of} ended: {listed}" if of else f"{ended}: {listed}"}
    if seconds is not None:
        trained = sum(row["seconds"] for row in result.trials)
        facts["time"] = f"{format_duration(seconds)}, {format_duration(trained)} of training"
    best = result.best
    if best is not None:
        facts["best"] = f"{result.run_dir}/best.yaml, trained in {best['run_dir']}"
    return facts | {"sweep": str(result.run_dir)}


def _told(metric: str, value: float) -> str:
    """The value of an objective.

    >>> _told("val_accuracy", 0.98), _told("parameters", 4810.0)
    ('0.9800', '4,810')
    """
    return f"{value:,.0f}" if metric == "parameters" else format_number(value)


def _plain(value: Any) -> str:
    """A value as a table shows it.

    >>> _plain([64, 64]), _plain({"kind": "sgd", "μ": 0.5}), _plain(0.00123456789)
    ('[64, 64]', 'sgd', '0.00123457')
    """
    if isinstance(value, dict):
        return str(value.get("kind")) if "kind" in value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else describe(value).strip("'")


LINES = 200
"""Lines that are printed for a sweep at the most."""
_LABEL = len("running  ")
_ENDED = ("complete", "pruned", "failed")


@contextmanager
def watching(quiet: bool) -> "Iterator[Watch]":
    """What watches a sweep, for as long as it goes on."""
    console = messages()
    if quiet:
        yield lambda result: None
    elif console.is_terminal and not console.is_dumb_terminal:
        with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
            yield Screen(live).show
    else:
        yield Lines(console).show


@contextmanager
def watching_in_notebook() -> "Iterator[Watch]":
    """Show the progress of a sweep as the output of a notebook's cell."""
    output = NotebookOutput(NOTEBOOK_WIDTH)
    yield Screen(output.show).show


class Screen:
    """Draws the progress of a sweep: finished and running trials, and the best so far.

    Args:
        draw: a live display, or a function that draws elsewhere.
    """

    def __init__(self, draw: Live | Callable[[RenderableType], object]) -> None:
        self._draw = (lambda drawn: draw.update(drawn, refresh=True)) if isinstance(draw, Live) else draw
        self._begun_at = time.monotonic()
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
                _labelled_line("best", f"trial {best['number']}  {told_value(result, best)}  {format_params(best)}")
            )
        lines += [
            _labelled_line("running", f"trial {row['number']}, epoch {row['epochs']}  {format_params(row)}")
            for row in result.in_state("running")[:8]
        ]
        indented = Padding(bar, (0, 0, 0, _LABEL), expand=False)
        self._draw(RightMargin(Group(indented, *lines)))

    def _counts(self, result: "SweepResult", ended: int) -> str:
        told = [f"{ended} of {result.total}"]
        told += [f"{len(rows)} {state}" for state in ("pruned", "failed") if (rows := result.in_state(state))]
        here = ended - (self._ended_before or 0)
        if here > 0 and ended < result.total:
            left = (time.monotonic() - self._begun_at) / here * (result.total - ended)
            told.append(f"{format_duration(left)} left")
        return ", ".join(told)


def _labelled_line(label: str, value: str) -> Text:
    """One line, cut with an ellipsis where the terminal ends."""
    return Text.assemble((label.ljust(_LABEL), "dim"), value, no_wrap=True, overflow="ellipsis")


class Lines:
    """Prints a line for each trial that ends; of a long sweep, for every so many, and for each that fails."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._labelled_line: set[int] | None = None

    def show(self, result: "SweepResult") -> None:
        ended = {row["number"]: row for row in result.trials if row["state"] in _ENDED}
        if self._labelled_line is None:
            self._labelled_line = set(ended)
            if ended:
                self._console.print(f"{len(ended)} of {result.total} trials have ended already", soft_wrap=True)
        every = -(-result.total // LINES)
        for number in sorted(ended.keys() - self._labelled_line):
            self._labelled_line.add(number)
            row = ended[number]
            if number % every == 0 or row["state"] == "failed":
                self._console.print(escape_unprintable(_trial_line(result, row)), soft_wrap=True)


def _trial_line(result: "SweepResult", row: dict[str, Any]) -> str:
    width = len(str(result.total - 1))
    outcome = row["error"].splitlines()[0] if row["state"] == "failed" else told_value(result, row)
    after = f" after epoch {row['epochs']}" if row["state"] == "pruned" else ""
    return f"trial {row['number']:>{width}} {row['state']}{after}  {outcome}  {format_params(row)}"
