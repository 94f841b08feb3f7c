"""How long a rule's loop takes to compile, and how long to come from the cache."""

import json
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

import numpy as np
from report import Figure, Section

from mxtrain.benchmarks import RULE_CASES
from mxtrain.benchmarks.rule_benchmark import streaming_program
from mxtrain.optim.backends.numba_backend import compile_loop

_SET_UP = "set-up"


def section() -> Section:
    with tempfile.TemporaryDirectory() as folder:
        first, cached = (_probe(folder) for _ in range(2))
    once = cached.pop(_SET_UP)
    first.pop(_SET_UP)
    note = (
        "Each of the eight loops in a fresh process with an empty cache, then in a second process. A process's first "
        "loop, a plain sum that is none of them, makes Numba set itself up; that is shown by itself, and Numba's import "
        "is not counted."
    )
    return Section(
        "Compile time",
        note,
        [
            _figure("first use", first, 1),
            _figure("from the cache", cached, 0.1),
            Figure("Numba's set-up, once in a process", f"{once:.3f} s", "-", once, unit=" s"),
        ],
    )


def _figure(what: str, seconds: dict[str, float], target: float) -> Figure:
    slowest = max(seconds, key=lambda name: seconds[name])
    middle = f"median {median(seconds.values()):.3f} s"
    return Figure(f"{what}, the slowest rule: {slowest}", middle, "-", seconds[slowest], target, " s", True)


def _probe(folder: str) -> dict[str, float]:
    environment = os.environ | {"MXTRAIN_CACHE_DIR": folder}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, check=True, text=True)
    return json.loads(done.stdout)


def _measure() -> dict[str, float]:
    programs = {_SET_UP: streaming_program(())} | {name: rule.program() for name, rule in RULE_CASES.items()}
    seconds = {}
    for name, program in programs.items():
        begin = time.perf_counter()
        compile_loop(program, np.dtype(np.float32))
        seconds[name] = time.perf_counter() - begin
    return seconds


if __name__ == "__main__":
    print(json.dumps(_measure()))
