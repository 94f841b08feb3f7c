"""A config as YAML text that reads back to the same config."""

import re
from typing import Any

from mxtrain.config.scalars import ScalarError, resolve
from mxtrain.types import Config

# Less than YAML allows, so that no context needs a thought.
_PLAIN = re.compile(r"[\w/][\w./-]*")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def to_yaml(config: Config) -> str:
    """The YAML text of a config: every field, defaults included, in their order; lists on one line.

    Example:
        >>> from mxtrain.optimizers import SGD
        >>> print(to_yaml(SGD(η=0.1, η_sched={"kind": "exp"})), end="")
        kind: sgd
        η: 0.1
        λ: 0.0001
        clip: 0.0
        scale: 0.0
        η_sched:
          kind: exp
          η: null
          γ: 0.9
          per: epoch
        μ: 0.0
        μ_sched: null
    """
    return "".join(f"{line}\n" for line in _lines(config.to_dict()))


def _lines(mapping: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for key, value in mapping.items():
        name = _scalar(key)
        if isinstance(value, dict) and value:
            lines.append(f"{name}:")
            lines.extend(f"  {line}" for line in _lines(value))
        else:
            lines.append(f"{name}: {_on_one_line(value)}")
    return lines


def _on_one_line(value: Any) -> str:
    match value:
        case dict():
            return f"{{{', '.join(f'{_scalar(key)}: {_on_one_line(item)}' for key, item in value.items())}}}"
        case list():
            return f"[{', '.join(map(_on_one_line, value))}]"
    return _scalar(value)


def _scalar(value: None | bool | int | float | str) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
    return value if _is_plain(value) else f'"{"".join(map(_escaped, value))}"'


def _is_plain(text: str) -> bool:
    """Whether a text may stand without quotes, and stays a text."""
    try:
        return _PLAIN.fullmatch(text) is not None and resolve(text) == text
    except ScalarError:
        return False


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\U{ord(character):08x}"
