"""The study in a database: every trial that has ended, as Optuna's own tools read it. Only the driver writes to it.

A trial is written whole, in one transaction and in the order of the numbers, so that a kill leaves no half of one.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mxtrain.atomic_io import reason, refuse_link, write_file
from mxtrain.config import Point, Sweep
from mxtrain.errors import FolderBusyError, SweepError
from mxtrain.sweeps.folder import identity
from mxtrain.sweeps.result import Ending
from mxtrain.sweeps.sampling import Drawn, directions

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
NAMES = {state: name for name, state in STATES.items()}

NOTED = "mxtrain"
"""The attribute of a trial that holds what Optuna has no place for."""


class Record:
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
        self._url = sweep.settings.storage or f"sqlite:///{file}"
        self._is_new = sweep.settings.storage is None and not file.exists()
        self._study: optuna.Study | None = None
        self._storage: optuna.storages.RDBStorage | None = None
        self._lock: Connection | None = None

    def attempts(self) -> list[tuple[Ending, Drawn]]:
        """The trials that have ended, in the order of their numbers; then those that were tried again.

        Raises:
            SweepError: the database cannot be reached, or its study belongs to another sweep.
        """
        if self._is_new:
            return []
        with self._reaching():
            trials = self._opened().get_trials(deepcopy=False)
            ours = (trial for trial in trials if NOTED in trial.user_attrs)  # people may add their own
            return [_recalled(trial) for trial in ours]

    def add(self, ending: Ending, drawn: Drawn) -> None:
        """Write a trial that has ended.

        Raises:
            SweepError: it cannot be written.
        """
        state = STATES[ending.state]
        noted = {  # one attribute, as each is a row of its own
            "number": ending.number,
            "run_dir": str(ending.run_dir),
            "params": dict(ending.params),
            "values": ending.values,
            "by_seed": [list(values) for values in ending.by_seed],
            "epochs": ending.epochs,
            "seconds": round(ending.seconds, 3),
            "error": ending.error,
            "marks": dict(ending.marks),
        }
        frozen = create_trial(
            state=state,
            values=ending.values if state == TrialState.COMPLETE else None,
            params=dict(ending.drawn),
            distributions=dict(drawn.distributions),
            user_attrs={NOTED: noted},
            system_attrs={**drawn.attributes, **ending.marks},
            intermediate_values=dict(ending.curve),
        )
        frozen.datetime_start = datetime.now() - timedelta(seconds=ending.seconds)  # as Optuna counts: local, no zone
        with self._reaching():
            self._opened().add_trial(frozen)

    def _hold(self, storage: optuna.storages.RDBStorage) -> None:
        """Keep other drivers away from the study, where the database can; a folder's own study goes with the folder."""
        if storage.engine.dialect.name != "postgresql":
            return
        key = int.from_bytes(sha256(f"mxtrain {self._sweep.name}".encode()).digest()[:8], "little", signed=True)
        self._lock = storage.engine.connect()  # the lock lasts as long as the connection
        if not self._lock.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            study = f"the study {self._sweep.name} in {_shown(self._url)}"
            raise FolderBusyError(f"another process works on {study}; wait for it, or stop it")

    def close(self) -> None:
        """Let go of the database."""
        if self._lock is not None:
            self._lock.close()
        if self._storage is not None:
            self._storage.remove_session()
            self._storage.engine.dispose()

    def _opened(self) -> optuna.Study:
        """The study; made when it is first needed, as that takes a while."""
        if self._study is not None:
            return self._study
        sweep = self._sweep
        storage = self._storage = optuna.storages.RDBStorage(
            self._url, engine_kwargs={"connect_args": _patience(self._url)}
        )
        self._hold(storage)
        study = optuna.create_study(
            storage=storage, study_name=sweep.name, directions=directions(sweep), load_if_exists=True
        )
        known = study.user_attrs.get("identity")
        if known is None:
            study.set_metric_names([each.metric for each in sweep.settings.objectives])
            study.set_user_attr("identity", identity(sweep))
        elif known != identity(sweep):
            place = _shown(self._url)
            raise SweepError(f"the study {sweep.name} in {place} belongs to another sweep; give this one another name")
        self._study = study
        return study

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        study = f"the study in {_shown(self._url)}"
        try:
            yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            remedy = "what was done is kept"
            if self._sweep.settings.storage is None:
                remedy = "move the file away, and it is written anew from the folders of the trials"
            raise SweepError(f"{study} cannot be reached: {_reason(error)}; {remedy}") from error
        except ImportError as error:
            extra = make_url(self._url).get_backend_name()
            raise SweepError(f"{study} needs a driver; pip install 'mxtrain[{extra}]'") from error


def _check_files(file: Path) -> None:
    """Refuse links, pipes and devices in the place of the database and the files beside it: SQLite would open them."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        place = file.with_name(file.name + suffix)
        try:
            refuse_link(place)
            if place.exists() and not place.is_file():
                raise OSError(errno.EINVAL, "is no regular file", str(place))
        except OSError as error:
            raise SweepError(f"the study {file} cannot be opened: {reason(error)}; move it away") from error
    if file.exists() and file.stat().st_nlink > 1 and not file.with_name(f"{file.name}-journal").exists():
        write_file(file, file.read_bytes())  # a hard-linked copy of the folder has a study of its own from here on


def _reason(error: Exception) -> str:
    """What the database's own driver said, on one line."""
    while error.__cause__ is not None and not isinstance(error, DBAPIError):
        error = error.__cause__  # type: ignore[assignment]
    told = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(told).split())


def _recalled(trial: FrozenTrial) -> tuple[Ending, Drawn]:
    """What `add` wrote."""
    noted = trial.user_attrs[NOTED]
    ending = Ending(
        number=noted["number"],
        state=NAMES[trial.state],
        params=noted["params"],
        drawn=trial.params,
        run_dir=Path(noted["run_dir"]),
        values=noted["values"],
        by_seed=noted["by_seed"],
        epochs=noted["epochs"],
        seconds=noted["seconds"],
        error=noted["error"],
        curve=trial.intermediate_values,
        marks=noted["marks"],
    )
    attributes = {name: value for name, value in trial.system_attrs.items() if name not in ending.marks}
    return ending, Drawn(Point(dict(trial.params), noted["params"]), trial.distributions, attributes)


def _shown(url: str) -> str:
    """The address of a database without its password."""
    with suppress(Exception):
        return make_url(url).render_as_string(hide_password=True)
    return "the database"


def _patience(url: str) -> dict[str, Any]:
    return {"timeout": 20} if url.startswith("sqlite") else {}
