"""Where several topics stand, as one text: `customer.tier-changes=12.5.0.7,customer.merges=0.1.0.0`.

The numbers are positions by partition, from 0 on: in Apache Kafka the offsets of the next records to read. Short enough
for an HTTP header, also with many partitions.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tierwise.stream.port import Stream

Positions = Mapping[str, Sequence[int]]

_TOPIC: Final = re.compile(r"([a-z.-]{1,100})=((?:[0-9]{1,19}\.)*[0-9]{1,19})")


async def ends_of(stream: Stream, topics: Iterable[str]) -> dict[str, list[int]]:
    """The positions after the last records; a topic that does not exist is missing. Raises StreamUnavailable."""
    ends = {topic: [end for _, end in sorted((await stream.ends(topic)).items())] for topic in topics}
    return {topic: positions for topic, positions in ends.items() if positions}


def format_positions(positions: Positions) -> str:
    return ",".join(f"{topic}={'.'.join(map(str, numbers))}" for topic, numbers in positions.items())


def parse_positions(text: str) -> dict[str, list[int]]:
    """Raises ValueError, which says what is wrong."""
    positions = {}
    for part in text.split(","):
        found = _TOPIC.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"{part!r} is no TOPIC=POSITION.POSITION..., a position for each partition")
        positions[found[1]] = [int(number) for number in found[2].split(".")]
    return positions
