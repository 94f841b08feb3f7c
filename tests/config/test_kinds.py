"""Kinds of the user's classes: where texts name them, and two classes with one kind."""

from typing import Any, Literal

import pytest

import mxtrain
from mxtrain.kinds import find_user_classes


class First(mxtrain.SGD):
    kind: Literal["kind_of_two"] = "kind_of_two"  # type: ignore[assignment]


class Second(mxtrain.SGD):
    kind: Literal["kind_of_two"] = "kind_of_two"  # type: ignore[assignment]


class Only(mxtrain.SGD):
    kind: Literal["kind_of_one"] = "kind_of_one"  # type: ignore[assignment]


NAMES = f"{__name__}.First and {__name__}.Second"


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"kind": "kind_of_two"}, "optimizer"),
        ({"kind": "adam", "groups": {"b": {"kind": "kind_of_two"}}}, "optimizer.groups.b.kind"),
        ({"kind": "muon", "otherwise": {"kind": "kind_of_two"}}, "optimizer.otherwise"),
    ],
)
def test_a_kind_of_two_classes_is_an_error_with_both_names(config: dict[str, Any], path: str) -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build(config)
    assert str(caught.value) == f"{path}: kind_of_two is the kind of {NAMES}; give one of them another kind"


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ({"name": "kind_of_one", "data": {"source": "kind_of_two"}}, []),
        ({"optimizer": {"kind": "kind_of_one", "groups": {"b": {"kind": "adam"}}}}, [Only]),
        ({"optimizer.kind": {"choice": ["adam", "kind_of_one"]}}, [Only]),
        ({"optimizer": {"choice": [{"kind": "adam"}, {"kind": "kind_of_one"}]}}, [Only]),
        ({"optimizer": {"kind": "kind_of_two"}}, []),  # validation reports it
    ],
)
def test_only_kinds_name_classes(values: dict[str, Any], classes: list[type]) -> None:
    assert list(dict.fromkeys(find_user_classes(values))) == classes
