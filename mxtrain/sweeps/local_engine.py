"""The local engine: supervised worker processes on this machine, and the program that each of them runs.

A worker runs `python -P -m mxtrain.sweeps.local_engine [FACTORY PLUGIN...]`. It reads one JSON line per task from
stdin and writes one JSON line per result to stdout. A worker that dies is replaced; its task runs again from the last
checkpoint. When the driver exits, stdin closes and the worker exits immediately; unsaved work is repeated by another
worker.
"""

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from mxtrain.atomic_io import make_folder, open_for_append
from mxtrain.errors import SweepError
from mxtrain.processes import child_path, child_python
from mxtrain.sweeps.task import Task, TaskResult, load_factory, run_task
from mxtrain.training import StopRequest

MAX_STARTUP_FAILURES = 100
"""The sweep ends when consecutive workers that exit before they are ready reach this total weight."""
_KILL_WEIGHT, _CRASH_WEIGHT = 1, 20
"""Weights of an exit: a killed process may start next time, and one that exits by itself will exit again."""
_KILL_SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@dataclass(eq=False)
class _Worker:
    """A worker, whose process is replaced when it dies.

    Attributes:
        environment: environment variables of the process in addition to those of this process.
        log: the file for the process's stderr.
        process: the process; None before the first.
        task: the running task; None while the worker is idle.
        is_ready: True if the process accepts tasks.
        received: the start of an incomplete message.
    """

    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    task: Task | None = None
    is_ready: bool = False
    received: bytearray = field(default_factory=bytearray)


