"""One small table of trees in fifty shapes in which people have tables, with the expected reading of each."""

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

N_ROWS = 60
BASE = ("girth", "height", "district", "health")
KINDS = {
    "girth": "number",
    "height": "number",
    "district": "category",
    "health": "category",
    "leafy": "boolean",
    "planted": "date",
    "tag": "identifier",
    "value": "number",
}
MARKS = ("NA", "-", "?", ".", "#N/A", "None", "<NA>", "unknown", "")

Row = Mapping[str, Any]


def _make_rows() -> list[dict[str, Any]]:
    generator = random.Random(16)
    rows = []
    for i in range(N_ROWS):
        girth, height = round(generator.gauss(70, 12), 2), round(generator.gauss(11, 2), 1)
        district = generator.choice(["Hafen", "Mühle", "Park"])
        score = height - 0.1 * girth + 2 * (district == "Park") + generator.gauss(0, 0.3)
        rows.append(
            {
                "girth": girth,
                "height": height,
                "district": district,
                "leafy": generator.random() < 0.4,
                "planted": date(1988, 3, 1) + timedelta(days=generator.randrange(9000)),
                "tag": f"T{400 + 3 * i}",
                "health": "poor" if score < 3.5 else "fair" if score < 5 else "good",
                "value": round(1500 * 1.25**score, 2),
            }
        )
    return rows


ROWS = _make_rows()


@dataclass(frozen=True)
class Shape:
    """A file, and what reading it gives.

    Attributes:
        name: the name of the file.
        content: its bytes.
        kinds: the kind of each column.
        target: the column to predict.
        loss: the loss of the run.
        n_samples: the number of rows that have a target.
        missing: the number of missing values of the columns that have some.
        found: the fields of `data` that reading fills in.
        problems: parts of the lines of the error message; empty if the table is valid.
    """

    name: str
    content: bytes
    kinds: Mapping[str, str]
    target: str = "health"
    loss: str = "softmax_cross_entropy"
    n_samples: int = N_ROWS
    missing: Mapping[str, int] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence[str] = ()


