"""Delivery of metrics to services: a background thread, and names and values that services accept."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from hashlib import sha256
from math import isfinite
from re import Pattern, compile
from typing import Any, NamedTuple, Protocol

from mxtrain.config.dotted_paths import flatten
from mxtrain.errors import escape_unprintable
from mxtrain.training.callbacks import Row

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds between attempts after the first failure, doubled after each further one, and their upper limit."""
CLOSING_DELAY = 0.2
"""Seconds between attempts after the end of the run."""
STALLED_LIMIT, CLOSING_LIMIT = 3.0, 10.0
"""Seconds that `close` waits for the next answer of the service, and for everything to be delivered."""
MAX_ROWS_PER_CALL = 100
"""Largest number of rows in one call."""
_HASHED = compile(r"-[0-9a-f]{8}\Z")
"""Suffix of a changed name; other names with such a suffix are changed too, so that no two names become equal."""
_LONGEST_REASON = 200
"""Largest number of characters of a reported error message."""


class TimestampedRow(NamedTuple):
    """A row and the time at which it was finished, in milliseconds; the same in every attempt to send it."""

    row: Row
    milliseconds: int


class Service(Protocol):
    """A destination of rows. Any method may raise, and is then called again later."""

    def connect(self, note_progress: Callable[[], None]) -> None:
        """Connect, and read which rows the service has; called again after every failure.

        Args:
            note_progress: must be called after each answer of the service.
        """

    def send(self, rows: Sequence[TimestampedRow]) -> None:
        """Send rows, except those that the service has."""

    def finish(self, status: str) -> None:
        """Mark the run as ended."""


class BackgroundSender:
    """Sends rows in order from a daemon thread, and retries after failures.

    Args:
        service: the destination of the rows.
        report: called with the first error, from the thread; later errors are not reported.
        closing_limit: the most seconds that `close` waits.
    """

    def __init__(
        self, service: Service, report: Callable[[Exception], object], closing_limit: float = CLOSING_LIMIT
    ) -> None:
        self._service = service
        self._report = report
        self._closing_limit = closing_limit
        self._changed = threading.Condition()
        self._rows: list[TimestampedRow] = []
        self._status: str | None = None
        self._is_closing = self._is_over = self._has_answered = self._has_reported = False
        self._delay, self._progress_at = FIRST_DELAY, 0.0
        self._thread = threading.Thread(target=self._run, name="mxtrain-logger", daemon=True)

    def start(self, rows: Sequence[Row]) -> None:
        """Start the thread with the rows of finished epochs."""
        self._rows.extend(map(_timestamped, rows))
        self._thread.start()

    def add(self, row: Row) -> None:
        """Queue a row; never blocks."""
        with self._changed:
            self._rows.append(_timestamped(row))
            self._changed.notify_all()

    def close(self, status: str | None, first_limit: float = STALLED_LIMIT) -> bool:
        """Wait a bounded time until everything is delivered, then stop.

        Args:
            status: the final status of the run; None if it continues later.
            first_limit: seconds to wait for the first answer.

        Returns:
            True if everything was delivered.
        """
        begin = time.monotonic()
        with self._changed:
            self._status, self._is_closing, self._progress_at = status, True, begin
            self._changed.notify_all()
            while not self._is_over:
                now = time.monotonic()
                stalled = STALLED_LIMIT if self._has_answered else first_limit
                limit = min(self._progress_at + stalled, begin + self._closing_limit)
                if now >= limit:
                    break
                self._changed.wait(limit - now)
            is_delivered, self._is_over = self._is_over, True
            self._changed.notify_all()
        if not is_delivered:
            self._report_once(TimeoutError())
        return is_delivered

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._deliver()
            except Exception as error:  # noqa: BLE001 - no failure of a service may end the run
                self._pause(error)

    def _deliver(self) -> None:
        """Connect and send rows as they come, until the run is over or something fails."""
        self._service.connect(self._note_progress)
        while rows := self._next_rows():
            self._service.send(rows)
            self._note_progress(sent=len(rows))
        if self._status is not None and not self._is_over:
            self._service.finish(self._status)
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _next_rows(self) -> Sequence[TimestampedRow]:
        """Return the rows to send next; none if the run is over."""
        with self._changed:
            while not (self._rows or self._is_closing):
                self._changed.wait()
            return () if self._is_over else tuple(self._rows[:MAX_ROWS_PER_CALL])

    def _note_progress(self, sent: int = 0) -> None:
        with self._changed:
            del self._rows[:sent]
            self._has_answered = True
            self._delay, self._progress_at = FIRST_DELAY, time.monotonic()
            self._changed.notify_all()

    def _pause(self, error: Exception) -> None:
        """Wait before the next attempt; only briefly if the run is over and waits for this thread."""
        if self._is_over:
            return
        self._report_once(error)
        with self._changed:
            if self._changed.wait_for(lambda: self._is_closing, self._delay):
                self._changed.wait_for(lambda: self._is_over, CLOSING_DELAY)
        self._delay = min(2 * self._delay, LONGEST_DELAY)

    def _report_once(self, error: Exception) -> None:
        with self._changed:
            if self._has_reported:
                return
            self._has_reported = True
        self._report(error)  # without the lock: stderr may block


