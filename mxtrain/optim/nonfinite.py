"""Detection and prevention of NaN and infinity in the slots of an optimizer."""

import math
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np

from mxtrain.errors import NonFiniteError
from mxtrain.optim.backends import Backend, array_kind, array_module
from mxtrain.optim.backends.half_conversion import round_to
from mxtrain.optim.batch_execution import run_batches
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.optim.param_groups import ParamGroups
from mxtrain.optim.param_state import ParamState, StateStore
from mxtrain.optim.rules import SGD, AdaDelta, Rule
from mxtrain.optim.step_scalars import StepScalars
from mxtrain.optim.update_batches import UpdateBatch
from mxtrain.types import Array

OnNonfinite: TypeAlias = Literal["warn", "ignore", "raise", "skip"]
"""Treatment of an update that makes a slot NaN or infinite."""

SCAN_INTERVAL = 16
"""Number of updates after a scan of the slots for which the bounds exclude an overflow."""

_WARNING_INTERVAL = 1024
"""Largest number of updates between two scans for `warn`; up to then, each interval is twice the one before."""
_ALL_KINDS = ("numpy", "cupy")
_NO_ROWS: Mapping[Hashable, Sequence[Array]] = MappingProxyType({})
_VANISHING = 2.0**-74
"""The square of a smaller number may be zero in float32."""


