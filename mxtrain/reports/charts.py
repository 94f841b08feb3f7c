"""Charts as plain data, and their conversion to Plotly figures.

Text and grid get their colors from the style sheet of the page, light or dark."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import plotly.graph_objects as go

Value: TypeAlias = float | str
Point: TypeAlias = Value | None
"""A place on an axis; None ends a line, so that another can begin."""
Look = Literal["line", "steps", "dots", "bars"]

PALETTE = ("#2f7fc1", "#dd7a2b", "#2a9d6f", "#a85fc0", "#c79a1e", "#d1495b", "#3fa7a7", "#8c6d4f")
"""Colours that can be told apart on white and on black."""
GREY = "#8a8f98"
"""Of what stands in the background."""
POINTS = 1000
"""Points of a curve beyond which it is thinned out; more would not be seen."""
DOTTED = 60
"""Points of a curve up to which each is marked."""


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers that are drawn alike.

    Attributes:
        name: what the legend calls them; empty where it shall not.
        x, y: of one length; bars that lie have the words in y.
        look: `line`, `steps`, `dots` or `bars`.
        colour: a place in the palette, or None for grey.
        notes: what is told of each point instead of x and y, and stands on a bar; empty or of the same length.
        faint: whether they stand in the background.
        dashed: whether the line is.
    """

    name: str
    x: Sequence[Point]
    y: Sequence[Point]
    look: Look = "line"
    colour: int | None = 0
    notes: Sequence[str] = ()
    faint: bool = False
    dashed: bool = False

    @property
    def is_dotted(self) -> bool:
        """Whether each point of the line is marked."""
        return self.look == "line" and len(self.x) <= DOTTED and not (self.faint or self.dashed)

    @property
    def paint(self) -> str:
        """The colour itself."""
        return GREY if self.colour is None else PALETTE[self.colour % len(PALETTE)]


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across a chart at one x, with a word to it."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Guide:
    """An axis of its own across a chart at one x, with what stands at which height."""

    x: float
    labels: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Series on common axes.

    Attributes:
        key: what it is called in file names, in ASCII.
        title: what is seen.
        x, y: what the axes count, with units.
        series: what is drawn, from the back to the front.
        caption: what a reader should know of it.
        log_x, log_y: whether an axis is logarithmic.
        marks: at which x something happened.
        guides: axes of their own, which take the place of y's.
        ticks: words that stand at x = 0, 1, 2 and so on, instead of numbers.
        y_range: which part of y is shown at first; left out, all of it.
        lying: whether bars lie, from left to right.
        whole: whether x counts in whole numbers.
        each: whether a reader points at one dot rather than at all that stand over one x.
    """

    key: str
    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    caption: str = ""
    log_x: bool = False
    log_y: bool = False
    marks: tuple[Mark, ...] = ()
    guides: tuple[Guide, ...] = ()
    ticks: tuple[str, ...] = ()
    y_range: tuple[float, float] | None = None
    lying: bool = False
    whole: bool = False
    each: bool = False


@dataclass(frozen=True, slots=True)
class Matrix:
    """How many samples of each class, a row, were taken for each class, a column."""

    key: str
    title: str
    names: tuple[str, ...]
    counts: Sequence[Sequence[int]]
    caption: str = ""

    @property
    def shares(self) -> list[list[float]]:
        """Each row's counts as shares of the row, so that classes of any size compare."""
        return [[count / max(1, sum(row)) for count in row] for row in self.counts]


Figure: TypeAlias = Chart | Matrix


