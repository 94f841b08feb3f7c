"""Every rule gives the float64 trajectories of its reference implementation."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden/modern.json").read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = GOLDEN["cases"]
LOOSE = {"adafactor": 1e-9, "muon": 1e-9, "soap": 1e-9}
"""Tolerances of rules with matrix products, relative to the largest weight; the others have 1e-12."""
UPDATES = len(GOLDEN["inputs"]["vector"]["gradients"])

Arrays = dict[str, np.ndarray]


def parameters(case: dict[str, Any]) -> tuple[Arrays, list[Arrays]]:
    """Return the weights of a case by name, and its gradients."""
    inputs = {"W": "matrix", "b": "vector"} if case["input"] == "both" else {"W": case["input"]}
    entries = {name: GOLDEN["inputs"][each] for name, each in inputs.items()}
    params = {name: np.array(entry["weight"]).reshape(entry["shape"]) for name, entry in entries.items()}
    gradients = [
        {name: np.array(entry["gradients"][t]).reshape(entry["shape"]) for name, entry in entries.items()}
        for t in range(UPDATES)
    ]
    return params, gradients


def expected(case: dict[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
    """Return the expected weights by update and name."""
    found = case.get(key, {}).get("float64", {})
    return {t: values if isinstance(values, dict) else {"W": values} for t, values in found.items()}


def assert_close(actual: Mapping[Any, Any], wanted: Mapping[str, Any], kind: str, message: str) -> None:
    """Compare weights to the tolerance of a rule, relative to the largest weight of each array."""
    assert actual.keys() == wanted.keys()
    for name, values in wanted.items():
        largest = np.abs(values).max()
        error = np.abs(actual[name].ravel() - np.array(values).ravel()).max()
        assert error <= LOOSE.get(kind, 1e-12) * largest, f"{message}, {name}: {error / largest:.1e}"


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("make", [dict, mxtrain.FlatParameters], ids=["loose", "flat"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['optimizer']}, {case['what']}")
def test_float64_matches_the_reference(case: dict[str, Any], make: Any, backend: str) -> None:
    weights, evaluated = expected(case, "weights_after"), expected(case, "evaluation_after")
    arrays, gradients = parameters(case)
    params = make(arrays)
    optimizer = mxtrain.build(case["config"], backend=backend)
    for t, gradient in enumerate(gradients, start=1):
        optimizer.step(params, make(gradient))
        for wanted, actual in ((weights, lambda: params), (evaluated, lambda: optimizer.evaluation_params(params))):
            if str(t) in wanted:
                assert_close(actual(), wanted[str(t)], case["config"]["kind"], f"update {t}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['optimizer']}, {case['what']}")
def test_a_config_has_every_number(case: dict[str, Any]) -> None:
    """The configs of the golden file list every field of the rule, so that their defaults can be compared."""
    rule = mxtrain.build(case["config"]).rule.to_dict()
    others = {"clip", "scale", "η_sched", "groups", "λ", "otherwise", "μ_sched"}
    assert rule.keys() - others <= case["config"].keys()
    if case["what"] == "defaults":
        given = {name: value for name, value in case["config"].items() if name != "kind"}
        default = mxtrain.build({"kind": case["config"]["kind"]}).rule.to_dict()
        assert {name: default[name] for name in given} == given


def test_all_rules_have_golden_trajectories() -> None:
    assert len(CASES) == 82
    assert {case["config"]["kind"] for case in CASES} == {
        "sgd", "signum", "lion", "rprop", "ftrl", "rmsprop", "adam", "adamw", "nadamw", "radam", "adabelief", "yogi",
        "ademamix", "adopt", "laprop", "adan", "mars", "stable_adamw", "lamb", "lars", "adafactor", "prodigy", "dog",
        "schedule_free_sgd", "schedule_free_adamw", "muon", "soap",
    }  # fmt: skip
