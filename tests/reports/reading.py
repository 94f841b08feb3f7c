"""A report's page, read as a browser would."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs


class Page(HTMLParser):
    """The content of a page: its text, its tags, the addresses it names, and its figures by their keys."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        whole = path.read_text(encoding="utf-8")
        assert whole.count(get_plotlyjs()) == 1, "plotly.js is inside, once"
        self.source = whole.replace(get_plotlyjs(), "")
        self.text, self.tags, self.addresses = "", [], []
        self.headings: list[int] = []
        self.charts_without_name, self.heads_without_scope = 0, 0
        self.figures: dict[str, Any] = {}
        self.places: set[str] = set()
        self._figure: str | None = None
        self._silent = False
        self.feed(self.source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.heads_without_scope += tag == "th" and given.get("scope") not in ("row", "col")
        self.charts_without_name += "data-figure" in given and not given.get("aria-label")
        self.addresses += [
            given[name] for name in ("src", "href", "srcset", "action", "data", "poster") if name in given
        ]
        self._silent = tag in ("script", "style")
        if given.get("type") == "application/json":
            self._figure = str(given["id"]).removeprefix("figure-")
        if "data-figure" in given:
            self.places.add(str(given["data-figure"]).removeprefix("figure-"))

    def handle_endtag(self, tag: str) -> None:
        self._silent, self._figure = False, None

    def handle_data(self, data: str) -> None:
        if self._figure is not None:
            self.figures[self._figure] = json.loads(data)
        elif not self._silent:
            self.text += data

    def check(self) -> None:
        """Check that a page loads nothing, that it is accessible, and that each figure has a place and data."""
        assert '<html lang="en">' in self.source
        assert re.search("<title>.+</title>", self.source)
        assert self.headings[0] == 1
        assert self.headings.count(1) == 1
        assert all(deeper - level <= 1 for level, deeper in pairwise(self.headings)), "no level is skipped"
        assert (self.charts_without_name, self.heads_without_scope) == (0, 0)
        assert self.addresses == []
        assert "default-src 'none'" in self.source, "a browser would refuse to load anything"
        assert "modeBarButtons" in self.source, "Plotly's own choice of buttons has one that sends the figure away"
        assert not re.search(r"https?://|@import|url\(", self.source)
        assert self.figures.keys() == self.places
        for key, figure in self.figures.items():
            assert figure["data"], key
            for trace in figure["data"]:
                shown = trace.get("z") or trace.get("x") or trace.get("dimensions")
                assert isinstance(shown, list), f"{key}: plain numbers, which need no decoding"
                assert shown, key
