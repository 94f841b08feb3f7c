"""The study in a database: every ended trial, in the format of Optuna's own tools. Only the driver writes to it.

Each trial is written in one transaction, in the order of trial numbers, so a kill never leaves a partial trial.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, create_trial
from sqlalchemy import text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from mxtrain.atomic_io import describe_os_error, refuse_link, write_file
from mxtrain.config import Sweep
from mxtrain.errors import FolderBusyError, MxtrainError, SweepError, SweepRequestError
from mxtrain.formatting import redact_message, redact_url
from mxtrain.sweeps.checksums import CHECKSUM_KEY, digest
from mxtrain.sweeps.samplers_and_pruners import OPTUNA_STATES, directions
from mxtrain.sweeps.sweep_folder import study_identity
from mxtrain.sweeps.trial_result import TrialResult, TrialState
from mxtrain.training import folder_lock

_STATES: dict[Any, TrialState] = {
    OPTUNA_STATES["complete"]: "complete",
    OPTUNA_STATES["pruned"]: "pruned",
    OPTUNA_STATES["failed"]: "failed",
}
USER_ATTRIBUTE = "mxtrain"
"""The user attribute of a trial that holds the fields for which Optuna has none."""


class StudyStorage:
    """The study of a sweep in its database.

    Args:
        sweep: the sweep.
        folder: the sweep's folder, which holds the database unless `sweep.storage` names another one.
    """

    def __init__(self, sweep: Sweep, folder: Path) -> None:
        file = folder / "study.db"
        if sweep.settings.storage is None:
            _check_files(file)
        self._sweep = sweep
        self._file = file
        self._url = sweep.settings.storage or URL.create("sqlite", database=str(file)).render_as_string()
        self._is_new = sweep.settings.storage is None and not file.exists()
        self._study: optuna.Study | None = None
        self._storage: optuna.storages.RDBStorage | None = None
        self._lock = ExitStack()

    def attempts(self) -> list[TrialResult]:
        """Return the ended trials in the order of their numbers, then the results of retried ones.

        Raises:
            SweepError: the database cannot be reached or is damaged, or its study belongs to another sweep.
        """
        if self._is_new:
            return []
        with self._database_errors():
            trials = self._open_study().get_trials(deepcopy=False)
            recorded = [trial for trial in trials if USER_ATTRIBUTE in trial.user_attrs]  # users may add others
            for trial in recorded:
                record = trial.user_attrs[USER_ATTRIBUTE]
                if CHECKSUM_KEY in record and record[CHECKSUM_KEY] != _digest(trial):
                    raise self.damaged(f"the record of trial {record.get('number')} has changed: its checksum differs")
            results = [_restore(trial) for trial in recorded]
        for expected, number in enumerate(dict.fromkeys(result.number for result in results)):
            if number != expected:
                raise self.damaged(f"trial {expected} is missing")
        return results

    def damaged(self, problem: str) -> SweepError:
        """Return the error for a study that differs from what was written."""
        return SweepError(f"the study in {redact_url(self._url)} is damaged: {problem}; {self._remedy}")

    @property
    def _remedy(self) -> str:
        """The remedy for a study that is damaged."""
        if self._sweep.settings.storage is None:
            return f"move {self._file} away, and it is restored from the folders of the trials"
        return "restore the database, or give the sweep another name"

    def add(self, result: TrialResult) -> None:
        """Record an ended trial.

        Raises:
            SweepError: the database cannot be written.
        """
        values = None if result.values is None else list(result.values)
        record = {  # one attribute, because each attribute is a row
            "number": result.number,
            "run_dir": str(result.run_dir),
            "params": dict(result.params),
            "values": values,
            "by_seed": [list(each) for each in result.values_by_seed],
            "epochs": result.epochs,
            "seconds": round(result.seconds, 3),
            "error": result.error,
            "marks": dict(result.pruner_attributes),
            "files": dict(result.files),
        }
        frozen = create_trial(
            state=OPTUNA_STATES[result.state],
            values=values if result.state == "complete" else None,
            params=dict(result.sampler_params),
            distributions=dict(result.distributions),
            user_attrs={USER_ATTRIBUTE: record},
            system_attrs={**result.sampler_attributes, **result.pruner_attributes},
            intermediate_values=dict(result.intermediate_values),
        )
        record[CHECKSUM_KEY] = _digest(frozen)
        frozen.set_user_attr(USER_ATTRIBUTE, record)
        frozen.datetime_start = datetime.now() - timedelta(seconds=result.seconds)  # Optuna uses local time, no zone
        with self._database_errors():
            self._open_study().add_trial(frozen)

    def _lock_database_file(self, busy: str) -> None:
        """Lock a file beside a SQLite database, which works for any path by which another driver opens it."""
        url = make_url(self._url)
        is_file = url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":", "file:"))
        if not is_file:
            return
        file = Path(os.path.realpath(str(url.database)))
        name = f".{file.name}-{sha256(self._sweep.name.encode()).hexdigest()[:16]}.lock"
        try:
            self._lock.enter_context(folder_lock(file.parent, busy, name=name))
        except OSError as error:
            raise SweepError(f"{file.parent} cannot be written: {error.strerror or error}") from error

    def _lock_study(self, engine: Engine, busy: str) -> None:
        """Lock the study on a database server for as long as the connection lasts."""
        dialect = engine.dialect.name
        if dialect == "sqlite":
            return
        connection = self._lock.enter_context(engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
        if dialect == "postgresql":
            key = int.from_bytes(sha256(f"mxtrain {self._sweep.name}".encode()).digest()[:8], "little", signed=True)
            has_lock = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key})
        else:  # MySQL's lock names are global to the server, and it closes idle connections
            connection.execute(text("SET SESSION wait_timeout = 31536000"))
            name = sha256(f"{engine.url.database} {self._sweep.name}".encode()).hexdigest()[:48]
            has_lock = connection.scalar(text("SELECT GET_LOCK(:name, 0)"), {"name": f"mxtrain {name}"}) == 1
        if not has_lock:
            raise FolderBusyError(busy)

    def close(self) -> None:
        """Close the database, and release the locks."""
        self._lock.close()
        if self._storage is not None:
            self._storage.remove_session()
            self._storage.engine.dispose()

    def _open_study(self) -> optuna.Study:
        """Open the study, or create it; on first use, because this is slow."""
        if self._study is not None:
            return self._study
        sweep = self._sweep
        busy = f"another process uses the study {sweep.name} in {redact_url(self._url)}; wait for it, or stop it"
        self._lock_database_file(busy)
        storage = self._storage = optuna.storages.RDBStorage(
            self._url, engine_kwargs={"connect_args": _connect_arguments(self._url)}
        )
        self._lock_study(storage.engine, busy)
        study = optuna.create_study(
            storage=storage, study_name=sweep.name, directions=directions(sweep), load_if_exists=True
        )
        known = study.user_attrs.get("identity")
        if known is None:
            study.set_metric_names([each.metric for each in sweep.settings.objectives])
            study.set_user_attr("identity", study_identity(sweep))
        elif known != study_identity(sweep):
            place = redact_url(self._url)
            remedy = "give this one another name"
            raise SweepRequestError(f"the study {sweep.name} in {place} belongs to another sweep; {remedy}")
        self._study = study
        return study

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
        study = f"the study in {redact_url(self._url)}"
        try:
            yield
        except MxtrainError:
            raise
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            remedy = "finished trials are kept"
            if self._sweep.settings.storage is None:
                remedy = "move the file away, and it is restored from the folders of the trials"
            raise SweepError(
                f"{study} cannot be reached: {redact_message(_reason(error), self._url)}; {remedy}"
            ) from error
        except Exception as error:  # Optuna raises errors of many types for inconsistent rows
            raise self.damaged(f"{type(error).__name__}: {_reason(error)}") from error


def check_driver(sweep: Sweep) -> None:
    """Check that the Python driver of the study's database is installed.

    Raises:
        SweepRequestError: it is not.
    """
    if sweep.settings.storage is None:
        return
    url = make_url(sweep.settings.storage)
    try:
        url.get_dialect().import_dbapi()
    except (ImportError, NoSuchModuleError) as error:
        study, extra = f"the study in {redact_url(sweep.settings.storage)}", url.get_backend_name()
        raise SweepRequestError(f"{study} needs a driver; pip install 'mxtrain[{extra}]'") from error


def _check_files(file: Path) -> None:
    """Refuse links, pipes and devices in place of the database and the files beside it: SQLite would open them."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        place = file.with_name(file.name + suffix)
        try:
            refuse_link(place)
            if place.exists() and not place.is_file():
                raise OSError(errno.EINVAL, "is not a regular file", str(place))
        except OSError as error:
            raise SweepError(f"the study {file} cannot be opened: {describe_os_error(error)}; move it away") from error
    if file.exists() and file.stat().st_nlink > 1 and not file.with_name(f"{file.name}-journal").exists():
        write_file(file, file.read_bytes())  # a hard-linked copy of the folder gets a separate study


