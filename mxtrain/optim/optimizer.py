"""Optimizer: a rule bound to a backend, with the slots of each weight."""

import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import fields
from os import PathLike
from typing import Any, Literal, TypeAlias

import numpy as np

from mxtrain.errors import ArrayError, ArrayTypeError, NonFiniteError, ReadOnlyError
from mxtrain.names import display_name, field_name, nearest
from mxtrain.optim.backends import (
    Backend,
    OverlapCheck,
    array_kind,
    array_module,
    validate_gradient,
    validate_update,
    zeros_like,
)
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.optim.ir import gradient_program
from mxtrain.optim.nonfinite import SCAN_INTERVAL, OverflowBounds, max_abs_bound
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.param_groups import ParamGroups
from mxtrain.optim.param_state import FlatParamState, ParamState, StateStore, gather, normalize_index
from mxtrain.optim.rules import Rule, Time
from mxtrain.optim.state_dict import make_state_dict, parse_state_dict, read_state_file, write_state_file
from mxtrain.types import Array, describe

Update: TypeAlias = tuple[Hashable, Array, Array]
"""An index, the gradient, the weight."""
BatchKey: TypeAlias = tuple[Any, ...]
UpdateBatch: TypeAlias = tuple[int, list[ParamState], list[tuple[Array, ...]]]
"""Which variant of the rule some weights of one dtype and one history have, what is kept for each, and the program's
arrays for each."""
OnNonfinite: TypeAlias = Literal["warn", "ignore", "raise", "skip"]
"""Treatment of an update that makes a slot NaN or infinite."""
StepScalars: TypeAlias = tuple[int, tuple[float, ...], dict[str, float], dict[str, float]]
"""The number of an update, the program's scalars for it, the scalar slots after it, and the rule's coefficients."""

_SCAN_EVERY = 1024
"""Updates between two scans for `warn`, once as many are done; before, each scan doubles the number of updates."""


