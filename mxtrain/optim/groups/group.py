"""Parameter groups: settings, or rules of their own, of the parameters that a selector selects."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import islice
from numbers import Real
from typing import TYPE_CHECKING, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from mxtrain.errors import Location, ReadOnlyError
from mxtrain.names import display_name, field_name, nearest
from mxtrain.optim.groups.selectors import Comparison, Shape, parse_selector
from mxtrain.types import Config

if TYPE_CHECKING:
    from mxtrain.optim.rules.base import Rule

STEP_FIELDS = ("clip_norm", "skip_nonfinite", "accumulate", "groups", "groups_required")
"""Fields of the whole step, which a group cannot have."""
SHARED_FIELDS = (
    "clip",
    "scale",
    "cautious",
    "agc",
    "lookahead",
    "ema",
    "bounds",
    "master",
    "row_updates",
    "η_sched",
    "schedules",
)
"""Fields that a group with a kind of its own takes from the optimizer unless it sets them."""
_MAX_NAMES = 8
"""Largest number of names in a message."""


class Group:
    """Settings of a parameter group.

    The key of a group in `Rule.groups` is a selector (`parse_selector`): a pattern of parameter names, such as `b*`, or
    a comparison, such as `ndim < 2`. The first group that fits a parameter holds.

    Without a kind, the settings override those of the optimizer, and nested mappings are merged. With a kind, they are
    those of a rule of its own, which takes `SHARED_FIELDS` from the optimizer. η may be 0: the parameters then stay
    unchanged. Settings are attributes; those that a group does not set are None.

    Attributes:
        kind: the kind of its own rule; None if it has that of the optimizer.
        values: the values that the group sets, by the names of fields.
        rule: its own rule, without the fields that it takes from the optimizer; None without a kind.
        fields: the names of the fields that the group may set.
        location: the location of the selector in a file, if known.

    Example:
        >>> import mxtrain, numpy as np
        >>> optimizer = mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0, "groups": {"b*": {"η": 0}}})
        >>> params = {name: np.ones(2, dtype="float32") for name in ("W1", "b1")}
        >>> optimizer.step(params, {name: np.ones_like(value) for name, value in params.items()})
        >>> params["W1"], params["b1"]
        (array([0.5, 0.5], dtype=float32), array([1., 1.], dtype=float32))

    Source: the parameter groups of `torch.optim.Optimizer`; `optax.partition`; `set_lr_mult` and `set_wd_mult` of
    MXNet's optimizers, which are factors.
    """

    kind: str | None
    values: Mapping[str, Any]
    rule: "Rule | None"
    fields: tuple[str, ...]
    location: Location | None

    def __init__(self, values: Mapping[str, Any], rule: "Rule | None" = None, fields: Iterable[str] = ()) -> None:
        kind = None if rule is None else rule.kind
        self.__dict__.update(kind=kind, values=dict(values), rule=rule, fields=tuple(fields), location=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values; of a rule of its own, with its defaults."""
        if self.rule is None:
            return {display_name(name): to_plain(value) for name, value in self.values.items()}
        hidden = {*STEP_FIELDS, *SHARED_FIELDS} - self.values.keys()
        plain = {name: value for name, value in self.rule.to_dict().items() if name not in hidden}
        return plain | ({"η": self.values["η"]} if "η" in self.values else {})

    def for_run(self, epochs: int, batches: int | Fraction) -> "Group":
        """Return the group with the lengths of its schedules resolved for a run, as `Rule.for_run`."""
        values = {name: _for_run(value, epochs, batches) for name, value in self.values.items()}
        group = Group(values, None if self.rule is None else self.rule.for_run(epochs, batches), self.fields)
        group.locate(self.location)
        return group

    def all_schedules(self) -> dict[str, Any]:
        """Return the schedules that the group sets, except those of momentum, by the path of their field below it."""
        if self.rule is not None:
            return self.rule.all_schedules()
        found: dict[str, Any] = {}
        for name, value in self.values.items():
            if name == "η_sched" and value is not None:
                found[name] = value
            elif name == "schedules":
                found |= {f"{name}.{path}": schedule for path, schedule in value.items()}
            elif name == "otherwise" and value is not None:
                found |= {f"{name}.{path}": schedule for path, schedule in value.all_schedules().items()}
        return found

    def locate(self, location: Location | None) -> None:
        """Set the location of the selector, for messages."""
        self.__dict__["location"] = location

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a value that the group sets; None for a field that it does not set."""
            if name.startswith("_"):
                raise AttributeError(name)
            field = field_name(name, {*self.fields, *self.values})
            if field in self.values:
                return self.values[field]
            if field in self.fields:
                return None if self.rule is None else getattr(self.rule, field)
            raise ReadOnlyError(f"Group has no attribute {name}; it sets {', '.join(self.values) or 'nothing'}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise ReadOnlyError(f"Group.{name} is read-only; make another rule with other groups")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Restore a pickle; those of earlier versions hold a config with the fields η and λ."""
        if "__dict__" in state:
            values = {name: value for name, value in state["__dict__"].items() if value is not None}
            state = {"kind": None, "values": values, "rule": None, "fields": ("η", "λ"), "location": None}
        self.__dict__.update(state)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self.kind == other.kind and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.kind)

    def __repr__(self) -> str:
        kind = [] if self.kind is None else [f"kind={self.kind!r}"]
        settings = (f"{display_name(name)}={value!r}" for name, value in self.values.items() if name != "kind")
        return f"Group({', '.join([*kind, *settings])})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.any_schema(  # `validate_with_groups` validates groups, because they depend on the rule
            serialization=core_schema.plain_serializer_function_ser_schema(cls.to_dict)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "object"}


