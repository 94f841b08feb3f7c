"""Schedules in files: overrides, `extends`, sweeps, the schema, and configs that are written and read back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mxtrain.config import read_run, read_sweep, run_from_dict
from mxtrain.config.schema import json_schema
from mxtrain.config.yaml.dump import to_yaml
from mxtrain.optim.schedules.learning_rate import RATE_SCHEDULES

OPTIMIZER = """\
optimizer:
  kind: adam
  ema: {}
  lr_sched: {kind: join, parts: [{kind: fixed}, {kind: linear, T: 3}], boundaries: [2]}
  schedules:
    beta2: {kind: linear, T: 5, end: 0.9}
    ema.decay: {kind: linear, T: 6, end: 0.9}
"""
OVERRIDES: list[tuple[str, dict[str, Any]]] = [
    ("optimizer.schedules.beta2.T=7", {"β2": 7, "ema.decay": 6, "join": 3}),
    ("optimizer.schedules.β2.T=7", {"β2": 7, "ema.decay": 6, "join": 3}),
    ("optimizer.schedules.ema.decay.T=8", {"β2": 5, "ema.decay": 8, "join": 3}),
    ("optimizer.η_sched.parts.1.T=9", {"β2": 5, "ema.decay": 6, "join": 9}),
    ("optimizer.schedules.wd={kind: step, T: 2}", {"β2": 5, "ema.decay": 6, "λ": 2, "join": 3}),
    ("optimizer.schedules.beta2=null", {"ema.decay": 6, "join": 3}),
    ("optimizer.schedules.ema.decay=null", {"β2": 5, "join": 3}),
    ("optimizer.lr_sched={kind: step, T: 4}", {"β2": 5, "ema.decay": 6}),
]


@pytest.mark.parametrize(("override", "lengths"), OVERRIDES)
def test_values_of_schedules_are_overridden(override: str, lengths: dict[str, Any], write: Callable[..., str]) -> None:
    rule = read_run(write(OPTIMIZER), [override]).optimizer
    found = {path: each.T for path, each in rule.schedules.items()}
    parts = getattr(rule.η_sched, "parts", ())
    assert found | ({"join": parts[1].T} if parts else {}) == lengths


def test_a_file_changes_a_schedule_of_the_file_that_it_extends(write: Callable[..., str]) -> None:
    write(OPTIMIZER, "base.yaml")
    text = "extends: base.yaml\noptimizer: {schedules: {beta2: {T: 9}, ema.decay: {kind: exp}}}\n"
    rule = read_run(write(text, complete=False)).optimizer
    assert (rule.schedules["β2"].T, rule.schedules["β2"].end) == (9, 0.9)
    assert rule.schedules["ema.decay"].kind == "exp"


SEARCHES: list[tuple[str, str | None]] = [
    ("optimizer.schedules.beta2.T: {choice: [3, 4]}", None),
    ("optimizer.schedules.β2.end: {uniform: [0.5, 0.9]}", None),
    ("optimizer.schedules.ema.decay.T: {int: [1, 5]}", None),
    ("optimizer.η_sched.parts.1.T: {int: [1, 5]}", None),
    ("optimizer.schedules.λ: {choice: [{kind: exp}, null]}", None),
    ("optimizer.η_sched: {choice: [{kind: exp}, {kind: one_cycle, T: run}]}", None),
    (
        "optimizer.schedules.β2.end: {uniform: [0.5, 1.9]}",
        "15:49: sweep.search.optimizer.schedules.β2.end.uniform.1: the value must be at least 0 and below 1, got 1.9",
    ),
    (
        "optimizer.η_sched.parts.1.T: {int: [0, 5]}",
        "15:41: sweep.search.optimizer.η_sched.parts.1.T.int.0: must be a whole number at least 1, run or run/N, got 0",
    ),
]


@pytest.mark.parametrize(("search", "message"), SEARCHES)
def test_values_of_schedules_are_searched(
    search: str, message: str | None, write: Callable[..., str], error_lines: Callable[..., list[str]]
) -> None:
    sweep = f"sweep:\n  trials: 3\n  objective: {{minimize: val_loss}}\n  search:\n    {search}\n"
    data = "data: {source: digits}\nmodel: {kind: linear}\nloss: softmax_cross_entropy\n"
    lines = error_lines(read_sweep, write(OPTIMIZER + data + sweep))
    assert [line.partition("run.yaml:")[2] for line in lines] == ([] if message is None else [message])


def test_a_config_with_schedules_is_written_and_read_back(write: Callable[..., str]) -> None:
    run = read_run(write(OPTIMIZER))
    Path("saved.yaml").write_text(to_yaml(run), encoding="utf-8")
    assert read_run("saved.yaml") == run == run_from_dict(run.to_dict())


def test_the_schema_has_every_kind_in_both_fields() -> None:
    schema = json_schema()
    kinds = {model.__name__ for model in RATE_SCHEDULES}
    properties = schema["$defs"]["Adam"]["properties"]
    assert _references(properties["η_sched"]) == _references(properties["schedules"]["additionalProperties"]) == kinds
    parts = schema["$defs"]["Join"]["properties"]["parts"]["items"]
    assert _references(parts) == kinds - {"OneCycle", "Join", "Plateau"}
    assert "description" in properties["schedules"]


def _references(schema: dict[str, Any]) -> set[str]:
    """Return the names of the models that a schema allows."""
    options = [option for each in schema.get("anyOf", [schema]) for option in each.get("anyOf", [each])]
    return {option["$ref"].replace("__", "/").rpartition("/")[2] for option in options if "$ref" in option}
