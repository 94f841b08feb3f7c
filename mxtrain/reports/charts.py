"""Charts of reports: Plotly figures with a common layout, and thinning of long curves.

Text and grid lines get their colors from the style sheet of the page, light or dark."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, log10
from typing import Any, TypeAlias

import plotly.graph_objects as go

Value: TypeAlias = float | str
Point: TypeAlias = Value | None
"""A coordinate; None interrupts a line."""

PALETTE = ("#2f7fc1", "#dd7a2b", "#2a9d6f", "#a85fc0", "#c79a1e", "#d1495b", "#3fa7a7", "#8c6d4f")
"""Colors that are distinguishable on white and on black."""
BLUE, ORANGE, YELLOW, RED = PALETTE[0], PALETTE[1], PALETTE[4], PALETTE[5]
GREY = "#8a8f98"
"""Color of the background of a chart: pruned trials, reference lines."""
POINTS = 1000
"""Largest number of points of a curve; a longer one is thinned."""
_MAX_MARKED_POINTS = 60
"""Largest number of points of a line on which each point has a marker."""
_MAX_INTEGER_TICKS = 15
"""Largest range of integers in which each has a tick."""
_MAX_POWER_TICKS = 6
"""Largest number of powers of ten of which each has a tick."""
_TRANSPARENT = "rgba(0,0,0,0)"


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with its title and its caption.

    Attributes:
        key: name in file names and in the page, ASCII.
        title: the heading above the figure.
        figure: the figure, with data as plain lists.
        caption: explanation below the heading.
        min_width: width in pixels below which the figure scrolls instead of shrinking.
    """

    key: str
    title: str
    figure: go.Figure
    caption: str = ""
    min_width: int = 0


def line(
    name: str,
    x: Sequence[Point],
    y: Sequence[Point],
    color: str = BLUE,
    notes: Sequence[str] = (),
    *,
    is_faint: bool = False,
    dash: str = "solid",
    shape: str = "linear",
    width: float = 2,
) -> go.Scatter:
    """Create a line; short lines have a marker at each point.

    Args:
        name: name in the legend; empty for none.
        x, y: coordinates, of equal length.
        color: a CSS color.
        notes: text to show at each point instead of its coordinates; empty or of the same length.
        is_faint: True for a line in the background.
        dash, shape, width: see Plotly.
    """
    is_marked = len(x) <= _MAX_MARKED_POINTS and not is_faint and dash == "solid" and shape == "linear"
    return go.Scatter(
        x=_escaped(x),
        y=_escaped(y),
        mode="lines+markers" if is_marked else "lines",
        line={"color": color, "width": 1 if is_faint else width, "dash": dash, "shape": shape},
        marker={"size": 5},
        opacity=0.7 if is_faint else 1,
        **_legend(name),
        **_hover(notes),
    )


def dots(
    name: str,
    x: Sequence[Point],
    y: Sequence[Point],
    color: str = BLUE,
    notes: Sequence[str] = (),
    *,
    is_faint: bool = False,
) -> go.Scatter:
    """Create a scatter plot; for the arguments see `line`."""
    marker = {"color": color, "size": 6 if is_faint else 8, "opacity": 0.7 if is_faint else 0.85}
    return go.Scatter(x=_escaped(x), y=_escaped(y), mode="markers", marker=marker, **_legend(name), **_hover(notes))


def error_bars(deviations: Iterable[float | None]) -> dict[str, Any]:
    """Return the settings of error bars; invisible ones if no point has a deviation."""
    array = [deviation or 0 for deviation in deviations]
    return {"array": array, "thickness": 1, "width": 0, "visible": any(array)}


def chart_figure(
    traces: Iterable[Any],
    x: str,
    y: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    whole: bool = False,
    closest: bool = False,
    categories: Sequence[str] = (),
    y_range: tuple[float, float] | None = None,
    **settings: Any,
) -> go.Figure:
    """Create a figure with the common layout.

    Args:
        traces: the traces, from the back to the front.
        x, y: titles of the axes, with units.
        log_x, log_y: True for a logarithmic axis.
        whole: True if x has integers only.
        closest: True to describe the nearest point instead of all points at one x.
        categories: names of x = 0, 1, 2 and so on.
        y_range: initial range of y; None shows everything.
        **settings: further settings of the layout.
    """
    drawn = list(traces)
    xs, ys = ([value for trace in drawn for value in trace[axis]] for axis in ("x", "y"))
    figure = go.Figure(
        data=drawn,
        layout=common_layout(
            height=360,
            hovermode="closest" if closest else "x unified",
            showlegend=sum(bool(trace.showlegend) for trace in drawn) > 1,
            xaxis=axis(x, xs, log_x, whole),
            yaxis=axis(y, ys, log_y),
        ),
    )
    if categories:
        figure.update_xaxes(**category_ticks(categories))
    if y_range is not None:
        figure.update_yaxes(range=list(y_range))
    return figure.update_layout(**settings)


