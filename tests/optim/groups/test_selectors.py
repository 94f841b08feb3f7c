"""Selectors of parameter groups: patterns of names, comparisons, and which parameters they select."""

import pytest

from mxtrain.optim.groups.group import ungrouped, unused_groups
from mxtrain.optim.groups.selectors import SelectorError, Shape, parse_selector
from mxtrain.optim.rules import SGD


@pytest.mark.parametrize(
    ("text", "name", "shape", "expected"),
    [
        ("W1", "W1", (3, 2), True),
        ("W1", "W11", (3, 2), False),
        ("W*", "w1", (3, 2), False),
        ("[!W]*", "b1", (2,), True),
        ("layer.?.weight", "layer.0.weight", (2,), True),
        ("a[<]b", "a<b", (2,), True),
        ("ndim", "ndim", (), True),
        ("ndim < 2", "W1", (3,), True),
        ("ndim<2", "W1", (), True),
        ("ndim < 2", "W1", (1, 1), False),
        ("ndim >= 2", "W1", (None, None), True),
        ("ndim == 4", "W1", (3, 3, 1, 8), True),
        ("ndim != 1", "b1", (3,), False),
        ("size > 6", "W1", (3, 2), False),
        ("size >= 6", "W1", (3, 2), True),
        ("size <= 0", "W1", (3, 0), True),
        ("size == 1", "s", (), True),
        ("size < 1_000", "W1", (10, 10), True),
        ("size < 10", "W1", (None, 2), None),
        ("size < 10", "W1", None, None),
        ("size < 10 and b*", "W1", (None, 2), False),
        ("W* and ndim >= 2 and size < 10", "W1", (3, 2), True),
        ("W* and ndim >= 2 and size < 10", "W1", (3, 4), False),
        ("* and *1", "W1", None, True),
    ],
)
def test_a_selector_selects_by_name_and_shape(text: str, name: str, shape: Shape | None, expected: bool | None) -> None:
    assert parse_selector(text).matches(name, shape) is expected


@pytest.mark.parametrize(
    "text", ["", " ", "ndim <", "< 2", "ndim < -1", "ndim ! 2", "a < b < c", "ndim < 2 and", "W* and size"]
)
def test_a_wrong_selector_is_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        parse_selector(text)


def test_the_first_group_that_fits_decides() -> None:
    rule = SGD(groups={"W1": {}, "ndim < 2": {}, "W*": {}})
    shapes = {"W1": (2, 2), "W2": (2, 2), "b1": (2,), "E": (3, 3)}
    assert {name: rule.group_of(name, shape) for name, shape in shapes.items()} == {
        "W1": "W1", "W2": "W*", "b1": "ndim < 2", "E": None,
    }  # fmt: skip
    assert list(unused_groups(rule, shapes)) == []


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"size > 100": {}}, {"size > 100": "matches no parameter; the parameters are W1 (4, 5), b1 (5,)"}),
        ({"w1": {}}, {"w1": "matches no parameter; the parameters are W1, b1; did you mean W1?"}),
        ({"*": {}, "W*": {}}, {"W*": "never applies, as earlier groups take W1; move it before them"}),
        (
            {"ndim < 3": {}, "size > 1": {}},
            {"size > 1": "never applies, as earlier groups take W1, b1; move it before them"},
        ),
    ],
)
def test_groups_that_decide_for_no_parameter_are_found(groups: dict[str, object], expected: dict[str, str]) -> None:
    assert dict(unused_groups(SGD(groups=groups), {"W1": (4, 5), "b1": (5,)})) == expected


def test_an_unknown_length_is_given_the_benefit_of_the_doubt() -> None:
    rule = SGD(groups={"size > 100": {}, "W1": {}}, groups_required=True)
    assert list(unused_groups(rule, {"W1": (None, 5), "b1": (None,)})) == []
    assert ungrouped(rule, {"W1": (None, 5), "b1": (None,)}) is None
    message = "no group takes b1; add a group for them, such as '*': {}, or remove groups_required"
    assert ungrouped(rule, {"W1": (None, 5), "b1": (7,)}) == message
