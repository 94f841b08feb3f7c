"""Limits: configs that are too large, too deep or cyclic are rejected at once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mxtrain.config import read_run, run_from_dict
from mxtrain.config.yaml.nodes import MAX_DEPTH, MAX_NODES
from mxtrain.config.yaml.source_text import MAX_BYTES, MAX_PROBLEMS

ErrorLines = Callable[..., list[str]]
Write = Callable[..., str]

_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(30)
)
_CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(40))

TOO_MUCH = [
    ("alias bomb", _BOMB, "run.yaml:5:10: more than 10,000 values"),
    ("aliases inside each other", _CHAIN, "run.yaml:32:12: nested deeper than 32 levels"),
    ("many aliases", f"a: &a x\nb: [{'*a, ' * 20_000}]", "run.yaml:2:39993: more than 10,000 values"),
    ("nested lists", "[" * 10_000, "run.yaml:1:33: nested deeper than 32 levels"),
    ("nested mappings", "{a: " * 10_000, "run.yaml:1:129: nested deeper than 32 levels"),
    ("nested dashes", "- " * 10_000, "run.yaml:1:65: nested deeper than 32 levels"),
    ("many keys", "".join(f"k{i}: 1\n" for i in range(20_000)), "run.yaml:10000:8: more than 10,000 values"),
    ("many items", "".join("- 1\n" for i in range(20_000)), "run.yaml:10000:3: more than 10,000 values"),
    ("commas", "a: [" + "," * 200_000, "run.yaml:1:5: a value is missing before ,"),
    ("open quotes", 'a: "' + "x" * 200_000, "run.yaml:1:4: these quotes are never closed"),
    ("many documents", "a: 1\n---\n" * 20_000, "run.yaml:2:1: a second document begins here; a file holds one"),
    ("a large file", "#" * (MAX_BYTES + 1), "run.yaml: is larger than 256 KiB"),
]


@pytest.mark.parametrize(("text", "message"), [case[1:] for case in TOO_MUCH], ids=[case[0] for case in TOO_MUCH])
def test_exceeded_limits_are_reported(
    text: str, message: str, yaml_loader: str, write: Write, error_lines: ErrorLines
) -> None:
    assert error_lines(read_run, write(text, complete=False)) == [message]


def test_values_at_the_limits_are_accepted(write: Write, error_lines: ErrorLines) -> None:
    deep = "[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2)
    assert error_lines(read_run, write(f"fit: {{epochs: {deep}}}")) == [
        "run.yaml:1:15: fit.epochs: must be a whole number, got a list"
    ]
    hidden = ", ".join(["1"] * (MAX_NODES - 20))
    assert error_lines(read_run, write(f"model: {{kind: mlp, hidden: [{hidden}]}}")) == []
    comment = "#" + "x" * (MAX_BYTES - 200) + "\n"
    assert error_lines(read_run, write(comment + "seed: 1")) == []


def test_a_huge_file_is_rejected_without_reading_it(here: Path, error_lines: ErrorLines) -> None:
    with Path("run.yaml").open("wb") as file:
        file.truncate(100 * 2**20)
    assert error_lines(read_run, "run.yaml") == ["run.yaml: is larger than 256 KiB"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_rejected_without_waiting_for_a_writer(here: Path, error_lines: ErrorLines) -> None:
    os.mkfifo("run.yaml")
    assert error_lines(read_run, "run.yaml") == ["run.yaml: is not a regular file"]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs device files")
def test_a_device_is_rejected(error_lines: ErrorLines) -> None:
    assert error_lines(read_run, "/dev/zero") == ["/dev/zero: is not a regular file"]


def test_only_the_first_hundred_problems_are_reported(write: Write, error_lines: ErrorLines) -> None:
    lines = error_lines(read_run, write("".join(f"k{i}: 1\n" for i in range(4000))))
    assert len(lines) == MAX_PROBLEMS + 1
    assert lines[0].startswith("run.yaml:1:1: k0: unknown field")
    assert lines[-1] == "and 3900 more problems"

    lines = error_lines(read_run, write("seed: 1\n" * 4000))
    assert len(lines) == MAX_PROBLEMS + 1
    assert lines[-1] == "and 3899 more problems"


def test_dicts_have_the_same_limits(error_lines: ErrorLines) -> None:
    circle: dict[str, object] = {}
    circle["fit"] = circle
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    bomb: list[object] = ["x"]
    for _ in range(30):
        bomb = [bomb, bomb]
    assert error_lines(run_from_dict, circle) == ["nested deeper than 32 levels, or inside itself"]
    assert error_lines(run_from_dict, {"fit": deep}) == ["nested deeper than 32 levels, or inside itself"]
    assert error_lines(run_from_dict, {"fit": ["x"] * 20_000}) == ["more than 10,000 values"]
    assert error_lines(run_from_dict, {"fit": bomb}) == ["more than 10,000 values"]
