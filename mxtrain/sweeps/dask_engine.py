"""The Dask engine: runs tasks on the workers of a Dask cluster that share the sweep's folder.

Without the address of a scheduler it starts a private cluster on this machine: TLS with temporary certificates that are
kept in memory, and no HTTP server.
"""

import logging
import os
import time
from collections.abc import Sequence
from functools import cache
from queue import Empty, SimpleQueue
from signal import SIGTERM
from threading import Thread
from typing import Any
from uuid import uuid4

from distributed import Client, Event, Nanny, Scheduler, Security, SpecCluster, Worker, get_client
from distributed.worker_memory import parse_memory_limit

from mxtrain.errors import SweepError, SweepRequestError
from mxtrain.sweeps.task import Task, TaskResult, run_task
from mxtrain.training import StopRequest

_WORKER_COUNT_SECONDS = 1.0
"""Seconds for which the number of threads of the cluster is cached."""
_HEARTBEAT_SECONDS = 3.0
"""Seconds between two checks that the driver is still connected."""
_HOST = "127.0.0.1"
_SAFE_PATH = "PYTHONSAFEPATH"


class DaskEngine:
    """Workers of a Dask cluster.

    Args:
        scheduler: the address of the cluster's scheduler; None starts a cluster on this machine.
        count: the largest number of tasks that run at the same time.
        environment: environment variables of the processes of a cluster on this machine.
        plugin: the factory of a custom model as `module:function`.
        plugins: the modules, or paths of files, that define rules and schedules of the runs.

    Raises:
        SweepError: a package is missing, or the scheduler does not answer.
    """

    def __init__(
        self,
        scheduler: str | None,
        count: int,
        environment: dict[str, str],
        plugin: str | None = None,
        plugins: Sequence[str] = (),
    ) -> None:
        self._count, self._imports = count, (plugin, tuple(plugins))
        self._cluster = _start_cluster(count, environment) if scheduler is None else None
        try:
            address = scheduler if self._cluster is None else self._cluster.cluster
            self._client = Client(address, set_as_default=False, timeout=20)
        except (OSError, ValueError, TypeError, RuntimeError) as error:  # the last two: TLS without certificates
            raise SweepError(f"the Dask scheduler {scheduler} does not answer: {error}") from error
        self._event_name = f"mxtrain-{uuid4().hex}"
        self._event = Event(self._event_name, client=self._client)
        self._finished: SimpleQueue[tuple[Task, Any]] = SimpleQueue()
        self._futures: dict[tuple[int, int], Any] = {}
        self._threads, self._counted_at = 0, -_WORKER_COUNT_SECONDS

    @property
    def free(self) -> int:
        """Number of tasks that can be submitted now."""
        if time.monotonic() - self._counted_at > _WORKER_COUNT_SECONDS:
            self._threads, self._counted_at = sum(self._client.nthreads().values()), time.monotonic()
        return min(self._count, self._threads) - len(self._futures)

    def submit(self, task: Task) -> None:
        """Start a task; see `Engine.submit`."""
        driver = (self._event_name, self._client.id)
        future = self._client.submit(run_on_worker, task.to_dict(), self._imports, driver, pure=False)
        self._futures[task.key] = future
        future.add_done_callback(lambda done: self._finished.put((task, done)))

    def wait(self, seconds: float) -> list[TaskResult]:
        """Return new results; see `Engine.wait`."""
        results = []
        try:
            results.append(self._to_result(*self._finished.get(timeout=seconds)))
            while True:
                results.append(self._to_result(*self._finished.get_nowait()))
        except Empty:
            return results

    def stop(self, signal: int) -> None:
        """Ask every running task to end; see `Engine.stop`."""
        self._event.set()

    def close(self) -> None:
        """Disconnect from the cluster; stop a cluster on this machine."""
        self._event.set()
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def _to_result(self, task: Task, future: Any) -> TaskResult:
        del self._futures[task.key]
        if future.status == "finished":
            return TaskResult.from_dict(task, future.result())
        return TaskResult(
            task, "lost", f"its worker was lost: {future.exception() if future.done() else future.status}"
        )


def run_on_worker(
    task: dict[str, Any], imports: tuple[str | None, tuple[str, ...]], driver: tuple[str, str]
) -> dict[str, Any]:
    """Run a task on a worker; `imports` are the arguments `plugin` and `plugins` of the engine."""
    return run_task(Task(**task), _stop_request(*driver), *imports).to_dict()


@cache
def _stop_request(event_name: str, driver: str) -> StopRequest:
    """Return the stop request of a driver, one for all its tasks in a process; a lost driver stops them too."""
    client = get_client()
    request, event = StopRequest(), Event(event_name, client=client)

    def listen() -> None:
        while not event.wait(_HEARTBEAT_SECONDS) and client.run_on_scheduler(_has_client, driver):
            pass
        request.signal = SIGTERM

    Thread(target=listen, daemon=True).start()
    return request


def _has_client(driver: str, dask_scheduler: Any) -> bool:
    """Return True if the scheduler has a client of this name."""
    return driver in dask_scheduler.clients


# The private cluster


class _NoHTTP:
    """Starts no HTTP server; Dask's own listens on port 8787 even if the dashboard is off."""

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        pass


class QuietScheduler(_NoHTTP, Scheduler):
    """A scheduler without an HTTP server."""


class QuietWorker(_NoHTTP, Worker):
    """A worker without an HTTP server."""


class PrivateCluster:
    """Workers on this machine that trust only certificates that are created for this cluster and kept in memory.

    Args:
        count: the number of workers, each with one thread.
        environment: environment variables of their processes.

    Raises:
        ImportError: the package cryptography is missing.
        RuntimeError: the processes cannot be started.
    """

    def __init__(self, count: int, environment: dict[str, str]) -> None:
        security = Security.temporary()
        common = {"host": _HOST, "protocol": "tls://", "security": security}
        worker = {
            "cls": Nanny,
            "options": {
                **common,
                "nthreads": 1,
                "memory_limit": parse_memory_limit("auto", 1, count, logger=logging.getLogger("distributed")),
                "worker_class": QuietWorker,
                "env": environment,
                "silence_logs": 50,
            },
        }
        self._safe_path = os.environ.get(_SAFE_PATH)
        os.environ[_SAFE_PATH] = "1"  # worker processes start with `python -c`, which imports from the current folder
        try:
            self.cluster: Any = SpecCluster(
                scheduler={"cls": QuietScheduler, "options": {**common, "dashboard": False}},
                workers=dict.fromkeys(range(count), worker),
                security=security,
                silence_logs=50,
            )
        except BaseException:
            self._restore_path()
            raise

    def close(self) -> None:
        """Stop all workers."""
        self.cluster.close()
        self._restore_path()

    def _restore_path(self) -> None:
        if self._safe_path is None:
            os.environ.pop(_SAFE_PATH, None)
        else:
            os.environ[_SAFE_PATH] = self._safe_path


def _start_cluster(count: int, environment: dict[str, str]) -> PrivateCluster:
    try:
        return PrivateCluster(count, environment)
    except ImportError as error:
        raise SweepRequestError(f"a Dask cluster on this machine: {error}; pip install 'mxtrain[dask]'") from error
    except RuntimeError as error:
        raise SweepError(
            "the workers of a Dask cluster cannot be started; a script that starts one must call it below "
            '`if __name__ == "__main__":`'
        ) from error
