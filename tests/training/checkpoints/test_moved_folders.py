"""Runs and sweeps continue after the folder from which they were started is removed, if their data still exist."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import mxtrain
from mxtrain.config import read_run, read_sweep
from mxtrain.paths import normalize_path
from mxtrain.sweeps import sweep

RUN = """
data: {source: ../data/train.csv, target: y, validation: ../data/other.csv}
model: {kind: linear}
loss: squared_error
optimizer: {kind: sgd, η: 0.01}
fit: {epochs: 1}
"""
SWEEP = """
sweep:
  search: {optimizer.η: {choice: [0.01, 0.02]}}
  objective: {minimize: val_loss}
  trials: 1
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose files have paths through a folder that the test removes."""
    folder = tmp_path / "per%cent # and? blank"
    for name in ("conf", "data", "gone"):
        (folder / name).mkdir(parents=True)
    for name in ("train", "other"):
        rows = "".join(f"{i},{2 * i + 1}\n" for i in range(8))
        (folder / f"data/{name}.csv").write_text(f"a,y\n{rows}")
    (folder / "conf/run.yaml").write_text(RUN, encoding="utf-8")
    (folder / "conf/sweep.yaml").write_text(RUN + SWEEP, encoding="utf-8")
    monkeypatch.chdir(folder / "gone")
    return folder


def leave(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    (project / "gone").rmdir()


def stored(file: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))["data"]
    return data


def test_a_run_continues_without_the_folder_from_which_it_was_started(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mxtrain.fit("../conf/run.yaml", run_dir=project / "run")
    assert stored(project / "run/config.yaml")["source"] == str(project / "data/train.csv")
    leave(project, monkeypatch)
    assert mxtrain.resume("run", overrides=["fit.epochs=2"]).state.curr_epoch == 2
    mxtrain.fit("run/config.yaml", run_dir="again")
    assert mxtrain.load_run("again").evaluate()


def test_a_run_of_an_earlier_version_continues(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("mxtrain.config.error_messages.normalize_path", lambda path: path)
        mxtrain.fit("../conf/run.yaml", run_dir=project / "run")
    old = stored(project / "run/config.yaml")
    assert "gone/.." in old["source"]
    assert "gone/.." in old["validation"]
    leave(project, monkeypatch)
    assert mxtrain.resume("run", overrides=["fit.epochs=2"]).state.curr_epoch == 2
    assert ".." not in stored(project / "run/config.yaml")["validation"]


def test_a_sweep_of_an_earlier_version_continues(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("mxtrain.config.error_messages.normalize_path", lambda path: path)
        sweep("../conf/sweep.yaml", run_dir=project / "sweep", workers=1)
    assert "gone/.." in stored(project / "sweep/sweep.yaml")["source"]
    leave(project, monkeypatch)
    found = sweep("conf/sweep.yaml", run_dir="sweep", overrides=["sweep.trials=2"], workers=1)
    assert [trial["state"] for trial in found.trials] == ["complete", "complete"]
    assert ".." not in stored(project / "sweep/trials/0001/config.yaml")["validation"]


def test_a_sweep_keeps_paths_without_dots(project: Path) -> None:
    assert ".." not in read_sweep("../conf/sweep.yaml").to_yaml()


def test_the_parent_of_a_link_is_the_parent_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "there/below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "there/below")
    assert normalize_path(f"{tmp_path}/link/../x.csv") == str(tmp_path / "there/x.csv")
    assert normalize_path(f"{tmp_path}/link/x.csv") == str(tmp_path / "link/x.csv")
    assert normalize_path(f"{tmp_path}/gone/../shards/") == f"{tmp_path}/shards/"


def test_a_path_of_a_run_has_no_dots(project: Path) -> None:
    config = read_run("../conf/run.yaml", [f'data.source="{project}/gone/../data/./train.csv"'])
    assert config.data.source == str(project / "data/train.csv")
