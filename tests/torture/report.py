"""The report of a run: JSON lines, one that says what was run and one for each kill. A run that was stopped goes on."""

import os
import platform
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
import psutil  # type: ignore[import-untyped]

_SAFETY: Final = timedelta(minutes=10)  # that no interaction lies in the future
_LATER: Final = timedelta(days=90)


class Header(msgspec.Struct, frozen=True):
    """`began`: the run; interactions are older. `at`: the time for which digests are made, later than its end."""

    stream: str
    seed: int
    began: datetime
    until: datetime
    at: datetime
    machine: str
    versions: str


class Round(msgspec.Struct, frozen=True):
    """One kill. `parts`: what was killed, together where there are several. `back_s`: until every service was ready
    again; `calm_s`: until then all was scored and published. So far: `accepted`, `written` (back, of these), `rulings`
    (of those), `events`, `repeats`. `ended`: services that ended although nobody killed them. `digests`: of the run and
    of one that nobody interrupted, in hex."""

    number: int
    parts: list[str]
    took_s: float
    back_s: float
    calm_s: float
    accepted: int
    refused: int
    events: int
    repeats: int
    lost: int
    twice: int
    ended: list[str]
    wrong: list[str]
    digests: tuple[str, str] | None = None
    written: int = 0
    rulings: int = 0


class Report:
    def __init__(self, path: Path, stream: str, seed: int, kafka: str | None) -> None:
        """Goes on with the one at `path`, if there is one."""
        self.rounds: list[Round] = []
        self._path = path
        if path.exists():
            first, *others = path.read_bytes().splitlines()
            self.header = msgspec.json.decode(first, type=Header)
            self.rounds = [msgspec.json.decode(line, type=Round) for line in others]
            return
        now = datetime.now(UTC)
        self.header = Header(stream, seed, now, now - _SAFETY, now + _LATER, _machine(), _versions(kafka))
        path.write_bytes(msgspec.json.encode(self.header) + b"\n")

    def add(self, one: Round) -> None:
        self.rounds.append(one)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(one) + b"\n")

    @property
    def wrong(self) -> list[str]:
        """All that ever was."""
        found = [f"kill {one.number} ({', '.join(one.parts)}): {what}" for one in self.rounds for what in one.wrong]
        unequal = [one for one in self.rounds if one.digests is not None and len(set(one.digests)) > 1]
        return [*found, *(f"kill {one.number}: the digests differ" for one in unequal)]

    def rows(self) -> list[tuple[str, str]]:
        """What people want to know of the run."""
        header, rounds = self.header, self.rounds
        killed = Counter(part for one in rounds for part in one.parts)
        digests = [one.digests for one in rounds if one.digests is not None]
        last = rounds[-1]
        return [
            ("Run", f"{header.began:%Y-%m-%d}, seed {header.seed}, {header.machine}, {header.versions}"),
            ("Kills", f"{len(rounds)}: {', '.join(f'{part} {count}' for part, count in sorted(killed.items()))}"),
            ("Several at once", str(sum(len(one.parts) > 1 for one in rounds))),
            ("Accepted interactions", f"{last.accepted:,}; requests refused and sent again: {last.refused:,}"),
            ("Of these written back", f"{last.written:,}, of them {last.rulings:,} rulings on who is who"),
            ("Lost", str(sum(one.lost for one in rounds))),
            ("Counted twice", str(sum(one.twice for one in rounds))),
            ("Events on the topics", f"{last.events:,}, and {last.repeats:,} repeats that their id tells"),
            ("Anything else wrong", str(len(self.wrong))),
            ("Digests compared", f"{len(digests)}, equal: {sum(one == other for one, other in digests)}"),
            (
                "The last digest",
                f"`{digests[-1][0][:16]}`, uninterrupted `{digests[-1][1][:16]}`" if digests else "none",
            ),
            ("Services ready again", _times([one.back_s for one in rounds])),
            ("All scored and published then", _times([one.calm_s for one in rounds])),
        ]


def write_into(document: Path, report: Report) -> None:
    """Between the marks of its stream."""
    begin, end = f"<!-- torture {report.header.stream} -->\n", f"<!-- end of torture {report.header.stream} -->"
    head, _, rest = document.read_text(encoding="utf-8").partition(begin)
    _, _, tail = rest.partition(end)
    title = {"kafka": "Apache Kafka", "embedded": "the embedded stream"}[report.header.stream]
    table = "".join(f"| {name} | {value} |\n" for name, value in [(f"On {title}", ""), ("---", "---"), *report.rows()])
    document.write_text(head + begin + table + end + tail, encoding="utf-8")


def _times(seconds: Sequence[float]) -> str:
    return f"after {median(seconds):.1f} s (median), {max(seconds):.1f} s at most"


def _machine() -> str:
    memory_gb = psutil.virtual_memory().total / 1e9
    return f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.release().split('-')[0]}"


def _versions(kafka: str | None) -> str:
    python = platform.python_version()
    return f"Python {python}, PostgreSQL 18" + ("" if kafka is None else f", Apache Kafka {kafka}")
