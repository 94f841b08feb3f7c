"""The local engine: supervised worker processes on this machine.

A worker that dies is replaced; its task runs again from the last checkpoint."""

import json
import os
import selectors
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mxtrain.atomic_io import make_folder, open_for_append
from mxtrain.errors import SweepError
from mxtrain.processes import child_path, child_python
from mxtrain.sweeps.task import Task, TaskResult

MAX_STARTUP_FAILURES = 100
"""What deaths of workers that are not ready yet may count, in a row; after that no other worker would do better."""
_KILL_WEIGHT, _CRASH_WEIGHT = 1, 20
"""What a death counts: anybody may kill a process, but one that ends by itself will do so again."""
_KILL_SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@dataclass(eq=False)
class _Worker:
    """One place for a worker.

    Attributes:
        environment: what its process finds in its environment, besides this one's.
        log: where its process writes what is not an answer.
        process: the process; None before the first.
        task: what it does; None while it waits.
        is_ready: whether its process has come to the point where it takes segments.
        received: the beginning of an answer.
    """

    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    task: Task | None = None
    is_ready: bool = False
    received: bytearray = field(default_factory=bytearray)


class LocalEngine:
    """Processes on this machine.

    Args:
        environments: for each worker, what its process finds in its environment besides this one's.
        logs: the folder for what workers write to stderr.
        plugin: the factory of a custom model, as `work.load_factory` takes it.
    """

    def __init__(self, environments: Sequence[Mapping[str, str]], logs: Path, plugin: str | None = None) -> None:
        self._workers = [_Worker(it, logs / f"worker-{i}.log") for i, it in enumerate(environments)]
        self._arguments = [plugin] if plugin else []
        self._selector = selectors.DefaultSelector()
        self._startup_failures = 0
        for worker in self._workers:  # now, so that they are ready by the time there is something to do
            self._start_worker(worker)

    @property
    def free(self) -> int:
        """How many more segments it can take now."""
        return sum(worker.task is None for worker in self._workers)

    def submit(self, task: Task) -> None:
        """Begin a segment; see `Engine.submit`."""
        idle = [worker for worker in self._workers if worker.task is None]
        # one that runs already, rather than a new one
        worker = next((each for each in idle if each.process and each.process.poll() is None), idle[0])
        worker.task = task
        if worker.process is None or worker.process.poll() is not None:
            self._stop_worker(worker)
            self._start_worker(worker)
        self._send(worker, task.to_dict())

    def wait(self, seconds: float) -> list[TaskResult]:
        """What has come of segments; see `Engine.wait`."""
        readable: list[_Worker] = [key.data for key, _ in self._selector.select(seconds)]
        # a child of a worker's own may keep its stdout open, so the end of that is not all that tells of a death
        dead = [worker for worker in self._workers if worker.process and worker.process.poll() is not None]
        results: list[TaskResult] = []
        for worker in dict.fromkeys((*readable, *dead)):
            is_over = self._receive(worker)
            *lines, rest = worker.received.split(b"\n")
            worker.received = bytearray(rest)
            for line in lines:
                results += self._parse_answer(worker, json.loads(line))
            if is_over or worker in dead:
                results += self._handle_death(worker)
        return results

    def stop(self, signal: int) -> None:
        """Ask every segment under way to end; see `Engine.stop`."""
        for worker in self._workers:
            if worker.task is not None:
                self._send(worker, {"stop": signal})

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            if worker.process is not None and not worker.is_ready:
                worker.process.kill()  # it would look at its stdin only later
            self._stop_worker(worker)
        self._selector.close()

    def _start_worker(self, worker: _Worker) -> None:
        make_folder(worker.log.parent)
        with open_for_append(worker.log) as log:
            worker.process = subprocess.Popen(
                [*child_python(), "-m", "mxtrain.sweeps.worker", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env={**os.environ, **child_path(), **worker.environment},
                start_new_session=True,  # signals of the terminal are the driver's
            )
        worker.is_ready = False
        worker.received.clear()
        assert worker.process.stdout is not None
        os.set_blocking(worker.process.stdout.fileno(), False)
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def _send(self, worker: _Worker, request: dict[str, Any]) -> None:
        assert worker.process is not None
        assert worker.process.stdin is not None
        with suppress(BrokenPipeError):  # it has died: the end of its stdout says so
            worker.process.stdin.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")

    def _receive(self, worker: _Worker) -> bool:
        """Take what a worker has written; whether that was all."""
        assert worker.process is not None
        assert worker.process.stdout is not None
        with suppress(BlockingIOError):
            while chunk := os.read(worker.process.stdout.fileno(), 1 << 20):
                worker.received += chunk
            return True
        return False

    def _parse_answer(self, worker: _Worker, record: dict[str, Any]) -> list[TaskResult]:
        if record["kind"] == "ready":
            worker.is_ready, self._startup_failures = True, 0
            return []
        task, worker.task = worker.task, None
        assert task is not None, "a worker answers what it was asked"
        return [TaskResult.from_dict(task, record)]

    def _handle_death(self, worker: _Worker) -> list[TaskResult]:
        """A worker has died: its segment can be done again."""
        was_ready = worker.is_ready
        status = self._stop_worker(worker)
        reason = f"its worker {_describe_exit(status)}; see {worker.log}"
        task, worker.task = worker.task, None
        if not was_ready:
            self._startup_failures += _KILL_WEIGHT if -status in _KILL_SIGNALS else _CRASH_WEIGHT
            if self._startup_failures >= MAX_STARTUP_FAILURES:
                raise SweepError(
                    f"workers die before they are ready: the last {_describe_exit(status)}; see {worker.log}"
                )
        return [] if task is None else [TaskResult(task, "lost" if was_ready else "undone", reason)]

    def _stop_worker(self, worker: _Worker) -> int:
        """See a worker's process off; its exit status."""
        process, worker.process = worker.process, None
        if process is None:
            return 0
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(KeyError):
            self._selector.unregister(process.stdout)
        with suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        try:
            status = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # processes of its model's, which may hold the run's folder
        return status


def _describe_exit(status: int) -> str:
    """How a process ended.

    >>> _describe_exit(-9), _describe_exit(1)
    ('was killed by SIGKILL', 'ended with status 1')
    """
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
