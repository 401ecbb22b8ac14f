"""What is answered, for the OpenAPI document only: responses are encoded from plain values, not through these."""

from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


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


class Acquisition(Document):
    first: str | None = Field(examples=["search"])
    last: str | None = Field(examples=["email"])


class Override(Document):
    aspect: str = Field(examples=["tier"])
    value: str = Field(examples=["A"])
    computed: str | None = Field(description="What it stands over.", examples=["C"])
    reason: str | None = Field(examples=["Signed a frame contract"])
    author: str | None = Field(examples=["console"])
    expires: AwareDatetime | None


class OrdersMade(Document):
    count: int = Field(ge=0, examples=[3])
    amount: str = Field(examples=["3897.00"])
    currency: str = Field(examples=["CNY"])
    first: str | None = Field(description="A business day.", examples=["2026-03-01"])
    last: str | None = Field(examples=["2026-11-12"])


class Labels(Document):
    """Of what the view says, as a page writes it; in the language of Accept-Language (en, zh)."""

    language: Literal["en", "zh"] = Field(examples=["zh"])
    intent: str = Field(examples=["高意向"])
    lifecycle: str = Field(examples=["活跃"])
    tier: str = Field(examples=["A 级"])
    dimensions: dict[str, str] = Field(examples=[{"value": "价值"}])
    tags: dict[str, str] = Field(examples=[{"browsing": "高频浏览"}])


class Customer(Document):
    customer_id: str = Field(examples=["c_e2rp2eapcnax1"])
    requested_id: str | None = Field(None, description="The id asked for, where it was merged into this one.")
    merged_into: str | None = Field(None, description="Present where the id asked for was merged.")
    identifiers: list[Identifier]
    attributes: dict[str, Any] = Field(examples=[{"region": "CN-31", "industry": "education"}])
    intent: Intent
    lifecycle: Lifecycle
    tier: Tier
    tags: list[Tag]
    interests: list[str] = Field(description="The most frequent first, at most five.", examples=[["courses"]])
    acquisition: Acquisition
    preferred_channel: str | None = Field(description="Where they do most lately.", examples=["web"])
    owner: str | None = Field(examples=["sales-3"])
    strategy: dict[str, Any] = Field(description="As the rulebook has it.", examples=[{"owner": "account_manager"}])
    overrides: list[Override]
    orders: OrdersMade
    first_seen: AwareDatetime
    last_seen: AwareDatetime
    interactions: int = Field(ge=0)
    classified_at: AwareDatetime
    rulebook: str = Field(examples=["2026-11"])
    cuts: int | None = Field(description="Of tiers as shares of the customers; null: fixed scores.", examples=[7])
    version: int | None = Field(None, ge=0, description="Rises with every visible write; not there with `as_of`.")
    as_of: AwareDatetime | None = Field(None, description="With `as_of`.")
    labels: Labels


class PickedCustomer(Document):
    """What `fields` asked for, as deep as it stands in the current view."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"customer_id": "c_e2rp2eapcnax1", "tier": {"grade": "B"}}]},
    )

    customer_id: str
    requested_id: str | None = None
    merged_into: str | None = None


class Page(Document):
    next_cursor: str | None = Field(description="Pass it back as `cursor`; null: this is the last page.")


class Customers(Page):
    items: list[Customer | PickedCustomer]


class LookedUpItem(Document):
    index: int = Field(ge=0, description="Of what was asked, from 0.")
    customer: Customer | PickedCustomer


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
    customer_id: str = Field(examples=["c_e2rp2eapcnax1"])
    requested_id: str | None = Field(None, description="The id asked for, where it was merged into this one.")
    merged_into: str | None = Field(None, description="Present where the id asked for was merged.")
    points: list[Point] = Field(description="Oldest first; none from before the customer was first seen.")


class BrowserToken(Document):
    token: str = Field(examples=["tw_t_AbQ..."])
    customer_id: str = Field(examples=["c_e2rp2eapcnax1"])
    scopes: list[str] = Field(examples=[["profiles:read"]])
    expires_at: AwareDatetime


class AuditEntry(Document):
    at: AwareDatetime
    reader: str = Field(description="The id of a key, or oidc:SUBJECT.", examples=["1f0c9a3b7d21"])
    name: str = Field(examples=["shop frontend"])
    customer_id: str | None = Field(description="null: everyone, in an export.", examples=["c_e2rp2eapcnax1"])
    what: str = Field(examples=["GET /v1/customers/{customer_id}"])


class Audit(Page):
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
    as_of: AwareDatetime
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
    orders_in_period: int = Field(examples=[41])
    sales: str = Field(description="Of the orders in the period.", examples=["52310.00"])
    sales_before: str = Field(description="Of those in the period before.", examples=["48020.00"])
    sales_growth: float | None = Field(description="null where there were none before.", examples=[0.0893])
    new: int = Field(description="First seen in the period.", examples=[30])
    new_before: int = Field(description="First seen in the period before.", examples=[24])
    growth: float | None = Field(description="Of new customers; null where there were none before.", examples=[0.25])
    tiers: dict[str, float] = Field(description="The share of each tier.", examples=[{"A": 0.05, "B": 0.1}])


class ChannelTable(Document):
    as_of: AwareDatetime
    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    before: dict[str, AwareDatetime] = Field(description="The period that this one is compared with.")
    currency: str = Field(examples=["CNY"])
    channels: list[ChannelRow]


class ProblemDetails(Document):
    """RFC 9457."""

    type: str = Field(examples=["urn:tierwise:problem:not_found"])
    title: str
    status: int
    code: str = Field(description="Stable; what programs compare.", examples=["not_found"])
    detail: str = Field(description="What was wrong this time, and what to do next.")


_WHY: Final[dict[int, tuple[str, str]]] = {
    400: ("bad_parameter", "A parameter or the body cannot be used; `field` names it."),
    401: ("unauthorized", "No valid read key."),
    403: ("missing_scope", "The key lacks the scope that `scope` names."),
    404: ("not_found", "There is no such thing."),
    409: ("conflict", "It is there already, or it was retired."),
    410: ("erased", "The customer was erased."),
    413: ("too_large", "The body is larger than this server takes."),
    429: ("rate_limited", "The key asks more often than it may; repeat after Retry-After."),
    503: ("unavailable", "The database is slow or away; repeat after Retry-After."),
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these, and those that every route has."""
    return {status: _problem(status) for status in sorted({400, 401, 403, 429, 503, *statuses})}


def _problem(status: int) -> dict[str, Any]:
    code, description = _WHY[status]
    example = {
        "type": f"urn:tierwise:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "code": code,
        "detail": description,
    }
    content = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}, "example": example}
    return {"description": description, "content": {"application/problem+json": content}}