class NonFiniteGuard:
    """Applies `on_nonfinite` to the updates of one optimizer.

    Args:
        backend: the backend that runs updates on copies.
        groups: the rule's parameter groups.
        on_nonfinite: treatment of an update that makes a slot NaN or infinite, as in `mxtrain.build`.

    Attributes:
        checks_steps: whether `must_skip` has to be called before each step.
        warns: whether `count_call` has to be called after each step.
    """

    def __init__(self, backend: Backend, groups: ParamGroups, on_nonfinite: OnNonfinite) -> None:
        self._backend = backend
        self._groups = groups
        self._raises = on_nonfinite == "raise"
        self.checks_steps = on_nonfinite in ("raise", "skip")
        self.warns = on_nonfinite == "warn"
        self.reset()
        self._calls = 0
        self._next_scan = 1 if self._has_slots else 2  # a weight alone is scanned once it may have stayed NaN

    def reset(self) -> None:
        """Adopt the rules of the groups, which have changed."""
        self._bounds: dict[tuple[int, str], OverflowBounds] = {}
        self._has_slots = any(group.slots for group in self._groups.all)

    def must_skip(
        self, batches: list[UpdateBatch], step_scalars: list[StepScalars], params: Mapping[Any, Array]
    ) -> bool:
        """Run the updates that might overflow a slot on copies; return True if the step must be skipped.

        Raises:
            NonFiniteError: a slot would become NaN or infinite, and `on_nonfinite` is `raise`.
        """
        if not (self._has_slots or any(_may_round_to_infinity(batch) for batch in batches)):
            return False
        scanned: list[tuple[ParamState, int]] = []
        unsafe: list[int] = []
        for number, (batch, scalars) in enumerate(zip(batches, step_scalars, strict=True)):
            is_safe, was_scanned = self._cannot_overflow(batch, scalars)
            is_safe &= not _may_round_to_infinity(batch)
            if not is_safe:
                unsafe.append(number)
            elif was_scanned:
                until = scalars.update + SCAN_INTERVAL - 1
                scanned += [(state, until) for state in batch.states]
        if unsafe and self._groups.have_totals:
            unsafe = list(range(len(batches)))
        problem = self._try_on_copies([batches[i] for i in unsafe], [step_scalars[i] for i in unsafe], params)
        if problem is not None:
            if self._raises:
                raise NonFiniteError(problem)
            warnings.warn(f"skipped: {problem}", RuntimeWarning, stacklevel=3)
            return True
        for state, until in scanned:
            state.overflow_free_until = until
        for number in unsafe:  # parameter groups of one flat buffer share a state
            for state in batches[number].states:
                state.overflow_free_until = 0
        return False

    def _try_on_copies(
        self, batches: list[UpdateBatch], step_scalars: list[StepScalars], params: Mapping[Any, Array]
    ) -> str | None:
        """Run updates on copies; describe the first slot that becomes NaN or infinite, None if there is none."""
        if not batches:
            return None
        copies = [
            [(weight.copy(), grad, *(slot.copy() for slot in slots)) for weight, grad, *slots in batch.arrays]
            for batch in batches
        ]
        tried = [replace(scalars, scalar_slots=dict(scalars.scalar_slots)) for scalars in step_scalars]
        run_batches(self._backend, self._groups, list(zip(batches, copies, strict=True)), tried)
        found = (
            self._describe_nonfinite(self._groups.all[batch.group].slots, batch, each, params)
            for batch, each in zip(batches, copies, strict=True)
        )
        problem = next((problem for problem in found if problem is not None), None)
        if problem is not None:
            return problem
        scalars = (item for each in tried for item in each.scalar_slots.items())
        name = next((name for name, value in scalars if not math.isfinite(value)), None)
        return name and (
            f"the update would make the scalar slot {name} NaN or infinite; nothing has changed; "
            "clip or scale the gradients"
        )

    def count_call(
        self,
        store: StateStore,
        params: Mapping[Any, Array],
        calls_per_round: int,
        stacklevel: int,
        row_slots: Mapping[Hashable, Sequence[Array]] = _NO_ROWS,
    ) -> None:
        """Scan slots and weights after 1, 2, 4, ... calls, and then after every 1024 that update each weight once.

        A scan of arrays on a GPU would wait for the device: their slots are only scanned in `state_dict`.

        Args:
            store: the states of all weights.
            params: the weights of the call, by name.
            calls_per_round: the number of calls that update each weight once.
            stacklevel: the frame of the user's call, as `warnings.warn` counts from `warn`.
            row_slots: the updated rows of the slots of weights of which the call updated only these.
        """
        self._calls += 1
        if self._calls >= self._next_scan:
            self._next_scan = self._calls + min(self._calls, _WARNING_INTERVAL * calls_per_round)
            self.warn(store, stacklevel, kinds=("numpy",), params=params, row_slots=row_slots)

    def warn(
        self,
        store: StateStore,
        stacklevel: int,
        kinds: tuple[str, ...] = _ALL_KINDS,
        params: Mapping[Any, Array] | None = None,
        row_slots: Mapping[Hashable, Sequence[Array]] = _NO_ROWS,
    ) -> None:
        """Warn if a slot or a weight is NaN or infinite, once for each optimizer."""
        found = self.first_nonfinite(store, kinds, row_slots) if self._has_slots else None
        if found is not None:
            message = (
                f"weight {found[0]!r}: its slot {found[1]} is NaN or infinite, so the weight no longer moves, or is "
                "itself NaN or infinite; clip or scale the gradient, use float64, or build the optimizer with "
                'on_nonfinite="skip"'
            )
        else:
            weights = (params or {}).items()
            name = next(
                (name for name, weight in weights if array_kind(weight) in kinds and not _is_finite(weight)), None
            )
            if name is None:
                return
            message = (
                f"weight {name!r} is NaN or infinite, and stays so; start again with a smaller η, and clip or scale "
                "the gradient"
            )
        self.warns = False
        warnings.warn(message, RuntimeWarning, stacklevel=stacklevel)

    def first_nonfinite(
        self,
        store: StateStore,
        kinds: tuple[str, ...] = _ALL_KINDS,
        row_slots: Mapping[Hashable, Sequence[Array]] = _NO_ROWS,
    ) -> tuple[Hashable, str] | None:
        """Return the index and the name of the first slot with an infinity or a NaN; None if all are finite."""
        for index, state in store.states_by_index().items():
            for name, slot in zip(state.names, row_slots.get(index, state.slots), strict=True):
                if array_kind(slot) in kinds and not _is_finite(slot):
                    return index, name
            for name, value in state.scalars.items():
                if not math.isfinite(value):
                    return index, name
        return None

    def _cannot_overflow(self, batch: UpdateBatch, scalars: StepScalars) -> tuple[bool, bool]:
        """Return whether bounds rule out an overflow in an update, and whether the slots were scanned for that."""
        group, arrays, coefficients = batch.group, batch.arrays, scalars.coefficients
        dtype = arrays[0][0].dtype
        bounds = self._bounds.get((group, dtype.name))
        if bounds is None:
            bounds = self._bounds[group, dtype.name] = OverflowBounds(self._groups.all[group].rule, dtype)
        step, momentum = coefficients.get("step", 0.0), coefficients.get("μ", 0.0)
        gradients = [array[1] for array in arrays]
        if not bounds.allow_gradient(max_abs_bound(gradients), step, momentum) and not (
            bounds.allow_gradient(max_abs_bound(gradients, exact=True), step, momentum)
        ):
            return False, False
        if not bounds.need_weights(step) and all(state.overflow_free_until >= scalars.update for state in batch.states):
            return True, False
        if bounds.decays:
            weights = [array[0] for array in arrays]
            if not bounds.allow_weight(max_abs_bound(weights)) and not bounds.allow_weight(
                max_abs_bound(weights, exact=True)
            ):
                return False, True
        slots = [slot for _, _, *slots in arrays for slot in slots]
        return bounds.allow_slots(max_abs_bound(slots)) or bounds.allow_slots(max_abs_bound(slots, exact=True)), True

    def _describe_nonfinite(
        self,
        names: tuple[str, ...],
        batch: UpdateBatch,
        copies: list[tuple[Array, ...]],
        params: Mapping[Any, Array],
    ) -> str | None:
        """Describe the first slot or float16 weight that would not be finite after an update of copies, if any."""
        for number, (updated, _, *slots) in enumerate(copies):
            for name, slot in zip(names, slots, strict=True):
                if not _is_finite(slot):
                    return (
                        f"the update of {_weight_label(batch, number, slot, params)} would make its slot {name} "
                        "NaN or infinite; nothing has changed; clip or scale the gradient, or use float64"
                    )
            if _may_round_to_infinity(batch) and not _is_finite(round_to(batch.dtype, updated)):
                return (
                    f"the update of {_weight_label(batch, number, updated, params)} would make it NaN or "
                    "infinite; nothing has changed; clip or scale the gradient, or use bfloat16"
                )
        return None


