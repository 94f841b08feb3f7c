"""The Dask engine: runs tasks on the workers of a Dask cluster that share the sweep's folder."""

import time
from functools import cache
from queue import Empty, SimpleQueue
from signal import SIGTERM
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mxtrain.errors import SweepError
from mxtrain.sweeps.task import Task, TaskResult, run_task
from mxtrain.training import StopRequest

if TYPE_CHECKING:
    from mxtrain.sweeps import dask_cluster

_WORKER_COUNT_SECONDS = 1.0
"""Seconds for which the number of workers is taken to be what it was."""
_HEARTBEAT_SECONDS = 3.0
"""Seconds between two looks at whether the driver is still there."""


class DaskEngine:
    """Workers of a Dask cluster.

    Args:
        scheduler: the address of its scheduler; None begins a cluster on this machine.
        count: how many segments are under way at once at the most.
        environment: what the processes of a cluster on this machine find in their environment.
        plugin: the factory of a custom model, as `run_task.load_factory` takes it.

    Raises:
        SweepError: Dask is missing, or the scheduler does not answer.
    """

    def __init__(
        self, scheduler: str | None, count: int, environment: dict[str, str], plugin: str | None = None
    ) -> None:
        try:
            from distributed import Client, Event
        except ModuleNotFoundError as error:
            raise SweepError("the engine dask needs Dask; pip install 'mxtrain[dask]'") from error
        self._count, self._plugin = count, plugin
        self._cluster: dask_cluster.PrivateCluster | None = None
        if scheduler is None:
            try:
                from mxtrain.sweeps.dask_cluster import PrivateCluster

                self._cluster = PrivateCluster(count, environment)
            except ImportError as error:
                raise SweepError(f"a Dask cluster on this machine: {error}; pip install 'mxtrain[dask]'") from error
            except RuntimeError as error:
                raise SweepError(
                    "the workers of a Dask cluster cannot be begun; a script that begins one needs "
                    'the line `if __name__ == "__main__":` above what it does'
                ) from error
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
        """How many more segments it can take now."""
        if time.monotonic() - self._counted_at > _WORKER_COUNT_SECONDS:
            self._threads, self._counted_at = sum(self._client.nthreads().values()), time.monotonic()
        return min(self._count, self._threads) - len(self._futures)

    def submit(self, task: Task) -> None:
        """Begin a segment; see `Engine.submit`."""
        driver = (self._event_name, self._client.id)
        future = self._client.submit(run_on_worker, task.to_dict(), self._plugin, driver, pure=False)
        self._futures[task.key] = future
        future.add_done_callback(lambda done: self._finished.put((task, done)))

    def wait(self, seconds: float) -> list[TaskResult]:
        """What has come of segments; see `Engine.wait`."""
        results = []
        try:
            results.append(self._to_result(*self._finished.get(timeout=seconds)))
            while True:
                results.append(self._to_result(*self._finished.get_nowait()))
        except Empty:
            return results

    def stop(self, signal: int) -> None:
        """Ask every segment under way to end; see `Engine.stop`."""
        self._event.set()

    def close(self) -> None:
        """Leave the cluster; end it, where it was begun here."""
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


def run_on_worker(task: dict[str, Any], plugin: str | None, driver: tuple[str, str]) -> dict[str, Any]:
    """Do a segment, on a worker."""
    return run_task(Task(**task), _stop_request(*driver), plugin).to_dict()


@cache
def _stop_request(event_name: str, driver: str) -> StopRequest:
    """Whether a driver wants everything to stop, or is gone; one for all its segments in a process."""
    from distributed import Event, get_client

    client = get_client()
    request, event = StopRequest(), Event(event_name, client=client)

    def listen() -> None:
        while not event.wait(_HEARTBEAT_SECONDS) and client.run_on_scheduler(_has_client, driver):
            pass
        request.signal = SIGTERM

    Thread(target=listen, daemon=True).start()
    return request


def _has_client(driver: str, dask_scheduler: Any) -> bool:
    """Whether the scheduler has a client of this name."""
    return driver in dask_scheduler.clients
