"""Deterministic tiled matrix products: the same bits for any number of threads.

`tiled_matmul` defines a product and divides it into tiles; `blas` computes a tile with NumPy's BLAS on one thread;
`plan` runs stages of products, either in Python or with the compiled code of `numba_tiles` on all cores, and `products`
a single product.
"""

from mxtrain.optim.backends.matmul.blas import gemm, single_threaded_blas
from mxtrain.optim.backends.matmul.plan import MatMulPlan
from mxtrain.optim.backends.matmul.products import multiply
from mxtrain.optim.backends.matmul.tiled_matmul import MatMul

__all__ = ["MatMul", "MatMulPlan", "gemm", "multiply", "single_threaded_blas"]
