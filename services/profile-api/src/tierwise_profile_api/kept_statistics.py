"""Statistics that read much, kept by what they are of. Those of everyone, which pages show first, are counted before
anybody asks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal, NamedTuple

import structlog

from tierwise.domain.rulebook.book import Rulebook
from tierwise.problem import Unavailable
from tierwise_profile_api.channel_table import channel_rows, channel_statement, sales_statement
from tierwise_profile_api.filters import Filters
from tierwise_profile_api.funnel import funnel_statement, way_of
from tierwise_profile_api.periods import Compared, compared
from tierwise_profile_api.reads import Reads
from tierwise_profile_api.snapshots import OLD_S, Snapshot, Snapshots

log = structlog.get_logger("tierwise.statistics")

CalendarPeriod = Literal["month", "quarter", "year"]

_EVERY_S: Final = OLD_S * 0.8
_EVERYONE: Final = Filters("true", [])
_SHOWN: Final[tuple[CalendarPeriod | None, ...]] = (None, "month", "quarter")


class TableAsked(NamedTuple):
    """As a request says it."""

    touch: Literal["first", "last"] = "first"
    period: CalendarPeriod | None = None
    from_: str | None = None
    to: str | None = None


class ChannelTable(NamedTuple):
    compared: Compared
    rows: list[dict[str, Any]]


async def channel_table(
    reads: Reads, snapshots: Snapshots, rulebook: Rulebook, filters: Filters, asked: TableAsked
) -> Snapshot:
    """The value is a ChannelTable, of the period as it was then. Raises BadParameter, Unavailable."""

    def periods() -> Compared:
        return compared(asked.period, asked.from_, asked.to, rulebook)

    async def counted() -> ChannelTable:
        of = periods()
        found = channel_statement(filters, f"{asked.touch}_touch", of)
        sold = sales_statement(filters, f"{asked.touch}_touch", of, rulebook)
        of_all, in_period = [await reads.rows(one.statement, *one.values) for one in (found, sold)]
        return ChannelTable(of, channel_rows(of_all, in_period, rulebook))

    periods()
    return await snapshots.get(("channels", rulebook, asked, *_of(filters)), counted)


async def funnel(
    reads: Reads, snapshots: Snapshots, rulebook: Rulebook, filters: Filters, way: Sequence[str]
) -> Snapshot:
    """The value: rows of `funnel_statement`. Raises Unavailable."""
    asking = funnel_statement(filters, way)
    key = ("funnel", rulebook, *way, *_of(filters))
    return await snapshots.get(key, lambda: reads.rows(asking.statement, *asking.values))


async def keep_counted(
    reads: Reads, snapshots: Snapshots, rulebook_in_force: Callable[[], Awaitable[Rulebook]]
) -> None:
    """Those of everyone, before they are too old to be given, until cancelled."""
    while True:
        try:
            rulebook = await rulebook_in_force()
            await funnel(reads, snapshots, rulebook, _EVERYONE, way_of((), rulebook))
            for period in _SHOWN:
                await channel_table(reads, snapshots, rulebook, _EVERYONE, TableAsked(period=period))
        except Unavailable as error:
            log.warning("statistics_wait", reason=error.detail)
        await asyncio.sleep(_EVERY_S)


def _of(filters: Filters) -> tuple[str, ...]:
    return (filters.sql, *map(str, filters.values))
