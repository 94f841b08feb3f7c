"""PyYAML's syntax errors in plain English, the same for its two parsers, which word them differently."""

import re

import yaml

from mxtrain.config.source import Text
from mxtrain.errors import Location

_AT_THE_START = {
    r"unexpected end of stream|unexpected document": "the quotes that open here are never closed",
    r"could not find expected ':'": "a key needs a colon, a space and a value after it",
    r"alphabetic or numeric": "a name must follow & or *; if this is a string, put it in quotes",
    r"expected( the)? '>'|tag|'!'": "tags are not supported; remove it, or put the text in quotes",
    r"chomping|indentation indicator|comment or (a )?line ?break": "after | or > a new line must follow",
}
"""Problems to be pointed out where the construct begins."""

_WHERE_NOTICED = {
    r"mapping values": "a colon may not stand here; put the text in quotes, or check the indentation",
    r"sequence entries": "a list may not start here; start it on a new line",
    r"mapping keys": "a question mark may not stand here; put the text in quotes",
    r"hexd?ecimal|hexadecimal|Unicode character escape": (
        "not the code of a character; \\x takes 2, \\u 4, \\U 8 hexadecimal digits"
    ),
    r"expected (<block end>|key|'-' indicator|'?<document start>)": (
        "unexpected text; check the indentation, the quotes and the brackets"
    ),
    r"directive|incompatible YAML": "this directive is not supported; remove it",
}
"""Problems to be pointed out where the parser noticed them."""


def explain_syntax(error: yaml.MarkedYAMLError, text: Text) -> tuple[str, Location]:
    """What is wrong, and where."""
    problem = error.problem or ""
    mark = error.problem_mark or error.context_mark
    assert mark is not None, "PyYAML marks every syntax error"
    start = error.context_mark or mark
    here = text.at(mark.line, mark.column)
    character = text.character(mark)
    at_the_end = not any(text.lines[mark.line :]) or (mark.line, mark.column) >= _end(text)

    if re.search(r"cannot start any token|tab character", problem):
        if character == "\t":
            return "a tab may not stand here; use spaces", here
        return f"a value cannot start with {character}; put it in quotes", here
    if re.search(r"expected( the)? node content", problem):
        return (
            f"a value is missing before {'the end' if at_the_end else character or 'the end of the line'}",
            here,
        )
    if closing := re.search(r"expected ',' or '(.)'", problem):
        opening = text.character(start)
        if at_the_end:
            return f"the {opening} that opens here is never closed", text.at(start.line, start.column)
        return f"expected a comma or {closing[1]}; the {opening} of line {start.line + 1} is still open", here
    if "unknown escape" in problem:
        column = mark.column if character == "\\" else mark.column - 1
        return "unknown escape; write \\\\ for a backslash, or use single quotes", text.at(mark.line, column, 2)
    for pattern, message in _AT_THE_START.items():
        if re.search(pattern, problem):
            return message, text.at(start.line, start.column)
    for pattern, message in _WHERE_NOTICED.items():
        if re.search(pattern, problem):
            return message, here
    return f"not valid YAML: {problem}", here


def _end(text: Text) -> tuple[int, int]:
    return len(text.lines) - 1, len(text.lines[-1])
