"""Whether compiled code is worth the import of the compiler."""

import sys

_SECONDS_TO_START = 0.7
"""What the compiler costs before its first loop runs."""

_saved = 0.0


def is_worth_compiling(seconds: float) -> bool:
    """Count what compiled code would have saved, and say whether that is by now what loading the compiler costs.

    Where the compiler is loaded already, nothing speaks against it.
    """
    global _saved
    _saved += seconds
    return _saved > _SECONDS_TO_START or "numba" in sys.modules
