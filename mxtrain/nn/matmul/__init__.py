"""Deterministic tiled matrix products: the same bits for any number of threads."""

from mxtrain.nn.activations import ACTIVATIONS, Activation, sigmoid
from mxtrain.nn.matmul.blas import gemm, single_threaded_blas
from mxtrain.nn.matmul.plan import MatMulPlan
from mxtrain.nn.matmul.tiled_matmul import MatMul

__all__ = ["ACTIVATIONS", "Activation", "MatMulPlan", "MatMul", "gemm", "single_threaded_blas", "sigmoid"]
