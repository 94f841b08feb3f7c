"""Entry points of sweeps: run, resume, plan, and read the status."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from mxtrain.config import Sweep, read_sweep, sweep_from_dict
from mxtrain.config.overrides import located_at_overrides
from mxtrain.errors import ConfigError, ConfigProblem, SweepRequestError
from mxtrain.kinds import find_user_classes, plugin_name
from mxtrain.sweeps.result import SweepResult
from mxtrain.sweeps.sweep_folder import SWEEPS, SweepFolder
from mxtrain.sweeps.sweep_plan import SweepPlan, allocate_workers, make_sweep_plan, worker_environments
from mxtrain.sweeps.task import Engine, load_factory
from mxtrain.training import StopRequest
from mxtrain.training.model_factory import ModelFactory
from mxtrain.types import describe

Watch: TypeAlias = Callable[[SweepResult], None]
"""Called with the result so far, a few times a second."""
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
    plugins: Sequence[str] = (),
    stop: StopRequest | None = None,
    watch: Watch | None = None,
) -> SweepResult:
    """Run a sweep like `mxtrain.sweep`, without showing progress."""
    require_optuna()
    definition = _read_config(config, overrides)
    _check_engine(engine, scheduler)
    _check_packages(definition, engine)
    _check_rollback(definition)
    plugin = importable_name(model)
    _check_model(definition, plugin)
    modules = worker_plugins(definition, plugins)
    threads, count = allocate_workers(definition, workers, is_remote=scheduler is not None)
    folder = _folder(definition, run_dir)
    folder.make()  # after all checks of the request, so that a wrong one writes nothing
    with folder.locked():
        from mxtrain.sweeps.driver import Driver  # imports Optuna and SQLAlchemy

        with located_at_overrides(overrides):
            definition = folder.claim(definition)
        environments = worker_environments(definition, count, threads)
        with (
            silence_optuna(),
            closing(_create_engine(engine, scheduler, environments, folder, plugin, modules)) as task_engine,
        ):
            driver = Driver(
                definition, folder, task_engine, threads, stop or StopRequest(), watch or (lambda result: None)
            )
            with closing(driver):
                return driver.run(retry_failed)


def resume_sweep(folder: str | PathLike[str], *, overrides: Sequence[str] = (), **options: Any) -> SweepResult:
    """Continue the sweep in a folder; `options` are those of `sweep`."""
    sweep_folder = SweepFolder(Path(folder))
    sweep_folder.check_file()
    return sweep(sweep_folder.file, run_dir=sweep_folder.typed_path, overrides=overrides, **options)


def plan_sweep(
    config: Mapping[str, Any] | str | PathLike[str],
    *,
    run_dir: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    workers: int | None = None,
) -> SweepPlan:
    """Check everything and return the plan of a sweep, without training or writing. Arguments as for `sweep`."""
    require_optuna()
    definition = _read_config(config, overrides)
    with silence_optuna():
        return make_sweep_plan(definition, _folder(definition, run_dir).path, workers)


def read_sweep_status(
    config: Mapping[str, Any] | str | PathLike[str],
    *,
    run_dir: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
) -> SweepResult:
    """Read the results of a sweep, at most a second old if it is running.

    Args:
        config: as for `sweep`, or the sweep's folder.
        run_dir: as for `sweep`.
        overrides: as for `sweep`.

    Raises:
        SweepError: the sweep has not started.
    """
    is_folder = isinstance(config, str | PathLike) and SweepFolder.holds_sweep(Path(config))
    folder = SweepFolder(Path(str(config))) if is_folder else _folder(_read_config(config, overrides), run_dir)
    result = folder.read_results()
    return result if folder.is_running else result.with_running_as_waiting()


def require_optuna() -> None:
    """Check that Optuna and SQLAlchemy are installed.

    Raises:
        SweepRequestError: one is not.
    """
    for package, name in (("optuna", "Optuna"), ("sqlalchemy", "SQLAlchemy")):
        if find_spec(package) is None:
            raise SweepRequestError(f"sweeps need {name}; pip install 'mxtrain[sweep]'")


@contextmanager
def silence_optuna() -> Iterator[None]:
    """Silence Optuna's log and warnings within a `with` block."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"optuna\b")
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(verbosity)


