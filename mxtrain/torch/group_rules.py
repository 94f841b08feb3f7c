"""Rules of the parameter groups of PyTorch: the optimizer's rule with the values of a group."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import PydanticCustomError

from mxtrain.config.loader import optimizer_from_dict
from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.names import field_name
from mxtrain.optim.groups.group import Group
from mxtrain.optim.rules import Rule
from mxtrain.optim.rules.scheduled import field_bounds
from mxtrain.types import NON_NEGATIVE, describe

OTHER_KEYS = frozenset({"params", "param_names", "initial_lr"})
"""Keys of a group that are not settings of the rule."""
_TORCH_NAMES = {"η": "lr", "λ": "weight_decay", "μ": "momentum", "ε": "eps"}


def group_rule(base: Rule, settings: Mapping[str, Any], number: int) -> Rule:
    """Return the rule of a group: the optimizer's, with other values, or one of its own kind.

    Groups by name of the optimizer's rule are kept, unless the group has a kind.

    Args:
        base: the rule of the optimizer.
        settings: the settings of the group; `betas` is a pair.
        number: the number of the group, for error messages.

    Raises:
        ConfigError: a setting is invalid; the error lists every problem.
    """
    plain = split_betas(settings, number)
    if not plain:
        return base
    try:
        whole = optimizer_from_dict(base.to_dict() | {"groups": {"*": plain}})
    except ConfigError as error:
        place, prefix = f"param_groups[{number}]", "optimizer.groups.*"
        problems = [replace(each, path=each.path.replace(prefix, place, 1), location=None) for each in error.problems]
        raise ConfigError(problems) from None
    rule = base.with_settings(whole.groups["*"])
    if "kind" in plain:
        return rule
    return rule.model_copy(update={"groups": base.groups, "groups_required": base.groups_required})


def split_betas(settings: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return settings with `betas` as β1 and β2, and numbers in tensors as numbers."""
    plain = {key: plain_number(value) for key, value in settings.items()}
    if "betas" in plain:
        betas = plain.pop("betas")
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            message = f"must be a pair of numbers, got {describe(betas)}"
            raise ConfigError([ConfigProblem(f"param_groups[{number}].betas", message)])
        plain |= {"beta1": plain_number(betas[0]), "beta2": plain_number(betas[1])}
    return plain


def plain_number(value: Any) -> Any:
    """Return the number in a tensor of one element; other values unchanged."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def torch_values(rule: Rule) -> dict[str, Any]:
    """Return the numbers of a rule that a group of PyTorch shows, by their names there.

    >>> from mxtrain.optim.rules import AdamW
    >>> torch_values(AdamW())
    {'lr': 0.001, 'weight_decay': 0.01, 'betas': (0.9, 0.999)}
    """
    fields = rule.__dict__
    values: dict[str, Any] = {"lr": rule.η, "weight_decay": rule.λ}
    if "μ" in fields and fields.get("μ_sched") is None:
        values["momentum"] = fields["μ"]
    if "β1" in fields and "β2" in fields:
        values["betas"] = (fields["β1"], fields["β2"])
    return values


def torch_name(key: str) -> str:
    """Return the name that PyTorch has for a field, such as `lr` for η; other names unchanged."""
    name = field_name(key, _TORCH_NAMES)
    return _TORCH_NAMES.get(name, key)


def with_values(rule: Rule, base: Mapping[str, Any], values: Mapping[str, Any], number: int) -> Rule:
    """Return the rule of a group whose numbers have been changed.

    A changed `lr` also multiplies the η of the rule's groups and of its rule for vectors, so that all of them follow a
    scheduler of PyTorch.

    Args:
        rule: the rule of the group, as it was built.
        base: its numbers then, by the keys of the group.
        values: the present numbers, by the same keys.
        number: the number of the group, for error messages.

    Raises:
        ConfigError: a value is not a number, or out of the bounds of its field.
    """
    now, before = split_betas(values, number), split_betas(base, number)
    update: dict[str, float] = {}
    for key, value in now.items():
        if value == before[key]:
            continue
        field = field_name(key, type(rule).model_fields)
        bounds = NON_NEGATIVE if field == "η" else field_bounds(type(rule), field)
        if bounds is None:
            raise ConfigError([ConfigProblem(f"param_groups[{number}].{key}", "cannot change; add another group")])
        try:
            update[field] = bounds.check(value)
        except PydanticCustomError as error:
            raise ConfigError([ConfigProblem(f"param_groups[{number}].{key}", error.message())]) from None
        if field in rule.schedules or (field == "η" and rule.η_sched is not None):
            schedule = "η_sched" if field == "η" else f"schedules.{field}"
            message = f"cannot change, because the config has {schedule}, which sets it; remove one of the two"
            raise ConfigError([ConfigProblem(f"param_groups[{number}].{key}", message)])
    changed = _with_rate(rule, rule.η, update["η"]) if "η" in update and rule.η else rule
    return changed.model_copy(update=update)


def _with_rate(rule: Rule, old: float, new: float) -> Rule:
    """Return a rule whose η, and that of its groups and of its rule for vectors, are multiplied by `new/old`."""
    update: dict[str, Any] = {"η": _rate(rule.η, old, new)}
    otherwise = rule.__dict__.get("otherwise")
    if otherwise is not None:
        update["otherwise"] = _with_rate(otherwise, old, new)
    update["groups"] = {selector: _group_with_rate(group, old, new) for selector, group in rule.groups.items()}
    return rule.model_copy(update=update)


def _rate(η: float, old: float, new: float) -> float:
    return new if η == old else η * (new / old)


def _group_with_rate(group: Group, old: float, new: float) -> Group:
    values = dict(group.values)
    if "η" in values:
        values["η"] = _rate(values["η"], old, new)
    if values.get("otherwise") is not None:
        values["otherwise"] = _with_rate(values["otherwise"], old, new)
    own = None if group.rule is None else _with_rate(group.rule, old, new)
    changed = Group(values, own, group.fields)
    changed.locate(group.location)
    return changed
