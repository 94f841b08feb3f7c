"""Forks while another thread compiles, and signals during an update."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mxtrain.processes import ForkLock

STEP = """
import numpy as np, mxtrain
def step(backend="compiled", size=8):
    weight, gradient = np.zeros(size, "float32"), np.ones(size, "float32")
    mxtrain.build({"kind": "sgd", "η": 1, "λ": 0}, backend=backend).update(0, gradient, weight)
    return (weight == -1).all()
"""


def run(code: str, cache: Path, **environment: str) -> None:
    process = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", STEP + code],
        env=os.environ | {"MXTRAIN_CACHE_DIR": str(cache)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_waits_while_another_thread_imports_numba_or_compiles(tmp_path: Path) -> None:
    """Without the wait, a child would block on a compiler lock that another thread held; an alarm would end it."""
    code = """
import os, signal, threading, time
thread = threading.Thread(target=step)
thread.start()
children = []
for delay in (0.05, 0.3, 0.3):
    time.sleep(delay)
    child = os.fork()
    if not child:
        signal.alarm(240)
        os._exit(0 if step() else 1)
    children.append(child)
thread.join()
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert codes == [0] * 3, codes
"""
    run(code, tmp_path)


def is_free(lock: ForkLock) -> bool:
    """Return whether another thread can enter the lock."""
    entered = threading.Event()

    def enter() -> None:
        with lock:
            entered.set()

    threading.Thread(target=enter, daemon=True).start()
    return entered.wait(timeout=1)


def test_a_fork_by_the_thread_that_holds_the_lock() -> None:
    lock = ForkLock()
    with lock:
        lock.before_fork()
        lock.after_fork_in_child()
        with lock:
            assert not is_free(lock)
    lock.before_fork()
    lock.after_fork_in_parent()
    lock.after_fork_in_parent()  # as after an interrupted wait before a fork
    assert is_free(lock)


def test_signals_during_updates_leave_the_pool_usable(tmp_path: Path) -> None:
    """Each update is complete or has not started; afterwards the workers still run jobs."""
    code = """
import random, signal
from mxtrain.optim.backends.compiled import thread_pool
size = 300_000
class Interrupt(Exception): pass
def interrupt(*_):
    raise Interrupt
signal.signal(signal.SIGALRM, interrupt)
optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0, "μ": 0.5}, backend="compiled")
weight, gradient = np.zeros(size, "float32"), np.ones(size, "float32")
optimizer.update(0, gradient, weight)
caught, random = 0, random.Random(0)
for _ in range(1500):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 6e-4))
        for _ in range(20):
            optimizer.update(0, gradient, weight)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupt:
        caught += 1
    assert (weight == weight[0]).all()
assert caught > 500, caught
pool = thread_pool.shared_pool()
run = pool.run
results = []
pool.run = lambda *arguments: results.append(run(*arguments)) or results[-1]
for _ in range(5):
    optimizer.update(0, gradient, weight)
assert results == [True] * 5, results
"""
    run(code, tmp_path, MXTRAIN_THREADS="3")
