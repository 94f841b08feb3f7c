"""SHA-256 of the data of a run, by which changed data are detected when a run is resumed or evaluated."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest, sha256
from importlib.resources import as_file, files
from pathlib import Path

from mxtrain.config.data_section import DataConfig
from mxtrain.config.data_sources import IN_MEMORY, has_ending
from mxtrain.data.dataset_config import DatasetConfig
from mxtrain.data.held_out_digest import held_out_digest
from mxtrain.data.in_memory_data import InMemoryData
from mxtrain.data.readers.open_file import open_data_file, unreadable_error
from mxtrain.data.readers.table_bytes import expand_paths


def data_fingerprint(config: DatasetConfig, given: InMemoryData | None = None) -> str:
    """Return the SHA-256 of the files of a run, and of the data that Python passes."""
    is_given = given is not None and given.columns is not None
    source = given.fingerprint() if given and is_given else fingerprint(config.data)
    lines = [source]
    for name in ("validation", "test"):
        path = getattr(config.data, name)
        if path == IN_MEMORY and given is not None:
            lines.append(f"{name} {held_out_digest(given.held_out[name], config, name)}")
        elif isinstance(path, str) and is_given:
            lines += [f"{label} {_file_digest(each)}" for label, each in _matching_files(name, path)]
    return source if len(lines) == 1 else sha256("\n".join(lines).encode()).hexdigest()


def fingerprint(config: DataConfig) -> str:
    """Return the SHA-256, in hexadecimal, of all files that a run reads: its source, and separate held-out sets.

    It is the hash of a text with a line for each file: the field of the config, in a folder or for a pattern also the
    name of the file, and the SHA-256 of its bytes. It depends neither on the folders of the files nor on their times of
    modification.

    Raises:
        DataError: a file cannot be read.

    Example:
        >>> fingerprint(DataConfig(source="digits"))[:16]
        '683d74786cbd9849'
    """
    named = list(_named_files(config))
    with ThreadPoolExecutor(2) as pool:
        digests = pool.map(_file_digest, (path for _, path in named))
        text = "".join(f"{name} {digest}\n" for (name, _), digest in zip(named, digests, strict=True))
    return sha256(text.encode()).hexdigest()


def _named_files(config: DataConfig) -> Iterator[tuple[str, Path]]:
    if not config.is_file:
        with as_file(files("mxtrain.data").joinpath("tables", f"{config.source}.npz")) as packaged:
            yield "source", packaged
        return
    paths: dict[str, float | str] = {"source": config.source, "validation": config.validation, "test": config.test}
    if has_ending(config.source, (".npy",)):
        paths["target"] = config.target_names[0]
    for name, path in paths.items():
        if not isinstance(path, str) or path == IN_MEMORY:
            continue
        if not path.endswith("/"):
            yield from _matching_files(name, path)
            continue
        try:
            members = sorted(member for member in Path(path).iterdir() if has_ending(member.name, (".npy",)))
        except OSError as error:
            raise unreadable_error(path, error) from None
        yield from ((f"{name}/{member.name}", member) for member in members)


def _matching_files(name: str, path: str) -> Iterator[tuple[str, Path]]:
    """Yield the file of a field, or the files that match its pattern, each with the field and its own name."""
    found = expand_paths(path)
    if found == [path]:
        yield name, Path(path)
        return
    yield from ((f"{name}/{Path(each).name}", Path(each)) for each in found)


def _file_digest(path: Path) -> str:
    with open_data_file(str(path)) as file:
        return file_digest(file, "sha256").hexdigest()