class Optimizer:
    """A rule bound to a backend, with the slots it keeps for each weight.

    Made by `mxtrain.build`. Updates are in place, and a gradient is never written to. A copy, or a pickle, has the
    rule, the backend, and a copy of the state.

    Args:
        rule: the validated rule; it stays.
        backend: what runs the rule's program; it stays.
        on_nonfinite: treatment of an update that makes a slot NaN or infinite, as in `mxtrain.build`.

    Attributes:
        state: where the run stands; whoever runs the loop may count in it.

    Example:
        >>> import mxtrain, numpy as np
        >>> optimizer = mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0})
        >>> params = {"W": np.ones(2, dtype="float32"), "b": np.zeros(1, dtype="float32")}
        >>> grads = {name: np.ones_like(value) for name, value in params.items()}
        >>> optimizer.step(params, grads)
        >>> params["W"], params["b"], optimizer.state.curr_iter
        (array([0.5, 0.5], dtype=float32), array([-0.5], dtype=float32), 1)
    """

    def __init__(self, rule: Rule, backend: Backend, on_nonfinite: OnNonfinite = "warn") -> None:
        self._rule = rule
        self._backend = backend
        self.state = OptimizationState()
        self._store = StateStore()
        self._groups = ParamGroups(rule)
        self._overlap = OverlapCheck()
        self._on_nonfinite = on_nonfinite
        has_slots = bool(rule.active_slots())
        self._tries_on_copies = has_slots and on_nonfinite in ("raise", "skip")
        self._warns = has_slots and on_nonfinite == "warn"
        self._bounds: dict[tuple[int, str], OverflowBounds] = {}
        self._calls, self._next_scan = 0, 1

    @property
    def rule(self) -> Rule:
        """The rule; for another one, build another optimizer and hand the state over."""
        return self._rule

    @property
    def backend(self) -> Backend:
        """What runs the rule's program."""
        return self._backend

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        elif name == "state":
            if not isinstance(value, OptimizationState):
                raise ArrayTypeError(f"optimizer.state must be an OptimizationState, got {describe(value)}")
            object.__setattr__(self, name, value)
        else:
            raise ReadOnlyError(self._remedy(name))

    def _remedy(self, name: str) -> str:
        if name in ("rule", "backend"):
            return f"optimizer.{name} is read-only; build another optimizer, and call its load_state_dict"
        letter = field_name(name, type(self.rule).model_fields)
        if letter in type(self.rule).model_fields:
            changed = f"mxtrain.build(optimizer.rule.to_dict() | {{{display_name(letter)!r}: ...}})"
            return f"optimizer.{name} cannot be set; build another with {changed}, and call its load_state_dict"
        counts = [each.name for each in fields(OptimizationState)]
        guess = nearest(name, [*counts, *(key for key in dir(type(self)) if not key.startswith("_")), "state"])
        where = f"; did you mean optimizer.{'state.' * (guess in counts)}{guess}?" if guess else ""
        return f"optimizer has no attribute {name}{where or '; only optimizer.state can be set'}"

    def __repr__(self) -> str:
        return f"Optimizer({self.rule!r}, backend={self.backend.name!r}, {self.state!r})"

    def __reduce__(self) -> tuple[Callable[..., "Optimizer"], tuple[Any, ...]]:
        return _restored, (self.rule, self.backend, self._make_state_dict(), self._on_nonfinite)

    def update(self, index: Hashable, grad: Array, weight: Array) -> None:
        """Update one array in place.

        The update belongs to the iteration that `state` names; where no loop counts there (`curr_iter` is 0), to the
        iteration that the array's own count of updates names.

        Args:
            index: the name or number under which its slots are kept: a string, a whole number, or a tuple of these.
            grad: its gradient, of the same shape and dtype; not written to.
            weight: a writable array of float32 or float64.

        Raises:
            ArrayError: an array does not fit (ArrayTypeError: is none, or has another dtype); nothing has changed.
        """
        self._advance(index, grad, weight, self.state.curr_iter)

    def step(self, params: Mapping[Any, Array], grads: Mapping[Any, Array]) -> None:
        """Count an iteration, and update every parameter in place.

        The caller owns the epochs: a schedule per epoch, which is the default, moves on with `state.begin_epoch()`.

        An exception from a signal, such as KeyboardInterrupt, may end a step after the iteration was counted and before
        all arrays were updated; with the NumPy backend even in the middle of an array. The optimizer stays usable; to
        continue exactly, restore a saved state and its weights. `fit` stops between batches.

        Args:
            params: arrays by name.
            grads: the gradient of each, under the same names. To leave a parameter as it is, leave it out of both.

        Raises:
            ArrayError: a name is missing, or an array does not fit; nothing has changed.
        """
        if isinstance(params, FlatParameters) and isinstance(grads, FlatParameters):
            flat = self._flat_states(params, grads)
            if flat is not None:
                groups = self._flat_batches(params, grads, flat)
                moments = self._step_scalars(groups, self.state.curr_iter + 1)
                if self._must_skip(groups, moments, params):
                    return
                self._store.set_flat(params, flat)
                self.state.begin_batch()
                self._run(groups, moments)
                if self._warns:
                    self._count_call(1, stacklevel=4)
                return
        _check_names(params, grads)
        groups, new = self._make_batches([(name, grads[name], weight) for name, weight in params.items()])
        moments = self._step_scalars(groups, self.state.curr_iter + 1)
        if self._must_skip(groups, moments, params):
            return
        self._store.keep(new)
        self.state.begin_batch()
        self._run(groups, moments)
        if self._warns:
            self._count_call(1, stacklevel=4)

    def slot_arrays(self) -> Iterator[Array]:
        """Yield the arrays that hold slots, not copied; those of flat parameters as whole buffers."""
        return self._store.arrays()

    def first_nonfinite_slot(self) -> tuple[Hashable, str] | None:
        """Return the index and the name of the first slot with an infinity or a NaN; None if all are finite."""
        return self._first_nonfinite(("numpy", "cupy"))

    def _first_nonfinite(self, kinds: tuple[str, ...]) -> tuple[Hashable, str] | None:
        for index, kept in self._store.states_by_index().items():
            for name, slot in zip(self.rule.active_slots(), kept.slots, strict=True):
                if array_kind(slot) in kinds and not _is_finite(slot):
                    return index, name
        return None

    def _count_call(self, round_length: int, stacklevel: int) -> None:
        """Scan the slots after 1, 2, 4, ... calls, and then after every 1024 that update each weight once.

        A scan of arrays on a GPU would wait for the device: they are only scanned in `state_dict`.

        Args:
            round_length: the number of calls that update each weight once.
            stacklevel: the caller's frame, as `warnings.warn` counts from `_warn_of_nonfinite`.
        """
        self._calls += 1
        if self._calls >= self._next_scan:
            self._next_scan = self._calls + min(self._calls, _SCAN_EVERY * round_length)
            self._warn_of_nonfinite(("numpy",), stacklevel)

    def _warn_of_nonfinite(self, kinds: tuple[str, ...], stacklevel: int) -> None:
        found = self._first_nonfinite(kinds)
        if found is None:
            return
        self._warns = False
        warnings.warn(
            f"weight {found[0]!r}: its slot {found[1]} is NaN or infinite, so the weight no longer moves, or is itself "
            "NaN or infinite; clip or scale the gradient, use float64, or build the optimizer with "
            'on_nonfinite="skip"',
            RuntimeWarning,
            stacklevel=stacklevel,
        )

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that must survive: the state, and for each array its counts and slots.

        Returns:
            `{"rule": kind, "state": {…}, "parameters": {index: {"updates", "slots", "scalars"}}}`, where `slots`
            holds arrays by name and everything else is plain numbers.
        """
        if self._warns:
            self._warn_of_nonfinite(("numpy", "cupy"), stacklevel=3)
        return self._make_state_dict()

    def _make_state_dict(self) -> dict[str, Any]:
        return make_state_dict(self.rule, self.state, self._store.states_by_index())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned; the arrays are copied.

        Slots are moved to the memory of their weights, the CPU's or a GPU's, at the next step.

        Raises:
            StateError: it belongs to another rule, or to arrays of another shape or dtype, or is incomplete; nothing
                has changed.
        """
        self.state, kept = parse_state_dict(state, self.rule, self._store.states_by_index())
        self._store = StateStore(kept)

    def save(self, path: str | PathLike[str]) -> None:
        """Write what `state_dict` returns into one file, a safetensors file that holds the counts as well.

        Raises:
            OSError: the file cannot be written; one that was there before stays as it was.
        """
        if self._warns:
            self._warn_of_nonfinite(("numpy", "cupy"), stacklevel=3)
        write_state_file(path, self._make_state_dict())

    def load(self, path: str | PathLike[str]) -> None:
        """Continue from what `save` wrote; slots are moved to the memory of their weights at the next step.

        Raises:
            StateError: the file is none of these, or `load_state_dict` refuses what it holds; nothing has changed.
            OSError: the file cannot be read.
        """
        self.load_state_dict(read_state_file(path, array_module(self.backend.kinds[0]).asarray))

    def _normalize(self, grad: Array, weight: Array) -> Array:
        validate_gradient("W", grad, weight)
        program = gradient_program(self.rule.gradient_stage)
        result = grad.copy()
        if program.outputs:  # with neither scale nor clip nor λ there is nothing to do
            self.backend.run(program, [(weight, result)], program.evaluate_scalars(self._groups.all[0].fields))
        return result

    def _advance(self, index: Hashable, grad: Array, weight: Array, iteration: int) -> None:
        """Update one array in place, at an iteration; 0 stands for the array's own count of updates."""
        groups, new = self._make_batches([(index, grad, weight)])
        moments = self._step_scalars(groups, iteration)
        if self._must_skip(groups, moments, {index: weight}):
            return
        self._store.keep(new)
        self._run(groups, moments)
        if self._warns:
            self._count_call(self._store.size, stacklevel=5)

    def _make_batches(self, updates: list[Update]) -> tuple[list[UpdateBatch], dict[Hashable, ParamState]]:
        """Check arrays, and bring those together that share dtype and history; also what is kept for new ones."""
        present = self._store.unflatten()
        new: dict[Hashable, ParamState] = {}
        alike: dict[BatchKey, UpdateBatch] = {}
        last: BatchKey = ()
        are_several = len(self._groups.all) > 1
        all_own_memory = True
        for index, grad, weight in updates:
            all_own_memory &= validate_update(index, grad, weight)
            kept = present.get(index)
            if kept is None:
                kept = new[normalize_index(index)] = self._new_state(weight)
            else:
                kept.check(index, weight)
            variant = self._groups.number(index) if are_several else 0
            history = variant, type(weight), weight.dtype, kept.updates, kept.scalars
            if history != last:  # mostly it is that of the one before
                last, (_, together, arrays) = history, self._batch_for(alike, index, weight, kept, variant)
            together.append(kept)
            arrays.append((weight, grad, *kept.slots))
        if not (all_own_memory and _have_distinct_arrays(updates)):
            self._overlap.check(updates)
        return list(alike.values()), new

    def _batch_for(
        self, alike: dict[BatchKey, UpdateBatch], index: Hashable, weight: Array, kept: ParamState, variant: int
    ) -> UpdateBatch:
        history = variant, type(weight), weight.dtype, kept.updates, *kept.scalars.values()
        if history not in alike:
            self._check_backend(index, weight)  # once for all weights of a type
            alike[history] = (variant, [], [])
        return alike[history]

    def _flat_states(self, params: FlatParameters, grads: FlatParameters) -> dict[str, FlatParamState] | None:
        """What is kept for flat parameters, by dtype; None where layouts or histories differ."""
        if not grads.has_same_layout(params):
            return None
        buffers: list[Update] = []
        all_own_memory = True
        for dtype, buffer in params.buffers.items():
            if grads.buffers[dtype] is buffer:
                raise ArrayError("the gradients share memory with the parameters; make them with params.zeros_like()")
            first = params.places(dtype)[0].name
            all_own_memory &= validate_update(first, grads.buffers[dtype], buffer)
            self._check_backend(first, buffer)
            buffers.append((first, grads.buffers[dtype], buffer))
        if not (all_own_memory and _have_distinct_arrays(buffers)):
            self._overlap.check(buffers)
        flat = self._store.flat(params)
        if flat is not None:
            return flat
        _, new = self._make_batches([(name, grads[name], weight) for name, weight in params.items()])
        return gather(params, self._store.states_by_index() | new)

    def _flat_batches(
        self, params: FlatParameters, grads: FlatParameters, flat: Mapping[str, FlatParamState]
    ) -> list[UpdateBatch]:
        """The buffer of each dtype as a whole, or those of its stretches that have one variant of the rule."""
        groups: list[UpdateBatch] = []
        for dtype, each in flat.items():
            arrays = params.buffers[dtype], grads.buffers[dtype], *each.kept.slots
            if len(self._groups.all) == 1:
                groups.append((0, [each.kept], [arrays]))
                continue
            for number, slices in self._groups.slices(dtype, params.places(dtype)).items():
                cut = [tuple(array[part] for array in arrays) for part in slices]
                groups.append((number, [each.kept], cut))
        return groups

    def _check_backend(self, index: Hashable, weight: Array) -> None:
        if array_kind(weight) not in self._backend.kinds:
            raise ArrayTypeError(
                f"weight {index!r} is a {array_kind(weight)} array, which the backend {self.backend.name} does not "
                "run on; choose the backend auto, or move the array"
            )

    def _step_scalars(self, groups: list[UpdateBatch], iteration: int) -> list[StepScalars]:
        """The scalars of each group's next update; whatever a rule raises, it raises here, before anything changes."""
        return [self._batch_scalars(variant, kept[0], iteration) for variant, kept, _ in groups]

    def _batch_scalars(self, number: int, kept: ParamState, iteration: int) -> StepScalars:
        rule, program, fields = self._groups.all[number]
        update = kept.updates + 1
        time = Time(update, iteration or update, max(self.state.curr_epoch - 1, 0))
        coefficients = rule.coefficients(time, kept.scalars)
        scalars = {name: coefficients[name] for name in rule.scalar_slots}
        return update, program.evaluate_scalars(fields | coefficients), scalars, coefficients

    def _must_skip(self, groups: list[UpdateBatch], moments: list[StepScalars], params: Mapping[Any, Array]) -> bool:
        """Try an update on copies if a slot might overflow; return True if the update must be skipped.

        Raises:
            NonFiniteError: a slot would become NaN or infinite, and `on_nonfinite` is `raise`.
        """
        if not self._tries_on_copies:
            return False
        far: list[tuple[ParamState, int]] = []
        near: list[ParamState] = []
        for group, moment in zip(groups, moments, strict=True):
            (number, kept, arrays), (update, values, _, _) = group, moment
            is_safe, is_scanned = self._cannot_overflow(group, moment)
            if is_safe:
                if is_scanned:
                    far += [(each, update + SCAN_INTERVAL - 1) for each in kept]
                continue
            near += kept
            trial = [(weight.copy(), gradient, *(slot.copy() for slot in slots)) for weight, gradient, *slots in arrays]
            self._backend.run(self._groups.all[number].program, trial, values)
            problem = self._problem(arrays, trial, params)
            if problem is None:
                continue
            if self._on_nonfinite == "raise":
                raise NonFiniteError(problem)
            warnings.warn(f"skipped: {problem}", RuntimeWarning, stacklevel=3)
            return True
        for each, until in far:
            each.overflow_free_until = until
        for each in near:  # groups of flat parameters share what is kept
            each.overflow_free_until = 0
        return False

    def _cannot_overflow(self, group: UpdateBatch, moment: StepScalars) -> tuple[bool, bool]:
        """Return whether bounds rule out an overflow in an update, and whether the slots were scanned for that."""
        number, kept, arrays = group
        update, _, _, coefficients = moment
        dtype = arrays[0][0].dtype
        bounds = self._bounds.get((number, dtype.name))
        if bounds is None:
            rule = self._groups.all[number].rule
            bounds = self._bounds[number, dtype.name] = OverflowBounds(rule, dtype)
        step, momentum = coefficients.get("step", 0.0), coefficients.get("μ", 0.0)
        gradients = [array[1] for array in arrays]
        if not bounds.allow_gradient(max_abs_bound(gradients), step, momentum) and not (
            bounds.allow_gradient(max_abs_bound(gradients, exact=True), step, momentum)
        ):
            return False, False
        if not bounds.need_weights(step) and all(each.overflow_free_until >= update for each in kept):
            return True, False
        if bounds.decays:
            weights = [array[0] for array in arrays]
            if not bounds.allow_weight(max_abs_bound(weights)) and not bounds.allow_weight(
                max_abs_bound(weights, exact=True)
            ):
                return False, True
        slots = [slot for _, _, *slots in arrays for slot in slots]
        return bounds.allow_slots(max_abs_bound(slots)) or bounds.allow_slots(max_abs_bound(slots, exact=True)), True

    def _problem(
        self, arrays: list[tuple[Array, ...]], trial: list[tuple[Array, ...]], params: Mapping[Any, Array]
    ) -> str | None:
        """Describe the first slot of a trial that is NaN or infinite; return None if all are finite."""
        for (weight, *_), (_, _, *after) in zip(arrays, trial, strict=True):
            for name, slot in zip(self._rule.active_slots(), after, strict=True):
                if not _is_finite(slot):
                    return (
                        f"the update of {_weight_label(weight, slot, params)} would make its slot {name} "
                        "NaN or infinite; nothing has changed; clip or scale the gradient, or use float64"
                    )
        return None

    def _run(self, groups: list[UpdateBatch], moments: list[StepScalars]) -> None:
        for (number, kept, arrays), (update, values, scalars, _) in zip(groups, moments, strict=True):
            for each in kept:  # counted first: Ctrl-C during a compiled call is raised when all its work is done
                each.updates, each.scalars = update, scalars
            self._backend.run(self._groups.all[number].program, arrays, values)

    def _new_state(self, weight: Array) -> ParamState:
        slots = tuple(zeros_like(weight) for _ in self._rule.active_slots())
        return ParamState(0, slots, dict(self._rule.scalar_slots))


