"""Module search path of child processes and plugins; the current folder is searched only if the user asks for it."""

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType


def child_python() -> list[str]:
    """Return the command of a Python interpreter that does not prepend the current folder to its module path."""
    return [sys.executable, "-P"]


def child_path() -> dict[str, str]:
    """Return environment variables with which another interpreter finds the same modules as this one.

    The current folder is left out unless PYTHONPATH names it, because a `json.py` beside the data would be imported in
    place of Python's.
    """
    named = {os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}  # noqa: PTH100
    here = os.getcwd() if os.getcwd() not in named else None  # noqa: PTH109
    paths = [path for path in sys.path if path and os.path.abspath(path) != here]  # noqa: PTH100
    package = str(Path(__file__).parents[1])
    if package not in paths:  # mxtrain was imported from the current folder
        paths.append(package)
    return {"PYTHONPATH": os.pathsep.join(paths)}


def import_user_module(name: str) -> ModuleType:
    """Import a module that the user named, from the current folder before any other.

    Afterwards the folder is last in the path, for modules that are imported later; in front, its files would shadow
    modules that libraries import late.
    """
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return import_module(name)
    finally:
        sys.path.remove(here)
        if here not in sys.path:
            sys.path.append(here)