def to_plain(value: Any) -> Any:
    """Return a value of a field as plain values, with nested configs under their documented names."""
    match value:
        case Config():
            return value.to_dict()
        case Mapping():
            return {name: to_plain(item) for name, item in value.items()}
        case list() | tuple():
            return [to_plain(item) for item in value]
    return value


def _for_run(value: Any, epochs: int, batches: int | Fraction) -> Any:
    """Return a value of a group with the lengths of schedules resolved for a run."""
    if isinstance(value, Mapping):
        return {name: _for_run(each, epochs, batches) for name, each in value.items()}
    needs_run = getattr(value, "needs_run", hasattr(value, "for_run"))
    return value.for_run(epochs, batches) if needs_run else value


def apply_group(rule: "Rule", group: Group) -> "Rule":
    """Return the rule of a group's parameters: the optimizer's with other values, or that of the group."""
    step = {name: getattr(rule, name) for name in STEP_FIELDS} | {"groups": {}, "groups_required": False}
    values = {name: value for name, value in group.values.items() if name != "kind"}
    if group.rule is None:
        schedules = values.get("schedules", rule.schedules)
        kept = {path: each for path, each in schedules.items() if not _ends_schedule(values, path)}
        changed = values | {"schedules": kept}
        if "η" in values and "η_sched" not in values:
            changed["η_sched"] = without_base(rule.η_sched) if values["η"] else None
        return rule.model_copy(update=changed | step)
    own = group.rule
    names = [name for name in SHARED_FIELDS if name not in values]
    shared = {name: getattr(rule, name) for name in names}
    if "η_sched" in shared:
        shared["η_sched"] = without_base(rule.η_sched)
    if values.get("η") == 0:
        shared |= {"η": 0.0, "η_sched": None}
        if (otherwise := own.__dict__.get("otherwise")) is not None:
            shared["otherwise"] = otherwise.model_copy(update={"η": 0.0, "η_sched": None})
    whole = own.model_copy(update=shared | step)
    if "schedules" in shared:
        fitting = {path: each for path, each in rule.schedules.items() if _may_schedule(whole, path)}
        whole = whole.model_copy(update={"schedules": fitting})
    return whole


