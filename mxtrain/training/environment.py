"""The software and hardware of a run, and its number of BLAS threads.

BLAS divides products of matrices among threads, so their last bits depend on the number of threads. The package's own
models give the same bits on any number (`mxtrain.optim.backends.matmul`); custom models, and a NumPy whose BLAS cannot
be called directly, do not.
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.atomic_io import parse_json, read_file
from mxtrain.config import CustomConfig, RunConfig
from mxtrain.config.dotted_paths import flatten
from mxtrain.optim.backends.matmul import gemm, single_threaded_blas
from mxtrain.types import describe


def with_blas_threads(config: RunConfig) -> RunConfig:
    """Return the config with the number of BLAS threads of this process, if results depend on it and it is not set."""
    is_relevant = isinstance(config.model, CustomConfig) or gemm(config.dtype) is None
    return config.model_copy(update={"threads": blas_threads()}) if is_relevant and not config.threads else config


def blas_threads() -> int | None:
    """Return the number of BLAS threads in this process; None if the library does not report it, as on macOS."""
    return max(map(_threads, _libraries()), default=None)


@contextmanager
def limit_blas_threads(threads: int | None) -> Iterator[None]:
    """Set the number of BLAS threads while the context is active; None leaves it unchanged."""
    libraries = _libraries() if threads else []
    before = [(library, number) for library in libraries if (number := _threads(library)) != threads]
    try:
        for library, _ in before:
            _set_threads(library, threads)
        yield
    finally:
        for library, number in before:
            _set_threads(library, number)


def set_blas_threads(threads: int | None) -> None:
    """Set the number of BLAS threads for the rest of the process, which may train several runs in threads."""
    for library in _libraries() if threads else []:
        _set_threads(library, threads)


def _libraries() -> list[Any]:
    """Return the BLAS libraries that this process has loaded."""
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


def _threads(library: Any) -> int:
    return (
        single_threaded_blas.default_threads
        if single_threaded_blas.controls(library.filepath)
        else library.num_threads or 1
    )


def _set_threads(library: Any, threads: int | None) -> None:
    """Set the number of threads; NumPy's BLAS keeps one thread while another Python thread computes a product."""
    if single_threaded_blas.controls(library.filepath):
        single_threaded_blas.default_threads = threads or 1
    else:
        library.set_num_threads(threads)


ENVIRONMENT = "environment.json"
_PACKAGES = ("mxtrain", "numpy", "numba", "safetensors", "cupy-cuda12x", "cupy-cuda13x")
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE")
"""Variables on which the division of matrix products, and so their rounding, depends."""


def environment(backend: str) -> dict[str, Any]:
    """Return the machine, the versions and the backend, on which results may depend besides config and seed."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        **_numpy_build(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
        "backend": backend,
    }


def environment_json(environment: dict[str, Any]) -> bytes:
    """Format the environment as the content of environment.json."""
    return json.dumps(environment, indent=2).encode() + b"\n"


def environment_changes(run_dir: Path, backend: str) -> list[str]:
    """Return the changes since a run was last trained, such as `packages.numpy: was 2.1.0, is 2.3.5`.

    Args:
        run_dir: the run's folder.
        backend: the name of the backend in this process.
    """
    file = run_dir / ENVIRONMENT
    try:
        before = flatten(parse_json(read_file(file)))
    except (OSError, ValueError, AttributeError):
        return [f"{file} cannot be read, so the environment of the run is unknown"]
    now = flatten(environment(backend))
    return [
        f"{name}: was {_format_setting(before.get(name))}, is {_format_setting(now.get(name))}"
        for name in before | now
        if before.get(name) != now.get(name)
    ]


def _format_setting(value: Any) -> str:
    return "missing" if value is None else describe(value).strip("'")


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _numpy_build() -> dict[str, str]:
    """Return the BLAS of NumPy, and the vector instructions for which its loops are compiled."""
    found = np.show_config(mode="dicts")
    blas, simd = found["Build Dependencies"]["blas"], found.get("SIMD Extensions", {})
    return {"blas": f"{blas.get('name')} {blas.get('version')}", "simd": " ".join(simd.get("found", ()))}


@cache
def _cpu() -> str:
    """Return the name of the processor, on which the code of BLAS depends."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
