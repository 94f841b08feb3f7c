"""Without an optional package, a sweep ends with one line that names the pip command, before anything is written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mxtrain
from mxtrain.cli.main import main
from mxtrain.config import read_sweep
from tests.sweeps.conftest import small

NEED_OPTUNA = tuple(f"mxtrain.sweeps.{name}" for name in ("driver", "samplers_and_pruners", "study_storage", "trial"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished sweep."""
    return mxtrain.sweep(small(trials=1), run_dir=tmp_path_factory.mktemp("finished"), workers=1).run_dir


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize(("package", "name"), [("optuna", "Optuna"), ("sqlalchemy", "SQLAlchemy")])
def test_a_sweep_needs_optuna_and_sqlalchemy(package, name, hide_packages, finished, tmp_path, monkeypatch, capsys):
    hide_packages(package, importers=NEED_OPTUNA if package == "optuna" else ())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(json.dumps(small()))
    before = files(tmp_path), files(finished)
    for arguments in (["sweep", "small.yaml"], ["sweep", "small.yaml", "--dry-run"], ["resume", str(finished)]):
        assert main(arguments) == 2
        assert capsys.readouterr().err == f"error: sweeps need {name}; pip install 'mxtrain[sweep]'\n"
    with pytest.raises(mxtrain.SweepError, match=r"pip install 'mxtrain\[sweep\]'"):
        mxtrain.sweep(small())
    if package == "optuna":
        monkeypatch.delitem(sys.modules, "mxtrain.reports.sweep_data", raising=False)
        monkeypatch.delitem(sys.modules, "mxtrain.reports.sweep_charts", raising=False)
        monkeypatch.delitem(sys.modules, "mxtrain.reports.sweep_report", raising=False)
        assert main(["report", str(finished)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "pip install 'mxtrain[sweep]'" in line
    assert (files(tmp_path), files(finished)) == before


def test_a_sweep_is_validated_and_its_status_is_read_without_optuna(
    hide_packages, finished, tmp_path, monkeypatch, capsys
):
    hide_packages("optuna", "sqlalchemy", importers=NEED_OPTUNA)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(json.dumps(small(storage="sqlite:///all%20studies.db?timeout=5")))
    assert main(["validate", "small.yaml"]) == 0
    url = f"sqlite:///{str(tmp_path).replace(' ', '%20')}/all%20studies.db?timeout=5"
    assert read_sweep("small.yaml").settings.storage == url
    capsys.readouterr()
    assert main(["sweep", str(finished), "--status"]) == 0
    assert "trials  1: 1 complete" in capsys.readouterr().out


def test_the_dask_engine_needs_dask(hide_packages, tmp_path):
    hide_packages("distributed")
    with pytest.raises(mxtrain.SweepError, match=r"^the engine dask needs Dask; pip install 'mxtrain\[dask\]'$"):
        mxtrain.sweep(small(), run_dir=tmp_path, engine="dask")
    assert not list(tmp_path.iterdir())


def test_optuna_is_imported_only_for_sweeps():
    code = "import sys, mxtrain.sweeps, mxtrain.sweeps.result; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
