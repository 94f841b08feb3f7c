"""Script that converts a Parquet, Arrow or spreadsheet file on stdin to an Arrow stream, and Zstandard to its lines.

`frame_files` and `table_bytes` run it in a separate process; it imports nothing from mxtrain. If Polars or
fastexcel reports an error, the exit status is 3 and stdout holds the message.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars

REFUSED = 3


_VALUE_BYTES = 16
"""Memory of a value, of which there are several copies for a short time."""


def main(kind: str, limit: int) -> int:
    """Convert the file, if its values need at most `limit` bytes, and return the exit status."""
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
    scanners: dict[str, Callable[[BytesIO], pl.LazyFrame]] = {"Parquet": pl.scan_parquet, "Arrow": pl.scan_ipc}
    content = BytesIO(sys.stdin.buffer.read())
    try:
        if kind in scanners:
            table = scanners[kind](content)
            rows, width = table.select(pl.len()).collect().item(), len(table.collect_schema())
            if rows * width * _VALUE_BYTES > limit:
                message = f"it holds {rows:,} rows of {width:,} columns, too many for this machine's memory; split it"
                sys.stdout.buffer.write(message.encode())
                return REFUSED
            content.seek(0)
        frame = _first_sheet(content.read()) if kind == "spreadsheet" else readers[kind](content)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        sys.stdout.buffer.write((str(error).strip() or type(error).__name__).encode())
        return REFUSED
    frame.write_ipc_stream(sys.stdout.buffer)
    return 0


def _first_sheet(content: bytes) -> "polars.DataFrame":
    """Return the first sheet of a spreadsheet; a ValueError if it cannot be read."""
    import fastexcel
    import polars as pl

    try:
        return pl.DataFrame(fastexcel.read_excel(content).load_sheet(0, schema_sample_rows=None).to_polars())
    except fastexcel.FastExcelError as error:
        raise ValueError(str(error)) from None


if __name__ == "__main__":
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no core dump
        largest = max(int(sys.argv[2]), 2**32)  # threads reserve addresses that they do not use
        resource.setrlimit(resource.RLIMIT_AS, (largest, largest))
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
