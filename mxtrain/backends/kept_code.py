"""Machine code that is kept on disk where that can be written, and made anew where it is damaged."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
from numba.core import caching

if getattr(numba.config, "DISABLE_JIT", False):
    raise ImportError("NUMBA_DISABLE_JIT switches the compiler off")

_cache_of: Any = caching.FunctionCache


def compile_and_keep(compiler: Callable[..., Any], function: Callable[..., Any]) -> Any:
    """Compile a function now, or take its machine code from the disk.

    Args:
        compiler: `compiler(cache=…)` is a decorator of Numba's that compiles at once.
        function: stands in a file, beside which or in whose user's cache Numba keeps the code.
    """
    with suppress(Exception):  # of any kind: damaged files are unpickled
        return compiler(cache=True)(function)
    with suppress(Exception):
        _cache_of(function).flush()  # an index that names nothing, so that the damaged files are written over
        return compiler(cache=True)(function)
    return compiler(cache=False)(function)  # no folder, no space; an error of the function itself comes again here
