"""Damaged JSON files of runs and sweeps: one line for each, no traceback, and the other runs are listed."""

import json
import random
import shutil
from pathlib import Path

import pytest

ODD = [
    "Infinity",
    "NaN",
    "1e999",
    "null",
    "true",
    '"x"',
    "[]",
    "{}",
    "-1",
    "1.5",
    "9" * 40,
    '"\\u001b[31m"',
    '"\\ud800"',
]
CONFIG = """\
data: {source: diabetes, batch_size: 200}
model: {kind: linear}
loss: squared_error
optimizer: {kind: adam, lr: 0.05}
fit: {epochs: 2, metrics: [r2], early_stopping: {monitor: val_loss, patience: 9}}
"""


@pytest.fixture(scope="module")
def finished_runs(tmp_path_factory):
    """Two finished runs and an unfinished one."""
    import mxtrain

    folder = tmp_path_factory.mktemp("runs")
    (folder / "run.yaml").write_text(CONFIG)
    for name in ("a", "b", "u"):
        mxtrain.fit(folder / "run.yaml", run_dir=folder / "runs" / name)
    (folder / "runs/u/model.safetensors").unlink()
    (folder / "runs/u/status.json").unlink()
    return folder


@pytest.fixture
def runs(finished_runs, folder):
    shutil.copytree(finished_runs / "runs", folder / "runs")
    return folder / "runs"


def places(value, path=()):
    yield path
    for name, item in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from places(item, (*path, name))


def put(value, path, new):
    if not path:
        return new
    items = value.items() if isinstance(value, dict) else enumerate(value)
    changed = {name: put(item, path[1:], new) if name == path[0] else item for name, item in items}
    return changed if isinstance(value, dict) else list(changed.values())


def damage(file, rng):
    """Replace one of the values in a file by an odd value."""
    lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
    i = rng.randrange(len(lines))
    value = json.loads(lines[i])
    lines[i] = json.dumps(put(value, rng.choice(list(places(value))), "@@")).replace('"@@"', rng.choice(ODD))
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("seed", range(25))
def test_edited_files_of_a_run_cause_no_traceback(mxtrain, runs, seed):
    rng = random.Random(seed)
    file = rng.choice(sorted(path for path in runs.rglob("*.json*") if path.parts[-2] in ("a", "u")))
    damage(file, rng)
    status, out, err = mxtrain("runs")
    assert status == 0
    assert "b " in out
    assert len(err.splitlines()) <= 2
    run = str(runs / file.relative_to(runs).parts[0])
    command = rng.choice([("evaluate", run), ("resume", run, "-q"), ("resume", run, "--verify", "-q")])
    status, _, err = mxtrain(*command)
    assert status in (0, 1, 2)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"epoch": 2, "iteration": 4, "loss": Infinity}', "metrics.jsonl:2: loss: must be a finite number, got inf"),
        ('{"epoch": 2, "iteration": 4, "loss": "x"}', "metrics.jsonl:2: loss: must be a finite number, got 'x'"),
        (
            '{"epoch": 2, "iteration": 4, "loss": {"a": 1}}',
            "metrics.jsonl:2: loss: must be a finite number, got a mapping",
        ),
        ('{"epoch": "2"}', "metrics.jsonl:2: epoch: must be 2, got '2'"),
        ('{"epoch": 2}', "metrics.jsonl:2: iteration: is missing"),
        ("[]", "metrics.jsonl:2: must be a mapping, got a list"),
        ("{", "metrics.jsonl:2: is not JSON"),
    ],
)
def test_a_damaged_row_is_reported_and_earlier_epochs_are_listed(mxtrain, runs, line, problem):
    metrics = runs / "a/metrics.jsonl"
    first = {"epoch": 1, "iteration": 2, "loss": 1.0}
    metrics.write_text(f"{json.dumps(first)}\n{line}\n")
    status, out, err = mxtrain("runs", str(runs), "--sort", "loss")
    assert status == 0
    assert err.splitlines() == [f"{runs / 'a'}/{problem}; the epochs before it are listed"]
    assert [line.split()[0] for line in out.splitlines()] == ["run", "a", "b", "u"]
    assert "1.0000" in out.splitlines()[1]


def test_a_truncated_last_row_is_not_damage(mxtrain, runs):
    metrics = runs / "u/metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"epoch": 3, "lo')
    assert mxtrain("runs").err == ""


@pytest.mark.parametrize(
    "text", ["{", '{"state": 1, "reason": ""}', '{"state": "failed", "reason": [1e999]}', "Infinity"]
)
def test_a_damaged_status_is_one_line_and_the_run_is_listed(mxtrain, runs, text):
    (runs / "a/status.json").write_text(text)
    status, out, err = mxtrain("runs")
    assert status == 0
    assert err.splitlines() == ["runs/a/status.json is damaged: the state of the run is uncertain"]
    assert [line.split()[0] for line in out.splitlines()] == ["run", "a", "b", "u"]


def test_damaged_timings_are_dropped_on_resume(mxtrain, runs):
    for text in (
        '{"epoch": Infinity, "seconds": 1}',
        '{"epoch": 1, "seconds": Infinity}',
        '{"epoch": 1, "seconds": {}}',
    ):
        (runs / "a/timings.jsonl").write_text(f"{text}\n")
        assert mxtrain("resume", "runs/a", "-q").status == 0


@pytest.mark.parametrize("seed", range(20))
def test_edited_results_files_of_a_sweep_cause_no_traceback(folder, seed):
    from mxtrain.config import Objective
    from mxtrain.sweeps.result import SweepResult

    rng = random.Random(seed)
    row = {"number": 0, "params": {"η": 1.0}, "value": 0.5, "state": "complete", "run_dir": "/s/0"}
    rows = tuple(row | {"number": i, "epochs": 3, "seconds": 0.1, "drawn": {"η": 1.0}} for i in range(3))
    written = SweepResult("s", Path("/s"), (Objective("val_loss", False),), rows, 3).to_dict()
    del written["best"], written["front"]
    place = rng.choice([path for path in places(written) if "params" not in path and "drawn" not in path])
    record = json.loads(json.dumps(put(written, place, "@@")).replace('"@@"', rng.choice(ODD)))
    try:
        read = SweepResult.from_dict(record).moved_to(folder)
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017 - it may as well be harmless
    else:
        assert len(repr(read)) > 0
        assert read.with_running_as_waiting().to_dict()
