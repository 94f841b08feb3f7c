"""Fuzzing: arbitrary values and files give a config or a ConfigError, never another exception or message."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mxtrain.config import MODELS, DataConfig, FitConfig, RunConfig, read_run, run_from_dict
from mxtrain.config.introspection import allowed_models
from mxtrain.errors import ConfigError
from mxtrain.names import display_name
from mxtrain.optim.rules import RULES
from mxtrain.optim.schedules import LearningRateSchedule, momentum
from mxtrain.types import Config

FOREIGN = (
    "Input",
    "Extra",
    "Value error",
    "Field required",
    "valid dictionary",
    "not valid here",
    "pydantic",
    "[type=",
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 2**64, 10**50, 0.0, 1.5, -0.5, 1e300, float("inf"), float("nan")),
    *("", "x", "null", "1", "adam", "\x1b[31m", "\ud800", "x" * 1000, b"x", object(), 1j, {1}, range(3)),
    *([], [1], ["x"], [[]], [None], (), {}, {"kind": "adam"}, {"kind": None}, {"a": 1}, {1: 2}),
)


def _config(**changes: Any) -> dict[str, Any]:
    least = {
        "data": {"source": "digits"},
        "model": {"kind": "mlp"},
        "loss": "softmax_cross_entropy",
        "optimizer": {"kind": "sgd"},
    }
    return least | changes


def _places() -> Iterator[tuple[type[Config], dict[str, Any]]]:
    """Return each model, with a run in which `None` marks the mapping of the model's fields."""
    yield RunConfig, {}
    yield DataConfig, _config(data=None)
    yield FitConfig, _config(fit=None)
    for model in MODELS:
        yield model, _config(model=None)
    for rule in RULES:
        yield rule, _config(optimizer=None)
    for schedule in allowed_models(LearningRateSchedule):
        yield schedule, _config(optimizer={"kind": "adam", "η_sched": None})
    for schedule in (momentum.Null, momentum.Fixed, momentum.Nadam):
        yield schedule, _config(optimizer={"kind": "sgd", "μ_sched": None})


def _filled(run: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the run with a mapping of fields instead of `None`."""
    if not run:
        return _config(**fields)
    filled = {}
    for key, value in run.items():
        if value is None:
            value = fields
        elif isinstance(value, dict):
            value = _filled(value, fields)
        filled[key] = value
    return filled


PLACES = [
    pytest.param(model, field, run, id=f"{model.__module__.rpartition('.')[2]}.{model.__name__}.{field}")
    for model, run in _places()
    for field in model.model_fields
]


def _assert_in_our_words(error: ConfigError) -> None:
    lines = [str(problem) for problem in error.problems]
    assert lines
    assert all(line.isprintable() for line in [*lines, *str(error).splitlines()])
    assert not any(words in line for words in FOREIGN for line in lines)


@pytest.mark.parametrize(("model", "field", "run"), PLACES)
def test_arbitrary_values_in_any_field(model: type[Config], field: str, run: dict[str, Any]) -> None:
    least = {name: model.model_fields[name].default for name in ("kind",) if name in model.model_fields}
    if model is DataConfig:
        least = {"source": "digits"}
    refused = 0
    for value in ODD:
        try:
            config = run_from_dict(_filled(run, least | {display_name(field): value}))
        except ConfigError as error:
            _assert_in_our_words(error)
            refused += 1
        else:
            assert run_from_dict(config.to_dict()) == config
    assert refused > len(ODD) / 2


_VALID = """\
seed: 7  # of everything
data: {source: digits, batch_size: 16}
model: {kind: mlp, hidden: [32, 16]}
loss: softmax_cross_entropy
optimizer: &optimizer
  kind: sgd
  lr: 1e-2
  μ_sched: {kind: "null"}
fit:
  epochs: 3
  metrics:
    - accuracy
"""
_pieces = st.sampled_from(
    [":", ": ", "-", "- ", "\n", "\n  ", "  ", "\t", "#", "'", '"', "[", "]", "{", "}", ",", "&a ", "*a", "*optimizer"]
    + [
        "!",
        "!!int ",
        "|",
        ">",
        "%",
        "@",
        "`",
        "?",
        "? ",
        "<<: ",
        "---\n",
        "...\n",
        "~",
        "null",
        "1e-3",
        ".inf",
        "\\",
        "\r",
    ]
    + [
        "\0",
        "\x1b",
        "\u2028",
        "\ufeff",
        "😀",
        "η",
        "µ",
        "kind: adam\n",
        "extends: run.yaml\n",
        "lr: 3\n",
        "-1",
        "x" * 200,
    ]
)
_edits = st.lists(
    st.tuples(st.integers(0, len(_VALID)), st.integers(0, 9), _pieces | st.text(max_size=3)), min_size=1, max_size=4
)


@settings(
    derandomize=True,
    deadline=None,
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(edits=_edits)
def test_arbitrary_edits_of_a_file(edits: list[tuple[int, int, str]], here: Path, yaml_loader: str) -> None:
    text = _VALID
    for place, cut, piece in edits:
        text = text[:place] + piece + text[place + cut :]
    Path("run.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))

    try:
        config = read_run("run.yaml")
    except ConfigError as error:
        _assert_in_our_words(error)
    else:
        assert run_from_dict(config.to_dict()) == config
