"""Files are written atomically, without following links, and only regular files are read."""

import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from mxtrain.atomic_io import (
    append_file,
    extend_file,
    make_folder,
    open_output,
    read_file,
    read_safetensors,
    remove_temporary_files,
    temporary_path,
    write_file,
    write_output,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such links and permissions")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").write_text("precious")
    return tmp_path / "outside"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def test_a_link_is_replaced_and_not_followed(here: Path, outside: Path) -> None:
    for place in (here / "symbolic", here / "hard", here / "dangling"):
        match place.name:
            case "symbolic":
                place.symlink_to(outside)
            case "hard":
                place.hardlink_to(outside)
            case "dangling":
                place.symlink_to(here.parent / "missing")
        write_file(place, b"new")
        assert (place.read_bytes(), place.is_symlink()) == (b"new", False)
    assert outside.read_text() == "precious"
    assert not (here.parent / "missing").exists()


def test_an_existing_file_with_a_temporary_name_is_not_written_to(here: Path, outside: Path) -> None:
    (here / ".file.tmp").symlink_to(outside)
    write_file(here / "file", b"new")
    assert outside.read_text() == "precious"
    assert len({temporary_path(here / "file") for _ in range(100)}) == 100


@pytest.mark.parametrize("change", [lambda path: append_file(path, b"x"), lambda path: extend_file(path, 0, b"x")])
def test_a_file_is_not_extended_through_a_link_or_into_a_pipe(change, here: Path, outside: Path) -> None:
    (here / "link").symlink_to(outside)
    os.mkfifo(here / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError, match="must be a regular file"):
            change(here / name)
    assert outside.read_text() == "precious"


def test_an_output_follows_the_link_of_the_user_and_keeps_its_mode(here: Path, outside: Path) -> None:
    outside.chmod(0o640)
    (here / "link").symlink_to(outside)
    write_output(here / "link", b"new")
    assert (here / "link").is_symlink()
    assert (outside.read_bytes(), stat.S_IMODE(outside.stat().st_mode)) == (b"new", 0o640)
    assert not list(outside.parent.glob(".*"))


def test_an_output_that_the_shell_opened_is_appended_to(here: Path) -> None:
    with (here / "log").open("w") as log:
        log.write("before\n")
        log.flush()
        inode = (here / "log").stat().st_ino
        write_output(Path(f"/dev/fd/{log.fileno()}"), b"after\n")
    assert ((here / "log").read_text(), (here / "log").stat().st_ino) == ("before\nafter\n", inode)


def test_a_private_file_is_private_from_its_first_byte(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: modes.append(os.fstat(fd).st_mode & 0o777) or write(fd, data))
    write_file(here / "file", b"secret", is_private=True)
    assert modes == [0o600]


def test_writers_of_one_file_do_not_disturb_each_other(here: Path) -> None:
    barrier = threading.Barrier(6)

    def write(number: int) -> None:
        barrier.wait()
        for _ in range(5):
            write_output(here / "out.csv", bytes([number]) * 10_000)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    content = (here / "out.csv").read_bytes()
    assert content == content[:1] * 10_000
    assert [path.name for path in here.iterdir()] == ["out.csv"]


def test_a_failed_write_leaves_the_old_file_and_names_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file(here / "file", b"old")

    def fails(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("write", "fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fails)
            with pytest.raises(OSError, match="No space") as raised:
                write_file(here / "file", b"new")
        assert raised.value.filename == str(here / "file")
        assert (here / "file").read_bytes() == b"old"
        assert [path.name for path in here.iterdir()] == ["file"]


def test_temporary_files_of_killed_processes_are_removed_and_others_are_not(here: Path, outside: Path) -> None:
    stale, other, fresh = here / f".out.{'0' * 16}.tmp", here / f".mine.{'0' * 16}.tmp", here / f".out.{'1' * 16}.tmp"
    for path in (stale, other, fresh):
        path.write_text("half")
    (here / ".out.tmp").symlink_to(outside)
    hours_ago = time.time() - 7200
    for path in (stale, other):
        os.utime(path, (hours_ago, hours_ago))
    write_output(here / "out", b"new")
    assert sorted(path.name for path in here.iterdir()) == sorted([".out.tmp", other.name, fresh.name, "out"])
    remove_temporary_files(here, ["out"])
    assert sorted(path.name for path in here.iterdir()) == [other.name, "out"]
    assert outside.read_text() == "precious"


def test_long_names_can_be_written(here: Path) -> None:
    for name in ("x" * 255, "ä" * 127):
        write_output(here / name, b"new")
        assert (here / name).read_bytes() == b"new"


def test_only_regular_files_of_a_bounded_size_are_read(here: Path) -> None:
    os.mkfifo(here / "pipe")
    (here / "device").symlink_to("/dev/zero")
    (here / "folder").mkdir()
    with (here / "huge").open("wb") as file:
        file.truncate(2**40)
    for name, message in {"pipe": "a pipe", "device": "a device", "folder": "a folder", "huge": "larger than"}.items():
        with pytest.raises(OSError, match=message):
            read_file(here / name)
    (here / "file").write_bytes(b"x" * 10)
    assert read_file(here / "file", 10) == b"x" * 10
    with pytest.raises(OSError, match="larger than 0 KiB"):
        read_file(here / "file", 9)


def test_a_safetensors_file_has_the_size_that_its_header_says(here: Path) -> None:
    content = save({"a": np.ones(3, "f4"), "b": np.ones((2, 2))})
    (here / "good").write_bytes(content)
    assert read_safetensors(here / "good") == content
    (here / "none").write_bytes(save({}))
    assert read_safetensors(here / "none") == save({})
    for damaged in (content[:-1], content + b"x", b"", b"\xff" * 100, content[:20]):
        (here / "bad").write_bytes(damaged)
        with pytest.raises(ValueError, match="safetensors header"):
            read_safetensors(here / "bad")
    with (here / "bad").open("wb") as file:
        file.write(content)
        file.truncate(2**40)
    with pytest.raises(ValueError, match="not as large as"):
        read_safetensors(here / "bad")


def test_a_folder_is_created_with_its_parents(here: Path) -> None:
    make_folder(here / "a" / "b" / "c")
    make_folder(here / "a" / "b" / "c")
    assert (here / "a/b/c").is_dir()
    write_file(here / "file", b"")
    with pytest.raises(FileExistsError):
        make_folder(here / "file")


def test_an_output_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "out.csv"
    with open_output(target) as stream:
        stream.write(b"a" * 100_000)
        assert not target.exists()
    assert target.read_bytes() == b"a" * 100_000
    target.chmod(0o640)
    with open_output(target) as stream:
        stream.write(b"b")
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"b", 0o640)

    def fail(error):
        with open_output(target) as stream:
            stream.write(b"c")
            raise error

    for error in (ValueError, KeyboardInterrupt, OSError):
        with pytest.raises(error):
            fail(error)
    assert target.read_bytes() == b"b"
    assert list(tmp_path.iterdir()) == [target]
    link = tmp_path / "link.csv"
    link.symlink_to(target)
    with open_output(link) as stream:
        stream.write(b"d")
    assert link.is_symlink()
    assert target.read_bytes() == b"d"
