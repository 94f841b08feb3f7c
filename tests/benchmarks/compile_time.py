"""Time to compile the loop of a rule, and to load it from the cache."""

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
from mxtrain.optim.backends.compiled.numba_backend import compile_loop
from mxtrain.optim.ir import Program

_SETUP = "setup"


def section() -> Section:
    with tempfile.TemporaryDirectory() as folder:
        first, cached = (_probe(folder) for _ in range(2))
    setup = cached.pop(_SETUP)
    first.pop(_SETUP)
    note = (
        "Each of the eight loops, first in a new process with an empty cache, then in a second process. The first loop of "
        "a process, a plain sum that is not one of them, initializes Numba; that time is shown separately. The import of "
        "Numba is not included."
    )
    return Section(
        "Compile time",
        note,
        [
            _figure("first use", first, 1),
            _figure("from the cache", cached, 0.1),
            Figure("initialization of Numba, once per process", f"{setup:.3f} s", "-", setup, unit=" s"),
        ],
    )


def _figure(name: str, seconds: dict[str, float], target: float) -> Figure:
    slowest = max(seconds, key=lambda rule: seconds[rule])
    typical = f"median {median(seconds.values()):.3f} s"
    return Figure(f"{name}, the slowest rule: {slowest}", typical, "-", seconds[slowest], target, " s", True)


def _probe(folder: str) -> dict[str, float]:
    environment = os.environ | {"MXTRAIN_CACHE_DIR": folder}
    process = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, check=True, text=True)
    return json.loads(process.stdout)


def _measure() -> dict[str, float]:
    programs = {_SETUP: streaming_program(())} | {
        name: rule.program() for name, rule in RULE_CASES.items() if isinstance(rule.program(), Program)
    }
    seconds = {}
    for name, program in programs.items():
        begin = time.perf_counter()
        compile_loop(program, np.dtype(np.float32))
        seconds[name] = time.perf_counter() - begin
    return seconds


if __name__ == "__main__":
    print(json.dumps(_measure()))