def _is_finite(array: Array) -> bool:
    if array_kind(array) != "cupy":
        return bool(np.isfinite(array).all())
    with array.device:
        return bool(array_module("cupy").isfinite(array).all())


def _weight_label(weight: Array, slot: Array, params: Mapping[Any, Array]) -> str:
    """Return the name of the weight, in a buffer too, whose slot is not finite, as messages show it."""
    if isinstance(params, FlatParameters):
        places = params.places(str(weight.dtype))
        if slot.size == places[-1].stop:  # the whole buffer, not the part of one of several groups
            finite = array_module(array_kind(slot) or "numpy").isfinite
            return "weight " + next(repr(place.name) for place in places if not finite(place.view(slot)).all())
        return f"a weight of dtype {weight.dtype}"
    return "weight " + next(repr(name) for name, array in params.items() if array is weight)


def _restored(
    rule: Rule, backend: Backend, saved: Mapping[str, Any], on_nonfinite: OnNonfinite = "ignore"
) -> Optimizer:
    optimizer = Optimizer(rule, backend, on_nonfinite)
    optimizer.load_state_dict(saved)
    return optimizer


def _have_distinct_arrays(updates: list[Update]) -> bool:
    """Return whether no weight is the same array as another weight or a gradient."""
    if len(updates) == 1:
        return updates[0][1] is not updates[0][2]
    weights = {id(weight) for _, _, weight in updates}
    return len(weights) == len(updates) and weights.isdisjoint([id(grad) for _, grad, _ in updates])


