"""The paths in targets.toml exist, so that moved modules and tests stay part of the mutation tests."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = tomllib.loads(Path(__file__).with_name("targets.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("target", TARGETS)
def test_modules_and_tests_exist(target: str) -> None:
    assert [pattern for pattern in TARGETS[target]["modules"] if not any(ROOT.glob(pattern))] == []
    assert [path for path in TARGETS[target]["tests"] if not (ROOT / path).exists()] == []
