"""Metrics for MLflow: to the server of MLFLOW_TRACKING_URI, or else into the run's folder."""

import json
import os
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

# A training run tells nobody of itself unasked; who wants MLflow's usage reports sets this to false.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mxtrain.atomic_io import read_file, write_file
from mxtrain.errors import RunInterrupted, RunPaused, TrainingError
from mxtrain.state import OptimizationState
from mxtrain.training.callbacks import Callback, Row, RunInfo
from mxtrain.training.json_text import parse
from mxtrain.training.loggers import hyperparameters, scalars

FOLDER = "mlflow"
RECORD = "mlflow.json"
"""Which run of which MLflow this one is: `{"uri": ..., "run_id": ...}`."""
_AT_ONCE = 100
"""Parameters that MLflow takes in one call."""


class MLflow(Callback):
    """Sends each epoch's metrics to MLflow, under an experiment called as the config's `name`.

    Where MLFLOW_TRACKING_URI is not set, they go into RUN/mlflow, to be looked at with
    `MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri RUN/mlflow`. A resumed run goes on in the same MLflow
    run, and sends what that lacks. Where a server cannot be reached, training goes on, and what could not be sent is
    tried again after each epoch.

    Raises:
        TrainingError: MLflow cannot be reached when the run begins, or has not got everything when it is over.
    """

    def on_start(self, info: RunInfo) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            # MLflow prefers data bases to folders, and wants to hear that a folder is meant.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = (info.run_dir / FOLDER).absolute().as_uri()
        self._uri, self._waiting = uri, list(info.history)
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self._run_id = self._known(info.run_dir) or self._new(info)
            self._sent = {point.step for point in self._client.get_metric_history(self._run_id, "loss")}
        except MlflowException as error:
            raise TrainingError(f"MLflow at {uri} does not take the run: {_first_line(error)}") from error
        self._send()

    def on_epoch(self, state: OptimizationState, row: Row) -> None:
        self._waiting.append(row)
        self._send()

    def on_end(self, seconds: float) -> None:
        problem = self._send() or self._terminate("FINISHED")
        if problem:
            raise TrainingError(
                f"MLflow at {self._uri} did not get everything: {problem}; the run is saved: resume it to send the rest"
            )

    def on_error(self, error: BaseException) -> None:
        if hasattr(self, "_sent"):
            self._send()
            self._terminate("KILLED" if isinstance(error, RunInterrupted | RunPaused | KeyboardInterrupt) else "FAILED")

    def _known(self, run_dir: Path) -> str | None:
        """The MLflow run that this run has there already."""
        try:
            record = parse(read_file(run_dir / RECORD))
            if record["uri"] != self._uri:
                return None
            self._client.update_run(record["run_id"], status="RUNNING")
            return str(record["run_id"])
        except (OSError, ValueError, LookupError, TypeError, MlflowException):
            return None

    def _new(self, info: RunInfo) -> str:
        client, name = self._client, info.config.name
        experiment = client.get_experiment_by_name(name)
        place = experiment.experiment_id if experiment else client.create_experiment(name)
        run_id: str = client.create_run(place, run_name=info.run_dir.name).info.run_id
        self._log_parameters(run_id, hyperparameters(info.config.to_dict()))
        write_file(info.run_dir / RECORD, json.dumps({"uri": self._uri, "run_id": run_id}).encode() + b"\n")
        return run_id

    def _log_parameters(self, run_id: str, values: Mapping[str, Any]) -> None:
        params = (Param(path, str(value)) for path, value in values.items())
        while portion := list(islice(params, _AT_ONCE)):
            self._client.log_batch(run_id, params=portion)

    def _send(self) -> str:
        """Send every epoch that waits; returns what is in the way."""
        while self._waiting:
            row = self._waiting[0]
            if row["epoch"] not in self._sent:
                points = [Metric(name, value, int(time.time() * 1000), row["epoch"]) for name, value in scalars(row)]
                try:
                    self._client.log_batch(self._run_id, metrics=points)
                except MlflowException as error:
                    return _first_line(error)
                self._sent.add(row["epoch"])
            del self._waiting[0]
        return ""

    def _terminate(self, status: str) -> str:
        try:
            self._client.set_terminated(self._run_id, status)
        except MlflowException as error:
            return _first_line(error)
        return ""


def _first_line(error: MlflowException) -> str:
    return (str(error).splitlines() or ["unknown error"])[0]
