"""Small disks that fill up: a tmpfs of a test's own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.missing import missing


class Disk:
    """A mounted directory of limited size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Until nothing more fits, whoever else writes meanwhile."""
        with self._filler.open("ab") as filler:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(filler.fileno(), filler.seek(0, os.SEEK_END), size)

    def empty(self) -> None:
        """What `fill` took is free again."""
        self._filler.unlink()


@contextmanager
def small_disk(path: Path, *, megabytes: int) -> Iterator[Disk]:
    """Mounted at `path`, which has to be empty. Where we may not mount (only root may, on Linux) the test is
    skipped, and fails with CI=true."""
    path.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0711", "tierwise-test", str(path)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        missing("no small disk here: there is no mount")
    if done.returncode:
        missing(f"no small disk here, a tmpfs cannot be mounted: {done.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        # Lazily: a server that was told to stop may hold a file a moment longer.
        subprocess.run(["umount", "--lazy", str(path)], check=True)
