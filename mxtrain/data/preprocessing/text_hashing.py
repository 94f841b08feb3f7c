"""Hashing of the words of free text into a fixed number of model inputs."""

import re
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

TEXT_INPUTS = 256
"""The number of inputs of a column of free text."""
_WORD = re.compile(r"\w+")


def hash_words(texts: Sequence[str], inputs: int = TEXT_INPUTS) -> NDArray[np.float64]:
    """Return the hashed counts of the words in each text, (n, inputs), scaled to Euclidean length 1.

    Each word adds 1 or -1, by one bit of its CRC-32, to the input that the other bits select; the signs cancel the
    bias of collisions. Words are compared without regard to case. A text without words becomes 0.

    Source: Weinberger et al., Feature hashing for large scale multitask learning, ICML 2009.

    Example:
        >>> same, other = hash_words(["Dry red wine", "red, dry; WINE"]), hash_words(["a white one"])
        >>> bool((same[0] == same[1]).all()), bool((same[0] == other[0]).all()), float((same[0] ** 2).sum().round(6))
        (True, False, 1.0)
    """
    counts = np.zeros((len(texts), inputs))
    for row, text in enumerate(texts):
        for word in _WORD.findall(text.casefold()):
            code = crc32(word.encode("utf-8", "surrogatepass"))
            counts[row, (code >> 1) % inputs] += 1.0 if code & 1 else -1.0
    lengths = np.sqrt((counts**2).sum(axis=1, keepdims=True))
    return counts / np.where(lengths == 0, 1.0, lengths)
