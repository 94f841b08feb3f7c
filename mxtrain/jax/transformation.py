"""Gradient transformations of JAX made of the rules of mxtrain."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mxtrain.config.loader import build
from mxtrain.errors import ArrayError, ArrayTypeError, ConfigError, ConfigProblem
from mxtrain.jax.batches import Batch, flatten, make_batches, split
from mxtrain.jax.float64 import from_bits, reduce_array, to_bits, traced_from_bits, traced_to_bits
from mxtrain.jax.host_scalars import ADD, BEGIN, IDLE, SYNCHRONIZE, BatchScalars, HostScalars, epoch_length
from mxtrain.jax.matrix_updates import clip_columns, run_matrix_program
from mxtrain.jax.programs import Evaluated, MultiPassRun, run_family, run_program, select
from mxtrain.optim.ir import MatrixProgram, MultiPassProgram, Variant
from mxtrain.optim.ir.wrapping import ACCUMULATED, START_SHARE
from mxtrain.optim.param_groups import ParamGroups, check_groups
from mxtrain.optim.rules import Rule
from mxtrain.optim.rules.scheduled import path_changed_by_epochs
from mxtrain.optim.rules.wrappers import rounded_bounds
from mxtrain.types import describe_argument

try:
    from optax import GradientTransformation
except ImportError:  # Optax is not needed: any pair with these names is a transformation

    class GradientTransformation(NamedTuple):  # type: ignore[no-redef]
        """Pair of functions `init(params)` and `update(grads, state, params)`, as in Optax."""

        init: Callable[..., Any]
        update: Callable[..., Any]


class TransformationState(NamedTuple):
    """State of a transformation: a pytree of arrays.

    Attributes:
        steps: the number of iterations, an int32.
        skipped: the number of steps that `skip_nonfinite` skipped, an int32.
        updates: the number of updates of each batch of parameters with one rule and dtype, int32 of shape (batches,).
        scalars: the scalar slots of all batches, as the bits of float64 numbers, uint32 of shape (n, 2).
        slots: the slots by the name of the parameter and of the slot.
    """

    steps: Any
    skipped: Any
    updates: Any
    scalars: Any
    slots: dict[str, dict[str, Any]]


def transformation(
    config: Rule | Mapping[str, Any] | str | PathLike[str],
    *,
    run: tuple[int, int] | None = None,
    steps_per_epoch: int | None = None,
) -> Any:
    """Return the gradient transformation of a rule, for Optax and for loops that use JAX alone.

    `update` returns the updates to add to the parameters, which it needs too: `update(grads, state, params)`. It may be
    called inside of `jit`, `vmap` and `lax.scan`. Coefficients and schedules are computed on the host in float64, once
    per step, through `jax.pure_callback`; the arrays stay on their device, except those of matrix rules other than
    Muon. Sums over arrays are computed in float64.

    Outside of `jit`, `params + updates` is bit-for-bit equal to `mxtrain.Optimizer` if the rule ends with `W ← W + …`
    and has no sums; `jit` lets XLA fuse operations, which may change the last bits. Parameters of float16 and bfloat16
    are updated in float32: their slots and updates are float32, and `optax.apply_updates` rounds the sum once.

    Args:
        config: a rule, a dict or a YAML file, as in `mxtrain.build`. Groups select parameters by their path in the
            pytree, such as `layers.0.W`.
        run: the numbers of epochs and of batches in an epoch, for schedules that need them.
        steps_per_epoch: the number of steps in an epoch, for schedules per epoch; by default, that of `run`.

    Returns:
        An `optax.GradientTransformation`, or the same pair of functions if Optax is not installed. The state is a
        `TransformationState`.

    Raises:
        ConfigError: a value is wrong, `run` and `steps_per_epoch` differ, or a schedule per epoch has neither.

    Example:
        >>> import jax.numpy as jnp, mxtrain.jax
        >>> transformation = mxtrain.jax.transformation({"kind": "sgd", "η": 0.5, "λ": 0})
        >>> params = {"W": jnp.ones(2)}
        >>> state = transformation.init(params)
        >>> updates, state = transformation.update({"W": jnp.ones(2)}, state, params)
        >>> updates["W"].tolist(), int(state.steps)
        ([-0.5, -0.5], 1)
    """
    plan = _Plan(config, run, steps_per_epoch)
    return GradientTransformation(plan.init, plan.update)


def evaluation_params(
    config: Rule | Mapping[str, Any] | str | PathLike[str], params: Any, state: TransformationState
) -> Any:
    """Return the weights to evaluate, which differ from the trained ones with `ema`, `lookahead` and Schedule-Free.

    Args:
        config: that of the transformation.
        params: the trained parameters.
        state: the state of the transformation.
    """
    groups = ParamGroups(build(config, backend="numpy").rule)
    names, leaves, structure = flatten(params)
    batches = make_batches(groups, names, leaves)
    stored = split(traced_from_bits(state.scalars), batches)
    result = list(leaves)
    for number, (batch, values) in enumerate(zip(batches, stored, strict=True)):
        scalars = dict(zip(batch.scalar_names, values, strict=True))
        rule, count = groups.all[batch.group].rule, state.updates[number]
        slot = rule.evaluation_weights()
        for name, position in zip(batch.names, batch.positions, strict=True) if slot is not None else ():
            assert slot is not None
            value, W = state.slots[name][slot], leaves[position]
            if rule.ema is not None and rule.ema.corrected:
                with jax.enable_x64(True):
                    share = scalars.get(START_SHARE, rule.ema.decay ** jnp.maximum(count, 1).astype(jnp.float64))
                    divisor = (1 - share).astype(value.dtype)
                value = value / divisor
            if rule.bounds is not None:
                value = jnp.clip(value, *rounded_bounds(rule.bounds, np.dtype(batch.dtype)))
            result[position] = jnp.where(count > 0, value, W).astype(W.dtype)
    return jax.tree.unflatten(structure, result)


class _Plan:
    """The functions of a transformation."""

    def __init__(self, config: Any, run: tuple[int, int] | None, steps_per_epoch: int | None) -> None:
        self._groups = ParamGroups(build(config, backend="numpy", run=run).rule)
        self._steps_per_epoch = epoch_length(run, steps_per_epoch)
        if self._steps_per_epoch is None:
            paths = (path_changed_by_epochs(group.rule) for group in self._groups.all)
            path = next(filter(None, paths), None)
            if path is not None:
                message = (
                    "counts epochs, which a transformation cannot see; set per: iteration, or pass steps_per_epoch"
                )
                raise ConfigError([ConfigProblem(f"optimizer.{path}", message)])

    def init(self, params: Any) -> TransformationState:
        """Return the state before the first update of parameters, which are a pytree of floating-point arrays.

        Raises:
            ArrayTypeError: a leaf is not an array of floating-point numbers.
            ConfigError: a group selects none of the parameters, none takes one and `groups_required` is true, or
                a leaf of half precision has a rule with `master: true`.
        """
        names, leaves, _ = flatten(params)
        check_groups(self._groups.rule, {name: np.shape(leaf) for name, leaf in zip(names, leaves, strict=True)})
        batches = make_batches(self._groups, names, leaves)
        slots: dict[str, dict[str, Any]] = {}
        scalars: list[float] = []
        for batch in batches:
            rule = self._groups.all[batch.group].rule
            starts, stored = rule.stored_starts(), rule.stored_scalars()
            scalars += [stored[name] for name in batch.scalar_names]
            for name, position in zip(batch.names, batch.positions, strict=True):
                W = jnp.asarray(leaves[position])
                shapes = zip(rule.stored_slots(), rule.stored_shapes(W.shape), strict=True)
                slots[name] = {
                    slot: jnp.array(W, dtype=batch.dtype, copy=True)
                    if starts.get(slot) == "W"
                    else jnp.full(shape, starts.get(slot, 0.0), dtype=batch.dtype)
                    for slot, shape in shapes
                }
        zero = jnp.zeros((), dtype=jnp.int32)
        counts = jnp.zeros(len(batches), dtype=jnp.int32)
        return TransformationState(zero, jnp.zeros((), dtype=jnp.int32), counts, jnp.asarray(to_bits(scalars)), slots)

    def update(self, updates: Any, state: TransformationState, params: Any = None) -> tuple[Any, TransformationState]:
        """Return the updates to add to the parameters, and the next state.

        Args:
            updates: the gradients, a pytree like the parameters.
            state: the state.
            params: the parameters.

        Raises:
            ArrayError: the parameters are missing, or the gradients are those of other parameters.
        """
        if params is None:
            raise ArrayError("the parameters are needed too; call update(grads, state, params)")
        names, weights, structure = flatten(params)
        gradients, other = jax.tree.flatten(updates)
        if other != structure:
            raise ArrayError(f"grads and params must be the same pytree, got {other} and {structure}")
        for name, W, g in zip(names, weights, gradients, strict=True):
            if np.shape(W) != np.shape(g):
                raise ArrayError(f"the gradient of weight {name!r} has shape {np.shape(g)}, the weight {np.shape(W)}")
            if np.iscomplexobj(g):
                raise ArrayTypeError(f"the gradient of weight {name!r} is complex, the weight is real")
        self._check_state(names, weights, state)
        step = _Step(self._groups, self._steps_per_epoch, names, weights, gradients, state)
        changes, new = step.run()
        return jax.tree.unflatten(structure, changes), new

    def _check_state(self, names: Sequence[str], weights: Sequence[Any], state: Any) -> None:
        if not all(hasattr(state, name) for name in TransformationState._fields):
            raise ArrayError(f"the state must be that of init or of the last update, got {describe_argument(state)}")
        for name, W in zip(names, weights, strict=True):
            slots = state.slots.get(name)
            if slots is None:
                raise ArrayError(f"the state has no slots of weight {name!r}; call init with these parameters")
            rule = self._groups.all[self._groups.number(name, np.shape(W))].rule
            expected = dict(zip(rule.stored_slots(), rule.stored_shapes(np.shape(W)), strict=True))
            found = {slot: np.shape(array) for slot, array in slots.items()}
            if found != expected:
                raise ArrayError(
                    f"the state has slots {_format_slots(found)} of weight {name!r}, which needs "
                    f"{_format_slots(expected)}; call init with these parameters"
                )


def _format_slots(shapes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "(none)"


class _Step:
    """One step of a transformation."""

    def __init__(
        self,
        groups: ParamGroups,
        steps_per_epoch: int | None,
        names: Sequence[str],
        weights: Sequence[Any],
        gradients: Sequence[Any],
        state: TransformationState,
    ) -> None:
        self._groups, self._state = groups, state
        self._batches = make_batches(groups, names, weights)
        self._host = HostScalars(groups, self._batches, steps_per_epoch)
        dtypes = {position: batch.dtype for batch in self._batches for position in batch.positions}
        self._weights = [jnp.asarray(W).astype(dtypes[i]) for i, W in enumerate(weights)]
        self._gradients = [jnp.asarray(g).astype(dtypes[i]) for i, g in enumerate(gradients)]
        self._names = names
        is_traced = isinstance(state.scalars, jax.core.Tracer)
        stored = traced_from_bits(state.scalars) if is_traced else from_bits(state.scalars)
        self._stored = split(stored, self._batches)
        """The scalar slots of each batch before the step."""

    def run(self) -> tuple[list[Any], TransformationState]:
        """Return the update of each parameter and the next state."""
        if not self._groups.rule.skip_nonfinite:
            return self._run()
        is_finite = jnp.stack([jnp.isfinite(g).all() for g in self._gradients]).all() if self._gradients else True
        skipped = self._state._replace(skipped=self._state.skipped + 1)
        zeros = [jnp.zeros_like(W) for W in self._weights]
        if not isinstance(is_finite, jax.core.Tracer):
            return self._run() if is_finite else (zeros, skipped)
        return jax.lax.cond(is_finite, self._run, lambda: (zeros, skipped))  # type: ignore[no-any-return]

    def _run(self) -> tuple[list[Any], TransformationState]:
        steps, scalars = self._scalars()
        if self._groups.rule.accumulate == 1:
            changes, slots, computed = self._update(scalars)
        else:
            is_waiting = [jnp.asarray(each.code) >= BEGIN for each in scalars]
            waits = jnp.stack(is_waiting).any() if is_waiting else True
            if isinstance(waits, jax.core.Tracer):
                changes, slots, computed = jax.lax.cond(
                    waits, lambda: self._accumulate(scalars), lambda: self._update(scalars)
                )
            else:
                changes, slots, computed = self._accumulate(scalars) if waits else self._update(scalars)
        updates = [jnp.asarray(each.updates, dtype=jnp.int32) for each in scalars]
        new = TransformationState(
            jnp.asarray(steps, dtype=jnp.int32),
            self._state.skipped,
            jnp.stack(updates) if updates else self._state.updates,
            computed,
            slots,
        )
        return changes, new

    def _scalars(self) -> tuple[Any, list[BatchScalars]]:
        """Return the count of iterations and the scalars of each batch, as numbers of Python unless JAX traces."""
        state, squares = self._state, self._square_sums()
        inputs = (state.steps, state.updates, state.scalars)
        if not any(isinstance(each, jax.core.Tracer) for each in (*inputs, *squares)):
            steps, updates, scalars = map(np.asarray, inputs)
            return self._host.split(from_bits(self._host.compute(steps, updates, scalars, to_bits(squares))))
        shape = jax.ShapeDtypeStruct((self._host.length, 2), jnp.uint32)
        bits = jax.pure_callback(self._host.compute, shape, *inputs, traced_to_bits(squares), vmap_method="sequential")
        return self._host.split(traced_from_bits(bits))

    def _square_sums(self) -> list[Any]:
        """Return the sum of the squares of each gradient, or of its mean with those before; none without clip_norm."""
        rule = self._groups.rule
        if rule.clip_norm is None:
            return []
        sums = []
        for name, g in zip(self._names, self._gradients, strict=True):
            mean = g if rule.accumulate == 1 else (self._state.slots[name][ACCUMULATED] + g) / rule.accumulate
            sums.append(reduce_array("dot", mean, mean))
        return sums

    def _accumulate(self, scalars: Sequence[BatchScalars]) -> Any:
        """Return the results of a step that only stores gradients for a later mean."""
        slots = dict(self._state.slots)
        for batch, each in zip(self._batches, scalars, strict=True):
            for name, position in zip(batch.names, batch.positions, strict=True):
                stored, g = slots[name][ACCUMULATED], self._gradients[position]
                new = jnp.where(each.code == BEGIN, g, jnp.where(each.code == ADD, stored + g, stored))
                slots[name] = slots[name] | {ACCUMULATED: new}
        return [jnp.zeros_like(W) for W in self._weights], slots, self._slot_bits([each.slots for each in scalars])

    def _update(self, scalars: Sequence[BatchScalars]) -> Any:
        """Return the updates, the new slots and the new scalar slots of a step that updates."""
        rounds = [self._evaluate(scalars, variants) for variants in self._rounds(scalars)]
        changes: list[Any] = list(self._weights)
        slots = dict(self._state.slots)
        new_scalars = []
        for number, (batch, each) in enumerate(zip(self._batches, scalars, strict=True)):
            results, computed = rounds[0][number]
            if len(rounds) > 1:
                moves = each.code == SYNCHRONIZE
                others, other_computed = rounds[1][number]
                results = [
                    [select(moves, a, b) for a, b in zip(*pair, strict=True)]
                    for pair in zip(others, results, strict=True)
                ]
                computed = {name: select(moves, other_computed[name], value) for name, value in computed.items()}
            is_idle, own = each.code == IDLE, dict(zip(batch.scalar_names, each.slots, strict=True))
            before = dict(zip(batch.scalar_names, self._stored[number], strict=True))
            new = {name: select(is_idle, before[name], value) for name, value in computed.items()}
            new_scalars.append([*(own | new).values()])
            for name, position, (change, *arrays) in zip(batch.names, batch.positions, results, strict=True):
                changes[position] = select(is_idle, jnp.zeros_like(change), change)
                old = slots[name]
                slots[name] = {
                    slot: select(is_idle, old[slot], array)
                    for slot, array in zip(self._slot_names(batch), arrays, strict=True)
                }
        return changes, slots, self._slot_bits(new_scalars)

    def _rounds(self, scalars: Sequence[BatchScalars]) -> list[list[Variant]]:
        """Return the variants of the programs to evaluate: one for each batch, or, if JAX traces, also the other."""
        if not any(isinstance(each.code, jax.core.Tracer) for each in scalars):
            return [["synchronize" if each.code == SYNCHRONIZE else "update" for each in scalars]]
        moves = [self._groups.all[batch.group].rule.lookahead is not None for batch in self._batches]
        first: list[Variant] = ["update"] * len(scalars)
        second: list[Variant] = ["synchronize" if each else "update" for each in moves]
        return [first, second] if any(moves) else [first]

    def _evaluate(
        self, scalars: Sequence[BatchScalars], variants: Sequence[Variant]
    ) -> list[tuple[list[list[Any]], dict[str, Any]]]:
        """Return, for each batch, the update and the new slots of each parameter, and the computed scalar slots."""
        found: list[Any] = [None] * len(scalars)
        families: dict[int, list[tuple[int, list[Any], MultiPassRun]]] = {}
        for number, (batch, each, variant) in enumerate(zip(self._batches, scalars, variants, strict=True)):
            program = self._groups.program(batch.group, variant)
            rows = [self._arrays(batch, each, index) for index in range(len(batch.names))]
            if isinstance(program, MultiPassProgram):
                state = dict(zip(batch.scalar_names, self._stored[number], strict=True))
                values = each.values[: len(program.scalars)]
                run = MultiPassRun(program, rows, values, state, batch.positions, each.code == IDLE)
                families.setdefault(self._groups.all[batch.group].family, []).append((number, rows, run))
            elif isinstance(program, MatrixProgram):
                found[number] = [_complete(row, run_matrix_program(program, row, each.values)) for row in rows], {}
            else:
                values = each.values[: len(program.scalars)]
                found[number] = [_complete(row, run_program(program, row, values)) for row in rows], {}
        for members in families.values():
            run_family([run for _, _, run in members])
            for number, rows, run in members:
                results = [_complete(row, result) for row, result in zip(rows, run.results(), strict=True)]
                found[number] = results, run.new_state()
        return found

    def _arrays(self, batch: Batch, scalars: BatchScalars, index: int) -> list[Any]:
        """Return the arrays of the program for one parameter of a batch: W, its gradient and the slots."""
        position, rule = batch.positions[index], self._groups.all[batch.group].rule
        W, g, slots = self._weights[position], self._gradients[position], self._state.slots[batch.names[index]]
        if rule.agc is not None:
            if rule.accumulate > 1:
                g = (slots[ACCUMULATED] + g) / rule.accumulate
            g = clip_columns(W, g, *scalars.agc)
        return [W, g, *(slots[name] for name in self._slot_names(batch))]

    def _slot_names(self, batch: Batch) -> tuple[str, ...]:
        return self._groups.all[batch.group].slots

    def _slot_bits(self, scalars: Sequence[Sequence[Any]]) -> Any:
        values = [value for each in scalars for value in each]
        is_traced = any(isinstance(value, jax.core.Tracer) for value in values)
        return traced_to_bits(values) if is_traced else jnp.asarray(to_bits(values))


def _complete(arrays: Sequence[Any], results: Evaluated) -> list[Any]:
    """Return the update of W and the content of every slot after a program."""
    update = jnp.zeros_like(arrays[0]) if results.update is None else results.update
    return [update, *(results.arrays.get(number, arrays[number]) for number in range(2, len(arrays)))]
