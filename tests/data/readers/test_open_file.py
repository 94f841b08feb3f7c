"""Paths that are not regular files: one error message that names the path, and no blocking."""

import os
from pathlib import Path

import pytest

from mxtrain.config.data_section import DataConfig
from mxtrain.data import fingerprint, load
from mxtrain.errors import DataError


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
@pytest.mark.parametrize("name", ["train.csv", "train.jsonl", "train.parquet", "train.npz"])
def test_a_pipe_and_a_device_are_refused(name: str) -> None:
    for place in (lambda: os.mkfifo(name), lambda: Path(name).symlink_to(os.devnull)):
        place()
        config = DataConfig(source=name, target="y")
        for use in (lambda config: load(config, classes=False), fingerprint):
            with pytest.raises(DataError, match=f"^{name}: must be a regular file, got a pipe or a device; "):
                use(config)
        Path(name).unlink()


def test_errors_of_the_operating_system_are_reported() -> None:
    Path("folder.csv").mkdir()
    Path("loop.csv").symlink_to("loop.csv")
    messages = {"none.csv": "No such file", "folder.csv": "Is a directory", "loop.csv": "Too many levels"}
    for name, message in messages.items():
        with pytest.raises(DataError, match=f"^{name}: cannot be read: {message}"):
            load(DataConfig(source=name, target="y"), classes=False)


def test_a_path_with_a_nul_character_is_refused() -> None:
    with pytest.raises(DataError, match="a path has no NUL characters"):
        load(DataConfig(source="a\0.csv", target="y"), classes=False)
