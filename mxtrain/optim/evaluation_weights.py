"""Weights to evaluate, in the containers of the trained ones."""

from typing import Any

import numpy as np

from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.optim.inputs import copy_with, flatten, map_leaves, shape_of, weight_array
from mxtrain.optim.inputs.complex_arrays import is_complex
from mxtrain.optim.param_groups import ParamGroups
from mxtrain.optim.param_state import StateStore, evaluation_weight
from mxtrain.types import Array


def evaluation_tree(params: Any, groups: ParamGroups, store: StateStore) -> Any:
    """Return copies of the weights to evaluate: in the same containers, and flat if `params` are.

    Args:
        params: the trained parameters, as in `step`.
        groups: the rule's parameter groups.
        store: the state of each parameter.

    Raises:
        ArrayError: a parameter has another shape or dtype than the one that was updated, or is not an array.
    """
    tree = flatten("params", params)
    states = store.states_by_index()
    values: list[Array] = []
    leaves: list[Any] = []
    for name, leaf in zip(tree.names, tree.leaves, strict=True):
        if leaf is None:  # a layer without this parameter
            leaves.append(None)
            continue
        shape = shape_of(name, leaf)
        weight = leaf if type(leaf) is np.ndarray else weight_array(name, leaf)
        group = groups.all[groups.number(name, shape, is_complex=is_complex(weight.dtype))]
        state = states.get(name)
        if state is not None:
            state.check(name, weight, group)
        values.append(weight if state is None else evaluation_weight(group.rule, weight, state))
        if not isinstance(params, FlatParameters):
            leaves.append(copy_with(name, leaf, values[-1]))
    return map_leaves(params, leaves) if not isinstance(params, FlatParameters) else _flat_copy(params, values)


def _flat_copy(params: FlatParameters, values: list[Array]) -> FlatParameters:
    copy = params.copy()
    for name, value in zip(params, values, strict=True):
        copy[name][...] = value
    return copy
