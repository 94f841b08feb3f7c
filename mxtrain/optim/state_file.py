"""Files of state dicts of optimizers: one safetensors file whose header holds the counts."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.atomic_io import write_output
from mxtrain.errors import StateError
from mxtrain.optim.inputs.complex_arrays import complex_view, is_complex, real_view
from mxtrain.optim.ir.wrapping import ROW_UPDATES
from mxtrain.optim.state_dict import as_numpy
from mxtrain.types import Array

_METADATA_KEY = "mxtrain"


def write_state_file(path: str | os.PathLike[str], saved: Mapping[str, Any]) -> None:
    """Write the result of `Optimizer.state_dict` atomically.

    Raises:
        OSError: the file cannot be written; an existing file is unchanged.
    """
    from safetensors.numpy import save

    entries: list[dict[str, Any]] = []
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for number, (index, entry) in enumerate(saved["parameters"].items()):
        entries.append({"index": index} | {name: value for name, value in entry.items() if name != "slots"})
        arrays = {slot: as_numpy(array) for slot, array in entry["slots"].items()}
        if any(is_complex(array.dtype) for array in arrays.values()):  # safetensors has no complex128
            entries[-1]["is_complex"] = True
            arrays = {
                slot: np.ascontiguousarray(real_view(array)) if is_complex(array.dtype) else array
                for slot, array in arrays.items()
            }
        tensors |= {f"{number}/{slot}": array for slot, array in arrays.items()}
    options = {"options": saved["options"]} if "options" in saved else {}
    header = {"rule": saved["rule"], **options, "state": saved["state"], "parameters": entries}
    content = save(tensors, {_METADATA_KEY: json.dumps(header, ensure_ascii=False)})
    write_output(Path(path), content)


def read_state_file(path: str | os.PathLike[str], asarray: Callable[[Any], Array] = np.asarray) -> dict[str, Any]:
    """Read a file of `write_state_file`, for `Optimizer.load_state_dict`.

    Args:
        path: the file.
        asarray: the function that converts NumPy arrays to those of the backend.

    Raises:
        StateError: not an optimizer state file.
        OSError: the file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = Path(path).read_bytes()
    try:
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][_METADATA_KEY])
        parameters = {
            _lists_to_tuples(entry["index"]): {
                name: entry[name] for name in ("rule", "options", "updates", "scalars") if name in entry
            }
            | {"slots": {}}
            for entry in header["parameters"]
        }
        entries = list(parameters.values())
        for name, array in tensors.items():
            number, _, slot = name.partition("/")
            is_pairs = header["parameters"][int(number)].get("is_complex", False) and slot != ROW_UPDATES
            entries[int(number)]["slots"][slot] = asarray(complex_view(array) if is_pairs else array)
    except (SafetensorError, KeyError, ValueError, TypeError, IndexError, RecursionError) as error:
        raise StateError(f"{os.fspath(path)} is not an optimizer state file ({error})") from error
    options = {"options": header["options"]} if "options" in header else {}
    return {"rule": header.get("rule"), **options, "state": header.get("state"), "parameters": parameters}


def _lists_to_tuples(index: Any) -> Any:
    """Return an index that was read from JSON, in which a tuple is a list."""
    return tuple(map(_lists_to_tuples, index)) if isinstance(index, list) else index
