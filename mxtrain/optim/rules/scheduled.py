"""Numbers of a rule that have schedules: their paths, bounds and values, and the rule at a time."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin

from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from mxtrain.errors import ScheduleError
from mxtrain.names import field_name, nearest
from mxtrain.optim.groups.validation import input_names
from mxtrain.optim.ir import error_text
from mxtrain.optim.schedules.learning_rate import OneCycle, RateSchedule
from mxtrain.optim.schedules.paths import canonical_schedules, display_path
from mxtrain.types import NON_NEGATIVE, SMALLEST_NORMAL, Bounds, Config, describe, field_error, field_errors

if TYPE_CHECKING:
    from mxtrain.optim.rules.base import Rule
    from mxtrain.optim.rules.fields import RuleFields
    from mxtrain.optim.rules.time import Time

_Rule = TypeVar("_Rule", bound="RuleFields")

_CLIP_BOUNDS = Bounds(ge=SMALLEST_NORMAL)
"""A clip of 0 would mean no clipping, but is reached through ever stronger clipping."""
_FALLBACK = 0.5
"""A value within the bounds of every field that may be 0."""


def check_schedules(rule: "RuleFields") -> None:
    """Check that each scheduled number exists, may be scheduled, and stays within its bounds.

    Raises:
        PydanticCustomError: names every problem.
    """
    problems: list[tuple[str, str]] = []
    checks = [partial(_check_schedule, rule, path) for path in rule.schedules]
    for check in (partial(_check_rate, rule), *checks, partial(_check_one_cycle, rule)):
        try:
            check()
        except PydanticCustomError as error:
            context = error.context or {}
            problems.append((context["path"], context["message"]))
    if problems:
        raise field_errors(problems)


def _check_rate(rule: "RuleFields") -> None:
    if rule.η_sched is not None:
        _check_values("η_sched", rule.η_sched, NON_NEGATIVE, rule.η, "η")


def _check_schedule(rule: "RuleFields", path: str) -> None:
    schedule = rule.schedules[path]
    bounds, base = _number(rule, path)
    if schedule.η is not None:
        message = "only a schedule of the learning rate has it; this one starts at the value of its number; remove it"
        raise field_error(f"schedules.{path}.η", message)
    _check_values(f"schedules.{path}", schedule, bounds, base, display_path(path))


def _check_values(place: str, schedule: RateSchedule, bounds: Bounds, base: float, name: str) -> None:
    """Check the values of a schedule that are known before the run."""
    for field, value in schedule.extreme_values(base):
        try:
            bounds.check(value)
        except PydanticCustomError as error:
            expected = error.context["expected"] if error.context else str(bounds)
            if field == "η" and schedule.η is None:
                message = f"starts at {name}, {describe(value)}, which must be {expected} with a schedule; set {name}"
                raise field_error(place, message) from None
            message = {
                "warmup": f"the warm-up begins at {describe(value)}, which must be {expected}; remove it",
                "α": f"the last value must be {expected}, got {describe(value)}; set end",
            }.get(field, f"the value must be {expected}, got {describe(value)}")
            raise field_error(f"{place}.{field}", message) from None


def _check_one_cycle(rule: "RuleFields") -> None:
    """Check that a rule has the momentum that `one_cycle` changes."""
    for path, schedule in rule.schedules.items():
        if isinstance(schedule, OneCycle) and schedule.cycle_momentum and "cycle_momentum" in schedule.model_fields_set:
            raise field_error(f"schedules.{path}.cycle_momentum", "goes with η_sched; remove it")
    if not (isinstance(rule.η_sched, OneCycle) and rule.η_sched.cycle_momentum):
        return
    momentum = _cycled_field(rule)
    if momentum is None:
        message = f"{rule.kind} has neither μ nor β1; set cycle_momentum: false"
        raise field_error("η_sched.cycle_momentum", message)
    for name, remedy in (("μ_sched", "remove it"), (f"schedules.{momentum}", "remove it")):
        is_set = momentum in rule.schedules if "." in name else rule.__dict__.get(name) is not None
        if is_set:
            raise field_error(name, f"η_sched: one_cycle sets {momentum} too; {remedy}, or set cycle_momentum: false")


def _cycled_field(rule: "RuleFields") -> str | None:
    """Return the field that `one_cycle` changes besides η; None without such a schedule, or without such a field."""
    if not (isinstance(rule.η_sched, OneCycle) and rule.η_sched.cycle_momentum):
        return None
    return next((name for name in ("μ", "β1") if name in type(rule).model_fields), None)


def is_scheduled(rule: "RuleFields") -> bool:
    """Return True if numbers of a rule besides η and those of `μ_sched` have schedules."""
    return bool(rule.schedules) or _cycled_field(rule) is not None


def rule_at(rule: _Rule, time: "Time") -> _Rule:
    """Return a rule with its scheduled numbers at a time.

    Raises:
        ScheduleError: a value is out of the bounds of its number.
    """
    values = {
        path: scheduled_value(f"schedules.{path}", schedule, _bounds_at(rule, path), number_at(rule, path), time)
        for path, schedule in rule.schedules.items()
    }
    cycled = _cycled_field(rule)
    if cycled is not None:
        values[cycled] = cast("OneCycle", rule.η_sched).momentum_at(time)
    return with_numbers(rule, values)


def scheduled_value(place: str, schedule: RateSchedule, bounds: Bounds, base: float, time: "Time") -> float:
    """Return the value of a schedule at the time of an update.

    Args:
        place: the path of the schedule in the optimizer, for error messages.
        schedule: the schedule.
        bounds: the bounds of the number.
        base: the value of the number without the schedule.
        time: the time of the update.

    Raises:
        ScheduleError: the value is out of bounds, or a schedule of the user's raises an exception, which is the cause.
    """
    shown = display_path(place)
    try:
        value = schedule.value_at(time, base)
        bounds.check(value)
    except ScheduleError as error:
        raise ScheduleError(f"optimizer.{shown}: {error}; nothing has changed") from error.__cause__
    except PydanticCustomError as error:
        expected = error.context["expected"] if error.context else str(bounds)
        raise ScheduleError(
            f"optimizer.{shown}: the value at t = {schedule.finished(time)} (iteration {time.iteration}) must be "
            f"{expected}, got {value}; nothing has changed"
        ) from None
    except Exception as error:
        if type(schedule).__module__.startswith("mxtrain."):
            raise
        raise ScheduleError(
            f"optimizer.{shown}: {error_text(type(schedule).__name__, error)} at iteration {time.iteration}; nothing "
            "has changed"
        ) from error
    return value


def with_numbers(rule: _Rule, values: Mapping[str, float]) -> _Rule:
    """Return a rule with other values at some paths, which are not validated."""
    update: dict[str, Any] = {}
    for path, value in values.items():
        first, _, rest = path.partition(".")
        if not rest:
            update[first] = value
            continue
        inner = update.get(first, getattr(rule, first))
        update[first] = {**inner, rest: value} if isinstance(inner, Mapping) else inner.model_copy(update={rest: value})
    return rule.model_copy(update=update)


def with_largest_numbers(rule: _Rule) -> _Rule:
    """Return a rule whose scheduled numbers have their largest values, and whose schedules keep their base values.

    A number that is scheduled counts as one that is not 0 in the choice of program and slots, and as its largest value
    in bounds of overflow.
    """
    if not is_scheduled(rule):
        return rule
    values: dict[str, float] = {}
    schedules: dict[str, RateSchedule] = {}
    for path, schedule in rule.schedules.items():
        _, base = _number(rule, path)
        largest = schedule.highest(base)
        is_bound = path in ("λ", "clip")  # only these need a bound of functions, whose values are unknown
        values[path] = largest if 0 < largest < float("inf") or (is_bound and largest > 0) else base or _FALLBACK
        schedules[path] = schedule.model_copy(update={"η": base})
    cycled = _cycled_field(rule)
    if cycled is not None:
        cycle = cast("OneCycle", rule.η_sched)
        values[cycled] = max(cycle.μ_low, cycle.μ_high) or _FALLBACK
    return with_numbers(rule, values).model_copy(update={"schedules": schedules})


def _number(rule: "RuleFields", path: str) -> tuple[Bounds, float]:
    """Return the bounds and the value of a number that may have a schedule.

    Raises:
        PydanticCustomError: there is no such number, or it cannot have a schedule.
    """
    first, _, rest = path.partition(".")
    fields = type(rule).model_fields
    place = f"schedules.{path}"
    if not all(path.split(".")):
        raise field_error(
            "schedules", f"the key {display_path(path)!r} names no number; {_suggest(type(rule), rule, path)}"
        )
    if first not in fields:
        raise field_error(place, f"{rule.kind} has no such number; {_suggest(type(rule), rule, path)}")
    if path == "η":
        raise field_error(place, "the learning rate has a field of its own, η_sched; move the schedule there")
    if path == "scale":
        raise field_error(place, "is the same during a run; use η_sched")
    if path == "μ" and rule.__dict__.get("μ_sched") is not None:
        raise field_error(place, "μ_sched is set too; keep one of the two")
    value: Any = getattr(rule, first)
    if rest and isinstance(value, Mapping):
        if rest not in value:
            raise field_error(place, f"{display_path(first)} has no {display_path(rest)}; it has {', '.join(value)}")
        return Bounds(), value[rest]
    if rest and value is None:
        raise field_error(place, f"{first} is off; set it too, such as {first}: {{}}")
    owner = type(value) if rest else type(rule)
    if not issubclass(owner, Config) or (rest or first) not in owner.model_fields:
        raise field_error(
            place, f"{display_path(first)} has no number {display_path(rest)}; {_suggest(type(rule), rule, path)}"
        )
    bounds = field_bounds(owner, rest or first)
    if bounds is None:
        message = f"only numbers have schedules, and {display_path(path)} is none"
        raise field_error(place, f"{message}; {_suggest(type(rule), rule, path)}")
    number = number_at(rule, path)
    if number is None:
        raise field_error(place, f"{path} is off; set it too, as the value from which the schedule starts")
    return bounds, number


def unknown_schedule_lines(
    model: "type[RuleFields]", data: Any, found: Sequence[ErrorDetails]
) -> list[InitErrorDetails]:
    """Return the problems of schedules of unknown numbers, which are not checked while other fields are invalid.

    Args:
        model: the class of the rule.
        data: what was validated.
        found: the problems that were found.
    """
    if not isinstance(data, Mapping):
        return []
    names = input_names(model)
    values = {field_name(key, names) if isinstance(key, str) else key: value for key, value in data.items()}
    try:
        values["schedules"] = canonical_schedules(values.get("schedules"), model.model_fields)
    except PydanticCustomError:  # among the problems already
        return []
    contexts = [each.get("ctx", {}) for each in found]
    known = {str(path) for each in contexts for path, _ in each.get("problems", ())}
    known |= {str(each["path"]) for each in contexts if "path" in each}
    return [
        InitErrorDetails(type=field_error(path, message), loc=(), input=None)
        for path, message in _unknown_numbers(model, values)
        if path not in known
    ]


def _unknown_numbers(model: "type[RuleFields]", values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the paths of schedules of fields that a rule lacks, each with a message.

    Args:
        model: the class of the rule.
        values: the fields by canonical names as they were given, some of which are invalid.
    """
    schedules: Any = values.get("schedules")
    for path in schedules if isinstance(schedules, Mapping) else ():
        if isinstance(path, str) and all(path.split(".")) and path.partition(".")[0] not in model.model_fields:
            kind = model.model_fields["kind"].default
            yield f"schedules.{path}", f"{kind} has no such number; {_suggest(model, values, path)}"


