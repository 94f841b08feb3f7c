"""Checkpoints of `minimize`: an interrupted call, made again, ends with the bytes of an uninterrupted one."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.errors import ArrayTypeError, StateError
from mxtrain.minimization.checkpoint import CheckpointFile
from tests.minimization.functions import quadratic, rosenbrock

METHODS: dict[str, Any] = {
    "adam": {"kind": "adam", "η": 0.01},
    "schedule": {"kind": "sgd", "η": 1e-3, "μ": 0.9, "η_sched": {"kind": "cosine", "T": "run", "per": "iteration"}},
    "schedule_free": {"kind": "schedule_free_adamw", "η": 0.01},
    "prodigy": "prodigy",
    "muon": {"kind": "muon", "η": 0.01},
    "cg": "cg",
    "lbfgs": {"kind": "lbfgs", "memory": 4},
    "stages": [{"kind": "adam", "η": 0.01, "max_iterations": 7}, {"kind": "rprop", "max_iterations": 9}, "lbfgs"],
}
BOUNDS: dict[str, Any] = {"none": None, "uniform": (-1.5, 0.9), "arrays": (np.linspace(-2, -1, 6), None)}
CASES = [(name, bounds) for name in METHODS for bounds in BOUNDS if name != "cg" or bounds == "none"]


class Stopped(Exception):
    pass


def outcome(result: Any) -> tuple[Any, ...]:
    history = {name: column.tobytes() for name, column in (result.history or {}).items() if name != "seconds"}
    return (result.x.tobytes(), result.fun, result.jac.tobytes(), result.nit, result.nfev, result.message, history)


@pytest.mark.parametrize(("name", "bounds"), CASES)
def test_interrupted_calls_end_with_the_same_bytes(name: str, bounds: str, tmp_path: Path) -> None:
    settings: Any = {"bounds": BOUNDS[bounds], "until": {"max_iterations": 24, "gtol": None}, "history": True}
    x0 = np.linspace(-1.2, 0.5, 6)
    expected = outcome(mxtrain.minimize(rosenbrock, x0, METHODS[name], **settings))
    calls, limit = 0, 0

    def interrupted(x: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > limit:
            raise Stopped
        return rosenbrock(x)

    settings |= {"checkpoint": tmp_path / "state", "checkpoint_every": "1 iteration"}
    for limit in (3, 2, 8, 1, 100):
        calls = 0
        try:
            result = mxtrain.minimize(interrupted, x0, METHODS[name], **settings)
        except Stopped:
            assert limit < 100
    assert outcome(result) == expected
    assert 0 < calls < expected[4]
    calls = 0
    assert outcome(mxtrain.minimize(rosenbrock, x0, METHODS[name], **settings)) == expected  # of a finished call


def test_more_iterations_continue_a_finished_call(tmp_path: Path) -> None:
    method, x0 = METHODS["adam"], np.zeros(4)
    short: Any = {"until": {"max_iterations": 10}, "checkpoint": tmp_path / "state"}
    mxtrain.minimize(rosenbrock, x0, method, **short)
    result = mxtrain.minimize(rosenbrock, x0, method, **short | {"until": {"max_iterations": 30}})
    expected = mxtrain.minimize(rosenbrock, x0, method, until={"max_iterations": 30})
    assert outcome(result) == outcome(expected)


SCRIPT = """
    import signal, sys, time, numpy as np, mxtrain
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
    from tests.minimization.functions import quadratic, rosenbrock
    def slow(x):
        time.sleep(0.002)
        return rosenbrock(x)
    def show(intermediate_result):
        print(intermediate_result.nit, flush=True)
    result = mxtrain.minimize(slow, np.linspace(-1, 1, 8), METHOD, until={"max_iterations": 150, "gtol": None},
        checkpoint=sys.argv[1], checkpoint_every="1 iteration", callback=show)
    print(result.x.tobytes().hex(), flush=True)
