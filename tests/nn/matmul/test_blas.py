"""BLAS has one thread while the package's own products are made, and as many as before outside."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from mxtrain.nn.matmul import blas, gemm, single_threaded_blas
from mxtrain.nn.matmul.blas import NOT_TRANSPOSED, TRANSPOSED, _library
from mxtrain.training.environment import blas_threads as threads_of_all
from mxtrain.training.environment import limit_blas_threads, set_blas_threads

pytestmark = pytest.mark.skipif(gemm("float32") is None, reason="NumPy's BLAS cannot be called directly here")


def blas_threads() -> int:
    """Of NumPy's BLAS; there may be others in the process."""
    library = _library()
    assert library
    return int(library.scipy_openblas_get_num_threads64_())


@contextmanager
def another_inside() -> Iterator[None]:
    """Another thread of Python is inside meanwhile."""
    inside, may_leave = threading.Event(), threading.Event()

    def stay() -> None:
        with single_threaded_blas:
            inside.set()
            may_leave.wait()

    other = threading.Thread(target=stay, daemon=True)
    other.start()
    inside.wait()
    try:
        yield
    finally:
        may_leave.set()
        other.join()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_multiplies_matrices_and_their_transposes(dtype: str) -> None:
    random = np.random.default_rng(0)
    left, right = random.standard_normal((3, 4)).astype(dtype), random.standard_normal((4, 5)).astype(dtype)
    expected = left @ right
    for left_form, a, lda in ((NOT_TRANSPOSED, left, 4), (TRANSPOSED, left.T.copy(), 3)):
        for right_form, b, ldb in ((NOT_TRANSPOSED, right, 5), (TRANSPOSED, right.T.copy(), 4)):
            out = np.full((3, 5), np.nan, dtype)
            addresses = (a.ctypes.data, lda, b.ctypes.data, ldb, out.ctypes.data, 5)
            multiply = gemm(dtype)
            multiply.function(*multiply.arguments((left_form, right_form, 3, 5, 4, *addresses)))
            np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_it_has_one_thread_inside_and_what_it_had_outside() -> None:
    with limit_blas_threads(2):
        with single_threaded_blas:
            with single_threaded_blas:
                assert blas_threads() == 1
            assert blas_threads() == 1
        assert blas_threads() == 2


def test_the_last_to_leave_gives_the_threads_back() -> None:
    with limit_blas_threads(2):
        with another_inside():
            with single_threaded_blas:
                pass
            assert blas_threads() == 1
        assert blas_threads() == 2


def test_an_error_inside_gives_the_threads_back() -> None:
    with limit_blas_threads(2):
        with pytest.raises(ZeroDivisionError), single_threaded_blas:
            raise ZeroDivisionError
        assert blas_threads() == 2


def test_it_has_one_thread_whatever_another_thread_sets_meanwhile() -> None:
    """A run with a model of one's own may be begun beside: it would change bits here, and find a wrong number."""
    with limit_blas_threads(2):
        with single_threaded_blas:
            found: list[int | None] = []

            def limit() -> None:
                with limit_blas_threads(3):
                    found.extend((blas_threads(), threads_of_all()))
                found.append(threads_of_all())

            other = threading.Thread(target=limit)
            other.start()
            other.join()
            assert found == [1, 3, 2]
            set_blas_threads(3)
            assert blas_threads() == 1
        assert blas_threads() == 3


class Interrupting:
    """NumPy's BLAS, where Ctrl-C comes after the call with a number."""

    def __init__(self, at: int) -> None:
        self.threads = 2
        self.left = at

    def scipy_openblas_get_num_threads64_(self) -> int:
        return self.interrupt(self.threads)

    def scipy_openblas_set_num_threads64_(self, threads: int) -> None:
        self.threads = self.interrupt(threads)

    def interrupt(self, threads: int) -> int:
        self.threads, self.left = threads, self.left - 1
        if not self.left:
            raise KeyboardInterrupt
        return threads


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_interrupt_gives_the_threads_back(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Interrupting(at)
    monkeypatch.setattr(blas, "_library", lambda: library)
    with pytest.raises(KeyboardInterrupt), single_threaded_blas:
        pass
    assert library.threads == 2
    with single_threaded_blas:
        assert library.threads == 1
    assert library.threads == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_that_is_forked_inside_is_inside() -> None:
    with limit_blas_threads(2):
        with single_threaded_blas:
            child = os.fork()
            found = [blas_threads()]
        found.append(blas_threads())
        with single_threaded_blas:
            found.append(blas_threads())
        if not child:
            os._exit(0 if found == [1, 2, 1] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_not_held_by_a_thread_of_its_parent() -> None:
    with limit_blas_threads(2), another_inside():
        child = os.fork()
        if not child:
            os._exit(0 if blas_threads() == 2 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
