"""`mxtrain resume`: a run goes on as if it had never stopped, is stopped politely, and can be replayed."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import command, environment

LONG = ("--set", "fit.epochs=1000000", "--set", "data.batch_size=400")


def stopped_by(*signals: int, settings: tuple[str, ...] = LONG) -> tuple[int, str]:
    """The exit status and the last line on stderr of a long run that got these signals."""
    with subprocess.Popen(
        command("fit", "run.yaml", "--run-dir", "run", *settings),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr
        assert process.stderr.readline().startswith("epoch")
        for number in signals:
            process.send_signal(number)
            time.sleep(0.05)
        out, err = process.communicate(timeout=30)
    assert out == ""
    assert "Traceback" not in err
    return process.returncode, err.splitlines()[-1]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_which_then_goes_on_to_the_same_bytes(number, status, mxtrain):
    found, line = stopped_by(number)
    assert found == status
    assert line == "interrupted; the run is saved: continue it with `mxtrain resume run`"
    done = len(Path("run/metrics.jsonl").read_text().splitlines())
    assert mxtrain("resume", "run", "--quiet", "--set", f"fit.epochs={done + 3}") == (0, "", "")
    few = ["--set", "data.batch_size=400", "--set", f"fit.epochs={done + 3}"]
    mxtrain("fit", "run.yaml", "--quiet", "--run-dir", "whole", *few)
    for file in ("metrics.jsonl", "model.safetensors"):
        assert Path("run", file).read_bytes() == Path("whole", file).read_bytes()


def test_a_resumed_run_says_at_which_epoch_it_is(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    status, out, err = mxtrain("resume", "runs/run-1", "--set", "fit.epochs=3")
    assert status == 0
    assert [line[:9] for line in err.splitlines()] == ["epoch 3/3"]
    assert out.startswith("epoch 3  ")


def test_a_run_that_is_over_says_so_and_how_to_go_on(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    before = Path("runs/run-1/model.safetensors").read_bytes()
    status, out, err = mxtrain("resume", "runs/run-1")
    assert status == 0
    assert err == (
        "the run is over: all 2 epochs are done; to train on, say `mxtrain resume runs/run-1 --set fit.epochs=4`\n"
    )
    assert out.startswith("epoch 2  ")
    assert Path("runs/run-1/model.safetensors").read_bytes() == before


def test_json_is_one_object(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    result = json.loads(mxtrain("resume", "runs/run-1", "--quiet", "--json", "--set", "fit.epochs=3").out)
    assert (result["epochs"], result["run_dir"]) == (3, "runs/run-1")


def test_a_damaged_checkpoint_is_told_of_and_passed_over(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    newest = max(Path("runs/run-1/checkpoints").iterdir())
    (newest / "arrays.safetensors").write_bytes(b"damaged")
    status, _, err = mxtrain("resume", "runs/run-1")
    assert status == 0
    note, epoch = err.splitlines()
    assert note.startswith(f"the checkpoint {newest} is damaged and was passed over: ")
    assert epoch.startswith("epoch 2/2")


def test_verify_replays(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    assert mxtrain("resume", "runs/run-1", "--verify").out == "runs/run-1 replays to the byte\n"
    found = json.loads(mxtrain("resume", "runs/run-1", "--verify", "--json").out)
    assert found == {"run_dir": "runs/run-1", "exact": True, "differences": []}
    assert mxtrain("resume", "runs/run-1", "--verify", "--quiet") == (0, "", "")


def test_verify_names_what_differs_with_status_1(mxtrain, monkeypatch):
    mxtrain("fit", "run.yaml", "--quiet")
    import mxtrain.training as training

    monkeypatch.setattr(training, "verify", lambda run, model: ["record.rows", "parameters.W1"])
    status, out, _ = mxtrain("resume", "runs/run-1", "--verify")
    assert status == 1
    assert out == "runs/run-1 does not replay to the byte; what differs:\n  record.rows\n  parameters.W1\n"


def test_what_would_have_changed_the_past_is_refused_with_status_2(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    status, out, err = mxtrain("resume", "runs/run-1", "--set", "seed=1")
    assert (status, out) == (2, "")
    assert err == "seed: was 0 when the run began, and cannot become 1: begin a new run\n"
    assert mxtrain("resume", "runs/run-1", "--verify", "--set", "seed=1").status == 2


def test_where_there_is_no_run(mxtrain):
    status, _, err = mxtrain("resume", "nowhere")
    assert status == 1
    assert err == "error: there is no run in nowhere: it holds no config.yaml; name the folder of a run\n"
