"""Short public import paths and import paths of earlier versions, for documented imports and for pickles."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_MOVED = {
    "mxtrain.backends": "mxtrain.optim.backends",
    "mxtrain.backends.auto": "mxtrain.optim.backends.selection",
    "mxtrain.backends.blocked": "mxtrain.optim.backends.numpy_backend",
    "mxtrain.backends.compiled": "mxtrain.optim.backends.compiled.numba_backend",
    "mxtrain.backends.gpu": "mxtrain.optim.backends.cupy_backend",
    "mxtrain.factory": "mxtrain.config.loader",
    "mxtrain.flat": "mxtrain.optim.flat_parameters",
    "mxtrain.kernel": "mxtrain.optim.ir",
    "mxtrain.learning_rate": "mxtrain.optim.schedules.learning_rate",
    "mxtrain.models": "mxtrain.nn",
    "mxtrain.nn.matmul": "mxtrain.optim.backends.matmul",
    "mxtrain.momentum": "mxtrain.optim.schedules.momentum",
    "mxtrain.optim.backends.numba_backend": "mxtrain.optim.backends.compiled.numba_backend",
    "mxtrain.optimizer": "mxtrain.optim.optimizer",
    "mxtrain.optimizers": "mxtrain.optim.rules",
    "mxtrain.optimizers.group": "mxtrain.optim.rules.base",
    "mxtrain.schedules": "mxtrain.optim.schedules",
    "mxtrain.state": "mxtrain.optim.optimization_state",
}


class _AliasLoader(Loader):
    def __init__(self, target: str) -> None:
        self._target = target

    def exec_module(self, module: ModuleType) -> None:
        """Replace the empty module under the former name by the module with the present name."""
        sys.modules[module.__name__] = import_module(self._target)


class AliasFinder(MetaPathFinder):
    """Finder of modules of earlier versions under their present names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for a former module or its submodules; None for all other names."""
        if not fullname.startswith("mxtrain."):
            return None
        parts = fullname.split(".")
        for length in range(len(parts), 1, -1):
            old = ".".join(parts[:length])
            if old in _MOVED:
                return ModuleSpec(fullname, _AliasLoader(_MOVED[old] + fullname[len(old) :]))
        return None


def install() -> None:
    """Register the finder, once.

    It is first, because the search path of a renamed package would find a submodule again, as a second module.
    """
    if not any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, AliasFinder())
