"""First values of slots that are expressions of hyperparameters."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from mxtrain.optim.formula.compiler import compile_start
from mxtrain.optim.formula.definition import Definition, definition_of
from mxtrain.optim.formula.host_scalars import host_function
from mxtrain.optim.formula.parser import parse_expression
from mxtrain.optim.formula.syntax import TextProblem, canonical

WEIGHT = "W"
"""The first value of a slot that is a copy of the weight."""


def start_problems(values: Mapping[str, Any]) -> Iterator[TextProblem]:
    """Yield the problems of the expressions in `slots` and `scalars`.

    Args:
        values: the fields of a formula as given, not validated yet.
    """
    definition = definition_of(values)
    for field in ("slots", "scalars"):
        given = values.get(field)
        for name, text in given.items() if isinstance(given, Mapping) else ():
            if isinstance(text, str) and not (field == "slots" and text == WEIGHT):
                yield from _problems(text, f"{field}.{name}", definition)


def _problems(text: str, field: str, definition: Definition) -> Iterator[TextProblem]:
    expression, problems = parse_expression(text, field)
    yield from problems
    if expression is not None:
        yield from compile_start(expression, definition)[1]


@lru_cache(maxsize=256)
def start_function(text: str, let: tuple[str, ...]) -> Callable[[dict[str, Any]], float]:
    """Return the function from hyperparameters to the value of a valid expression.

    >>> start_function("η/2 + β", ("β",))({"η": 0.5, "β": 1.0})
    1.25
    """
    expression, _ = parse_expression(text, "slots")
    compiled = None if expression is None else compile_start(expression, Definition("", tuple(map(canonical, let))))[0]
    assert compiled is not None, "a formula is checked when its rule is made"
    return host_function(compiled)
