"""Errors, told on stderr."""

from rich.text import Text

from mxtrain.cli.streams import messages
from mxtrain.errors import ConfigError, MxtrainError, Problem, RunInterrupted, printable
from mxtrain.redaction import redact


def complain(error: MxtrainError) -> int:
    """Tell an error.

    Returns:
        The exit status that it stands for: 2 for a wrong config, 128 and the signal's number for a run that was told
        to stop, 1 for all else.
    """
    console = messages()
    if isinstance(error, ConfigError):
        for problem in error.problems:
            console.print(_told(problem), soft_wrap=True)
        return 2
    if isinstance(error, RunInterrupted):
        console.print(printable(str(error)), soft_wrap=True)
        return 128 + error.signal
    message = printable(redact(str(error)))
    console.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    return 1


def _told(problem: Problem) -> Text:
    """The problem in bold; below it the line in plain, and the caret in red."""
    head, *excerpt = problem.explain().split("\n")
    text = Text(head, style="bold")
    for line, style in zip(excerpt, ("not bold", "not bold red"), strict=False):
        text.append("\n").append(line, style=style)
    return text
