"""The worker process of the local engine: `python -P -m mxtrain.sweeps.worker [PLUGIN]`.

It reads one JSON line per task from stdin and writes one JSON line per result to stdout. When the driver exits, stdin
closes and the worker exits immediately; unsaved work is repeated by another worker.
"""

import ctypes
import json
import os
import signal
import sys
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from mxtrain.sweeps.task import Task, load_factory, run_task
from mxtrain.training import StopRequest


def main(plugin: str | None = None) -> None:
    """Run tasks until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the driver handles it
    _die_with_parent()
    lines, answers = _redirect_streams()
    stop = StopRequest()
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    Thread(target=_read_requests, args=(lines, requests, stop), daemon=True).start()
    load_factory(plugin)
    _send(answers, {"kind": "ready"})
    while True:
        _send(answers, run_task(Task(**requests.get()), stop, plugin).to_dict())


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
