"""Machines whose clocks are off: a library, preloaded into a process, that answers for its clock."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from tests.support.missing import missing

_SOURCE = Path(__file__).with_name("clock.c")


def clock_off_by(directory: Path, by: timedelta) -> Mapping[str, str]:
    """The environment of a process whose clock is ahead by so much, or behind. Skips the test where there is no C
    compiler, or no Linux."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        missing("no clock to set here: that needs a C compiler and Linux")
    library = directory / "clock.so"
    if not library.exists():
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE], check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_OFF_BY_S": str(int(by.total_seconds()))}