def _reason(error: Exception) -> str:
    """Return the message of the database driver, on one line."""
    while error.__cause__ is not None and not isinstance(error, DBAPIError):
        error = error.__cause__  # type: ignore[assignment]
    message = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(message).split())


def _digest(trial: FrozenTrial) -> str:
    """Return the checksum of everything in a trial that results and later trials depend on."""
    params = {name: trial.distributions[name].to_internal_repr(value) for name, value in trial.params.items()}
    return digest(
        {
            "state": _STATES[trial.state],
            "values": trial.values and [float(value) for value in trial.values],
            "params": {name: float(value) for name, value in params.items()},
            "distributions": {name: distribution_to_json(each) for name, each in trial.distributions.items()},
            "course": {str(epoch): float(value) for epoch, value in trial.intermediate_values.items()},
            "attributes": trial.system_attrs,
            "noted": {name: value for name, value in trial.user_attrs[USER_ATTRIBUTE].items() if name != CHECKSUM_KEY},
        }
    )


def _restore(trial: FrozenTrial) -> TrialResult:
    """Return the trial that `add` wrote."""
    record = trial.user_attrs[USER_ATTRIBUTE]
    values, pruner_attributes = record["values"], record["marks"]
    return TrialResult(
        number=record["number"],
        state=_STATES[trial.state],
        params=record["params"],
        sampler_params=trial.params,
        distributions=trial.distributions,
        sampler_attributes={k: value for k, value in trial.system_attrs.items() if k not in pruner_attributes},
        run_dir=Path(record["run_dir"]),
        values=None if values is None else tuple(values),
        values_by_seed=tuple(map(tuple, record["by_seed"])),
        epochs=record["epochs"],
        seconds=record["seconds"],
        error=record["error"],
        intermediate_values=trial.intermediate_values,
        pruner_attributes=pruner_attributes,
        files=record.get("files", {}),
    )


def _connect_arguments(url: str) -> dict[str, Any]:
    return {"timeout": 20} if url.startswith("sqlite") else {}
