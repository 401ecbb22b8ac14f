"""Memory that arrays free stays with the process, where its C library is glibc."""

import platform
import subprocess
import sys

import pytest

from tierwise.memory import keep_freed

_FAULTS = """
import resource, sys
import numpy as np
from tierwise.memory import keep_freed

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def batch():
    [np.ones(1 << 17) for _ in range(20)]  # 20 MB, all freed at once

if sys.argv[1] == "kept":
    keep_freed()
batch()
before = faults()
for _ in range(20):
    batch()
print(faults() - before)
"""


def page_faults(how: str) -> int:
    """Of twenty batches."""
    command = [sys.executable, "-c", _FAULTS, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_the_pages_of_freed_arrays_serve_the_next_ones() -> None:
    assert page_faults("kept") < 1_000
    assert page_faults("given back") > 50_000


def test_any_c_library_may_be_asked() -> None:
    keep_freed()
