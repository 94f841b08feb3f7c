"""Optimizer of PyTorch that updates with a rule of mxtrain."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import torch

from mxtrain.config.loader import build
from mxtrain.errors import ArrayTypeError, ConfigError, ConfigProblem, StateError
from mxtrain.optim.nonfinite import OnNonfinite
from mxtrain.optim.param_groups import check_groups
from mxtrain.optim.rules import Rule
from mxtrain.torch.group_rules import (
    OTHER_KEYS,
    group_rule,
    plain_number,
    torch_name,
    torch_values,
    with_values,
)
from mxtrain.torch.tensors import as_tensor, gradient_array, slot_array, stream_of, weight_array
from mxtrain.types import Array, describe

_SHARED = "mxtrain"
"""Key of a state dict under which the state of the whole optimizer is."""


@dataclass(slots=True)
class _GroupRule:
    """The rule of a parameter group, with the values of the group when it was built and when it was last looked at."""

    rule: Rule
    built_with: dict[str, Any]
    seen: dict[str, Any] = field(default_factory=dict)


class Optimizer(torch.optim.Optimizer):
    """A `torch.optim.Optimizer` that updates with a rule of mxtrain, in place, bit-for-bit as `mxtrain.Optimizer`.

    It takes closures, parameter groups, LR schedulers, `GradScaler`, hooks, `torch.save` and `copy.deepcopy` as every
    optimizer of PyTorch does. Parameters on the CPU are updated through NumPy views of their memory, those on a CUDA
    device through CuPy; no weight and no gradient is copied. A parameter whose gradient is None is left unchanged.

    A group shows `lr` (η), `weight_decay` (λ), and `momentum` (μ) or `betas` (β1, β2) if the rule has them, besides the
    settings that it was given. All of them can be changed, and hold from the next step on. A changed `lr` multiplies
    the η of groups by name, and that of a matrix rule's `otherwise`, by the same factor.

    Args:
        params: `model.named_parameters()`, `model.parameters()`, or a list of groups, dicts with `params` and settings:
            any field of the rule but those of whole steps (`clip_norm`, `accumulate`, ...), by its name in mxtrain or
            in PyTorch. A group with a `kind` has a rule of its own. Without names, parameters are called `0`, `1`, ...
        config: a rule, a dict or a YAML file, as in `mxtrain.build`. Its `groups` select parameters by name, in every
            group without a kind.
        backend: `numpy`, `compiled`, `cupy` or `auto`, as in `mxtrain.build`.
        on_nonfinite: treatment of an update that makes a slot NaN or infinite, as in `mxtrain.build`.
        run: the numbers of epochs and of batches in an epoch, for schedules that need them.

    Attributes:
        core: the `mxtrain.Optimizer`; schedules per epoch of the config need its `core.state.begin_epoch()`.

    Raises:
        ConfigError: a value is wrong; the error lists every problem.
        ArrayTypeError: a gradient is sparse, or a tensor is on a device other than the CPU and CUDA.

    Example:
        >>> import torch, mxtrain.torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = mxtrain.torch.Optimizer(layer.named_parameters(), {"kind": "adamw", "η": 0.1})
        >>> scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        >>> layer(torch.ones(1, 2)).sum().backward()
        >>> optimizer.step()
        >>> scheduler.step()
        >>> optimizer.param_groups[0]["lr"], optimizer.core.state.curr_iter
        (0.05, 1)
    """

    def __init__(
        self,
        params: Any,
        config: Rule | Mapping[str, Any] | str | PathLike[str],
        *,
        backend: str = "auto",
        on_nonfinite: OnNonfinite = "warn",
        run: tuple[int, int] | None = None,
    ) -> None:
        self.core = build(config, backend=backend, on_nonfinite=on_nonfinite, run=run)
        self._group_rules: list[_GroupRule] = []
        self._named: dict[str, Any] = {}
        self.state: dict[Any, Any]
        self._slots: dict[str, tuple[Array, ...]] = {}
        self._is_checked = False
        super().__init__(params, {})
        self.defaults = torch_values(self.core.rule)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group: a dict with `params`, and settings of the rule.

        Raises:
            ConfigError: a setting is wrong; the error lists every problem.
        """
        number = len(self.param_groups)
        if not isinstance(param_group, dict) or "params" not in param_group:
            message = f"must be a dict with the key params, got {describe(param_group)}"
            raise ConfigError([ConfigProblem(f"param_groups[{number}]", message)])
        settings = {key: value for key, value in param_group.items() if key not in OTHER_KEYS}
        rule = group_rule(self.core.rule, settings, number)
        group = {key: value for key, value in param_group.items() if key in OTHER_KEYS}
        named = {torch_name(key): plain_number(value) for key, value in settings.items() if key != "kind"}
        named = {key: value for key, value in named.items() if key not in ("beta1", "β1", "beta2", "β2")}
        values = named | torch_values(rule)
        group |= values if "kind" not in settings else values | {"kind": settings["kind"]}
        defaults, self.defaults = self.defaults, {}  # those of the optimizer's rule, which the group may not have
        try:
            super().add_param_group(group)
        finally:
            self.defaults = defaults
        self._group_rules.append(_GroupRule(rule, values, dict(values)))
        self._add_rule(number)
        self._show_rates()

    def _add_rule(self, number: int) -> None:
        """Let the parameters of a group be updated with its rule."""
        group, first = self.param_groups[number], len(self._named)
        names = group.get("param_names") or [str(first + i) for i in range(len(group["params"]))]
        repeated = next((name for name in names if name in self._named or names.count(name) > 1), None)
        if repeated is not None:
            del self.param_groups[number], self._group_rules[number]
            message = f"two parameters have the name {repeated!r}; give them different names"
            raise ConfigError([ConfigProblem(f"param_groups[{number}].params", message)])
        self._named |= dict(zip(names, group["params"], strict=True))
        self.core._set_part(number, self._group_rules[number].rule, names)
        self._is_checked = False

    def _show_rates(self) -> None:
        """Show the η of the next step in groups whose rule has a schedule."""
        for group, each in zip(self.param_groups, self._group_rules, strict=True):
            if each.rule.η_sched is not None:
                rate = each.rule.learning_rate_at(self.core._next_time())
                group["lr"] = each.seen["lr"] = each.built_with["lr"] = rate

    def _adopt_changes(self) -> None:
        """Adopt the values of groups that have changed since the last step, such as `lr`.

        Raises:
            ConfigError: a value is out of bounds; nothing has changed.
        """
        self._check_params()
        changed = []
        for number, (group, each) in enumerate(zip(self.param_groups, self._group_rules, strict=True)):
            missing = next((key for key in each.seen if key not in group), None)
            if missing is not None:
                raise ConfigError([ConfigProblem(f"param_groups[{number}].{missing}", "was removed; set it again")])
            values = {key: plain_number(group[key]) for key in each.seen}
            if values != each.seen:
                rule = with_values(each.rule, each.built_with, values, number)
                changed.append((number, each, rule, values))
        for number, each, rule, values in changed:
            self.core._set_part(number, rule)
            each.seen = values

    def _check_params(self) -> None:
        """Check that the groups hold the parameters that were added to them.

        Raises:
            ConfigError: a list of parameters or of groups was changed from outside.
        """
        tensors = [tensor for group in self.param_groups for tensor in group["params"]]
        is_same = len(self.param_groups) == len(self._group_rules) and len(tensors) == len(self._named)
        if not is_same or any(a is not b for a, b in zip(tensors, self._named.values(), strict=True)):
            message = "its parameters are not those that were added; call add_param_group, or build a new optimizer"
            raise ConfigError([ConfigProblem("param_groups", message)])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: computes the loss and the gradients; called once, with gradients enabled.

        Returns:
            The result of the closure; None without one.

        Raises:
            ArrayTypeError: a gradient is sparse, or a tensor cannot be updated; nothing has changed.
            ConfigError: a value of a group is out of bounds; nothing has changed.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._adopt_changes()
        self._check_names()
        updated = {name: tensor for name, tensor in self._named.items() if tensor.grad is not None}
        if not updated:
            return loss
        tensors = list(updated.values())
        with stream_of(tensors):
            weights = {name: weight_array(name, tensor) for name, tensor in updated.items()}
            gradients = {name: gradient_array(name, updated[name].grad, weight) for name, weight in weights.items()}
            try:
                self.core.step(weights, gradients)
            finally:
                torch.autograd.graph.increment_version(tensors)
        self._share_state()
        self._show_rates()
        return loss

    def _check_names(self) -> None:
        """Check once that every group by name selects a parameter, with or without a gradient."""
        if not self._is_checked:
            try:
                check_groups(self.core.rule, {name: tuple(tensor.shape) for name, tensor in self._named.items()})
            except ConfigError as error:
                if any("param_names" in group for group in self.param_groups):
                    raise
                remedy = "; to select parameters by name, pass model.named_parameters()"
                problems = [replace(each, message=each.message + remedy) for each in error.problems]
                raise ConfigError(problems) from None
            self._is_checked = True
        self.core._groups.need_check = False

    def _share_state(self) -> None:
        """Show the slots of each parameter in `state`, as tensors that share their memory."""
        states = self.core._store.states_by_index()
        for index, state in states.items():
            name = str(index)
            entry = self.state[self._named[name]]
            if self._slots.get(name) is not state.slots:
                entry.clear()
                entry |= {slot: as_tensor(array) for slot, array in state.named_slots()}
                self._slots[name] = state.slots
            entry["updates"] = state.updates
            if state.scalars:
                entry["scalars"] = dict(state.scalars)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state, and the groups, as tensors and plain values, for `torch.save`.

        Returns:
            `{"state": {0: {"updates", slots…}, …, "mxtrain": {"rule", "state"}}, "param_groups": [{…}, …]}`.
        """
        saved = self.core.state_dict()
        entries: dict[Any, Any] = {_SHARED: {key: saved[key] for key in ("rule", "options", "state") if key in saved}}
        for name, entry in saved["parameters"].items():
            slots = {slot: as_tensor(array) for slot, array in entry["slots"].items()}
            scalars = {"scalars": entry["scalars"]} if entry["scalars"] else {}
            entries[self._named[name]] = {"updates": entry["updates"], **slots, **scalars}
        shown, self.state = self.state, entries
        try:
            return super().state_dict()  # type: ignore[no-any-return]
        finally:
            self.state = shown

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from the result of `state_dict`, for the same parameters in the same order; tensors are copied.

        Raises:
            StateError: it belongs to another rule or to other parameters, or is incomplete; nothing has changed.
        """
        if not isinstance(state_dict, Mapping):
            raise StateError(f"a state dict must be a mapping, got {describe(state_dict)}")
        saved = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            result = hook(self, saved)
            saved = saved if result is None else dict(result)
        groups = self._saved_groups(saved)
        self.core.load_state_dict(self._saved_state(saved))
        for group, values in zip(self.param_groups, groups, strict=True):
            group |= values
        self.state.clear()
        self._slots.clear()
        self._share_state()
        self._show_rates()
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _saved_groups(self, saved: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the values of the groups in a state dict.

        Raises:
            StateError: the groups differ from those of the optimizer, or a value is out of bounds.
        """
        if not {"state", "param_groups"} <= saved.keys():
            raise StateError(
                f"a state dict must have the keys state and param_groups, got {', '.join(map(str, saved))}"
            )
        if not isinstance(saved["state"], Mapping):
            raise StateError(f"the entry state must be a mapping, got {describe(saved['state'])}")
        if not _are_groups(saved["param_groups"]):
            raise StateError("the entry param_groups must be a list of mappings whose params are lists of numbers")
        sizes, own = ([len(each["params"]) for each in groups] for groups in (saved["param_groups"], self.param_groups))
        if sizes != own:
            raise StateError(f"the state has groups of {sizes} parameters, this optimizer has groups of {own}")
        result = []
        for number, (group, each) in enumerate(zip(saved["param_groups"], self._group_rules, strict=True)):
            missing = each.seen.keys() - group.keys()
            if missing:
                raise StateError(f"param_groups[{number}] of the state has no {', '.join(sorted(missing))}")
            values = {key: plain_number(group[key]) for key in each.seen}
            if each.rule.η_sched is not None:
                values["lr"] = each.built_with["lr"]
            try:
                with_values(each.rule, each.built_with, values, number)
            except ConfigError as error:
                raise StateError(str(error)) from None
            result.append({key: value for key, value in group.items() if key not in ("params", "param_names")})
        return result

    def _saved_state(self, saved: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state of `mxtrain.Optimizer` in a state dict, with arrays in place of tensors."""
        shared = saved["state"].get(_SHARED)
        if not isinstance(shared, Mapping):
            raise StateError(f"the state has no {_SHARED!r}: it is not of an mxtrain.torch.Optimizer")
        numbers = [number for group in saved["param_groups"] for number in group["params"]]
        names = dict(zip(numbers, self._named, strict=True))
        parameters = {}
        for number, entry in saved["state"].items():
            if number == _SHARED:
                continue
            if number not in names or not isinstance(entry, Mapping) or "updates" not in entry:
                raise StateError(f"state[{number!r}] is not the state of a parameter, got {describe(entry)}")
            tensors = {name: value for name, value in entry.items() if isinstance(value, torch.Tensor)}
            try:
                slots = {name: slot_array(value) for name, value in tensors.items()}
            except ArrayTypeError as error:
                raise StateError(f"state[{number!r}]: {error}") from None
            scalars = entry.get("scalars", {})
            parameters[names[number]] = {"updates": entry["updates"], "slots": slots, "scalars": scalars}
        return {**shared, "parameters": parameters}

    def evaluation_params(self) -> dict[str, Any]:
        """Return the tensors to evaluate, by name.

        They differ from the parameters with `ema`, `lookahead` and Schedule-Free rules.
        """
        weights = {name: weight_array(name, tensor) for name, tensor in self._named.items()}
        found = self.core.evaluation_params(weights)
        if found is weights:
            return dict(self._named)
        return {name: as_tensor(array) for name, array in found.items()}

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """Hold the weights to evaluate in the parameters inside a `with` block, and the trained ones again after it."""
        found = self.evaluation_params()
        trained = {name: tensor.detach().clone() for name, tensor in self._named.items()}
        try:
            self._write(found)
            yield
        finally:
            self._write(trained)

    def _write(self, values: Mapping[str, Any]) -> None:
        with torch.no_grad():
            for name, value in values.items():
                if value is not self._named[name]:
                    self._named[name].copy_(value)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "param_groups": self.param_groups,
            "core": self.core,
            "_group_rules": self._group_rules,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        del self.defaults["differentiable"]  # which PyTorch adds
        self.state = defaultdict(dict)
        self._named, self._slots = {}, {}
        for number in range(len(self.param_groups)):
            self._add_rule(number)
        for number, each in enumerate(self._group_rules):
            self.core._set_part(number, with_values(each.rule, each.built_with, each.seen, number))
        self._share_state()


def _are_groups(groups: object) -> bool:
    """Return whether a value is the list of groups of a state dict."""
    return isinstance(groups, list | tuple) and all(
        isinstance(group, Mapping)
        and isinstance(group.get("params"), list | tuple)
        and all(isinstance(number, int) for number in group["params"])
        for group in groups
    )
