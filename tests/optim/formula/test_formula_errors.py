"""Errors in formulas: each at its line and column in the file, with a remedy, all at once."""

from pathlib import Path

import pytest

import mxtrain
from mxtrain.config import read_config

HEAD = """\
kind: formula
let: {β: 0.9}
slots: [m]
update: |
"""
_LINES, _INDENT = 4, 2

WRONG: dict[str, list[str]] = {
    "W = W - η*mm": [
        "1:11:2: unknown name mm; did you mean m?",
    ],
    "W = W - eta*beta1*m": [
        "1:13:5: unknown name beta1; did you mean beta?",
    ],
    "W = W -": [
        "1:7:1: an expression is missing after -",
    ],
    "W = - η*g +": [
        "1:11:1: an expression is missing after +",
    ],
    "W = (W - η*g": [
        "1:5:1: this ( is never closed",
    ],
    "W = W - η*g)": [
        "1:12:1: this ) has no ( before it",
    ],
    "W = W - η g": [
        "1:11:1: an operator is missing before g, such as *",
    ],
    "W = W - 2g": [
        "1:9:2: an operator is missing between 2 and g, such as *",
    ],
    "W = W - 2 g": [
        "1:11:1: an operator is missing before g, such as *",
    ],
    "W = η(g)": [
        "1:5:1: η is not a function; write η*( for a product",
    ],
    "W = W - η*tanh(g)": [
        "1:11:4: tanh is not a function; the functions are sqrt, abs, sign, min, max, where, exp, log, increment, sum, mean, norm, dot, max_abs, total_sum, total_mean, total_norm, total_dot, total_max_abs",
    ],
    "W = W - η*sqr(g)": [
        "1:11:3: sqr is not a function; did you mean sqrt?",
    ],
    "W = W - η*sqrt(g, m)": [
        "1:11:4: sqrt takes 1 argument, got 2",
    ],
    "W = W - η*g/0": [
        "1:12:1: division by 0, for which the formula has no finite value",
    ],
    "W = W - g/(2 - 2*1.0)": [
        "1:10:1: division by 0, for which the formula has no finite value",
    ],
    "W = W - 0**-1*g + η*m/-0.0": [
        "1:10:2: a negative power of 0, for which the formula has no finite value",
        "1:22:1: division by 0, for which the formula has no finite value",
    ],
    "W = W - η*max(g)": [
        "1:11:3: max takes 2 arguments, got 1",
    ],
    "W = W - η*where(g, 1, 2)": [
        "1:11:5: the first argument of where must be a comparison, such as a < b, got an array",
    ],
    "W = W - η*where(g > 0, 1)": [
        "1:11:5: where takes 3 arguments, got 2",
    ],
    "W = W - η*(g > 0)": [
        "1:10:1: a comparison is allowed only as the first argument of where",
    ],
    "W = g > 0": [
        "1:1:1: W would be a comparison; write where(a < b, 1, 0)",
    ],
    "W = W - η*where(0 < g < 1, g, m)": [
        "1:23:1: comparisons cannot be chained; write one where inside another",
    ],
    "W = W - η*sum(η)": [
        "1:11:3: sum needs an array, such as W or g, got a scalar",
    ],
    "W = W - η*norm(2)": [
        "1:11:4: norm needs an array, such as W or g, got a scalar",
    ],
    "W = W - η*exp(g)": [
        "1:11:3: exp is a function of scalars, such as t, got an array",
    ],
    "W = W - η*log(norm(g))": [
        "1:11:3: log is a function of scalars, such as t, got a sum",
    ],
    "W = W - g**0.5": [
        "1:10:2: a power of an array needs a whole exponent from 1 to 16; write sqrt(x) for a root",
    ],
    "W = W - g**β": [
        "1:10:2: a power of an array needs a whole exponent from 1 to 16; write sqrt(x) for a root",
    ],
    "W = W - η*g**17": [
        "1:12:2: a power of an array needs a whole exponent from 1 to 16; write sqrt(x) for a root",
    ],
    "W = W - 2**g": [
        "1:10:2: a power of an array needs a whole exponent from 1 to 16; write sqrt(x) for a root",
    ],
    "W = W - η*norm(g)**0.5*g": [
        "1:18:2: a power of a sum needs a whole exponent from 1 to 16; write sqrt(x) for a root",
    ],
    "W = W - η*g^2": [
        "1:12:1: the character ^ is not allowed in a formula; write ** for a power",
    ],
    "W = W - η*g²": [
        "1:11:2: g² is not a name; write x**2 for a power",
    ],
    "W = W - η·g": [
        "1:10:1: the character · is not allowed in a formula; write * for a product",
    ],
    "W = W − η*g": [
        "1:7:1: the character − is not allowed in a formula; write -, the ASCII minus",
    ],
    "W ← W - η*g": [
        "1:3:1: the character ← is not allowed in a formula; write = for an assignment",
    ],
    "W := W - g": [
        "1:3:1: the character : is not allowed in a formula; a line is an assignment, such as m = β*m + g",
    ],
    "W -= η*g": [
        "1:3:2: -= is not allowed; write W = W - ...",
    ],
    "W == W - η*g": [
        "1:3:2: == compares; write = for an assignment",
    ],
    "W = W = g": [
        "1:7:1: one = is allowed in a statement; write == in a comparison",
    ],
    "W": [
        "1:1:1: a line must be an assignment, such as m = β*m + g",
    ],
    "3 = W": [
        "1:1:5: a line must be an assignment, such as m = β*m + g",
    ],
    "f(W) = g": [
        "1:1:8: a line must be an assignment, such as m = β*m + g",
    ],
    "g = W": [
        "1:1:1: g, the gradient, cannot be assigned; choose another name",
    ],
    "t = 2": [
        "1:1:1: t, the number of the update, cannot be assigned; choose another name",
    ],
    "η = 0.1; W = W": [
        "1:1:1: η, the learning rate, cannot be assigned; choose another name",
    ],
    "β = 0.5; W = W": [
        "1:1:1: β is set in let, and cannot be assigned; choose another name",
    ],
    "sqrt = g; W = W - sqrt": [
        "1:1:4: sqrt is a function, and cannot be assigned; choose another name",
    ],
    "m = 0; W = W - m": [
        "1:1:1: m is a slot, and must be assigned an array, got a scalar",
    ],
    "W = norm(g)": [
        "1:1:1: W is the weight, and must be assigned an array, got a sum",
    ],
    "m = m + g": [
        "never assigns W; add a line such as W = W - η*g",
    ],
    "W = W - η*{d}": [
        "1:11:3: unknown term {d}; set it in terms",
    ],
    "W = W - {": [
        "1:9:1: the name of a term must follow {",
    ],
    "W = W - {m": [
        "1:9:1: this { is never closed; write {m}",
    ],
    "W = W - η*sqrt": [
        "1:11:4: sqrt is a function; write sqrt(...)",
    ],
    "W = W - u; u = g": [
        "1:9:1: u is used before it is assigned; it is not a slot, so it has no earlier value",
    ],
    "W = W - g@g": [
        "1:10:1: the character @ is not allowed in a formula; there are no matrix products in a formula",
    ],
    "W = W - g[0]": [
        "1:10:1: the character [ is not allowed in a formula; elements cannot be selected; an operation applies to all of them",
        "1:12:1: the character ] is not allowed in a formula; elements cannot be selected; an operation applies to all of them",
    ],
    "W = W - g.T": [
        "1:10:1: the character . is not allowed in a formula; values have no attributes; sums are functions, such as sum(x)",
    ],
    'W = W - "g"': [
        '1:9:1: the character " is not allowed in a formula; there are no strings in a formula',
        '1:11:1: the character " is not allowed in a formula; there are no strings in a formula',
    ],
    "W = W - η*1e999": [
        "1:11:5: must be a finite number, got 1e999",
    ],
    "W = W - η*00000000000000000000000000000000000000001": [
        "1:11:41: a number may have at most 40 characters, got 41",
    ],
    "W = W - η*increment(increment(g))": [
        "1:11:9: a rule may have at most one increment",
    ],
    "W = W - increment(η)": [
        "1:9:9: increment needs an array, such as W or g, got a scalar",
    ],
    "W = W - η*g, m": [
        "1:12:1: a comma is allowed only between the arguments of a function",
    ],
    "W = W - ,": [
        "1:9:1: an expression is missing before ,",
    ],
    "W = W - sum()": [
        "1:9:3: sum takes 1 argument, got 0",
    ],
    "W = W - η*if": [
        "1:11:2: if is not allowed in a formula; write where(a < b, x, y)",
    ],
    "W = W - η*for": [
        "1:11:3: for cannot be a name; choose another",
    ],
    "lambda2 = __import__; W = W": [
        "1:11:10: unknown name __import__; the names here are W, g, m, t, η, λ, β",
    ],
    "W = exec(g)": [
        "1:5:4: exec is not a function; the functions are sqrt, abs, sign, min, max, where, exp, log, increment, sum, mean, norm, dot, max_abs, total_sum, total_mean, total_norm, total_dot, total_max_abs",
    ],
    "m = q; W = r - η*g": [
        "1:5:1: unknown name q; the names here are W, g, m, t, η, λ, β",
        "1:12:1: unknown name r; the names here are W, g, m, t, η, λ, β",
    ],
    "W = W - g % 2": [
        "1:11:1: the character % is not allowed in a formula; there is no remainder in a formula",
    ],
    "W = W - !g": [
        "1:9:1: the character ! is not allowed in a formula; write != in a comparison",
    ],
    "a = 1 b = 2; W = W": [
        "1:7:1: b = starts another assignment; put it on a new line, or write ; before it",
    ],
    "": [
        "never assigns W; add a line such as W = W - η*g",
    ],
    "# nothing": [
        "never assigns W; add a line such as W = W - η*g",
    ],
    "W = W - ---------------------------------g": [
        "1:41:1: nested deeper than 32 levels; assign a part to a name",
    ],
    "u = (g +\nm = g\nW = W - mm": [
        "1:8:1: an expression is missing after +",
        "3:9:2: unknown name mm; did you mean m?",
    ],
    "m = m + (g\n  + q)\nW = W - m": [
        "2:5:1: unknown name q; the names here are W, g, m, t, η, λ, β",
    ],
}
"""For each text its problems: the line, the column and the width in the text, and the message."""

