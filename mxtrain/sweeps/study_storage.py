"""The study in a database: every finished trial, in the format of Optuna's own tools. Only the driver writes to it.

Each trial is written in one transaction, in the order of trial numbers, so a kill never leaves a partial trial."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mxtrain.atomic_io import describe_os_error, refuse_link, write_file
from mxtrain.config import Point, Sweep
from mxtrain.errors import FolderBusyError, MxtrainError, SweepError
from mxtrain.redaction import redact_message, redact_url
from mxtrain.sweeps.result import TrialResult
from mxtrain.sweeps.sampling import SampledPoint, directions
from mxtrain.sweeps.sweep_folder import CHECKSUM_KEY, digest, study_identity
from mxtrain.training import folder_lock

OPTUNA_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
STATE_NAMES = {state: name for name, state in OPTUNA_STATES.items()}

USER_ATTRIBUTE = "mxtrain"
"""The attribute of a trial that holds what Optuna has no place for."""


class StudyStorage:
    """The study of a sweep in its database.

    Args:
        sweep: the sweep.
        folder: the sweep's folder, where the database is a file of its own.
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

    def attempts(self) -> list[tuple[TrialResult, SampledPoint]]:
        """The trials that have ended, in the order of their numbers; then those that were tried again.

        Raises:
            SweepError: the database cannot be reached or is damaged, or its study belongs to another sweep.
        """
        if self._is_new:
            return []
        with self._database_errors():
            trials = self._open_study().get_trials(deepcopy=False)
            ours = [trial for trial in trials if USER_ATTRIBUTE in trial.user_attrs]  # people may add their own
            for trial in ours:
                attributes_of_trial = trial.user_attrs[USER_ATTRIBUTE]
                if CHECKSUM_KEY in attributes_of_trial and attributes_of_trial[CHECKSUM_KEY] != _digest(trial):
                    raise self.damaged(
                        f"the record of trial {attributes_of_trial.get('number')} has changed: its checksum differs"
                    )
            found = [_restore(trial) for trial in ours]
        first_attempts = list(dict.fromkeys(ending.number for ending, _ in found))
        for number, recorded in enumerate(first_attempts):
            if number != recorded:
                raise self.damaged(f"trial {number} is missing")
        return found

    def damaged(self, what: str) -> SweepError:
        """Return the error for a study that does not hold what was written."""
        return SweepError(f"the study in {redact_url(self._url)} is damaged: {what}; {self._remedy}")

    @property
    def _remedy(self) -> str:
        """The remedy for a study that is damaged."""
        if self._sweep.settings.storage is None:
            return f"move {self._file} away, and it is written anew from the folders of the trials"
        return "restore the database, or give the sweep another name"

    def add(self, ending: TrialResult, drawn: SampledPoint, files: Mapping[str, Any]) -> None:
        """Write a trial that has ended.

        Args:
            ending: the trial.
            drawn: its point.
            files: the checksums of the files that its values come from.

        Raises:
            SweepError: it cannot be written.
        """
        state = OPTUNA_STATES[ending.state]
        attributes_of_trial = {  # one attribute, as each is a row of its own
            "number": ending.number,
            "run_dir": str(ending.run_dir),
            "params": dict(ending.params),
            "values": ending.values,
            "by_seed": [list(values) for values in ending.by_seed],
            "epochs": ending.epochs,
            "seconds": round(ending.seconds, 3),
            "error": ending.error,
            "marks": dict(ending.pruner_attributes),
            "files": dict(files),
        }
        frozen = create_trial(
            state=state,
            values=ending.values if state == TrialState.COMPLETE else None,
            params=dict(ending.drawn),
            distributions=dict(drawn.distributions),
            user_attrs={USER_ATTRIBUTE: attributes_of_trial},
            system_attrs={**drawn.attributes, **ending.pruner_attributes},
            intermediate_values=dict(ending.intermediate_values),
        )
        attributes_of_trial[CHECKSUM_KEY] = _digest(frozen)
        frozen.set_user_attr(USER_ATTRIBUTE, attributes_of_trial)
        frozen.datetime_start = datetime.now() - timedelta(seconds=ending.seconds)  # as Optuna counts: local, no zone
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
        """Let go of the database."""
        self._lock.close()
        if self._storage is not None:
            self._storage.remove_session()
            self._storage.engine.dispose()

    def _open_study(self) -> optuna.Study:
        """The study; made when it is first needed, as that takes a while."""
        if self._study is not None:
            return self._study
        sweep = self._sweep
        busy = f"another process works on the study {sweep.name} in {redact_url(self._url)}; wait for it, or stop it"
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
            raise SweepError(f"the study {sweep.name} in {place} belongs to another sweep; give this one another name")
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
            remedy = "what was done is kept"
            if self._sweep.settings.storage is None:
                remedy = "move the file away, and it is written anew from the folders of the trials"
            raise SweepError(
                f"{study} cannot be reached: {redact_message(_reason(error), self._url)}; {remedy}"
            ) from error
        except ImportError as error:
            extra = make_url(self._url).get_backend_name()
            raise SweepError(f"{study} needs a driver; pip install 'mxtrain[{extra}]'") from error
        except Exception as error:  # Optuna raises errors of many types for inconsistent rows
            raise self.damaged(f"{type(error).__name__}: {_reason(error)}") from error


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
    """What the database's own driver said, on one line."""
    while error.__cause__ is not None and not isinstance(error, DBAPIError):
        error = error.__cause__  # type: ignore[assignment]
    message = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(message).split())


def _digest(trial: FrozenTrial) -> str:
    """Return the checksum of everything in a trial that results and later trials depend on."""
    params = {name: trial.distributions[name].to_internal_repr(value) for name, value in trial.params.items()}
    return digest(
        {
            "state": STATE_NAMES[trial.state],
            "values": trial.values and [float(value) for value in trial.values],
            "params": {name: float(value) for name, value in params.items()},
            "distributions": {name: distribution_to_json(each) for name, each in trial.distributions.items()},
            "course": {str(epoch): float(value) for epoch, value in trial.intermediate_values.items()},
            "attributes": trial.system_attrs,
            "noted": {name: value for name, value in trial.user_attrs[USER_ATTRIBUTE].items() if name != CHECKSUM_KEY},
        }
    )


def _restore(trial: FrozenTrial) -> tuple[TrialResult, SampledPoint]:
    """What `add` wrote."""
    attributes_of_trial = trial.user_attrs[USER_ATTRIBUTE]
    ending = TrialResult(
        number=attributes_of_trial["number"],
        state=STATE_NAMES[trial.state],
        params=attributes_of_trial["params"],
        drawn=trial.params,
        run_dir=Path(attributes_of_trial["run_dir"]),
        values=attributes_of_trial["values"],
        by_seed=attributes_of_trial["by_seed"],
        epochs=attributes_of_trial["epochs"],
        seconds=attributes_of_trial["seconds"],
        error=attributes_of_trial["error"],
        intermediate_values=trial.intermediate_values,
        pruner_attributes=attributes_of_trial["marks"],
        files=attributes_of_trial.get("files", {}),
    )
    attributes = {name: value for name, value in trial.system_attrs.items() if name not in ending.pruner_attributes}
    return ending, SampledPoint(
        Point(dict(trial.params), attributes_of_trial["params"]), trial.distributions, attributes
    )


def _connect_arguments(url: str) -> dict[str, Any]:
    return {"timeout": 20} if url.startswith("sqlite") else {}
