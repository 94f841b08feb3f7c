"""A rule as text: its update is written in the config, not in Python."""

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from mxtrain.names import display_name
from mxtrain.optim.formula.compiler import compile_formula
from mxtrain.optim.formula.definition import definition_of, name_problems
from mxtrain.optim.formula.evaluation import RunnableFormula, formula_of
from mxtrain.optim.formula.lexer import normal_text
from mxtrain.optim.formula.parser import parse_statements
from mxtrain.optim.formula.starts import WEIGHT, start_function, start_problems
from mxtrain.optim.formula.syntax import TextProblem, canonical
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Bounds, Finite, NonNegative, Positive, describe, field_error


class _Starts:
    """Names with first values: a list of names, which start at 0, or a mapping from names to values."""

    def check(self, value: object) -> tuple[str, ...] | dict[str, float | str]:
        """Return the names, or the names with their first values."""
        if isinstance(value, list | tuple):
            wrong = next((each for each in value if not isinstance(each, str)), None)
            if wrong is not None:
                raise PydanticCustomError(
                    "message", "{text}", {"text": f"must be a list of names, got {describe(wrong)} in it"}
                )
            return tuple(value)
        if not isinstance(value, Mapping):
            message = f"must be a list of names, as in [m, v], or a mapping such as {{m: 0}}, got {describe(value)}"
            raise PydanticCustomError("message", "{text}", {"text": message})
        return {name: start if isinstance(start, str) else Bounds().check(start) for name, start in value.items()}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        names = {"type": "array", "items": {"type": "string"}}
        return {
            "anyOf": [
                names,
                {"type": "object", "additionalProperties": {"anyOf": [{"type": "number"}, {"type": "string"}]}},
            ]
        }


def _with_canonical_names(value: Any) -> Any:
    """Return a mapping with canonical names."""
    if not isinstance(value, Mapping):
        return value
    return {canonical(name) if isinstance(name, str) else name: each for name, each in value.items()}


