"""The compiled CPU backend: a program as one Numba loop that streams every array once."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

from mxtrain.backends.base import Group
from mxtrain.backends.layout import flat_views, gathered_blocks
from mxtrain.backends.loop import print_loop
from mxtrain.backends.loop_files import loop_file
from mxtrain.backends.rounding import rounded
from mxtrain.backends.threads import run_pieces
from mxtrain.kernel import Program

THREADED = 1 << 19
"""From this many elements on, an array is shared among threads; below, waking them costs more than they save."""


class CompiledBackend:
    """Runs programs on NumPy arrays as compiled loops, on several threads where arrays are large.

    A loop is compiled once for each program and dtype, and its machine code is kept on disk. It may run on several
    Python threads at once, and in forked processes.
    """

    name = "compiled"
    kinds: tuple[str, ...] = ("numpy",)

    def run(self, program: Program, groups: Sequence[Group], scalars: Sequence[float]) -> None:
        """Run a program in place on each group; see `Backend.run`."""
        if not groups:
            return
        dtype = groups[0][0].dtype
        loop = compile_loop(program, dtype)
        constants = rounded(scalars, dtype)
        for arrays in groups:
            views = flat_views(arrays)
            if views is None:
                for blocks in gathered_blocks(arrays, program.written):
                    loop(constants, *blocks)
            elif views[0].size < THREADED:
                loop(constants, *views)
            else:
                _run_threaded(loop, constants, views)


def _run_threaded(loop: Callable[..., None], constants: Any, views: list[Any]) -> None:
    run_pieces(lambda piece: loop(constants, *[view[piece] for view in views]), views[0].size)


@cache
def compile_loop(program: Program, dtype: np.dtype[Any]) -> Callable[..., None]:
    """The compiled loop of a program for a dtype; machine code from the disk where it is there.

    Where the cache cannot be written, the loop is compiled for this process alone.
    """
    source = print_loop(program)
    element = numba.from_dtype(dtype)
    writable = numba.types.Array(element, 1, "C")
    readable = numba.types.Array(element, 1, "C", readonly=True)
    arrays = [writable if number in program.written else readable for number in range(len(program.arrays))]
    signature = numba.void(readable, *arrays)
    compiler, keeper = (
        numba.njit(signature, nogil=True, error_model="numpy", cache=is_kept) for is_kept in (False, True)
    )
    try:
        return keeper(_load(loop_file(program.name, source)))
    except Exception:  # noqa: BLE001 - no folder, no space, damaged files: an error of the loop itself comes again here
        return compiler(_execute(source, program.name))


def _load(path: Path) -> Callable[..., None]:
    """The loop in a file, as a module that can be found by its name: Numba looks for it there."""
    name = f"mxtrain_loop_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise OSError(f"{path} cannot be loaded")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loop: Callable[..., None] = module.loop
    return loop


def _execute(source: str, name: str) -> Callable[..., None]:
    namespace: dict[str, Any] = {}
    exec(compile(source, f"<{name}, printed by mxtrain>", "exec"), namespace)
    loop: Callable[..., None] = namespace["loop"]
    return loop
