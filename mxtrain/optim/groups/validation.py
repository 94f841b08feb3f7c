"""Validation of parameter groups, whose fields depend on the kind of their rule and on the optimizer's values."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from mxtrain.kinds import KindChoice, choice_with_base
from mxtrain.names import display_name, field_name
from mxtrain.optim.groups.group import STEP_FIELDS, Group, is_zero, without_base
from mxtrain.optim.groups.selectors import Selector, SelectorError, parse_selector
from mxtrain.optim.schedules.paths import canonical_schedules
from mxtrain.types import Bounds, Config, describe

if TYPE_CHECKING:
    from mxtrain.optim.rules.base import Rule

_Lines = list[InitErrorDetails]
_NULL_MEANS_UNSET = ("η", "λ")
"""Fields of a group that may be null, as configs of earlier versions have it."""


_RuleType = TypeVar("_RuleType", bound="Rule")


def validate_with_groups(
    model: type[_RuleType], data: Any, handler: Callable[[Any], _RuleType], base: type[Config]
) -> _RuleType:
    """Validate a rule and its groups, and report the problems of both.

    Args:
        model: the class of the rule.
        data: what is validated.
        handler: validates everything but the groups.
        base: the class of all rules, any of which a group may have.
    """
    groups = data.get("groups") if isinstance(data, Mapping) else None
    if not isinstance(groups, Mapping) or not groups:
        return handler(data)
    outer = {key: value for key, value in data.items() if key != "groups"}
    any_rule = choice_with_base(base)
    lines: _Lines = []
    rule: Rule | None = None
    try:
        rule = model.validate_raw(outer)
    except ValidationError as error:
        lines += [error_line(detail, ()) for detail in error.errors(include_url=False)]
    validated: dict[str, Group] = {}
    seen: dict[Selector, str] = {}
    for selector, settings in groups.items():
        reader = _GroupReader(model, rule, outer, ("groups", str(selector)), any_rule)
        lines += _selector_problems(selector, seen)
        group = reader.read(settings)
        lines += reader.lines
        if group is not None:
            validated[selector] = group
    if lines:
        raise ValidationError.from_exception_data(model.__name__, lines)
    whole = handler(outer)
    whole.__dict__["groups"] = validated
    whole.__pydantic_fields_set__.add("groups")
    return whole


def group_problems(model_name: str, problems: Iterator[tuple[tuple[str, ...], str]]) -> None:
    """Raise a ValidationError at keys of a config; do nothing if there are no problems.

    Args:
        model_name: the name of the model.
        problems: the location of each key, as in the errors of Pydantic, and the message.
    """
    lines = [_message(location, text, "key") for location, text in problems]
    if lines:
        raise ValidationError.from_exception_data(model_name, lines)


def _selector_problems(selector: Any, seen: dict[Selector, str]) -> _Lines:
    """Return the problems of a selector, and add it to those seen so far."""
    location = ("groups", str(selector))
    if not isinstance(selector, str):
        return [_message(location, f"a selector must be a string, got {describe(selector)}", "key")]
    try:
        first = seen.setdefault(parse_selector(selector), selector)
    except SelectorError as error:
        return [_message(location, str(error), "key")]
    return [] if first == selector else [_message(location, f"selects the same as {first}; keep one", "key")]


class _GroupReader:
    """Reads the settings of one group.

    Args:
        model: the class of the optimizer's rule.
        outer: the optimizer's rule; None if it is invalid.
        raw: the optimizer's settings as they were given.
        location: the location of the group, as in the errors of Pydantic.
        any_rule: the kinds of rules that the group may have.

    Attributes:
        lines: the problems.
    """

    def __init__(
        self,
        model: "type[Rule]",
        outer: "Rule | None",
        raw: Mapping[Any, Any],
        location: tuple[str, ...],
        any_rule: type[KindChoice],
    ) -> None:
        self.lines: _Lines = []
        self._model, self._outer, self._raw = model, outer, raw
        self._location = (*location, _kind(model))
        self._any_rule = any_rule

    def read(self, settings: Any) -> Group | None:
        """Return the group; None if its settings are invalid."""
        if isinstance(settings, Group):
            if settings.rule is not None:
                return settings
            settings = settings.to_dict()
        if isinstance(settings, self._any_rule.base):
            return self._read_instance(cast("Rule", settings))
        if not isinstance(settings, Mapping):
            self.lines.append(InitErrorDetails(type="dict_type", loc=self._location[:-1], input=settings))
            return None
        own = self._own_model(settings)
        if own is None:
            return None
        self._location = (*self._location[:-1], _kind(own))
        values = self._without_misplaced(self._canonical(settings, own))
        frozen = self._pop_rate(values)
        rule = self._validate(own, values, "kind" in settings)
        if rule is None or self.lines:
            return None
        given = {input_names(own)[name]: None for name in values if name in input_names(own)}
        typed = {name: getattr(rule, name) for name in given} | frozen
        if "kind" in settings:
            return Group(typed, rule, own.model_fields)
        _inherit(typed, values.get("otherwise"))
        return Group(typed, fields=own.model_fields)

    def _read_instance(self, rule: "Rule") -> Group | None:
        """Return the group of a rule that was passed in Python."""
        try:
            self._any_rule.validate(rule)
        except PydanticCustomError as error:
            self.lines.append(InitErrorDetails(type=error, loc=self._location[:-1], input=rule))
        given = rule.model_fields_set
        for name in STEP_FIELDS:
            if name in given and getattr(rule, name) != type(rule).model_fields[name].get_default():
                self._misplaced(name)
        if self.lines:
            return None
        return Group({name: getattr(rule, name) for name in given}, rule, type(rule).model_fields)

    def _own_model(self, settings: Mapping[Any, Any]) -> "type[Rule] | None":
        """Return the class of the group's rule; None, with a problem, if its kind is unknown."""
        if "kind" not in settings:
            return self._model
        kind = settings["kind"]
        if kind == _kind(self._model):
            return self._model
        try:
            found = self._any_rule.find(kind) if isinstance(kind, str) else None
        except PydanticCustomError as error:
            self.lines.append(InitErrorDetails(type=error, loc=(*self._location, "kind"), input=kind))
            return None
        if found is None:
            context = {"discriminator": "kind", "tag": str(kind), "expected_tags": ""}
            self.lines.append(
                InitErrorDetails(type="union_tag_invalid", loc=self._location, input=settings, ctx=context)
            )
        return cast("type[Rule] | None", found)

    def _canonical(self, settings: Mapping[Any, Any], own: "type[Rule]") -> dict[Any, Any]:
        """Return the settings by the names that the rule's validation accepts."""
        given: dict[Any, Any] = {}
        values: dict[Any, Any] = {}
        for key, value in settings.items():
            name = field_name(key, input_names(own)) if isinstance(key, str) else key
            if name in values:
                text = f"{key} and {display_name(given[name])} are two names of one value; keep one"
                self.lines.append(_message(self._location, text))
            given[name] = key
            if value is not None or name not in _NULL_MEANS_UNSET:
                values[name] = value
        return values

    def _without_misplaced(self, values: dict[Any, Any]) -> dict[Any, Any]:
        for name in STEP_FIELDS:
            if name in values:
                self._misplaced(name)
        return {name: value for name, value in values.items() if name not in STEP_FIELDS}

    def _misplaced(self, name: str) -> None:
        text = "holds for all parameters of a step; move it out of the groups"
        if name == "groups":
            text = 'a group cannot have groups; join selectors with and, as in "W* and ndim < 2"'
        self.lines.append(_message((*self._location, name), text, "key"))

    def _pop_rate(self, values: dict[Any, Any]) -> dict[str, float]:
        """Remove an η of 0, which a rule itself refuses, and an invalid one, which is reported; return the 0."""
        if "η" not in values:
            return {}
        if is_zero(values["η"]):
            del values["η"]
            return {"η": 0.0}
        try:
            Bounds(ge=0).check(values["η"])
        except PydanticCustomError as error:
            self.lines.append(InitErrorDetails(type=error, loc=(*self._location, "η"), input=values.pop("η")))
        return {}

    def _validate(self, own: "type[Rule]", values: Mapping[Any, Any], has_kind: bool) -> "Rule | None":
        """Return the group's rule, complete with values of the optimizer; None, with the problems, if it is invalid."""
        try:
            return own.validate_raw(values if has_kind else self._merged(values))
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                # With an invalid optimizer, its own problems occur again here.
                if has_kind or self._outer is not None or _first_name(detail) in values:
                    self.lines.append(error_line(detail, self._location))
            return None

    def _merged(self, values: Mapping[Any, Any]) -> dict[Any, Any]:
        if self._outer is None:
            names = input_names(self._model)
            base = {field_name(key, names) if isinstance(key, str) else key: item for key, item in self._raw.items()}
        else:
            base = _fields(self._outer)
        if "schedules" in values:
            schedules = canonical_schedules(values["schedules"], self._model.model_fields)
            values = {**values, "schedules": schedules}
        return {**base, **{name: _merge(base.get(name), value) for name, value in values.items()}}


