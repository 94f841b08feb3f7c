"""Thread pool: updates from any thread or process complete, and the interpreter always exits."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends.compiled import thread_pool
from mxtrain.optim.backends.compiled.numba_tasks import MIN_PARALLEL_SIZE
from tests.tables import special_arrays

SIZE = 3 * MIN_PARALLEL_SIZE + 5


def update_weight(backend: str, steps: int = 4, seed: int = 0) -> bytes:
    weight, *gradients = special_arrays(SIZE, "float32", count=1 + steps, seed=seed)
    optimizer = mxtrain.build({"kind": "adam", "clip": 1}, backend=backend, on_nonfinite="ignore")
    for gradient in gradients:
        optimizer.update(0, gradient, weight)
    return np.nan_to_num(weight).tobytes()


@pytest.mark.parametrize("threads", ["1", "2", "3", "17"])
def test_any_number_of_threads_gives_the_same_bits(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", threads)
    assert update_weight("compiled") == update_weight("numpy")


def test_one_thread_starts_no_workers() -> None:
    code = f"""
import threading, numpy as np, mxtrain
weight = np.ones({SIZE}, dtype="float32")
mxtrain.build({{"kind": "sgd"}}, backend="compiled").update(0, weight.copy(), weight)
assert threading.active_count() == 1
"""
    environment = os.environ | {"MXTRAIN_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_workers_wake_from_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", "3")
    weight, gradient = np.zeros(SIZE, "float32"), np.ones(SIZE, "float32")
    optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0}, backend="compiled")
    for step in range(1, 60):
        optimizer.update(0, gradient, weight)
        assert (weight == -step).all()
        time.sleep(0.001 * (step % 3))


def test_a_pipe_wakes_workers_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "_new_wake_descriptors", os.pipe)
    monkeypatch.setattr(thread_pool, "_pool", thread_pool.ThreadPool())
    test_workers_wake_from_sleep(monkeypatch)


def test_python_threads_compete_for_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", "3")
    expected = [update_weight("numpy", seed=seed) for seed in range(4)]
    found: dict[int, list[bytes]] = {}

    def work(seed: int) -> None:
        found[seed] = [update_weight("compiled", seed=seed) for _ in range(4)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: [each] * 4 for seed, each in enumerate(expected)}


def test_there_are_no_more_workers_than_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", "1000")
    monkeypatch.setattr(thread_pool, "_pool", thread_pool.ThreadPool())
    before = threading.active_count()
    assert update_weight("compiled") == update_weight("numpy")
    assert threading.active_count() - before < SIZE >> 14
    thread_pool.shared_pool().shutdown()


def refuse_thread(*arguments: object, **keywords: object) -> None:
    raise RuntimeError("can't start new thread")


def refuse_file(*arguments: object) -> None:
    raise OSError("Too many open files")


@pytest.mark.parametrize("refused", ["thread", "second thread", "file"])
def test_updates_complete_if_the_system_refuses_threads_or_files(refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", "3")
    monkeypatch.setattr(thread_pool, "_pool", thread_pool.ThreadPool())
    if refused == "file":
        monkeypatch.setattr(thread_pool, "_new_wake_descriptors", refuse_file)
    else:
        start, allowed = threading._start_new_thread, iter([refused == "second thread"])  # type: ignore[attr-defined]
        monkeypatch.setattr(
            threading, "_start_new_thread", lambda *a, **k: (start if next(allowed, False) else refuse_thread)(*a, **k)
        )
    assert update_weight("compiled") == update_weight("numpy")
    thread_pool.shared_pool().shutdown()


EXITS = {
    "immediately": "",
    "after a while": "import time; time.sleep(0.05)",
    "with an exception": "raise SystemExit(0)",
    "while a daemon thread is running": """
import threading
threading.Thread(target=lambda: [step() for _ in iter(int, 1)], daemon=True).start()
""",
    "with an update in atexit": "import atexit; atexit.register(step)",
    "with an update after the shutdown of the pool": "",
}


@pytest.mark.parametrize("case", EXITS.keys())
def test_the_interpreter_exits(case: str) -> None:
    first = "import atexit; atexit.register(lambda: step())" if "after the shutdown" in case else ""
    code = f"""
{first}
import numpy as np, mxtrain
weight, gradient = np.ones({SIZE}, dtype="float32"), np.ones({SIZE}, dtype="float32")
optimizer = mxtrain.build({{"kind": "adam"}}, backend="compiled")
def step():
    optimizer.update(0, gradient, weight)
step()
step()
{EXITS[case]}
"""
    environment = os.environ | {"MXTRAIN_THREADS": "3"}
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_during_an_update_has_its_own_workers() -> None:
    code = f"""
import os, threading, numpy as np, mxtrain
def make_step():
    weight, gradient = np.ones({SIZE}, dtype="float32"), np.ones({SIZE}, dtype="float32")
    optimizer = mxtrain.build({{"kind": "sgd", "η": 1, "λ": 0}}, backend="compiled")
    return lambda: optimizer.update(0, gradient, weight), weight
step, _ = make_step()
step()
stop = threading.Event()
def run():
    while not stop.is_set():
        step()
thread = threading.Thread(target=run)
thread.start()
codes = []
for _ in range(10):
    child = os.fork()
    if not child:
        step, weight = make_step()
        for _ in range(5):
            step()
        os._exit(0 if (weight == -4).all() else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
thread.join()
assert codes == [0] * 10, codes
"""
    environment = os.environ | {"MXTRAIN_THREADS": "3"}
    arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    process = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_exits_while_its_parent_runs_updates() -> None:
    code = f"""
import os, sys, threading, time, numpy as np, mxtrain
weight, gradient = np.ones({20 * SIZE}, dtype="float32"), np.ones({20 * SIZE}, dtype="float32")
optimizer = mxtrain.build({{"kind": "adam"}}, backend="compiled")
def count_files():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
before = count_files()
optimizer.update(0, gradient, weight)
stop = threading.Event()
def run():
    while not stop.is_set():
        optimizer.update(0, gradient, weight)
thread = threading.Thread(target=run)
thread.start()
children = []
for _ in range(5):
    time.sleep(0.01)
    children.append(os.fork())
    if not children[-1]:
        sys.exit(count_files() - before)  # a normal exit; the child holds no descriptors of its parent's pool
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
stop.set()
thread.join()
assert codes == [0] * 5, codes
"""
    environment = os.environ | {"MXTRAIN_THREADS": "3"}
    arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    process = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (process.returncode, process.stderr) == (0, "")
