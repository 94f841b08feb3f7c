"""`model.settings`: plain values under names that the user chooses, which are never normalized."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mxtrain.config import CustomConfig, read_run, run_from_dict, to_yaml
from mxtrain.config.model_section import MAX_CHARACTERS, MAX_NAME
from mxtrain.config.yaml.nodes import canonical_name
from mxtrain.errors import ConfigError

RUN: dict[str, Any] = {"data": {"source": "digits"}, "loss": "softmax_cross_entropy", "optimizer": {"kind": "adam"}}


def run_with(given: Any) -> Any:
    return run_from_dict({**RUN, "model": {"kind": "custom", "settings": given}})


def custom(read: Any) -> dict[str, Any]:
    assert isinstance(read.model, CustomConfig)
    return read.model.settings


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["no", "1e-3", "null", "", "a: b", "<<", "{", "*a", "&a", "lr", "ϵ", "ε", "β₁", "µ", "extends", "kind", "\n", "0"]
)
numbers = st.integers(-(2**64) + 1, 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts


def mappings(values: Any) -> Any:
    return st.lists(st.tuples(texts, values), max_size=4, unique_by=lambda pair: canonical_name(pair[0])).map(dict)


plain = st.recursive(scalars, lambda below: st.lists(below, max_size=3) | mappings(below), max_leaves=8)


@settings(
    derandomize=True, deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(given=mappings(plain))
def test_all_settings_read_back_as_they_were_written(given: dict[str, Any], here: Path, yaml_loader: str) -> None:
    run = run_with(given)
    assert custom(run) == given
    Path("written.yaml").write_text(to_yaml(run), encoding="utf-8", newline="")
    again = read_run("written.yaml")
    assert again == run
    assert repr(custom(again)) == repr(given), "names, their order, and 1, 1.0 and true are kept apart"


@pytest.mark.parametrize("name", ["lr", "learning_rate", "momentum", "eps", "ϵ", "ε", "β1", "µ"])
def test_names_in_settings_are_not_normalized(name: str, write: Callable[..., str]) -> None:
    file = write(f"model: {{kind: custom, settings: {{{name}: 3}}}}\noptimizer: {{kind: adam, lr: 0.5}}")
    assert custom(read_run(file)) == {name: 3}
    assert custom(read_run(file, [f"model.settings.{name}=5"])) == {name: 5}
    assert read_run(file).optimizer.η == 0.5


def test_settings_are_overridden_and_extended_like_other_values(write: Callable[..., str]) -> None:
    write("model: {kind: custom, settings: {width: 3, inner: {a: 1, b: [1, 2]}}}", "base.yaml")
    file = write("extends: base.yaml\nmodel: {settings: {inner: {a: 2}}}")
    assert custom(read_run(file)) == {"width": 3, "inner": {"a": 2, "b": [1, 2]}}
    assert custom(read_run(file, ["model.settings.width=5", "model.settings.inner.b.0=7"])) == {
        "width": 5,
        "inner": {"a": 2, "b": [7, 2]},
    }


INVALID = {
    "3": "model.settings: must be a mapping, got 3",
    "[a]": "model.settings: must be a mapping, got a list",
    "null": "model.settings: must be a mapping, got null",
    "{a: {b: [1, 18446744073709551616]}}": "model.settings.a.b.1: must be a finite number, a string, true, false, null, "
    "a list or a mapping, got 18446744073709551616",
    "{lr: 1, eta: 2}": "model.settings.eta: eta and lr are two names of one value; keep one",
    f"{{{'x' * (MAX_NAME + 1)}: 1}}": f"model.settings: a name must have at most {MAX_NAME} characters, got {'x' * 57}...",
    f"{{x: {'x' * MAX_CHARACTERS}}}": "model.settings: must have at most 10,000 characters, got 10,009",
}


@pytest.mark.parametrize(("text", "message"), INVALID.items(), ids=range(len(INVALID)))
def test_problems_are_reported_with_their_location(text: str, message: str, write: Callable[..., str]) -> None:
    file = write(f"model:\n  kind: custom\n  settings: {text}")
    with pytest.raises(ConfigError) as caught:
        read_run(file)
    (problem,) = caught.value.problems
    assert f"{problem.path}: {problem.message}" == message
    assert problem.location
    assert problem.location.text.startswith("  settings: ")


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, 1j, b"x", float("nan"), {"a": {1, 2}}, "\ud800", {"n": 10**5000}, [range(3)]]
)
def test_unsupported_objects_are_rejected(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"model\.settings"):
        run_with({"x": value})
    with pytest.raises(ValueError, match="x"):
        CustomConfig(settings={"x": value})


def test_only_custom_models_have_settings(write: Callable[..., str]) -> None:
    with pytest.raises(ConfigError, match="model.settings: unknown field; mlp has none; custom has it"):
        read_run(write("model: {kind: mlp, settings: {a: 1}}"))


def test_settings_are_copied() -> None:
    user_settings = {"a": [1]}
    run = run_with(user_settings)
    user_settings["a"].append(2)
    assert custom(run) == {"a": [1]}
