"""Failed trials, workers that die and full disks: finished work is never lost."""

import contextlib
import json
import os
import sys
import textwrap
import threading

import pytest

import mxtrain
from tests.sweeps.conftest import small, table

CUSTOM = {"model": {"kind": "custom"}, "search": {"optimizer.η": {"log": [1e-4, 1e-1]}}, "optimizer": {"kind": "adam"}}

PLUGIN = """
import os, sys, time
from mxtrain.config import LinearConfig
from mxtrain.errors import MxtrainError
from mxtrain.training.model_factory import build_model

def model(config, n_features, n_outputs, xp):
"""
RETURN = """
    return build_model(LinearConfig(), config.loss, n_features, n_outputs, xp)
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A function that writes a module with a linear model, which runs these lines when a model is created."""

    def write(lines: str) -> str:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "myplugin.py").write_text(PLUGIN + textwrap.indent(lines, "    ") + RETURN)
        monkeypatch.syspath_prepend(tmp_path / "mine")
        return "myplugin:model"

    yield write
    sys.modules.pop("myplugin", None)


def test_a_failed_trial_is_listed_with_its_error_and_retried_on_request(plugin, tmp_path):
    place = plugin('if 0.001 < config.optimizer.η and not os.path.exists("mended"): raise ValueError("too steep")')
    config = small(**CUSTOM)
    with contextlib.chdir(tmp_path):
        result = mxtrain.sweep(config, run_dir="sweep", workers=2, model=place)
        failed = result.in_state("failed")
        assert {row["error"] for row in failed} == {"ValueError: too steep"}
        assert [row["number"] for row in failed] == [
            row["number"] for row in result if row["params"]["optimizer.η"] > 0.001
        ]
        assert mxtrain.sweep(config, run_dir="sweep", workers=2, model=place).in_state("failed") == failed
        (tmp_path / "mended").touch()
        again = mxtrain.sweep(config, run_dir="sweep", workers=2, model=place, retry_failed=True)
        assert not again.in_state("failed")
        assert table(again) == table(mxtrain.sweep(config, run_dir="sweep", workers=2, model=place))
        assert table(again) == table(mxtrain.sweep(config, run_dir="clean", workers=2, model=place))


def test_a_trial_that_diverges_fails_with_that_error(tmp_path):
    search = {"optimizer.η": {"choice": [0.01, 1e30]}}
    config = small(search=search, sampler={"kind": "grid"}, optimizer={"kind": "sgd"})
    good, bad = mxtrain.sweep(config, run_dir=tmp_path, workers=2)
    assert (good["state"], bad["state"], bad["value"]) == ("complete", "failed", None)
    assert "the run has diverged" in bad["error"]


def test_a_model_that_kills_its_worker_fails_only_its_trial(plugin, tmp_path):
    place = plugin('if config.optimizer.η > 0.01: os._exit(3)\nprint("to stdout")')
    result = mxtrain.sweep(small(**CUSTOM, trials=4), run_dir=tmp_path / "sweep", workers=2, model=place)
    for row in result:
        assert row["state"] == ("failed" if row["params"]["optimizer.η"] > 0.01 else "complete")
    assert all(
        "10 workers were lost in a row: its worker ended with status 3" in row["error"]
        for row in result.in_state("failed")
    )
    assert result.in_state("failed")
    assert result.in_state("complete")
    assert any("to stdout" in log.read_text() for log in (tmp_path / "sweep/logs").iterdir())


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise MxtrainError('')", "MxtrainError"),
        ("input()", "EOFError: EOF when reading a line"),
    ],
)
def test_any_exception_of_a_model_fails_only_its_trial(lines, error, plugin, tmp_path):
    config = small(**CUSTOM, trials=2)
    result = mxtrain.sweep(config, run_dir=tmp_path / "sweep", workers=1, model=plugin(lines))
    assert [row["error"] for row in result] == [error, error]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_the_death_of_a_worker_with_a_living_child_is_noticed(plugin, tmp_path):
    """The child keeps the worker's streams and the lock of the run's folder open."""
    place = plugin(
        'first = not os.path.exists("left")\nopen("left", "w").close()\nif first and os.fork(): os._exit(9)\nif first: time.sleep(600)'
    )
    with contextlib.chdir(tmp_path):
        result = mxtrain.sweep(small(**CUSTOM, trials=2), run_dir="sweep", workers=1, model=place)
    assert not result.in_state("failed")


def test_the_settings_of_a_custom_model_can_be_searched(plugin, tmp_path):
    place = plugin('if config.model.settings["width"] == 3: raise ValueError("three")')
    config = small(
        **CUSTOM
        | {"model": {"kind": "custom", "settings": {"width": 1}}, "search": {"model.settings.width": {"int": [1, 4]}}},
        sampler={"kind": "grid"},
    )
    result = mxtrain.sweep(config, run_dir=tmp_path / "sweep", workers=1, model=place)
    assert [row["state"] for row in result] == ["complete", "complete", "failed", "complete"]


def test_a_model_that_cannot_be_imported_is_refused_at_once(tmp_path):
    with pytest.raises(
        mxtrain.SweepError, match="the model no_such_module:model cannot be imported: ModuleNotFoundError"
    ):
        mxtrain.sweep(small(**CUSTOM), run_dir=tmp_path, workers=1, model="no_such_module:model")


def test_a_missing_or_superfluous_model_is_refused_before_the_first_trial(tmp_path):
    with pytest.raises(mxtrain.ConfigError, match="model: kind: custom needs a model; pass it with --plugin"):
        mxtrain.sweep(small(**CUSTOM), run_dir=tmp_path / "one")
    with pytest.raises(mxtrain.ConfigError, match="model: a model was passed, but the config has kind: mlp"):
        mxtrain.sweep(small(), run_dir=tmp_path / "two", model="textwrap:dedent")


