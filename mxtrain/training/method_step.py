"""Training with a method that has a line search: one iteration on all training samples in each epoch."""

from collections.abc import Mapping
from typing import Any, NoReturn

from mxtrain.errors import ConfigError, ConfigProblem, NonFiniteError
from mxtrain.minimization.method_configs import MethodConfig
from mxtrain.minimization.stages import build_line_search_method
from mxtrain.optim.backends import Backend
from mxtrain.optim.optimizer import Optimizer
from mxtrain.training.gradient_norms import gradient_norm, update_ratios
from mxtrain.training.training_step import TrainingStep
from mxtrain.types import Array

_ENTRY = "method"
"""Name under which state dicts hold the state of the method."""


class MethodOptimizer(Optimizer):
    """Counts and state of a method, in the place of the optimizer of a run.

    Args:
        config: the config of the method.
        backend: the backend of the run.
    """

    def __init__(self, config: MethodConfig, backend: Backend) -> None:
        super().__init__(config, backend, "ignore")
        self._method = build_line_search_method(config)
        self._is_started = False

    @property
    def method(self) -> Any:
        """The method."""
        return self._method

    @property
    def is_started(self) -> bool:
        """True if the method has a current point."""
        return self._is_started

    def start(self, x: Array, f: float, g: Array) -> None:
        """Start the method at a point."""
        self._method.start(x, f, g)
        self._is_started = True

    def step(self, params: Any, grads: Any, rows: Any = None) -> NoReturn:
        """Refuse a single gradient."""
        raise TypeError(f"{self.rule.kind} evaluates the function several times in a step")

    def _make_state_dict(self) -> dict[str, Any]:
        saved = super()._make_state_dict()
        if self._is_started:
            values = self._method.state_dict()
            slots = {name: value for name, value in values.items() if hasattr(value, "shape")}
            scalars = {name: value for name, value in values.items() if name not in slots}
            entry = {"updates": self.state.curr_iter, "slots": slots, "scalars": scalars}
            saved["parameters"] = {_ENTRY: entry}
        return saved

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the result of `state_dict`."""
        entry = state["parameters"].get(_ENTRY)
        super().load_state_dict({**state, "parameters": {}})
        self._is_started = entry is not None
        if entry is not None:
            self._method.load_state_dict({**entry["slots"], **entry["scalars"]})


class MethodStep(TrainingStep):
    """Performs the iterations of a method; the loss is the mean over all training samples."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        (self._buffer,) = self._params.buffers.values()
        (self._gradient,) = self.grads.buffers.values()

    def _run(self, inputs: Array, targets: Array, weights: Array | None) -> Any:
        optimizer, scale = self._optimizer, self._config.optimizer.scale
        assert isinstance(optimizer, MethodOptimizer), "the optimizer of a run with a method"
        outputs: Any = None

        def evaluate(vector: Array) -> tuple[float, Array]:
            nonlocal outputs
            self._buffer[...] = vector
            loss, outputs = self._loss_and_grad(inputs, targets, weights)
            return float(loss) * scale, self._gradient * scale

        before = {name: value.copy() for name, value in self._params.items()} if self._config.fit.diagnostics else {}
        if not optimizer.is_started:
            x = self._buffer.copy()
            try:
                optimizer.start(x, *evaluate(x))
            except NonFiniteError as error:
                raise self.divergence_error(str(error).partition(";")[0]) from None
        iterate = optimizer.method.iterate(evaluate)
        if iterate.status == "nonfinite":
            raise self.divergence_error(iterate.message)
        f = iterate.f
        if outputs is None or not bool((self._buffer == iterate.x).all()):  # the last evaluation was of another point
            evaluate(iterate.x)
        optimizer.state.begin_batch()
        self._add_to_metrics(outputs, targets, weights)
        self._add_to_sums(f / scale, gradient_norm(self._xp, self.grads) * scale, targets, weights)
        if before:
            self.sums.last_diagnostics = {"update_ratio": update_ratios(self._xp, before, self._params)}
        return f / scale


def check_full_batch(config: MethodConfig, batches: int, samples: int, batch_size: int) -> None:
    """Refuse more than one batch per epoch, because a line search compares values of one function.

    Raises:
        ConfigError: there are more batches.
    """
    if batches != 1:
        message = (
            f"{config.kind} needs all {samples} training samples in one batch; set at least {samples}, got {batch_size}"
        )
        raise ConfigError([ConfigProblem("data.batch_size", message)])
