"""Machine code cached on disk. The SHA-256 of a file is checked before anything in it is unpickled or run.

Numba's own cache is not used: it unpickles whatever it finds. A file here is the SHA-256 of its key and content, then
the content, Numba's pickled compile result. The key names everything that the code depends on, so a file that is
damaged, torn or in another's place does not match, and the code is compiled again.
"""

import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, serialize, sigutils
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult

from mxtrain.backends.loop_files import code_folder, read_private, write_private

if getattr(numba.config, "DISABLE_JIT", False):
    raise ImportError("NUMBA_DISABLE_JIT switches the compiler off")

_DIGEST = 32
# Numba has no annotations
_Base: Any = caching._Cache
_Result: Any = CompileResult
_normalize: Any = sigutils.normalize_signature
_dumps: Any = serialize.dumps


def compile_function(function: Callable[..., Any], signature: Any, source: bytes | None, **options: Any) -> Any:
    """Compile a function with `njit` for one signature, or load its machine code.

    Args:
        function: a Python function.
        signature: the types of its arguments and of its result.
        source: the source of everything that is compiled into it; if None, nothing is cached.
        options: those of `njit`.
    """
    with suppress(Exception):  # no folder, another Numba; an error of the function itself is raised again below
        dispatcher = numba.njit(**options)(function)
        dispatcher._cache = _CodeCache(function, source, options)
        dispatcher.compile(signature)
        dispatcher.disable_compile()
        return dispatcher
    return numba.njit(signature, **options)(function)


def compile_callback(function: Callable[..., Any], signature: Any, source: bytes | None, **options: Any) -> Any:
    """Compile a C callback with `cfunc`, or load its machine code; see `compile_function`."""
    with suppress(Exception):
        callback: Any = CFunc(function, _normalize(signature), locals={}, options=options)
        callback._cache = _CodeCache(function, source, options)
        callback.compile()
        return callback
    return numba.cfunc(signature, **options)(function)


@cache
def sources(*files: str | None) -> bytes | None:
    """Return the joined source text of modules; None if one has no source, as in a frozen program.

    Args:
        files: the `__file__` of each.
    """
    try:
        return b"\0".join(Path(str(file)).read_bytes() for file in files)
    except OSError:
        return None


class _CodeCache(_Base):  # type: ignore[misc]
    """A Numba cache for one function, with a checksum in each file."""

    def __init__(self, function: Callable[..., Any], source: bytes | None, options: dict[str, Any]) -> None:
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self._folder = code_folder() if source is not None else None
        versions = numba.__version__, sys.implementation.cache_tag, sys.abiflags if hasattr(sys, "abiflags") else ""
        self._known = (*versions, function.__module__, function.__qualname__, sorted(options.items()))
        self._source = sha256(source or b"").hexdigest()

    @property
    def cache_path(self) -> str | None:
        return None if self._folder is None else str(self._folder)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the cached compile result; None if there is no file, or its checksum differs."""
        if self._folder is None:
            return None
        target_context.refresh()
        path, key = self._place(signature, target_context.codegen())
        content = read_private(path)
        if content is None or content[:_DIGEST] != sha256(key + content[_DIGEST:]).digest():
            return None
        with suppress(Exception):  # written by another Numba of this version; compiled and written again
            return _Result._rebuild(target_context, *pickle.loads(content[_DIGEST:]))
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Write a compile result if it can be cached."""
        if self._folder is None or result.library.has_dynamic_globals or any(not it.can_cache for it in result.lifted):
            return
        path, key = self._place(signature, result.codegen)
        content = _dumps(result._reduce())
        write_private(path, sha256(key + content).digest() + content)

    def _place(self, signature: Any, codegen: Any) -> tuple[Path, bytes]:
        """Return the file of a signature, and the key that is part of its checksum."""
        key = repr((*self._known, self._source, str(signature), codegen.magic_tuple())).encode()
        assert self._folder is not None
        return self._folder / f"{self._name}-{sha256(key).hexdigest()[:16]}.nbc", key

    def enable(self) -> None:
        """Do nothing: a cache with a folder is enabled."""

    def disable(self) -> None:
        self._folder = None

    def flush(self) -> None:
        """Do nothing: stale files have other names."""