def common_layout(**settings: Any) -> dict[str, Any]:
    """Return the settings that all figures share, with further ones."""
    return {
        "template": "none",
        "margin": {"l": 64, "r": 16, "t": 48, "b": 48},  # the buttons are above the legend
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        "font": {"size": 12, "family": "system-ui, sans-serif"},
        "paper_bgcolor": _TRANSPARENT,
        "plot_bgcolor": _TRANSPARENT,
        "modebar": {"bgcolor": _TRANSPARENT},
        "hoverlabel": {"align": "left", "namelength": -1},
        **settings,
    }


def axis(title: str, values: Iterable[Point] = (), log: bool = False, whole: bool = False) -> dict[str, Any]:
    """Return the settings of an axis on which `values` are drawn."""
    common = {"title": {"text": literal(title), "standoff": 10}, "automargin": True, "zeroline": False}
    numbers = [value for value in values if isinstance(value, int | float)]
    return {
        **common,
        "showline": True,
        **(_log_axis(numbers) if log else {}),
        **(_whole_axis(numbers) if whole else {}),
    }


def category_ticks(names: Sequence[str]) -> dict[str, Any]:
    """Return the settings of an axis whose places 0, 1, 2 and so on have names."""
    texts = [literal(shortened(name)) for name in names]
    return {
        "tickmode": "array",
        "tickvals": list(range(len(texts))),
        "ticktext": texts,
        "range": [-0.5, len(texts) - 0.5],
        "ticklabeloverflow": "allow",
    }


def mark(figure: go.Figure, x: float, label: str) -> None:
    """Draw a labelled vertical line across a figure; near an end of the axis, the label extends inwards."""
    xs = [value for trace in figure.data for value in trace.x]
    share = (x - min(xs)) / ((max(xs) - min(xs)) or 1)
    anchor = "left" if share < 0.25 else "right" if share > 0.75 else "center"
    figure.add_vline(x=x, line={"color": GREY, "dash": "dot", "width": 1.5})
    figure.add_annotation(
        x=x, y=1, yref="paper", text=literal(label), showarrow=False, xanchor=anchor, yanchor="bottom"
    )
    figure.update_layout(legend={"y": 1.08})  # above the label, which it would cover on a narrow screen


def literal(text: str) -> str:
    """Escape a text for Plotly, which interprets `<b>` and similar tags.

    >>> literal("<b>")
    '&lt;b&gt;'
    """
    return html.escape(text, quote=False)


def shortened(text: str, length: int = 24) -> str:
    """Shorten a name in the middle, because names often differ at their ends.

    >>> shortened("Iris setosa"), shortened("a name of more than some letters")
    ('Iris setosa', 'a name of more…e letters')
    """
    end = 2 * length // 5
    return text if len(text) <= length else f"{text[: length - end - 1].rstrip()}…{text[-end:]}"


def thinned(x: Sequence[float], y: Sequence[float], max_points: int = POINTS) -> tuple[list[float], list[float]]:
    """Thin a long curve to the minimum and the maximum of each of equal intervals, and its ends.

    >>> thinned([1, 2, 3], [5.0, 4.0, 3.0])
    ([1, 2, 3], [5.0, 4.0, 3.0])
    >>> x, y = thinned(range(100_000), [float(i == 54_321) for i in range(100_000)])
    >>> len(x) <= POINTS + 2, x[0], x[-1], max(y)
    (True, 0, 99999, 1.0)
    """
    if len(x) <= max_points:
        return list(x), list(y)
    chosen = {0, len(x) - 1}
    intervals = max_points // 2
    for number in range(intervals):
        interval = range(number * len(x) // intervals, (number + 1) * len(x) // intervals)
        chosen |= {min(interval, key=y.__getitem__), max(interval, key=y.__getitem__)}
    return [x[i] for i in sorted(chosen)], [y[i] for i in sorted(chosen)]


def _whole_axis(numbers: Sequence[float]) -> dict[str, Any]:
    """Return ticks at integers only; Plotly would put some between them."""
    is_short = not numbers or max(numbers) - min(numbers) <= _MAX_INTEGER_TICKS
    return {"tickformat": ",d", **({"dtick": 1} if is_short else {})}


def _log_axis(numbers: Sequence[float]) -> dict[str, Any]:
    """Return ticks at powers of ten; also at 2 and 5 times them, if there are few powers."""
    positive = [number for number in numbers if number > 0] or [1.0]
    powers = log10(max(positive)) - log10(min(positive))
    return {"type": "log", "tickformat": "~g", "dtick": "D2" if powers < 2 else ceil(powers / _MAX_POWER_TICKS)}


def _legend(name: str) -> dict[str, Any]:
    return {"name": literal(name), "showlegend": bool(name)}


def _hover(notes: Sequence[str]) -> dict[str, Any]:
    texts = [literal(note).replace("\n", "<br>") for note in notes]
    return {"text": texts, "hoverinfo": "text"} if texts else {}


def _escaped(values: Iterable[Point]) -> list[Point]:
    return [literal(value) if isinstance(value, str) else value for value in values]
