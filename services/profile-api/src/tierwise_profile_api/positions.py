"""Where the topics stand when an export begins, so that whoever follows them from there misses nothing.

What is published later lies behind these positions; what was published before was committed before, so the export has
it. What was committed but not yet published is in both.
"""

import asyncio
from typing import Any, Final

import structlog

from tierwise.stream.port import StreamUnavailable
from tierwise.stream.positions import ends_of, format_positions
from tierwise.stream.topics import PUBLISHED
from tierwise_profile_api.backend import Backend

log = structlog.get_logger("tierwise.positions")

_NAME: Final = "Tierwise-Positions"
_TIMEOUT_S: Final = 3.0

POSITIONS_HEADER: Final[dict[str, Any]] = {
    _NAME: {
        "description": "Where the topics stood before anything was read, for `tierwise subscribe --from`: positions "
        "of the next records by partition. Missing while the stream is away.",
        "schema": {"type": "string"},
        "example": "customer.tier-changes=12.5.0.7,customer.merges=0.1.0.0",
    }
}


async def positions_header(source: Backend) -> dict[str, str]:
    """Empty while the stream is away: the export is whole without it."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            positions = await ends_of(source.stream, PUBLISHED)
    except (StreamUnavailable, TimeoutError) as error:
        log.warning("export_without_positions", reason=str(error) or "timeout")
        return {}
    return {_NAME: format_positions(positions)} if positions else {}
