"""How long the steps of one batch take."""

import time
from typing import Final, Literal, get_args

Stage = Literal[
    "begin", "duplicates", "identity", "release", "fold", "classify", "turn", "positions", "store", "commit"
]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
"""In their order. `begin`: a connection, names and the rulebook in force; `release`: customers brought to it;
`turn`: waiting for the batch before."""


class Stages:
    """`seconds` of each stage that has ended; the first one began when this was made."""

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = {}
        self._since = time.perf_counter()

    def end(self, stage: Stage) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._since
        self._since = now
