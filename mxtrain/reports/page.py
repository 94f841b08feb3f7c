"""Self-contained HTML page of a report, and writing it to disk with its pictures."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NewType

from plotly.offline import get_plotlyjs

from mxtrain.atomic_io import refuse_link, write_file, write_output
from mxtrain.errors import escape_unprintable
from mxtrain.reports.charts import Figure, Matrix, drawn, shortened
from mxtrain.reports.pictures import picture

Html = NewType("Html", str)
"""Markup. Whatever a person wrote becomes it by `text` or `lines`, and by nothing else."""

_LONG = 40
"""Characters of a cell from which it may take several lines."""


def page(title: str, blocks: Iterable[Html], figures: Iterable[Figure]) -> str:
    """The whole page.

    Args:
        title: what the browser's window is called.
        blocks: what stands in it, from above; each figure has its place there, made by `place`.
        figures: what is drawn into these places.
    """
    return Template(_asset("page.html")).substitute(
        title=text(title),
        style=_asset("page.css"),
        content="\n".join(blocks),
        data="\n".join(_data(figure) for figure in figures),
        plotly=get_plotlyjs(),
        script=_asset("page.js"),
    )


def text(value: object) -> Html:
    """Whatever it is as text: what would be markup is shown as it is written."""
    return Html(html.escape(escape_unprintable(str(value))))


def lines(value: str) -> Html:
    """A text of several lines as it is."""
    return Html("\n".join(text(line) for line in value.splitlines()))


def joined(*parts: Html) -> Html:
    """Parts, one below the other."""
    return Html("\n".join(parts))


def heading(words: str) -> Html:
    """The heading of a section."""
    return Html(f"<h2>{text(words)}</h2>")


def paragraph(words: str, kind: str = "") -> Html:
    """A paragraph; `kind` is a class of the style sheet."""
    return Html(f"<p{_class(kind)}>{text(words)}</p>")


def note(words: str, kind: str = "") -> Html:
    """What a reader must not miss."""
    return Html(f'<div class="note {kind}" role="note">{lines(words)}</div>')


def place(figure: Figure) -> Html:
    """Where a figure is drawn, with its title and its caption."""
    caption = paragraph(figure.caption) if figure.caption else ""
    return Html(
        f"<figure><figcaption><h3>{text(figure.title)}</h3>{caption}</figcaption>"
        f'<div class="wide"><div class="plot" data-figure="{_id(figure)}" role="img" aria-label="{text(figure.title)}"'
        f"{_least_width(figure)}></div></div></figure>"
    )


def facts(rows: Mapping[str, object]) -> Html:
    """Names and what they are, two columns."""
    told = "\n".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>' for name, value in rows.items()
    )
    return Html(f'<table class="facts">\n{told}\n</table>')


def numbers(corner: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> Html:
    """A table of numbers, with a name for each row and each column."""
    head = "".join(f'<th scope="col" class="number">{text(column)}</th>' for column in columns)
    body = "\n".join(
        f'<tr><th scope="row">{text(name)}</th>'
        + "".join(f'<td class="number{" long" if len(cell) > _LONG else ""}">{text(cell)}</td>' for cell in cells)
        + "</tr>"
        for name, cells in rows.items()
    )
    return Html(
        f'<div class="wide"><table>\n<thead><tr><th scope="col">{text(corner)}</th>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _least_width(figure: Figure) -> str:
    """What stands side by side needs room, on a narrow screen beyond its edge."""
    if isinstance(figure, Matrix):
        least = 120 + 20 * len(figure.names) + 6 * len(shortened(max(figure.names, key=len)))
    else:
        least = 95 * len(figure.guides)
    return f' style="min-width: {least}px"' if least else ""


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _id(figure: Figure) -> str:
    return f"figure-{figure.key}"


def _data(figure: Figure) -> str:
    return (
        f'<script type="application/json" id="{_id(figure)}">{embedded(json.loads(drawn(figure).to_json()))}</script>'
    )


def embedded(value: Any) -> str:
    """JSON that can stand in a page: no character in it begins or ends markup.

    >>> embedded("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    plain = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _asset(name: str) -> str:
    return (files("mxtrain.reports") / "assets" / name).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes:
        page: the HTML file.
        pictures: a PNG of each figure.
        notes: what could not be shown, and why; the page says it too.
    """

    page: Path
    pictures: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def write_report(
    path: Path,
    title: str,
    blocks: Sequence[Html],
    figures: Sequence[Figure],
    notes: Sequence[str] = (),
    *,
    follow: bool = False,
) -> Report:
    """Write a report; each file is put in its place whole.

    Args:
        path: the page's; the pictures go into a folder beside it that is called like it, without the ending.
        title, blocks, figures: see `page`.
        notes: see `Report`.
        follow: whether to follow symbolic links, for a path that the user chose; in the folder of a run they are
            replaced.

    Raises:
        OSError: a file cannot be written.
    """
    folder = path.with_suffix("") if path.suffix else path.with_name(f"{path.name}-pictures")
    pictures = [folder / f"{figure.key}.png" for figure in figures]
    if follow:
        write = write_output
    else:
        write = write_file
        refuse_link(folder)
    write(path, page(title, blocks, figures).encode())
    for figure, file in zip(figures, pictures, strict=True):
        folder.mkdir(exist_ok=True)
        write(file, picture(figure))
    return Report(path, tuple(pictures), tuple(notes))
