"""What is answered of a customer's past, for the OpenAPI document only."""

from typing import Any, Final, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from tierwise_profile_api.documents import Document, Identifier, Page

_WHY_TIER: Final[dict[str, Any]] = {
    "customer_id": "c_e2rp2eapcnax1",
    "as_of": "2026-11-20T04:00:00Z",
    "day": "2026-11-20",
    "rulebook": "2026-11",
    "cuts": 7,
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


_CHANGE: Final[dict[str, Any]] = {
    "id": "c_e2rp2eapcnax1:19",
    "aspect": "tier",
    "customer_id": "c_e2rp2eapcnax1",
    "sequence": 19,
    "from": "C",
    "to": "B",
    "at": "2026-11-20T04:00:00Z",
    "score": 67.5,
    "rulebook": "2026-11",
    "cuts": 7,
    "cause": {"kind": "interaction", "interaction": "ord-1042", "source": "shop"},
    "reasons": [{"part": "value", "points": 28.0, "en": "Value +28.0", "zh": "价值 +28.0"}],
    "recorded_at": "2026-11-20T04:00:00.120000Z",
}


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
    kind: Literal[
        "interaction", "time", "import", "release", "cuts", "segment", "override", "merge",
        "split", "block", "unblock", "erase",
    ]  # fmt: skip
    interaction: str | None = None
    source: str | None = None


class Change(Document):
    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_CHANGE]})

    id: str = Field(examples=["c_e2rp2eapcnax1:19"])
    customer_id: str
    sequence: int = Field(ge=1, description="Gapless per customer, over all aspects.")
    aspect: str = Field(examples=["tier"])
    from_: str | None = Field(None, alias="from", description="null the first time.")
    to: str | None = Field(None, description="null where a tag goes.")
    at: AwareDatetime = Field(description="When it takes effect.")
    score: float | None = None
    rulebook: str | None = Field(None, description="Of a merge and its like there is none.")
    cuts: int | None = None
    reasons: list[dict[str, Any]] | None = Field(
        None, description="The largest parts of a score, or the rule; each in words, `en` and `zh`."
    )
    recorded_at: AwareDatetime
    cause: Cause | None = Field(None, description="Of a merge and its like it is `by`.")
    by: Cause | None = None
    merged: list[str] | None = None


class Why(Document):
    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_WHY_TIER]})

    customer_id: str = Field(examples=["c_e2rp2eapcnax1"])
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


_WHY_CHANGE: Final = {name: value for name, value in _WHY_TIER.items() if name != "dimension"} | {
    "change": _CHANGE,
    "agrees": True,
    "tier": {"grade": "B", "score": 67.5, "parts": [_WHY_TIER["dimension"]]},
}


class WhyChange(Why):
    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_WHY_CHANGE]})

    change: dict[str, Any] = Field(description="The change, as published.")
    agrees: bool = Field(
        description="Whether what is known today still gives what was published then: not where something came late."
    )


class Timeline(Page):
    items: list[TimelineItem]
    retained_since: AwareDatetime | None = Field(
        description="What the customer did before is kept as sums, and not listed; null: all of it is listed."
    )


class Changes(Page):
    items: list[Change]
