"""Checkpoint file of `minimize`: one safetensors file whose header holds the counts."""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.atomic_io import read_safetensors, write_file
from mxtrain.errors import ConfigError, ConfigProblem, StateError
from mxtrain.optim.backends import array_kind
from mxtrain.types import describe

FORMAT = 1
_METADATA_KEY = "mxtrain.minimize"
_DIGEST_KEY = "sha256"
_ARRAY = "$array"
_LONGEST_TEXT = 60
_INTERVAL = re.compile(r"([1-9]\d{0,8}) (iteration|second|minute)s?")
MAX_TIME_FRACTION = 0.02
"""Largest fraction of the time that checkpoints may take with `auto`."""
FIRST_GUESS = 0.02
"""Assumed seconds for the first checkpoint: with `auto` it is due after a second."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Interval between checkpoints: a number of iterations or of seconds; both None for `auto`."""

    iterations: int | None = None
    seconds: float | None = None


def read_interval(value: object) -> Interval:
    """Read the argument `checkpoint_every`.

    Raises:
        ConfigError: it is none of the accepted forms.

    Example:
        >>> read_interval("100 iterations"), read_interval("5 minutes").seconds
        (Interval(iterations=100, seconds=None), 300.0)
    """
    if value == "auto":
        return Interval()
    match = _INTERVAL.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        message = (
            f"must be auto, or a count and a unit, such as '100 iterations' or '30 seconds', got {describe(value)}"
        )
        raise ConfigError([ConfigProblem("checkpoint_every", message)])
    count = int(match[1])
    if match[2] == "iteration":
        return Interval(iterations=count)
    return Interval(seconds=count * (60.0 if match[2] == "minute" else 1.0))


class CheckpointFile:
    """A checkpoint file: when it is written, its content, and the problem that it belongs to.

    Args:
        path: the file.
        interval: when it is written.
        problem: plain values that identify the problem; a file of another problem is refused.
    """

    def __init__(self, path: Path, interval: Interval, problem: Mapping[str, Any]) -> None:
        self.path, self._interval, self._problem = path, interval, json.loads(json.dumps(problem))
        self._saved_at, self._cost = time.monotonic(), FIRST_GUESS

    def load(self, asarray: Callable[[Any], Any]) -> dict[str, Any] | None:
        """Return the saved state; None if the file does not exist.

        Args:
            asarray: converts NumPy arrays to those of the device.

        Raises:
            StateError: the file is damaged, or belongs to another problem.
            OSError: it cannot be read.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            content = read_safetensors(self.path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StateError(
                f"{self.path} is not a checkpoint of minimize: {error}; remove it to start again"
            ) from None
        try:
            tensors = load(content)
            size = int.from_bytes(content[:8], "little")
            metadata = json.loads(content[8 : 8 + size])["__metadata__"]
            text, digest = metadata[_METADATA_KEY], metadata[_DIGEST_KEY]
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            message = f"{self.path} is not a checkpoint of minimize ({error}); remove it to start again"
            raise StateError(message) from error
        if digest != _digest(text, tensors):
            raise StateError(f"{self.path} is damaged: its SHA-256 has changed; remove it to start again")
        header = json.loads(text)
        if header["format"] != FORMAT:
            found = f"format {header['format']}, expected {FORMAT}"
            raise StateError(f"{self.path} is not a checkpoint of minimize ({found}); remove it to start again")
        self._check_problem(header["problem"])
        return dict(_restore(header["state"], tensors, asarray))

    def is_due(self, iterations: int) -> bool:
        """Return whether a checkpoint is due after an iteration."""
        if self._interval.iterations is not None:
            return iterations % self._interval.iterations == 0
        passed = time.monotonic() - self._saved_at
        return passed >= (self._cost / MAX_TIME_FRACTION if self._interval.seconds is None else self._interval.seconds)

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file atomically.

        Raises:
            OSError: it cannot be written; an old file is unchanged.
        """
        from safetensors.numpy import save

        begin = time.monotonic()
        tensors: dict[str, Any] = {}
        header = {"format": FORMAT, "problem": self._problem, "state": _extract(state, "", tensors)}
        text = json.dumps(header, ensure_ascii=False)
        write_file(self.path, save(tensors, {_METADATA_KEY: text, _DIGEST_KEY: _digest(text, tensors)}))
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - begin

    def _check_problem(self, found: Mapping[str, Any]) -> None:
        for name, value in self._problem.items():
            if found.get(name) != value:
                raise StateError(
                    f"{self.path} is a checkpoint of another problem: {_difference(name, found.get(name), value)}; "
                    "use another file, or remove it to start again"
                )


def _digest(text: str, tensors: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the content of a file."""
    result = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        result.update(f"{name} {array.dtype} {array.shape}".encode())
        result.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return result.hexdigest()


def _difference(name: str, before: Any, after: Any) -> str:
    """Describe the first difference of two plain values."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        before, after = next((a, b) for a, b in zip(before, after, strict=True) if a != b)
    if isinstance(before, dict) and isinstance(after, dict):
        name = next(key for key in {**before, **after} if before.get(key) != after.get(key))
        before, after = before.get(name), after.get(name)
    texts = [str(each) if isinstance(each, str) else describe(each) for each in (before, after)]
    if any(len(text) > _LONGEST_TEXT for text in texts) or texts[0] == texts[1]:  # SHA-256
        return f"{name} has changed"
    return f"{name} was {texts[0]}, and is now {texts[1]}"


def _extract(value: Any, path: str, tensors: dict[str, Any]) -> Any:
    """Return plain values with arrays replaced by the names under which they are stored."""
    if array_kind(value) is not None:
        array = value if isinstance(value, np.ndarray) else value.get()
        name = f"{len(tensors)}/{path}"  # two paths may be equal, because names of parameters may contain a slash
        tensors[name] = np.ascontiguousarray(array).reshape(array.shape)
        return {_ARRAY: name}
    if isinstance(value, Mapping):
        return {str(key): _extract(item, f"{path}/{key}" if path else str(key), tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_extract(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]
    return value.item() if isinstance(value, np.generic) else value


def _restore(value: Any, tensors: Mapping[str, Any], asarray: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return asarray(tensors[value[_ARRAY]])
        return {key: _restore(item, tensors, asarray) for key, item in value.items()}
    return [_restore(item, tensors, asarray) for item in value] if isinstance(value, list) else value
