"""The course of η and μ as PNG."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mxtrain.atomic_io import write_output
from mxtrain.cli.curves import Course, Curve, bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK = "#333333"
_COLOURS = {"η": "#1f6f8b", "μ": "#b5482a"}


def write_picture(course: Course, path: Path) -> None:
    """Write the picture, one panel for each curve; epochs count below, iterations above."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(course.curves)
    figure = Figure(figsize=(8, 1.2 + 2.6 * count), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(course.title, color=_INK)
    panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    for panel, curve in zip(panels, course.curves, strict=True):
        _draw(panel, course, curve)
    panels[-1].set_xlabel("epoch", color=_INK)
    batches = course.batches
    above = panels[0].secondary_xaxis("top", functions=(lambda x: x * batches, lambda x: x / batches))
    above.set_xlabel("iteration", color=_INK)
    _quiet(above)
    content = BytesIO()
    figure.savefig(content, format="png")
    write_output(path, content.getvalue())


def _draw(panel: "Axes", course: Course, curve: Curve) -> None:
    from matplotlib.ticker import MaxNLocator

    # A value holds from the beginning of an iteration to its end.
    panel.plot(course.times, curve.values, color=_COLOURS[curve.letter], linewidth=1.8, drawstyle="steps-post")
    panel.set_xlim(0, course.times[-1])
    panel.set_ylim(*bounds(curve.values))
    panel.set_ylabel(f"{curve.meaning} {curve.letter}", color=_INK)
    panel.xaxis.set_major_locator(MaxNLocator(10, integer=course.times[-1] >= 2))
    panel.grid(color="#dddddd", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    _quiet(panel)


def _quiet(panel: Any) -> None:
    panel.tick_params(colors=_INK, labelsize="small")
    for spine in panel.spines.values():
        spine.set_color("#999999")
