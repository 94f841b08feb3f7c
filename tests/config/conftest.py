"""Fixtures of the config tests: a folder for run files, and both parsers of PyYAML."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mxtrain.config.yaml import parser
from mxtrain.errors import ConfigError

PARTS = {
    "data": "{source: digits}",
    "model": "{kind: linear}",
    "loss": "softmax_cross_entropy",
    "optimizer": "{kind: adam}",
}
"""The required sections of a run file."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=["libyaml", "pure Python"])
def yaml_loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of PyYAML's two parsers in turn."""
    if request.param == "pure Python":
        monkeypatch.setattr(parser, "LOADER", yaml.SafeLoader)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML was built without libyaml")
    return str(request.param)


@pytest.fixture
def write(here: Path) -> Callable[..., str]:
    """Return a function that writes a run file, adds the required sections that it lacks, and returns its path."""

    def make(text: str, path: str = "run.yaml", complete: bool = True) -> str:
        if text and not text.endswith("\n"):
            text += "\n"
        for part, value in PARTS.items() if complete else ():
            if not re.search(rf"^{part}:", text, re.MULTILINE):
                text += f"{part}: {value}\n"
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8", newline="")
        return path

    return make


@pytest.fixture
def error_lines() -> Callable[..., list[str]]:
    """Return a function that calls another one and returns the lines of its ConfigError, if it raises one."""

    def call(function: Callable[..., object], *arguments: object) -> list[str]:
        try:
            function(*arguments)
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        return []

    return call
