"""PNG pictures of charts, drawn by Matplotlib."""

import io
import math

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from mxtrain.reports.charts import Chart, Figure, Matrix, Point, Series, Value, shortened

_INK = "#333333"
_WRITTEN_CLASSES = 20
_LEGEND = 14
"""Names of series up to which a picture has a legend."""


def picture(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG."""
    if isinstance(figure, Matrix):
        side = min(12.0, max(4.5, 2.2 + 0.42 * len(figure.names)))
        canvas = Canvas(figsize=(side + 1, side), dpi=150, layout="constrained")
        _draw_matrix(canvas, figure)
    else:
        height = max(2.2, 1.1 + 0.3 * len(figure.series[0].y)) if figure.lying else 4.2
        canvas = Canvas(figsize=(8, height), dpi=150, layout="constrained")
        _draw_chart(canvas, figure)
    FigureCanvasAgg(canvas)
    content = io.BytesIO()
    canvas.savefig(content, format="png")
    return content.getvalue()


def _draw_chart(canvas: Canvas, chart: Chart) -> None:
    panel = canvas.subplots()
    for series in chart.series:
        _draw(panel, series, chart)
    if chart.log_x:
        panel.set_xscale("log")
    if chart.log_y:
        panel.set_yscale("log")
    for mark in chart.marks:
        panel.axvline(mark.x, color="#888888", linestyle=":", linewidth=1.2)
        panel.annotate(
            _literal(mark.label), (mark.x, 1), xycoords=("data", "axes fraction"), textcoords="offset points",
            xytext=(0, 3), ha="center", va="bottom", fontsize="small", color=_INK,
        )  # fmt: skip
    if chart.lying:
        panel.invert_yaxis()
    if chart.ticks:
        names = [_literal(shortened(name)) for name in chart.ticks]
        panel.set_xticks(range(len(names)), names, rotation=20 if sum(map(len, names)) > 80 else 0)
        panel.set_xlim(-0.5, len(names) - 0.5)
    if chart.y_range is not None:
        panel.set_ylim(*chart.y_range)
    for guide in chart.guides:
        panel.axvline(guide.x, color="#888888", linewidth=1.2)
        for y, label in guide.labels:
            panel.annotate(
                _literal(shortened(label, 12)), (guide.x, y), textcoords="offset points", xytext=(3, 0), va="center",
                fontsize="x-small", color=_INK, bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
            )  # fmt: skip
    if chart.guides:
        panel.yaxis.set_visible(False)
    if chart.whole:
        panel.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    panel.set_title(_literal(chart.title), color=_INK, pad=16 if chart.marks else 8)
    panel.set_xlabel(_literal(chart.x), color=_INK)
    panel.set_ylabel(_literal(chart.y), color=_INK)
    if 1 < sum(bool(series.name) for series in chart.series) <= _LEGEND:
        if chart.guides:
            canvas.legend(loc="outside lower center", ncols=4, fontsize="small", frameon=False)
        else:
            panel.legend(fontsize="small", frameon=False)
    panel.grid(color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    _style_axes(panel)


def _draw(panel: Axes, series: Series, chart: Chart) -> None:
    label = _literal(series.name) if series.name else None
    x, y = (list(map(_plotted, values)) for values in (series.x, series.y))
    if series.look == "bars" and chart.lying:
        panel.barh(y, x, color=series.paint, label=label, height=0.7)
    elif series.look == "bars":
        width = 0.95 * (x[1] - x[0]) if len(x) > 1 and not isinstance(x[0], str) else 0.8  # type: ignore[operator]
        panel.bar(x, y, width, color=series.paint, label=label)
    elif series.look == "dots":
        size, alpha = (14, 0.45) if series.faint else (24, 0.85)
        panel.scatter(x, y, s=size, alpha=alpha, color=series.paint, label=label, linewidths=0)
    else:
        panel.plot(
            x, y, color=series.paint, label=label, linewidth=0.8 if series.faint else 1.8,
            alpha=0.5 if series.faint else 1, linestyle="--" if series.dashed else "-",
            marker="o" if series.is_dotted else None, markersize=3,
            drawstyle="steps-post" if series.look == "steps" else "default",
        )  # fmt: skip


def _draw_matrix(canvas: Canvas, matrix: Matrix) -> None:
    panel = canvas.subplots()
    image = panel.imshow(matrix.shares, cmap="Blues", vmin=0, vmax=1)
    bar = canvas.colorbar(image, ax=panel, shrink=0.8, format=lambda share, _: f"{share:.0%}")
    bar.set_label("share of the true class", color=_INK)
    if len(matrix.names) <= 60:
        names = [_literal(shortened(name)) for name in matrix.names]
        turned = max(map(len, names)) > 3
        panel.set_xticks(range(len(names)), names, rotation=90 if turned else 0)
        panel.set_yticks(range(len(names)), names)
    if len(matrix.names) <= _WRITTEN_CLASSES:
        for row, (counts, shares) in enumerate(zip(matrix.counts, matrix.shares, strict=True)):
            for column, (count, share) in enumerate(zip(counts, shares, strict=True)):
                if count:
                    ink = "white" if share > 0.5 else _INK
                    panel.text(column, row, f"{count:,}", ha="center", va="center", color=ink, fontsize="small")
    panel.set_title(_literal(matrix.title), color=_INK)
    panel.set_xlabel("predicted class", color=_INK)
    panel.set_ylabel("true class", color=_INK)
    _style_axes(panel)


def _plotted(value: Point) -> Value:
    return math.nan if value is None else _literal(value) if isinstance(value, str) else value


def _literal(text: str) -> str:
    """A text in which Matplotlib sees no formula, on one line."""
    return "".join(it if it.isprintable() else "?" for it in text).replace("$", r"\$")


def _style_axes(panel: Axes) -> None:
    panel.tick_params(colors=_INK, labelsize="small")
    for spine in panel.spines.values():
        spine.set_color("#999999")
