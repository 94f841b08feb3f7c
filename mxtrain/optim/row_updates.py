"""Updates of some rows of a weight: checks of the rule, states of the rows, and the changes after an update."""

from collections.abc import Hashable, Iterator

import numpy as np

from mxtrain.errors import ArrayError
from mxtrain.optim.backends import Backend, validate_update
from mxtrain.optim.backends.row_copies import gather_rows, scatter_rows
from mxtrain.optim.inputs.step_inputs import RowSelection
from mxtrain.optim.ir import MatrixProgram
from mxtrain.optim.param_groups import ParamGroup
from mxtrain.optim.param_state import ParamState
from mxtrain.optim.rules import Rule
from mxtrain.types import Array


class RowUpdate:
    """Update of some rows of a weight, on compact arrays. Nothing that is stored changes before `finish`.

    Rows with the same update count form a part, which has a state and arrays like a weight of its own. With
    `row_updates: step` there is one part, with the count of the weight.

    Args:
        index: the name of the weight.
        selection: the rows.
        state: the state of the weight.
        group: the parameter group of the weight.
        backend: the backend, which decides whether compiled loops copy rows.

    Raises:
        ArrayError: the rule cannot update single rows.
    """

    def __init__(
        self, index: Hashable, selection: RowSelection, state: ParamState, group: ParamGroup, backend: Backend
    ) -> None:
        check_rule_of_rows(index, group)
        self._selection = selection
        self._index = index
        self._state = state
        self._backend = backend
        self._counts_rows = group.rule.row_updates == "own"
        if state.row_counts is not None and not self._counts_rows:
            raise ArrayError(
                f"weight {index!r} has update counts of its rows, and this optimizer has row_updates: step; "
                "build it with row_updates: own"
            )
        if state.row_counts is not None and len(state.row_counts) != len(selection.weight):
            raise ArrayError(
                f"weight {index!r} has {len(selection.weight)} rows, but its state has the update counts of "
                f"{len(state.row_counts)} rows; give another array another index"
            )
        self._slots: tuple[Array, ...] = ()
        self._parts: list[ParamState] = []

    def parts(self, weight: Array, gradient: Array, *slots: Array) -> Iterator[tuple[ParamState, tuple[Array, ...]]]:
        """Yield the state and the program's arrays of each part.

        Args:
            weight: the selected rows of the weight, as the program updates them; or the whole weight if they were not
                copied yet.
            gradient: their gradient.
            slots: the slots of the whole weight.
        """
        self._slots, selection = slots, self._selection
        if selection.compact is None:
            weight, *compact = gather_rows((weight, *slots), selection.indices, self._backend)
            selection.compact = weight
            validate_update(self._index, gradient, weight)
        else:
            compact = gather_rows(slots, selection.indices, self._backend)
        selection.slots = compact
        state = self._state
        for count, rows in self._selection.parts:
            updates = state.updates if count is None else count
            part = ParamState(updates, (), dict(state.scalars), state.names, state.rule)
            self._parts.append(part)
            yield part, (weight[rows], gradient[rows], *(slot[rows] for slot in compact))

    def finish(self) -> None:
        """Write the updated rows to the weight and its slots, and count the update, unless the rule was idle."""
        selection, state = self._selection, self._state
        before = [state.updates if count is None else count for count, _ in selection.parts]
        if before and all(part.updates == count for part, count in zip(self._parts, before, strict=True)):
            return
        arrays, rows = [selection.weight, *self._slots], [selection.compact, *selection.slots]
        scatter_rows(arrays, selection.indices, rows, self._backend)
        if self._counts_rows:
            if state.row_counts is None:
                state.row_counts = np.full(len(selection.weight), state.updates, dtype=np.int64)
            for part, (_, place) in zip(self._parts, selection.parts, strict=True):
                state.row_counts[selection.indices[place]] = part.updates
            state.updates += 1
        else:
            state.updates, state.scalars = self._parts[0].updates, self._parts[0].scalars
        state.overflow_free_until = 0  # only these rows were scanned


def dense_step_error(index: Hashable) -> ArrayError:
    """Return the error of a step of a whole weight whose rows have update counts of their own."""
    return ArrayError(
        f"weight {index!r} has update counts of its rows (row_updates: own), so a step needs its rows; "
        f"pass rows={{{index!r}: indices}}, for all of them np.arange(len(weight))"
    )


def check_rule_of_rows(index: Hashable, group: ParamGroup) -> None:
    """Refuse a rule or a wrapper that has no meaning for some rows of a weight.

    Raises:
        ArrayError: with the reason and the remedy.
    """
    rule = group.rule
    if isinstance(group.program, MatrixProgram) or not rule.slots_have_weight_shape:
        raise ArrayError(
            f"rows[{index!r}]: {rule.kind} updates whole matrices, not rows; "
            "give the weight an elementwise rule with a group"
        )
    if problem := _problem_of_rows(rule):
        raise ArrayError(f"rows[{index!r}]: {problem}")


def _problem_of_rows(rule: Rule) -> str | None:
    """Return what prevents a rule from the update of some rows, with the remedy."""
    if rule.accumulate > 1:
        return (
            f"accumulate: {rule.accumulate} adds up gradients of whole weights; set accumulate: 1, and pass the rows "
            "of all gradients in one step"
        )
    if rule.ema is not None:
        return "ema averages all rows in every update; set ema: null in a group for this weight"
    if rule.evaluation_slot is not None:
        return (
            f"{rule.kind} averages all rows in every update; give the weight another rule with a group, such as adamw"
        )
    if rule.lookahead is not None and rule.row_updates == "step":
        return (
            f"lookahead moves the weights of every {rule.lookahead.period}th update, in which a row may have no "
            "gradient; set row_updates: own, or lookahead: null in a group for this weight"
        )
    if rule.master:
        return "master keeps a copy of the whole weight; set master: false in a group for this weight"
    scalars = rule.stored_scalars()
    if rule.row_updates == "own" and scalars:
        return (
            f"{rule.kind} stores {', '.join(scalars)} for the whole weight, so rows have no counts of their own; "
            "set row_updates: step in a group for this weight"
        )
    return None
