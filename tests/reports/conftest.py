"""Reports are made as on a command line, and read as in a browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.cli.main import main
from tests.reports.reading import Page

RUN: dict[str, Any] = {
    "name": "small",
    "data": {"source": "digits", "test": 0.2, "batch_size": 256},
    "model": {"kind": "linear"},
    "loss": "softmax_cross_entropy",
    "optimizer": {"kind": "adam", "η": 0.01},
    "fit": {"epochs": 3, "metrics": ["accuracy"]},
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run() -> Callable[..., Path]:
    """Train what differs from RUN in some sections, and give its folder."""

    def train(name: str = "run", **sections: Any) -> Path:
        config = {
            section: value | sections.get(section, {}) if isinstance(value, dict) else sections.get(section, value)
            for section, value in RUN.items()
        }
        return mxtrain.fit(config, run_dir=name).run_dir

    return train


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[..., Page]:
    """Report a folder, and read the page."""

    def make(folder: str | Path, *arguments: str) -> Page:
        assert main(["report", str(folder), *arguments]) == 0, capsys.readouterr().err
        page = Page(Path(folder) / "report.html")
        page.check()
        return page

    return make
