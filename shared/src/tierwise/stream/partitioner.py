"""Which partition a key belongs to: the positive part of murmur2, as Kafka's Java client computes it.

`org.apache.kafka.common.utils.Utils.murmur2`; the same function in librdkafka is `murmur2_random`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from aiokafka.partitioner import murmur2

_KEY_BYTES = 16  # a keyed hash of the strongest identifier: nearly every key
_SEED = 0x9747B28C
_M = np.uint32(0x5BD1E995)
_R = np.uint32(24)
_POSITIVE = 0x7FFFFFFF


def partitions_of(keys: Sequence[bytes], count: int) -> list[int]:
    """The partition, 0 to count - 1, of each key."""
    if all(len(key) == _KEY_BYTES for key in keys):
        hashes = murmur2_of_16(np.frombuffer(b"".join(keys), dtype="<u4").reshape(-1, _KEY_BYTES // 4))
        partitions: list[int] = ((hashes & np.uint32(_POSITIVE)) % np.uint32(count)).tolist()
        return partitions
    return [(murmur2(key) & _POSITIVE) % count for key in keys]


def murmur2_of_16(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """murmur2 of n keys of 16 bytes, given as n rows of 4 little-endian words (n, 4). Wraps modulo 2**32."""
    mixed = words * _M
    mixed ^= mixed >> _R
    mixed *= _M
    state = np.full(len(words), _SEED ^ _KEY_BYTES, dtype=np.uint32)
    for column in mixed.T:
        state *= _M
        state ^= column
    state ^= state >> np.uint32(13)
    state *= _M
    state ^= state >> np.uint32(15)
    return state