def _inherit(typed: dict[str, Any], inner: Any) -> None:
    """Apply η and λ of a group to the rule in `otherwise` too, unless the group sets them there."""
    otherwise = typed.get("otherwise")
    if isinstance(otherwise, Config):
        names = {field_name(str(key), type(otherwise).model_fields) for key in inner} if inner else set()
        values: dict[str, Any] = {name: typed[name] for name in ("η", "λ") if name in typed and name not in names}
        typed["otherwise"] = otherwise.model_copy(update=values)
    if "η" in typed and typed.get("η_sched") is not None:
        typed["η_sched"] = without_base(typed["η_sched"])


def _merge(base: Any, own: Any) -> Any:
    """Merge a nested value of a group over that of the optimizer; another kind replaces it."""
    if not isinstance(own, Mapping) or not isinstance(base, Config | Mapping):
        return own
    below = _fields(base) if isinstance(base, Config) else dict(base)
    if "kind" in own and own["kind"] != below.get("kind"):
        return own
    known = input_names(type(base)) if isinstance(base, Config) else below
    named = {field_name(key, known) if isinstance(key, str) else key: value for key, value in own.items()}
    return {**below, **{name: _merge(below.get(name), value) for name, value in named.items()}}


@cache
def input_names(model: type[Config]) -> dict[str, str]:
    """Return the name under which validation accepts each field, with the field."""
    return {
        info.validation_alias if isinstance(info.validation_alias, str) else name: name
        for name, info in model.model_fields.items()
    }


