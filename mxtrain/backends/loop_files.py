"""Where printed loops live: Numba keeps the machine code only of functions that stand in a file."""

import os
import sys
from hashlib import sha256
from pathlib import Path

from mxtrain.atomic_io import write_file


def cache_folder() -> Path:
    """MXTRAIN_CACHE_DIR where it is set, else `mxtrain` in the place that the system has for caches."""
    named = os.environ.get("MXTRAIN_CACHE_DIR")
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "mxtrain"
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if Path(named).is_absolute() else Path.home() / ".cache") / "mxtrain"


def loop_file(name: str, source: str) -> Path:
    """The file that holds exactly this source; written if it is not there yet.

    A file that is there is left alone, because its time of change is part of Numba's key.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder = cache_folder() / "loops"
    path = folder / f"{name}_{sha256(source.encode()).hexdigest()[:16]}.py"
    if not path.is_file() or path.read_bytes() != source.encode():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, source.encode())
    return path
