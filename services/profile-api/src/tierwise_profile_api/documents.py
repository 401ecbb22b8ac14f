"""What is answered, for the OpenAPI document only: responses are encoded from plain values, not through these."""

from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

_WHY_TIER: Final[dict[str, Any]] = {
    "customer_id": "c_8f2kq1z7m4x0t",
    "as_of": "2026-11-20T04:00:00Z",
    "day": "2026-11-20",
    "rulebook": "2026-11",
    "cuts": None,
    "dimension": {
        "name": "value",
        "label": {"en": "Value", "zh": "价值"},
        "expression": "sum(purchase, 730d) - sum(refund, 730d)",
        "filled": "sum(purchase, 730d) [1250] - sum(refund, 730d) [0]",
        "values": {"sum(purchase, 730d)": 1250, "sum(refund, 730d)": 0},
        "value": 1250.0,
        "scale": [[500.0, 35.0], [2000.0, 55.0]],
        "score": 45.0,
        "weight": 0.35,
        "points": 15.75,
        "exact": 157500,
        "words": {
            "en": "Value 15.8 of 35 (Purchase 1,250.00 CNY in 730 days, Refund 0.00 CNY in 730 days)",
            "zh": "价值 15.8/35（近 730 天购买合计 1,250.00 CNY、近 730 天退款合计 0.00 CNY）",
        },
    },
}


class Document(BaseModel):
    model_config = ConfigDict(extra="allow")


class Identifier(Document):
    kind: str = Field(examples=["email"])
    value: str | None = Field(
        description="Masked unless the key has pii:read; null where it was erased.", examples=["l***@example.com"]
    )


class Intent(Document):
    score: float = Field(ge=0, le=100, description="One decimal.", examples=[72.4])
    level: str = Field(examples=["high"])


class Lifecycle(Document):
    stage: str = Field(examples=["active"])
    since: str | None = Field(
        description="The day of the last change of stage; null with `as_of`.", examples=["2026-10-02"]
    )


class Tier(Document):
    grade: Literal["A", "B", "C", "D", "E"]
    score: float = Field(ge=0, le=100)
    dimensions: dict[str, float] = Field(examples=[{"value": 80, "frequency": 60, "behaviour": 55}])


class Tag(Document):
    family: str = Field(examples=["behaviour"])
    name: str = Field(examples=["browsing"])
    value: str = Field(examples=["high"])
    label: dict[str, str] = Field(examples=[{"en": "Browses often", "zh": "高频浏览"}])


class Customer(Document):
    customer_id: str = Field(examples=["c_8f2kq1z7m4x0t"])
    requested_id: str | None = Field(None, description="The id asked for, where it was merged into this one.")
    merged_into: str | None = Field(None, description="Present where the id asked for was merged.")
    identifiers: list[Identifier]
    attributes: dict[str, Any] = Field(examples=[{"region": "CN-31", "industry": "education"}])
    intent: Intent
    lifecycle: Lifecycle
    tier: Tier
    tags: list[Tag]
    first_seen: AwareDatetime
    last_seen: AwareDatetime
    interactions: int = Field(ge=0)
    classified_at: AwareDatetime
    rulebook: str = Field(examples=["2026-11"])
    cuts: int | None = Field(description="Of tiers as shares of the customers; null: fixed scores.", examples=[7])
    version: int | None = Field(None, ge=0, description="Rises with every visible write; not there with `as_of`.")
    as_of: AwareDatetime | None = Field(None, description="With `as_of`.")


class TimelineItem(Document):
    id: str = Field(description="Unique in its source.", examples=["ord-1042"])
    source: str = Field(examples=["shop"])
    time: AwareDatetime
    received: AwareDatetime
    channel: str = Field(examples=["order"])
    type: str = Field(examples=["purchase"])
    attributes: dict[str, Any]
    updates: dict[str, Any] | None = Field(None, description="What it changed of attributes beside setting them.")
    properties: dict[str, Any] = Field(examples=[{"amount": "1299.00", "currency": "CNY"}])
    identifiers: list[Identifier]


class Cause(Document):
    kind: Literal["interaction", "time", "import", "release", "cuts", "merge", "override"]
    interaction: str | None = None
    source: str | None = None


class Change(Document):
    id: str = Field(examples=["c_8f2kq1z7m4x0t:19"])
    customer_id: str
    sequence: int = Field(ge=1, description="Gapless per customer, over all aspects.")
    aspect: str = Field(examples=["tier"])
    at: AwareDatetime = Field(description="When it takes effect.")
    recorded_at: AwareDatetime
    cause: Cause


class Why(Document):
    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_WHY_TIER]})

    customer_id: str = Field(examples=["c_8f2kq1z7m4x0t"])
    requested_id: str | None = Field(None, description="The id asked for, where it was merged into this one.")
    merged_into: str | None = Field(None, description="Present where the id asked for was merged.")
    as_of: AwareDatetime = Field(description="When the customer was classified so.")
    day: str = Field(description="The business day of `as_of`.", examples=["2026-11-20"])
    rulebook: str = Field(examples=["2026-11"])
    cuts: int | None = Field(description="The number of those that the tier was cut by; null: fixed scores.")
    intent: dict[str, Any] | None = Field(
        None, description="Parts by signal with occurrences, points each, fading and cap; fits; then the scale."
    )
    tier: dict[str, Any] | None = Field(None, description="Parts by dimension with metric, scale and weight; the cuts.")
    lifecycle: dict[str, Any] | None = Field(
        None, description="The rule that holds with its values filled in, and why those before it do not."
    )
    tags: list[dict[str, Any]] | None = Field(None, description="Every tag of the rulebook, likewise.")
    tag: dict[str, Any] | None = Field(None, description="With `dimension=tag:FAMILY.NAME`.")
    dimension: dict[str, Any] | None = Field(None, description="With `dimension=` one of the tier's.")