class OverflowBounds:
    """Bounds for one rule and one dtype, under which `SCAN_INTERVAL` updates in a row leave every slot finite.

    The square of a gradient, or a sum of squares, overflows long before the gradient does: in float32, one gradient of
    2e19 makes a second moment infinite, and its weight no longer moves. Let M be the largest number of the dtype. With
    slots below M/2^20, and with gradients and decays λ·W below √M/2^11, no slot reaches M in 16 steps: each square adds
    at most M/2^20, and no slot more than doubles for another reason. Two rules have further bounds: the velocity of SGD
    grows with η and with a momentum above 1, and AdaDelta squares a step of up to √((Δ + ϵ)/(1-ρ)). Rules that may
    square slots or weights (`Rule.overflow_bounds` is `all`) have the bound of gradients for these too.

    Args:
        rule: the rule, with the settings of one group.
        dtype: the dtype of the arrays, float32 or float64.
        tries_unbounded: allow no step of a rule without bounds (`none`), so that each is run on copies first. If false,
            the bounds of `all` serve as an estimate, for a caller that scans the slots from time to time.

    Example:
        >>> from mxtrain.optim.rules import Adam
        >>> bounds = OverflowBounds(Adam(scale=0.5), "float32")
        >>> bounds.allow_gradient(1e15), bounds.allow_gradient(2e19), bounds.allow_gradient(float("nan"))
        (True, False, False)
    """

    def __init__(self, rule: Rule, dtype: Any, *, tries_unbounded: bool = True) -> None:
        exponent = int(np.finfo(dtype).maxexp)
        self._largest_gradient = math.ldexp(1.0, exponent // 2 - 11)
        self._largest_slot = math.ldexp(1.0, exponent - 20)
        self._largest_move = math.ldexp(1.0, exponent - 21) if isinstance(rule, SGD) else math.inf
        self._scale = abs(rule.scale) or 1.0
        self._clip = rule.clip or math.inf
        self._decay = 0.0 if rule.decouples_decay() else rule.λ
        if isinstance(rule, AdaDelta):
            self._largest_slot *= 1 - rule.ρ
            if rule.ϵ > self._largest_slot:
                self._largest_slot = -1.0  # every update is run on copies first
        self._squares_all = rule.overflow_bounds != "gradient"
        if self._squares_all:  # slots and weights may be squared like gradients
            self._largest_slot = self._largest_gradient
        if rule.overflow_bounds == "none" and tries_unbounded:
            self._largest_gradient = -1.0  # every update is run on copies first
        if self._scale > math.ldexp(1.0, exponent - 1):
            self._largest_gradient = -1.0  # scale may round to infinity, and infinity times 0 is NaN

    def allow_gradient(self, gradient: float, step: float = 0.0, momentum: float = 0.0) -> bool:
        """Return whether an update cannot overflow a slot if slots and weights are far from overflow.

        Args:
            gradient: the largest absolute value of the gradient, before scale and clip; NaN if any value is NaN.
            step: the factor of the gradient in SGD.
            momentum: the factor of the velocity in SGD.
        """
        bounded = min(gradient * self._scale, self._clip)  # NaN if the gradient is NaN
        return (
            bounded <= self._largest_gradient
            and momentum <= 1
            and abs(step) * self._largest_gradient <= self._largest_move
        )

    def need_weights(self, step: float) -> bool:
        """Return whether weights must be read in every update, because `SCAN_INTERVAL` updates might multiply one."""
        return self._decay * abs(step) > 1 / SCAN_INTERVAL

    @property
    def decays(self) -> bool:
        """True if weights enter the slots, as with weight decay that is added to the gradient."""
        return self._decay > 0 or self._squares_all

    def allow_weight(self, weight: float) -> bool:
        """Return whether weights of at most this absolute value leave the slots far from overflow."""
        if self._squares_all and not weight <= self._largest_gradient:
            return False
        return not self._decay or self._decay * max(weight, 1.0) <= self._largest_gradient

    def allow_slots(self, slot: float) -> bool:
        """Return whether slots of at most this absolute value are far from overflow."""
        return slot <= self._largest_slot


def max_abs_bound(arrays: Sequence[Array], exact: bool = False) -> float:
    """Return a bound of the absolute values of arrays: the root of the sum of their squares.

    Args:
        arrays: NumPy arrays, or CuPy arrays.
        exact: return the largest absolute value itself, which takes longer; also done if the squares overflow.

    Returns:
        The bound; NaN if any value is NaN.

    Example:
        >>> max_abs_bound([np.array([3.0, 0.0]), np.array([-4.0])], exact=True)
        4.0
    """
    if not arrays:
        return 0.0
    xp = np if type(arrays[0]) is np.ndarray else array_module(array_kind(arrays[0]) or "numpy")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if not exact:
            squares = 0.0
            for array in arrays:
                squares += float(array.dot(array) if array.ndim == 1 else xp.vdot(array, array))
            if squares != math.inf:
                return math.sqrt(squares) + _VANISHING
        found = [float(xp.abs(array).max(initial=0)) for array in arrays]
    return math.nan if any(map(math.isnan, found)) else max(found)


def _is_finite(array: Array) -> bool:
    if array_kind(array) != "cupy":
        return bool(np.isfinite(array).all())
    with array.device:
        return bool(array_module("cupy").isfinite(array).all())


def _may_round_to_infinity(batch: UpdateBatch) -> bool:
    """Return True for float16 weights, whose largest number, 65504, is far below those of float32."""
    return batch.dtype is not None and str(batch.dtype) == "float16"


def _weight_label(batch: UpdateBatch, number: int, slot: Array, params: Mapping[Any, Array]) -> str:
    """Return the name of the weight, in a flat buffer too, whose slot is not finite, as messages show it."""
    if batch.names:
        return f"weight {batch.names[number]!r}"
    weight = batch.arrays[number][0]
    name = next((name for name, array in params.items() if array is weight), None)
    if name is None and isinstance(params, FlatParameters):
        places = params.places(str(weight.dtype))
        if slot.size == places[-1].stop:  # the whole buffer, not the part of one parameter group
            finite = array_module(array_kind(slot) or "numpy").isfinite
            return "weight " + next(repr(place.name) for place in places if not finite(place.view(slot)).all())
        return f"a weight of dtype {weight.dtype}"
    return f"weight {name!r}"
