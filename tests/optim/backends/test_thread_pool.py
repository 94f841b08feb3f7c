"""The helper threads: whoever updates, wherever, and whenever the interpreter ends, the work is done and nobody hangs."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends import thread_pool
from mxtrain.optim.backends.numba_backend import MIN_PARALLEL_SIZE
from tests.tables import awkward

SIZE = 3 * MIN_PARALLEL_SIZE + 5


def updated(backend: str, steps: int = 4, seed: int = 0) -> bytes:
    weight, *gradients = awkward(SIZE, "float32", count=1 + steps, seed=seed)
    optimizer = mxtrain.build({"kind": "adam", "clip": 1}, backend=backend, on_nonfinite="ignore")
    for gradient in gradients:
        optimizer.update(0, gradient, weight)
    return np.nan_to_num(weight).tobytes()


@pytest.mark.parametrize("threads", ["1", "2", "3", "17"])
def test_any_number_of_threads_gives_the_same_bits(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", threads)
    assert updated("compiled") == updated("numpy")


def test_one_thread_hires_nobody() -> None:
    code = f"""
import threading, numpy as np, mxtrain
weight = np.ones({SIZE}, dtype="float32")
mxtrain.build({{"kind": "sgd"}}, backend="compiled").update(0, weight.copy(), weight)
assert threading.active_count() == 1
"""
    environment = os.environ | {"MXTRAIN_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_helpers_wake_from_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", "3")
    weight, gradient = np.zeros(SIZE, "float32"), np.ones(SIZE, "float32")
    optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0}, backend="compiled")
    for step in range(1, 60):
        optimizer.update(0, gradient, weight)
        assert (weight == -step).all()
        time.sleep(0.001 * (step % 3))


def test_a_bell_of_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "_new_wake_descriptors", os.pipe)
    monkeypatch.setattr(thread_pool, "_pool", thread_pool.ThreadPool())
    test_helpers_wake_from_sleep(monkeypatch)


def test_python_threads_compete_for_the_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", "3")
    expected = [updated("numpy", seed=seed) for seed in range(4)]
    found: dict[int, list[bytes]] = {}

    def work(seed: int) -> None:
        found[seed] = [updated("compiled", seed=seed) for _ in range(4)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: [each] * 4 for seed, each in enumerate(expected)}


def test_no_more_helpers_than_there_are_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", "1000")
    monkeypatch.setattr(thread_pool, "_pool", thread_pool.ThreadPool())
    before = threading.active_count()
    assert updated("compiled") == updated("numpy")
    assert threading.active_count() - before < SIZE >> 14
    thread_pool.shared_pool().shutdown()


def refuse(*arguments: object, **keywords: object) -> None:
    raise RuntimeError("can't start new thread")


def refuse_file(*arguments: object) -> None:
    raise OSError("Too many open files")


@pytest.mark.parametrize("what", ["thread", "second thread", "file"])
def test_where_the_system_gives_no_more_the_work_is_done_all_the_same(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MXTRAIN_THREADS", "3")
    monkeypatch.setattr(thread_pool, "_pool", thread_pool.ThreadPool())
    if what == "file":
        monkeypatch.setattr(thread_pool, "_new_wake_descriptors", refuse_file)
    else:
        start, left = threading._start_new_thread, iter([what == "second thread"])  # type: ignore[attr-defined]
        monkeypatch.setattr(
            threading, "_start_new_thread", lambda *a, **k: (start if next(left, False) else refuse)(*a, **k)
        )
    assert updated("compiled") == updated("numpy")
    thread_pool.shared_pool().shutdown()


ENDINGS = {
    "at once": "",
    "after a while": "import time; time.sleep(0.05)",
    "with an exception": "raise SystemExit(0)",
    "while a daemon thread goes on": """
import threading
threading.Thread(target=lambda: [step() for _ in iter(int, 1)], daemon=True).start()
""",
    "with an update at the very end": "import atexit; atexit.register(step)",
    "with an update after the helpers have gone": "",
}


@pytest.mark.parametrize("ending", ENDINGS.keys())
def test_the_interpreter_ends(ending: str) -> None:
    first = "import atexit; atexit.register(lambda: step())" if "have gone" in ending else ""
    code = f"""
{first}
import numpy as np, mxtrain
weight, gradient = np.ones({SIZE}, dtype="float32"), np.ones({SIZE}, dtype="float32")
optimizer = mxtrain.build({{"kind": "adam"}}, backend="compiled")
def step():
    optimizer.update(0, gradient, weight)
step()
step()
{ENDINGS[ending]}
"""
    environment = os.environ | {"MXTRAIN_THREADS": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_in_the_middle_of_an_update_has_helpers_of_its_own() -> None:
    code = f"""
import os, threading, numpy as np, mxtrain
def updater():
    weight, gradient = np.ones({SIZE}, dtype="float32"), np.ones({SIZE}, dtype="float32")
    optimizer = mxtrain.build({{"kind": "sgd", "η": 1, "λ": 0}}, backend="compiled")
    return lambda: optimizer.update(0, gradient, weight), weight
step, _ = updater()
step()
over = threading.Event()
def go_on():
    while not over.is_set():
        step()
thread = threading.Thread(target=go_on)
thread.start()
codes = []
for _ in range(10):
    child = os.fork()
    if not child:
        step, weight = updater()
        for _ in range(5):
            step()
        os._exit(0 if (weight == -4).all() else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
over.set()
thread.join()
assert codes == [0] * 10, codes
"""
    environment = os.environ | {"MXTRAIN_THREADS": "3"}
    arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_ends_whatever_its_parent_is_at() -> None:
    code = f"""
import os, sys, threading, time, numpy as np, mxtrain
weight, gradient = np.ones({20 * SIZE}, dtype="float32"), np.ones({20 * SIZE}, dtype="float32")
optimizer = mxtrain.build({{"kind": "adam"}}, backend="compiled")
def files():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
before = files()
optimizer.update(0, gradient, weight)
over = threading.Event()
def go_on():
    while not over.is_set():
        optimizer.update(0, gradient, weight)
thread = threading.Thread(target=go_on)
thread.start()
children = []
for _ in range(5):
    time.sleep(0.01)
    children.append(os.fork())
    if not children[-1]:
        sys.exit(files() - before)  # the interpreter ends as usual; it holds no file of its parent's helpers
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
over.set()
thread.join()
assert codes == [0] * 5, codes
"""
    environment = os.environ | {"MXTRAIN_THREADS": "3"}
    arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
