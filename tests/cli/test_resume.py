"""`mxtrain resume`: continued runs, signals, `--verify`, and error messages."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mxtrain.training.checkpoints.storage import Checkpoints
from tests.cli.conftest import command, environment

LONG = ("--set", "fit.epochs=1000000", "--set", "data.batch_size=400")


def stopped_by(*signals: int, settings: tuple[str, ...] = LONG) -> tuple[int, str]:
    """Send signals to a long run; return its exit status and its last line on stderr."""
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
def test_a_run_stopped_by_a_signal_resumes_to_the_same_bytes(number, status, mxtrain):
    found, line = stopped_by(number)
    assert found == status
    assert line == "interrupted; the run is saved: continue it with `mxtrain resume run`"
    done = len(Path("run/metrics.jsonl").read_text().splitlines())
    assert mxtrain("resume", "run", "--quiet", "--set", f"fit.epochs={done + 3}") == (0, "", "")
    few = ["--set", "data.batch_size=400", "--set", f"fit.epochs={done + 3}"]
    mxtrain("fit", "run.yaml", "--quiet", "--run-dir", "whole", *few)
    for file in ("metrics.jsonl", "model.safetensors"):
        assert Path("run", file).read_bytes() == Path("whole", file).read_bytes()


def test_a_resumed_run_prints_its_epochs(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    status, out, err = mxtrain("resume", "runs/run-1", "--set", "fit.epochs=3")
    assert status == 0
    assert [line[:9] for line in err.splitlines()] == ["epoch 3/3"]
    assert out.startswith("epoch 3  ")


def test_a_finished_run_reports_how_to_train_longer(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    before = Path("runs/run-1/model.safetensors").read_bytes()
    status, out, err = mxtrain("resume", "runs/run-1")
    assert status == 0
    assert err == (
        "the run is complete: all 2 epochs are finished; to train longer, run `mxtrain resume runs/run-1 --set fit.epochs=4`\n"
    )
    assert out.startswith("epoch 2  ")
    assert Path("runs/run-1/model.safetensors").read_bytes() == before


def test_json_is_one_object(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    result = json.loads(mxtrain("resume", "runs/run-1", "--quiet", "--json", "--set", "fit.epochs=3").out)
    assert (result["epochs"], result["run_dir"]) == (3, "runs/run-1")


def test_a_damaged_checkpoint_is_reported_and_skipped(mxtrain):
    mxtrain("fit", "run.yaml", "--set", "fit.checkpoint.every=1 epoch", "--quiet")
    newest = max(Path("runs/run-1/checkpoints").iterdir())
    (newest / "arrays.safetensors").write_bytes(b"damaged")
    status, _, err = mxtrain("resume", "runs/run-1")
    assert status == 0
    note, epoch = err.splitlines()
    assert note.startswith(f"the checkpoint {newest} is damaged and was skipped: ")
    assert epoch.startswith("epoch 2/2")


def test_verify_replays(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    assert mxtrain("resume", "runs/run-1", "--verify").out == "runs/run-1 replays to the byte\n"
    found = json.loads(mxtrain("resume", "runs/run-1", "--verify", "--json").out)
    assert found == {"run_dir": "runs/run-1", "exact": True, "differences": []}
    assert mxtrain("resume", "runs/run-1", "--verify", "--quiet") == (0, "", "")


def change_a_weight(run_dir: Path) -> str:
    """Change one weight in the newest checkpoint, as if another machine had computed it."""
    checkpoints = Checkpoints(run_dir / "checkpoints", keep=3)
    snapshot = checkpoints.newest()
    snapshot.parameters["W1"][0, 0] += 1
    return checkpoints.save(snapshot)


def test_verify_reports_differences_and_likely_causes_with_status_1(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    change_a_weight(Path("runs/run-1"))
    status, out, _ = mxtrain("resume", "runs/run-1", "--verify")
    assert status == 1
    assert out == (
        "runs/run-1 does not replay to the byte; differences:\n  parameters.W1\n  model.safetensors\n"
        "data, versions, machine and backend are the same as in training\n"
    )
    file = Path("runs/run-1/environment.json")
    recorded = json.loads(file.read_bytes())
    cpu = recorded["cpu"]
    file.write_text(json.dumps(recorded | {"packages": recorded["packages"] | {"numpy": "1.2.3"}, "cpu": "Z80"}))
    status, out, _ = mxtrain("resume", "runs/run-1", "--verify")
    assert status == 1
    assert out.splitlines()[3:] == [
        "likely causes, changed since the run was trained:",
        f"  packages.numpy: was 1.2.3, is {recorded['packages']['numpy']}",
        f"  cpu: was Z80, is {cpu}",
    ]
    found = json.loads(mxtrain("resume", "runs/run-1", "--verify", "--json").out)
    assert (found["exact"], found["differences"], len(found["changes"])) == (
        False,
        ["parameters.W1", "model.safetensors"],
        2,
    )


def test_a_resume_that_trains_nothing_keeps_environment_json(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    file = Path("runs/run-1/environment.json")
    file.write_text('{"python": "2.7"}')
    mxtrain("resume", "runs/run-1", "--quiet")
    assert file.read_text() == '{"python": "2.7"}'
    mxtrain("resume", "runs/run-1", "--quiet", "--set", "fit.epochs=3")
    assert json.loads(file.read_text())["blas"]


CHANGED = {
    "other numbers": "x,y\n1,2\n2,4\n3,6\n4,9\n5,10\n6,12\n7,14\n8,16\n9,18\n10,20\n",
    "another column": "z,y\n1,2\n2,4\n3,6\n4,8\n5,10\n6,12\n7,14\n8,16\n9,18\n10,20\n",
    "no target": "x,z\n1,2\n2,4\n",
    "nothing": "",
}


@pytest.mark.parametrize("text", CHANGED.values(), ids=CHANGED.keys())
def test_changed_data_are_reported_as_changed(text, mxtrain):
    Path("t.csv").write_text("x,y\n1,2\n2,4\n3,6\n4,8\n5,10\n6,12\n7,14\n8,16\n9,18\n10,20\n")
    Path("c.yaml").write_text(
        "data: {source: t.csv, target: y}\nmodel: {kind: linear}\nloss: squared_error\noptimizer: {kind: adam}\n"
        "fit: {epochs: 2}\n"
    )
    assert mxtrain("fit", "c.yaml", "--quiet", "--run-dir", "run").status == 0
    Path("t.csv").write_text(text)
    for arguments in (["--verify"], ["--set", "fit.epochs=3"]):
        status, out, err = mxtrain("resume", "run", *arguments)
        assert (status, out) == (2, "")
        assert err == (
            f"error: the data in {Path('t.csv').absolute()} are not those that the run was trained on: "
            "their SHA-256 differs; restore the file, or start a new run\n"
        )


def test_settings_that_affect_completed_epochs_are_refused_with_status_2(mxtrain):
    mxtrain("fit", "run.yaml", "--quiet")
    status, out, err = mxtrain("resume", "runs/run-1", "--set", "seed=1")
    assert (status, out) == (2, "")
    assert err == "--set seed=1: seed: was 0 when the run started, and cannot become 1: start a new run\n"
    assert mxtrain("resume", "runs/run-1", "--verify", "--set", "seed=1").status == 2


def test_a_folder_without_a_run_is_one_error(mxtrain):
    status, _, err = mxtrain("resume", "nowhere")
    assert status == 2
    assert err == "error: there is no run in nowhere: it holds no config.yaml; name the folder of a run\n"


def test_a_sweep_folder_is_not_a_run(mxtrain, folder):
    (folder / "s").mkdir()
    (folder / "s/sweep.yaml").touch()
    status, _, err = mxtrain("evaluate", "s")
    assert status == 2
    assert err == "error: there is no run in s: it holds no config.yaml; name a run in s/trials\n"


@pytest.mark.parametrize(
    "option", [("--workers", "2"), ("--engine", "dask"), ("--scheduler", "tcp://127.0.0.1:1"), ("--retry-failed",)]
)
def test_options_of_sweeps_are_refused_for_a_run(option, mxtrain):
    assert mxtrain("fit", "run.yaml", "--run-dir", "r", "--quiet").status == 0
    status, out, err = mxtrain("resume", "r", *option)
    assert (status, out) == (2, "")
    assert "r is a run; leave it out" in err
    assert option[0] in err
