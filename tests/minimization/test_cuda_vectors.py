"""CUDA kernels of vectors, compiled for the host: NumPy's bits."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mxtrain.minimization.cupy_vectors import COMBINE_SOURCE, DOTS_SOURCE
from mxtrain.minimization.vector_operations import NumPyVectorOperations
from mxtrain.optim.ir.summation import block_count, combine
from tests.optim.backends.cuda_host import CAN_RUN_KERNELS, COMPILER, HOST_PREAMBLE, LAUNCH, THREADS

needs_compiler = pytest.mark.skipif(not CAN_RUN_KERNELS, reason="kernels run on Linux with a C++ compiler")

DOTS_LAUNCH = """
static const T* matrix_; static long long size_; static const long long *rows_, *columns_; static int count_;
static double* partials_;
static void run_thread() {
  mxtrain_dots(matrix_, size_, rows_, columns_, count_, partials_);
  has_ended[threadIdx.x] = true;
}
extern "C" int launch_dots(unsigned blocks, unsigned row_count, const T* matrix, long long size, const long long* rows,
                           const long long* columns, int count, double* partials) {
  matrix_ = matrix; size_ = size; rows_ = rows; columns_ = columns; count_ = count; partials_ = partials;
  gridDim.x = blocks;
  for (blockIdx.y = 0; blockIdx.y < row_count; ++blockIdx.y)
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
BLOCK_BODY
  return 0;
}
extern "C" void launch_combine(T* matrix, long long size, long long target, const double* c, const long long* sources,
                               int count) {
  blockDim.x = 256;
  for (blockIdx.x = 0; blockIdx.x * 256LL < size; ++blockIdx.x)
    for (threadIdx.x = 0; threadIdx.x < 256; ++threadIdx.x) mxtrain_combine(matrix, size, target, c, sources, count);
}
"""


def build(folder: Path, kind: str) -> ctypes.CDLL:
    start = LAUNCH.index("    for (unsigned j = 0;")
    body = LAUNCH[start : LAUNCH.index("  return 0;\n", start)]
    threads = THREADS.replace(
        "{ unsigned x; } threadIdx, blockIdx", "{ unsigned x, y; } threadIdx, blockIdx, gridDim, blockDim"
    )
    source = "\n".join(
        [
            HOST_PREAMBLE,
            threads,
            f"typedef {kind} T;",
            DOTS_SOURCE,
            COMBINE_SOURCE,
            DOTS_LAUNCH.replace("BLOCK_BODY", body),
        ]
    )
    (folder / f"{kind}.cpp").write_text(source)
    library = folder / f"{kind}.so"
    command = [
        str(COMPILER),
        "-O1",
        "-ffp-contract=off",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(folder / f"{kind}.cpp"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return ctypes.CDLL(str(library))


@needs_compiler
@pytest.mark.parametrize(("kind", "dtype"), [("float", "float32"), ("double", "float64")])
def test_kernels_have_the_bits_of_numpy(kind: str, dtype: str, tmp_path: Path) -> None:
    library, plain, rng = build(tmp_path, kind), NumPyVectorOperations(), np.random.default_rng(3)
    rows, columns = np.array([0, 1, 2]), np.array([3, 1])

    def address(array: np.ndarray) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)

    for size in (1, 127, 129, 4096, 4097, 20_000):
        matrix, blocks = rng.normal(size=(4, size)).astype(dtype), block_count(size)
        partials = np.empty((3, 2, blocks))
        size_number, count = ctypes.c_longlong(size), ctypes.c_int(2)
        arguments = address(matrix), size_number, address(rows), address(columns), count, address(partials)
        assert library.launch_dots(blocks, 3, *arguments) == 0
        assert combine("sum", partials).tobytes() == plain.dots(matrix, (0, 1, 2), (3, 1)).tobytes()
        expected, factors = matrix.copy(), np.array([0.3, -1.7, 1 / 3])
        plain.combine(expected, 1, factors.tolist(), (2, 1, 3))
        sources = np.array([2, 1, 3])
        library.launch_combine(
            address(matrix), size_number, ctypes.c_longlong(1), address(factors), address(sources), ctypes.c_int(3)
        )
        assert matrix.tobytes() == expected.tobytes()
