"""Direct calls to NumPy's BLAS on a single thread."""

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

_ROW_MAJOR = 101
NOT_TRANSPOSED, TRANSPOSED = 111, 112
"""CBLAS constants for a matrix and for its transpose."""
_TYPES: dict[str, tuple[str, Any]] = {"float32": ("s", ctypes.c_float), "float64": ("d", ctypes.c_double)}


class Gemm(NamedTuple):
    """The CBLAS function for matrix products of a dtype.

    Attributes:
        address: its address, for compiled code.
        function: the same function for Python; called with the result of `arguments`.
        number: the C type of the dtype.
    """

    address: int
    function: Callable[..., None]
    number: Any

    def arguments(self, tile: Sequence[int]) -> tuple[Any, ...]:
        """Return the arguments of the function for `out ← a·b`.

        Args:
            tile: TRANSPOSED or NOT_TRANSPOSED for a and b; m, n and k; and for each of a, b and out its address and
                the number of elements from one row to the next.
        """
        transposes, sizes, matrices = tile[:2], tile[2:5], tile[5:11]
        size, address = ctypes.c_int64, ctypes.c_void_p
        a, lda, b, ldb, out, ldout = matrices
        return (
            *map(ctypes.c_int, (_ROW_MAJOR, *transposes)),
            *map(size, sizes),
            self.number(1),
            *(address(a), size(lda), address(b), size(ldb)),
            self.number(0),
            *(address(out), size(ldout)),
        )


@cache
def gemm(dtype: str) -> Gemm | None:
    """Return the function that NumPy uses for a dtype.

    Returns:
        None if BLAS has no function for the dtype, or NumPy's BLAS is not the OpenBLAS of its wheels on PyPI.
    """
    library = _library()
    if library is None or dtype not in _TYPES:
        return None
    letter, number = _TYPES[dtype]
    function = library[f"scipy_cblas_{letter}gemm64_"]
    function.restype = None
    return Gemm(ctypes.cast(function, ctypes.c_void_p).value or 0, function, number)


@cache
def _library() -> ctypes.CDLL | None:
    """Return the OpenBLAS library that NumPy loaded; None if it uses another BLAS."""
    from threadpoolctl import threadpool_info

    package = Path(np.__file__).resolve().parent
    folders = {package.parent / "numpy.libs", package / ".libs", package / ".dylibs"}
    for each in threadpool_info():
        if each["internal_api"] == "openblas" and Path(each["filepath"]).resolve().parent in folders:
            library = ctypes.CDLL(each["filepath"])
            return library if hasattr(library, "scipy_cblas_sgemm64_") else None
    return None


class _ThreadDepth(threading.local):
    """Number of contexts that this thread has entered."""

    depth = 0


class _SingleThreadedBlas:
    """Reentrant context manager that limits NumPy's BLAS to one thread while any thread is inside it."""

    def __init__(self) -> None:
        self._library: ctypes.CDLL | None = None
        self._lock = threading.Lock()
        self._depth = 0
        self._this_thread = _ThreadDepth()
        self._default_threads = 1

    def controls(self, path: str) -> bool:
        """Return whether the library in a file is the one that this context manager limits."""
        return (library := _library()) is not None and library._name == path

    @property
    def default_threads(self) -> int:
        """Number of threads of BLAS outside the context; may be set at any time, inside too."""
        with self._lock:
            return (
                self._default_threads if self._depth else self._required_library().scipy_openblas_get_num_threads64_()
            )

    @default_threads.setter
    def default_threads(self, threads: int) -> None:
        with self._lock:
            self._default_threads = threads
            if not self._depth:
                self._required_library().scipy_openblas_set_num_threads64_(threads)

    def __enter__(self) -> None:
        self._library = _library()
        if self._library is None:
            return
        has_entered = False
        try:
            with self._lock:
                if not self._depth:
                    self._default_threads = self._library.scipy_openblas_get_num_threads64_()
                self._depth, self._this_thread.depth, has_entered = self._depth + 1, self._this_thread.depth + 1, True
                if self._depth == 1 and self._default_threads != 1:
                    self._library.scipy_openblas_set_num_threads64_(1)
        except BaseException:  # Ctrl-C may interrupt after any call
            if has_entered:
                self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._library is None:
            return
        with self._lock:  # Ctrl-C can interrupt only after a call, and the only call comes last
            self._depth, self._this_thread.depth = self._depth - 1, self._this_thread.depth - 1
            if not self._depth and self._default_threads != 1:
                self._library.scipy_openblas_set_num_threads64_(self._default_threads)

    def reset_after_fork(self) -> None:
        """Count only the contexts of the forking thread, the only thread of a forked child."""
        self._lock = threading.Lock()
        depth_in_parent, self._depth = self._depth, self._this_thread.depth
        if depth_in_parent and not self._depth and self._default_threads != 1:
            self._required_library().scipy_openblas_set_num_threads64_(self._default_threads)

    def _required_library(self) -> ctypes.CDLL:
        library = _library()
        assert library is not None, "`controls` was not checked first"
        return library


single_threaded_blas = _SingleThreadedBlas()
"""`with single_threaded_blas:` makes NumPy's matrix products independent of the number of threads of BLAS."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=single_threaded_blas.reset_after_fork)
