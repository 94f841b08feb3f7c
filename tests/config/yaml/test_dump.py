"""Configs as YAML text, which reads back to the same config."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mxtrain.config import RunConfig, read_optimizer, read_run, run_from_dict, to_yaml
from mxtrain.optim.rules import RULES, SGD, Adam, Rule
from mxtrain.optim.schedules import learning_rate, momentum
from mxtrain.types import Config

_repeatable = settings(
    derandomize=True, deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False) | st.sampled_from([1e-8, 1e22, 5e-324, 1])
normal = positive.filter(lambda x: x >= 1.2e-38)
decay = st.floats(min_value=0, max_value=1, exclude_max=True)
open_unit = st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True)
whole = st.integers(min_value=1, max_value=2**31 - 1)
any_rate = {
    "η": st.none() | positive,
    "per": st.sampled_from(["epoch", "iteration"]),
    "warmup": st.just(0) | whole,
}
η_schedules = st.none() | st.one_of(
    st.builds(learning_rate.Fixed, **any_rate),
    st.builds(learning_rate.Exp, **any_rate, γ=open_unit),
    st.builds(learning_rate.Inv, **any_rate, γ=open_unit, p=positive),
    st.builds(learning_rate.Cosine, **any_rate, T=whole, α=decay),
    st.builds(learning_rate.Step, **any_rate, T=whole, γ=open_unit),
    st.builds(
        learning_rate.MultiStep, **any_rate, milestones=st.sets(whole, min_size=1, max_size=4).map(sorted), γ=open_unit
    ),
)
μ_schedules = st.none() | st.one_of(
    st.just(momentum.Null()),
    st.builds(momentum.Fixed, μ=st.none() | decay),
    st.builds(momentum.Nadam, μ=st.none() | decay, δ=positive, γ=decay, α=decay),
)
shared = {
    "η": positive,
    "λ": positive,
    "clip": normal,
    "scale": st.floats(allow_nan=False, allow_infinity=False),
    "groups": st.dictionaries(
        st.sampled_from(["b*", "W[12]", "*", "null", "1e-3", "a.b"]),
        st.dictionaries(st.sampled_from(["η", "λ"]), positive)
        | st.builds(lambda η: {"kind": "lion", "η": η}, positive),
        max_size=2,
    ),
}
rules = st.one_of(
    st.builds(SGD, **shared, μ=decay, η_sched=η_schedules, μ_sched=μ_schedules),
    st.builds(Adam, **shared, β1=decay, β2=decay, η_sched=η_schedules).flatmap(
        lambda rule: st.builds(lambda ϵ: rule.model_copy(update={"ε": ϵ}), normal)
    ),
)
special_texts = st.sampled_from(
    ["no", "1e-3", "null", "010", "~", "true", "", " a ", "a: b", "a #b", "- a", "[a]", "'", '"', "\\", "\n", "\t", "…"]
    + [
        "\x00",
        "\x1b[31m",
        "\x85",
        "\u2028",
        "\ufeff",
        "😀",
        "@",
        "%",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "?",
        ":",
        ",",
        "=",
        "<<",
    ]
)
texts = (special_texts | st.text(st.characters(exclude_categories=["Cs"]))).filter(bool)


def _written(config: Config) -> str:
    Path("written.yaml").write_text(to_yaml(config), encoding="utf-8", newline="")
    return "written.yaml"


@_repeatable
@given(rule=rules)
def test_every_optimizer_reads_back(rule: Rule, here: Path) -> None:
    assert read_optimizer(_written(rule)) == rule


@_repeatable
@given(
    target=texts, features=st.none() | st.lists(texts, min_size=1, max_size=3), hidden=st.lists(st.integers(1, 10**6))
)
def test_every_string_reads_back(
    target: str, features: list[str] | None, hidden: list[int], here: Path, yaml_loader: str
) -> None:
    Path("no # data: 'x'.csv").touch()
    data = {"source": "no # data: 'x'.csv", "target": target, "features": features}
    sections: dict[str, Any] = {"model": {"kind": "mlp", "hidden": hidden}, "optimizer": {"kind": "adam"}}
    run = run_from_dict({"data": data, "loss": "logistic", "seed": 2**64 - 1, "name": "010", **sections})
    assert read_run(_written(run)) == run


@pytest.mark.parametrize("rule", RULES)
def test_every_default_is_written_and_reads_back(rule: type[Rule], here: Path, yaml_loader: str) -> None:
    config: Rule = rule()  # type: ignore[call-arg]
    assert read_optimizer(_written(config)) == config
    lines = to_yaml(config).splitlines()
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == list(config.to_dict())


def test_the_layout_of_a_resolved_run(write: Callable[..., str], here: Path) -> None:
    run = read_run(
        write("model: {kind: mlp, hidden: [32, 16]}\noptimizer: {kind: sgd, wd: 1e-8, μ_sched: {kind: null}}")
    )
    text = """\
name: run
seed: 0
backend: auto
dtype: float32
threads: null
data:
  source: digits
  target: null
  features: null
  categorical: null
  columns: null
  missing: impute
  unseen: ignore
  max_categories: 50
  batch_size: 32
  validation: 0.2
  test: 0.0
  shuffle: true
  last_batch: keep
  standardize: whole
  standardize_target: false
  separator: null
  header: null
  quote: null
  decimal: null
  thousands: null
  comment: null
  encoding: null
  missing_values: null
model:
  kind: mlp
  hidden: [32, 16]
  activation: relu
loss: softmax_cross_entropy
optimizer:
  kind: sgd
  η: 0.01
  λ: 1e-08
  clip: 0.0
  scale: 0.03125
  η_sched: null
  groups: {}
  μ: 0.0
  μ_sched:
    kind: "null"
  nesterov: false
  form: mxnet
fit:
  epochs: 10
  metrics: []
  clip_norm: null
  diagnostics: true
  checkpoint:
    every: auto
    keep: 3
    best: null
  early_stopping: null
  on_nonfinite: raise
  nonfinite_limit: 10
  loggers: []
"""
    assert to_yaml(run.resolve()) == text
    assert read_run(_written(run.resolve())) == run.resolve()
    assert isinstance(run, RunConfig)