def importable_name(model: ModelFactory | str | None) -> str | None:
    """Return the name `module:function` under which workers import a model's factory; None for None.

    Raises:
        SweepRequestError: it cannot be imported.

    >>> importable_name(sweep)
    'mxtrain.sweeps.run_sweep:sweep'
    """
    if model is None:
        return None
    if isinstance(model, str):
        if ":" not in model:
            raise SweepRequestError(f"model must be module:function, got {model!r}")
        return model
    module, name = getattr(model, "__module__", None), getattr(model, "__qualname__", "")
    if module in (None, "__main__") or not name or "<" in name:
        raise SweepRequestError(
            "workers must be able to import the model: define its function at the top level of a separate module"
        )
    return f"{module}:{name}"


def worker_plugins(definition: Sweep, plugins: Sequence[str]) -> tuple[str, ...]:
    """Return the modules and paths of files that workers import: those given, and those of the user's classes.

    Raises:
        SweepRequestError: a class cannot be imported.
    """
    names = list(plugins)
    for model in find_user_classes(definition.to_dict()):
        name = plugin_name(model)
        if name == "__main__" or "<locals>" in model.__qualname__:
            raise SweepRequestError(
                f"workers must be able to import {model.__name__}: define the class at the top level of a separate "
                "module"
            )
        names.append(name)
    return tuple(dict.fromkeys(str(Path(name).absolute()) if name.endswith(".py") else name for name in names))


def _folder(definition: Sweep, run_dir: str | PathLike[str] | None) -> SweepFolder:
    return SweepFolder(Path(run_dir) if run_dir is not None else SWEEPS / definition.name)


def _check_engine(name: str, scheduler: str | None) -> None:
    """Check the name of the engine, and that a scheduler goes with it."""
    if name not in get_args(EngineName):
        raise SweepRequestError(f"engine must be {' or '.join(get_args(EngineName))}, got {name!r}")
    if name == "local" and scheduler is not None:
        raise SweepRequestError("only the engine dask has a scheduler; choose it with --engine dask")


def _check_packages(definition: Sweep, engine: EngineName) -> None:
    """Check that the packages of the sampler, the engine and the database are installed."""
    from mxtrain.sweeps.samplers_and_pruners import check_packages
    from mxtrain.sweeps.study_storage import check_driver

    check_packages(definition.settings.sampler.kind)
    check_driver(definition)
    if engine == "dask" and find_spec("distributed") is None:
        raise SweepRequestError("the engine dask needs Dask; pip install 'mxtrain[dask]'")


def _check_model(definition: Sweep, plugin: str | None) -> None:
    """Check that a model was passed if, and only if, the config has a custom one, and that it can be imported."""
    is_custom = definition.run.get("model", {}).get("kind") == "custom"
    if is_custom and plugin is None:
        raise ConfigError([ConfigProblem("model", "kind: custom needs a model; pass it with --plugin or model=")])
    if plugin is None:
        return
    if "model" in definition.run and not is_custom:
        kind = definition.run["model"].get("kind")
        message = f"a model was passed, but the config has kind: {kind}; set model: {{kind: custom}}"
        raise ConfigError([ConfigProblem("model", message)])
    try:
        load_factory(plugin)
    except Exception as error:
        raise SweepRequestError(f"the model {plugin} cannot be imported: {type(error).__name__}: {error}") from error


def _check_rollback(definition: Sweep) -> None:
    """Check that checkpoints are saved at ends of epochs if a rollback returns to the last one, as tasks end there."""
    fit = definition.run["fit"]
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
    plugins: Sequence[str],
) -> Engine:
    if name == "local":
        from mxtrain.sweeps.local_engine import LocalEngine

        return LocalEngine(workers, folder.logs, plugin, plugins)
    from mxtrain.sweeps.dask_engine import DaskEngine

    return DaskEngine(scheduler, len(workers), workers[0], plugin, plugins)


def _read_config(config: Mapping[str, Any] | str | PathLike[str], overrides: Sequence[str]) -> Sweep:
    match config:
        case str() | PathLike():
            return read_sweep(config, overrides)
        case Mapping() if not overrides:
            return sweep_from_dict(config)
        case Mapping():
            raise ConfigError([ConfigProblem("overrides", "only a file takes overrides; change the config itself")])
    raise ConfigError([ConfigProblem("config", f"must be a path or a dict, got {describe(config)}")])
