"""The vocabulary of CONTRIBUTING.md: standard terms in sources and documentation, and imperative docstrings."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "mxtrain").rglob("*.py"))
PAGES = [
    *ROOT.glob("*.md"),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
    *sorted((ROOT / "configs").glob("*.yaml")),
    ROOT / "Makefile",
]
WORDS = r"""
    crew | bell | ledger | durable | stillborn | begins?\ anew | afresh | whence | thereby | wherein | whoever
  | be\ it | taken?[ _]up | told(?!\ apart)(?:_\w+)? | \w*_told | tells?\ of | tell_\w+ | said\ again | give_way | gives?[ _](?:way|up)
  | hand(?:s|ed|ing)?\ over | l(?:ay|ays|aid|aying|ain)\ over | passed\ over | learnt\ from
  | (?:goes|going|go|went|gone)\ on | h(?:angs?|ung)\ on | one's\ own | save\ (?:in|for|that|where|when)
  | st(?:ands?|ood)\ (?:in|at|under|beside|on|there|by|before|after|below|above|alone|ready|still)
  | came\ to | what\ is\ to\ be | as\ good\ as | the\ house | the\ rooms?
  | turn_left | turned_left | _hire | dismiss | kept_code | loop_files | flat_?kept | saved_state | complaints | laying | other_files
"""
"""Words and phrases that readers of NumPy's or Pydantic's documentation would not expect."""
PATTERN = re.compile(rf"(?<![\w-])(?:{WORDS})(?!\w)", re.IGNORECASE | re.VERBOSE)
FIRST_WORDS = {"What", "Whatever", "Whether", "How", "Who", "Whoever", "Where", "Which", "Why"}


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and the text of every docstring of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            value = getattr(statement, "value", None)
            if isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value.strip()


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_standard_terms_only(path: Path) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]!r}: {line.strip()}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for match in PATTERN.finditer(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_begin_with_an_imperative_or_a_noun(path: Path) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {text.splitlines()[0]}"
        for number, text in docstrings(path)
        if text and re.split(r"\W", text, maxsplit=1)[0] in FIRST_WORDS
    ]
    assert not found, "\n".join(found)
