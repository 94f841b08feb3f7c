"""Marks of the increments that rules add to weights, which wrappers such as `cautious` replace."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

Replacement: TypeAlias = Callable[[Any, bool], Any]
"""A function of an increment, and of whether it is negated, that returns the increment to use."""

_replacement: ContextVar[Replacement | None] = ContextVar("replacement", default=None)


def increment(change: Any, *, negated: bool = False) -> Any:
    """Mark what a rule adds to a weight, without its decoupled decay: `return W + (decay * W + increment(change)), m`.

    It returns its argument, unless a wrapper replaces increments: `cautious` masks them, and `decoupled` adds the decay
    to them. A rule without marks is treated as if it had marked the whole change of the weight.

    Args:
        change: the increment, as a symbol or an array.
        negated: the rule subtracts the marked value, or adds it with a negative factor.

    >>> increment(2.0)
    2.0
    """
    replace = _replacement.get()
    return change if replace is None else replace(change, negated)


@contextmanager
def replacing_increments(replace: Replacement | None) -> Iterator[None]:
    """Replace the increments that are marked inside the block; None leaves them unchanged."""
    token = _replacement.set(replace)
    try:
        yield
    finally:
        _replacement.reset(token)
