"""Optimizer: a rule bound to a backend, with the state of each weight."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from mxtrain.errors import ArrayTypeError, Location, ReadOnlyError
from mxtrain.names import field_name
from mxtrain.optim.attribute_messages import missing_attribute_message, read_only_message
from mxtrain.optim.backends import Backend, array_module
from mxtrain.optim.batch_execution import run_batches
from mxtrain.optim.epoch_watch import EpochWatch
from mxtrain.optim.evaluation_weights import evaluation_tree
from mxtrain.optim.explanation import Explanation, explain
from mxtrain.optim.inputs import check_container, flatten, shape_of
from mxtrain.optim.inputs.complex_arrays import is_complex
from mxtrain.optim.nonfinite import NonFiniteGuard, OnNonfinite
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.param_groups import ParamGroups
from mxtrain.optim.param_state import StateStore
from mxtrain.optim.rules import Rule, Time
from mxtrain.optim.state_dict import make_state_dict, parse_state_dict
from mxtrain.optim.state_file import read_state_file, write_state_file
from mxtrain.optim.step_loop import StepLoop
from mxtrain.optim.step_scalars import StepScalars, are_finite, clip_by_norm, compute_scalars
from mxtrain.optim.stopping import read_until
from mxtrain.optim.update_batches import BatchBuilder, UpdateBatch
from mxtrain.types import Array, describe

ParamsT = TypeVar("ParamsT")
"""Type of nested parameters."""


class Optimizer:
    """A rule bound to a backend, with the slots of each weight.

    Made by `mxtrain.build`. Updates are in place, and a gradient is never written to. A copy or a pickle has the same
    rule and backend, and its own copy of the state.

    Args:
        rule: the validated rule; it cannot be replaced.
        backend: the backend that runs the rule's program; it cannot be replaced.
        on_nonfinite: treatment of an update that makes a slot NaN or infinite, as in `mxtrain.build`.
        location: the location of the rule in a file, for `explain`.

    Attributes:
        state: progress of the training run; a training loop may count its epochs and batches there.
        η, μ: the learning rate and the momentum that the next `step` uses.

    Example:
        >>> import mxtrain, numpy as np
        >>> optimizer = mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0})
        >>> params = {"W": np.ones(2, dtype="float32"), "b": np.zeros(1, dtype="float32")}
        >>> grads = {name: np.ones_like(value) for name, value in params.items()}
        >>> optimizer.step(params, grads)
        >>> params["W"], params["b"], optimizer.state.curr_iter
        (array([0.5, 0.5], dtype=float32), array([-0.5], dtype=float32), 1)
    """

    def __init__(
        self,
        rule: Rule,
        backend: Backend,
        on_nonfinite: OnNonfinite = "warn",
        location: Location | None = None,
    ) -> None:
        self._rule = rule
        self._backend = backend
        self._on_nonfinite = on_nonfinite
        self.state = OptimizationState()
        self._store = StateStore()
        self._groups = ParamGroups(rule)
        self._location = location
        self._builder = BatchBuilder(backend, self._groups, tries_steps=on_nonfinite in ("raise", "skip"))
        self._guard = NonFiniteGuard(backend, self._groups, on_nonfinite)
        self._epoch_watch = EpochWatch([group.rule for group in self._groups.all])

    @property
    def rule(self) -> Rule:
        """The rule; to use another one, build another optimizer and load the state there."""
        return self._rule

    @property
    def η(self) -> float:
        """The learning rate that the next `step` uses for parameters in no group; also read as `lr`.

        It is read from `state`: a schedule per epoch advances with `state.begin_epoch()`.

        Example:
            >>> import mxtrain, numpy as np
            >>> exp = {"kind": "exp", "γ": 0.5, "per": "iteration"}
            >>> optimizer = mxtrain.build({"kind": "sgd", "η": 0.1, "η_sched": exp})
            >>> before = optimizer.η
            >>> optimizer.step({"W": np.ones(2)}, {"W": np.ones(2)})
            >>> before, optimizer.η, optimizer.lr
            (0.1, 0.05, 0.05)
        """
        time = self._next_time()
        return self._rule.at(time).learning_rate_at(time)

    @property
    def μ(self) -> float | None:
        """The momentum that the next `step` uses; None for a rule without momentum; also read as `momentum`."""
        time = self._next_time()
        rule = self._rule.at(time)
        momentum = rule.momentum_at(time.iteration)
        return getattr(rule, "μ", None) if momentum is None else momentum

    def _next_time(self) -> Time:
        iteration = self.state.curr_iter + 1
        return Time(iteration, iteration, max(self.state.curr_epoch - 1, 0))

    if not TYPE_CHECKING:  # with it, type checkers would accept any attribute

        def __getattr__(self, name: str) -> Any:
            """Read η and μ under their ASCII names."""
            letter = None if name.startswith("_") else field_name(name, ("η", "μ"))
            if letter in ("η", "μ") and letter != name:
                return getattr(self, letter)
            raise ReadOnlyError(missing_attribute_message(self.rule, name))

    @property
    def backend(self) -> Backend:
        """The backend that runs the rule's program."""
        return self._backend

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        elif name == "state":
            if not isinstance(value, OptimizationState):
                raise ArrayTypeError(f"optimizer.state must be an OptimizationState, got {describe(value)}")
            object.__setattr__(self, name, value)
        else:
            raise ReadOnlyError(read_only_message(self.rule, name, dir(type(self))))

    def __repr__(self) -> str:
        return f"Optimizer({self.rule!r}, backend={self.backend.name!r}, {self.state!r})"

    def __reduce__(self) -> tuple[Callable[..., "Optimizer"], tuple[Any, ...]]:
        return _restored, (self.rule, self.backend, self._make_state_dict(), self._on_nonfinite)

    def _set_part(self, part: int, rule: Rule, names: Iterable[Hashable] = ()) -> None:
        """Set the rule of a part of the parameters; see `ParamGroups.set_part`."""
        self._groups.set_part(part, rule, names)
        self._guard.reset()
        if names:
            self._epoch_watch = EpochWatch([group.rule for group in self._groups.all])

    def update(self, index: Hashable, grad: Array, weight: Array) -> None:
        """Update one array in place.

        Schedules use the iteration in `state`; if no loop counts there (`curr_iter` is 0), the array's own update
        count.

        Args:
            index: the name or number under which its slots are stored: a string, a whole number, or a tuple of these.
            grad: its gradient, of the same shape and dtype; not written to. As in `step`, of any library.
            weight: a writable array: NumPy, CuPy, or a torch tensor; of float32, float64, complex64, complex128,
                float16 or bfloat16.

        Raises:
            ArrayError: the array is invalid (ArrayTypeError: not an array, or the wrong dtype); state is unchanged.
        """
        self._groups.refuse_single_array()
        self._update(index, grad, weight, self.state.curr_iter)

    def step(self, params: Any, grads: Any, rows: Mapping[str, Any] | None = None) -> None:
        """Count an iteration, and update every parameter in place.

        Epochs are counted by the caller: a schedule per epoch, which is the default, advances with
        `state.begin_epoch()`.

        An exception from a signal, such as KeyboardInterrupt, may end a step after the iteration was counted and before
        all arrays were updated; with the NumPy backend even in the middle of an array. The optimizer remains usable; to
        continue exactly, restore a saved state and its weights. `fit` stops between batches.

        Args:
            params: NumPy or CuPy arrays or torch tensors by name, or in nested dicts, lists, tuples, named tuples and
                dataclasses; there, a name is a path such as `layers.0.W`.
            grads: the gradient of each, under the same names: arrays of any library with `__dlpack__` or `__array__`,
                on the same device. To leave a parameter unchanged, pass None, or omit it from both.
            rows: the numbers of the rows to update, for parameters of which other rows stay unchanged, such as
                embeddings: one-dimensional arrays or lists of whole numbers by name. The gradient of such a parameter
                has one row for each index; those of a repeated index are added.

        Raises:
            ArrayError: a name is missing, or an array is invalid; state is unchanged.
            BackendError: a package that an array needs is not installed; state is unchanged.
            ScheduleError: a scheduled value is out of bounds; state is unchanged.
            ConfigError: a group takes none of the parameters, or none takes a parameter and `groups_required` is true;
                state is unchanged. Parameters of earlier steps count.
        """
        batches, new_states, inputs = self._builder.build_step(self._store, params, grads, rows)
        state = self.state
        if inputs is not None:
            params = inputs.params
        wraps = self._groups.wrap_steps
        if wraps and self._rule.skip_nonfinite and not are_finite(self._backend, batches):
            state.count_skipped()
            return
        batches, step_scalars = compute_scalars(
            batches, self._groups, state.curr_iter + 1, max(state.curr_epoch - 1, 0)
        )
        if wraps and self._rule.clip_norm is not None:
            clip_by_norm(self._backend, self._groups, batches, step_scalars)
        if self._guard.checks_steps and self._guard.must_skip(batches, step_scalars, params):
            return
        self._store.add(new_states)
        if self._epoch_watch.is_active:
            self._epoch_watch.check_step(state, stacklevel=3)
        if wraps and step_scalars and not any(scalars.updates for scalars in step_scalars):
            state.skip_batch()
        else:
            state.begin_batch()
        self._run(batches, step_scalars)
        if inputs is not None:
            inputs.finish()
        if self._guard.warns:
            row_slots = {} if inputs is None else inputs.row_slots
            self._guard.count_call(self._store, params, calls_per_round=1, stacklevel=4, row_slots=row_slots)

    def steps(
        self,
        params: Any,
        until: Any = None,
        *,
        callbacks: Iterable[Any] = (),
        history: bool = False,
        steps_per_epoch: int | None = None,
    ) -> StepLoop:
        """Return the iterations of a loop, as in `for step in optimizer.steps(params, until={...})`.

        The conditions on values (`gtol`, `target`, `ftol`, `patience`) are tested at the present parameters, which are
        not updated if one holds. Limits are tested between iterations. After the loop, `step.message` is the reason.

        Args:
            params: the parameters, as in `step`.
            until: stop conditions by name, a function of the progress, or None for a loop that ends by `break`; see
                `StopConditions`.
            callbacks: functions of the loop, or objects with `on_batch(state, loss)`, called after each update;
                StopIteration and StopTraining end the loop.
            history: keep the loss of each iteration in `step.history`.
            steps_per_epoch: the number of iterations in an epoch; the loop then begins epochs, so that schedules per
                epoch advance.

        Raises:
            ConfigError: a value is wrong.

        Example:
            >>> import mxtrain, numpy as np
            >>> params = {"W": np.ones(2)}
            >>> optimizer = mxtrain.build({"kind": "sgd", "η": 0.1, "λ": 0})
            >>> for step in optimizer.steps(params, until={"max_iterations": 1000, "gtol": 1e-6}):
            ...     loss, grads = (params["W"] ** 2).sum(), {"W": 2 * params["W"]}
            ...     step(grads, loss=loss)
            >>> step.message, step.progress.iterations
            ('gtol: the largest element of the gradient, 8.03e-07, is at most 1e-06', 66)
        """
        conditions = read_until(until)
        return StepLoop(self, params, conditions, callbacks=callbacks, history=history, steps_per_epoch=steps_per_epoch)

    def _update(self, index: Hashable, grad: Array, weight: Array, iteration: int) -> None:
        """Update one array in place, in an iteration; 0 means the array's own update count."""
        batches, new_states, inputs = self._builder.build_update(self._store, index, grad, weight)
        if inputs is not None:
            weight = inputs.params[index]
        batches, step_scalars = compute_scalars(batches, self._groups, iteration, max(self.state.curr_epoch - 1, 0))
        if self._guard.checks_steps and self._guard.must_skip(batches, step_scalars, {index: weight}):
            return
        self._store.add(new_states)
        if self._epoch_watch.is_active:
            self._epoch_watch.check_update(self.state, batches[0].states[0].updates, stacklevel=4)
        self._run(batches, step_scalars)
        if inputs is not None:
            inputs.finish()
        if self._guard.warns:
            self._guard.count_call(self._store, {index: weight}, self._store.size, stacklevel=5)

    def _run(self, batches: list[UpdateBatch], step_scalars: list[StepScalars]) -> None:
        for batch, scalars in zip(batches, step_scalars, strict=True):
            for state in batch.states:  # counted first: Ctrl-C during a compiled call is raised after all its work
                state.updates, state.scalars = scalars.update, scalars.scalar_slots
        run_batches(self._backend, self._groups, [(batch, batch.arrays) for batch in batches], step_scalars)

    def explain(self, params: Any) -> Explanation:
        """Return the rule and the values of each parameter, and the group that decided them.

        Args:
            params: arrays by name or in nested containers, as in `step`.

        Returns:
            A mapping from names to `ParamExplanation` objects, which prints as a table.

        Raises:
            ArrayTypeError: `params` is not a container, or a value has no shape.
            ConfigError: no group takes a parameter, and `groups_required` is true.

        Example:
            >>> import mxtrain, numpy as np
            >>> groups = {"W*": {"kind": "muon", "η": 0.02}, "ndim < 2": {"λ": 0}}
            >>> optimizer = mxtrain.build({"kind": "adamw", "groups": groups})
            >>> optimizer.explain({"W1": np.ones((3, 2)), "b1": np.ones(2), "E": np.ones((5, 2))})
            parameter  shape   rule   values          decided by
            W1         (3, 2)  muon   η=0.02 λ=0.0    W*
            b1         (2,)    adamw  η=0.001 λ=0.0   ndim < 2
            E          (5, 2)  adamw  η=0.001 λ=0.01  the optimizer
        """
        flat = flatten("params", params)
        weights = {name: weight for name, weight in zip(flat.names, flat.leaves, strict=True) if weight is not None}
        shapes = {name: shape_of(name, weight) for name, weight in weights.items()}
        complex_names = {name for name, weight in weights.items() if is_complex(getattr(weight, "dtype", None))}
        return explain(self.rule, shapes, self._location, complex_names)

    def evaluation_params(self, params: ParamsT) -> ParamsT:
        """Return the weights to evaluate, which differ from the trained ones with `ema`, `lookahead` and Schedule-Free.

        Args:
            params: the trained parameters, as in `step`.

        Returns:
            `params` itself if these are the weights to evaluate; otherwise copies in the same containers, flat if
            `params` are, and tensors for torch tensors. A parameter that was never updated is copied unchanged.

        Raises:
            ArrayError: a parameter has another shape or dtype than the one that was updated (ArrayTypeError: `params`
                is not a container, or a value has no shape).

        Example:
            >>> import mxtrain, numpy as np
            >>> optimizer = mxtrain.build({"kind": "sgd"})
            >>> params = {"W": np.ones(2)}
            >>> optimizer.evaluation_params(params) is params
            True
        """
        if not self._groups.evaluate_slots:
            check_container("params", params)
            return params
        weights: ParamsT = evaluation_tree(params, self._groups, self._store)
        return weights

    def slot_arrays(self) -> Iterator[Array]:
        """Yield the arrays that hold slots, not copied; those of flat parameters as whole buffers."""
        return self._store.arrays()

    def first_nonfinite_slot(self) -> tuple[Hashable, str] | None:
        """Return the index and the name of the first slot with an infinity or a NaN; None if all are finite."""
        return self._guard.first_nonfinite(self._store)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state: the progress of the run, and the update counts and slots of each array.

        Returns:
            `{"rule": kind, "state": {…}, "parameters": {index: {"updates", "slots", "scalars"}}}`, where `slots`
            holds arrays by name and everything else is plain numbers.
        """
        if self._guard.warns:
            self._guard.warn(self._store, stacklevel=3)
        return self._make_state_dict()

    def _make_state_dict(self) -> dict[str, Any]:
        return make_state_dict(self.rule, self.state, self._store.states_by_index())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the result of `state_dict`; the arrays are copied.

        Slots are moved to the device of their weights, the CPU or a GPU, at the next step.

        Raises:
            StateError: it belongs to another rule, or to arrays of another shape or dtype, or is incomplete; the
                present state is unchanged.
        """
        self.state, states = parse_state_dict(state, self.rule, self._groups.rules_for, self._store.states_by_index())
        self._store = StateStore(states)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the state into one safetensors file, which holds the counts as well.

        Raises:
            OSError: the file cannot be written; an existing file is unchanged.
        """
        if self._guard.warns:
            self._guard.warn(self._store, stacklevel=3)
        write_state_file(path, self._make_state_dict())

    def load(self, path: str | PathLike[str]) -> None:
        """Continue from a file that `save` wrote; slots are moved to the device of their weights at the next step.

        Raises:
            StateError: not an optimizer state file, or `load_state_dict` refuses its content; the present state is
                unchanged.
            OSError: the file cannot be read.
        """
        self.load_state_dict(read_state_file(path, array_module(self.backend.kinds[0]).asarray))


def _restored(  # pickles name this function
    rule: Rule, backend: Backend, saved: Mapping[str, Any], on_nonfinite: OnNonfinite = "ignore"
) -> Optimizer:
    optimizer = Optimizer(rule, backend, on_nonfinite)
    optimizer.load_state_dict(saved)
    return optimizer
