"""Progress of `minimize`: a line that is redrawn on a terminal, and lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.text import Text

from mxtrain.cli.rich_output import RightMargin
from mxtrain.cli.streams import messages
from mxtrain.formatting import format_duration
from mxtrain.optim.stopping import Progress

REFRESH_SECONDS = 0.1
LINE_SECONDS = 10.0
"""Seconds between two lines where nothing can be redrawn."""


@contextmanager
def show_progress() -> Iterator[Callable[[Progress], None]]:
    """Show iterations, value and gradient norm on stderr; the last line stays."""
    console = messages()
    if not (console.is_terminal and not console.is_dumb_terminal):
        lines = _Throttle(LINE_SECONDS, lambda text: console.print(text, soft_wrap=True))
        yield lines.update
        lines.finish()
        return
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        drawn = _Throttle(REFRESH_SECONDS, lambda text: live.update(RightMargin(text), refresh=True))
        yield drawn.update
        drawn.finish()


class _Throttle:
    """Shows the progress at most once per interval, and at the end.

    Args:
        interval: in seconds.
        show: shows one line.
    """

    def __init__(self, interval: float, show: Callable[[Text], object]) -> None:
        self._interval, self._show, self._due = interval, show, 0.0
        self._latest: Progress | None = None

    def update(self, progress: Progress) -> None:
        self._latest = progress
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._interval
            self._show(_line(progress))

    def finish(self) -> None:
        if self._latest is not None:
            self._show(_line(self._latest))


def _line(progress: Progress) -> Text:
    return Text(
        f"iteration {progress.iterations:,}  evaluations {progress.evaluations:,}  value {progress.value:.6g}  "
        f"gradient {progress.gradient_norm:.3g}  {format_duration(progress.seconds)}"
    )
