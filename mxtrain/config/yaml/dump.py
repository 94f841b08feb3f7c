"""Write a config as YAML text that reads back to the same config.

`yaml.safe_dump` is not used: by the rules of YAML 1.1 it leaves the string `1e-3` unquoted, which YAML 1.2 reads as a
number, and it cannot write lists on one line inside block mappings.
"""

import re
from collections.abc import Mapping
from typing import Any

from mxtrain.config.yaml.parser import ScalarError, parse_scalar
from mxtrain.types import Config

# A subset of what YAML allows, which is safe in every context.
_PLAIN = re.compile(r"[\w/][\w./-]*")
_NEWLINE = "\n"
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def to_yaml(config: Config) -> str:
    """Return the YAML text of a config: every field in order, including defaults; lists on one line.

    Example:
        >>> from mxtrain.optim.rules import SGD
        >>> print(to_yaml(SGD(η=0.1, η_sched={"kind": "exp"})), end="")
        kind: sgd
        η: 0.1
        λ: 0.0001
        clip: 0.0
        scale: 0.0
        η_sched:
          kind: exp
          η: null
          per: epoch
          warmup: 0
          γ: 0.9
        groups: {}
        μ: 0.0
        μ_sched: null
        nesterov: false
        form: mxnet
    """
    return mapping_to_yaml(config.to_dict())


def _mapping_lines(mapping: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for name, value in mapping.items():
        key = scalar_to_yaml(name)
        if isinstance(value, dict) and value:
            lines.append(f"{key}:")
            lines.extend(f"  {line}" for line in _mapping_lines(value))
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            lines.append(f"{key}:")
            lines.extend(f"  {line}" for item in value for line in _item_lines(item))
        elif isinstance(value, str) and _is_block(value):
            lines.append(f"{key}: |{'' if value.endswith(_NEWLINE) else '-'}")
            lines.extend(f"  {line}".rstrip(" ") for line in value.removesuffix(_NEWLINE).split(_NEWLINE))
        else:
            lines.append(f"{key}: {to_flow_style(value)}")
    return lines


def _is_block(text: str) -> bool:
    """Return True if a text of several lines can be written as a literal block that reads back unchanged."""
    lines = text.removesuffix(_NEWLINE).split(_NEWLINE)
    return (
        len(lines) > 1
        and lines[0][:1] not in ("", " ")
        and lines[-1] != ""
        and all(line.isprintable() and not line.endswith(" ") for line in lines)
    )


def _item_lines(value: Any) -> list[str]:
    """Return the lines of one item of a list."""
    if not isinstance(value, dict) or not value:
        return [f"- {to_flow_style(value)}"]
    first, *rest = _mapping_lines(value)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def to_flow_style(value: Any) -> str:
    """Return a value on one line.

    >>> to_flow_style({"kind": "mlp", "hidden": [64, [1.0]], "name": "a b"})
    '{kind: mlp, hidden: [64, [1.0]], name: "a b"}'
    """
    match value:
        case dict():
            return f"{{{', '.join(f'{scalar_to_yaml(key)}: {to_flow_style(item)}' for key, item in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(to_flow_style, value))}]"
    return scalar_to_yaml(value)


def mapping_to_yaml(mapping: Mapping[str, Any]) -> str:
    """Return the YAML text of a mapping, in the format of `to_yaml`."""
    return "".join(f"{line}\n" for line in _mapping_lines(mapping))


def scalar_to_yaml(value: None | bool | int | float | str) -> str:
    """Return a single value as YAML text."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
    return value if _is_plain(value) else f'"{"".join(map(_escaped, value))}"'


def _is_plain(text: str) -> bool:
    """Return True if a string needs no quotes to be read back as a string."""
    try:
        return _PLAIN.fullmatch(text) is not None and parse_scalar(text) == text
    except ScalarError:
        return False


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\U{ord(character):08x}"
