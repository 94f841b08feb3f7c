"""Self-contained HTML pages, rendered by Jinja2 with autoescape, and their pictures."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from mxtrain.atomic_io import refuse_link, write_file, write_output
from mxtrain.errors import escape_unprintable
from mxtrain.reports.charts import Chart
from mxtrain.reports.png import png


@dataclass(frozen=True, slots=True)
class Report:
    """The files of a report.

    Attributes:
        page: the HTML file.
        pictures: a PNG of each chart.
        notes: parts that could not be shown, with the reasons; the page contains them too.
    """

    page: Path
    pictures: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def write_report(
    path: Path,
    template: str,
    charts: Sequence[Chart],
    notes: Sequence[str] = (),
    *,
    follow_links: bool = False,
    **context: Any,
) -> Report:
    """Write a page and its pictures, each file atomically.

    Args:
        path: the page; the pictures go into a folder beside it with the same name without its suffix.
        template: name of the template in `reports/templates`.
        charts: the charts of the page.
        notes: see `Report`.
        follow_links: True to follow symbolic links, for a path that the user chose; in the folder of a run they are
            replaced.
        **context: further variables of the template.

    Raises:
        OSError: a file cannot be written.
    """
    folder = path.with_suffix("") if path.suffix else path.with_name(f"{path.name}-pictures")
    if follow_links:
        write = write_output
    else:
        write = write_file
        refuse_link(folder)
    write(path, render_page(template, charts, notes=notes, **context).encode())
    pictures = [folder / f"{chart.key}.png" for chart in charts]
    for chart, file in zip(charts, pictures, strict=True):
        folder.mkdir(exist_ok=True)
        write(file, png(chart))
    return Report(path, tuple(pictures), tuple(notes))


def render_page(template: str, charts: Sequence[Chart], **context: Any) -> str:
    """Render a template; every text in it is escaped, and nothing is loaded from elsewhere."""
    data = {chart.key: json.loads(chart.figure.to_json()) for chart in charts}
    return (
        _environment()
        .get_template(template)
        .render(
            charts={chart.key: chart for chart in charts},
            data=data,
            plotly=Markup(get_plotlyjs()),  # noqa: S704 - a file of Plotly's
            style=_asset("page.css"),
            script=_asset("page.js"),
            **context,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mxtrain.reports"),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {
        "ensure_ascii": False,
        "allow_nan": False,
        "separators": (",", ":"),
    }
    environment.filters["breakable"] = _breakable
    environment.filters["with_code"] = _with_code
    return environment


def _printable(value: object) -> object:
    """Escape control characters in what an expression prints; markup is escaped already."""
    return value if isinstance(value, Markup) else escape_unprintable(str(value))


def _breakable(name: str) -> Markup:
    """Allow line breaks between the parts of a dotted name.

    >>> _breakable("optimizer[adam].η")
    Markup('optimizer[adam]<wbr>.η')
    """
    return Markup("<wbr>").join(map(escape, re.split(r"(?<=[\w\]])(?=\.)", escape_unprintable(name))))


def _with_code(text: str) -> Markup:
    """Mark up commands, which a text has in backticks.

    >>> _with_code("continue with `mxtrain resume <x>`.")
    Markup('continue with <code>mxtrain resume &lt;x&gt;</code>.')
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(escape_unprintable(text)))))  # noqa: S704 - escaped


def _asset(name: str) -> Markup:
    return Markup((files("mxtrain.reports") / "assets" / name).read_text(encoding="utf-8"))  # noqa: S704 - a file of this package
