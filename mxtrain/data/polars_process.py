"""Polars in a process of its own: of damaged files it talks at length on stderr, and some end the process it is in."""

import os
import subprocess
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from mxtrain.data.polars_child import REFUSED
from mxtrain.errors import DataError
from mxtrain.module_path import child_path, child_python


def as_arrow_stream(file: BinaryIO, source: str, kind: str) -> BytesIO:
    """The table in a file as an Arrow stream that Polars has written, and reads without harm.

    Args:
        file: the file, open at its beginning.
        source: what messages call it.
        kind: `Parquet`, `Arrow` or `Arrow stream`.

    Raises:
        DataError: it cannot be read.
    """
    child = Path(__file__).with_name("polars_child.py")
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # whatever of it is in a buffer here
    command = [*child_python(), str(child), kind]
    done = subprocess.run(
        command,
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | child_path(),
        check=False,
    )
    if done.returncode == 0:
        return BytesIO(done.stdout)
    reason = "it is damaged, or too large for this machine's memory"
    if done.returncode == REFUSED:
        reason = (done.stdout.decode(errors="replace").splitlines() or [reason])[0]
    raise DataError(f"{source}: cannot be read as {kind.split()[0]}: {reason}")
