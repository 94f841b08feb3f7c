"""Scheduled numbers over a run: values, plot in the terminal, and plot as PNG."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mxtrain.atomic_io import write_output
from mxtrain.cli.streams import results, supports_unicode
from mxtrain.config import RunConfig
from mxtrain.data import Batches, prepare
from mxtrain.formatting import format_count
from mxtrain.optim.rules import Rule, Time
from mxtrain.optim.rules.scheduled import number_at, scheduled_paths
from mxtrain.optim.schedules.paths import display_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 2000
"""Maximum number of points of a curve; more cannot be seen."""
LARGEST, SMALLEST = 1e300, 1e-300
"""Larger values are clipped, smaller ones are drawn as 0, so that margins and ticks of the axis are finite."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A schedule over a run.

    Attributes:
        letter, meaning: symbol and name, such as `η` and `learning rate`; other numbers have no name.
        values: one value for each time.
    """

    letter: str
    meaning: str
    values: list[float]


@dataclass(frozen=True, slots=True)
class ScheduleCurves:
    """The scheduled numbers of a run.

    Attributes:
        title: name and length of the run.
        batches: iterations per epoch.
        times: in epochs, from 0 to the end of the last.
        curves: η, μ if the rule has it, and all other numbers with schedules; then those of parameter groups and of
            `otherwise` that have schedules of their own, or another η.
    """

    title: str
    batches: int
    times: list[float]
    curves: list[Curve]


def bounds(values: list[float]) -> tuple[float, float]:
    """Return the limits of an axis: from 0, unless all values are in the upper half of that range.

    >>> bounds([0.5, 1.0]), bounds([0.0, 0.0])
    ((0.0, 1.05), (0.0, 1.0))
    """
    low, high = min(values), max(values)
    if high == 0:
        return 0.0, 1.0
    margin = 0.05 * (high - low or high)
    return (0.0, high * 1.05) if low <= 0.5 * high or low == high else (low - margin, high + margin)


def schedule_curves(run: RunConfig) -> ScheduleCurves:
    """Compute the scheduled numbers at each iteration of a run, where metrics of a `plateau` always improve.

    Reads the data, because their number determines the epoch length.

    Raises:
        DataError: the data cannot be read.
    """
    batches = len(Batches(prepare(run).training, run.data, run.seed))
    epochs = run.fit.epochs
    rule = run.optimizer.for_run(epochs, batches)
    iterations = _sample_iterations(epochs * batches)
    times = [_time_of_batch(each, batches, rule.accumulate) for each in iterations]
    curves = [*_curves(rule, times), *_group_curves(rule, times)]
    for curve in curves:
        curve.values.append(curve.values[-1])  # the last value holds to the end of the last iteration
    starts = [(each - 1) / batches for each in iterations]
    title = f"{run.name}: {format_count(epochs, 'epoch')} of {format_count(batches, 'iteration')}"
    if rule.accumulate > 1:
        title = f"{run.name}: {format_count(epochs, 'epoch')} of {format_count(batches, 'batch', 'batches')}"
        title += f", {rule.accumulate} in each update"
    return ScheduleCurves(title, batches, [*starts, float(epochs)], curves)


def _time_of_batch(batch: int, batches: int, accumulate: int) -> Time:
    """Return the time of the update to which a batch belongs; batches count from 1 over all epochs."""
    update = 1 + (batch - 1) // accumulate
    return Time(update, update, (batch - 1) // batches)


def _curves(rule: Rule, times: list[Time]) -> list[Curve]:
    """Return a curve for η, one for μ if the rule has it, and one for each other number with a schedule."""
    rules = [rule.at(time) for time in times]
    rates = [each.learning_rate_at(time) for each, time in zip(rules, times, strict=True)]
    curves = [Curve("η", "learning rate", list(map(_clipped, rates)))]
    momenta = [
        μ for each, time in zip(rules, times, strict=True) if (μ := each.momentum_at(time.iteration)) is not None
    ]
    if momenta:
        curves.append(Curve("μ", "momentum", momenta))
    paths = (path for path in scheduled_paths(rule) if path != "μ" or not momenta)
    others = (Curve(display_path(path), "", [_clipped(number_at(each, path)) for each in rules]) for path in paths)
    return [*curves, *others]


def _sample_iterations(iterations: int) -> list[int]:
    """Return all iterations, or an even selection of many with the first and the last."""
    if iterations <= POINTS:
        return list(range(1, iterations + 1))
    return [1 + point * (iterations - 1) // (POINTS - 1) for point in range(POINTS)]


def _group_curves(rule: Rule, times: list[Time]) -> Iterator[Curve]:
    """Yield the curves of parameter groups and of the rule for vectors that differ from those of the rule.

    These are their own schedules, and the schedule of η where it applies to another η.
    """
    paths = rule.all_schedules()
    inner = {f"groups.{selector}.": (selector, rule.with_settings(group)) for selector, group in rule.groups.items()}
    if rule.__dict__.get("otherwise") is not None:
        inner["otherwise."] = "otherwise", rule.for_vectors()
    for prefix, (name, own) in inner.items():
        found = [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]
        if own.η_sched is not None and "η_sched" not in found and own.η != rule.η:
            found.insert(0, "η_sched")
        yield from _curves_of_paths(name, own, found, times)


def _curves_of_paths(name: str, own: Rule, paths: list[str], times: list[Time]) -> Iterator[Curve]:
    """Yield the curves of the schedules at some paths of the rule of a group."""
    rules = [own.at(time) for time in times]
    for path in paths:
        number = path.removeprefix("schedules.")
        if path == "η_sched":
            values = [each.learning_rate_at(time) for each, time in zip(rules, times, strict=True)]
            yield Curve(f"η of {name}", "learning rate", list(map(_clipped, values)))
        elif number != path:
            values = [number_at(each, number) for each in rules]
            yield Curve(f"{display_path(number)} of {name}", "", list(map(_clipped, values)))


def _clipped(value: float) -> float:
    return min(value, LARGEST) if value >= SMALLEST else max(value, -LARGEST) if value <= -SMALLEST else 0.0


MAX_WIDTH = 100
PIPED_WIDTH = 80
HEIGHT = 14
"""Height of one panel in lines."""
_TERMINAL_COLORS = {"η": "cyan", "μ": "orange"}
_LETTERS = {"η": "eta", "μ": "mu", "λ": "lambda", "β": "beta", "ϵ": "eps", "ρ": "rho", "γ": "gamma", "δ": "delta"}
_ASCII_CHARACTERS = str.maketrans(
    {**dict.fromkeys("┌┐└┘┬┴┤├", "+"), "─": "-", "│": "|", **_LETTERS, "α": "alpha", "τ": "tau"}
)


def print_schedule_plot(schedules: ScheduleCurves) -> None:
    """Print one panel for each curve, as wide as the terminal; elsewhere in a fixed width and without colors."""
    import plotext

    console = results()
    width = min(console.width, MAX_WIDTH) if console.is_terminal else PIPED_WIDTH
    panels = [_draw_panel(schedules, curve, width) for curve in schedules.curves]
    text = "\n".join([schedules.title.center(width), *panels])
    if not console.is_terminal or console.no_color:
        text = str(plotext.uncolorize(text))
    if not supports_unicode():
        text = text.translate(_ASCII_CHARACTERS)
    console.file.write("".join(f"{line.rstrip()}\n" for line in text.splitlines()))


def _draw_panel(schedules: ScheduleCurves, curve: Curve, width: int) -> str:
    import plotext

    low, high = bounds(curve.values)
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(width, HEIGHT)
    plotext.title(f"{curve.meaning} {curve.letter}".strip())
    marker = "braille" if supports_unicode() else "*"
    plotext.plot(schedules.times, curve.values, marker=marker, color=_TERMINAL_COLORS.get(curve.letter, "green"))
    plotext.ylim(low, high)
    plotext.xlim(0, schedules.times[-1])
    plotext.yticks(*_ticks(low, high, 5))
    plotext.xticks(*_ticks(0, schedules.times[-1], 10))
    plotext.xlabel("epoch")
    return str(plotext.build())


def _ticks(low: float, high: float, count: int) -> tuple[list[float], list[str]]:
    """Return about `count` round ticks between two values, and their labels.

    >>> _ticks(0, 1.05, 5)[1], _ticks(0.447, 0.903, 5)[1]
    (['0', '0.25', '0.5', '0.75', '1'], ['0.5', '0.6', '0.7', '0.8', '0.9'])
    """
    wanted = (high - low) / count
    unit = 10.0 ** floor(log10(wanted))
    step = next(unit * times for times in (1, 2, 2.5, 5, 10) if unit * times >= wanted)
    ticks = [number * step for number in range(ceil(low / step), floor(high / step) + 1)]
    return ticks, [f"{tick:g}" for tick in ticks]


_INK = "#333333"
_PNG_COLORS = {"η": "#1f6f8b", "μ": "#b5482a"}


def write_schedule_png(schedules: ScheduleCurves, path: Path) -> None:
    """Write a PNG with one panel for each curve, epochs below and iterations above."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(schedules.curves)
    figure = Figure(figsize=(8, 1.2 + 2.6 * count), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(schedules.title, color=_INK)
    panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    for panel, curve in zip(panels, schedules.curves, strict=True):
        _draw(panel, schedules, curve)
    panels[-1].set_xlabel("epoch", color=_INK)
    batches = schedules.batches
    above = panels[0].secondary_xaxis("top", functions=(lambda x: x * batches, lambda x: x / batches))
    above.set_xlabel("iteration", color=_INK)
    _style_axes(above)
    content = BytesIO()
    figure.savefig(content, format="png")
    write_output(path, content.getvalue())


def _draw(panel: "Axes", schedules: ScheduleCurves, curve: Curve) -> None:
    from matplotlib.ticker import MaxNLocator

    # A value holds from the beginning of an iteration to its end.
    panel.plot(
        schedules.times,
        curve.values,
        color=_PNG_COLORS.get(curve.letter, "#4d7c3a"),
        linewidth=1.8,
        drawstyle="steps-post",
    )
    panel.set_xlim(0, schedules.times[-1])
    panel.set_ylim(*bounds(curve.values))
    panel.set_ylabel(f"{curve.meaning} {curve.letter}".strip(), color=_INK)
    panel.xaxis.set_major_locator(MaxNLocator(10, integer=schedules.times[-1] >= 2))
    panel.grid(color="#dddddd", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    _style_axes(panel)


def _style_axes(panel: Any) -> None:
    panel.tick_params(colors=_INK, labelsize="small")
    for spine in panel.spines.values():
        spine.set_color("#999999")