LONG = {
    "W = W - " + "(" * 33 + "g" + ")" * 33: "1:41:1: nested deeper than 32 levels; assign a part to a name",
    "W = W - " + "-" * 33 + "g": "1:41:1: nested deeper than 32 levels; assign a part to a name",
    "W = W - "
    + "+".join(["g"] * 102): "1:208:1: more than 100 operations one after the other; assign a part to a name",
    "W = W - g" + " " * 8000: "must have at most 8000 characters, got 8009",
    "u = (g + g)*(g + g)\n" * 140 + "W = W - u": "a rule may have at most 400 operations",
    "u = sum(g*norm(g*norm(g*norm(g*norm(g)))))\nW = W - u*g": "more than 4 sums one after the other",
    "W = W - g*(" + " + ".join(f"sum({n}*g)" for n in range(17)) + ")": "a rule may have at most 16 sums",
    "W = W - g\n" * 300: "more than 100 operations one after the other",
}


def problems_of(path: Path) -> list[str]:
    """Return the problems of `update` in a file, with places in its text."""
    with pytest.raises(mxtrain.ConfigError) as caught:
        read_config(path)
    found = []
    for problem in caught.value.problems:
        assert problem.path == "optimizer.update"
        assert problem.location is not None
        assert problem.location.source == str(path)
        place = problem.location
        text = f"{place.line - _LINES}:{place.column - _INDENT}:{place.width}: "
        found.append(problem.message if place.line == _LINES else text + problem.message)
    return found


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_formula_is_reported_at_its_line_and_column(text: str, tmp_path: Path) -> None:
    path = tmp_path / "formula.yaml"
    lines = text.split("\n") if text else ["# nothing"]
    path.write_text(HEAD + "".join(f"  {line}\n" for line in lines), encoding="utf-8")
    assert problems_of(path) == WRONG[text]


