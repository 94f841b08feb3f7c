"""Errors in the optimizer section: exact lines, all at once, without addresses and without errors that follow from them."""

from typing import Any

import pytest

import mxtrain
from mxtrain.config import sweep_from_dict

EXP = {"kind": "exp", "γ": 0.5}
NUMBERS = "λ, clip, agc.clipping, agc.ϵ, lookahead.slow_step, ema.decay, clip_norm"
ADAM = f"its numbers are {NUMBERS}, β1, β2, ϵ"
TWO = "must be two numbers, [low, high], either of which may be null, got"
FORMULA = {"kind": "formula", "let": {"β": 0.9}, "slots": ["m"], "update": "m = β*m + g; W = W - η*m"}
UNKNOWN_STEP = "m = β*m + {step}; W = W - η*m"

WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "an unknown number beside other problems": (
        {"kind": "adam", "η": -1, "schedules": {"β9": EXP, "β2": {"kind": "exp", "γ": 5}}},
        [
            f"optimizer.schedules.β9: adam has no such number; {ADAM}",
            "optimizer.η: must be above 0, got -1",
            "optimizer.schedules.β2.γ: must be above 0 and below 1, got 5",
        ],
    ),
    "an unknown number alone is reported once": (
        {"kind": "adam", "schedules": {"β9": EXP}},
        [f"optimizer.schedules.β9: adam has no such number; {ADAM}"],
    ),
    "an unknown number of a group": (
        {"kind": "adam", "groups": {"b": {"kind": "sgd", "λ": -1, "schedules": {"β9": EXP}}}},
        [
            f"optimizer.groups.b.schedules.β9: sgd has no such number; its numbers are {NUMBERS}, μ",
            "optimizer.groups.b.λ: must be at least 0, got -1",
        ],
    ),
    "an unknown number that a formula has in let": (
        FORMULA | {"η": -1, "schedules": {"beta": EXP}},
        [
            "optimizer.schedules.beta: formula has no such number; did you mean let.β?",
            "optimizer.η: must be above 0, got -1",
        ],
    ),
    "an empty name": ({"kind": "adam", "schedules": {"": EXP}}, [f"optimizer.schedules: the key '' names no number; {ADAM}"]),
    "an empty part of a name": (
        {"kind": "adam", "schedules": {"ema.": EXP, ".β1": EXP}},
        [
            "optimizer.schedules: the key 'ema.' names no number; did you mean ema.decay?",
            "optimizer.schedules: the key '.β1' names no number; did you mean β1?",
        ],
    ),
    "let of a group": (FORMULA | {"groups": {"b": {"let": None}}}, ["optimizer.groups.b.let: must be a mapping, got null"]),
    "slots that are none": (
        FORMULA | {"slots": 3},
        ["optimizer.slots: must be a list of names, as in [m, v], or a mapping such as {m: 0}, got 3"],
    ),
    "a term that is no text": (
        FORMULA | {"update": UNKNOWN_STEP, "terms": {"step": 3}},
        ["optimizer.terms.step: must be a string, got 3; put it in quotes"],
    ),
    "one bound": ({"kind": "adam", "bounds": [0]}, [f"optimizer.bounds: {TWO} 1"]),
    "three bounds": ({"kind": "adam", "bounds": [0, 1, 2]}, [f"optimizer.bounds: {TWO} 3"]),
    "no bounds": ({"kind": "adam", "groups": {"b": {"bounds": []}}}, [f"optimizer.groups.b.bounds: {TWO} 0"]),
    "a bound that is none": ({"kind": "adam", "bounds": [0, "x"]}, ["optimizer.bounds.1: must be a number, got 'x'"]),
    "a function as number": ({"kind": "adam", "η": len}, ["optimizer.η: must be a number, got the function len"]),
    "a function as mapping": (
        {"kind": "adam", "agc": lambda t: t},
        ["optimizer.agc: must be a mapping, got the function <lambda>"],
    ),
    "a function as group": (
        {"kind": "adam", "groups": {"b": lambda t: t}},
        ["optimizer.groups.b: must be a mapping, got the function <lambda>"],
    ),
    "an object": (
        {"kind": "adam", "η": object()},
        ["optimizer.η: must be a number, got an object of type object"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("config", "lines"), WRONG.values(), ids=WRONG)
def test_each_problem_is_reported_once_and_all_at_once(config: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build(config)
    assert str(caught.value).splitlines() == lines


def test_a_searched_term_that_is_no_text_is_one_problem() -> None:
    sweep = {
        "data": {"source": "digits"},
        "model": {"kind": "linear"},
        "loss": "softmax_cross_entropy",
        "optimizer": FORMULA | {"update": UNKNOWN_STEP, "terms": {"step": "g"}},
        "sweep": {
            "objective": {"minimize": "val_loss"},
            "trials": 2,
            "search": {"optimizer.terms.step": {"choice": ["sign(g)", 3]}},
        },
    }
    with pytest.raises(mxtrain.ConfigError) as caught:
        sweep_from_dict(sweep)
    path = "sweep.search.optimizer.terms.step.choice.1"
    assert str(caught.value) == f"{path}: must be a string, got 3; put it in quotes"