def _fields(config: Config) -> dict[Any, Any]:
    """Return the values of a config, but not the groups of a rule, as they are validated again."""
    names = input_names(type(config)).items()
    return {name: getattr(config, field) for name, field in names if field not in ("groups", "groups_required")}


def _kind(model: "type[Rule]") -> str:
    return str(model.model_fields["kind"].default)


def _first_name(detail: ErrorDetails) -> object:
    """Return the field of a rule in which a problem is."""
    if detail["loc"]:
        return detail["loc"][0]
    return str(detail.get("ctx", {}).get("path", "")).partition(".")[0]


def _message(location: tuple[str, ...], text: str, type: str = "message") -> InitErrorDetails:
    """Return a problem: at the value (`message`), or at its key (`key`)."""
    error = PydanticCustomError(type, "{text}", {"text": text})
    return InitErrorDetails(type=error, loc=location, input=None)


_KNOWN = frozenset(get_args(ErrorType))


def error_line(detail: ErrorDetails, above: tuple[str, ...]) -> InitErrorDetails:
    """Return a problem that Pydantic found, for a new ValidationError, at a location below another one."""
    context = detail.get("ctx", {})
    kind: Any = detail["type"]
    if kind not in _KNOWN:
        kind = PydanticCustomError(kind, detail["msg"], context)
    return InitErrorDetails(type=kind, loc=(*above, *detail["loc"]), input=detail["input"], ctx=context)