"""


@pytest.fixture
def keyboard_interrupt() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, also if the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(file: Path, method: object) -> "subprocess.Popen[str]":
    code = textwrap.dedent(SCRIPT).replace("METHOD", repr(method))
    return subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL does not exist")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_signals(number: int, tmp_path: Path) -> None:
    method = [{"kind": "adam", "η": 0.01, "max_iterations": 60}, {"kind": "sgd", "η": 1e-3, "μ": 0.9}]
    process = start(tmp_path / "state", method)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 70:
            process.send_signal(number)
            break
    rest, _ = process.communicate(timeout=30)
    assert len(rest.splitlines()) < 60
    assert process.returncode == -number or number == signal.SIGINT
    assert process.returncode != 0
    again = start(tmp_path / "state", method)
    lines = again.communicate(timeout=30)[0].splitlines()
    assert int(lines[0]) > 60
    until = {"max_iterations": 150, "gtol": None}
    assert lines[-1] == mxtrain.minimize(rosenbrock, np.linspace(-1, 1, 8), method, until=until).x.tobytes().hex()


def test_a_function_that_raises_leaves_the_checkpoint_intact(tmp_path: Path) -> None:
    file = tmp_path / "state"
    settings: Any = {"checkpoint": file, "until": {"max_iterations": 5}}
    mxtrain.minimize(rosenbrock, np.zeros(3), "adam", **settings)
    content = file.read_bytes()

    def fails(x: Any) -> Any:
        raise ZeroDivisionError("in fun")

    with pytest.raises(ZeroDivisionError, match="in fun"):
        mxtrain.minimize(fails, np.zeros(3), "adam", **settings | {"until": {"max_iterations": 9}})
    assert file.read_bytes() == content
    assert list(tmp_path.iterdir()) == [file]


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    file = tmp_path / "state"
    settings: Any = {"method": "lbfgs", "checkpoint": file}
    mxtrain.minimize(rosenbrock, np.zeros(3), until={"max_iterations": 3}, **settings)
    content = file.read_bytes()
    for i in (*range(0, len(content), 7), len(content) - 1):
        damaged = content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :]
        file.write_bytes(damaged)
        with pytest.raises(StateError) as caught:
            mxtrain.minimize(rosenbrock, np.zeros(3), until={"max_iterations": 9}, **settings)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith("; remove it to start again")
        assert file.read_bytes() == damaged
    assert str(caught.value) == f"{file} is damaged: its SHA-256 has changed; remove it to start again"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_evaluation(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = CheckpointFile.load

    def interrupted(self: CheckpointFile, asarray: Any) -> Any:
        signal.raise_signal(number)
        return load(self, asarray)

    def ends(*_: object) -> None:
        raise KeyboardInterrupt

    settings: Any = {"checkpoint": tmp_path / "state", "until": {"max_iterations": 9}}
    expected = outcome(mxtrain.minimize(rosenbrock, np.zeros(3), until={"max_iterations": 9}))
    before = signal.signal(number, ends)
    monkeypatch.setattr(CheckpointFile, "load", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            mxtrain.minimize(rosenbrock, np.zeros(3), **settings)
    finally:
        signal.signal(number, before)
        monkeypatch.undo()
    assert outcome(mxtrain.minimize(rosenbrock, np.zeros(3), **settings)) == expected


@pytest.mark.usefixtures("keyboard_interrupt")
def test_a_signal_at_the_end_of_a_stage_that_evaluates_other_weights(tmp_path: Path) -> None:
    method: Any = [{"kind": "adam", "ema": {"decay": 0.9}, "max_iterations": 5}, "lbfgs"]
    until: Any = {"max_iterations": 12}
    expected = outcome(mxtrain.minimize(rosenbrock, np.zeros(3), method, until=until))

    def interrupts(intermediate_result: Any) -> None:
        if intermediate_result.nit == 5:
            signal.raise_signal(signal.SIGINT)

    settings: Any = {"checkpoint": tmp_path / "state", "until": until}
    with pytest.raises(KeyboardInterrupt):
        mxtrain.minimize(rosenbrock, np.zeros(3), method, callback=interrupts, **settings)
    assert outcome(mxtrain.minimize(rosenbrock, np.zeros(3), method, **settings)) == expected


def test_a_checkpoint_without_history_is_refused_if_history_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "state"
    mxtrain.minimize(quadratic, np.zeros(3), checkpoint=file, until={"max_iterations": 1})
    content = file.read_bytes()
    with pytest.raises(StateError) as caught:
        mxtrain.minimize(quadratic, np.zeros(3), checkpoint=file, history=True)
    remedy = "pass history=False, or remove it to start again"
    assert str(caught.value) == f"{file} was written without history; {remedy}"
    assert file.read_bytes() == content


def test_a_full_disk_at_the_last_checkpoint_leaves_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, until = tmp_path / "state", {"max_iterations": 3}
    expected = outcome(mxtrain.minimize(quadratic, np.zeros(3), until=until))

    def fails(self: Any, state: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CheckpointFile, "save", fails)
    message = "state: the checkpoint cannot be written: No space left on device; the result is complete"
    with pytest.warns(RuntimeWarning, match=message) as caught:
        result = mxtrain.minimize(quadratic, np.zeros(3), checkpoint=file, until=until)
    assert outcome(result) == expected
    assert caught[0].filename == __file__


def test_a_condition_that_returns_an_array_is_refused() -> None:
    with pytest.raises(ArrayTypeError, match=r"until.when must return true or false, got array\(\[ True,"):
        mxtrain.minimize(quadratic, np.zeros(3), until={"when": lambda progress: np.ones(2) > 0})
