"""What the C library does with memory that arrays give back."""

import ctypes
import sys
from typing import Final

_M_MMAP_THRESHOLD: Final = -3  # malloc.h of glibc
_M_TRIM_THRESHOLD: Final = -1
_ARRAY_BYTES_MAX: Final = 32 << 20  # as much as glibc allows
_KEPT_BYTES: Final = 64 << 20


def keep_freed() -> None:
    """Keep up to 64 MB of freed memory for the next arrays. glibc gives arrays of over 128 kB, and the end of its heap,
    back to the system as soon as they are freed, so that each new one is paid for again in page faults: a third of the
    kernel's time. Other C libraries are left as they are."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _ARRAY_BYTES_MAX)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
