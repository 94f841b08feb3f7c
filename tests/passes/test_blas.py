"""BLAS has one thread while the package's own products are made, and as many as before outside."""

import os
import threading

import numpy as np
import pytest

from mxtrain.passes import gemm, one_thread
from mxtrain.passes.blas import PLAIN, TURNED, _library
from mxtrain.training.blas_threads import blas_limited

pytestmark = pytest.mark.skipif(gemm("float32") is None, reason="NumPy's BLAS cannot be called directly here")


def blas_threads() -> int:
    """Of NumPy's BLAS; there may be others in the process."""
    library = _library()
    assert library
    return int(library.scipy_openblas_get_num_threads64_())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_multiplies_matrices_and_their_transposes(dtype: str) -> None:
    random = np.random.default_rng(0)
    left, right = random.standard_normal((3, 4)).astype(dtype), random.standard_normal((4, 5)).astype(dtype)
    expected = left @ right
    for left_form, a, lda in ((PLAIN, left, 4), (TURNED, left.T.copy(), 3)):
        for right_form, b, ldb in ((PLAIN, right, 5), (TURNED, right.T.copy(), 4)):
            out = np.full((3, 5), np.nan, dtype)
            addresses = (a.ctypes.data, lda, b.ctypes.data, ldb, out.ctypes.data, 5)
            multiply = gemm(dtype)
            multiply.function(*multiply.arguments((left_form, right_form, 3, 5, 4, *addresses)))
            np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_it_has_one_thread_inside_and_what_it_had_outside() -> None:
    with blas_limited(2):
        with one_thread:
            with one_thread:
                assert blas_threads() == 1
            assert blas_threads() == 1
        assert blas_threads() == 2


def test_the_last_to_leave_gives_the_threads_back() -> None:
    with blas_limited(2):
        inside, may_leave = threading.Event(), threading.Event()

        def stay() -> None:
            with one_thread:
                inside.set()
                may_leave.wait()

        other = threading.Thread(target=stay, daemon=True)
        other.start()
        inside.wait()
        with one_thread:
            pass
        assert blas_threads() == 1
        may_leave.set()
        other.join()
        assert blas_threads() == 2


def test_an_error_inside_gives_the_threads_back() -> None:
    with blas_limited(2):
        with pytest.raises(ZeroDivisionError), one_thread:
            raise ZeroDivisionError
        assert blas_threads() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_not_held_by_a_thread_of_its_parent() -> None:
    with blas_limited(2), one_thread:
        child = os.fork()
        if not child:
            os._exit(0 if blas_threads() == 2 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