def _bounds_of(annotation: Any) -> Bounds | None:
    """Return the bounds in a field or in a type; None if it is not a number."""
    if get_origin(annotation) in (tuple, dict) or get_origin(getattr(annotation, "annotation", None)) in (tuple, dict):
        return None
    for each in getattr(annotation, "metadata", ()) or ():
        if isinstance(each, Bounds):
            return each
    inner = getattr(annotation, "annotation", None)
    parts = get_args(annotation) or ((inner,) if inner is not None else ())
    found = (part if isinstance(part, Bounds) else _bounds_of(part) for part in parts if part is not annotation)
    return next((bounds for bounds in found if bounds is not None), None)


def _suggest(model: "type[RuleFields]", rule: "RuleFields | Mapping[str, Any]", path: str) -> str:
    """Return the remedy for a path that is not a number: the most similar one, or all of them.

    Args:
        model: the class of the rule.
        rule: the rule, or its values as they were given.
        path: the path.
    """
    values = rule if isinstance(rule, Mapping) else rule.__dict__
    mappings: dict[str, Any] = {
        name: values.get(name) for name in model.model_fields if name not in ("groups", "schedules")
    }
    inner = [f"{name}.{key}" for name, value in mappings.items() if _is_numbers(value) for key in value]
    names = [display_path(name) for name in (*schedulable_numbers(model), *inner)]
    guess = next((name for name in names if name.endswith(f".{path}")), None) or nearest(path, names)
    return f"did you mean {guess}?" if guess else f"its numbers are {', '.join(names)}"


