"""Counter-based random numbers: each stream is a pure function of a seed, a purpose and a position.

Philox is a counter-based generator: its n-th block of bits is a function of a key and of n. The key is made
of the seed and the purpose, and the position (an epoch, a step) is in the high words of the counter, so
that streams begin 2**64 blocks apart. They never overlap, and have no state to save.

Only raw words are used, and converted to permutations and deviates here: NumPy guarantees that the words of a bit
generator never change, but not its distributions.

Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011).
"""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


def raw_words(seed: int, purpose: str, *position: int, count: int) -> NDArray[np.uint64]:
    """Return the first `count` 64-bit words of a stream.

    Args:
        seed: at least 0 and below 2**64.
        purpose: the purpose of the numbers, such as `order`; each purpose has its own streams.
        position: up to three whole numbers, each at least 0 and below 2**64, such as an epoch and a step.
        count: the number of words, at least 0.

    Example:
        >>> raw_words(0, "example", 1, count=2)
        array([13348929947455231352,  5884317041915290349], dtype=uint64)
    """
    if len(position) > 3:
        raise ValueError(f"a position has at most three numbers, got {len(position)}")
    # The key contains the number of coordinates, so that (), (0,) and (0, 0) differ.
    digest = blake2b(f"{purpose}/{len(position)}".encode(), digest_size=8).digest()
    key = np.array([seed, int.from_bytes(digest, "little")], dtype=np.uint64)
    counter = np.zeros(4, dtype=np.uint64)
    counter[1 : 1 + len(position)] = position
    return np.random.Philox(key=key, counter=counter).random_raw(count)


def permutation(seed: int, purpose: str, *position: int, size: int) -> NDArray[np.int64]:
    """Return the numbers 0 to `size - 1` in a random order, the one that sorts the words of a stream.

    Example:
        >>> permutation(0, "example", 1, size=5)
        array([2, 4, 1, 3, 0])
    """
    return np.argsort(raw_words(seed, purpose, *position, count=size), kind="stable").astype(np.int64, copy=False)


def uniform(seed: int, purpose: str, *position: int, size: int) -> NDArray[np.float64]:
    """Return `size` numbers that are uniform in [0, 1): the high 53 bits of the words of a stream.

    Example:
        >>> uniform(0, "example", 1, size=2)
        array([0.72364694, 0.31898947])
    """
    high_bits = raw_words(seed, purpose, *position, count=size) >> np.uint64(11)
    return high_bits.astype(np.float64) * np.float64(2.0**-53)