def test_a_check_of_another_field_does_not_need_a_wrong_formula() -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build({"kind": "formula", "update": "W = W - mm", "corrected": True})
    (problem,) = caught.value.problems
    assert problem.message.startswith("unknown name mm")


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_a_formula_has_a_limited_size(text: str) -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build({"kind": "formula", "update": text})
    (problem, *_) = caught.value.problems
    place = problem.location
    shown = f"{place.line}:{place.column}:{place.width}: {problem.message}" if place else problem.message
    assert LONG[text] in shown


STYLES: dict[str, tuple[str, str, int]] = {
    "plain": ("update: W = W - η*mm", "1:19", 2),
    "plain on two lines": ("update: W = W\n  - η*mm", "2:7", 2),
    "single quotes": ("update: 'W = W - η*mm'", "1:20", 2),
    "double quotes": ('update: "W = W - \\u03b7*mm"', "1:25", 2),
    "double quotes with a line break": ('update: "W = W - \\\n    η*mm"', "2:7", 2),
    "a literal block": ("update: |  # a comment\n  m = g\n\n  W = W - mm", "4:11", 2),
    "an indented block": ("update: |2-\n   m = g\n  W = W - mm\n", "3:11", 2),
    "a folded block": ("update: >-\n  m = g;\n  W = W - η*\n  mm", "4:3", 2),
    "a term": ("update: W = W - {d}\nterms: {d: η*mm}", "2:14", 2),
    "a first value": ("update: W = W - n\nslots: {n: 2*mm}", "2:14", 2),
}


