"""Functions of one array: updates that no loop counts, and the gradient that a rule receives."""

from collections.abc import Callable, Hashable
from dataclasses import replace

from mxtrain.optim.backends import check_gradient, validate_gradient
from mxtrain.optim.backends.half_conversion import is_half
from mxtrain.optim.inputs import gradient_array, weight_array
from mxtrain.optim.inputs.complex_arrays import check_complex_rule, is_complex, real_view
from mxtrain.optim.ir import gradient_program
from mxtrain.optim.optimizer import Optimizer
from mxtrain.optim.rules import Rule, Time
from mxtrain.types import Array


def get_updater(optimizer: Optimizer) -> Callable[[Hashable, Array, Array], None]:
    """Return a function `updater(index, grad, weight)` that updates in place and counts updates per index.

    Example:
        >>> import mxtrain, numpy as np
        >>> updater = mxtrain.get_updater(mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0}))
        >>> w = np.ones(1, dtype="float32")
        >>> updater(0, np.ones(1, dtype="float32"), w)
        >>> w
        array([0.5], dtype=float32)

    Source: `getupdater` of MXNet.jl.
    """

    optimizer._groups.refuse_single_array()

    def updater(index: Hashable, grad: Array, weight: Array) -> None:
        optimizer._update(index, grad, weight, iteration=0)

    return updater


def normgrad(optimizer: Optimizer, weight: Array, grad: Array) -> Array:
    """Return the gradient after scale, clip and weight decay, as the rule receives it; the arguments are unchanged.

    Example:
        >>> import mxtrain, numpy as np
        >>> optimizer = mxtrain.build({"kind": "sgd", "scale": 0.5, "clip": 1, "λ": 0.25})
        >>> w, g = np.full(2, 4, dtype="float32"), np.array([1, 10], dtype="float32")
        >>> mxtrain.normgrad(optimizer, w, g)
        array([1.5, 2. ], dtype=float32)

    Source: `normgrad!` of MXNet.jl, which changed the gradient.
    """
    group = optimizer._groups.all[0]
    rule = group.rule
    weight = weight_array("W", weight)
    grad = gradient_array("W", grad, weight)
    _check(grad, weight, rule)
    program = gradient_program(replace(rule.gradient_stage, averages=False, scales=rule.scale != 0))
    if is_half(weight.dtype):
        weight, grad = weight.astype("float32"), grad.astype("float32")
    result = grad.copy()
    if program.outputs:  # empty with neither scale nor clip nor λ
        bounds = rule.wrapper_coefficients(Time(1, 1), weight.dtype, {}) if rule.bounds is not None else {}
        values = program.evaluate_scalars(group.fields | bounds)
        arrays = (real_view(weight), real_view(result)) if is_complex(weight.dtype) else (weight, result)
        optimizer.backend.run(program, [arrays], values)
    return result


def _check(grad: Array, weight: Array, rule: Rule) -> None:
    if is_half(weight.dtype) or is_complex(weight.dtype):
        check_gradient("W", grad, weight)
        if is_complex(weight.dtype):
            check_complex_rule("W", weight, rule)
    else:
        validate_gradient("W", grad, weight)
