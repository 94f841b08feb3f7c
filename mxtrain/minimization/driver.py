"""The loop of `minimize`: stages, stop conditions, history, callbacks, checkpoints and signals."""

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from inspect import signature
from signal import raise_signal
from typing import Any

import numpy as np

from mxtrain.errors import NonFiniteError, StateError
from mxtrain.minimization.box import Box
from mxtrain.minimization.checkpoint import CheckpointFile
from mxtrain.minimization.method import Iterate, StopEvaluation
from mxtrain.minimization.method_configs import Stage
from mxtrain.minimization.objective import Objective
from mxtrain.minimization.result import MinimizeResult
from mxtrain.minimization.rule_method import RuleMethod
from mxtrain.minimization.stages import StageRun, build_method
from mxtrain.minimization.variables import Variables, euclidean_norm
from mxtrain.optim.stopping import Progress, StopConditions, StopTest
from mxtrain.signals import graceful_stop

COLUMNS = ("iteration", "evaluations", "fun", "gradient_norm", "seconds")
"""Names of the arrays of the history."""
_STATUSES = {"converged": 0, "no_progress": 2, "nonfinite": 3}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reason for the end of a stage.

    Attributes:
        status: as `MinimizeResult.status`; -1 if a signal was received.
        message: the reason, on one line.
        ends_all: True if no other stage follows.
        is_final: True if further iterations cannot change x, so that a resume must not try.
    """

    status: int
    message: str
    ends_all: bool = True
    is_final: bool = False


class Minimization:
    """A minimization from its start, or from its checkpoint, to its end.

    Args:
        objective: the function.
        variables: the layout of x0.
        box: the bounds.
        stages: the methods.
        until: the conditions that end all stages; defaults of the last method hold where nothing is given.
        callback: called after each iteration.
        history: keep values of each iteration.
        checkpoint: the checkpoint file; None for none.
        observer: called with the progress after each iteration.
    """

    def __init__(
        self,
        objective: Objective,
        variables: Variables,
        box: Box | None,
        stages: tuple[Stage, ...],
        until: StopConditions,
        *,
        callback: Callable[..., object] | None = None,
        history: bool = False,
        checkpoint: CheckpointFile | None = None,
        observer: Callable[[Progress], object] | None = None,
    ) -> None:
        self._objective, self._variables, self._box, self._stages = objective, variables, box, stages
        self._until = until.with_defaults(stages[-1].defaults)
        self._callback = None if callback is None else _with_result(callback, self._result_now)
        self._history: dict[str, list[Any]] | None = {name: [] for name in COLUMNS} if history else None
        self._checkpoint, self._observer = checkpoint, observer
        self._progress = Progress(point_norm=lambda: euclidean_norm(variables.xp, self._iterate.x))
        self._number = 0
        self._stage: StageRun
        self._iterate: Iterate
        self._ended: Outcome | None = None
        objective.max_evaluations, objective.max_seconds = self._until.max_evaluations, self._until.max_seconds

    def run(self) -> MinimizeResult:
        """Minimize, and return the result.

        Raises:
            NonFiniteError: the value or the gradient at x0 is NaN or infinite.
            StateError: the checkpoint belongs to another problem, or has no history.
            KeyboardInterrupt: Ctrl-C was pressed; with a checkpoint, it is written first.
        """
        with self._signals():
            self._begin = time.perf_counter()
            saved = None if self._checkpoint is None else self._checkpoint.load(self._variables.xp.asarray)
            if saved is None:
                self._start()
            else:
                self._restore(saved)
            self._objective.deadline = self._begin + (self._until.max_seconds or 0.0)
            outcome = self._ended or self._run_stages()
            self._save_outcome(outcome)
        if self._objective.request.signal:
            raise_signal(self._objective.request.signal)
        return self._finish(outcome)

    def _save_outcome(self, outcome: Outcome) -> None:
        """Write the last checkpoint; if that fails, warn, because the result is complete without it."""
        if self._checkpoint is None:
            return
        self._ended = outcome if outcome.is_final else None
        try:
            self._checkpoint.save(self._state())
        except OSError as error:
            if self._objective.request.signal:
                raise
            place = self._checkpoint.path
            message = f"{place}: the checkpoint cannot be written: {error.strerror or error}; the result is complete"
            warnings.warn(message, RuntimeWarning, stacklevel=4)  # the caller of `minimize`

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """With a checkpoint, let a signal end the current iteration instead of the process."""
        if self._checkpoint is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        with graceful_stop() as request:
            self._objective.request = request
            yield

    def _start(self) -> None:
        x = self._variables.initial
        x = x if self._box is None else self._box.clip(x)
        if self._variables.xp.isnan(x).any():
            raise NonFiniteError("x0 has an element that is nan; pass numbers")
        with self._objective.unlimited():  # a signal ends the first iteration, whose checkpoint holds this point
            f, g = self._objective(x)
        self._begin_stage(0)
        self._iterate = self._stage.method.start(x, f, g)
        self._take(self._iterate)
        self._record()

    def _begin_stage(self, number: int) -> None:
        progress, stage = self._progress, self._stages[number]
        is_last = number == len(self._stages) - 1
        until = self._until if is_last else self._until.before_last_stage()
        own = stage.until if is_last else stage.until.with_defaults(stage.defaults)
        self._number = number
        self._stage = StageRun(
            build_method(stage, self._variables, self._box, until),
            StopTest(until),
            None if own.is_empty else StopTest(own),
            (progress.iterations, progress.evaluations, progress.seconds),
        )

    def _run_stages(self) -> Outcome:
        while True:
            outcome = self._run_stage()
            if outcome.ends_all or self._number == len(self._stages) - 1:
                return outcome
            iterate = self._finished_iterate()
            self._begin_stage(self._number + 1)
            self._iterate = self._stage.method.start(iterate.x, iterate.f, iterate.g)
            self._take(self._iterate)
            self._progress.previous_value = None

    def _run_stage(self) -> Outcome:
        stage, progress, objective = self._stage, self._progress, self._objective
        while True:
            found = stage.stop(progress)
            if found is not None:
                stop, ends_all = found
                return Outcome(0 if stop.success else 1, stop.message, ends_all)
            try:
                iterate = stage.method.iterate(objective)
            except StopEvaluation:
                if objective.stop is None:
                    return Outcome(-1, "interrupted by a signal")
                return Outcome(1, objective.stop.message)
            if iterate.status != "ok":
                ends_all = iterate.status == "nonfinite"
                return Outcome(_STATUSES[iterate.status], iterate.message, ends_all, is_final=True)
            self._iterate = iterate
            progress.iterations += 1
            progress.previous_value = iterate.previous_f
            self._take(iterate)
            self._record()
            if self._observer is not None:
                self._observer(progress)
            if self._checkpoint is not None and self._checkpoint.is_due(progress.iterations):
                self._checkpoint.save(self._state())
            if self._callback is not None:
                try:
                    self._callback()
                except StopIteration:
                    return Outcome(99, "the callback raised StopIteration")
            if objective.request.signal:
                return Outcome(-1, "interrupted by a signal")

    def _take(self, iterate: Iterate) -> None:
        """Update the progress from an iterate."""
        progress = self._progress
        progress.evaluations = self._objective.evaluations
        progress.gradient_norm, progress.step_norm = iterate.gradient_norm, iterate.step_norm
        progress.seconds = time.perf_counter() - self._begin
        progress.set_value(iterate.f)

    def _record(self) -> None:
        if self._history is None:
            return
        progress = self._progress
        row = progress.iterations, progress.evaluations, progress.value, progress.gradient_norm, progress.seconds
        for name, value in zip(COLUMNS, row, strict=True):
            self._history[name].append(value)

    def _state(self) -> dict[str, Any]:
        """Return all that the rest of the minimization depends on."""
        history = None if self._history is None else {name: np.asarray(each) for name, each in self._history.items()}
        return {
            "stage": self._number,
            "stage_start": list(self._stage.start),
            "progress": _plain_progress(self._progress),
            "ended": None if self._ended is None else asdict(self._ended),
            "evaluations": self._objective.evaluations if self._ended else self._progress.evaluations,
            "history": history,
            "method": self._stage.method.state_dict(),
        }

    def _restore(self, saved: dict[str, Any]) -> None:
        if self._history is not None and saved["history"] is None:
            assert self._checkpoint is not None, "a saved state is that of a checkpoint"
            remedy = "pass history=False, or remove it to start again"
            raise StateError(f"{self._checkpoint.path} was written without history; {remedy}")
        for name, value in saved["progress"].items():
            setattr(self._progress, name, value)
        self._begin -= self._progress.seconds
        self._begin_stage(saved["stage"])
        iterations, evaluations, seconds = saved["stage_start"]
        self._stage.start = (iterations, evaluations, seconds)
        self._iterate = self._stage.method.load_state_dict(saved["method"])
        self._objective.evaluations = saved["evaluations"]
        self._ended = None if saved["ended"] is None else Outcome(**saved["ended"])
        if self._history is not None:
            self._history = {name: np.asarray(saved["history"][name]).tolist() for name in COLUMNS}

    def _finished_iterate(self) -> Iterate:
        """Return the current point, or that of the weights to evaluate of a rule that has such weights."""
        method, objective = self._stage.method, self._objective
        if not isinstance(method, RuleMethod):
            return self._iterate
        with objective.unlimited():
            return method.finish(objective) or self._iterate

    def _finish(self, outcome: Outcome) -> MinimizeResult:
        iterate = self._finished_iterate()
        result = self._result(iterate)
        history = None
        if self._history is not None:
            history = {name: np.asarray(column) for name, column in self._history.items()}
        return MinimizeResult(
            x=result.x,
            fun=iterate.f,
            jac=result.jac,
            success=outcome.status == 0,
            status=outcome.status,
            message=outcome.message,
            nit=result.nit,
            nfev=result.nfev,
            njev=result.njev,
            gradient_norm=iterate.gradient_norm,
            seconds=time.perf_counter() - self._begin,
            history=history,
        )

    def _result_now(self) -> MinimizeResult:
        return self._result(self._iterate)

    def _result(self, iterate: Iterate) -> MinimizeResult:
        unflatten, progress = self._variables.unflatten, self._progress
        return MinimizeResult(
            x=unflatten(iterate.x.copy()),
            fun=iterate.f,
            jac=unflatten(iterate.g.copy()),
            nit=progress.iterations,
            nfev=self._objective.evaluations,
            njev=self._objective.evaluations,
            gradient_norm=iterate.gradient_norm,
        )


def _plain_progress(progress: Progress) -> dict[str, Any]:
    """Return the counts and values of a progress."""
    names = [name for name in Progress.__slots__ if name != "point_norm"]
    return {name: getattr(progress, name) for name in names}


def _with_result(callback: Callable[..., object], result: Callable[[], MinimizeResult]) -> Callable[[], object]:
    """Return a function that calls a callback as SciPy does: with the result so far by its name, or with x."""
    try:
        names = set(signature(callback).parameters)
    except (TypeError, ValueError):  # a callable of an extension module
        names = set()
    if names == {"intermediate_result"}:
        return lambda: callback(intermediate_result=result())
    return lambda: callback(result().x)