def without_base(schedule: Any) -> Any:
    """Return a learning-rate schedule whose base value is the η of the rule that has it."""
    return None if schedule is None else schedule.model_copy(update={"η": None})


def _ends_schedule(values: Mapping[str, Any], path: str) -> bool:
    """Return True if a group sets a number to 0, or what has the number to null, so that it has no schedule."""
    first, _, rest = path.partition(".")
    return first in values and (values[first] is None or (not rest and is_zero(values[first])))


def _may_schedule(rule: "Rule", path: str) -> bool:
    """Return True if a rule has a number that a schedule of the optimizer changes, and no other schedule of it."""
    first, _, rest = path.partition(".")
    value = rule.__dict__.get(first)
    if value is None or (first == "μ" and rule.__dict__.get("μ_sched") is not None):
        return False
    if rest:
        return rest in value if isinstance(value, Mapping) else rest in type(value).model_fields
    return not is_zero(value)


def group_of(rule: "Rule", name: str, shape: Shape | None) -> str | None:
    """Return the selector that decides for a parameter, the first that fits; None if none does."""
    return next((selector for selector in rule.groups if parse_selector(selector).matches(name, shape)), None)


def unused_groups(rule: "Rule", params: Mapping[str, Shape | None] | Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the selectors that decide for none of these parameters, each with the reason.

    Args:
        rule: the rule.
        params: the names of the parameters, with their shapes if these are known. A selector that might fit a shape
            with unknown lengths is not yielded.
    """
    shapes = params if isinstance(params, Mapping) else dict.fromkeys(params)
    used: set[str] = set()
    for name, shape in shapes.items():
        for selector in rule.groups:
            found = parse_selector(selector).matches(name, shape)
            if found is not False:
                used.add(selector)
            if found:
                break
    for selector in rule.groups:
        if selector not in used:
            yield selector, _unused_reason(selector, shapes)


def _unused_reason(selector: str, shapes: Mapping[str, Shape | None]) -> str:
    parsed = parse_selector(selector)
    matches = [name for name, shape in shapes.items() if parsed.matches(name, shape)]
    if matches:
        return f"never applies, as earlier groups take {first_names(matches)}; move it before them"
    has_comparison = any(isinstance(term, Comparison) for term in parsed.terms)
    shown = [f"{name} {format_shape(shape)}" if has_comparison and shape else name for name, shape in shapes.items()]
    guess = nearest(selector, shapes) if selector.isidentifier() else None
    remedy = f"; did you mean {guess}?" if guess else ""
    return f"matches no parameter; the parameters are {first_names(shown)}{remedy}"


def ungrouped(rule: "Rule", params: Mapping[str, Shape | None] | Collection[str]) -> str | None:
    """Return the problem of parameters that no group takes, if `groups_required` is true; None if there is none."""
    if not rule.groups_required:
        return None
    shapes = params if isinstance(params, Mapping) else dict.fromkeys(params)
    selectors = [parse_selector(selector) for selector in rule.groups]
    found = [name for name, shape in shapes.items() if all(each.matches(name, shape) is False for each in selectors)]
    if not found:
        return None
    return f"no group takes {first_names(found)}; add a group for them, such as '*': {{}}, or remove groups_required"


def format_shape(shape: Shape) -> str:
    """Return a shape for a message; a length that is not known is a question mark.

    >>> format_shape((None, 10)), format_shape((3,))
    ('(?, 10)', '(3,)')
    """
    return str(shape).replace("None", "?")


def first_names(names: Collection[str]) -> str:
    """Return the first names, for a message."""
    return ", ".join(islice(names, _MAX_NAMES)) + ", ..." * (len(names) > _MAX_NAMES)


def is_zero(value: object) -> bool:
    """Return True for the number 0."""
    return isinstance(value, Real) and not isinstance(value, bool) and value == 0


def group_settings(rule: "Rule") -> dict[str, Any]:
    """Return the settings of a group for a rule: its fields, of those that groups share only the ones that were set."""
    return Group({name: getattr(rule, name) for name in rule.model_fields_set}, rule).to_dict()
