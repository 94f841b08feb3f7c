"""A worker: a process that does one segment after the other, `python -P -m mxtrain.sweeps.worker [PLUGIN]`.

It reads a line of JSON for each segment from stdin, and writes one for what came of it. When its driver is gone,
however that ended, stdin ends, and so does the worker, at once: another does again what was not saved.
"""

import ctypes
import json
import os
import signal
import sys
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from mxtrain.sweeps.task import Task
from mxtrain.sweeps.work import load_factory, work
from mxtrain.training import StopRequest


def main(plugin: str | None = None) -> None:
    """Work until stdin ends."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process of a terminal; the driver says what to do
    _die_with_parent()
    lines, answers = _own_streams()
    stop = StopRequest()
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    Thread(target=_read, args=(lines, requests, stop), daemon=True).start()
    load_factory(plugin)
    _send(answers, {"kind": "ready"})
    while True:
        _send(answers, work(Task(**requests.get()), stop, plugin).to_dict())


def _die_with_parent() -> None:
    """Where the system can: the end of stdin is noticed by a thread, which runs in no process that hangs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _read(lines: IO[bytes], requests: "SimpleQueue[dict[str, Any]]", stop: StopRequest) -> None:
    for line in lines:
        if not line.endswith(b"\n"):
            break  # the driver died while writing
        request = json.loads(line)
        if "stop" in request:
            stop.signal = request["stop"]
        else:
            requests.put(request)
    os._exit(0)  # nobody waits for an answer any more, and another process may take up the run's folder


def _own_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Stdin and stdout for segments alone: a model reads nothing, and what it prints goes to stderr."""
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