def text(
    columns: Sequence[str] = BASE,
    rows: Iterable[Row] = ROWS,
    *,
    separator: str = ",",
    end: str = "\n",
    header: bool = True,
    show: Callable[[Any], str] = str,
    quoting: Any = csv.QUOTE_MINIMAL,
) -> str:
    """Return a table as separated text; None is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    if header:
        writer.writerow(columns)
    writer.writerows(["" if row[name] is None else show(row[name]) for name in columns] for row in rows)
    return out.getvalue()


def changed(column: str, value: Callable[[int, Any], Any]) -> list[dict[str, Any]]:
    """Return the rows with other values in a column."""
    return [{**row, column: value(i, row.get(column))} for i, row in enumerate(ROWS)]


def with_gaps(column: str, marks: Sequence[str | None] = ("",)) -> list[dict[str, Any]]:
    """Return the rows with a mark of a missing value in each tenth row."""
    return changed(column, lambda i, value: marks[i // 10 % len(marks)] if i % 10 == 4 else value)


def decimal_comma(value: Any) -> str:
    """Return a number as German files have it."""
    return str(value).replace(".", ",") if isinstance(value, float) else str(value)


def _money(sign: str) -> Callable[[Any], str]:
    return lambda value: f"{sign}{value:,.2f}" if isinstance(value, float) and value > 500 else str(value)


def _percent(value: Any) -> str:
    return f"{value}%" if isinstance(value, float) and value < 11 else str(value)


def _per_line(change: Callable[[int, str], str], content: str | None = None) -> str:
    lines = (text() if content is None else content).splitlines()
    return "".join(change(i, line) + "\n" for i, line in enumerate(lines))


def _zip(content: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("trees.csv", content)
    return out.getvalue()


def kinds_of(columns: Sequence[str] = BASE, **kinds: str) -> dict[str, str]:
    """Return the kinds of columns, some of which differ from the usual ones."""
    return {name: kinds.get(name) or KINDS[name] for name in columns}


def shape(
    name: str, content: str | bytes, *, encoding: str = "utf-8", columns: Sequence[str] = BASE, **more: Any
) -> Shape:
    """Return a shape of a text in an encoding."""
    data = content if isinstance(content, bytes) else content.encode(encoding)
    return Shape(name, data, more.pop("kinds", None) or kinds_of(columns), **more)


def _separators() -> list[Shape]:
    return [
        shape("plain.csv", text(), found={"separator": ",", "header": True}),
        shape("windows.csv", text(end="\r\n"), encoding="utf-8-sig"),
        shape("carriage_returns.csv", text(end="\r")),
        shape("semicolons.csv", text(separator=";"), found={"separator": ";"}),
        shape("all_quoted.csv", text(separator=";", quoting=csv.QUOTE_ALL), found={"separator": ";"}),
        shape(
            "german.csv",
            text(separator=";", show=decimal_comma),
            encoding="cp1252",
            found={"separator": ";", "decimal": ","},
        ),
        shape("quoted_decimal_commas.csv", text(show=decimal_comma), found={"separator": ",", "decimal": ","}),
        shape("trees.tsv", text(separator="\t"), found={"separator": "\t"}),
        shape("trees.tab", text(separator="\t"), found={"separator": "\t"}),
        shape("tabs.csv", text(separator="\t"), found={"separator": "\t"}),
        shape("bars.txt", text(separator="|"), found={"separator": "|"}),
        shape("excel.csv", "sep=;\n" + text(separator=";"), found={"separator": ";"}),
        shape(
            "blanks.data",
            "".join("   ".join(str(row[name]) for name in BASE) + "\n" for row in ROWS),
            target="3",
            kinds={"0": "number", "1": "number", "2": "category", "3": "category"},
            found={"header": False},
        ),
        shape(
            "no_header.csv",
            text(header=False),
            target="3",
            kinds={"0": "number", "1": "number", "2": "category", "3": "category"},
            found={"separator": ",", "header": False},
        ),
        shape("comments.csv", "# trees\n# of a town\n" + text(), found={"comment": "#"}),
        shape("trailing_separators.csv", _per_line(lambda _, line: line + ",")),
        shape("blank_lines.csv", "\n" + text().replace("\n", "\n\n", 5) + "\n\n"),
    ]


def _encodings() -> list[Shape]:
    records = [{name: row[name] for name in BASE} for row in ROWS]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return [
        shape("latin1.csv", text(), encoding="latin-1"),
        shape("utf16.csv", text(), encoding="utf-16"),
        shape("trees.csv.gz", gzip.compress(text().encode())),
        shape("trees.csv.bz2", bz2.compress(text().encode())),
        shape("trees.csv.xz", lzma.compress(text().encode())),
        shape("trees.zip", _zip(text())),
        shape("trees.csv.zip", _zip(text())),
        shape("TREES.CSV", text()),
        shape("trees.json", json.dumps(records, ensure_ascii=False)),
        shape("trees.jsonl", lines),
        shape("trees.ndjson", lines),
    ]


def _columns() -> list[Shape]:
    priced = ("girth", "value", "health")
    dated = ("girth", "planted", "health")
    return [
        shape(
            "index.csv",
            _per_line(lambda i, line: ("" if i == 0 else str(i - 1)) + "," + line),
            kinds=kinds_of() | {"": "index"},
        ),
        shape("row_names.csv", _per_line(lambda i, line: line if i == 0 else f'"{i}",{line}')),
        shape("thousands.csv", text(priced, show=_money("")), columns=priced),
        shape("dollars.csv", text(priced, show=_money("$")), columns=priced),
        shape("euros.csv", text(priced, show=_money("€ ")), columns=priced),
        shape("percent.csv", text(show=_percent)),
        shape("booleans.csv", text(("girth", "leafy", "health")), columns=("girth", "leafy", "health")),
        shape(
            "yes_no.csv",
            text(("girth", "leafy", "health"), changed("leafy", lambda _, value: "yes" if value else "no")),
            kinds=kinds_of(("girth", "leafy", "health"), leafy="category"),
        ),
        shape("dates.csv", text(dated), columns=dated),
        shape(
            "dates_with_gaps.csv",
            text(dated, with_gaps("planted", ["NA", "unknown", ""])),
            columns=dated,
            missing={"planted": 6},
        ),
        shape(
            "european_dates.csv",
            text(dated, changed("planted", lambda _, day: f"{day:%d.%m.%Y}")),
            columns=dated,
        ),
        shape("american_dates.csv", text(dated, changed("planted", lambda _, day: f"{day:%m/%d/%Y}")), columns=dated),
        shape("identifier.csv", text(("tag", *BASE)), columns=("tag", *BASE)),
        shape(
            "constant.csv",
            text((*BASE, "year"), changed("year", lambda *_: 2020)),
            kinds=kinds_of() | {"year": "constant"},
        ),
        shape(
            "decomposed_name.csv",
            text().replace("girth", "gu\u0308rth", 1),
            kinds={"gürth": "number", **kinds_of(BASE[1:])},
        ),
    ]


def _missing_and_classes() -> list[Shape]:
    valued = ("girth", "height", "value")
    graded = ("girth", "height", "health")
    grades = ["poor", "fair", "good"]
    number: dict[str, Any] = {"columns": valued, "target": "value", "loss": "squared_error"}
    gaps = changed("height", lambda i, value: None if i % 3 == 1 else value)
    gaps[3]["value"] = None
    return [
        shape("marks.csv", text(rows=with_gaps("height", MARKS)), missing={"height": 6}),
        shape("missing_targets.csv", text(valued, with_gaps("value")), **number, n_samples=54),
        shape("missing_both.csv", text(valued, gaps), **number, n_samples=59, missing={"height": 20}),
        shape("missing_category.csv", text(rows=with_gaps("district")), missing={"district": 6}),
        shape(
            "integer_classes.csv",
            text(graded, changed("health", lambda _, value: grades.index(value) + 3)),
            columns=graded,
        ),
        shape(
            "float_classes.csv",
            text(graded, changed("health", lambda _, value: float(grades.index(value)))),
            columns=graded,
        ),
        shape(
            "values.csv", text((*BASE[:3], "value")), columns=(*BASE[:3], "value"), target="value", loss="squared_error"
        ),
        shape("rare_category.csv", text(rows=changed("district", lambda i, value: "Insel" if i == 17 else value))),
        shape("rare_class.csv", text(rows=changed("health", lambda i, value: "dead" if i == 17 else value))),
    ]


SHAPES = [*_separators(), *_encodings(), *_columns(), *_missing_and_classes()]


def _short_and_long(i: int, line: str) -> str:
    return line + ",x" if i == 10 else line.rsplit(",", 1)[0] if i == 20 else line


REFUSED = [
    shape("footer.csv", text() + "60 trees\n", problems=["footer.csv:62: "]),
    shape(
        "short_and_long_rows.csv",
        _per_line(_short_and_long),
        problems=["short_and_long_rows.csv:11: ", "short_and_long_rows.csv:21: "],
    ),
    shape(
        "duplicate_names.csv", text().replace("girth,height", "girth,girth", 1), problems=["duplicate_names.csv:1: "]
    ),
    shape(
        "word_among_numbers.csv",
        text(rows=changed("height", lambda i, value: "tall" if i in (30, 50) else value)),
        problems=["word_among_numbers.csv:32: column 'height': ", "'tall'", "data.missing_values", "category"],
    ),
]
