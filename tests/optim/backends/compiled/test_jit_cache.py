"""The JIT cache verifies machine code before it is used, and ignores files that other users can write."""

import os
import pickle
import shutil
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.errors import CacheWarning
from mxtrain.optim.backends.compiled import jit_cache
from mxtrain.optim.backends.compiled.jit_cache import code_folder, compile_callback

SCRIPT = """
import numpy as np, mxtrain
weight, gradient = np.ones(8, dtype="float32"), np.ones(8, dtype="float32")
mxtrain.build({"kind": "adam"}, backend="compiled").update(0, gradient, weight)
print(weight[0])
"""
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="folders have no POSIX modes here")


def run_script(cache: Path) -> tuple[int, str, str]:
    environment = os.environ | {"MXTRAIN_CACHE_DIR": str(cache), "NUMBA_CACHE_DIR": str(cache)}
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    return process.returncode, process.stdout.strip(), process.stderr


def double(x: float) -> float:
    return x + x


def call_compiled() -> float:
    """Call `double`, compiled or loaded from the cache, with 3."""
    return compile_callback(double, "float64(float64)", b"", error_model="numpy").ctypes(3.0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cache folder of this process, which does not exist yet."""
    folder = tmp_path / "parent" / "cache"
    monkeypatch.setenv("MXTRAIN_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def unpickled(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Contents that are unpickled during the test."""
    seen = []
    monkeypatch.setattr(jit_cache.pickle, "loads", lambda content: seen.append(content) or pickle._loads(content))
    return seen


def test_machine_code_is_cached_with_private_permissions(cache, unpickled):
    assert call_compiled() == 6
    (file,) = (path for path in cache.rglob("*") if path.is_file())
    before = file.stat().st_mtime_ns
    assert not unpickled
    assert call_compiled() == 6
    assert len(unpickled) == 1
    assert file.stat().st_mtime_ns == before
    if sys.platform != "win32":
        for path, mode in ((cache.parent, 0o700), (cache, 0o700), (file.parent, 0o700), (file, 0o600)):
            assert stat.S_IMODE(path.stat().st_mode) == mode


def test_another_process_loads_the_code(tmp_path):
    mxtrain.build({"kind": "adam"}, backend="compiled").update(0, np.ones(8, "float32"), np.ones(8, "float32"))
    folder, own_folder = tmp_path / "machine_code", code_folder()
    folder.mkdir(mode=0o700)
    if own_folder:  # copied because it takes seconds to compile
        scheduler_files = [*own_folder.glob("scheduler.*.nbc")]
        assert scheduler_files
        for file in scheduler_files:
            shutil.copy(file, folder)
    assert run_script(tmp_path) == (0, "0.999", "")
    modified = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert any(name.startswith("mxtrain_loop_adam") for name in modified)
    assert run_script(tmp_path) == (0, "0.999", "")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == modified


def _flip_bit(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_damaged_file_is_not_unpickled_and_is_replaced(cache, unpickled):
    call_compiled()
    (file,) = (path for path in cache.rglob("*") if path.is_file())
    whole = file.read_bytes()
    size = 8 * len(whole)
    generator = np.random.default_rng(0)
    damaged = [_flip_bit(whole, int(bit)) for bit in (0, 255, 256, size - 1, *generator.integers(size, size=12))]
    damaged += [whole[:length] for length in (0, 1, 31, 32, 33, len(whole) // 2, len(whole) - 1)]
    damaged += [whole + b"\0", b"\0" * len(whole)]
    for content in damaged:
        file.write_bytes(content)
        assert call_compiled() == 6
        assert not unpickled
        assert file.read_bytes() != content
    assert call_compiled() == 6
    assert len(unpickled) == 1


def test_a_file_under_the_name_of_another_is_not_used(cache, unpickled):
    call_compiled()
    compile_callback(double, "float32(float32)", b"", error_model="numpy")
    first, second = (path for path in cache.rglob("*") if path.is_file())
    shutil.copy(first, second)
    call_compiled()
    assert compile_callback(double, "float32(float32)", b"", error_model="numpy").ctypes(3.0) == 6
    assert len(unpickled) == 1


def test_code_of_another_source_is_not_used(cache, unpickled):
    call_compiled()
    compile_callback(double, "float64(float64)", b"another", error_model="numpy")
    assert not unpickled


class MaliciousPickle:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def test_files_of_other_programs_are_not_unpickled(cache, tmp_path):
    call_compiled()
    (file,) = (path for path in cache.rglob("*") if path.is_file())
    payload = pickle.dumps(MaliciousPickle(tmp_path / "executed"))
    for content in (payload, file.read_bytes()[:32] + payload, sha256(payload).digest() + payload):
        file.write_bytes(content)
        assert call_compiled() == 6
    assert not (tmp_path / "executed").exists()


def test_code_runs_if_the_cache_cannot_be_written(cache):
    cache.parent.mkdir()
    cache.write_text("a file instead of a folder")
    assert call_compiled() == call_compiled() == 6


@POSIX
@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_can_write_to_is_not_used(mode, inner, cache, unpickled):
    call_compiled()
    (cache / "machine_code" if inner else cache).chmod(mode)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    with pytest.warns(CacheWarning, match=r"not cached: the folder .* is writable by other users; remove it, or set"):
        assert call_compiled() == 6
    assert call_compiled() == 6  # without a second warning
    assert not unpickled
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


@POSIX
@pytest.mark.parametrize("link", [False, True])
def test_permissions_of_a_linked_folder_are_checked(link, cache, tmp_path, unpickled):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    cache.parent.mkdir()
    cache.symlink_to(tmp_path / "elsewhere")
    assert call_compiled() == call_compiled() == 6
    assert len(unpickled) == 1
    (tmp_path / "elsewhere").chmod(0o777)
    with pytest.warns(CacheWarning):
        call_compiled()
    assert len(unpickled) == 1


@POSIX
@pytest.mark.parametrize("target", ["folder", "inner", "file", "link"])
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can change the owner of a file")
def test_files_of_another_user_are_not_used(target, cache, tmp_path, unpickled, monkeypatch):
    call_compiled()
    (file,) = (path for path in cache.rglob("*") if path.is_file())
    if target == "link":
        link = tmp_path / "link"
        link.symlink_to(cache)
        monkeypatch.setenv("MXTRAIN_CACHE_DIR", str(link))
    os.chown(
        {"folder": cache, "inner": file.parent, "file": file, "link": tmp_path / "link"}[target],
        12345,
        12345,
        follow_symlinks=False,
    )
    if target == "file":
        assert call_compiled() == 6
        assert file.stat().st_uid == os.geteuid(), "the file was not replaced"
    else:
        with pytest.warns(CacheWarning, match=r"another user; "):
            assert call_compiled() == 6
    assert not unpickled


@POSIX
@pytest.mark.parametrize("kind", ["writable", "link", "fifo", "folder"])
def test_a_file_that_is_not_a_private_regular_file_is_not_read(kind, cache, tmp_path, unpickled):
    call_compiled()
    (file,) = (path for path in cache.rglob("*") if path.is_file())
    if kind == "writable":
        file.chmod(0o666)
    else:
        file.rename(tmp_path / "other")
        {"link": lambda: file.symlink_to(tmp_path / "other"), "fifo": lambda: os.mkfifo(file), "folder": file.mkdir}[
            kind
        ]()
    assert call_compiled() == 6
    assert not unpickled
