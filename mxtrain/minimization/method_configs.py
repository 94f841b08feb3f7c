"""Configs of the methods of `minimize`, and of its stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias, Union

from pydantic import Field, model_validator

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.kinds import KindChoice
from mxtrain.optim.rules import ALL_RULES, AnyRule, Rule, Time
from mxtrain.optim.rules.fields import RuleFields
from mxtrain.optim.stopping import StopConditions, errors_below, read_until
from mxtrain.types import (
    Config,
    NonNegative,
    Positive,
    PositiveInt,
    choice_message,
    describe_argument,
    field_errors,
)

_RULE_FIELDS = tuple(name for name in RuleFields.model_fields if name != "kind")


class MethodConfig(Rule):
    """Base class of the configs of methods that choose the length of their steps by values of the function.

    A method may be the optimizer of a run, as a rule is, but the fields of rules do not apply to it.

    Attributes:
        defaults: the stop conditions that hold unless `until` sets others.
        takes_bounds: True if the method accepts bounds.
    """

    hidden_defaults: ClassVar[tuple[str, ...]] = _RULE_FIELDS
    needs_values: ClassVar[bool] = True
    defaults: ClassVar[StopConditions]
    takes_bounds: ClassVar[bool]

    η: Positive = 1.0
    λ: NonNegative = 0.0

    @model_validator(mode="after")
    def _refuse_fields_of_rules(self) -> Self:
        given = [name for name in _RULE_FIELDS if name in self.model_fields_set and name != "scale"]
        if given:
            own = ", ".join(self.listed_fields()[1:])
            problems = [(name, f"does not apply to {self.kind}, whose fields are {own}; remove it") for name in given]
            raise field_errors(problems)
        return self

    @classmethod
    def listed_fields(cls) -> tuple[str, ...]:
        """Return the names of the fields that apply to the method."""
        return tuple(name for name in cls.model_fields if name not in _RULE_FIELDS)

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """Return nothing: the method computes its steps without a program."""
        return {}

    @staticmethod
    def update(W: Any, g: Any) -> tuple[Any, ...]:
        """Leave the weight unchanged: the method computes its steps without a program."""
        return (W,)


class LBFGSConfig(MethodConfig):
    """Limited-memory BFGS method; with bounds, L-BFGS-B.

    Args:
        memory: number of steps from which the inverse Hessian matrix is approximated, at least 1.
        max_line_search: largest number of evaluations of a line search, at least 1.

    Example:
        >>> LBFGSConfig(memory=20)
        LBFGSConfig(kind='lbfgs', memory=20, max_line_search=20)

    Source: Liu and Nocedal, "On the limited memory BFGS method for large scale optimization" (Math. Program. 45, 1989);
    Byrd, Lu, Nocedal and Zhu, "A limited memory algorithm for bound constrained optimization" (SIAM J. Sci. Comput. 16,
    1995); line search of Moré and Thuente (ACM TOMS 20, 1994).
    """

    defaults: ClassVar[StopConditions] = StopConditions(
        gtol=1e-5, ftol=2.220446049250313e-09, max_iterations=15000, max_evaluations=15000
    )
    takes_bounds: ClassVar[bool] = True

    kind: Literal["lbfgs"] = "lbfgs"
    memory: PositiveInt = 10
    max_line_search: PositiveInt = 20


class CGConfig(MethodConfig):
    """Nonlinear conjugate-gradient method of Hager and Zhang (CG_DESCENT).

    Args:
        max_line_search: largest number of evaluations of a line search, at least 1.

    Source: Hager and Zhang, "A new conjugate gradient method with guaranteed descent and an efficient line search"
    (SIAM J. Optim. 16, 2005).
    """

    defaults: ClassVar[StopConditions] = StopConditions(gtol=1e-5, max_iterations=15000, max_evaluations=15000)
    takes_bounds: ClassVar[bool] = False

    kind: Literal["cg"] = "cg"
    max_line_search: PositiveInt = 50


METHODS: tuple[type[MethodConfig], ...] = (LBFGSConfig, CGConfig)
"""Methods with a line search; every rule is a method too."""
_OPTIMIZERS: tuple[type[Any], ...] = (*ALL_RULES, *METHODS)


class OptimizerChoice(KindChoice):
    """The optimizer of a run: any rule, or a method with a line search."""

    base = Rule
    builtin = _OPTIMIZERS


if TYPE_CHECKING:
    AnyOptimizer: TypeAlias = Rule
else:
    AnyOptimizer = Annotated[Union[_OPTIMIZERS], OptimizerChoice]  # noqa: UP007 - built from the list

RULE_DEFAULTS = StopConditions(gtol=1e-5, max_iterations=10_000)
"""Stop conditions of rules that hold unless `until` sets others."""


class _Method(Config):
    method: Annotated[LBFGSConfig | CGConfig, Field(discriminator="kind")]


class _RuleMethod(Config):
    method: AnyRule


@dataclass(frozen=True, slots=True)
class Stage:
    """A method, and the conditions that end its stage.

    Attributes:
        config: the config of the method, or a rule.
        until: the conditions of this stage; counts and times are those of the stage.
    """

    config: Rule
    until: StopConditions

    @property
    def is_rule(self) -> bool:
        """True if the config is that of a rule, False for a method with a line search."""
        return not isinstance(self.config, MethodConfig)

    @property
    def defaults(self) -> StopConditions:
        """Stop conditions that hold unless `until` sets others."""
        return self.config.defaults if isinstance(self.config, MethodConfig) else RULE_DEFAULTS


def read_stages(method: object) -> tuple[Stage, ...]:
    """Read the argument `method` of `minimize`: a method, or a list of stages.

    Raises:
        ConfigError: a value is wrong, or a stage of a rule before the last one has no end.

    Example:
        >>> [stage.config.kind for stage in read_stages([{"kind": "adam", "max_iterations": 500}, "lbfgs"])]
        ['adam', 'lbfgs']
    """
    if not isinstance(method, list | tuple):
        return (_read_stage(method, "method"),)
    if not method:
        raise _problem("method", "must name at least one stage, got an empty list")
    stages = tuple(_read_stage(each, f"method.{i}") for i, each in enumerate(method))
    for i, stage in enumerate(stages[:-1]):
        if stage.is_rule and stage.until.is_empty:
            raise _problem(f"method.{i}", "needs a condition that ends the stage, such as max_iterations: 500")
    return stages


def _read_stage(method: object, path: str) -> Stage:
    if isinstance(method, Mapping):
        own = {key: value for key, value in method.items() if key in StopConditions.model_fields}
        rest = {key: value for key, value in method.items() if key not in own}
        return Stage(_read_method(rest, path), read_until(own, path))
    return Stage(_read_method(method, path), StopConditions())


def _read_method(method: object, path: str) -> Rule:
    if isinstance(method, Rule):
        return method if isinstance(method, MethodConfig) else _without_default_decay(method)
    kinds = [str(each.model_fields["kind"].default) for each in (*METHODS, *ALL_RULES)]
    if isinstance(method, str):
        if method not in kinds:
            raise _problem(path, choice_message(kinds, method))
        method = {"kind": method}
    if not isinstance(method, Mapping):
        raise _problem(
            path, f"must be a name, a mapping with a kind, a rule or a list of stages, got {describe_argument(method)}"
        )
    kind = method.get("kind")
    if kind is None:
        raise _problem(f"{path}.kind", f"required; one of {', '.join(kinds)}")
    holder: type[Any] = _Method if kind in ("lbfgs", "cg") else _RuleMethod
    try:
        found: Rule = holder(method=dict(method)).method
    except ConfigError as error:
        raise errors_below(path, error, "method") from None
    return found if isinstance(found, MethodConfig) else _without_default_decay(found)


def _without_default_decay(rule: Rule) -> Rule:
    """Return a rule without weight decay unless it was given: with decay, the minimum is that of another function."""
    return rule if "λ" in rule.model_fields_set else rule.model_copy(update={"λ": 0.0})


def _problem(path: str, message: str) -> ConfigError:
    return ConfigError([ConfigProblem(path, message)])
