"""Without PyTorch and JAX: `import mxtrain` needs neither, and their modules say what to install."""

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import pytest

from mxtrain.errors import BackendError


@pytest.mark.parametrize(("module", "package"), [("mxtrain.torch", "torch"), ("mxtrain.jax", "jax")])
def test_a_missing_framework_is_one_line(module: str, package: str, hide_packages: Callable[..., None]) -> None:
    hide_packages(package, importers=(module,))
    with pytest.raises(BackendError, match=f"^{module} needs .*; pip install {package}$"):
        import_module(module)


def test_import_mxtrain_imports_no_framework() -> None:
    code = "import mxtrain, sys; mxtrain.build; print(*sys.modules.keys() & {'torch', 'jax', 'optax'})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