class LocalEngine:
    """Worker processes on this machine.

    Args:
        environments: environment variables of each worker process in addition to those of this process.
        logs: the folder for the workers' stderr.
        plugin: the factory of a custom model as `module:function`.
        plugins: the modules, or paths of files, that define rules and schedules of the runs.
    """

    def __init__(
        self,
        environments: Sequence[Mapping[str, str]],
        logs: Path,
        plugin: str | None = None,
        plugins: Sequence[str] = (),
    ) -> None:
        self._workers = [_Worker(variables, logs / f"worker-{i}.log") for i, variables in enumerate(environments)]
        self._arguments = [plugin or "", *plugins] if plugin or plugins else []
        self._selector = selectors.DefaultSelector()
        self._startup_failures = 0
        for worker in self._workers:  # now, so that they are ready when the first task is submitted
            self._start_worker(worker)

    @property
    def free(self) -> int:
        """Number of tasks that can be submitted now."""
        return sum(worker.task is None for worker in self._workers)

    def submit(self, task: Task) -> None:
        """Start a task; see `Engine.submit`."""
        idle = [worker for worker in self._workers if worker.task is None]
        worker = next((each for each in idle if each.process and each.process.poll() is None), idle[0])
        worker.task = task
        if worker.process is None or worker.process.poll() is not None:
            self._stop_worker(worker)
            self._start_worker(worker)
        self._send(worker, task.to_dict())

    def wait(self, seconds: float) -> list[TaskResult]:
        """Return new results; see `Engine.wait`."""
        readable: list[_Worker] = [key.data for key, _ in self._selector.select(seconds)]
        # a child process may keep the stdout of a dead worker open, so its end is not enough to notice the death
        dead = [worker for worker in self._workers if worker.process and worker.process.poll() is not None]
        results: list[TaskResult] = []
        for worker in dict.fromkeys((*readable, *dead)):
            has_ended = self._receive(worker)
            *lines, rest = worker.received.split(b"\n")
            worker.received = bytearray(rest)
            for line in lines:
                results += self._parse_message(worker, json.loads(line))
            if has_ended or worker in dead:
                results += self._handle_death(worker)
        return results

    def stop(self, signal: int) -> None:
        """Ask every running task to end; see `Engine.stop`."""
        for worker in self._workers:
            if worker.task is not None:
                self._send(worker, {"stop": signal})

    def close(self) -> None:
        """Stop all workers."""
        for worker in self._workers:
            if worker.process is not None and not worker.is_ready:
                worker.process.kill()  # it does not read its stdin yet
            self._stop_worker(worker)
        self._selector.close()

    def _start_worker(self, worker: _Worker) -> None:
        make_folder(worker.log.parent)
        with open_for_append(worker.log) as log:
            worker.process = subprocess.Popen(
                [*child_python(), "-m", "mxtrain.sweeps.local_engine", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env={**os.environ, **child_path(), **worker.environment},
                start_new_session=True,  # the driver handles the terminal's signals
            )
        worker.is_ready = False
        worker.received.clear()
        assert worker.process.stdout is not None
        os.set_blocking(worker.process.stdout.fileno(), False)
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def _send(self, worker: _Worker, request: dict[str, Any]) -> None:
        assert worker.process is not None
        assert worker.process.stdin is not None
        with suppress(BrokenPipeError):  # it has died, which `wait` notices
            worker.process.stdin.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")

    def _receive(self, worker: _Worker) -> bool:
        """Read a worker's stdout into `received`, and return True if it has ended."""
        assert worker.process is not None
        assert worker.process.stdout is not None
        with suppress(BlockingIOError):
            while chunk := os.read(worker.process.stdout.fileno(), 1 << 20):
                worker.received += chunk
            return True
        return False

    def _parse_message(self, worker: _Worker, record: dict[str, Any]) -> list[TaskResult]:
        if record["kind"] == "ready":
            worker.is_ready, self._startup_failures = True, 0
            return []
        task, worker.task = worker.task, None
        assert task is not None, "a worker answers what it was asked"
        return [TaskResult.from_dict(task, record)]

    def _handle_death(self, worker: _Worker) -> list[TaskResult]:
        """Stop a worker that has died, and return its task, which `Driver._submit_tasks` submits again."""
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
        return [] if task is None else [TaskResult(task, "lost" if was_ready else "not_started", reason)]

    def _stop_worker(self, worker: _Worker) -> int:
        """Stop a worker's process, and return its exit status."""
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
            os.killpg(process.pid, signal.SIGKILL)  # a model's child processes may hold the lock of the run's folder
        return status


def _describe_exit(status: int) -> str:
    """Describe the end of a process.

    >>> _describe_exit(-9), _describe_exit(1)
    ('was killed by SIGKILL', 'ended with status 1')
    """
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def main(plugin: str = "", *plugins: str) -> None:
    """Run a worker: run tasks until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the driver handles it
    _die_with_parent()
    lines, answers = _redirect_streams()
    stop = StopRequest()
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    Thread(target=_read_requests, args=(lines, requests, stop), daemon=True).start()
    factory = plugin or None
    load_factory(factory)
    _send(answers, {"kind": "ready"})
    while True:
        _send(answers, run_task(Task(**requests.get()), stop, factory, plugins).to_dict())


def _die_with_parent() -> None:
    """Ask Linux to kill this process with its parent; the thread that reads stdin cannot run if the process hangs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _read_requests(lines: IO[bytes], requests: "SimpleQueue[dict[str, Any]]", stop: StopRequest) -> None:
    for line in lines:
        if not line.endswith(b"\n"):
            break  # the driver died while writing
        request = json.loads(line)
        if "stop" in request:
            stop.signal = request["stop"]
        else:
            requests.put(request)
    os._exit(0)  # at once, because another driver may continue the run


def _redirect_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Reserve stdin and stdout for messages: a model reads an empty stdin, and its prints go to stderr."""
    lines, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return lines, answers


def _send(answers: IO[bytes], record: dict[str, Any]) -> None:
    try:
        answers.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        answers.flush()
    except BrokenPipeError:
        os._exit(0)  # the driver is gone; the result is in the run's folder


if __name__ == "__main__":
    main(*sys.argv[1:])
