"""BLAS is limited to one thread during matrix products of the package, and unlimited otherwise."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from mxtrain.optim.backends.matmul import blas, gemm, single_threaded_blas
from mxtrain.optim.backends.matmul.blas import NOT_TRANSPOSED, TRANSPOSED, _library
from mxtrain.training.environment import blas_threads as max_blas_threads
from mxtrain.training.environment import limit_blas_threads, set_blas_threads

pytestmark = pytest.mark.skipif(gemm("float32") is None, reason="NumPy's BLAS cannot be called directly here")


def blas_threads() -> int:
    """Return the number of threads of NumPy's BLAS; the process may have loaded others."""
    library = _library()
    assert library
    return int(library.scipy_openblas_get_num_threads64_())


@contextmanager
def entered_by_another_thread() -> Iterator[None]:
    """Keep another Python thread inside `single_threaded_blas`."""
    has_entered, may_exit = threading.Event(), threading.Event()

    def wait_inside() -> None:
        with single_threaded_blas:
            has_entered.set()
            may_exit.wait()

    other = threading.Thread(target=wait_inside, daemon=True)
    other.start()
    has_entered.wait()
    try:
        yield
    finally:
        may_exit.set()
        other.join()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gemm_multiplies_matrices_and_their_transposes(dtype: str) -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((3, 4)).astype(dtype), random.standard_normal((4, 5)).astype(dtype)
    expected = a @ b
    for transpose_a, stored_a, lda in ((NOT_TRANSPOSED, a, 4), (TRANSPOSED, a.T.copy(), 3)):
        for transpose_b, stored_b, ldb in ((NOT_TRANSPOSED, b, 5), (TRANSPOSED, b.T.copy(), 4)):
            out = np.full((3, 5), np.nan, dtype)
            addresses = (stored_a.ctypes.data, lda, stored_b.ctypes.data, ldb, out.ctypes.data, 5)
            multiply = gemm(dtype)
            multiply.function(*multiply.arguments((transpose_a, transpose_b, 3, 5, 4, *addresses)))
            np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_blas_has_one_thread_inside_and_the_default_outside() -> None:
    with limit_blas_threads(2):
        with single_threaded_blas:
            with single_threaded_blas:
                assert blas_threads() == 1
            assert blas_threads() == 1
        assert blas_threads() == 2


def test_the_last_thread_to_exit_restores_the_default() -> None:
    with limit_blas_threads(2):
        with entered_by_another_thread():
            with single_threaded_blas:
                pass
            assert blas_threads() == 1
        assert blas_threads() == 2


def test_an_error_inside_restores_the_default() -> None:
    with limit_blas_threads(2):
        with pytest.raises(ZeroDivisionError), single_threaded_blas:
            raise ZeroDivisionError
        assert blas_threads() == 2


def test_another_thread_cannot_change_the_limit() -> None:
    """A run of a custom model in another thread must neither change bits here nor read a wrong default."""
    with limit_blas_threads(2):
        with single_threaded_blas:
            found: list[int | None] = []

            def limit() -> None:
                with limit_blas_threads(3):
                    found.extend((blas_threads(), max_blas_threads()))
                found.append(max_blas_threads())

            other = threading.Thread(target=limit)
            other.start()
            other.join()
            assert found == [1, 3, 2]
            set_blas_threads(3)
            assert blas_threads() == 1
        assert blas_threads() == 3


class InterruptedBlas:
    """Replacement for NumPy's BLAS that simulates Ctrl-C after its n-th call."""

    def __init__(self, n: int) -> None:
        self.threads = 2
        self.remaining = n

    def scipy_openblas_get_num_threads64_(self) -> int:
        return self.interrupt(self.threads)

    def scipy_openblas_set_num_threads64_(self, threads: int) -> None:
        self.threads = self.interrupt(threads)

    def interrupt(self, threads: int) -> int:
        self.threads, self.remaining = threads, self.remaining - 1
        if not self.remaining:
            raise KeyboardInterrupt
        return threads


@pytest.mark.parametrize("n", [1, 2, 3])
def test_an_interrupt_restores_the_default(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    library = InterruptedBlas(n)
    monkeypatch.setattr(blas, "_library", lambda: library)
    with pytest.raises(KeyboardInterrupt), single_threaded_blas:
        pass
    assert library.threads == 2
    with single_threaded_blas:
        assert library.threads == 1
    assert library.threads == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_forked_inside_stays_inside() -> None:
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
def test_a_forked_child_ignores_other_threads_of_its_parent() -> None:
    with limit_blas_threads(2), entered_by_another_thread():
        child = os.fork()
        if not child:
            os._exit(0 if blas_threads() == 2 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
