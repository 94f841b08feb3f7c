"""Data in forked processes, which lack the threads of Polars that their parents had started."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys, tempfile
import numpy as np
import mxtrain
from mxtrain.errors import DataError

X = np.arange(40.0).reshape(20, 2) ** 2
kind = sys.argv[1]
frame = {"a": X[:, 0], "city": ["u", "v"] * 10, "y": X[:, 1]}
data = frame if kind == "columns" else (X, X[:, 0] if kind == "numbers" else [0, 1] * 10)
config = {
    "data": {"source": "in_memory", **({"target": "y"} if kind == "columns" else {})}, "model": {"kind": "linear"},
    "loss": "logistic" if kind == "classes" else "squared_error", "optimizer": {"kind": "adam"}, "fit": {"epochs": 1}}
mxtrain.fit({**config, "data": {"source": "in_memory", "target": "y"}, "loss": "squared_error"}, data=frame,
    run_dir=tempfile.mkdtemp())
process = os.fork()
if process == 0:
    try:
        mxtrain.fit(config, data=data, run_dir=tempfile.mkdtemp())
        print("trained", flush=True)
    except DataError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(process, 0)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system has no /proc to find threads in")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("numbers", "trained"),
        ("classes", "trained"),
        ("columns", "data: cannot be read in a process that was forked after its parent had read a table with Polars"),
    ],
)
def test_arrays_are_read_and_tables_are_refused(kind: str, expected: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, kind]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.startswith(expected)
