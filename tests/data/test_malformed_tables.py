"""Malformed tables and settings with their exact messages, which `mxtrain validate` prints as well."""

import json
from ast import literal_eval
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mxtrain.cli.app import run
from mxtrain.config import run_from_dict
from mxtrain.data import prepare
from mxtrain.errors import MxtrainError

_FOLDER = Path(__file__).with_name("malformed")


@dataclass(frozen=True)
class Case:
    """A file of `malformed/`: its name, its bytes, fields of `data` and the loss, and the lines of the message.

    A line that ends in `...` is compared up to there: the rest is the text of another library.
    """

    name: str
    content: bytes
    fields: dict[str, Any]
    lines: list[str]
    place: str


def _cases() -> Iterator[Case]:
    for path in sorted(_FOLDER.glob("*.cases")):
        for block in path.read_text(encoding="utf-8").split("\n\n")[1:]:
            head, content, *lines = block.strip().split("\n")
            name, _, fields = head.partition(" ")
            message = [line.removeprefix("> ") for line in lines]
            case = Case(name, literal_eval(content), yaml.safe_load(fields) or {}, message, f"{path.stem}: {head}")
            assert all(line.startswith("> ") for line in lines), case
            yield case


CASES = list(_cases())


def test_there_are_enough_cases() -> None:
    assert len(CASES) > 150


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.place)
def test_the_message_of_a_malformed_table(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    Path(case.name).write_bytes(case.content)
    fields = dict(case.fields)
    loss = fields.pop("loss", "squared_error")
    data = {"source": case.name, "target": "y", "validation": 0, **fields}
    config = {"data": data, "model": {"kind": "linear"}, "loss": loss, "optimizer": {"kind": "adam"}}
    with pytest.raises(MxtrainError) as caught:
        prepare(run_from_dict(config))
    found = str(caught.value).replace(f"{tmp_path}/", "")
    assert len(found.splitlines()) == len(case.lines), found
    for line, expected in zip(found.splitlines(), case.lines, strict=True):
        assert line == expected or (expected.endswith("...") and line.startswith(expected[:-3]))

    Path("config.yaml").write_text(json.dumps(config), encoding="utf-8")
    assert run(["validate", "config.yaml"]) == 2
    printed = "".join(capsys.readouterr()).replace(f"{tmp_path}/", "")
    for line in found.splitlines():
        assert line in printed