def thinned(x: Sequence[float], y: Sequence[float], points: int = POINTS) -> tuple[list[float], list[float]]:
    """A long curve as the lowest and the highest point of each stretch, and its ends: no peak is lost.

    >>> thinned([1, 2, 3], [5.0, 4.0, 3.0])
    ([1, 2, 3], [5.0, 4.0, 3.0])
    >>> x, y = thinned(range(100_000), [float(it == 54_321) for it in range(100_000)])
    >>> len(x) <= POINTS + 2, x[0], x[-1], max(y)
    (True, 0, 99999, 1.0)
    """
    if len(x) <= points:
        return list(x), list(y)
    kept = {0, len(x) - 1}
    stretches = points // 2
    for number in range(stretches):
        stretch = range(number * len(x) // stretches, (number + 1) * len(x) // stretches)
        kept |= {min(stretch, key=y.__getitem__), max(stretch, key=y.__getitem__)}
    return [x[it] for it in sorted(kept)], [y[it] for it in sorted(kept)]


def shortened(text: str, length: int = 24) -> str:
    """A name as an axis has room for; its end is kept as well, for names that begin alike.

    >>> shortened("Iris setosa"), shortened("a name of more than some letters")
    ('Iris setosa', 'a name of more…e letters')
    """
    end = 2 * length // 5
    return text if len(text) <= length else f"{text[: length - end - 1].rstrip()}…{text[-end:]}"


_NONE = "rgba(0,0,0,0)"
_SHADES = [[0, "rgba(47,127,193,0)"], [1, "rgba(47,127,193,0.85)"]]
_FEW = 15
"""Whole numbers up to which each has a tick."""
_WRITTEN_CLASSES = 20
"""Classes up to which the counts are written into the cells."""


def drawn(figure: Figure) -> go.Figure:
    """The figure for Plotly, with its data as plain lists."""
    return _matrix(figure) if isinstance(figure, Matrix) else _chart(figure)


def literal(text: str) -> str:
    """A text that Plotly shows letter by letter; it takes `<b>` and its like for markup otherwise.

    >>> literal("<b>")
    '&lt;b&gt;'
    """
    return html.escape(text, quote=False)


def layout(**settings: Any) -> dict[str, Any]:
    """What all figures have in common."""
    return {
        "template": "none",
        "margin": {"l": 64, "r": 16, "t": 16, "b": 48},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        "font": {"size": 12, "family": "system-ui, sans-serif"},
        "paper_bgcolor": _NONE,
        "plot_bgcolor": _NONE,
        "modebar": {"bgcolor": _NONE},
        "hoverlabel": {"align": "left", "namelength": -1},
        **settings,
    }


def _chart(chart: Chart) -> go.Figure:
    pointed = chart.each or all(series.look == "bars" for series in chart.series)
    xs = [x for series in chart.series for x in series.x]
    ys = [y for series in chart.series for y in series.y]
    figure = go.Figure(
        data=[_trace(series, chart) for series in chart.series],
        layout=layout(
            height=max(160, 60 + 30 * len(chart.series[0].y)) if chart.lying else 360,
            hovermode="closest" if pointed else "x unified",
            showlegend=sum(bool(series.name) for series in chart.series) > 1,
            bargap=0.05 if not chart.lying else 0.3,
            xaxis=_axis(chart.x, xs, chart.log_x, chart.whole),
            yaxis=_axis(chart.y, ys, chart.log_y) | ({"autorange": "reversed"} if chart.lying else {}),
        ),
    )
    for mark in chart.marks:
        figure.add_vline(x=mark.x, line={"color": GREY, "dash": "dot", "width": 1.5})
        figure.add_annotation(x=mark.x, y=1, yref="paper", text=literal(mark.label), showarrow=False, yanchor="bottom")
        figure.update_layout(legend={"y": 1.08})  # above the word, which it would cover on a narrow screen
    if chart.ticks:
        names = [literal(shortened(name)) for name in chart.ticks]
        span = [-0.5, len(names) - 0.5]
        figure.update_xaxes(tickmode="array", tickvals=list(range(len(names))), ticktext=names, range=span)
    if chart.lying:  # room for what stands behind the bars
        figure.update_xaxes(range=[0, 1.12 * max(x for x in xs if isinstance(x, int | float))])
    if chart.y_range is not None:
        figure.update_yaxes(range=list(chart.y_range))
    _guide(figure, chart)
    return figure


def _guide(figure: go.Figure, chart: Chart) -> None:
    """Axes of their own: many at once, as adding them one by one takes long."""
    if not chart.guides:
        return
    lines = [{"x0": it.x, "x1": it.x, "y0": 0, "y1": 1, "line": {"color": GREY, "width": 1.5}} for it in chart.guides]
    words = [
        {"x": it.x, "y": y, "text": literal(shortened(label, 12)), "showarrow": False, "xanchor": "left", "xshift": 2}
        for it in chart.guides
        for y, label in it.labels
    ]
    figure.update_layout(shapes=lines, annotations=words, yaxis={"visible": False, "range": [-0.06, 1.06]})


def _trace(series: Series, chart: Chart) -> go.Scatter | go.Bar:
    names = {"name": literal(series.name), "showlegend": bool(series.name)}
    points = {"x": _plain(series.x), "y": _plain(series.y)}
    note = {"text": [literal(note).replace("\n", "<br>") for note in series.notes]} if series.notes else {}
    if series.look == "bars":
        lying = {"orientation": "h"} if chart.lying else {}
        look = {"marker": {"color": series.paint}, "textposition": "outside", "cliponaxis": False}
        return go.Bar(**points, **names, **note, **lying, **look)
    if series.look == "dots":
        marker = {"color": series.paint, "size": 6 if series.faint else 8, "opacity": 0.45 if series.faint else 0.85}
        return go.Scatter(**points, **names, **note, mode="markers", marker=marker, hoverinfo="text" if note else None)
    line = {
        "color": series.paint,
        "width": 1 if series.faint else 2,
        "dash": "dash" if series.dashed else "solid",
        "shape": "hv" if series.look == "steps" else "linear",
    }
    mode = "lines+markers" if series.is_dotted else "lines"
    look = {"mode": mode, "line": line, "marker": {"size": 5}, "opacity": 0.5 if series.faint else 1}
    return go.Scatter(**points, **names, **note, **look)


def _matrix(matrix: Matrix) -> go.Figure:
    names = [literal(shortened(name)) for name in matrix.names]
    places = list(range(len(names)))
    written = [[f"{count:,}" if count else "" for count in row] for row in matrix.counts]
    told = [
        [
            f"{literal(true)} taken for {literal(taken)}: {count:,} of {sum(row):,} ({share:.1%})"
            for taken, count, share in zip(matrix.names, row, shares, strict=True)
        ]
        for true, row, shares in zip(matrix.names, matrix.counts, matrix.shares, strict=True)
    ]
    ticks = {"tickmode": "array", "tickvals": places, "ticktext": names} if len(names) <= 60 else {}
    cells = go.Heatmap(
        x=places,
        y=places,
        z=[list(row) for row in matrix.shares],
        zmin=0,
        zmax=1,
        colorscale=_SHADES,
        colorbar={"title": {"text": "share of the true class", "side": "right"}, "tickformat": ".0%", "thickness": 12},
        text=written,
        texttemplate="%{text}" if len(names) <= _WRITTEN_CLASSES else "",
        hovertext=told,
        hoverinfo="text",
        xgap=1,
        ygap=1,
    )
    return go.Figure(
        data=[cells],
        layout=layout(
            height=min(820, max(320, 140 + 34 * len(names))),
            xaxis=_axis("predicted class") | ticks,
            yaxis=_axis("true class") | ticks | {"autorange": "reversed"},
        ),
    )


def _axis(title: str, values: Iterable[Point] = (), log: bool = False, whole: bool = False) -> dict[str, Any]:
    axis = {"title": {"text": literal(title), "standoff": 10}, "automargin": True, "zeroline": False, "showline": True}
    return {**axis, **(_log_scale(values) if log else {}), **(_whole_scale(values) if whole else {})}


def _whole_scale(values: Iterable[Point]) -> dict[str, Any]:
    """Ticks at whole numbers; left to itself, Plotly puts some between a few."""
    numbers = [it for it in values if isinstance(it, int | float)] or [0]
    return {"tickformat": ",d", **({"dtick": 1} if max(numbers) - min(numbers) <= _FEW else {})}


def _log_scale(values: Iterable[Point]) -> dict[str, Any]:
    """Ticks at 1, 2 and 5 where there are few powers of ten, each with its whole number."""
    numbers = [it for it in values if isinstance(it, int | float) and it > 0] or [1.0]
    few = max(numbers) < 100 * min(numbers)
    return {"type": "log", "dtick": "D2", "tickformat": "~g"} if few else {"type": "log", "exponentformat": "power"}


def _plain(values: Any) -> list[Any]:
    return [literal(value) if isinstance(value, str) else value for value in values]
