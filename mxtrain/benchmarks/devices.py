"""When work is done: at once on the CPU; a GPU is waited for."""

from collections.abc import Callable
from types import ModuleType

import numpy as np


def waiter(xp: ModuleType) -> Callable[[], None]:
    """What to call before looking at the clock, for arrays of `xp`, `numpy` or `cupy`."""
    if xp is np:
        return lambda: None
    return lambda: xp.cuda.get_current_stream().synchronize()
