"""Stop requests from signals."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class StopRequest:
    """A request to stop a run: the number of the signal that was received, 0 for none."""

    signal: int = 0


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a stop request; a second one acts immediately, as usual.

    Only the main thread can use it, because Python handles signals there.
    """
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        if request.signal:
            signal.signal(number, before[signal.Signals(number)] or signal.SIG_DFL)
            signal.raise_signal(number)
        else:
            request.signal = number

    for number in SIGNALS:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        for number in SIGNALS:
            signal.signal(number, before[number] or signal.SIG_DFL)