class Formula(Rule):
    """A rule as text, for rules that are searched or tried without Python.

    `update` consists of assignments, one on each line, of W, of the slots and of local names; a later line uses the new
    values. It is parsed, checked and traced into the same program as a rule in Python, and nothing is evaluated as
    Python. What contains no array is a scalar of the host, computed in float64 and rounded once.

    Names: `W`, the weight; `g`, the gradient; `t`, the number of the update, 1 at the first; η and λ; those of `let`,
    `slots` and `scalars`. Operations: `+ - * / **` and parentheses, and comparisons in `where(a < b, x, y)`. Functions:
    sqrt, abs, sign, min, max, where; exp and log of scalars; sum, mean, norm, dot, max_abs over a parameter, and
    total_sum and so on over all parameters. `increment(x)` is x, and marks what the rule adds to W.

    If `update` uses λ, it decides how weights decay; otherwise `λ·W` is added to the gradient.

    Args:
        η: learning rate, above 0.
        λ: weight decay, at least 0.
        let: names and values of hyperparameters of the formula; they can be scheduled, grouped and searched.
        slots: names of the arrays that are stored for each weight, which start at 0; or a mapping from each name to its
            first value: a number, `W` for a copy of the weight, or an expression of `let`, η and λ, such as `η/2`.
        scalars: names of the numbers that are stored for each weight, likewise.
        update: the assignments.
        evaluate: the slot with the weights to evaluate; null if these are the trained weights.
        terms: expressions by name; `{name}` in `update` stands for one, so that a sweep can choose between them.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> text = "m = β*m + (1 - β)*g; W = W - η*sign(m)"
        >>> config = {"kind": "formula", "η": 0.25, "let": {"β": 0.9}, "slots": ["m"], "update": text}
        >>> mxtrain.build(config).update(0, g, w)
        >>> w
        array([0.75, 0.75], dtype=float32)

    Source: the update rules of Bello et al., "Neural Optimizer Search with Reinforcement Learning" (ICML 2017), which
    are written as expressions too.
    """

    overflow_bounds: ClassVar = "none"
    kind: Literal["formula"] = "formula"
    η: Positive = 0.01
    λ: NonNegative = 0.0
    let: Annotated[dict[str, Finite], BeforeValidator(_with_canonical_names)] = {}
    slots_: Annotated[tuple[str, ...] | dict[str, float | str], _Starts()] = Field((), validation_alias="slots")
    scalars: Annotated[tuple[str, ...] | dict[str, float | str], _Starts()] = ()
    update: str  # type: ignore[assignment,misc]  # text here, a function in other rules
    terms: dict[str, str] = {}
    evaluate: str | None = None

    @model_validator(mode="after")
    def _check_decay_and_evaluation(self) -> Self:
        if self.evaluate is not None and canonical(self.evaluate) not in map(canonical, self.slots_):
            listed = f"one of the slots {', '.join(self.slots_)}" if self.slots_ else "a slot, of which there is none"
            raise field_error("evaluate", f"must be {listed}, got {describe(self.evaluate)}")
        problems = compile_formula(definition_of(self.__dict__ | {"slots": self.slots_}))[1]
        if self.decoupled and not problems and "λ" in self._runnable().compiled.names:
            raise field_error("decoupled", "update uses λ, and so decides how weights decay; remove one of the two")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _check_texts(cls, data: Any, handler: Any) -> Any:
        """Report the problems of the texts together with those of other fields."""
        problems = list(_text_problems(data)) if isinstance(data, Mapping) else []
        try:
            rule = handler(data)
        except ValidationError as error:
            # A check of another field may need the formula, which a wrong text does not give.
            found = [each for each in error.errors(include_url=False) if each["type"] != "assertion_error"]
            if not problems and not found:
                raise
            problems += map(_again, found)
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return rule

    def _runnable(self) -> RunnableFormula:
        values = self.__dict__
        fields = values["update"], values["let"], values["slots_"], values["scalars"], values["terms"]
        key = tuple(map(id, fields))
        found = _recent.get(key)
        if found is None:
            names = tuple(self.let), tuple(self.slots_), tuple(self.scalars)
            runnable = _runnable(self.update, *names, tuple(self.terms.items()))
            if len(_recent) >= _MAX_RECENT:
                _recent.clear()
            found = _recent[key] = fields, runnable
        return found[1]

    def active_slots(self) -> tuple[str, ...]:
        """Return the names of the slots."""
        return self._runnable().definition.slots

    @property
    def evaluation_slot(self) -> str | None:  # type: ignore[override]
        """Name of the slot with the weights to evaluate."""
        return None if self.evaluate is None else canonical(self.evaluate)

    @property
    def computed_scalars(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the scalar slots that depend on sums."""
        return tuple(name for name, _ in self._runnable().compiled.device_state)

    @property
    def scalar_slots(self) -> Mapping[str, float]:  # type: ignore[override]
        """Names and first values of the scalar slots."""
        return {name: float(value) for name, value in self._starts(self.scalars).items()}

    def initial_scalars(self) -> dict[str, float]:
        """Return the first value of each scalar slot."""
        return dict(self.scalar_slots)

    def slot_starts(self) -> Mapping[str, float | Literal["W"]]:
        """Return the first value of each slot that does not start at 0."""
        return {name: value for name, value in self._starts(self.slots_).items() if value != 0}

    def _starts(self, given: tuple[str, ...] | dict[str, float | str]) -> dict[str, Any]:
        if not isinstance(given, dict):
            return dict.fromkeys(map(canonical, given), 0.0)
        values, let = self._values(), tuple(self.let)
        return {
            canonical(name): start_function(start, let)(values) if isinstance(start, str) and start != WEIGHT else start
            for name, start in given.items()
        }

    def _values(self) -> dict[str, float]:
        """Return the values of names that do not depend on the time."""
        let = zip(self._runnable().definition.let, self.let.values(), strict=True)
        return {"η": self.η, "λ": self.λ, **dict(let)}

    def decouples_decay(self) -> bool:
        """Return True if the text uses λ, or `decoupled` is set."""
        return "λ" in self._runnable().compiled.names or super().decouples_decay()

    def stored_options(self) -> dict[str, Any]:
        """Return the text of the update, which gives the slots their meaning; spaces and comments do not matter."""
        options = super().stored_options()
        if not (self.slots_ or self.scalars):
            return options
        return options | {"update": normal_text(self.update, tuple(self.terms.items()))}

    def update_function(self) -> Any:
        """Return the update of the formula, as a function of symbols or arrays."""
        return self._runnable().update

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """Return the scalars that the text computes from η, λ, `let` and t."""
        formula = self._runnable()
        η = self.learning_rate_at(time)
        values = dict(zip(formula.definition.let, self.let.values(), strict=True))
        values |= {"t": float(time.update), "η": η, "λ": self.corrected_λ(η)}
        for name, old in formula.compiled.old_state:
            values[old] = scalars[name]
        return formula.host.evaluate(values)

    def to_dict(self) -> dict[str, Any]:
        """Return every field as plain values, under the names in the documentation."""
        values = super().to_dict()
        for field in ("let", "slots", "scalars", "terms"):
            if isinstance(values[field], dict):
                values[field] = {display_name(name): each for name, each in values[field].items()}
        return values


_MAX_RECENT = 256
_recent: dict[tuple[int, ...], tuple[tuple[Any, ...], RunnableFormula]] = {}
"""Formulas by the identities of their fields, which are stored with them, so that no other object has the identity."""


@lru_cache(maxsize=256)
def _runnable(
    update: str,
    let: tuple[str, ...],
    slots: tuple[str, ...],
    scalars: tuple[str, ...],
    terms: tuple[tuple[str, str], ...],
) -> RunnableFormula:
    """Return the formula with these texts and names, checked once."""
    values = {"update": update, "let": dict.fromkeys(let), "slots": slots, "scalars": scalars, "terms": dict(terms)}
    return formula_of(definition_of(values))


_NAMES = {"let": Mapping, "slots": Mapping | list | tuple, "scalars": Mapping | list | tuple}
"""The fields with names of a formula, and the types that these may have."""


def _text_problems(values: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    """Yield the problems of the names and texts of a formula, of which other fields may be invalid."""
    problems = list(name_problems(values))
    definition = definition_of(values)
    problems += start_problems(values)
    if isinstance(values.get("update"), str):
        # With an invalid field of names, or an invalid term, the names of the text are unknown.
        terms = values.get("terms", {})
        has_names = all(isinstance(values.get(field, {}), kinds) for field, kinds in _NAMES.items())
        has_names &= isinstance(terms, Mapping) and all(isinstance(text, str) for text in terms.values())
        problems += compile_formula(definition)[1] if has_names else parse_statements(definition.update, "update")[1]
    for problem in problems:
        yield InitErrorDetails(
            type=_text_error(problem),
            loc=tuple(int(name) if name.isdigit() else name for name in problem.field.split(".")),
            input=None,
        )


def _text_error(problem: TextProblem) -> PydanticCustomError:
    place = problem.place
    context: dict[str, Any] = {"message": problem.message}
    if place is not None:
        context |= {"start": place.start, "stop": place.stop}
    return PydanticCustomError("text_error", "{message}", context)


def _again(error: Any) -> InitErrorDetails:
    """Return an error of Pydantic in the form in which it can be raised with others."""
    kind, context = error["type"], error.get("ctx") or {}
    if kind not in _known_errors():
        kind = PydanticCustomError(kind, "{rendered}", context | {"rendered": error["msg"]})
    return InitErrorDetails(type=kind, loc=error["loc"], input=error["input"], ctx=context)


@cache
def _known_errors() -> frozenset[str]:
    """Return the errors that Pydantic defines."""
    return frozenset(get_args(core_schema.ErrorType))
