"""Messages for attributes that an optimizer lacks or that cannot be set."""

from collections.abc import Sequence
from dataclasses import fields

from mxtrain.names import display_name, field_name, nearest
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.rules import Rule


def missing_attribute_message(rule: Rule, name: str) -> str:
    """Return the message for an attribute that an optimizer with a rule does not have."""
    if not name.startswith("_") and (field := field_name(name, type(rule).model_fields)) in rule.__dict__:
        return f"optimizer has no attribute {name}; its rule has, read optimizer.rule.{display_name(field)}"
    return f"'Optimizer' object has no attribute {name!r}"


def read_only_message(rule: Rule, name: str, attributes: Sequence[str]) -> str:
    """Return the message for an attribute that cannot be set.

    Args:
        rule: the rule of the optimizer.
        name: the attribute.
        attributes: the attributes of an optimizer.
    """
    if name in ("rule", "backend"):
        return f"optimizer.{name} is read-only; build another optimizer, and call its load_state_dict"
    field = field_name(name, type(rule).model_fields)
    if field in type(rule).model_fields:
        changed = f"mxtrain.build(optimizer.rule.to_dict() | {{{display_name(field)!r}: ...}})"
        return f"optimizer.{name} cannot be set; build another with {changed}, and call its load_state_dict"
    counts = [each.name for each in fields(OptimizationState)]
    public = (each for each in attributes if not each.startswith("_"))
    guess = nearest(name, [*counts, *public, "state"])
    if guess is None:
        return f"optimizer has no attribute {name}; only optimizer.state can be set"
    return f"optimizer has no attribute {name}; did you mean optimizer.{'state.' * (guess in counts)}{guess}?"
