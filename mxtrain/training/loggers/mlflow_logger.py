"""Logger for MLflow: the server of MLFLOW_TRACKING_URI, or the run's folder if that is not set."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

# Usage reports are sent only if the user sets this to false.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Only results go to stdout.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# BackgroundSender retries when a server is unreachable; with MLflow's own limits it would wait for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mxtrain.atomic_io import parse_json, read_file, refuse_link, write_file
from mxtrain.errors import RunInterrupted, RunPaused, escape_unprintable, resume_command
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.training.callbacks import Logger, Row, RunInfo
from mxtrain.training.loggers.delivery import (
    CLOSING_LIMIT,
    STALLED_LIMIT,
    BackgroundSender,
    TimestampedRow,
    allowed_names,
    describe_error,
    hyperparameters,
    report,
    scalars,
)

FOLDER = "mlflow"
RECORD = "mlflow.json"
"""The file that identifies this run in MLflow: `{"uri": ..., "run_id": ..., "token": ...}`."""
_TOKEN = "mxtrain.token"
"""The tag that identifies an MLflow run whose creation was not confirmed."""

_PARAMS_AT_ONCE, _METRICS_AT_ONCE = 100, 1000
"""Largest numbers of params and metrics that MLflow accepts in one call."""
_LONGEST_NAME = 250
_LONGEST_VALUES = (6000, 500, 250)
"""Largest number of characters in the value of a param: for current MLflow, and for older servers."""
_REFUSED = re.compile(r"[^/\w.\- ]|^[/.]+|(?<=/)\.*/|(?<=/)\.+\Z|/\Z")
"""Characters that MLflow does not accept in a name, and parts that do not belong in a normalized path."""
_SILENT: set[str] = set()
"""Addresses that did not answer at the end of an earlier run in this process, such as another trial."""
_SHORT_WAIT = 0.5
"""Seconds that the end of a run waits for these addresses."""
_IS_GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_STATE")
_IS_REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


class MLflow(Logger):
    """Logs the metrics of each epoch to MLflow, in an experiment with the `name` of the config.

    If MLFLOW_TRACKING_URI is not set, metrics are stored in RUN/mlflow; show them with
    `MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri RUN/mlflow`. A resumed run continues the same MLflow
    run, and sends the epochs that are missing there.

    Metrics are sent by a background thread. If a server cannot be reached, training continues, the first failure is
    reported, and the rows are sent when the server answers again, or by a later resume.
    """

    def on_start(self, info: RunInfo) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        is_local = not uri
        if not uri:
            # MLflow prefers databases to folders, and refuses a folder unless this is set.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            refuse_link(info.run_dir / FOLDER)
            uri = (info.run_dir / FOLDER).absolute().as_uri()
        is_local = is_local or urlsplit(uri).scheme in ("", "file", "sqlite")
        shown, remedy = _without_password(uri), resume_command(info.run_dir)

        def report_error(error: Exception) -> None:
            report(
                f"MLflow at {shown} does not take the metrics: {_reason(error, uri)}; training does not depend on it, "
                f"and `{remedy}` sends later what is missing"
            )

        self._uri = uri
        # Local files are slow where epochs are short, but they do not stall.
        self._sender = BackgroundSender(_Client(uri, info, is_local), report_error, inf if is_local else CLOSING_LIMIT)
        self._sender.start(info.history)

    def on_epoch(self, state: OptimizationState, row: Row) -> None:
        self._sender.add(row)

    def on_end(self, seconds: float) -> None:
        self._close("FINISHED")

    def on_error(self, error: BaseException) -> None:
        if not hasattr(self, "_sender"):
            return
        if isinstance(error, RunPaused):
            self._close(None)
        else:
            self._close("KILLED" if isinstance(error, RunInterrupted | KeyboardInterrupt) else "FAILED")

    def _close(self, status: str | None) -> None:
        is_delivered = self._sender.close(status, _SHORT_WAIT if self._uri in _SILENT else STALLED_LIMIT)
        (_SILENT.discard if is_delivered else _SILENT.add)(self._uri)


class _Client:
    """Client of MLflow that creates a run there and sends its params and metrics.

    Args:
        uri: the address of the server, or of a folder.
        info: the training run.
        is_local: whether a row may be stored in part if the process is killed.
    """

    def __init__(self, uri: str, info: RunInfo, is_local: bool) -> None:
        self._uri, self._shown, self._info, self._is_local = uri, _without_password(uri), info, is_local
        self._record = info.run_dir / RECORD
        self._client: MlflowClient | None = None
        self._params_are_refused = False

    def connect(self, note_progress: Callable[[], None]) -> None:
        """Find or create the MLflow run, and read which points it has."""
        client = self._client = self._client or MlflowClient(tracking_uri=self._uri)
        run = self._find_existing_run(client) or self._create_run(client, note_progress)
        note_progress()
        self._run_id: str = run.info.run_id
        if run.info.status != "RUNNING":
            client.update_run(self._run_id, status="RUNNING")
            note_progress()
        self._log_parameters(client, run.data.params)
        note_progress()
        # A server stores a batch as a whole; of a local store, each metric has to be read.
        names = run.data.metrics if self._is_local else {"loss", "η"} & run.data.metrics.keys()
        self._sent: set[tuple[str, int]] = set()
        for name in names:
            self._sent.update((name, point.step) for point in client.get_metric_history(self._run_id, name))
            note_progress()

    def send(self, rows: Sequence[TimestampedRow]) -> None:
        """Log the metrics of rows, except points that the MLflow run has."""
        assert self._client is not None, "connected"
        for points in _batches([self._points(*stamped) for stamped in rows]):
            self._client.log_batch(self._run_id, metrics=points)
            self._sent.update((point.key, point.step) for point in points)

    def finish(self, status: str) -> None:
        """Set the status of the run."""
        assert self._client is not None, "connected"
        self._client.set_terminated(self._run_id, status)

    def _points(self, row: Row, milliseconds: int) -> list[Metric]:
        values, epoch = dict(scalars(row)), row["epoch"]
        if not self._is_local and not self._sent.isdisjoint({("loss", epoch), ("η", epoch)}):
            return []
        names = allowed_names(values, _REFUSED, _LONGEST_NAME)
        return [
            Metric(names[name], value, milliseconds, epoch)
            for name, value in values.items()
            if (names[name], epoch) not in self._sent
        ]

    def _find_existing_run(self, client: MlflowClient) -> Run | None:
        """Return the MLflow run that an earlier process created for this run; None if there is none."""
        record = self._read_record()
        if run_id := record.get("run_id"):
            try:
                run = client.get_run(str(run_id))
            except MlflowException as error:
                if error.error_code not in (*_IS_GONE, *_IS_REFUSED):
                    raise
                return None
            return run if run.info.lifecycle_stage == "active" else None
        if token := record.get("token"):
            experiment = client.get_experiment_by_name(self._info.config.name)
            found = (
                client.search_runs([experiment.experiment_id], f"tags.`{_TOKEN}` = '{token}'", max_results=1)
                if experiment
                else ()
            )
            if found:
                self._write_record(found[0].info.run_id, str(token))
                return found[0]
        return None

    def _create_run(self, client: MlflowClient, note_progress: Callable[[], None]) -> Run:
        name, token = self._info.config.name, uuid4().hex
        experiment = client.get_experiment_by_name(name)
        note_progress()
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
        note_progress()
        # Written first, so that if the answer is lost, the run is found by its token and not created twice.
        self._write_record(None, token)
        run_name = self._info.run_dir.absolute().name.encode(errors="replace").decode()
        run = client.create_run(experiment_id, run_name=run_name, tags={_TOKEN: token})
        self._write_record(run.info.run_id, token)
        return run

    def _read_record(self) -> Mapping[str, Any]:
        try:
            record = parse_json(read_file(self._record))
        except (OSError, ValueError):
            return {}
        belongs_to_uri = isinstance(record, dict) and record.get("uri") in (self._uri, self._shown)
        return record if belongs_to_uri else {}

    def _write_record(self, run_id: str | None, token: str) -> None:
        record = {"uri": self._shown, "run_id": run_id, "token": token}
        write_file(self._record, json.dumps(record).encode() + b"\n")

    def _log_parameters(self, client: MlflowClient, present: Mapping[str, str]) -> None:
        """Log the config's values that are missing; a server that refuses them still gets metrics."""
        values = hyperparameters(self._info.config.to_dict())
        names = allowed_names(values, _REFUSED, _LONGEST_NAME)
        missing = {
            names[path]: escape_unprintable(str(value)) for path, value in values.items() if names[path] not in present
        }
        for longest in _LONGEST_VALUES:
            try:
                params = [Param(name, _truncate(value, longest)) for name, value in missing.items()]
                for i in range(0, len(params), _PARAMS_AT_ONCE):
                    client.log_batch(self._run_id, params=params[i : i + _PARAMS_AT_ONCE])
            except MlflowException as error:
                if error.error_code not in _IS_REFUSED:
                    raise
                refusal = error
            else:
                return
        if not self._params_are_refused:
            self._params_are_refused = True
            report(f"MLflow at {self._shown} refused the hyperparameters: {_reason(refusal, self._uri)}")


