"""What the statistics of activity answer, for the OpenAPI document."""

from typing import Any, Final

from pydantic import AwareDatetime, Field

from tierwise_profile_api.documents import Document, problems


class _Days(Document):
    as_of: AwareDatetime
    from_: str = Field(alias="from", description="A business day.", examples=["2026-11-01"])
    to: str = Field(description="A business day, included.", examples=["2026-11-30"])
    timezone: str = Field(description="Of the business days.", examples=["Asia/Shanghai"])


class ActivityDay(Document):
    day: str = Field(examples=["2026-11-20"])
    interactions: int = Field(examples=[1204])
    channels: dict[str, int] = Field(examples=[{"web": 1020, "email": 150, "order": 34}])


class Activity(_Days):
    days: list[ActivityDay]


class _Sales(Document):
    orders: int = Field(examples=[34])
    amount: str = Field(description="Of the orders, in the base currency.", examples=["44166.00"])
    average: str | None = Field(description="Of an order; null where there is none.", examples=["1299.00"])
    refunds: int = Field(examples=[2])
    refunded: str = Field(examples=["520.00"])


class SalesPeriod(_Sales):
    period: str = Field(examples=["2026-11"])
    from_: str = Field(alias="from", examples=["2026-11-01"])
    to: str = Field(examples=["2026-11-30"])


class Orders(_Days):
    currency: str = Field(examples=["CNY"])
    periods: list[SalesPeriod]
    unconverted: list[str] = Field(description="Currencies without a rate: their amounts are left out.")


class Hour(_Sales):
    hour: int = Field(ge=0, le=23)
    interactions: int = Field(examples=[310])


class Hours(_Days):
    currency: str = Field(examples=["CNY"])
    hours: list[Hour]


class Step(Document):
    stage: str = Field(examples=["interested"])
    label: dict[str, str] = Field(examples=[{"en": "Interested", "zh": "意向"}])
    customers: int = Field(description="Who ever came to this stage or to one after it.", examples=[420])
    of_before: float | None = Field(description="Their share of those at the step before.", examples=[0.42])
    of_all: float | None = Field(description="Their share of those at the first step.", examples=[0.42])


class Funnel(Document):
    as_of: AwareDatetime
    steps: list[Step]


_AGE: Final[dict[str, Any]] = {
    "Age": {"description": "Seconds since `as_of`, where that took long.", "schema": {"type": "integer"}, "example": 0}
}


def aged(example: str = "Counted at `as_of`.", **content: Any) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: those of an answer that may be kept for a while."""
    return problems() | {200: {"description": example, "headers": _AGE, **({"content": content} if content else {})}}