def test_workers_that_cannot_start_end_the_sweep_with_the_name_of_the_log(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import os, sys\nif '-m' in sys.orig_argv: os.abort()")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        mxtrain.SweepError,
        match=r"workers die before they are ready: the last was killed by SIGABRT; see .*worker-0.log",
    ):
        mxtrain.sweep(small(), run_dir=tmp_path / "sweep", workers=1)


def test_an_interrupted_retry_is_continued(plugin, tmp_path):
    """The folder of the failed attempt is archived only once."""
    place = plugin('if not os.path.exists("mended"): raise ValueError("broken")')
    config = small(**CUSTOM, trials=1, fit={"epochs": 200, "metrics": ["accuracy"]})
    stop = mxtrain.training.StopRequest()
    trials = tmp_path / "sweep" / "trials"

    def watch(result):
        if any((trials / "0000/checkpoints").glob("epoch-*")):
            stop.signal = 15

    with contextlib.chdir(tmp_path):
        assert mxtrain.sweep(config, run_dir="sweep", workers=1, model=place).in_state("failed")
        (tmp_path / "mended").touch()
        with pytest.raises(mxtrain.RunInterrupted):
            mxtrain.sweep(config, run_dir="sweep", workers=1, model=place, retry_failed=True, stop=stop, watch=watch)
        position = mxtrain.training.Checkpoints(trials / "0000/checkpoints", keep=3).newest_position()
        result = mxtrain.sweep(config, run_dir="sweep", workers=1, model=place)
        assert [row["state"] for row in result] == ["complete"]
        assert sorted(path.name for path in trials.iterdir()) == ["0000", "0000-failed-1"]
        timings = [json.loads(line)["epoch"] for line in (trials / "0000/timings.jsonl").read_text().splitlines()]
        assert timings == list(range(1, 201))
        assert 0 < position[0] < 200
        assert table(result) == table(mxtrain.sweep(config, run_dir="clean", workers=1, model=place))


def test_the_driver_waits_for_a_process_that_still_locks_a_run_folder(tmp_path, monkeypatch):
    from mxtrain.training import folder_lock

    whole = mxtrain.sweep(small(trials=1), run_dir=tmp_path / "whole", workers=1)
    monkeypatch.setattr("mxtrain.sweeps.trial.MAX_LOST_WORKERS", 1)
    (tmp_path / "sweep/trials/0000").mkdir(parents=True)
    (tmp_path / "sweep/sweep.yaml").write_bytes((tmp_path / "whole/sweep.yaml").read_bytes())
    held, over = threading.Event(), threading.Event()

    def orphan():
        with folder_lock(tmp_path / "sweep/trials/0000", ""):
            held.set()
            over.wait(2)

    thread = threading.Thread(target=orphan)
    thread.start()
    held.wait()
    result = mxtrain.sweep(small(trials=1), run_dir=tmp_path / "sweep", workers=1)
    thread.join()
    assert table(result) == table(whole)


def test_a_model_that_workers_could_not_import_is_refused_at_once(tmp_path):
    with pytest.raises(mxtrain.SweepError, match="define its function at the top level of a separate module"):
        mxtrain.sweep(small(**CUSTOM), run_dir=tmp_path, model=lambda *args: None)


def test_a_sweep_that_fills_the_disk_can_be_continued_later(tmp_path, monkeypatch):
    whole = mxtrain.sweep(small(), run_dir=tmp_path / "whole", workers=1)
    full = tmp_path / "sitecustomize.py"
    full.write_text(
        textwrap.dedent("""
        import errno, os
        if os.environ.get("FULL"):
            before = os.open
            def opened(path, flags, *args, **kwargs):
                if flags & (os.O_WRONLY | os.O_RDWR) and "/trials/0003/" in str(path):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return before(path, flags, *args, **kwargs)
            os.open = opened
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FULL", "1")
    with pytest.raises(mxtrain.SweepError, match="No space left on device.*continue with `mxtrain resume"):
        mxtrain.sweep(small(), run_dir=tmp_path / "full", workers=1)
    monkeypatch.delenv("FULL")
    result = mxtrain.sweep(small(), run_dir=tmp_path / "full", workers=1)
    assert table(result) == table(whole)


def test_a_second_driver_is_refused(tmp_path):
    from mxtrain.training import folder_lock

    mxtrain.sweep(small(trials=1), run_dir=tmp_path, workers=1)
    with folder_lock(tmp_path, ""), pytest.raises(mxtrain.FolderBusyError, match="another process runs the sweep"):
        mxtrain.sweep(small(trials=1), run_dir=tmp_path)


def test_a_sweep_that_could_not_start_can_be_replaced_by_another(tmp_path, monkeypatch):
    with monkeypatch.context() as without:
        without.setattr("mxtrain.sweeps.samplers_and_pruners.find_spec", lambda package: None)
        with pytest.raises(mxtrain.SweepError, match=r"the sampler qmc needs scipy; pip install 'mxtrain\[samplers\]'"):
            mxtrain.sweep(small(sampler={"kind": "qmc"}), run_dir=tmp_path, workers=1)
    assert len(mxtrain.sweep(small(trials=1), run_dir=tmp_path, workers=1)) == 1
    with pytest.raises(mxtrain.ConfigError, match="sampler.kind: was 'random' when the sweep in .* was started"):
        mxtrain.sweep(small(sampler={"kind": "tpe"}, trials=1), run_dir=tmp_path, workers=1)
