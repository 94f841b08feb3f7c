"""Names of data sources, and the endings of the paths of data files."""

from mxtrain.names import nearest

CLASS_SOURCES: dict[str, bool] = {"digits": True, "diabetes": False}
"""The data sets in the package, each with True if its targets are classes."""

IN_MEMORY = "in_memory"
"""The source of a run on arrays or columns in memory, which Python passes as `data=`."""
_SOURCE_ALIASES = {"handed_over": IN_MEMORY}

_TEXT_TABLES = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".json", ".jsonl", ".ndjson")
_FRAME_TABLES = (".parquet", ".pq", ".arrow", ".feather", ".xlsx", ".xls", ".xlsb", ".ods")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
"""File name extensions of compressed files, of which each holds one table."""
TABLES = (*_TEXT_TABLES, *_FRAME_TABLES, *COMPRESSED)
"""File name extensions of tables."""
ARCHIVES = (".npz",)
"""File name extensions of archives of arrays."""
ARRAYS = (".npy", "/")
"""Endings of the paths of an array or of a folder of arrays, which are streamed from the disk batch by batch."""
_PATHS = (*TABLES, *ARCHIVES, *ARRAYS)
KNOWN_TABLES = ".csv, .tsv, .txt, .json, .jsonl, .parquet, .arrow, .xlsx, .ods, and compressed files"
"""The kinds of tables, for error messages."""


def has_ending(path: str, endings: tuple[str, ...]) -> bool:
    """Return True if a path has one of these endings, in any case.

    >>> has_ending("TRAIN.CSV", TABLES), has_ending("train.csv.gz", TABLES)
    (True, True)
    """
    return path.lower().endswith(endings)


def is_path(text: str) -> bool:
    """Return True if a text ends as the path of data does.

    >>> is_path("a/train.csv"), is_path("shards/"), is_path("digits")
    (True, True, False)
    """
    return has_ending(text, _PATHS)


def normalize_source(source: str) -> str:
    """Replace the spelling of `in_memory` in files of earlier versions.

    >>> normalize_source("handed_over"), normalize_source("digits")
    ('in_memory', 'digits')
    """
    return _SOURCE_ALIASES.get(source, source)


def similar_source(source: str) -> str | None:
    """Return the valid source that is most similar to an invalid one; None if none is similar.

    >>> similar_source("digit"), similar_source("data/train.cvs"), similar_source("train.html")
    ('digits', 'data/train.csv', None)
    """
    stem, dot, ending = source.rpartition(".")
    if not stem:
        return nearest(source, (*CLASS_SOURCES, IN_MEMORY))
    guess = nearest(ending, (known.removeprefix(".") for known in _PATHS if known.startswith(".")))
    return f"{stem}{dot}{guess}" if guess else None


def compatible_endings(source: str) -> tuple[str, ...]:
    """Return the endings of the files that may hold the validation or test data of a source.

    >>> compatible_endings("train.parquet") == TABLES, compatible_endings("shards/"), compatible_endings("digits")
    (True, ('/',), ())
    """
    if has_ending(source, TABLES):
        return TABLES
    if has_ending(source, ARCHIVES):
        return ARCHIVES
    return ("/",) if has_ending(source, ARRAYS) else ()
