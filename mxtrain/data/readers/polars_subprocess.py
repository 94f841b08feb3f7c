"""Script that converts a Parquet or Arrow file on stdin to an Arrow stream on stdout, and Zstandard to its lines.

`frame_files` and `table_bytes` run it in a separate process; it imports nothing from mxtrain. If Polars reports an
error, the exit status is 3 and stdout holds the message.
"""

import sys
from contextlib import suppress
from io import BytesIO

REFUSED = 3


def main(kind: str) -> int:
    """Convert the file, and return the exit status."""
    import polars as pl

    if kind == "Zstandard":
        lines = pl.read_csv(
            BytesIO(sys.stdin.buffer.read()),
            has_header=False,
            separator="\x01",
            quote_char=None,
            schema={"line": pl.String},
        )
        sys.stdout.buffer.write("\n".join(line or "" for line in lines["line"]).encode() + b"\n")
        return 0
    readers = {"Parquet": pl.read_parquet, "Arrow": pl.read_ipc, "Arrow stream": pl.read_ipc_stream}
    try:
        frame = readers[kind](BytesIO(sys.stdin.buffer.read()))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        sys.stdout.buffer.write((str(error).strip() or type(error).__name__).encode())
        return REFUSED
    frame.write_ipc_stream(sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no core dump
        if len(sys.argv) > 2:
            resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
    sys.exit(main(sys.argv[1]))
