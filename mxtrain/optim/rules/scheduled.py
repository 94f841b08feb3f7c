"""Numbers of a rule that have schedules: their paths, bounds and values, and the rule at a time."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic_core import PydanticCustomError

from mxtrain.errors import ScheduleError
from mxtrain.names import display_name, field_name, nearest
from mxtrain.optim.schedules.learning_rate import OneCycle, RateSchedule
from mxtrain.types import NON_NEGATIVE, SMALLEST_NORMAL, Bounds, Config, describe, field_error, field_errors

if TYPE_CHECKING:
    from mxtrain.optim.rules.base import Rule, Time

_Rule = TypeVar("_Rule", bound="Rule")

_CLIP_BOUNDS = Bounds(ge=SMALLEST_NORMAL)
"""A clip of 0 would mean no clipping, but is reached through ever stronger clipping."""
_FALLBACK = 0.5
"""A value within the bounds of every field that may be 0."""


def canonical_schedules(data: Any, fields: Mapping[str, Any]) -> Any:
    """Return the value of `schedules` with the paths of numbers as keys: nested mappings are flattened.

    >>> canonical_schedules({"beta2": {"kind": "exp"}, "ema": {"decay": {"kind": "exp"}}}, {"β2": 0, "ema": 0})
    {'β2': {'kind': 'exp'}, 'ema.decay': {'kind': 'exp'}}
    """
    if not isinstance(data, Mapping):
        return data
    found: dict[Any, Any] = {}
    typed: dict[Any, Any] = {}
    for key, value in _flat_items(data, fields):
        if key in found:
            message = f"{typed[key]} and {value[0]} are two names of one value; keep one"
            raise field_error(str(key), message)
        typed[key], found[key] = value
    return found


def _flat_items(data: Mapping[Any, Any], fields: Mapping[str, Any]) -> Iterator[tuple[Any, tuple[Any, Any]]]:
    """Yield each canonical path, with the path as it was typed and the value."""
    for key, value in data.items():
        if not isinstance(key, str):
            yield key, (key, value)
            continue
        first, *rest = key.split(".")
        path = ".".join((field_name(first, fields), *(field_name(name, _Everything()) for name in rest)))
        if isinstance(value, Mapping) and value and "kind" not in value and all(map(_is_mapping, value.values())):
            yield from ((f"{path}.{below}", (f"{key}.{name}", item)) for below, (name, item) in _flat_items(value, {}))
        else:
            yield path, (key, value)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping | RateSchedule) or callable(value)


class _Everything(frozenset[str]):
    """A collection that contains the letter of every ASCII name, but not the ASCII name."""

    def __contains__(self, name: object) -> bool:
        return not (isinstance(name, str) and name.isascii())


def check_schedules(rule: "Rule") -> None:
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


def _check_rate(rule: "Rule") -> None:
    if rule.η_sched is not None:
        _check_values("η_sched", rule.η_sched, NON_NEGATIVE, rule.η, "η")


def _check_schedule(rule: "Rule", path: str) -> None:
    schedule = rule.schedules[path]
    bounds, base = _number(rule, path)
    if schedule.η is not None:
        message = f"goes with η_sched; this schedule starts at {_display(path)}; remove η"
        raise field_error(f"schedules.{path}.η", message)
    _check_values(f"schedules.{path}", schedule, bounds, base, _display(path))


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
            got = f"got {describe(value)}" if field != "warmup" else f"and the warm-up begins at {describe(value)}"
            raise field_error(f"{place}.{field}", f"the value must be {expected}, {got}") from None


def _check_one_cycle(rule: "Rule") -> None:
    """Check that a rule has the momentum that `one_cycle` changes."""
    for path, schedule in rule.schedules.items():
        if isinstance(schedule, OneCycle) and schedule.cycle_momentum and "cycle_momentum" in schedule.model_fields_set:
            raise field_error(f"schedules.{path}.cycle_momentum", "goes with η_sched; remove it")
    if not _cycles_momentum(rule):
        return
    momentum = _cycled_field(rule)
    if momentum is None:
        message = f"{rule.kind} has neither μ nor β1; set cycle_momentum: false"
        raise field_error("η_sched.cycle_momentum", message)
    for name, remedy in (("μ_sched", "remove it"), (f"schedules.{momentum}", "remove it")):
        is_set = momentum in rule.schedules if "." in name else rule.__dict__.get(name) is not None
        if is_set:
            raise field_error(name, f"η_sched: one_cycle sets {momentum} too; {remedy}, or set cycle_momentum: false")


def _cycles_momentum(rule: "Rule") -> bool:
    return isinstance(rule.η_sched, OneCycle) and rule.η_sched.cycle_momentum


def _cycled_field(rule: "Rule") -> str | None:
    """Return the field that `one_cycle` changes besides η."""
    return next((name for name in ("μ", "β1") if name in type(rule).model_fields), None)


def is_scheduled(rule: "Rule") -> bool:
    """Return True if numbers of a rule besides η and those of `μ_sched` have schedules."""
    return bool(rule.schedules) or _cycles_momentum(rule)


def rule_at(rule: _Rule, time: "Time") -> _Rule:
    """Return a rule with its scheduled numbers at a time.

    Raises:
        ScheduleError: a value is out of the bounds of its number.
    """
    values: dict[str, float] = {}
    for path, schedule in rule.schedules.items():
        bounds, base = _number(rule, path)
        value = values[path] = schedule.value_at(time, base)
        check_value(f"schedules.{path}", schedule, bounds, value, time)
    if _cycles_momentum(rule):
        values[_cycled_field(rule) or ""] = rule.η_sched.momentum_at(time)  # type: ignore[union-attr]
    return with_numbers(rule, values)


def check_value(place: str, schedule: RateSchedule, bounds: Bounds, value: float, time: "Time") -> None:
    """Check a scheduled value at the time of an update.

    Raises:
        ScheduleError: it is out of bounds.
    """
    try:
        bounds.check(value)
    except PydanticCustomError as error:
        expected = error.context["expected"] if error.context else str(bounds)
        name = _display(place)
        raise ScheduleError(
            f"optimizer.{name}: the schedule {schedule.kind} must be {expected}, got {value} at t = "
            f"{schedule.finished(time)} (iteration {time.iteration}); nothing has changed"
        ) from None


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
    if _cycles_momentum(rule):
        cycle: Any = rule.η_sched
        values[_cycled_field(rule) or ""] = max(cycle.μ_low, cycle.μ_high) or _FALLBACK
    return with_numbers(rule, values).model_copy(update={"schedules": schedules})


def _number(rule: "Rule", path: str) -> tuple[Bounds, float]:
    """Return the bounds and the value of a number that may have a schedule.

    Raises:
        PydanticCustomError: there is no such number, or it cannot have a schedule.
    """
    first, _, rest = path.partition(".")
    fields = type(rule).model_fields
    place = f"schedules.{path}"
    if first not in fields:
        raise field_error(place, f"{rule.kind} has no such number; {_suggest(rule, path)}")
    if path == "η":
        raise field_error(place, "the schedule of η is η_sched; move it there")
    if path == "scale":
        raise field_error(place, "scale is the same during a run; schedule η")
    if path == "μ" and rule.__dict__.get("μ_sched") is not None:
        raise field_error(place, "μ_sched is set too; keep one of the two")
    value: Any = getattr(rule, first)
    annotation: Any = fields[first]
    if rest and isinstance(value, Mapping):
        if rest not in value:
            raise field_error(place, f"{_display(first)} has no {_display(rest)}; it has {', '.join(value)}")
        return Bounds(), value[rest]
    if rest:
        if value is None:
            raise field_error(place, f"{first} is off; set it too, such as {first}: {{}}")
        if not isinstance(value, Config) or rest not in type(value).model_fields:
            raise field_error(place, f"{_display(first)} has no number {rest}; {_suggest(rule, path)}")
        annotation, value = type(value).model_fields[rest], getattr(value, rest)
    bounds = _CLIP_BOUNDS if path == "clip" else _bounds_of(annotation)
    if bounds is None or bounds.whole:
        raise field_error(place, f"only numbers have schedules, and {_display(path)} is none; {_suggest(rule, path)}")
    if value is None:
        raise field_error(place, f"{path} is off; set it too, as the value from which the schedule starts")
    return bounds, value


def _bounds_of(annotation: Any) -> Bounds | None:
    """Return the bounds in a field or in a type; None if it is not a number."""
    for each in getattr(annotation, "metadata", ()) or ():
        if isinstance(each, Bounds):
            return each
    inner = getattr(annotation, "annotation", None)
    parts = get_args(annotation) or ((inner,) if inner is not None else ())
    found = (part if isinstance(part, Bounds) else _bounds_of(part) for part in parts if part is not annotation)
    return next((bounds for bounds in found if bounds is not None), None)


def _suggest(rule: "Rule", path: str) -> str:
    """Return the remedy for a path that is not a number: the most similar one, or all of them."""
    names = [_display(name) for name in schedulable_numbers(type(rule))]
    guess = nearest(path, names)
    return f"did you mean {guess}?" if guess else f"its numbers are {', '.join(names)}"


def schedulable_numbers(model: "type[Rule]") -> list[str]:
    """Return the paths of the numbers of a rule that may have schedules.

    >>> from mxtrain.optim.rules import Adam
    >>> schedulable_numbers(Adam)[:4]
    ['λ', 'clip', 'β1', 'β2']
    """
    found = []
    for name, field in model.model_fields.items():
        bounds = _bounds_of(field)
        if bounds is not None and not bounds.whole and name not in ("η", "scale"):
            found.append(name)
    return found


def _display(path: str) -> str:
    return ".".join(map(display_name, path.split(".")))
