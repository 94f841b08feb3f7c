"""Display of a problem: one line, the source text, and a caret under the value."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from mxtrain.config import read_run
from mxtrain.errors import ConfigError, MxtrainError

Write = Callable[..., str]


def _shown(path: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_run(path, overrides)
    assert isinstance(caught.value, ValueError | MxtrainError)
    return str(caught.value)


def test_the_caret_is_under_the_value(yaml_loader: str, write: Write) -> None:
    text = "optimizer:\n  kind: adam\n  β2: 1.25  # too large\n  η_sched: {kind: exp, γ: [1, 2]}\n  foo: 1\nfit:"
    assert _shown(write(text)) == (
        "run.yaml:3:7: optimizer.β2: must be at least 0 and below 1, got 1.25\n"
        "      β2: 1.25  # too large\n"
        "          ^^^^\n"
        "run.yaml:4:27: optimizer.η_sched.γ: must be a number, got a list\n"
        "      η_sched: {kind: exp, γ: [1, 2]}\n"
        "                              ^^^^^^\n"
        "run.yaml:5:3: optimizer.foo: unknown field; "
        "the fields here are kind, η, λ, clip, scale, η_sched, groups, β1, β2, ϵ, amsgrad, and wrappers such as bounds; see mxtrain list adam\n"
        "      foo: 1\n"
        "      ^^^\n"
        "run.yaml:6:1: fit: must be a mapping, got null\n"
        "    fit:\n"
        "    ^^^"
    )


def test_a_value_of_several_lines_is_marked_on_its_first(yaml_loader: str, write: Write) -> None:
    assert _shown(write("seed: [1,\n  2]\nname: 'a\n  b'")).splitlines()[1:3] == ["    seed: [1,", "          ^^^"]
    assert _shown(write("seed: [1,\n  2]\nname: 'a\n  b'")).splitlines()[4:] == ["    name: 'a", "          ^^"]


def test_a_long_line_is_cut_around_the_value(yaml_loader: str, write: Write) -> None:
    metrics = ", ".join(["accuracy"] * 500)
    _, line, caret = _shown(write(f"fit: {{metrics: [{metrics}, wrong, {metrics}]}}")).splitlines()
    assert len(line) < 120
    assert line[caret.index("^") : caret.rindex("^") + 1] == "wrong"


def test_control_characters_are_escaped(yaml_loader: str, write: Write) -> None:
    key = '"\\e[31mred\\n"'
    text = _shown(write(f'{key}: 1\nname: "\\e]0;title\\a"\nloss: \u202elogistic\nbackend: a\u00a0b'), "seed=\x9b31m")
    assert all(line.isprintable() for line in text.splitlines())
    assert "run.yaml:1:1: \\x1b[31mred\\n: unknown field" in text
    assert "got '\\x1b]0;title\\x07'" in text
    assert "    loss: \\u202elogistic\n          ^^^^^^^^^^^^^^" in text
    assert "overrides: seed=\\x9b31m: " in text


def test_a_tab_is_shown_as_an_escape(yaml_loader: str, write: Write) -> None:
    assert _shown(write("data:\n\tsource: digits")) == (
        "run.yaml:2:1: a tab is not allowed here; use spaces\n    \\tsource: digits\n    ^^"
    )


def test_an_override_is_shown_on_one_line(write: Write) -> None:
    assert _shown(write("seed: 1"), "fit.epochs=0").splitlines() == [
        "overrides: fit.epochs=0: fit.epochs: must be a whole number at least 1, got 0"
    ]


def test_the_problems_can_be_handled_one_by_one(write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        read_run(write("seed: -1\nfit: {epochs: 0}"))
    assert [problem.path for problem in caught.value.problems] == ["seed", "fit.epochs"]
    places = [problem.location for problem in caught.value.problems]
    assert [(place.source, place.line, place.column, place.width) for place in places if place] == [
        ("run.yaml", 1, 7, 2),
        ("run.yaml", 2, 15, 1),
    ]


def test_reading_configs_loads_no_compiler() -> None:
    code = "import mxtrain.config, sys; sys.exit(bool({'numba', 'cupy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
