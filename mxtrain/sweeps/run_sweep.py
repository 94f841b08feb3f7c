"""Entry points of sweeps: run, resume, plan, and read the status."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mxtrain.config import Sweep, read_sweep, sweep_from_dict
from mxtrain.errors import ConfigError, ConfigProblem, SweepError
from mxtrain.sweeps.result import SweepResult
from mxtrain.sweeps.sweep_folder import SWEEPS, SweepFolder
from mxtrain.sweeps.sweep_plan import SweepPlan, allocate_workers, make_sweep_plan, worker_environments
from mxtrain.sweeps.task import Engine, load_factory
from mxtrain.training import StopRequest
from mxtrain.training.model_factory import ModelFactory
from mxtrain.types import describe


@contextmanager
def silence_optuna() -> Iterator[None]:
    """Optuna is quiet for as long as this lasts."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"optuna\b")
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)


Watch: TypeAlias = Callable[[SweepResult], None]
"""Is told, a few times a second, how the sweep stands."""
EngineName = Literal["local", "dask"]


def sweep(
    config: Mapping[str, Any] | str | PathLike[str],
    *,
    run_dir: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    engine: EngineName = "local",
    scheduler: str | None = None,
    retry_failed: bool = False,
    model: ModelFactory | str | None = None,
    stop: StopRequest | None = None,
    watch: Watch | None = None,
) -> SweepResult:
    """Search over any value of a run file as `mxtrain.sweep` does, without progress."""
    plan = _read_config(config, overrides)
    folder = _folder(plan, run_dir)
    folder.make()
    with folder.locked():
        plan = folder.claim(plan)
        return _run(plan, folder, workers, engine, scheduler, retry_failed, model, stop, watch)


def resume_sweep(folder: str | PathLike[str], *, overrides: Sequence[str] = (), **options: Any) -> SweepResult:
    """Go on with the sweep in a folder; `options` are those of `sweep`."""
    place = SweepFolder(Path(folder))
    place.check_file()
    return sweep(place.file, run_dir=place.path, overrides=overrides, **options)


def plan_sweep(
    config: Mapping[str, Any] | str | PathLike[str],
    *,
    run_dir: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    workers: int | None = None,
) -> SweepPlan:
    """What a sweep would do: everything is checked, and nothing is trained or written. Arguments as for `sweep`."""
    plan = _read_config(config, overrides)
    with silence_optuna():
        return make_sweep_plan(plan, _folder(plan, run_dir).path, workers)


def read_sweep_status(
    config: Mapping[str, Any] | str | PathLike[str],
    *,
    run_dir: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
) -> SweepResult:
    """How a sweep stands, while it is run or not; at most a second old. Arguments as for `sweep`; or its folder.

    Raises:
        SweepError: it has not begun.
    """
    is_folder = isinstance(config, str | PathLike) and SweepFolder.holds_sweep(Path(config))
    folder = SweepFolder(Path(str(config))) if is_folder else _folder(_read_config(config, overrides), run_dir)
    result = folder.read_results()
    return result if folder.is_running else result.stopped()


def _folder(plan: Sweep, run_dir: str | PathLike[str] | None) -> SweepFolder:
    return SweepFolder(Path(run_dir) if run_dir is not None else SWEEPS / plan.name)


def _run(
    plan: Sweep,
    folder: SweepFolder,
    workers: int | None,
    engine: EngineName,
    scheduler: str | None,
    retry_failed: bool,
    model: ModelFactory | str | None,
    stop: StopRequest | None,
    watch: Watch | None,
) -> SweepResult:
    from mxtrain.sweeps.driver import Driver  # heavy: it imports Optuna

    _check_rollback(plan)
    place = importable_name(model)
    _check_model(plan, place)
    threads, count = allocate_workers(plan, workers, elsewhere=scheduler is not None)
    task_engine = _create_engine(engine, scheduler, worker_environments(plan, count, threads), folder, place)
    with silence_optuna(), closing(task_engine):
        driver = Driver(plan, folder, task_engine, threads, stop or StopRequest(), watch or (lambda result: None))
        with closing(driver):
            return driver.run(retry_failed)


def _check_model(plan: Sweep, place: str | None) -> None:
    """A custom model is handed over, and can be imported; any other is not."""
    is_custom = plan.run.get("model", {}).get("kind") == "custom"
    if is_custom and place is None:
        raise ConfigError([ConfigProblem("model", "is a custom one; hand it over with --plugin, or with model=")])
    if place is None:
        return
    if "model" in plan.run and not is_custom:
        kind = plan.run["model"].get("kind")
        message = f"a model was handed over, but the config has {kind}; set model: {{kind: custom}}"
        raise ConfigError([ConfigProblem("model", message)])
    try:
        load_factory(place)
    except Exception as error:
        raise SweepError(f"the model {place} cannot be imported: {type(error).__name__}: {error}") from error


def _check_rollback(plan: Sweep) -> None:
    """What a rollback goes back to is the last checkpoint, and segments are saved at the ends of epochs."""
    fit = plan.run["fit"]
    if fit["on_nonfinite"] == "rollback" and fit["checkpoint"]["every"] not in ("auto", "1 epoch"):
        message = (
            f"must be auto or '1 epoch' in a sweep with on_nonfinite: rollback, got {fit['checkpoint']['every']!r}"
        )
        raise ConfigError([ConfigProblem("fit.checkpoint.every", message)])


def _create_engine(
    name: EngineName,
    scheduler: str | None,
    workers: Sequence[dict[str, str]],
    folder: SweepFolder,
    plugin: str | None,
) -> Engine:
    match name:
        case "local" if scheduler is None:
            from mxtrain.sweeps.local_engine import LocalEngine

            return LocalEngine(workers, folder.logs, plugin)
        case "local":
            raise SweepError("only the engine dask has a scheduler; choose it with --engine dask")
        case "dask":
            from mxtrain.sweeps.dask_engine import DaskEngine

            return DaskEngine(scheduler, len(workers), workers[0], plugin)
    raise SweepError(f"engine must be local or dask, got {name!r}")


def importable_name(model: ModelFactory | str | None) -> str | None:
    """Where workers find a model's factory, as `module:function`.

    Raises:
        SweepError: they cannot.

    >>> importable_name(sweep)
    'mxtrain.sweeps.run_sweep:sweep'
    """
    if model is None:
        return None
    if isinstance(model, str):
        if ":" not in model:
            raise SweepError(f"a model's place must be written module:function, got {model!r}")
        return model
    module, name = getattr(model, "__module__", None), getattr(model, "__qualname__", "")
    if module in (None, "__main__") or not name or "<" in name:
        raise SweepError("workers must be able to import the model: put its function at the top of a module of its own")
    return f"{module}:{name}"


def _read_config(config: Mapping[str, Any] | str | PathLike[str], overrides: Sequence[str]) -> Sweep:
    match config:
        case str() | PathLike():
            return read_sweep(config, overrides)
        case Mapping() if not overrides:
            return sweep_from_dict(config)
        case Mapping():
            raise ConfigError([ConfigProblem("overrides", "only a file takes overrides; change the config itself")])
    raise ConfigError([ConfigProblem("config", f"must be a path or a dict, got {describe(config)}")])
