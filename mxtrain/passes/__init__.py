"""Passes through a network: products of matrices with what follows on them, of the same bits on any number of cores."""

from mxtrain.passes.activations import ACTIVATIONS, Activation, sigmoid
from mxtrain.passes.blas import gemm, one_thread
from mxtrain.passes.plan import Plan
from mxtrain.passes.product import Product

__all__ = ["ACTIVATIONS", "Activation", "Plan", "Product", "gemm", "one_thread", "sigmoid"]
