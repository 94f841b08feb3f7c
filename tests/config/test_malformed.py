"""Malformed run files, and the complete error messages for each.

The cases are in `malformed/`: a file with a mistake, followed by each line of the message, after `>` and without the name
of the file. Required sections that a case lacks are added below it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mxtrain.config import read_run, read_sweep
from tests.tables import OPTIMIZERS, RULES

_FOLDER = Path(__file__).with_name("malformed")
_FOREIGN = ("Input should", "Extra inputs", "Value error", "Field required", "valid dictionary", "Traceback")


def _cases() -> Iterator[tuple[Callable[..., object], str, list[str]]]:
    for path in sorted(_FOLDER.glob("*.cases")):
        read = read_sweep if path.stem == "sweeps" else read_run
        text: list[str] = []
        messages: list[str] = []
        for line in [*path.read_text(encoding="utf-8").splitlines()[2:], ""]:
            if line.startswith("> "):
                messages.append(line[2:])
            elif messages:
                yield read, "\n".join(text), messages
                text, messages = [], []
            else:
                text.append(line)


CASES = list(_cases())


@pytest.mark.parametrize(("read", "text", "messages"), CASES, ids=[text for _, text, _ in CASES])
def test_every_problem_of_a_malformed_file_is_reported_with_its_location(
    read: Callable[..., object],
    text: str,
    messages: list[str],
    here: Path,
    yaml_loader: str,
    write: Callable[..., str],
    error_lines: Callable[..., list[str]],
) -> None:
    Path("table.csv").write_text("x,y\n1,2\n")
    Path("folder.csv").mkdir()

    lines = error_lines(read, write(text))

    expected = [
        message.replace("{here}", str(here)).replace("{optimizers}", OPTIMIZERS).replace("{rules}", RULES)
        for message in messages
    ]
    assert [line.removeprefix("run.yaml:").strip() for line in lines] == expected
    assert not any(words in line for words in _FOREIGN for line in lines)


def test_there_are_many_cases() -> None:
    assert len(CASES) > 350
