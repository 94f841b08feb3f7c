"""What there is to draw, as data: a browser and a picture draw the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

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
