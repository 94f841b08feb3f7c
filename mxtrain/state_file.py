"""A saved state of an optimizer on disk: one safetensors file, whose header holds the counts."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.atomic_io import write_output
from mxtrain.errors import StateError
from mxtrain.types import Array

_HEADER = "mxtrain"


def write_state_file(path: str | os.PathLike[str], saved: Mapping[str, Any]) -> None:
    """Write what `Optimizer.state_dict` returned; the file is there whole, or as it was.

    Raises:
        OSError: the file cannot be written.
    """
    from safetensors.numpy import save

    entries: list[dict[str, Any]] = []
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for number, (index, entry) in enumerate(saved["parameters"].items()):
        entries.append({"index": index, "updates": entry["updates"], "scalars": entry["scalars"]})
        tensors |= {f"{number}/{slot}": _on_host(array) for slot, array in entry["slots"].items()}
    header = {"rule": saved["rule"], "state": saved["state"], "parameters": entries}
    content = save(tensors, {_HEADER: json.dumps(header, ensure_ascii=False)})
    write_output(Path(path), content)


def read_state_file(path: str | os.PathLike[str], asarray: Callable[[Any], Array] = np.asarray) -> dict[str, Any]:
    """What `write_state_file` wrote, for `Optimizer.load_state_dict`; `asarray` takes the arrays where they belong.

    Raises:
        StateError: the file is none of these.
        OSError: the file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = Path(path).read_bytes()
    try:
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][_HEADER])
        parameters = {
            _index(entry["index"]): {"updates": entry["updates"], "scalars": entry["scalars"], "slots": {}}
            for entry in header["parameters"]
        }
        entries = list(parameters.values())
        for name, array in tensors.items():
            number, _, slot = name.partition("/")
            entries[int(number)]["slots"][slot] = asarray(array)
    except (SafetensorError, KeyError, ValueError, TypeError, IndexError, RecursionError) as error:
        raise StateError(f"{os.fspath(path)} holds no state of an optimizer ({error})") from error
    return {"rule": header.get("rule"), "state": header.get("state"), "parameters": parameters}


def _index(index: Any) -> Any:
    """Return an index that was read from JSON, in which a tuple is a list."""
    return tuple(map(_index, index)) if isinstance(index, list) else index


def _on_host(array: Any) -> np.ndarray[Any, Any]:
    return array if isinstance(array, np.ndarray) else array.get()
