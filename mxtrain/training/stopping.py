"""A polite way to stop: the first signal lets the step end and the run be saved, the second one does not wait."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class StopRequest:
    """Whether a run shall stop: the number of the signal that said so, 0 for none."""

    signal: int = 0


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a request, which `fit` obeys; a second one acts at once, as ever.

    Only the main thread may use it, as Python handles signals there.
    """
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        if request.signal:
            signal.signal(number, before[signal.Signals(number)] or signal.SIG_DFL)
            signal.raise_signal(number)
        else:
            request.signal = number

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number in SIGNALS:
            signal.signal(number, before[number] or signal.SIG_DFL)
