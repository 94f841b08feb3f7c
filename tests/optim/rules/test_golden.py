"""The seven rules of MXNet 1.9.1 give its float32 results bit for bit; AdamW has no counterpart there."""

from typing import Any

import numpy as np
import pytest

import mxtrain
from tests.tables import GOLDEN

CASES = [pytest.param(case, id=f"{case['optimizer']}, {case['what']}") for case in GOLDEN["cases"]]
METHODS = ["step", "update", "updater"]


def weights_after(case: dict[str, Any], dtype: str, method: str) -> dict[str, np.ndarray]:
    """Return the weights after the updates in the golden file, computed in one way."""
    optimizer = mxtrain.build(case["config"])
    updater = mxtrain.get_updater(optimizer)
    weight = np.array(GOLDEN["weight"], dtype=dtype).reshape(GOLDEN["shape"])
    seen = {}
    for t, values in enumerate(GOLDEN["gradients"], start=1):
        gradient = np.array(values, dtype=dtype).reshape(GOLDEN["shape"])
        match method:
            case "step":
                optimizer.step({"W": weight}, {"W": gradient})
            case "update":
                optimizer.update(0, gradient, weight)
            case "updater":
                updater(0, gradient, weight)
        seen[str(t)] = weight.copy()
    return seen


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_float32_matches_bit_for_bit(case: dict[str, Any], method: str) -> None:
    seen = weights_after(case, "float32", method)
    for t, expected in case["weights_after"]["float32"].items():
        assert seen[t].tobytes() == np.array(expected, dtype="float32").tobytes(), f"update {t}"


@pytest.mark.parametrize("case", CASES)
def test_float64_matches_to_twelve_digits(case: dict[str, Any]) -> None:
    seen = weights_after(case, "float64", "step")
    for t, expected in case["weights_after"]["float64"].items():
        np.testing.assert_allclose(seen[t].ravel(), expected, rtol=1e-12, atol=0, err_msg=f"update {t}")


def test_all_seven_rules_have_golden_numbers() -> None:
    assert {case["config"]["kind"] for case in GOLDEN["cases"]} == {
        "sgd", "adam", "adagrad", "adadelta", "adamax", "rmsprop", "nadam",
    }  # fmt: skip
    assert len(GOLDEN["cases"]) == 38


def test_plain_sgd_by_hand() -> None:
    weight = np.array([1, 2, 3, 4], dtype="float32")
    gradient = np.array([0.1, 0.2, 0.3, 0.4], dtype="float32")
    mxtrain.build(mxtrain.SGD(η=10)).update(0, gradient, weight)
    expected = np.array([-0.0010000467, -0.0020000935, -0.003000021, -0.004000187], dtype="float32")
    assert weight.tobytes() == expected.tobytes()
