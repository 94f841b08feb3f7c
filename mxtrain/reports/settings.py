"""A config as a reader looks at it: what was left to its default, and what was not."""

from typing import Any

from mxtrain.config import RunConfig, to_yaml
from mxtrain.names import spelling
from mxtrain.reports.page import Html, text
from mxtrain.types import Config, describe


def marked_config(config: RunConfig) -> Html:
    """The config in YAML, with each value that differs from its default marked, and the default beside it."""
    marks = differing(config)
    above: list[str] = []
    told = []
    for line in to_yaml(config).splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        above[depth:] = [line.strip().partition(":")[0]]
        default = marks.get(".".join(above))
        was = f'<span class="was">  # default: {text(default)}</span>' if default else ""
        kind = "line" if default is None else "line set"
        told.append(f'<span class="{kind}">{text(line)}{was}</span>')
    return Html(f"<pre>{''.join(told)}</pre>")


def differing(config: RunConfig) -> dict[str, str]:
    """Which values are not left to their defaults, by their paths; with the default, or nothing where there is none.

    >>> from mxtrain.config import run_from_dict
    >>> differing(run_from_dict({
    ...     "data": {"source": "digits", "batch_size": 64}, "model": {"kind": "linear"},
    ...     "loss": "softmax_cross_entropy", "optimizer": {"kind": "adam"}}).resolve())["data.batch_size"]
    '32'
    """
    found = _differing(config, "")
    resolved = {
        "optimizer.scale": config.optimizer.scale == 1 / config.data.batch_size,
        "threads": True,
        "data.standardize": config.data == config.data.model_copy(update={"standardize": None}).resolve(),
    }
    return {path: default for path, default in found.items() if not resolved.get(path, False)}


def _differing(config: Config, above: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, field in type(config).model_fields.items():
        path, value = f"{above}{spelling(name)}", getattr(config, name)
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(value, Config):
            found |= _differing(value, f"{path}.")
            if type(default) is not type(value):
                found |= {} if field.is_required() else {path: _plain(default)}
                found |= {f"{path}.kind": ""} if "kind" in type(value).model_fields else {}
        elif field.is_required():
            found[path] = ""
        elif value != default:
            found[path] = _plain(default)
    return found


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return "another kind" if isinstance(value, Config) else describe(value).strip("'")
