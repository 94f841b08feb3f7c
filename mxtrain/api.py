"""The public functions `fit`, `resume` and `sweep`, which show progress on a terminal and in notebooks."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from mxtrain import training
from mxtrain.data import Data, DataParts, HeldOut, as_argument
from mxtrain.training import Callback, LoadedRun, StopRequest, load_run
from mxtrain.training.callbacks import check_callbacks
from mxtrain.training.loop import RunOptions
from mxtrain.training.model_factory import ModelFactory

if TYPE_CHECKING:
    from mxtrain.reports.page import Report
    from mxtrain.sweeps import SweepResult, Watch
    from mxtrain.training.thresholds import Threshold


@dataclass(frozen=True, eq=False, repr=False)
class FitResult(training.TrainedRun):
    """The outcome of a run.

    Attributes:
        config: the resolved config.
        history: the metrics of each epoch, as in metrics.jsonl.
        state: the counts at the end of the run.
        parameters: the trained parameters by name, as NumPy arrays.
        run_dir: the run's folder.

    Example:
        >>> import mxtrain, tempfile
        >>> result = mxtrain.fit({
        ...     "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam", "η": 0.01}, "fit": {"epochs": 3}}, run_dir=tempfile.mkdtemp())
        >>> result.best["epoch"], result.evaluate()["accuracy"] > 0.9, result.predict(np.zeros((2, 64))).shape
        (3, True, (2,))
    """

    _model: ModelFactory | None = field(default=None, kw_only=True)
    _data: Data | DataParts | None = field(default=None, kw_only=True)

    @cached_property
    def _loaded(self) -> LoadedRun:
        run = load_run(self.run_dir, model=self._model)
        # The run may have been continued since; this result keeps its parameters.
        return replace(run, parameters=dict(self.parameters), history=list(self.history))

    def predict(
        self, inputs: "training.loaded_run.Inputs", threshold: "Threshold | None" = None
    ) -> np.ndarray[Any, Any]:
        """Predict with the trained model: `LoadedRun.predict`, on a file, columns by name, a data frame or an array."""
        return self._loaded.predict(inputs, self._loaded.threshold(threshold, data=self._data))

    def probabilities(self, inputs: "training.loaded_run.Inputs") -> np.ndarray[Any, Any]:
        """Return the probability of each class for each sample: `LoadedRun.probabilities`."""
        return self._loaded.probabilities(inputs)

    def fit_threshold(
        self, metric: "Threshold" = "balanced_accuracy", *, data: Data | DataParts | None = None
    ) -> float:
        """Return the threshold that maximizes a metric on the validation part: `LoadedRun.fit_threshold`.

        Args:
            metric: `f1` or `balanced_accuracy`.
            data: the run's own data; left out, what `fit` was given.
        """
        return self._loaded.fit_threshold(metric, data=self._own(data))

    def evaluate(
        self,
        samples: str | PathLike[str] | Data | None = None,
        *,
        part: Literal["training", "validation", "test"] | None = None,
        data: Data | DataParts | None = None,
        threshold: "Threshold | None" = None,
    ) -> dict[str, float | None]:
        """Measure the trained model: `LoadedRun.evaluate`, on samples, or on a part of the run's own data.

        Args:
            samples, part, threshold: as for `LoadedRun.evaluate`.
            data: the run's own data; left out, what `fit` was given.
        """
        number = self._loaded.threshold(threshold, data=self._own(data))
        given = self._own(data) if samples is None else data
        return self._loaded.evaluate(samples, part=part, data=given, threshold=number)

    def report(self, output: str | PathLike[str] | None = None, *, data: Data | DataParts | None = None) -> "Report":
        """Write an HTML page, and pictures, of how the run went, as `mxtrain report` does.

        Args:
            output: the page; left out, report.html in the run's folder.
            data: the run's own data; left out, what `fit` was given.

        Raises:
            MxtrainError: `mxtrain[report]` is not installed.
        """
        from mxtrain.cli.results_commands import import_report_run

        return import_report_run()(
            self.run_dir, None if output is None else Path(output), model=self._model, data=self._own(data)
        )

    def _own(self, data: Data | DataParts | None) -> Data | DataParts | None:
        return self._data if data is None else data


def fit(
    config: "training.loop.Config",
    *,
    run_dir: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    stop: StopRequest | None = None,
    model: ModelFactory | None = None,
    data: Data | None = None,
    validation: HeldOut | None = None,
    test: HeldOut | None = None,
    sample_weight: ArrayLike | None = None,
    verbose: bool | None = None,
) -> FitResult:
    """Train a model as a config says, and write the run's folder.

    The same config and seed give the same parameters, byte for byte, on one machine, however often the run is
    interrupted and resumed.

    Args:
        config: the path of a run file, a dict of the same shape, or a RunConfig; it is not changed. An unset
            `optimizer.scale` becomes `1/batch_size` in the resolved config, because gradients are sums over a batch,
            or one over the number of training samples if there are fewer.
        run_dir: the run's folder, new or empty; left out, runs/NAME-1, runs/NAME-2 and so on.
        overrides: `path=value` texts, as with `--set`; only for a run file.
        callbacks: objects whose methods are called during the run, such as a `Callback`.
        stop: checked after every step; if it names a signal, the run is saved and ends with RunInterrupted.
        model: `(config, n_features, n_outputs, xp)` to a Model of your own; the config has `model: {kind: custom}`.
        data: the data if the config has `data: {source: in_memory}`: `(X, y)`, with X of (n, ...)
            numbers and y of (n,) numbers or names of classes; or columns by name, or a data frame, and the config
            names the one to predict in `data.target`. They are copied; the run's folder keeps their SHA-256 alone.
        validation, test: replace `data.validation` and `data.test` of the config: a fraction, the path of a file, or
            data in memory, as `(X, y)`, `(X, y, weights)`, columns by name or a data frame. The resolved config has the
            fraction, the path, or `in_memory`.
        sample_weight: the weights of the samples in `data`, (n,) numbers of at least 0, by which their losses and
            gradients are multiplied; not together with `data.weight`. The resolved config has `weight: in_memory`.
        verbose: whether to show progress on stderr, or below the cell of a notebook: a bar, and a line for each epoch
            (in runs of more than 100 epochs, for the first, the last and every k-th); by default only if stderr is a
            terminal or the code runs in a notebook.

    Raises:
        ConfigError: a value in the config is wrong; every problem at once.
        DataError: the data cannot be read, or do not suit the loss.
        ModelError: `model` does not return a Model.
        BackendError: the backend cannot run here.
        TrainingError: the run diverged, or its folder is taken or cannot be written.

    Example:
        >>> import mxtrain, tempfile
        >>> result = mxtrain.fit({
        ...     "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam", "η": 0.01}, "fit": {"epochs": 3, "metrics": ["accuracy"]},
        ... }, run_dir=tempfile.mkdtemp())
        >>> result.state
        OptimizationState(batch_size=32, curr_epoch=3, curr_batch=45, curr_iter=135)
        >>> result.history[-1]["val_accuracy"] > 0.9
        True
        >>> X = [[0.0], [1.0], [2.0], [3.0], [4.0]]
        >>> result = mxtrain.fit({
        ...     "data": {"source": "in_memory"}, "model": {"kind": "linear"}, "loss": "squared_error",
        ...     "optimizer": {"kind": "adam", "η": 0.1}, "fit": {"epochs": 200},
        ... }, run_dir=tempfile.mkdtemp(), data=(X, [1, 3, 5, 7, 9]))
        >>> result.predict([[10.0]]).round(1).tolist()
        [21.0]
    """
    given = as_argument(DataParts(data, validation, test, sample_weight))
    options = RunOptions(overrides=overrides, callbacks=callbacks, stop=stop, model=model, data=given)
    return _train(partial(training.fit, config, run_dir=run_dir), options, verbose)


def resume(
    run_dir: str | PathLike[str],
    *,
    overrides: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    stop: StopRequest | None = None,
    model: ModelFactory | None = None,
    data: Data | None = None,
    validation: HeldOut | None = None,
    test: HeldOut | None = None,
    sample_weight: ArrayLike | None = None,
    verbose: bool | None = None,
) -> FitResult:
    """Continue a run from its newest intact checkpoint; the outcome is that of a run that never stopped.

    Args:
        run_dir: the run's folder.
        overrides: changes, such as `fit.epochs=40`. Settings that affect completed epochs cannot change; `name`,
            `fit.epochs`, `fit.checkpoint`, `fit.loggers` and, among those on the CPU, `backend` can.
        callbacks, stop, verbose: as for `fit`.
        model, data, validation, test, sample_weight: as for `fit`, the same as when the run started; fractions and
            paths are in the config and need not be passed again.

    Raises:
        ConfigError: an override is wrong, or a setting differs that cannot change.
        TrainingError: there is no run, it is being trained by another process, or the data have changed.

    Example:
        >>> import mxtrain, tempfile
        >>> config = {
        ...     "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}, "fit": {"epochs": 1}}
        >>> run_dir = mxtrain.fit(config, run_dir=tempfile.mkdtemp()).run_dir
        >>> mxtrain.resume(run_dir, overrides=["fit.epochs=2"]).state.curr_epoch
        2
    """
    given = as_argument(DataParts(data, validation, test, sample_weight))
    options = RunOptions(overrides=overrides, callbacks=callbacks, stop=stop, model=model, data=given)
    return _train(partial(training.resume, run_dir), options, verbose)


def sweep(
    config: Mapping[str, Any] | str | PathLike[str],
    *,
    run_dir: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    engine: Literal["local", "dask"] = "local",
    scheduler: str | None = None,
    retry_failed: bool = False,
    model: ModelFactory | str | None = None,
    plugins: Sequence[str] = (),
    stop: StopRequest | None = None,
    watch: "Watch | None" = None,
    verbose: bool | None = None,
) -> "SweepResult":
    """Search over any value of a run file; a sweep that the folder already holds is continued.

    The trials and their results depend on the config alone, not on workers, engine, speed or interruptions.

    Args:
        config: the path of a file with a `sweep` section, or a dict of the same shape.
        run_dir: the sweep's folder; left out, sweeps/NAME.
        overrides: `path=value` texts, as with `--set`; only for a file.
        workers: how many trials are trained at once; left out, as the file says.
        engine: `local`: processes on this machine; `dask`: a Dask cluster.
        scheduler: the address of Dask's scheduler; left out, a cluster on this machine.
        retry_failed: whether to train trials again that failed before.
        model: for `model: {kind: custom}`, as for `fit`; a function that workers can import, or its place, as in
            `module:function`.
        plugins: modules, or paths of .py files, that workers import; those that define the rules and schedules of the
            config are found without it.
        stop: checked several times a second; if it names a signal, runs are saved and RunInterrupted is raised.
        watch: called with the results so far, a few times a second.
        verbose: whether to show progress on stderr, or below the cell of a notebook; by default only if stderr is a
            terminal or the code runs in a notebook.

    Raises:
        ConfigError: a value in the config is wrong; every problem at once.
        SweepError: the sweep cannot continue; finished work is kept.
        FolderBusyError: another process runs the sweep.

    Example:
        >>> import mxtrain, tempfile
        >>> result = mxtrain.sweep({
        ...     "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}, "fit": {"epochs": 1, "metrics": ["accuracy"]},
        ...     "sweep": {"search": {"optimizer.η": {"choice": [0.0001, 0.01]}}, "sampler": {"kind": "grid"},
        ...               "objective": {"maximize": "val_accuracy"}},
        ... }, run_dir=tempfile.mkdtemp(), workers=1)
        >>> [row["params"] for row in result], result.best["params"]
        ([{'optimizer.η': 0.0001}, {'optimizer.η': 0.01}], {'optimizer.η': 0.01})
        >>> mxtrain.load_run(result.best["run_dir"]).history[-1]["val_accuracy"] == result.best["value"]
        True
    """
    from mxtrain import sweeps

    with _sweep_progress(verbose) as progress:

        def show(result: "SweepResult") -> None:
            for each in (progress, watch):
                if each is not None:
                    each(result)

        return sweeps.sweep(
            config,
            run_dir=run_dir,
            overrides=overrides,
            workers=workers,
            engine=engine,
            scheduler=scheduler,
            retry_failed=retry_failed,
            model=model,
            plugins=plugins,
            stop=stop,
            watch=show,
        )


def _train(train: Callable[..., training.TrainedRun], options: RunOptions, verbose: bool | None) -> FitResult:
    """Train a run with progress, and attach its model and data to the result."""
    check_callbacks(options["callbacks"])
    with _progress(verbose) as progress:
        run = train(**options | {"callbacks": (*progress, *options["callbacks"])})
    return FitResult(**vars(run), _model=options["model"], _data=options["data"])


def _is_shown(verbose: bool | None) -> bool:
    if verbose is not None:
        return verbose
    return _is_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def _is_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False  # rich is imported only if progress is shown
    from mxtrain.cli.rich_output import is_notebook

    return is_notebook()


@contextmanager
def _progress(verbose: bool | None) -> Iterator[Sequence[Callback]]:
    """Yield the callbacks that show a run's progress; none if it is not shown."""
    if not _is_shown(verbose):
        yield ()
        return
    from mxtrain.cli.run_output import show_progress, show_progress_in_notebook

    with show_progress_in_notebook() if _is_notebook() else show_progress(quiet=False) as callbacks:
        yield callbacks


@contextmanager
def _sweep_progress(verbose: bool | None) -> Iterator["Watch | None"]:
    if not _is_shown(verbose):
        yield None
        return
    from mxtrain.cli.sweep_output import show_progress, show_progress_in_notebook

    with show_progress_in_notebook() if _is_notebook() else show_progress(quiet=False) as watch:
        yield watch
