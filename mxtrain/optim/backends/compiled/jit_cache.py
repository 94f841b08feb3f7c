"""On-disk cache of compiled machine code, verified by SHA-256 before it is unpickled or run.

The cache folder is `machine_code` in `MXTRAIN_CACHE_DIR`, or by default in `mxtrain` in the user's cache folder:
`~/.cache` or `XDG_CACHE_HOME`, and `LOCALAPPDATA` on Windows.

Numba's own cache is not used because it unpickles any file that it finds. A cache file holds the SHA-256 of its cache
key and content, followed by the content, which is Numba's pickled compile result. The cache key covers everything that
the code depends on. A file that is damaged, truncated or misplaced does not match, and the code is compiled again. The
cache folder is writable only by its owner.
"""

import os
import pickle
import stat
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
from numba.core import caching, serialize, sigutils
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult

from mxtrain.atomic_io import write_file
from mxtrain.errors import CacheWarning

if getattr(numba.config, "DISABLE_JIT", False):
    raise ImportError("NUMBA_DISABLE_JIT disables the compiler")

# Any, because Numba has no type annotations.
_Base: Any = caching._Cache
_Result: Any = CompileResult
_normalize: Any = sigutils.normalize_signature
_dumps: Any = serialize.dumps

_CODE_FOLDER = "machine_code"
_MAX_FILE_SIZE = 1 << 26
"""Size of the largest file that is read, in bytes; a compiled loop has tens of thousands."""
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_DIGEST_SIZE = 32


def cache_folder() -> Path:
    """Return MXTRAIN_CACHE_DIR if it is set, or the folder `mxtrain` in the user's cache folder."""
    setting = os.environ.get("MXTRAIN_CACHE_DIR")
    if setting:
        return Path(setting)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "mxtrain"
    setting = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(setting) if Path(setting).is_absolute() else Path.home() / ".cache") / "mxtrain"


def code_folder() -> Path | None:
    """Return the folder of compiled machine code, created with mode 0700; None if it cannot be created or trusted.

    Warns once if the folder, or the cache folder that contains it, belongs to another user or is writable by others.
    """
    root = cache_folder().absolute()
    folder = root / _CODE_FOLDER
    try:
        for path in (*reversed(root.parents), root, folder):
            if not path.is_dir():
                path.mkdir(mode=0o700, exist_ok=True)
        for path in (root, folder):
            if reason := _reason_to_distrust(path):
                _warn_once(f"compiled code is not cached: the folder {path} {reason}")
                return None
    except OSError:
        return None
    return folder


def _read_private(path: Path) -> bytes | None:
    """Return the content of a file in the code folder; None if it is missing or may have been written by others."""
    flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | sum(flags)), "rb") as file:
            status = os.fstat(file.fileno())
            if (
                not stat.S_ISREG(status.st_mode)
                or status.st_size > _MAX_FILE_SIZE
                or _reason_to_distrust_status(status)
            ):
                return None
            return file.read()
    except OSError:
        return None


def _reason_to_distrust(path: Path) -> str | None:
    """Return the reason not to trust a folder; None if only this user, or root, can write to it."""
    if path.is_symlink() and not _has_trusted_owner(path.lstat()):
        return "is a symbolic link of another user; remove it, or set MXTRAIN_CACHE_DIR to a folder that you own"
    return _reason_to_distrust_status(path.stat())


def _reason_to_distrust_status(status: os.stat_result) -> str | None:
    if not _has_trusted_owner(status):
        return "belongs to another user; set MXTRAIN_CACHE_DIR to a folder that you own"
    if sys.platform != "win32" and status.st_mode & _WRITABLE_BY_OTHERS:
        return "is writable by other users; remove it, or set MXTRAIN_CACHE_DIR to a folder that only you can write to"
    return None


def _has_trusted_owner(status: os.stat_result) -> bool:
    return sys.platform == "win32" or status.st_uid in (0, os.geteuid())


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, CacheWarning, stacklevel=2)


def compile_function(function: Callable[..., Any], signature: Any, source: bytes | None, **options: Any) -> Any:
    """Compile a function with `njit` for one signature, or load its machine code from the cache.

    Args:
        function: a Python function.
        signature: the types of its arguments and its result.
        source: the source of everything that is compiled into the function, which is part of the cache key; if None,
            nothing is cached.
        options: options of `njit`.
    """
    with suppress(Exception):  # an unsupported version of Numba; errors of the function itself are raised again below
        dispatcher = numba.njit(**options)(function)
        dispatcher._cache = _CodeCache(function, source, options)
        dispatcher.compile(signature)
        dispatcher.disable_compile()
        return dispatcher
    return numba.njit(signature, **options)(function)


