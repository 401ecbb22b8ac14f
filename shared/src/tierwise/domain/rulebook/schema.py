"""The rulebook's document, as its author writes it. Meaning is checked in `book`, form here."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

_NAME = r"^[a-z][a-z0-9_]*$"
Name = Annotated[str, Field(pattern=_NAME, max_length=64)]


def _days(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+)d", value)):
        return int(match[1])
    raise ValueError("expected days, such as 30d")


Days = Annotated[
    int, BeforeValidator(_days), Field(ge=1, le=3650), WithJsonSchema({"type": "string", "pattern": r"^\d+d$"})
]


def _share(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,3})(?:\.(\d{1,2}))?%", value)):
        share = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
        if 0 < share <= 10_000:
            return share
    raise ValueError("expected a share of the customers, above 0% and up to 100%, such as 5% or 2.5%")


def percent(share: int) -> str:
    """A share as it is written: 5%."""
    return f"{share / 100:g}%"


Share = Annotated[
    int,
    BeforeValidator(_share),
    PlainSerializer(percent, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,3}(\.\d{1,2})?%$"}),
]
"""Hundredths of a percent."""

Schedule = Literal["daily", "weekly", "monthly", "quarterly"]


Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Rate = Annotated[Decimal, Field(gt=0, lt=1_000_000, max_digits=14)]
"""Units of the base currency for one of the other currency."""


CODES_MAX = 255
"""So many tiers, levels, stages or values of a tag: their codes are a byte each."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Label(_Part):
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)


class Match(_Part):
    """Interactions of one or several channels and types (of all, if absent), where the condition `where` holds."""

    channel: str | tuple[str, ...] | None = None
    type: str | tuple[str, ...] | None = None
    where: str | None = None


class Signal(Match):
    value: Literal["amount"] | None = None


class Interests(_Part):
    """Of all `values` that are not listed the interest is `other`. Where none are listed, each customer keeps 200
    values, chosen by hash, and only the rest are `other`."""

    source: str = Field(alias="from", pattern=r"^properties\.[a-z_]\w*$")
    values: tuple[str, ...] = Field((), max_length=200)


class Touch(Match):
    source: Name


class Points(_Part):
    """Each occurrence gives `each` points, half of it after `half_life` days; together at most `at_most`."""

    each: float = Field(ge=-1_000, le=1_000)
    half_life: Days
    at_most: float | None = Field(None, gt=0, le=10_000)


class Fit(_Part):
    name: Name
    when: str
    points: float = Field(ge=-1_000, le=1_000)


class Level(_Part):
    enter: float = Field(ge=0, le=100)
    leave: float = Field(ge=0, le=100)


class Intent(_Part):
    points: dict[Name, Points] = Field(min_length=1)
    fit: tuple[Fit, ...] = ()
    half_score: float = Field(ge=0.01, le=1_000_000, description="The points that make a score of 50")
    levels: dict[Name, Level] = Field(min_length=1, max_length=CODES_MAX - 1)
    otherwise: Name


class Stage(_Part):
    stage: Name
    when: str


class Dimension(_Part):
    metric: str
    weight: float = Field(gt=0, le=1)
    scale: dict[float, float] = Field(min_length=2)


class Shares(_Part):
    """Tiers as shares of the customers, from the highest score down, taken at the close of the last business day of
    each period. `quiet`: what changes by taking them is not published."""

    of_customers: dict[str, Share] = Field(min_length=1)
    taken: Schedule
    quiet: bool = False


class Tiers(_Part):
    dimensions: dict[Name, Dimension] = Field(min_length=1)
    cuts: dict[str, float] = Field(min_length=1, max_length=CODES_MAX - 1)
    shares: Shares | None = None
    otherwise: str


def _within(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[1-9]\d*[mhd]", value):
        return value
    raise ValueError("expected minutes, hours or days, such as 30m, 4h or 2d")


Within = Annotated[str, BeforeValidator(_within), WithJsonSchema({"type": "string", "pattern": r"^[1-9]\d*[mhd]$"})]


class Strategy(_Part):
    """What to do for customers of a tier, a level or a stage; any further field is passed on as it is."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    owner: str | None = None
    respond_within: Within | None = None
    service: str | None = None
    offers: tuple[str, ...] | None = None
    next_action: str | None = None


class Document(_Part):
    version: str = Field(min_length=1, max_length=64)
    timezone: str
    currency: Currency
    horizon: Days = 1_095
    rates: dict[Currency, dict[date, Rate]] = {}
    attributes: tuple[Name, ...] = ()
    signals: dict[Name, Signal] = Field(min_length=1)
    interests: Interests = Interests.model_validate({"from": "properties.category"})
    acquisition: tuple[Touch, ...] = ()
    intent: Intent
    lifecycle: tuple[Stage, ...] = Field(min_length=1, max_length=CODES_MAX)
    tiers: Tiers
    tags: dict[Name, dict[Name, Annotated[dict[Name, str], Field(min_length=1, max_length=CODES_MAX)]]] = {}
    strategies: dict[Literal["tier", "intent", "stage"], dict[str, Strategy]] = {}
    labels: dict[str, Label] = Field({}, description="All that people see, or nothing: then names stand for themselves")
