"""PNG pictures of Plotly figures, drawn by Matplotlib.

Plotly writes PNGs through Kaleido, which needs a Chrome browser; these need none."""

import html
import io
import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mxtrain.reports.charts import Chart

_INK, _LINE, _GRID = "#333333", "#888888", "#dddddd"
_MAX_LEGEND_ENTRIES = 14
_DASHES = {"dash": "--", "dot": ":"}
_MARKERS = {"line-ns": "|"}


def png(chart: Chart) -> bytes:
    """Draw a chart and return the bytes of a PNG."""
    figure = chart.figure.to_plotly_json()
    traces, layout = figure["data"], figure["layout"]
    is_heatmap = traces[0]["type"] == "heatmap"
    if is_heatmap:
        side = min(12.0, max(4.5, 2.2 + 0.42 * len(traces[0]["z"])))
        size = side + 1, side
    else:
        is_horizontal = traces[0].get("orientation") == "h"
        size = 8, max(2.2, 1.1 + 0.3 * len(traces[0]["y"])) if is_horizontal else 4.2
    canvas = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(canvas)
    panel = canvas.subplots()
    for trace in traces:
        _DRAWERS[trace["type"]](panel, trace)
    _format_axis(panel, "x", layout["xaxis"])
    _format_axis(panel, "y", layout["yaxis"])
    _draw_annotations(panel, layout)
    has_labels = any(annotation.get("yref") == "paper" for annotation in layout.get("annotations", ()))
    panel.set_title(_text(chart.title, is_markup=False), color=_INK, pad=16 if has_labels else 8)
    if layout.get("showlegend") and len(panel.get_legend_handles_labels()[0]) <= _MAX_LEGEND_ENTRIES:
        if layout["yaxis"].get("visible", True):
            panel.legend(fontsize="small", frameon=False)
        else:
            canvas.legend(loc="outside lower center", ncols=4, fontsize="small", frameon=False)
    if not is_heatmap:
        panel.grid(color=_GRID, linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(colors=_INK, labelsize="small")
    for spine in panel.spines.values():
        spine.set_color("#999999")
    content = io.BytesIO()
    canvas.savefig(content, format="png")
    return content.getvalue()


def _draw_scatter(panel: Axes, trace: dict[str, Any]) -> None:
    x, y = (list(map(_coordinate, trace[axis])) for axis in "xy")
    label = _text(trace["name"]) if trace.get("showlegend") and trace.get("name") else None
    look, marker = trace.get("line", {}), trace.get("marker", {})
    for name, argument in (("error_x", "xerr"), ("error_y", "yerr")):
        if trace.get(name, {}).get("visible"):
            bars = {argument: trace[name]["array"]}
            panel.errorbar(x, y, fmt="none", ecolor=marker["color"], elinewidth=0.8, alpha=marker["opacity"], **bars)
    if trace["mode"] == "markers":
        size, is_scaled = 0.375 * marker["size"] ** 2, marker.get("showscale", False)
        colors = LinearSegmentedColormap.from_list("", marker["colorscale"]) if is_scaled else None
        points = panel.scatter(
            x,
            y,
            s=size,
            marker=_MARKERS.get(marker.get("symbol", ""), "o"),
            alpha=marker["opacity"],
            c=marker["color"],
            cmap=colors,
            label=label,
            linewidths=marker.get("line", {}).get("width", 0),
        )
        if is_scaled:
            _draw_color_bar(panel, points, marker["colorbar"])
    else:
        panel.plot(
            x, y, color=look["color"], label=label, linewidth=0.9 * look["width"], alpha=trace.get("opacity"),
            linestyle=_DASHES.get(look.get("dash", ""), "-"), marker="o" if "markers" in trace["mode"] else None,
            markersize=3, drawstyle="steps-post" if look.get("shape") == "hv" else "default",
        )  # fmt: skip


def _draw_bar(panel: Axes, trace: dict[str, Any]) -> None:
    color = trace["marker"]["color"]
    if trace.get("orientation") == "h":
        texts = list(map(_text, trace["text"]))
        bars = panel.barh([_text(name) for name in trace["y"]], trace["x"], color=color, height=0.7)
        panel.bar_label(bars, texts, padding=3, fontsize="small", color=_INK)
    else:
        x = trace["x"]
        panel.bar(x, trace["y"], 0.95 * (x[1] - x[0]) if len(x) > 1 else 0.8, color=color)


def _draw_heatmap(panel: Axes, trace: dict[str, Any]) -> None:
    shares = trace["z"]
    image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    assert panel.figure is not None
    bar = panel.figure.colorbar(image, ax=panel, shrink=0.8, format=lambda share, _: f"{share:.0%}")
    bar.set_label(trace["colorbar"]["title"]["text"], color=_INK)
    if trace["texttemplate"]:
        for row, texts in enumerate(trace["text"]):
            for column, text in enumerate(texts):
                color = "white" if shares[row][column] > 0.5 else _INK
                panel.text(column, row, text, ha="center", va="center", color=color, fontsize="small")


_DRAWERS = {"scatter": _draw_scatter, "bar": _draw_bar, "heatmap": _draw_heatmap}


def _draw_color_bar(panel: Axes, points: ScalarMappable, settings: dict[str, Any]) -> None:
    assert panel.figure is not None
    bar = panel.figure.colorbar(points, ax=panel, ticks=settings["tickvals"])
    bar.set_ticklabels(list(map(_text, settings["ticktext"])), fontsize="small")


def _format_axis(panel: Axes, name: str, axis: dict[str, Any]) -> None:
    ticks = panel.xaxis if name == "x" else panel.yaxis
    set_scale, set_limits = (panel.set_xscale, panel.set_xlim) if name == "x" else (panel.set_yscale, panel.set_ylim)
    is_log = axis.get("type") == "log"
    if is_log:
        set_scale("log")
    if "ticktext" in axis:
        texts = ["\n".join(map(_text, text.split("<br>"))) for text in axis["ticktext"]]
        ticks.set_ticks(list(axis["tickvals"]), texts)
        if name == "x" and "tickangle" not in axis:
            is_heatmap, is_long = bool(panel.images), sum(map(len, texts)) > 80
            panel.tick_params("x", rotation=90 if is_heatmap and max(map(len, texts)) > 3 else 20 if is_long else 0)
    elif axis.get("tickformat") == ",d":
        ticks.set_major_locator(MaxNLocator(10, integer=True))
    if axis.get("range") is not None and not panel.images:
        set_limits(*(10**end if is_log else end for end in axis["range"]))
    if axis.get("autorange") == "reversed" and not panel.images:
        panel.invert_yaxis()
    ticks.set_visible(axis.get("visible", True))
    ticks.set_label_text(_text(axis.get("title", {}).get("text", "")), color=_INK)


def _draw_annotations(panel: Axes, layout: dict[str, Any]) -> None:
    for shape in layout.get("shapes", ()):
        linestyle = _DASHES.get(shape["line"].get("dash", ""), "-")
        if shape.get("yref") == "y domain":
            panel.axvline(shape["x0"], color=_LINE, linestyle=linestyle, linewidth=1.2)
        else:
            x, y = [shape["x0"], shape["x1"]], [shape["y0"], shape["y1"]]
            panel.plot(x, y, color=_LINE, linestyle=linestyle, linewidth=1.2)
    for note in layout.get("annotations", ()):
        is_above = note.get("yref") == "paper"
        panel.annotate(
            _text(note["text"]), (note["x"], note["y"]), xycoords=("data", "axes fraction" if is_above else "data"),
            textcoords="offset points", xytext=(0, 3) if is_above else (3, 0), ha=note["xanchor"],
            va="bottom" if is_above else "center", fontsize="small" if is_above else "x-small", color=_INK,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
        )  # fmt: skip


def _coordinate(value: float | str | None) -> float | str:
    return math.nan if value is None else _text(value) if isinstance(value, str) else value


def _text(text: str, is_markup: bool = True) -> str:
    """Convert a text of Plotly to one line that Matplotlib does not parse as a formula."""
    plain = html.unescape(text.replace("<br>", " ")) if is_markup else text
    return "".join(character if character.isprintable() else "?" for character in plain).replace("$", r"\$")