def _batches(rows: Sequence[list[Metric]]) -> Iterator[list[Metric]]:
    """Yield the points of rows in batches of as many rows as fit; a longer row is split."""
    batch: list[Metric] = []
    for points in rows:
        if batch and len(batch) + len(points) > _METRICS_AT_ONCE:
            yield batch
            batch = []
        batch = [*batch, *points]
        while len(batch) > _METRICS_AT_ONCE:
            # The metrics by which a row counts as sent go last.
            batch.sort(key=lambda point: point.key in ("loss", "η"))
            yield batch[:_METRICS_AT_ONCE]
            batch = batch[_METRICS_AT_ONCE:]
    if batch:
        yield batch


def _truncate(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _without_password(uri: str) -> str:
    """Return an address without user name, password and query."""
    return re.sub(r"//[^/]*@", "//", uri.partition("?")[0])


def _reason(error: Exception, uri: str) -> str:
    """Return the message of the innermost error, without a password."""
    root: BaseException = error
    while inner := root.__cause__ or root.__context__:
        root = inner
    if isinstance(root, LookupError | TypeError | AttributeError):
        root = error  # an internal error of MLflow, whose own message says more
    if isinstance(root, TimeoutError):
        return "no answer in time"
    text = describe_error(root).replace(uri, _without_password(uri)).removeprefix("MlflowException: ")
    password = re.search(r"//[^/]*?:([^/]+)@", uri)
    return text.replace(password[1], "***") if password else text