@pytest.mark.parametrize(("text", "place", "width"), STYLES.values(), ids=STYLES)
def test_places_are_exact_in_every_style_of_yaml(text: str, place: str, width: int, tmp_path: Path) -> None:
    path = tmp_path / "formula.yaml"
    slots = "" if "slots" in text else "\nslots: [m]"
    path.write_text(f"{text}{slots}\nkind: formula\n", encoding="utf-8")
    with pytest.raises(mxtrain.ConfigError) as caught:
        read_config(path)
    (problem,) = caught.value.problems
    assert problem.location is not None
    assert (f"{problem.location.line}:{problem.location.column}", problem.location.width) == (place, width)
    assert problem.message.startswith("unknown name mm")


def test_all_problems_of_a_formula_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "formula.yaml"
    path.write_text(
        """\
kind: formula
lr: -1
let: {β: high, λ: 0.1, 2x: 1}
slots: [m, W, m]
scalars: {d: 1/q}
update: |
  m = β*m + (1 - β)*q
  W = W - lr*{dir}
terms: {direction: sgn(m)}
cautius: true
""",
        encoding="utf-8",
    )
    with pytest.raises(mxtrain.ConfigError) as caught:
        read_config(path)
    lines = [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]
    assert lines == [
        "2:5: optimizer.lr: must be above 0, got -1",
        "3:10: optimizer.let.β: must be a number, got 'high'",
        "3:19: optimizer.let.λ: λ is the weight decay of every rule; set it beside let",
        "3:28: optimizer.let.2x: must be a name of letters, digits and _, got '2x'",
        "4:12: optimizer.slots.1: W is the weight in every formula; choose another name",
        "4:15: optimizer.slots.2: m is a name in slots too; rename one",
        "5:16: optimizer.scalars.d: unknown name q; the names here are η, λ, β",
        "7:21: optimizer.update: unknown name q; the names here are W, g, m, t, η, λ, β, d",
        "8:14: optimizer.update: unknown term {dir}; did you mean {direction}?",
        "9:20: optimizer.terms.direction: sgn is not a function; did you mean sign?",
        "10:1: optimizer.cautius: unknown field; did you mean cautious?",
    ]


def test_a_text_from_python_has_places_too() -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build({"kind": "formula", "slots": ["m"], "update": "m = g\nW = W - lr*mm"})
    assert str(caught.value) == (
        "update:2:12: optimizer.update: unknown name mm; did you mean m?\n    W = W - lr*mm\n               ^^"
    )


def test_a_text_that_groups_take_over_is_reported_once() -> None:
    groups = {"b*": {"update": "W = W - zz"}, "c*": {"η": 0.5}}
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build({"kind": "formula", "update": "W = W - q", "groups": groups})
    assert sorted(problem.path for problem in caught.value.problems) == [
        "optimizer.groups.b*.update",
        "optimizer.update",
    ]
