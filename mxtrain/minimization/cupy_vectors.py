"""Vector operations on a GPU: bit-for-bit equal to `NumPyVectorOperations`; only resulting numbers are downloaded."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.minimization.vector_operations import Rows, row_numbers
from mxtrain.optim.backends.codegen_cuda import CUDA_PREAMBLE
from mxtrain.optim.ir.summation import LANES, block_count, combine
from mxtrain.types import Array

_THREADS = 256

DOTS_SOURCE = """
extern "C" __global__ void mxtrain_dots(
    const T* matrix, long long size, const long long* rows, const long long* columns, int column_count,
    double* partials) {
  const int j = threadIdx.x;
  const long long block = blockIdx.x, blocks = gridDim.x, row = blockIdx.y;
  const long long first = 4096 * block, last = first + 4096 < size ? first + 4096 : size;
  const T* a = matrix + size * rows[row];
  __shared__ double lanes[128];
  for (int column = 0; column < column_count; ++column) {
    const T* b = matrix + size * columns[column];
    double lane = 0.0;
    for (long long i = first + j; i < last; i += 128)
      lane = mx_add(lane, mx_multiply(mx_to_double(a[i]), mx_to_double(b[i])));
    lanes[j] = lane;
    for (int half = 64; half > 0; half /= 2) {
      __syncthreads();
      if (j < half) lanes[j] = mx_add(lanes[j], lanes[j + half]);
    }
    if (j == 0) partials[(row * column_count + column) * blocks + block] = lanes[0];
    __syncthreads();
  }
}
"""
"""Kernel of inner products: a block of 128 threads adds 4,096 elements in the order of `ir.summation`."""

COMBINE_SOURCE = """
extern "C" __global__ void mxtrain_combine(
    T* matrix, long long size, long long target, const double* coefficients, const long long* sources, int count) {
  const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= size) return;
  double total = mx_multiply(mx_to_double(matrix[size * sources[0] + i]), coefficients[0]);
  for (int k = 1; k < count; ++k)
    total = mx_add(total, mx_multiply(mx_to_double(matrix[size * sources[k] + i]), coefficients[k]));
  mx_round(total, matrix[size * target + i]);
}
"""
"""Kernel of a linear combination: one element for each thread."""


class CuPyVectorOperations:
    """Operations as CUDA kernels."""

    def dots(self, matrix: Array, rows: Rows, columns: Rows) -> NDArray[np.float64]:
        """Return inner products; see `VectorOperations.dots`."""
        import cupy

        size = matrix.shape[1]
        blocks = block_count(size)
        if not blocks:
            return np.zeros((len(rows), len(columns)))
        with matrix.device:
            partials = cupy.empty((len(rows), len(columns), blocks))
            numbers = cupy.asarray(row_numbers(rows)), cupy.asarray(row_numbers(columns))
            arguments = matrix, np.int64(size), *numbers, np.int32(len(columns)), partials
            _kernel(cupy, "mxtrain_dots", matrix.dtype.name)((blocks, len(rows)), (LANES,), arguments)
            return np.asarray(combine("sum", partials).get())

    def combine(self, matrix: Array, target: int, coefficients: Sequence[float], sources: Rows) -> None:
        """Compute a linear combination; see `VectorOperations.combine`."""
        import cupy

        size = matrix.shape[1]
        if not size:
            return
        with matrix.device:
            factors = cupy.asarray(np.array(coefficients, dtype=np.float64))
            numbers = cupy.asarray(row_numbers(sources))
            arguments = matrix, np.int64(size), np.int64(target), factors, numbers, np.int32(len(sources))
            _kernel(cupy, "mxtrain_combine", matrix.dtype.name)((-(-size // _THREADS),), (_THREADS,), arguments)

    def max_abs(self, matrix: Array, row: int) -> float:
        """Return the largest absolute element; see `VectorOperations.max_abs`."""
        import cupy

        return float(cupy.abs(matrix[row]).max()) if matrix.shape[1] else 0.0


@cache
def _kernel(cupy: Any, name: str, dtype: str) -> Any:
    kind = {"float32": "float", "float64": "double"}[dtype]
    source = {"mxtrain_dots": DOTS_SOURCE, "mxtrain_combine": COMBINE_SOURCE}[name]
    return cupy.RawKernel(f"{CUDA_PREAMBLE}\ntypedef {kind} T;\n{source}", name, options=("--fmad=false",))
