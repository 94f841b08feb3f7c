"""The course of η and μ, drawn with characters."""

import plotext
from matplotlib.ticker import MaxNLocator

from mxtrain.cli.course_picture import bounds
from mxtrain.cli.curves import Course, Curve
from mxtrain.cli.streams import results, speaks_unicode

WIDEST = 100
PIPED = 80
HEIGHT = 14
"""Lines of one panel."""
_COLOURS = {"η": "cyan", "μ": "orange"}
_ASCII = str.maketrans({**dict.fromkeys("┌┐└┘┬┴┤├", "+"), "─": "-", "│": "|", "η": "eta", "μ": "mu"})


def print_course(course: Course) -> None:
    """Print one panel for each curve, as wide as the terminal; on none, in a fixed width and without colours."""
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
    """Round numbers to mark an axis with, and how they are written."""
    values = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    ticks = [float(value) for value in values if low <= value <= high]
    return ticks, [f"{tick:g}" for tick in ticks]
