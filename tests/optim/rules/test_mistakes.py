"""Mistakes in rules that users write: each is one line that says where it is and how to repair it."""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.ir import sqrt, where
from mxtrain.optim.rules import MatrixRule, Rule
from mxtrain.types import NonNegative, Positive


class Good(Rule):
    slots: ClassVar = ("m",)
    kind: Literal["good"] = "good"
    η: Positive = 0.1
    λ: NonNegative = 0.0

    def coefficients(self, time: Any, scalars: Any) -> Any:
        return {"step": -self.η}

    @staticmethod
    def update(W: Any, g: Any, m: Any, *, step: Any) -> Any:
        return W + step * g, m


def rule(update: Callable[..., Any] | None = None, coefficients: Any = None, **attributes: Any) -> Rule:
    """Return a rule like `Good` with other functions and attributes; `NAME_field` makes NAME a field of any type."""
    fields = {name.removesuffix("_field"): value for name, value in attributes.items() if name.endswith("_field")}
    namespace: dict[str, Any] = {name: value for name, value in attributes.items() if not name.endswith("_field")}
    if update is not None:
        namespace["update"] = staticmethod(update)
    if coefficients is not None:
        namespace.setdefault("update", Good.__dict__["update"])
        namespace["coefficients"] = lambda self, time, scalars: coefficients
    annotations = {"kind": Literal["bad"], **dict.fromkeys(fields, Any)}
    made: Any = type(
        "Bad", (Good,), {"__module__": __name__, "__annotations__": annotations, "kind": "bad", **namespace, **fields}
    )
    return made()


def failing(W: Any, g: Any, m: Any, *, step: Any) -> Any:
    raise ValueError("first line\nsecond line")


TRACED: list[tuple[Callable[..., Any], str]] = [
    (lambda W, g, m, *, step: (W + step * np.sqrt(g), m), "cannot use NumPy's sqrt: it is traced without arrays; use sqrt of mxtrain.optim.ir"),
    (lambda W, g, m, *, step: (W + step * np.square(g), m), "cannot use NumPy's square: it is traced without arrays; write x * x"),
    (lambda W, g, m, *, step: (W + np.where(g > 0, step, -step), m), "NumPy's where: it is traced without arrays; use where of"),
    (lambda W, g, m, *, step: (W + step * np.clip(g, -1, 1), m), "NumPy's clip: it is traced without arrays; write minimum(maximum(x, low), high)"),
    (lambda W, g, m, *, step: (W + step / np.linalg.norm(g) * g, m), "NumPy's norm: it is traced without arrays; use norm of"),
    (lambda W, g, m, *, step: (W + step * np.tanh(g), m), "NumPy's tanh: it is traced without arrays; use + - * /, comparisons and the functions"),
    (lambda W, g, m, *, step: (W + step * np.asarray(g), m), "cannot make a NumPy array of a value"),
    (lambda W, g, m, *, step: (W + step * math.sqrt(step), m), "cannot convert a value to a number: it is traced without values; in place of float"),
    (lambda W, g, m, *, step: (W + (step if g > 0 else -step), m), "cannot branch on a value: it is traced once for all elements; use where"),
    (lambda W, g, m, *, step: (W + max(step, g), m), "use where(condition, a, b) in place of if, and, or, not, min and max"),
    (lambda W, g, m, *, step: (W + step * (g == 0), m), "cannot compare with == or !="),
    (lambda W, g, m, *, step: (W + step * (g @ W), m), "cannot multiply matrices: subclass MatrixRule"),
    (lambda W, g, m, *, step: (W + step * g[0], m), "cannot index arrays: use where(condition, a, b)"),
    (lambda W, g, m, *, step: (W + step * g.sum(), m), "cannot use .sum of a value: it is traced without arrays; use sum of mxtrain.optim.ir"),
    (lambda W, g, m, *, step: (W + step * g.T, m), "cannot use .T of a value"),
    (lambda W, g, m, *, step: (W + step * g**2, m), "cannot use powers of arrays: write x * x or sqrt(x)"),
    (lambda W, g, m, *, step: (W + step * (g % 2), m), "the update of bad raised TypeError: unsupported operand type(s) for %: 'Symbol' and 'int'; use + - * /, comparisons and"),
    (lambda W, g, m, *, step: (W + step * where(g, 1, 0), m), "needs a comparison, such as a < b, as its condition"),
    (lambda W, g, m, *, step: (W + step * undefined, m), "raised NameError: name 'undefined' is not defined"),  # type: ignore[name-defined]  # noqa: F821
    (lambda W, g, m, *, step: W + step * g, "must return a tuple of W and the slots m; got <add>"),
    (lambda W, g, m, *, step: (W + step * g,), "must return a tuple of W and the slots m; got a tuple of 1"),
    (lambda W, g, m, *, step: (W + step * g, m, step), "got a tuple of 3; if it computes scalar slots, name them in computed_scalars"),
    (lambda W, g, m, *, step: None, "got None; add a return"),
    (lambda W, g, m, *, step: (W + step * g, 0.0), "must return symbols, one for W and one for each slot; got 0.0"),
    (failing, "the update of bad raised ValueError: first line"),
    (lambda W, g, *, step: (W + step * g,), "is called with (W, g, m), and takes (W, g); add the missing parameters"),
    (lambda self, W, g, m, *, step: (W + step * g, m), "takes (self, W, g, m); add @staticmethod and remove self"),
    (lambda W, g, m, step: (W + step * g, m), "takes (W, g, m, step); put a * before the coefficients"),
    (lambda W, g, m, *, stop: (W + stop * g, m), "lack stop, which <lambda> takes and which is not a field; rename step"),
]  # fmt: skip