def schedulable_numbers(model: "type[RuleFields]") -> list[str]:
    """Return the paths of the numbers of a rule that may have schedules.

    >>> from mxtrain.optim.rules import Adam
    >>> [name for name in schedulable_numbers(Adam) if "." not in name]
    ['λ', 'clip', 'clip_norm', 'β1', 'β2', 'ε']
    """
    found = []
    for name, field in model.model_fields.items():
        parts = () if get_origin(field.annotation) in (dict, tuple) else get_args(field.annotation)
        inner = next(filter(_is_config, parts), None)
        if inner is not None:
            found += [f"{name}.{below}" for below in inner.model_fields if field_bounds(inner, below)]
        elif name not in ("η", "scale") and field_bounds(model, name):
            found.append(name)
    return found


def _is_numbers(value: Any) -> bool:
    """Return True for a mapping of numbers, such as the hyperparameters of a formula."""
    return isinstance(value, Mapping) and all(isinstance(item, float) for item in value.values())


def _is_config(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, Config)


_LATER_EPOCHS = (1, 2, 3, 5, 10, 30, 100)


def path_changed_by_epochs(rule: "Rule") -> str | None:
    """Return the path of the first schedule per epoch whose value changes with the epochs; None if there is none.

    Args:
        rule: a rule whose schedules have base values, except that of η.
    """
    for path, schedule in rule.all_schedules().items():
        if schedule.per != "epoch" or schedule.needs_run:
            continue
        base = rule.η if schedule.η is None else schedule.η
        if not any(schedule.extreme_values(base)):  # a function
            return path
        first = schedule.value(0, base)
        if any(schedule.value(epoch, base) != first for epoch in _LATER_EPOCHS):
            return path
    return None


