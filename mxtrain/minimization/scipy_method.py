"""Methods of mxtrain as custom methods of `scipy.optimize.minimize`."""

import warnings
from collections.abc import Callable
from typing import Any

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.minimization.checkpoint import read_interval
from mxtrain.minimization.method_configs import read_stages
from mxtrain.minimization.problem import build_minimization, check_checkpoint, check_history
from mxtrain.minimization.result import MinimizeResult
from mxtrain.names import nearest
from mxtrain.optim.stopping import read_until

_OPTIONS = {"maxiter": "max_iterations", "maxfun": "max_evaluations"}
"""SciPy's names of options, and the conditions of `until` that they set."""
_IGNORED = ("return_all", "iprint")
_SETTINGS = ("history", "checkpoint", "checkpoint_every")
_TOLERANCES = ("gtol", "ftol", "xtol")


def scipy_method(method: Any = "lbfgs", *, until: Any = None, **settings: Any) -> Callable[..., MinimizeResult]:
    """Return a method for `scipy.optimize.minimize(fun, x0, jac=..., method=...)`.

    SciPy passes on `bounds`, `callback`, `args`, `tol` and `options`: `maxiter`, `maxfun`, `gtol`, `ftol`, `xtol` and
    `target` set conditions of `until`; `tol` sets the tolerances that the method has by default.

    Args:
        method: a method, or a list of stages, as for `mxtrain.minimize`.
        until: stop conditions, as for `mxtrain.minimize`; those of `options` replace them.
        settings: `history`, `checkpoint` and `checkpoint_every`, as for `mxtrain.minimize`.

    Raises:
        ConfigError: a value is wrong, or a setting is unknown. When it is called: there is no gradient, or an option is
            unknown.

    Warns:
        RuntimeWarning: when it is called with `hess`, `hessp` or the option `disp`, which it does not use.

    Example:
        >>> import mxtrain, numpy as np, scipy.optimize
        >>> def f(x):
        ...     return ((x - 3) ** 2).sum(), 2 * (x - 3)
        >>> result = scipy.optimize.minimize(f, np.zeros(2), jac=True, method=mxtrain.scipy_method("lbfgs"))
        >>> result.success, result.x.round(6)
        (True, array([3., 3.]))
    """
    stages, conditions = read_stages(method), read_until(until)
    _check_settings(settings)

    def run(fun: Any, x0: Any, args: Any = (), **given: Any) -> MinimizeResult:
        bounds, callback, jac = (given.pop(name, None) for name in ("bounds", "callback", "jac"))
        _refuse(given, stages[-1].config.kind)
        changed = _conditions(given, stages[-1].defaults)
        if not callable(jac):
            raise _problem("jac", "needs the gradient; pass jac=True if fun returns (value, gradient), or a function")
        return build_minimization(
            fun,
            x0,
            method,
            jac=jac,
            args=args,
            bounds=bounds,
            until=conditions.model_copy(update=changed),
            callback=callback,
            **settings,
        ).run()

    return run


def _check_settings(settings: dict[str, Any]) -> None:
    """Check the settings of `minimize` before the method is used."""
    for name in settings:
        if name not in _SETTINGS:
            guess = nearest(name, _SETTINGS)
            remedy = f"did you mean {guess}?" if guess else f"the settings are {', '.join(_SETTINGS)}"
            raise _problem(name, f"unknown setting; {remedy}")
    check_history(settings.get("history", False))
    read_interval(settings.get("checkpoint_every", "auto"))
    if settings.get("checkpoint") is not None:
        check_checkpoint(settings["checkpoint"])


def _refuse(given: dict[str, Any], kind: str) -> None:
    """Remove what the methods do not use, with a warning, and refuse what would change the problem."""
    has_hessian = [given.pop(name, None) is not None for name in ("hess", "hessp")]
    unused = ["Hessian information (hess, hessp)"] if any(has_hessian) else []
    if given.pop("disp", None):
        unused.append("the option disp; mxtrain.minimize has progress=True")
    for what in unused:
        warnings.warn(f"Method {kind} does not use {what}.", RuntimeWarning, stacklevel=4)
    for name in _IGNORED:
        given.pop(name, None)
    constraints = given.pop("constraints", ())
    if not isinstance(constraints, tuple | list) or constraints:
        raise _problem("constraints", "are not supported; use bounds, or a method of SciPy")


def _conditions(given: dict[str, Any], defaults: Any) -> dict[str, Any]:
    """Return the stop conditions that SciPy's options set."""
    tolerance = given.pop("tol", None)
    values: dict[str, Any] = {}
    if tolerance is not None:
        values = {name: tolerance for name in _TOLERANCES if getattr(defaults, name) is not None}
    for name, value in given.items():
        wanted = _OPTIONS.get(name, name)
        if wanted not in ("max_iterations", "max_evaluations", "target", *_TOLERANCES):
            names = ", ".join(("maxiter", "maxfun", *_TOLERANCES, "target"))
            raise _problem(f"options.{name}", f"unknown option; the options are {names}")
        values[wanted] = value
    found = read_until(values, "options")
    return {name: getattr(found, name) for name in values}


def _problem(path: str, message: str) -> ConfigError:
    return ConfigError([ConfigProblem(path, message)])
