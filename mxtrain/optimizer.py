"""An optimizer: a rule bound to a backend, with the slots it keeps for each weight."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from mxtrain.backends import Backend, array_kind, check_gradient, check_pair, zeros_like
from mxtrain.errors import ArrayError, ArrayTypeError
from mxtrain.flat import FlatParameters, Place
from mxtrain.kernel import gradient_program
from mxtrain.optimizers import Rule, Time
from mxtrain.slots import FlatKept, Kept, read_state, write_state
from mxtrain.state import OptimizationState
from mxtrain.types import Array, describe


class Optimizer:
    """A rule bound to a backend, with the slots it keeps for each weight.

    Made by `mxtrain.build`. Updates are in place, and a gradient is never written to.

    Args:
        rule: the validated rule.
        backend: what runs the rule's program.
        batch_size: samples in a batch, for the state; 0 where it is not known.

    Example:
        >>> import mxtrain, numpy as np
        >>> optimizer = mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0})
        >>> params = {"W": np.ones(2, dtype="float32"), "b": np.zeros(1, dtype="float32")}
        >>> grads = {name: np.ones_like(value) for name, value in params.items()}
        >>> optimizer.step(params, grads)
        >>> params["W"], params["b"], optimizer.state.curr_iter
        (array([0.5, 0.5], dtype=float32), array([-0.5], dtype=float32), 1)
    """

    def __init__(self, rule: Rule, backend: Backend, batch_size: int = 0) -> None:
        self.rule = rule
        self.backend = backend
        self.state = OptimizationState(batch_size)
        self._kept: dict[Hashable, Kept] = {}
        self._flat: dict[str, FlatKept] = {}
        self._flat_layout: tuple[Place, ...] | None = None
        self._program = rule.program()
        self._fields = {name: getattr(rule, name) for name in type(rule).model_fields}

    def update(self, index: Hashable, grad: Array, weight: Array) -> None:
        """Update one array in place.

        The update belongs to the iteration that `state` names; where no loop counts there (`curr_iter` is 0), to the
        iteration that the array's own count of updates names.

        Args:
            index: what the array is known by; its slots are kept under it.
            grad: its gradient, of the same shape and dtype; not written to.
            weight: a writable array of float32 or float64.

        Raises:
            ArrayError: an array does not fit (ArrayTypeError: is none, or has another dtype); nothing has changed.
        """
        self.advance(index, grad, weight, self.state.curr_iter)

    def step(self, params: Mapping[Any, Array], grads: Mapping[Any, Array]) -> None:
        """Count an iteration, and update every parameter in place.

        The caller owns the epochs: a schedule per epoch, which is the default, moves on with `state.begin_epoch()`.

        Args:
            params: arrays by name.
            grads: the gradient of each, under the same names. To leave a parameter as it is, leave it out of both.

        Raises:
            ArrayError: a name is missing, or an array does not fit; nothing has changed.
        """
        if isinstance(params, FlatParameters) and isinstance(grads, FlatParameters) and self._gather(params, grads):
            self.state.begin_batch()
            for dtype, flat in self._flat.items():
                arrays = (params.buffers[dtype], grads.buffers[dtype], *flat.kept.slots)
                self._run_alike([flat.kept], [arrays], self.state.curr_iter)
            return
        _check_names(params, grads)
        updates = [(name, grads[name], weight) for name, weight in params.items()]
        self._check(updates)
        self.state.begin_batch()
        self._run(updates, self.state.curr_iter)

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that must survive: the state, and for each array its counts and slots.

        Returns:
            `{"rule": kind, "state": {…}, "parameters": {index: {"updates", "slots", "scalars"}}}`, where `slots`
            holds arrays by name and everything else is plain numbers.
        """
        return write_state(self.rule, self.state, self._everything_kept())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned; the arrays are copied.

        Raises:
            StateError: it belongs to another rule, or to arrays of another shape or dtype, or is incomplete; nothing
                has changed.
        """
        self.state, self._kept = read_state(state, self.rule, self._everything_kept())
        self._flat, self._flat_layout = {}, None

    def normalize(self, grad: Array, weight: Array) -> Array:
        """The gradient as the rule sees it: scaled, clipped, decayed; a new array."""
        check_gradient("W", grad, weight)
        program = gradient_program(self.rule.gradient_stage)
        result = grad.copy()
        if program.outputs:  # with neither scale nor clip nor λ there is nothing to do
            self.backend.run(program, [(weight, result)], program.evaluate_scalars(self._fields))
        return result

    def advance(self, index: Hashable, grad: Array, weight: Array, iteration: int) -> None:
        """Update one array in place, at an iteration; 0 stands for the array's own count of updates."""
        updates = [(index, grad, weight)]
        self._check(updates)
        self._run(updates, iteration)

    def _check(self, updates: list[tuple[Hashable, Array, Array]]) -> None:
        """Refuse arrays that do not fit; from here on, slots are kept for each array by itself."""
        self._scatter()
        for index, grad, weight in updates:
            check_pair(index, grad, weight)
            self._check_backend(index, weight)
            kept = self._kept.get(index)
            if kept is not None:
                kept.check(index, weight)

    def _check_backend(self, index: Hashable, weight: Array) -> None:
        if array_kind(weight) not in self.backend.kinds:
            raise ArrayTypeError(
                f"weight {index!r} is a {array_kind(weight)} array, which the backend {self.backend.name} does not "
                "run on; choose the backend auto, or move the array"
            )

    def _everything_kept(self) -> dict[Hashable, Kept]:
        if not self._flat:
            return self._kept
        return self._kept | {name: each for flat in self._flat.values() for name, each in flat.scatter().items()}

    def _scatter(self) -> None:
        self._kept, self._flat, self._flat_layout = self._everything_kept(), {}, None

    def _gather(self, params: FlatParameters, grads: FlatParameters) -> bool:
        """Bring the slots of flat parameters together; False where their layouts or their histories differ."""
        if params.layout is not grads.layout and params.layout != grads.layout:
            return False
        for dtype, buffer in params.buffers.items():
            check_pair(dtype, grads.buffers[dtype], buffer)
            self._check_backend(dtype, buffer)
        if self._flat_layout is params.layout:
            return True
        self._check([(name, grads[name], weight) for name, weight in params.items()])
        kept = {name: self._kept.get(name) or self._new(weight) for name, weight in params.items()}
        if len({(each.updates, *each.scalars.values()) for each in kept.values()}) > 1:
            return False
        for dtype, buffer in params.buffers.items():
            places = params.places(dtype)
            self._flat[dtype] = FlatKept.gather(places, buffer, [kept[place.name] for place in places])
        self._flat_layout = params.layout
        self._kept = {index: each for index, each in self._kept.items() if index not in kept}
        return True

    def _run(self, updates: list[tuple[Hashable, Array, Array]], iteration: int) -> None:
        """Update arrays that have been checked; those that share dtype and history share one evaluation of scalars."""
        alike: dict[Hashable, list[tuple[Kept, tuple[Array, ...]]]] = {}
        for index, grad, weight in updates:
            kept = self._kept.get(index)
            if kept is None:
                kept = self._kept[index] = self._new(weight)
            history = (type(weight), weight.dtype, kept.updates, *kept.scalars.values())
            alike.setdefault(history, []).append((kept, (weight, grad, *kept.slots)))
        for group in alike.values():
            self._run_alike([kept for kept, _ in group], [arrays for _, arrays in group], iteration)

    def _run_alike(self, kept: list[Kept], arrays: list[tuple[Array, ...]], iteration: int) -> None:
        update = kept[0].updates + 1
        time = Time(update, iteration or update, max(self.state.curr_epoch - 1, 0))
        coefficients = self.rule.coefficients(time, kept[0].scalars)
        self.backend.run(self._program, arrays, self._program.evaluate_scalars(self._fields | coefficients))
        scalars = {name: coefficients[name] for name in self.rule.scalar_slots}
        for each in kept:
            each.updates, each.scalars = update, scalars

    def _new(self, weight: Array) -> Kept:
        slots = tuple(zeros_like(weight) for _ in self.rule.active_slots())
        return Kept(0, slots, dict(self.rule.scalar_slots))


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
        optimizer.advance(index, grad, weight, iteration=0)

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
    return optimizer.normalize(grad, weight)
