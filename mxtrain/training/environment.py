"""What a run ran on, and what of it is no longer so."""

import json
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.atomic_io import read_file
from mxtrain.training.flattened import flattened
from mxtrain.training.json_text import parse
from mxtrain.types import describe

ENVIRONMENT = "environment.json"
_PACKAGES = ("mxtrain", "numpy", "numba", "safetensors", "cupy-cuda12x", "cupy-cuda13x")
_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE")
"""What tells BLAS how to cut products of matrices into parts, and so how they are rounded."""


def environment(backend: str) -> dict[str, Any]:
    """The machine, the versions and the backend: what a result may depend on besides config and seed."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        **_numpy_build(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": {name: os.environ[name] for name in _THREADS if name in os.environ},
        "backend": backend,
    }


def to_text(environment: dict[str, Any]) -> bytes:
    """As it is written."""
    return json.dumps(environment, indent=2).encode() + b"\n"


def environment_changes(run_dir: Path, backend: str) -> list[str]:
    """In what this process differs from the one that trained a run last, such as `packages.numpy: was 2.1.0, is 2.3.5`.

    Args:
        run_dir: the run's folder.
        backend: what runs the updates in this process.
    """
    file = run_dir / ENVIRONMENT
    try:
        before = flattened(parse(read_file(file)))
    except (OSError, ValueError, AttributeError):
        return [f"{file} cannot be read, so nothing is known of what the run ran on"]
    now = flattened(environment(backend))
    return [
        f"{name}: was {_told(before.get(name))}, is {_told(now.get(name))}"
        for name in before | now
        if before.get(name) != now.get(name)
    ]


def _told(value: Any) -> str:
    return "not there" if value is None else describe(value).strip("'")


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _numpy_build() -> dict[str, str]:
    """What NumPy multiplies matrices with, and for which vector instructions its loops are compiled."""
    found = np.show_config(mode="dicts")
    blas, simd = found["Build Dependencies"]["blas"], found.get("SIMD Extensions", {})
    return {"blas": f"{blas.get('name')} {blas.get('version')}", "simd": " ".join(simd.get("found", ()))}


@cache
def _cpu() -> str:
    """The processor's name; BLAS has other code for other processors."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