def _check_names(params: Mapping[Any, Array], grads: Mapping[Any, Array]) -> None:
    for what, mapping in (("params", params), ("grads", grads)):
        if not isinstance(mapping, Mapping):
            raise ArrayTypeError(f"{what} must be a mapping of arrays by name, got {describe(mapping)}")
    if params.keys() != grads.keys():
        lacking, extra = (
            sorted(map(repr, names)) for names in (params.keys() - grads.keys(), grads.keys() - params.keys())
        )
        lists = [f"no gradient for {', '.join(lacking)}"] * bool(lacking) + [f"no parameter {', '.join(extra)}"] * bool(
            extra
        )
        raise ArrayError(f"params and grads must have the same names: {'; '.join(lists)}")


def get_updater(optimizer: Optimizer) -> Callable[[Hashable, Array, Array], None]:
    """A function `updater(index, grad, weight)` that updates in place and counts updates per index.

    Example:
        >>> import mxtrain, numpy as np
        >>> updater = mxtrain.get_updater(mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0}))
        >>> w = np.ones(1, dtype="float32")
        >>> updater(0, np.ones(1, dtype="float32"), w)
        >>> w
        array([0.5], dtype=float32)

    Source: `getupdater` of MXNet.jl.
    """

    def updater(index: Hashable, grad: Array, weight: Array) -> None:
        optimizer._advance(index, grad, weight, iteration=0)

    return updater


def normgrad(optimizer: Optimizer, weight: Array, grad: Array) -> Array:
    """The gradient scaled, clipped and decayed, as the optimizer's rule sees it; neither argument is touched.

    Example:
        >>> import mxtrain, numpy as np
        >>> optimizer = mxtrain.build({"kind": "sgd", "scale": 0.5, "clip": 1, "λ": 0.25})
        >>> w, g = np.full(2, 4, dtype="float32"), np.array([1, 10], dtype="float32")
        >>> mxtrain.normgrad(optimizer, w, g)
        array([1.5, 2. ], dtype=float32)

    Source: `normgrad!` of MXNet.jl, which changed the gradient.
    """
    return optimizer._normalize(grad, weight)
