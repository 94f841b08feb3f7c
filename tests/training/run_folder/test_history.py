"""The best epoch is chosen by the monitored metric of the run in every place where it is reported."""

from typing import Any

import pytest

from mxtrain.config import RunConfig, run_from_dict
from mxtrain.training.run_folder.history import best_epoch, final_epoch, monitored_metric

ROWS: list[dict[str, Any]] = [
    {"epoch": 1, "loss": 0.9, "val_loss": 0.8, "accuracy": 0.5, "val_accuracy": 0.50},
    {"epoch": 2, "loss": 0.7, "val_loss": 0.3, "accuracy": 0.6, "val_accuracy": 0.80},
    {"epoch": 3, "loss": 0.5, "val_loss": 0.5, "accuracy": 0.9, "val_accuracy": 0.95},
    {"epoch": 4, "loss": 0.4, "val_loss": 0.6, "accuracy": 0.7, "val_accuracy": 0.95},
]


def config(**fit: Any) -> RunConfig:
    return run_from_dict(
        {
            "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
            "optimizer": {"kind": "adam"}, "fit": {"epochs": 4, "metrics": ["accuracy"], **fit},
        }
    )  # fmt: skip


STOP = {"monitor": "val_accuracy", "patience": 4}
CHOSEN: dict[str, tuple[dict[str, Any], str, int]] = {
    "nothing": ({}, "val_loss", 2),
    "checkpoint": ({"checkpoint": {"best": "val_accuracy"}}, "val_accuracy", 3),
    "a metric of the training part": ({"checkpoint": {"best": "loss"}}, "loss", 4),
    "early stopping": ({"early_stopping": STOP}, "val_accuracy", 3),
    "both, and the model is that of early stopping": (
        {"early_stopping": STOP, "checkpoint": {"best": "loss"}}, "val_accuracy", 3
    ),
    "both, and the best checkpoint is the only one kept": (
        {"early_stopping": STOP | {"restore_best": False}, "checkpoint": {"best": "loss"}}, "loss", 4
    ),
    "an improvement below min_delta is none": (
        {"early_stopping": {"monitor": "val_accuracy", "min_delta": 0.2}}, "val_accuracy", 2
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fit", "metric", "epoch"), CHOSEN.values(), ids=CHOSEN.keys())
def test_the_best_epoch_is_that_of_the_monitored_metric(fit: dict[str, Any], metric: str, epoch: int) -> None:
    run = config(**fit)
    best = best_epoch(run, ROWS)
    assert monitored_metric(run, ROWS) == metric
    assert best is not None
    assert best["epoch"] == epoch
    stopping = run.fit.early_stopping
    assert stopping is None or not stopping.restore_best or final_epoch(run, ROWS) == epoch


@pytest.mark.parametrize("fit", [{"early_stopping": STOP}, {"checkpoint": {"best": "val_accuracy"}}])
def test_an_epoch_without_a_value_of_the_metric_is_never_the_best(fit: dict[str, Any]) -> None:
    rows = [row | {"val_accuracy": None} if row["epoch"] in (1, 3) else row for row in ROWS]
    best = best_epoch(config(**fit), rows)
    assert best is not None
    assert best["epoch"] == 4
    assert best_epoch(config(**fit), [row | {"val_accuracy": None} for row in ROWS]) is None


def test_without_validation_and_monitor_there_is_no_best_epoch() -> None:
    assert best_epoch(config(), [{"epoch": 1, "loss": 0.5, "accuracy": 0.9}]) is None
