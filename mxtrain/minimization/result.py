"""Result of `minimize`, with the fields of SciPy's OptimizeResult."""

from typing import TYPE_CHECKING, Any

from mxtrain.errors import ReadOnlyError
from mxtrain.formatting import format_number
from mxtrain.names import nearest


class MinimizeResult(dict[str, Any]):
    """Result of `minimize`: a dict whose entries are attributes too.

    Attributes:
        x: the solution, in the structure of x0.
        fun: the value at x.
        jac: the gradient at x, in the structure of x0.
        success: True if a condition of convergence holds, or the gradient is zero.
        status: 0 for convergence, 1 for a limit of iterations, evaluations or time, 2 if no step decreases the value,
            3 for a value or gradient that is NaN or infinite, 99 if the callback raised StopIteration.
        message: the reason why the minimization ended, on one line.
        nit: the number of iterations.
        nfev, njev: the number of evaluations of the value and of the gradient.
        gradient_norm: the largest absolute element of the gradient; with bounds, of the projected gradient.
        seconds: the duration.
        history: with `history=True`, arrays by name: `iteration`, `evaluations`, `fun`, `gradient_norm`, `seconds`.

    Example:
        >>> result = MinimizeResult(x=1.0, fun=0.5, success=True)
        >>> result.fun, result["fun"], dict(result)
        (0.5, 0.5, {'x': 1.0, 'fun': 0.5, 'success': True})
    """

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in self:
                return self[name]
            if name.startswith("__"):
                raise AttributeError(name)
            guess = nearest(name, list(self))
            remedy = f"did you mean {guess}?" if guess else f"its fields are {', '.join(self)}"
            raise ReadOnlyError(f"the result has no field {name}; {remedy}")

    else:
        x: Any
        fun: float
        jac: Any
        success: bool
        status: int
        message: str
        nit: int
        nfev: int
        njev: int
        gradient_norm: float
        seconds: float
        history: dict[str, Any] | None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        lines = []
        for name, value in self.items():
            if name == "history":
                if value is None:
                    continue
                text = f"{len(value['iteration'])} rows of {', '.join(value)}"
            elif name == "seconds":
                text = f"{value:.3g}"
            else:
                text = format_number(value) if name == "gradient_norm" else _indented(repr(value), width + 2)
            lines.append(f"{name:>{width}}: {text}")
        return "\n".join(lines)


def _indented(text: str, width: int) -> str:
    return text.replace("\n", "\n" + " " * width)
