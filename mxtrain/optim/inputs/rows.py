"""Rows of a step: their indices, the sums of the gradients of repeated rows, and compact arrays in their place.

Of a weight in `rows`, a step reads and writes these rows only, of the weight and of its slots. The gradients of a row
that occurs more than once are added first, in the order of their occurrence; each addition is rounded to the dtype of
the gradient, or to float32 for half precision.

Source: `torch.optim.SparseAdam` and the embeddings of Keras, for which rows without a gradient stay unchanged.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mxtrain.errors import ArrayError, ArrayTypeError
from mxtrain.names import nearest
from mxtrain.optim.backends import Backend, array_kind, array_module, check_writable
from mxtrain.optim.backends.half_conversion import is_half, on_device_of
from mxtrain.optim.backends.row_copies import gather_rows
from mxtrain.optim.inputs.foreign_arrays import any_array
from mxtrain.optim.inputs.step_inputs import RowPart, RowSelection, StepInputs
from mxtrain.types import DTYPES, Array, describe

_PLAIN_DTYPES = frozenset(map(np.dtype, DTYPES))
_MAX_RANK = 64
"""Repetitions of a row that are added by whole-array operations; of more, the rest is added one by one."""


class RowRequest(NamedTuple):
    """The argument `rows` of a step.

    Attributes:
        rows: the indices of the rows of some parameters; None for all rows.
        counts_of: returns the update counts of the rows of a parameter; None if it has none.
        backend: the backend, which decides whether compiled loops copy rows.
    """

    rows: Any
    counts_of: Callable[[Hashable], "NDArray[np.int64] | None"]
    backend: Backend


def check_rows_argument(rows: Any, names: Mapping[Hashable, Any]) -> None:
    """Check that `rows` is a mapping with names of parameters.

    Raises:
        ArrayTypeError: it is no mapping.
        ArrayError: a name belongs to no parameter.
    """
    if not isinstance(rows, Mapping):
        got = f"{type(rows).__module__}.{type(rows).__qualname__}" if hasattr(rows, "shape") else describe(rows)
        raise ArrayTypeError(f"rows must be a mapping of row indices by the names of parameters, got {got}")
    for name in rows:
        if name not in names:
            guess = nearest(str(name), [str(each) for each in names])
            remedy = f"did you mean {guess!r}?" if guess else f"the names are {', '.join(map(repr, names))}"
            raise ArrayError(f"rows has indices for {name!r}, which is no parameter; {remedy}")


def select_rows(inputs: StepInputs, request: RowRequest) -> None:
    """Replace weights and gradients by the selected rows, and record these in `inputs.rows`.

    Args:
        inputs: the inputs of a step; gradients have one row for each index.
        request: the rows.

    Raises:
        ArrayTypeError: indices are not whole numbers.
        ArrayError: indices are out of range, a gradient has another shape, or a weight cannot be updated in place.
    """
    check_rows_argument(request.rows, inputs.originals)
    backend = request.backend
    for name, given in request.rows.items():
        if given is None or name not in inputs.params:  # a gradient of None leaves the parameter unchanged
            continue
        weight, gradient = inputs.params[name], inputs.grads[name]
        weight = weight.view(np.ndarray) if isinstance(weight, np.ndarray) else weight
        if weight.ndim == 0:
            raise ArrayError(f"weight {name!r} has no axes, so it has no rows; leave it out of rows")
        indices = index_array(name, given, len(weight))
        _check_gradient_shape(name, gradient, (len(indices), *weight.shape[1:]), weight.shape)
        check_writable(name, weight)
        if is_half(gradient.dtype):
            gradient = gradient.astype("float32")  # sums of repeated rows are rounded to float32
        unique, gradient = sum_repeated_rows(indices, gradient, len(weight), backend)
        parts, unique, gradient = _by_count(unique, gradient, request.counts_of(name), len(weight))
        is_plain = weight.dtype in _PLAIN_DTYPES  # other weights need copies that the next conversions change
        compact = None if is_plain else gather_rows((weight,), unique, backend)[0]
        inputs.rows[name] = RowSelection(weight, compact, unique, parts)
        inputs.params[name] = weight if compact is None else compact
        inputs.grads[name], inputs.stored[name] = gradient, weight
        inputs.is_converted = True


def index_array(name: Hashable, given: Any, length: int) -> NDArray[np.int64]:
    """Return indices of rows as a NumPy array of int64.

    Args:
        name: the name of the parameter.
        given: a list or an array of any library, of a signed or unsigned integer dtype.
        length: the number of rows of the weight.

    Raises:
        ArrayTypeError: they are not whole numbers.
        ArrayError: they have not one axis, or one is negative or out of range.

    >>> index_array("W", [2, 0], 3)
    array([2, 0])
    """
    label = f"rows[{name!r}]"
    if isinstance(given, list | tuple | range):
        try:
            array = np.asarray(given)
        except ValueError:
            raise ArrayError(f"{label} must have one axis, got nested lists; pass a flat list of indices") from None
        array = array.astype(np.int64) if array.shape == (0,) else array
    else:
        array = given if type(given) is np.ndarray else any_array(label, given)
        array = array if isinstance(array, np.ndarray) else array.get()
    if array.dtype.kind not in "iu":
        remedy = "pass np.flatnonzero(mask)" if array.dtype.kind == "b" else "pass indices of an integer dtype"
        raise ArrayTypeError(f"{label} must be whole numbers, got dtype {array.dtype}; {remedy}")
    if array.ndim != 1:
        remedy = (
            "pass a list with one index" if array.ndim == 0 else "pass indices.reshape(-1), and a gradient to match"
        )
        raise ArrayError(f"{label} must have one axis, got shape {array.shape}; {remedy}")
    if array.size and (array.min() < 0 or array.max() >= length):
        position = int(np.flatnonzero((array < 0) | (array >= length))[0])
        rows = f"rows 0 to {length - 1}" if length else "no rows"
        raise ArrayError(f"{label} has the index {array[position]} at position {position}, and the weight has {rows}")
    return np.ascontiguousarray(array, dtype=np.int64)


def sum_repeated_rows(
    indices: NDArray[np.int64], gradient: Array, length: int, backend: Backend | None = None
) -> tuple[NDArray[np.int64], Array]:
    """Return each index once, in ascending order, and the sum of the gradients of each.

    The gradients of a row are added in the order of their occurrence, each addition rounded to the dtype. If the
    indices are ascending already, the gradient is returned as it is.

    Args:
        indices: the number of the row of each gradient.
        gradient: a NumPy or CuPy array with a row for each index.
        length: the number of rows of the weight.
        backend: the backend, which decides whether compiled loops copy rows; None for NumPy.

    >>> unique, sums = sum_repeated_rows(np.array([4, 1, 4]), np.array([[1.0], [10.0], [100.0]]), 5)
    >>> unique.tolist(), sums.tolist()
    ([1, 4], [[10.0], [101.0]])
    """
    if (indices[1:] > indices[:-1]).all():
        return indices, gradient
    ordered, order = _stable_sort(indices, length)
    is_first = np.empty(len(ordered), dtype=bool)
    is_first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    if is_first.all():
        return ordered, gather_rows((gradient,), order, backend)[0]
    starts = np.flatnonzero(is_first)
    lengths = np.diff(starts, append=len(ordered))
    (total,) = gather_rows((gradient,), order[starts], backend)
    repeated, rank = np.flatnonzero(lengths > 1), 1
    with np.errstate(all="ignore"), on_device_of(gradient):
        while repeated.size and (rank < _MAX_RANK or not isinstance(gradient, np.ndarray)):
            (more,) = gather_rows((gradient,), order[starts[repeated] + rank])
            total[_for_indexing(repeated, total)] += more
            rank += 1
            repeated = repeated[lengths[repeated] > rank]
        if repeated.size:
            counts = lengths[repeated] - rank
            offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            positions = order[np.repeat(starts[repeated] + rank, counts) + offsets]
            np.add.at(total, np.repeat(repeated, counts), gradient[positions])
    return ordered[starts], total


def _stable_sort(indices: NDArray[np.int64], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sorted indices and their positions before; of equal ones, the earlier position comes first."""
    shift = (len(indices) - 1).bit_length()
    if shift + length.bit_length() > 62:
        order = np.argsort(indices, kind="stable")
        return indices[order], order
    keys = (indices << shift) | np.arange(len(indices))  # sorting one array of numbers takes less time than argsort
    keys.sort()
    return keys >> shift, keys & ((1 << shift) - 1)


