"""Backends that run update programs: NumPy, Numba on the CPU, CuPy on the GPU. All give the same bits."""

from mxtrain.optim.backends.arrays import (
    array_kind,
    array_module,
    on_same_device,
    to_device_of,
    validate_gradient,
    validate_update,
    zeros,
    zeros_like,
)
from mxtrain.optim.backends.base import Backend
from mxtrain.optim.backends.overlap import OverlapCheck
from mxtrain.optim.backends.selection import BackendName, select_backend

__all__ = [
    "Backend",
    "BackendName",
    "OverlapCheck",
    "array_kind",
    "array_module",
    "validate_gradient",
    "validate_update",
    "on_same_device",
    "select_backend",
    "to_device_of",
    "zeros",
    "zeros_like",
]
