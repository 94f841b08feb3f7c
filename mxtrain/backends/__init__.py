"""What runs programs: NumPy, compiled loops on the CPU, CuPy on the GPU. The choice never changes a result."""

from mxtrain.backends.arrays import (
    array_kind,
    array_module,
    check_gradient,
    check_pair,
    in_same_memory,
    to_memory_of,
    zeros,
    zeros_like,
)
from mxtrain.backends.base import Backend
from mxtrain.backends.overlap import OverlapCheck
from mxtrain.backends.select import BackendName, select_backend

__all__ = [
    "Backend",
    "BackendName",
    "OverlapCheck",
    "array_kind",
    "array_module",
    "check_gradient",
    "check_pair",
    "in_same_memory",
    "select_backend",
    "to_memory_of",
    "zeros",
    "zeros_like",
]