def _by_count(
    indices: NDArray[np.int64], gradient: Array, counts: "NDArray[np.int64] | None", length: int
) -> tuple[tuple[RowPart, ...], NDArray[np.int64], Array]:
    """Return the parts of rows with one update count, and indices and gradients in the order of the parts."""
    if counts is None or len(counts) != length:  # another length is an error that the state reports
        return (RowPart(None, slice(0, len(indices))),), indices, gradient
    own = counts[indices]
    if not (own[1:] >= own[:-1]).all():
        order = np.argsort(own, kind="stable")
        own, indices, (gradient,) = own[order], indices[order], gather_rows((gradient,), order)
    stops = [*(np.flatnonzero(own[1:] != own[:-1]) + 1).tolist(), len(own)] if len(own) else []
    starts = [0, *stops[:-1]]
    parts = (RowPart(int(own[start]), slice(start, stop)) for start, stop in zip(starts, stops, strict=False))
    return tuple(parts), indices, gradient


def _check_gradient_shape(name: Hashable, gradient: Array, expected: tuple[int, ...], dense: tuple[int, ...]) -> None:
    if gradient.shape == expected:
        return
    is_dense = gradient.shape == dense
    remedy = "pass its rows, gradient[indices], or leave it out of rows" if is_dense else "pass one row for each index"
    raise ArrayError(
        f"the gradient of weight {name!r} has shape {gradient.shape}, and with rows[{name!r}] it must have {expected}; "
        f"{remedy}"
    )


def _for_indexing(indices: NDArray[np.int64], array: Array) -> Any:
    """Return indices where the array is."""
    if array_kind(array) == "numpy":
        return indices
    return array_module("cupy").asarray(indices)
