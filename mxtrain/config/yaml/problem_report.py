"""Collect the problems of a config, so that all of them are reported at once."""

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from mxtrain.errors import ConfigError, ConfigProblem, Location

MAX_PROBLEMS = 100
"""A config with more problems than this is not a config; the rest are counted."""


class ProblemReport:
    """The problems found so far, and the sources that were opened, in order.

    Attributes:
        spell: replaces the names in the paths of later problems by those that the user typed.
    """

    def __init__(self) -> None:
        self.spell: Callable[[str], str] = lambda path: path
        self._problems: list[ConfigProblem] = []
        self._omitted = 0
        self._sources: dict[str, int] = {}

    @property
    def is_full(self) -> bool:
        """Whether further problems are only counted."""
        return len(self._problems) >= MAX_PROBLEMS

    @property
    def problems(self) -> tuple[ConfigProblem, ...]:
        """The problems found so far."""
        return tuple(self._problems)

    def open(self, source: str) -> None:
        """A source is read from here on; problems are told in the order in which sources were opened."""
        self._sources.setdefault(source, len(self._sources))

    def add(self, path: str, message: str, location: Location | None = None) -> None:
        """Something is wrong; reading goes on, to find what else is."""
        if self.is_full:
            self._omitted += 1
        else:
            self._problems.append(ConfigProblem(self.spell(path), message, location))

    def count_omitted(self, count: int) -> None:
        """So many further problems are not worth telling."""
        self._omitted += count

    def fail(self, path: str, message: str, location: Location | None = None) -> NoReturn:
        """Something is wrong that leaves nothing to read on with."""
        self._problems.append(ConfigProblem(self.spell(path), message, location))
        raise self.error()

    def nest_under(self, name: str) -> None:
        """What was read turns out to be the value of a field: let the paths so far say so."""
        self._problems = [replace(problem, path=f"{name}.{problem.path}".rstrip(".")) for problem in self._problems]

    def check(self) -> None:
        """Raise whatever was found."""
        if self._problems:
            raise self.error()

    def error(self) -> ConfigError:
        """All problems, in reading order."""
        problems = sorted(self._problems, key=self._reading_order)
        if self._omitted:
            problems.append(ConfigProblem("", f"and {self._omitted} more problems"))
        return ConfigError(problems)

    def _reading_order(self, problem: ConfigProblem) -> tuple[int, int, int]:
        location = problem.location
        if location is None:
            return (0, 0, 0)
        return (self._sources.get(location.source, len(self._sources)), location.line, location.column)
