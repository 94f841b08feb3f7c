"""`fit`, `resume` and `sweep` from Python: progress on terminals and in notebooks, and the objects that they return."""

import contextlib
import os
import pty
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.sweeps import SweepResult

CONFIG: dict[str, Any] = {
    "data": {"source": "digits"},
    "model": {"kind": "linear"},
    "loss": "softmax_cross_entropy",
    "optimizer": {"kind": "adam", "η": 0.01},
    "fit": {"epochs": 2, "metrics": ["accuracy"]},
}
SEARCH: dict[str, Any] = {
    "search": {"optimizer.η": {"choice": [0.001, 0.01]}},
    "sampler": {"kind": "grid"},
    "objective": {"maximize": "val_accuracy"},
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> mxtrain.FitResult:
    return mxtrain.fit(CONFIG, run_dir=tmp_path_factory.mktemp("run") / "run")


def test_nothing_is_printed_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mxtrain.fit(CONFIG, run_dir=tmp_path)
    assert capsys.readouterr() == ("", "")


def test_verbose_prints_a_line_for_each_epoch_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mxtrain.fit(CONFIG, run_dir=tmp_path, verbose=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line[:16] for line in err.splitlines()] == ["epoch 1/2  loss ", "epoch 2/2  loss "]
    mxtrain.resume(tmp_path, overrides=["fit.epochs=3"], verbose=True)
    assert capsys.readouterr().err.startswith("epoch 3/3  loss ")


def test_verbose_prints_the_trials_of_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[int] = []
    config = CONFIG | {"sweep": SEARCH}
    mxtrain.sweep(config, run_dir=tmp_path, workers=1, verbose=True, watch=lambda sweep: seen.append(len(sweep.trials)))
    assert [line[:16] for line in capsys.readouterr().err.splitlines()] == ["trial 0 complete", "trial 1 complete"]
    assert seen, "the caller's watch function is called too"


@pytest.mark.parametrize(("verbose", "is_shown"), [("", True), (", verbose=False", False)])
def test_on_a_terminal_progress_is_shown_by_default(verbose: str, is_shown: bool, tmp_path: Path) -> None:
    program = f"import mxtrain; mxtrain.fit({CONFIG!r}, run_dir={str(tmp_path / 'run')!r}{verbose})"
    reader, writer = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", program], stderr=writer, stdout=writer, env=environment)
    os.close(writer)
    shown = b""
    with contextlib.suppress(OSError):  # Linux reports the end of a terminal as an error
        while block := os.read(reader, 65536):
            shown += block
    os.close(reader)
    assert process.wait() == 0
    assert (b"epoch 1/2  loss" in shown and b"epoch 2/2  loss" in shown) == is_shown
    assert is_shown or not shown


class Kernel(types.ModuleType):
    """A fake Jupyter kernel: IPython with a shell that has a kernel."""

    def __init__(self) -> None:
        super().__init__("IPython")
        self.cells: list[str] = []
        self.display = types.ModuleType("IPython.display")
        self.display.display = self._display  # type: ignore[attr-defined]

    def get_ipython(self) -> Any:
        return types.SimpleNamespace(kernel=object())

    def _display(self, content: dict[str, str], raw: bool, display_id: bool) -> "Kernel":
        assert raw
        assert display_id
        self.update(content, raw)
        return self

    def update(self, content: dict[str, str], raw: bool) -> None:
        assert set(content) == {"text/plain", "text/html"}
        self.cells.append(content["text/plain"])


def test_in_a_notebook_one_output_shows_the_lines_and_the_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = Kernel()
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", kernel.display)
    mxtrain.fit(CONFIG, run_dir=tmp_path / "run")
    assert [line[:16] for line in kernel.cells[-1].splitlines()] == ["epoch 1/2  loss ", "epoch 2/2  loss "]
    assert "batch" in kernel.cells[0]
    assert capsys.readouterr() == ("", "")
    kernel.cells.clear()
    mxtrain.sweep(CONFIG | {"sweep": SEARCH}, run_dir=tmp_path / "sweep", workers=1)
    assert "2 of 2" in kernel.cells[-1]
    kernel.cells.clear()
    mxtrain.fit(CONFIG, run_dir=tmp_path / "silent", verbose=False)
    assert kernel.cells == []


def test_the_result_predicts_evaluates_and_reports(result: mxtrain.FitResult, tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(0, 16, (5, 64))
    run = mxtrain.load_run(result.run_dir)
    assert result.predict(images).tolist() == run.predict(images).tolist()
    assert result.evaluate() == run.evaluate()
    assert result.evaluate(part="training") == run.evaluate(part="training")
    assert result.evaluate("digits") == run.evaluate("digits")
    assert result.best == min(result.history, key=lambda row: row["val_loss"])
    written = result.report(tmp_path / "page.html")
    assert written.page == tmp_path / "page.html"
    assert written.page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_result_remembers_data_and_models_in_memory(tmp_path: Path) -> None:
    X = np.arange(20.0).reshape(20, 1)
    config = {
        "data": {"source": "in_memory"}, "model": {"kind": "linear"}, "loss": "squared_error",
        "optimizer": {"kind": "adam"}, "fit": {"epochs": 1},
    }  # fmt: skip
    result = mxtrain.fit(config, run_dir=tmp_path, data=(X, X[:, 0]))
    assert result.evaluate()["loss"] == result.history[-1]["val_loss"]


def test_the_result_stays_that_of_its_own_parameters_when_the_run_is_trained_on(tmp_path: Path) -> None:
    first = mxtrain.fit(CONFIG, run_dir=tmp_path)
    images = np.random.default_rng(0).uniform(0, 16, (200, 64))
    before = mxtrain.load_run(tmp_path).probabilities(images)
    mxtrain.resume(tmp_path, overrides=["fit.epochs=9"])
    assert (first._loaded.probabilities(images) == before).all()
    assert (mxtrain.load_run(tmp_path).probabilities(images) != before).any()


def test_results_are_not_tuples(result: mxtrain.FitResult, tmp_path: Path) -> None:
    for each in (result, SweepResult("search", tmp_path, (), (), 0)):
        assert not isinstance(each, tuple)
        assert not hasattr(each, "count")
        assert not hasattr(each, "index")
        with pytest.raises(AttributeError, match="cannot assign to field 'run_dir'"):
            each.run_dir = tmp_path  # type: ignore[misc]
    for use in (len, iter, list):
        with pytest.raises(TypeError, match="FitResult"):
            use(result)  # type: ignore[call-overload]
    assert result != (result.history, result.state, result.parameters, result.run_dir)


def test_what_a_notebook_shows_is_escaped() -> None:
    from mxtrain.cli.rich_output import NotebookOutput

    assert NotebookOutput(40)._text(("a [b] :smile:  ",)) == "a [b] :smile:"


def test_dir_lists_each_public_name_once():
    assert mxtrain.learning_rate  # the module, once it is imported, is a global name as well
    names = mxtrain.__dir__()
    assert len(names) == len(set(names))
