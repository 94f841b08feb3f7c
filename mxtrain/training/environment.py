"""What a run ran on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("mxtrain", "numpy", "numba", "safetensors", "cupy-cuda12x", "cupy-cuda13x")


def environment(backend: str) -> dict[str, Any]:
    """The machine, the versions and the backend: what a result may depend on besides config and seed."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "system": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "backend": backend,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