DEFINED: list[tuple[dict[str, Any], str]] = [
    ({"coefficients": ()}, "must be a dict of numbers by name, got a list"),
    ({"coefficients": "step"}, "must be a dict of numbers by name, got 'step'"),
    ({"coefficients": {"step": "-0.1"}}, "must be numbers, got step: '-0.1'"),
    ({"coefficients": {"step": None}}, "must be numbers, got step: None"),
    ({"coefficients": {"step": math.nan}}, "must be numbers, got step: nan"),
    ({"coefficients": {}}, "lack step, which update takes and which is not a field; return it"),
    ({"coefficients": {"step": -0.1, "decay": 0.5}}, "have decay, which update does not take; remove it"),
    ({"slots": ["m"]}, 'slots must be a tuple of names, as in slots = ("m",), got a list'),
    ({"slots": "m"}, "slots must be a tuple of names"),
    ({"slots": ("g",)}, "the slot g has the name of another slot, of a field, or of W or g; rename it"),
    ({"options": ("form",)}, "options names form, which is not a field"),
    ({"options": ("form",), "form_field": ["a"]}, "the field form is a list, which can change and has no hash; use a tuple"),
    ({"betas_field": {"a": 1}}, "the field betas is a mapping, which can change and has no hash"),
    ({"scalar_slots": ("d",)}, "scalar_slots must be a mapping"),
    ({"computed_scalars": ("d",)}, "computed_scalars of bad names d, which is not in scalar_slots"),
]  # fmt: skip


@pytest.mark.parametrize(("update", "message"), TRACED)
def test_a_mistake_in_update_is_one_line_with_its_place(update: Callable[..., Any], message: str) -> None:
    with pytest.raises(mxtrain.TraceError) as caught:
        mxtrain.build(rule(update))
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert "test_mistakes.py:" in text or "must return symbols" in text


@pytest.mark.parametrize(("attributes", "message"), DEFINED)
def test_a_mistake_in_the_definition_is_one_line(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(mxtrain.TraceError) as caught:
        mxtrain.build(rule(**attributes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_coefficients_without_return_or_with_an_exception() -> None:
    class Silent(Good):
        kind: Literal["silent"] = "silent"

        def coefficients(self, time: Any, scalars: Any) -> Any:
            {"step": -self.η}  # noqa: B018 - the mistake

    class Late(Good):
        kind: Literal["late"] = "late"

        def coefficients(self, time: Any, scalars: Any) -> Any:
            return {"step": -1 / (2 - time.update)}

    with pytest.raises(mxtrain.TraceError, match=r"test_mistakes.py:\d+: .*got None; add a return$"):
        mxtrain.build(Silent())
    optimizer = mxtrain.build(Late())
    params = {"W": np.ones(2)}
    optimizer.step(params, params | {"W": np.ones(2)})
    with pytest.raises(ZeroDivisionError):  # in a loop that calls `step`, an exception of a rule is not changed
        optimizer.step(params, {"W": np.ones(2)})
    assert params["W"].tolist() == [0.0, 0.0]


def test_a_rule_without_update() -> None:
    class Empty(Rule):
        kind: Literal["empty"] = "empty"
        η: Positive = 0.1
        λ: NonNegative = 0.0

        def coefficients(self, time: Any, scalars: Any) -> Any:
            return {}

    class EmptyMatrix(MatrixRule):
        kind: Literal["empty_matrix"] = "empty_matrix"
        η: Positive = 0.1
        λ: NonNegative = 0.0

        def coefficients(self, time: Any, scalars: Any) -> Any:
            return {}

    with pytest.raises(mxtrain.TraceError, match=r"^Empty defines no update; add a static method update\(W, g, "):
        mxtrain.build(Empty())
    with pytest.raises(mxtrain.TraceError, match="^EmptyMatrix defines no update_matrix"):
        mxtrain.build(EmptyMatrix())


def test_numpy_scalars_are_numbers() -> None:
    made = rule(lambda W, g, m, *, step: (W + np.float64(2) * (step * g) / np.float64(2), sqrt(m)))
    params = {"W": np.ones(2)}
    mxtrain.build(made).step(params, {"W": np.ones(2)})
    assert params["W"].tolist() == [0.9, 0.9]


def test_defaults_are_validated_like_values() -> None:
    class Integral(Good):
        kind: Literal["integral"] = "integral"
        power: Positive = 2

    class Wrong(Good):
        kind: Literal["wrong"] = "wrong"
        power: Positive = 0

    assert repr(Integral().power) == "2.0"
    with pytest.raises(mxtrain.ConfigError, match="^power: must be above 0, got 0$"):
        Wrong()
