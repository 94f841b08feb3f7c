"""The course of η and μ, drawn with characters."""

from math import ceil, floor, log10

from mxtrain.cli.curves import Course, Curve, bounds
from mxtrain.cli.streams import results, speaks_unicode

WIDEST = 100
PIPED = 80
HEIGHT = 14
"""Lines of one panel."""
_COLOURS = {"η": "cyan", "μ": "orange"}
_ASCII = str.maketrans({**dict.fromkeys("┌┐└┘┬┴┤├", "+"), "─": "-", "│": "|", "η": "eta", "μ": "mu"})


def print_course(course: Course) -> None:
    """Print one panel for each curve, as wide as the terminal; on none, in a fixed width and without colours."""
    import plotext

    console = results()
    width = min(console.width, WIDEST) if console.is_terminal else PIPED
    panels = [_panel(course, curve, width) for curve in course.curves]
    text = "\n".join([course.title.center(width), *panels])
    if not console.is_terminal or console.no_color:
        text = str(plotext.uncolorize(text))
    if not speaks_unicode():
        text = text.translate(_ASCII)
    console.file.write("".join(f"{line.rstrip()}\n" for line in text.splitlines()))


def _panel(course: Course, curve: Curve, width: int) -> str:
    import plotext

    low, high = bounds(curve.values)
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(width, HEIGHT)
    plotext.title(f"{curve.meaning} {curve.letter}")
    marker = "braille" if speaks_unicode() else "*"
    plotext.plot(course.times, curve.values, marker=marker, color=_COLOURS[curve.letter])
    plotext.ylim(low, high)
    plotext.xlim(0, course.times[-1])
    plotext.yticks(*_ticks(low, high, 5))
    plotext.xticks(*_ticks(0, course.times[-1], 10))
    plotext.xlabel("epoch")
    return str(plotext.build())


def _ticks(low: float, high: float, count: int) -> tuple[list[float], list[str]]:
    """Round numbers to mark an axis with, in about `count` steps, and how they are written.

    >>> _ticks(0, 1.05, 5)[1], _ticks(0.447, 0.903, 5)[1]
    (['0', '0.25', '0.5', '0.75', '1'], ['0.5', '0.6', '0.7', '0.8', '0.9'])
    """
    wanted = (high - low) / count
    unit = 10.0 ** floor(log10(wanted))
    step = next(unit * times for times in (1, 2, 2.5, 5, 10) if unit * times >= wanted)
    ticks = [number * step for number in range(ceil(low / step), floor(high / step) + 1)]
    return ticks, [f"{tick:g}" for tick in ticks]
