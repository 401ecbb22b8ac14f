"""A file of orders in the form of CDNOW's: customer, day, number of CDs, dollars. The same for the same seed."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

HEADER = " customer_id  date number_of_cds  dollar_value"
_DAYS = 545
_A_FEW_MINUTES = timedelta(minutes=3)


@dataclass(frozen=True)
class Orders:
    """`lines` without the header; some stand there twice and are two orders."""

    lines: Sequence[str]

    @property
    def customers(self) -> int:
        return len({line.split()[0] for line in self.lines})

    @property
    def total(self) -> Decimal:
        return sum((Decimal(line.split()[3]) for line in self.lines), Decimal(0))

    @property
    def repeated(self) -> int:
        return len(self.lines) - len(set(self.lines))

    def shuffled(self, seed: int) -> "Orders":
        return Orders(random.Random(seed).sample(self.lines, len(self.lines)))

    def write(self, path: Path) -> Path:
        path.write_text("\n".join([HEADER, *self.lines, ""]))
        return path


def made_orders(last_day: date, *, customers: int = 800, seed: int = 1) -> Orders:
    """About 3.7 orders a customer in a year and a half: most buy once or twice, a few often."""
    draw = random.Random(seed)
    first_day = last_day - timedelta(days=_DAYS)
    lines = []
    for customer in range(1, customers + 1):
        for _ in range(min(1 + int(draw.expovariate(1 / 3.2)), 40)):
            day = first_day + timedelta(days=draw.randrange(_DAYS + 1))
            cents = 0 if draw.random() < 0.02 else draw.randrange(500, 20_000)
            line = f" {customer:05} {day:%Y%m%d}  {draw.randrange(1, 9)}  {cents // 100}.{cents % 100:02}"
            lines += [line] * (2 if draw.random() < 0.01 else 1)
    return Orders(lines)


async def business_day(zone: str = "Asia/Shanghai") -> date:
    """Today, waiting for tomorrow where that is about to begin: what is classified on different days differs."""
    now = datetime.now(ZoneInfo(zone))
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    if tomorrow - now < _A_FEW_MINUTES:
        await asyncio.sleep((tomorrow - now).total_seconds())
        return tomorrow.date()
    return now.date()


def read_orders(path: Path) -> Orders:
    """Of a file that begins with CDNOW's header."""
    return Orders(path.read_text().splitlines()[1:])
