"""What a sweep searched: each value as an axis."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mxtrain.config.search.distributions import Distribution, Int, LogUniform
from mxtrain.config.search.space import Options, Parameter, Space, everything
from mxtrain.reports.charts import Value
from mxtrain.types import describe

Scale = Literal["linear", "log", "words"]
_WIDE = 50.0
"""By which factor values must spread to be taken for logarithmic, where nothing says what they were drawn from."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One value that was searched.

    Attributes:
        name: its path; inside of a choice, with the choice that it belongs to, as in `optimizer[adam].η`.
        scale: how it is drawn; `words` for values without an order of their own.
        words: of a choice, its values in the order of the file.
        values: its value by the numbers of the trials that have it.
    """

    name: str
    scale: Scale
    words: tuple[str, ...]
    values: Mapping[int, Value]

    @property
    def numbers(self) -> list[float]:
        """The values, where they are numbers."""
        return [value for value in self.values.values() if not isinstance(value, str)]

    @property
    def varies(self) -> bool:
        """Whether there is anything to compare."""
        return len(set(self.values.values())) > 1


def searched_dimensions(space: Space, rows: Sequence[Mapping[str, Any]]) -> tuple[Dimension, ...]:
    """The dimensions of a space, with what was drawn for each; a KeyError where the rows are of another one."""
    found = (_searched(parameter, rows) for parameter in everything(space.parameters))
    return tuple(dimension for dimension in found if dimension.values)


def guessed_dimensions(rows: Sequence[Mapping[str, Any]]) -> tuple[Dimension, ...]:
    """The same from nothing but the rows."""
    paths = list(dict.fromkeys(path for row in rows for path in row["params"]))
    return tuple(_guessed(path, paths, rows) for path in paths)


def plain(value: Any) -> str:
    """A value as a reader sees it.

    >>> plain([64, 64]), plain({"kind": "sgd", "clip": 0.1}), plain(0.00123456789), plain(None)
    ('[64, 64]', '{kind: sgd, clip: 0.1}', '0.001235', 'null')
    """
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {plain(item)}' for name, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(plain, value))}]"
    if isinstance(value, float):
        return f"{value:.4g}"
    return describe(value).strip("'")


def _searched(parameter: Parameter, rows: Sequence[Mapping[str, Any]]) -> Dimension:
    drawn = {row["number"]: row["drawn"][parameter.name] for row in rows if parameter.name in row["drawn"]}
    distribution = parameter.distribution
    if isinstance(distribution, Options):
        words = {repr(label): label if isinstance(label, str) else describe(label) for label in distribution.labels}
        return Dimension(
            parameter.name, "words", tuple(words.values()), {number: words[repr(it)] for number, it in drawn.items()}
        )
    values = {number: _number(distribution, it) for number, it in drawn.items()}
    is_log = isinstance(distribution, LogUniform) or (isinstance(distribution, Int) and distribution.log)
    return Dimension(parameter.name, "log" if is_log else "linear", (), values)


def _number(distribution: Distribution, drawn: Any) -> float:
    value = distribution.value(drawn)
    assert isinstance(value, int | float), "only choices are of anything else"
    return value


def _guessed(path: str, paths: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Dimension:
    inside = [other[len(path) + 1 :] for other in paths if other.startswith(f"{path}.")]
    found = {row["number"]: row["params"][path] for row in rows if path in row["params"]}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in found.values()):
        low, high = min(found.values()), max(found.values())
        is_log = low > 0 and high > _WIDE * low
        return Dimension(path, "log" if is_log else "linear", (), found)
    told = {number: _told(value, inside) for number, value in found.items()}
    return Dimension(path, "words", tuple(dict.fromkeys(sorted(told.values()))), told)


def _told(value: Any, inside: Sequence[str]) -> str:
    """A value without what is searched inside of it, which has a dimension of its own."""
    if not isinstance(value, Mapping):
        return plain(value)
    kept = json.loads(json.dumps(value))
    for path in inside:
        *above, last = path.split(".")
        holder: Any = kept
        for name in above:
            holder = holder.get(name, {}) if isinstance(holder, dict) else {}
        if isinstance(holder, dict):
            holder.pop(last, None)
    return plain(kept["kind"]) if kept.keys() == {"kind"} else plain(kept)
