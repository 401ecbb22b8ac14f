"""The part of requirements.lock that the services need to run, without tools: `python runtime.py requirements.lock`.

Run where the whole lock and the services' distributions are installed: what needs what stands in their metadata.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SERVICES = ("tierwise-shared", "tierwise-ingest", "tierwise-scoring", "tierwise-profile-api")


def needed() -> set[str]:
    """Names of distributions, ours not among them."""
    found: set[tuple[str, str]] = set()
    waiting = [(name, "") for name in SERVICES]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting.extend(_of(*one))
    return {name for name, _ in found} - set(SERVICES)


def _of(name: str, extra: str) -> Iterator[tuple[str, str]]:
    for line in requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            needed = canonicalize_name(requirement.name)
            yield from ((needed, wanted) for wanted in ("", *requirement.extras))


def part(lock: str, names: set[str]) -> str:
    """The entries, each with its hashes, of these distributions."""
    entries = re.split(r"^(?=[\w.-]+==)", lock, flags=re.MULTILINE)
    return "".join(entry for entry in entries if canonicalize_name(entry.partition("==")[0]) in names)


if __name__ == "__main__":
    sys.stdout.write(part(Path(sys.argv[1]).read_text(), needed()))
