"""Room at the right of what is drawn over and over."""

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

COLUMNS = 3


@dataclass(frozen=True, slots=True)
class Roomy:
    """Leaves columns free at the right: there a terminal writes ^C, and breaks no line that has to be wiped out."""

    drawn: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self.drawn, options.update_width(max(options.max_width - COLUMNS, 1)))
