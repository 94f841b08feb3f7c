"""Explanation of an optimizer: the rule and the values of each parameter, and the group that decided them."""

from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mxtrain.errors import ConfigError, ConfigProblem, Location
from mxtrain.names import display_name
from mxtrain.optim.groups.group import STEP_FIELDS, to_plain, ungrouped, unused_groups
from mxtrain.optim.param_groups import rules_of_groups
from mxtrain.optim.rules import Rule
from mxtrain.optim.rules.matrix_rule import MatrixRule
from mxtrain.types import Config, describe

_ALWAYS_SHOWN = ("η", "λ")
"""Fields that are printed even if they have their defaults."""
_WHOLE_STEP = ("clip_norm", "skip_nonfinite", "accumulate")
"""Fields that hold for all parameters of a step."""
_COLUMNS = ("parameter", "shape", "rule", "values", "decided by")


@dataclass(frozen=True)
class ParamExplanation:
    """The rule of one parameter.

    Attributes:
        name: the name of the parameter.
        shape: its shape.
        rule: its rule, with the values of its group.
        selector: the selector of the group that decided; None if no group takes the parameter.
        location: the location of the selector in a file, or of the optimizer if there is none; None if unknown.
        is_vector_rule: True if the rule is the one that a matrix rule, such as Muon, leaves to vectors and to
            complex arrays.
    """

    name: Hashable
    shape: tuple[int, ...]
    rule: Rule
    selector: str | None
    location: Location | None
    is_vector_rule: bool = False

    @property
    def kind(self) -> str:
        """The kind of the rule."""
        return self.rule.kind

    @property
    def values(self) -> dict[str, Any]:
        """All fields of the rule, by their documented names, as plain values."""
        plain = self.rule.to_dict()
        return {name: value for name, value in plain.items() if name not in ("kind", *STEP_FIELDS)}

    @property
    def changed(self) -> dict[str, Any]:
        """The values that differ from the defaults of the rule, and η and λ."""
        return {display_name(name): to_plain(value) for name, value in _changed(self.rule)}

    @property
    def decided_by(self) -> str:
        """The selector, or `the optimizer`, with the location if it is known."""
        what = "the optimizer" if self.selector is None else self.selector
        what += " (otherwise)" if self.is_vector_rule else ""
        return what if self.location is None else f"{what}  {self.location}"

    @property
    def row(self) -> tuple[str, ...]:
        """The texts of a row of the table."""
        values = " ".join(f"{display_name(name)}={_short(value)}" for name, value in _changed(self.rule))
        return str(self.name), str(self.shape), self.kind, values, self.decided_by


class Explanation(Mapping[Hashable, ParamExplanation]):
    """The rules of all parameters, by their names; its `repr` is a table.

    Attributes:
        unused: the selectors of groups that take none of the parameters, each with the reason.
        whole_step: the settings that hold for all parameters of a step, such as `clip_norm`, if they are on.
    """

    columns = _COLUMNS

    def __init__(
        self,
        params: Mapping[Hashable, ParamExplanation],
        unused: Mapping[str, str],
        whole_step: Mapping[str, Any] | None = None,
    ) -> None:
        self._params = dict(params)
        self.unused = dict(unused)
        self.whole_step = dict(whole_step or {})

    def __getitem__(self, name: Hashable) -> ParamExplanation:
        return self._params[name]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)

    def __repr__(self) -> str:
        rows = [_COLUMNS, *(each.row for each in self._params.values())]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        unused = (f"groups.{selector}: {reason}" for selector, reason in self.unused.items())
        return "\n".join([*lines, *self.step_lines(), *unused])

    def step_lines(self) -> list[str]:
        """Return a line with the settings of the whole step; none if they are all off."""
        values = " ".join(f"{name}={_short(value)}" for name, value in self.whole_step.items())
        return [f"the whole step: {values}"] if values else []


def explain(
    rule: Rule,
    shapes: Mapping[Any, tuple[int, ...]],
    location: Location | None = None,
    complex_names: Collection[Hashable] = (),
) -> Explanation:
    """Return the rule and the values of each parameter, and the group that decided them.

    Args:
        rule: the rule of an optimizer.
        shapes: the shapes of the parameters by their names.
        location: the location of the optimizer in a file, if known.
        complex_names: the names of complex parameters, which get the vector rule of a matrix rule.

    Raises:
        ConfigError: no group takes a parameter, and `groups_required` is true.
    """
    if problem := ungrouped(rule, {str(name): shape for name, shape in shapes.items()}):
        raise ConfigError([ConfigProblem("optimizer.groups_required", problem)])
    rules = {selector: both for selector, *both in rules_of_groups(rule)}
    found: dict[Hashable, ParamExplanation] = {}
    for name, shape in shapes.items():
        selector = rule.group_of(str(name), shape)
        is_vector = len(shape) < 2 or (name in complex_names and isinstance(rules[selector][0], MatrixRule))
        own = rules[selector][is_vector]
        place = location if selector is None else rule.groups[selector].location
        found[name] = ParamExplanation(name, shape, own, selector, place, own is not rules[selector][0])
    unused = dict(unused_groups(rule, {str(name): shape for name, shape in shapes.items()}))
    whole_step = {name: getattr(rule, name) for name in _WHOLE_STEP if _differs(rule, name)}
    return Explanation(found, unused, whole_step)


def _changed(rule: Rule) -> Iterator[tuple[str, Any]]:
    for name in type(rule).listed_fields() if rule.needs_values else type(rule).model_fields:
        is_hidden = name in ("kind", "otherwise", *STEP_FIELDS)
        if not is_hidden and (rule.needs_values or name in _ALWAYS_SHOWN or _differs(rule, name)):
            yield name, getattr(rule, name)


def _short(value: Any) -> str:
    """Return a value on one line; of a config, its kind and what differs from its defaults."""
    match value:
        case Config():
            fields = type(value).model_fields.items()
            changed = {name: getattr(value, name) for name, info in fields if name == "kind" or _differs(value, name)}
            return _short({display_name(name): each for name, each in changed.items()})
        case Mapping():
            return f"{{{', '.join(f'{name}: {_short(item)}' for name, item in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(_short, value))}]"
        case str():
            return "; ".join(value.split("\n"))
    return describe(value)


def _differs(config: Config, name: str) -> bool:
    return bool(getattr(config, name) != type(config).model_fields[name].get_default())
