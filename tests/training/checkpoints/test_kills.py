"""After a failure at any moment of a save, the last intact checkpoint exists, and the run ends with the same bytes."""

import dataclasses
import errno
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import mxtrain
from mxtrain.cli.main import main
from mxtrain.training.checkpoints.storage import Checkpoints
from tests.training.checkpoints.broken_disk import Killed, failing
from tests.training.conftest import results

CONFIG: dict[str, Any] = {
    "name": "killed",
    "data": {"source": "diabetes", "batch_size": 150},
    "model": {"kind": "linear"},
    "loss": "squared_error",
    "optimizer": {"kind": "nadam"},
    "fit": {"epochs": 3, "metrics": ["r2"], "checkpoint": {"every": "1 epoch", "keep": 2, "best": "loss"}},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return results(mxtrain.fit(CONFIG, run_dir=tmp_path_factory.mktemp("whole")).run_dir)


def count_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    with failing(-1, Killed, tmp_path, monkeypatch) as calls:
        mxtrain.fit(CONFIG, run_dir=tmp_path / "count")
    return len(calls)


def seen(run_dir: Path) -> int:
    """Return the number of epochs in metrics.jsonl."""
    metrics = run_dir / "metrics.jsonl"
    return len(metrics.read_bytes().splitlines()) if metrics.exists() else 0


def saved(run_dir: Path) -> int:
    """Return the number of epochs that a resume does not train again."""
    newest = Checkpoints(run_dir / "checkpoints", keep=2).newest()
    return newest.epochs if newest else 0


def test_a_kill_at_every_step_of_every_save(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = count_calls(tmp_path, monkeypatch)
    assert total > 60
    for at in range(1, total + 1):
        run_dir = tmp_path / str(at)
        with failing(at, Killed, tmp_path, monkeypatch), pytest.raises(Killed):
            mxtrain.fit(CONFIG, run_dir=run_dir)
        if not (run_dir / "config.yaml").exists():
            continue  # killed before there was a run
        assert saved(run_dir) >= seen(run_dir) - 1, f"more than one interval is lost at {at}"
        mxtrain.resume(run_dir)
        assert results(run_dir) == whole, f"killed at {at}"
        assert not list((run_dir / "checkpoints").glob(".*")), "temporary files are removed"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_an_error_at_every_write_is_one_line_and_keeps_the_old_checkpoint(
    code: int,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "killed.yaml"
    config.write_text(mxtrain.config.to_yaml(mxtrain.RunConfig.model_validate(CONFIG)), encoding="utf-8")
    for at in range(1, count_calls(tmp_path, monkeypatch) + 1):
        run_dir = tmp_path / str(at)
        with failing(at, lambda: OSError(code, os.strerror(code)), tmp_path, monkeypatch) as calls:
            status = main(["fit", str(config), "--run-dir", str(run_dir), "--quiet"])
        error_lines = capsys.readouterr().err.splitlines()
        where = f"call {at}, {calls[at - 1]}: {error_lines}"
        if status == 0:
            assert (error_lines, results(run_dir)) == ([], whole), where
        else:
            assert len(error_lines) == 1, where
            is_wrong_folder = code == errno.EACCES and "cannot be created" in error_lines[0]
            assert status == (2 if is_wrong_folder else 1), where
            assert error_lines[0].startswith("error: "), where
            assert os.strerror(code) in error_lines[0], where
            assert str(run_dir) in error_lines[0], where
        if (run_dir / "config.yaml").exists():
            assert saved(run_dir) >= seen(run_dir) - 1, where
            mxtrain.resume(run_dir)
            assert results(run_dir) == whole, where


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return mxtrain.fit(CONFIG, run_dir=tmp_path / "run").run_dir


def test_a_kill_at_every_step_of_replacing_a_checkpoint(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(run_dir / "checkpoints", keep=1)
    snapshot = checkpoints.newest()
    assert snapshot
    others = [dataclasses.replace(snapshot, record=snapshot.record | {"left_out_in_a_row": i}) for i in range(100)]
    checkpoints.save(snapshot)
    for at in range(1, 100):
        with failing(at, Killed, run_dir, monkeypatch) as calls, suppress(Killed):
            Checkpoints(run_dir / "checkpoints", keep=1).save(others[at])
        again = Checkpoints(run_dir / "checkpoints", keep=1)
        again.prepare()
        found = again.newest()
        assert found, f"lost at {at}, {calls[-1]}"
        assert found.record["left_out_in_a_row"] in (others[at - 1].record["left_out_in_a_row"], at)
        assert again.damaged == []
        if len(calls) < at:
            return
        again.save(others[at])
    raise AssertionError("the save never completed")


def damages(file: Path, flips: int) -> Iterator[bytes]:
    """Yield the content with one flipped bit, many times, and truncated at every length."""
    content, choose = file.read_bytes(), random.Random(0)
    for _ in range(flips):
        position = choose.randrange(len(content))
        flipped = bytes([content[position] ^ (1 << choose.randrange(8))])
        yield content[:position] + flipped + content[position + 1 :]
    for length in range(len(content)):
        yield content[:length]


def test_every_flipped_bit_and_every_truncation_is_detected(run_dir: Path) -> None:
    checkpoints = Checkpoints(run_dir / "checkpoints", keep=2)
    newest = checkpoints.folder / checkpoints.names()[-1]
    for file in newest.iterdir():
        good = file.read_bytes()
        for damaged in damages(file, flips=700):
            file.write_bytes(damaged)
            with pytest.raises(ValueError, match="SHA"):
                checkpoints.read(newest.name)
        file.write_bytes(good)
    checkpoints.read(newest.name)


def test_a_missing_or_extra_file_is_detected(run_dir: Path) -> None:
    checkpoints = Checkpoints(run_dir / "checkpoints", keep=2)
    newest = checkpoints.folder / checkpoints.names()[-1]
    (newest / "surplus").write_bytes(b"")
    with pytest.raises(ValueError, match="does not list the files"):
        checkpoints.read(newest.name)
    (newest / "surplus").unlink()
    (newest / "record.json").unlink()
    with pytest.raises(ValueError, match="does not list the files"):
        checkpoints.read(newest.name)


def test_a_damaged_checkpoint_is_skipped_and_reported(run_dir: Path, whole: dict[str, bytes]) -> None:
    newest = max((run_dir / "checkpoints").iterdir())
    (newest / "arrays.safetensors").write_bytes(b"damaged")
    notes: list[str] = []

    class Listener:
        def on_start(self, info: Any) -> None:
            notes.extend(info.notes)

        def on_batch(self, state: Any, loss: Any) -> None: ...

        def on_epoch(self, state: Any, row: Any) -> None: ...

        def on_end(self, seconds: float) -> None: ...

    mxtrain.resume(run_dir, callbacks=[Listener()])
    (note,) = notes
    assert note == (
        f"the checkpoint {newest} is damaged and was skipped: "
        f"{newest.name}/arrays.safetensors has changed: its SHA-256 differs"
    )
    assert results(run_dir) == whole


SCRIPT = """
import os, random, signal, sys, time
import mxtrain, mxtrain.training, mxtrain.data, mxtrain.nn
config, run_dir, kills = eval(sys.argv[1]), sys.argv[2], int(sys.argv[3])
choose = random.Random(int(sys.argv[4]))
done, longest = 0, 0.2
while done < kills:
    child = os.fork()
    if child == 0:
        try:
            if os.path.exists(os.path.join(run_dir, "config.yaml")):
                mxtrain.resume(run_dir, overrides=[f"fit.epochs={3 + done // 3}"])
            else:
                mxtrain.fit(config, run_dir=run_dir)
        except mxtrain.TrainingError as error:
            os._exit(0 if "not empty" in str(error) else 9)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(9)
        os._exit(0)
    time.sleep(choose.uniform(0.01, longest))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"a resume failed after {done} kills")
    if os.path.exists(os.path.join(run_dir, "config.yaml")):
        done += os.WIFSIGNALED(status)
    else:  # on a busy machine a run needs longer to start
        longest *= 1.1
        os.system(f"rm -rf {run_dir}")
mxtrain.resume(run_dir, overrides=[f"fit.epochs={3 + kills // 3}"])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_real_kills_at_random_moments(tmp_path: Path) -> None:
    kills = int(os.environ.get("MXTRAIN_TEST_KILLS", "30"))
    run_dir, config = tmp_path / "killed", CONFIG | {"threads": 1}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, repr(config), str(run_dir), str(kills), "0"]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    expected = mxtrain.fit(config | {"fit": CONFIG["fit"] | {"epochs": 3 + kills // 3}}, run_dir=tmp_path / "whole")
    assert results(run_dir) == results(expected.run_dir)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 15), (signal.SIGINT, 2)])
def test_the_first_signal_requests_a_stop_and_the_second_interrupts(number: int, status: int) -> None:
    code = f"""
import os, signal
from mxtrain.training import graceful_stop
with graceful_stop() as request:
    assert request.signal == 0
    os.kill(os.getpid(), {int(number)})
    assert request.signal == {status}
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), {int(number)})
    print("still here")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (-status, ""), result.stderr
