"""Metrics of processes that share a port: whichever of them is asked answers for all.

Each writes its own to a directory once a second, so that counting costs no more than in a process alone; the one that
is asked adds up what it finds. What a process that died had counted stays in the sum, which would fall else.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample

DIRECTORY: Final = "TIERWISE_SIBLINGS_DIR"
"""The environment variable that tells a process of its siblings; their parent sets it."""

_EVERY_S: Final = 1.0
_LIKE_THE_LARGEST: Final = ("process_start_time_seconds", "process_max_fds", "tierwise_build")
"""Metrics that do not add up."""

_Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class _Family(msgspec.Struct, array_like=True):
    name: str
    text: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[_Family]).decode


class SiblingsRegistry(CollectorRegistry):
    """Collects what all siblings have told in `directory`, this one included."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    def tell(self) -> None:
        """In the background, for as long as the process and the directory live."""
        threading.Thread(target=self._keep_telling, name="siblings", daemon=True).start()

    def tell_once(self) -> None:
        families = [
            _Family(
                one.name, one.documentation, one.type, [(each.name, each.labels, each.value) for each in one.samples]
            )
            for one in super().collect()
        ]
        file = self._directory / f"{os.getpid()}.json"
        written = file.with_suffix(f".{threading.get_ident()}")
        written.write_bytes(_encode(families))
        written.replace(file)

    def collect(self) -> Iterator[Metric]:
        self.tell_once()
        families: dict[str, _Family] = {}
        values: dict[str, _Values] = {}
        for file in self._directory.glob("*.json"):
            alive = _is_alive(int(file.stem))
            for family in _decode(file.read_bytes()):
                if alive or family.type in ("counter", "histogram"):
                    families.setdefault(family.name, family)
                    _add(values.setdefault(family.name, {}), family)
        for name, family in families.items():
            metric = Metric(name, family.text, family.type)
            metric.samples = [Sample(sample, dict(labels), value) for (sample, labels), value in values[name].items()]
            yield metric

    def _keep_telling(self) -> None:
        while self._directory.exists():
            self.tell_once()
            time.sleep(_EVERY_S)


def _add(values: _Values, family: _Family) -> None:
    for name, labels, value in family.samples:
        key = name, tuple(sorted(labels.items()))
        known = values.get(key, 0.0)
        values[key] = max(known, value) if family.name in _LIKE_THE_LARGEST else known + value


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