def _timestamped(row: Row) -> TimestampedRow:
    return TimestampedRow(row, time.time_ns() // 1_000_000)


def report(message: str) -> None:
    """Log a warning, which goes to stderr as one line unless `logging` is configured otherwise."""
    logging.getLogger("mxtrain").warning("%s", escape_unprintable(message))


def describe_error(error: BaseException) -> str:
    """Describe an error by its type and the first line of its message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    text = (str(error).strip().splitlines() or [""])[0]
    text = text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def scalars(row: Row) -> Iterator[tuple[str, float]]:
    """Yield the finite numbers of an epoch with their names; those of diagnostics with their paths.

    >>> list(scalars({"epoch": 1, "iteration": 45, "loss": 0.5, "r2": None,
    ...               "diagnostics": {"update_ratio": {"W1": 0.001}}}))
    [('loss', 0.5), ('diagnostics/update_ratio/W1', 0.001)]
    """
    for name, value in flatten(row, "/").items():
        if name not in ("epoch", "iteration") and isinstance(value, int | float) and _is_finite(value):
            yield name, float(value)


def _is_finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:
        return False


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a config by their paths, with lists as text; unset values are left out.

    >>> hyperparameters({"seed": 0, "model": {"kind": "mlp", "hidden": [64, 32]}, "fit": {"early_stopping": None}})
    {'seed': 0, 'model.kind': 'mlp', 'model.hidden': '[64, 32]'}
    """
    return {
        path: str(value) if isinstance(value, list | dict) else value
        for path, value in flatten(config).items()
        if value is not None
    }


def allowed_names(names: Collection[str], refused: Pattern[str], longest: int) -> dict[str, str]:
    """Map names to names that a service accepts: equal names stay equal, others stay different.

    A refused character becomes `_`, and a changed name ends with a hash of the original. A name that is also a folder
    of another one, as `a` is of `a/b`, is changed too, because services that store files cannot have both.

    Args:
        names: the names.
        refused: the characters, or parts, that the service refuses.
        longest: the most characters of a name.

    >>> allowed_names(["λ", "groups.b*.λ", "groups.b?.λ"], compile(r"[^\\w.]"), 250)
    {'λ': 'λ', 'groups.b*.λ': 'groups.b_.λ-4f8433a3', 'groups.b?.λ': 'groups.b_.λ-49bf9080'}
    """
    folders = {name[:i] for name in names for i, character in enumerate(name) if character == "/"}
    return {name: _allowed(name, refused, longest, is_folder=name in folders) for name in names}


def _allowed(name: str, refused: Pattern[str], longest: int, is_folder: bool) -> str:
    changed = refused.sub("_", name)
    if changed == name and 0 < len(name) <= longest and not is_folder and not _HASHED.search(name):
        return name
    return f"{changed[: longest - 9]}-{sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"
