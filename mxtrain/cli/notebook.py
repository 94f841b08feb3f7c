"""Output in the cells of a notebook."""

import io
import sys
from html import escape
from typing import Any

from rich.console import Console, RenderableType


def is_notebook() -> bool:
    """Return whether this code runs in a Jupyter kernel, whose streams are not terminals."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookOutput:
    """One output of a cell, replaced as a whole whenever it is shown again.

    Args:
        width: in characters.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._handle: Any = None
        self._shown = ""

    def show(self, *parts: RenderableType) -> None:
        """Show these parts, one below the other."""
        text = self._text(parts)
        if text == self._shown:
            return
        self._shown = text
        html = f"<pre style='white-space: pre; margin: 0'>{escape(text)}</pre>"
        content = {"text/plain": text, "text/html": html}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def _text(self, parts: tuple[RenderableType, ...]) -> str:
        file = io.StringIO()
        console = Console(file=file, width=self._width, color_system=None, force_jupyter=False, highlight=False)
        for part in parts:
            console.print(part, soft_wrap=True, markup=False, emoji=False)
        return "\n".join(line.rstrip() for line in file.getvalue().splitlines())
