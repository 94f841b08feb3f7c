"""The public function `minimize`, which shows progress on a terminal."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.minimization.problem import build_minimization
from mxtrain.minimization.result import MinimizeResult
from mxtrain.optim.stopping import Progress
from mxtrain.types import describe


def minimize(
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
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: str = "auto",
) -> MinimizeResult:
    """Minimize a function by its value and gradient.

    The same arguments give the same bits, also after an interruption and on any number of threads, if `fun` does.

    Args:
        fun: `fun(x, *args)` returns the value, a real number, and the gradient, which has the structure, shapes and
            dtypes of x0; with `jac`, the value alone. x is a copy that `fun` may change or keep. Gradients may be
            arrays of other libraries on the same device, such as torch and JAX.
        x0: the starting point: an array of float32, float64, complex64 or complex128 (the gradient is then that by
            real and imaginary part), on NumPy or CuPy, a list of numbers, or nested dicts, lists, tuples and
            dataclasses of such arrays. It is not changed. Elements outside of the bounds start at the nearest bound.
        method: `lbfgs` or `cg`; the name, the config or the object of a rule, as in `{"kind": "adam", "η": 0.01}`,
            without weight decay unless `λ` is given; or a list of stages, each of which starts where the one before it
            ends. The entries of a stage may include stop conditions, as in
            `[{"kind": "adam", "η": 0.01, "max_iterations": 500}, "lbfgs"]`.
        jac: `jac(x, *args)` returns the gradient; None and True mean that `fun` does.
        args: further arguments of `fun` and `jac`.
        bounds: a pair `(low, high)` of numbers, None for an open side, or of arrays; a list of pairs, one for each
            element (lists of numbers are pairs); an object with `lb` and `ub`, such as `scipy.optimize.Bounds`; for
            nested x0, the same structure with any of these for each array. `lbfgs` is then L-BFGS-B; `cg` has no
            bounds.
        until: stop conditions by name, the first of which ends the minimization: `gtol`, `ftol`, `xtol`, `target`,
            `max_iterations`, `max_evaluations`, `max_seconds`, `patience`, `when` (a function of the progress),
            `all_of` (a list of mappings whose conditions hold together); see `StopConditions`. Conditions that are
            left out have the defaults of the (last) method; None switches one off. `lbfgs`: gtol 1e-5,
            ftol 2.2e-9, max_iterations and max_evaluations 15,000; `cg`: the same without ftol; rules: gtol 1e-5,
            max_iterations 10,000.
        callback: `callback(intermediate_result)`, by this name, or `callback(x)` is called after each iteration;
            StopIteration ends the minimization.
        history: keep the value and the gradient norm of every iteration in the result.
        progress: show a progress bar on stderr.
        checkpoint: a file from which the same call continues, to the same bytes, after the process was killed. Ctrl-C
            and SIGTERM write it and end the process as usual; press Ctrl-C again to end at once.
        checkpoint_every: `auto`, which takes at most 2 % of the time, or such as `100 iterations`, `30 seconds`.

    Returns:
        x, fun, jac, success, status, message, nit, nfev, njev, as SciPy's OptimizeResult; gradient_norm, seconds,
        history. Entries are attributes too.

    Raises:
        ConfigError: an argument is wrong.
        ArrayError: x0 or a gradient has the wrong shape or structure (ArrayTypeError: the wrong dtype or device).
        NonFiniteError: the value or the gradient at x0 is NaN or infinite.
        StateError: the checkpoint is damaged, or belongs to another problem.
        OSError: the checkpoint cannot be read, or cannot be written before the end.

    Warns:
        RuntimeWarning: the last checkpoint cannot be written; the result is complete.

    Example:
        >>> import mxtrain, numpy as np
        >>> def rosenbrock(x):
        ...     a, b = x[1:] - x[:-1] ** 2, 1 - x[:-1]
        ...     gradient = np.zeros_like(x)
        ...     gradient[:-1] = -400 * a * x[:-1] - 2 * b
        ...     gradient[1:] += 200 * a
        ...     return 100 * a @ a + b @ b, gradient
        >>> result = mxtrain.minimize(rosenbrock, np.zeros(10), "lbfgs", until={"ftol": 0})
        >>> result.success, result.x.round(4)
        (True, array([1., 1., 1., 1., 1., 1., 1., 1., 1., 1.]))
    """
    if not isinstance(progress, bool):
        raise ConfigError([ConfigProblem("progress", f"must be true or false, got {describe(progress)}")])
    with _observer(progress) as observer:
        return build_minimization(
            fun,
            x0,
            method,
            jac=jac,
            args=args,
            bounds=bounds,
            until=until,
            callback=callback,
            history=history,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            observer=observer,
        ).run()


@contextmanager
def _observer(is_shown: bool) -> Iterator[Callable[[Progress], object] | None]:
    """Yield a function that shows the progress on stderr; None if it is not shown."""
    if not is_shown:
        yield None
        return
    from mxtrain.cli.minimize_output import show_progress

    with show_progress() as observer:
        yield observer