def scheduled_paths(rule: "RuleFields") -> list[str]:
    """Return the paths of the numbers with schedules, except η and those of `μ_sched`."""
    cycled = _cycled_field(rule)
    return [*rule.schedules, *([] if cycled is None else [cycled])]


def number_at(rule: "RuleFields", path: str) -> float:
    """Return the number at a path of a rule."""
    first, _, rest = path.partition(".")
    value: Any = getattr(rule, first)
    if rest:
        value = value[rest] if isinstance(value, Mapping) else getattr(value, rest)
    number: float = value
    return number


def _bounds_at(rule: "RuleFields", path: str) -> Bounds:
    """Return the bounds of the number at a path of a rule."""
    first, _, rest = path.partition(".")
    if not rest:
        return field_bounds(type(rule), first) or Bounds()
    inner: Config | Mapping[str, float] = getattr(rule, first)
    return Bounds() if isinstance(inner, Mapping) else field_bounds(type(inner), rest) or Bounds()


@cache
def field_bounds(model: type[Config], name: str) -> Bounds | None:
    """Return the bounds of the scheduled values of a field; None if it is not a number that can be scheduled."""
    bounds = _CLIP_BOUNDS if name == "clip" else _bounds_of(model.model_fields[name])
    return None if bounds is None or bounds.whole else bounds