def compile_callback(function: Callable[..., Any], signature: Any, source: bytes | None, **options: Any) -> Any:
    """Compile a C callback with `cfunc`, or load its machine code from the cache; see `compile_function`."""
    with suppress(Exception):
        callback: Any = CFunc(function, _normalize(signature), locals={}, options=options)
        callback._cache = _CodeCache(function, source, options)
        callback.compile()
        return callback
    return numba.cfunc(signature, **options)(function)


def compile_generated_loop(name: str, source: str, scalars: np.dtype[Any], dtype: np.dtype[Any]) -> Any:
    """Compile the `loop` of a module that `codegen_numba` generated, or load its machine code from the cache.

    Args:
        name: the name of the program.
        source: the source of the module.
        scalars: the dtype of its scalars.
        dtype: the dtype of its arrays.
    """
    pointer: Any = numba.types.CPointer
    element, arrays = pointer(numba.from_dtype(scalars)), pointer(pointer(numba.from_dtype(dtype)))
    number = numba.types.int64
    signature = numba.void(element, arrays, pointer(number), number, number, number)
    return compile_callback(load_module(name, source).loop, signature, source.encode(), error_model="numpy")


def load_module(name: str, source: str) -> ModuleType:
    """Execute a generated source as a module in `sys.modules`, where Numba's cached code looks it up by name.

    The source is executed from memory, because a file could be changed or have a stale `.pyc`.
    """
    module = ModuleType(f"mxtrain_loop_{name}_{sha256(source.encode()).hexdigest()[:16]}")
    exec(compile(source, f"<{name}, printed by mxtrain>", "exec"), module.__dict__)
    sys.modules[module.__name__] = module
    return module


@cache
def read_sources(*files: str | None) -> bytes | None:
    """Return the joined source text of modules; None if one has no source file, as in a frozen program.

    Args:
        files: the `__file__` of each module.
    """
    try:
        return b"\0".join(Path(str(file)).read_bytes() for file in files)
    except OSError:
        return None


class _CodeCache(_Base):  # type: ignore[misc]
    """Numba cache of one function, with a checksum in each file."""

    def __init__(self, function: Callable[..., Any], source: bytes | None, options: dict[str, Any]) -> None:
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self._folder = code_folder() if source is not None else None
        versions = numba.__version__, sys.implementation.cache_tag, sys.abiflags if hasattr(sys, "abiflags") else ""
        self._key_parts = (*versions, function.__module__, function.__qualname__, sorted(options.items()))
        self._source = sha256(source or b"").hexdigest()

    @property
    def cache_path(self) -> str | None:
        return None if self._folder is None else str(self._folder)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the cached compile result; None if there is no file, or its checksum differs."""
        if self._folder is None:
            return None
        target_context.refresh()
        path, key = self._file_and_key(signature, target_context.codegen())
        content = _read_private(path)
        if content is None or content[:_DIGEST_SIZE] != sha256(key + content[_DIGEST_SIZE:]).digest():
            return None
        with suppress(Exception):  # written by an incompatible build of Numba; compiled and written again
            return _Result._rebuild(target_context, *pickle.loads(content[_DIGEST_SIZE:]))
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Write a compile result to the cache, if Numba allows it to be cached."""
        if self._folder is None or result.library.has_dynamic_globals or any(not it.can_cache for it in result.lifted):
            return
        path, key = self._file_and_key(signature, result.codegen)
        content = _dumps(result._reduce())
        with suppress(OSError):  # the code is compiled again in the next process
            write_file(path, sha256(key + content).digest() + content, is_private=True)

    def _file_and_key(self, signature: Any, codegen: Any) -> tuple[Path, bytes]:
        """Return the file of a signature, and its cache key, which is part of the checksum."""
        key = repr((*self._key_parts, self._source, str(signature), codegen.magic_tuple())).encode()
        assert self._folder is not None
        return self._folder / f"{self._name}-{sha256(key).hexdigest()[:16]}.nbc", key

    def enable(self) -> None:
        """Do nothing, because a cache with a folder is always enabled."""

    def disable(self) -> None:
        self._folder = None

    def flush(self) -> None:
        """Do nothing, because outdated files have other names."""
