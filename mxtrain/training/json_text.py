"""Reading JSON that a process of ours wrote, and that anybody may have damaged since."""

import json
from typing import Any


def parse(text: bytes | str) -> Any:
    """As `json.loads`, with one error for all that is wrong.

    Raises:
        ValueError: it is no JSON, or is nested too deeply.

    Example:
        >>> parse("[" * 100_000)
        Traceback (most recent call last):
        ValueError: nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