class WhyChange(Why):
    change: dict[str, Any] = Field(description="The change, as published.")
    agrees: bool = Field(
        description="Whether what is known today still gives what was published then: not where something came late."
    )


class _Page(Document):
    next_cursor: str | None = Field(description="Pass it back as `cursor`; null: this is the last page.")


class Customers(_Page):
    items: list[Customer]


class LookedUpItem(Document):
    index: int = Field(ge=0, description="Of what was asked, from 0.")
    customer: Customer


class UnknownItem(Document):
    index: int = Field(ge=0)
    asked: str | dict[str, str] = Field(description="As it was asked.")


class LookedUp(Document):
    items: list[LookedUpItem] = Field(description="In the order asked.")
    unknown: list[UnknownItem] = Field(description="Whom nobody knows, in the order asked.")


class Point(Document):
    at: AwareDatetime
    intent: Intent
    lifecycle: dict[str, str] = Field(examples=[{"stage": "active"}])
    tier: Tier
    rulebook: str = Field(examples=["2026-11"])
    cuts: int | None


class History(Document):
    customer_id: str = Field(examples=["c_8f2kq1z7m4x0t"])
    requested_id: str | None = Field(None, description="The id asked for, where it was merged into this one.")
    merged_into: str | None = Field(None, description="Present where the id asked for was merged.")
    points: list[Point] = Field(description="Oldest first; none from before the customer was first seen.")


class BrowserToken(Document):
    token: str = Field(examples=["tw_t_AbQ..."])
    customer_id: str = Field(examples=["c_8f2kq1z7m4x0t"])
    scopes: list[str] = Field(examples=[["profiles:read"]])
    expires_at: AwareDatetime


class AuditEntry(Document):
    at: AwareDatetime
    reader: str = Field(description="The id of a key, or oidc:SUBJECT.", examples=["1f0c9a3b7d21"])
    name: str = Field(examples=["shop frontend"])
    customer_id: str | None = Field(description="null: everyone, in an export.", examples=["c_8f2kq1z7m4x0t"])
    what: str = Field(examples=["GET /v1/customers/{customer_id}"])


class Audit(_Page):
    items: list[AuditEntry]


class ValueCount(Document):
    value: str | None = Field(description="null: not known.", examples=["A"])
    count: int = Field(ge=0, examples=[69])


class Count(Document):
    count: int = Field(ge=0, examples=[2387])
    as_of: AwareDatetime
    by: str | None = Field(None, examples=["tier"])
    values: list[ValueCount] | None = Field(None, description="With `by`, the most frequent first.")


class Move(Document):
    from_: str | None = Field(alias="from", description="null: was not there before.", examples=["C"])
    to: str | None = Field(examples=["B"])
    customers: int = Field(ge=0, examples=[12])


class Moves(Document):
    aspect: str = Field(examples=["tier"])
    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    moves: list[Move]


class ChannelRow(Document):
    channel: str | None = Field(description="null: not known.", examples=["search"])
    label: dict[str, str] = Field(examples=[{"en": "Search engine", "zh": "搜索引擎"}])
    customers: int = Field(examples=[420])
    buyers: int = Field(description="Customers who ever bought.", examples=[105])
    conversion: float = Field(description="Buyers among customers.", examples=[0.25])
    orders: int = Field(examples=[260])
    amount: str = Field(examples=["118230.00"])
    new: int = Field(description="First seen in the period.", examples=[30])
    new_before: int = Field(description="First seen in the period before.", examples=[24])
    growth: float | None = Field(description="Of new customers; null where there were none before.", examples=[0.25])
    tiers: dict[str, float] = Field(description="The share of each tier.", examples=[{"A": 0.05, "B": 0.1}])


class ChannelTable(Document):
    as_of: AwareDatetime
    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    currency: str = Field(examples=["CNY"])
    channels: list[ChannelRow]


class Timeline(_Page):
    items: list[TimelineItem]


class Changes(_Page):
    items: list[Change]


class ProblemDetails(Document):
    """RFC 9457."""

    type: str = Field(examples=["urn:tierwise:problem:not_found"])
    title: str
    status: int
    code: str = Field(description="Stable; what programs compare.", examples=["not_found"])
    detail: str = Field(description="What was wrong this time, and what to do next.")


_WHY: Final = {
    400: "A parameter cannot be used; `field` names it.",
    401: "No valid read key.",
    403: "The key lacks the scope that `scope` names.",
    404: "There is no such thing.",
    409: "It is there already, or it was retired.",
    413: "The body is larger than this server takes.",
    429: "The key asks more often than it may; repeat after Retry-After.",
    503: "The database is slow or away; repeat after Retry-After.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these, and those that every route has."""
    return {
        status: {
            "description": _WHY[status],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status in sorted({400, 401, 403, 429, 503, *statuses})
    }
