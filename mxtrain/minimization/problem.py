"""Validation of the arguments of `minimize`, before the function is called."""

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.minimization.box import read_bounds
from mxtrain.minimization.checkpoint import CheckpointFile, read_interval
from mxtrain.minimization.driver import Minimization
from mxtrain.minimization.method_configs import read_stages
from mxtrain.minimization.objective import Objective
from mxtrain.minimization.stages import check_stages
from mxtrain.minimization.variables import Variables
from mxtrain.optim.stopping import Progress, read_until
from mxtrain.paths import expand_home
from mxtrain.types import Array, describe_argument


def build_minimization(
    fun: Callable[..., Any],
    x0: Any,
    method: Any = "lbfgs",
    *,
    jac: Callable[..., Any] | bool | None = None,
    args: Any = (),
    bounds: Any = None,
    until: Any = None,
    callback: Callable[..., object] | None = None,
    history: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: str = "auto",
    observer: Callable[[Progress], object] | None = None,
) -> Minimization:
    """Return a minimization that is ready to run; arguments and errors as for `mxtrain.minimize`.

    Args:
        observer: called with the progress after each iteration.
    """
    gradient_function = _check_functions(fun, jac, callback)
    check_history(history)
    interval = read_interval(checkpoint_every)
    stages, conditions = read_stages(method), read_until(until)
    variables = Variables(x0)
    box = read_bounds(bounds, variables)
    check_stages(stages, variables, box, conditions)
    file = None
    if checkpoint is not None:
        problem = {
            "method": [stage.config.to_dict() for stage in stages],
            "arrays": [f"{name} {variables.shapes[name]} {variables.dtypes[name]}" for name in variables.names],
            "bounds": None if box is None else box.digest,
            "x0": _digest(variables.initial),
        }
        file = CheckpointFile(check_checkpoint(checkpoint), interval, problem)
    arguments = args if isinstance(args, tuple) else (args,)
    return Minimization(
        Objective(fun, gradient_function, arguments, variables),
        variables,
        box,
        stages,
        conditions,
        callback=callback,
        history=history,
        checkpoint=file,
        observer=observer,
    )


def _check_functions(fun: object, jac: object, callback: object) -> Callable[..., Any] | None:
    """Check the functions, and return the one that computes the gradient; None if `fun` does."""
    if not callable(fun):
        raise _problem("fun", f"must be a function, got {describe_argument(fun)}")
    if callback is not None and not callable(callback):
        raise _problem("callback", f"must be a function, got {describe_argument(callback)}")
    if jac is None or jac is True:
        return None
    if not callable(jac):
        remedy = "let fun return (value, gradient), because mxtrain computes no finite differences"
        raise _problem("jac", f"must be a function that returns the gradient, got {describe_argument(jac)}; {remedy}")
    return jac


def check_history(history: object) -> None:
    """Check the argument `history`.

    Raises:
        ConfigError: it is not a boolean.
    """
    if not isinstance(history, bool):
        raise _problem("history", f"must be true or false, got {describe_argument(history)}")


def check_checkpoint(checkpoint: object) -> Path:
    """Return the path of the checkpoint, which may exist.

    Raises:
        ConfigError: it is not the path of a file that can be written.
    """
    if not isinstance(checkpoint, str | os.PathLike):
        raise _problem("checkpoint", f"must be the path of a file, got {describe_argument(checkpoint)}")
    path = Path(expand_home(os.fspath(checkpoint)))
    try:
        mode = path.stat().st_mode if path.parent.is_dir() else None
    except FileNotFoundError:
        if not os.access(path.parent, os.W_OK):
            raise _problem("checkpoint", f"the folder {path.parent} is not writable; choose another") from None
        return path
    except OSError as error:
        raise _problem("checkpoint", f"cannot be read: {error.strerror}") from None
    except ValueError as error:  # a null character
        raise _problem("checkpoint", f"must be the path of a file: {error}") from None
    if mode is None:
        raise _problem("checkpoint", f"there is no folder {path.parent}; create it first")
    if not stat.S_ISREG(mode):
        what = "folder" if stat.S_ISDIR(mode) else "pipe or device"
        raise _problem("checkpoint", f"must be the path of a file, got the {what} {path}")
    return path


def _digest(vector: Array) -> str:
    host = vector if isinstance(vector, np.ndarray) else vector.get()
    return hashlib.sha256(host.tobytes()).hexdigest()


def _problem(path: str, message: str) -> ConfigError:
    return ConfigError([ConfigProblem(path, message)])
