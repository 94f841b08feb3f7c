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
"""How BLAS is told whether a matrix or its transpose is meant."""
_TYPES: dict[str, tuple[str, Any]] = {"float32": ("s", ctypes.c_float), "float64": ("d", ctypes.c_double)}


class Gemm(NamedTuple):
    """The function that multiplies matrices of a dtype.

    Attributes:
        address: where it is, for compiled code.
        function: the same for Python, which takes what `arguments` makes.
        number: the C type of the dtype.
    """

    address: int
    function: Callable[..., None]
    number: Any

    def arguments(self, tile: Sequence[int]) -> tuple[Any, ...]:
        """What the function is called with, for `out ← left·right`.

        Args:
            tile: the forms of left and right, PLAIN or TURNED; m, n and k; and for left, right and out each the address
                and the number of elements from one row to the next.
        """
        forms, sizes, matrices = tile[:2], tile[2:5], tile[5:11]
        size, address = ctypes.c_int64, ctypes.c_void_p
        left, left_row, right, right_row, out, out_row = matrices
        return (
            *map(ctypes.c_int, (_ROW_MAJOR, *forms)),
            *map(size, sizes),
            self.number(1),
            *(address(left), size(left_row), address(right), size(right_row)),
            self.number(0),
            *(address(out), size(out_row)),
        )


@cache
def gemm(dtype: str) -> Gemm | None:
    """NumPy's own function for a dtype; None where BLAS has none, or is not the OpenBLAS that comes from PyPI."""
    library = _library()
    if library is None or dtype not in _TYPES:
        return None
    letter, number = _TYPES[dtype]
    function = library[f"scipy_cblas_{letter}gemm64_"]
    function.restype = None
    return Gemm(ctypes.cast(function, ctypes.c_void_p).value or 0, function, number)


@cache
def _library() -> ctypes.CDLL | None:
    """The library that NumPy calls."""
    from threadpoolctl import threadpool_info

    package = Path(np.__file__).resolve().parent
    folders = {package.parent / "numpy.libs", package / ".libs", package / ".dylibs"}
    for each in threadpool_info():
        if each["internal_api"] == "openblas" and Path(each["filepath"]).resolve().parent in folders:
            library = ctypes.CDLL(each["filepath"])
            return library if hasattr(library, "scipy_cblas_sgemm64_") else None
    return None


class _ThreadDepth(threading.local):
    """How many times this thread is inside."""

    number = 0


class _SingleThreadedBlas:
    """While anybody is inside, NumPy's BLAS has one thread."""

    def __init__(self) -> None:
        self._library: ctypes.CDLL | None = None
        self._lock = threading.Lock()
        self._inside = 0
        self._here = _ThreadDepth()
        self._outside = 1

    def matches_library(self, path: str) -> bool:
        """Whether the library in a file is the one that this is about."""
        return (library := _library()) is not None and library._name == path

    @property
    def outside(self) -> int:
        """How many threads BLAS has while nobody is inside; to be set at any time, whoever is inside."""
        with self._lock:
            return self._outside if self._inside else self._required_library().scipy_openblas_get_num_threads64_()

    @outside.setter
    def outside(self, threads: int) -> None:
        with self._lock:
            self._outside = threads
            if not self._inside:
                self._required_library().scipy_openblas_set_num_threads64_(threads)

    def __enter__(self) -> None:
        self._library = _library()
        if self._library is None:
            return
        is_inside = False
        try:
            with self._lock:
                if not self._inside:
                    self._outside = self._library.scipy_openblas_get_num_threads64_()
                self._inside, self._here.number, is_inside = self._inside + 1, self._here.number + 1, True
                if self._inside == 1 and self._outside != 1:
                    self._library.scipy_openblas_set_num_threads64_(1)
        except BaseException:  # Ctrl-C may come after any call
            if is_inside:
                self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._library is None:
            return
        with self._lock:  # without a call before the last, after which all is done
            self._inside, self._here.number = self._inside - 1, self._here.number - 1
            if not self._inside and self._outside != 1:
                self._library.scipy_openblas_set_num_threads64_(self._outside)

    def reset_after_fork(self) -> None:
        """Of those who were inside, a forked child has only the thread that forked it."""
        self._lock = threading.Lock()
        were_inside, self._inside = self._inside, self._here.number
        if were_inside and not self._inside and self._outside != 1:
            self._required_library().scipy_openblas_set_num_threads64_(self._outside)

    def _required_library(self) -> ctypes.CDLL:
        library = _library()
        assert library is not None, "is_of is asked first"
        return library


single_threaded_blas = _SingleThreadedBlas()
"""`with single_threaded_blas:` products that NumPy makes inside have the same bits however many threads BLAS has
outside."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=single_threaded_blas.reset_after_fork)
