"""What a source may assert, and how what it sends is taken.

A key that stands in a web page is public, so what it says is believed only so far.
"""

from typing import Annotated, Any, Final, Literal

import msgspec


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """None in `channels`, `kinds` or `attributes` means: all of them. `links`: its identifiers may tie customers
    together. `default_region`: ISO 3166 code by which a phone number without country code is read."""

    channels: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    attributes: frozenset[str] | None = None
    links: bool = True
    default_region: str | None = None


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A token bucket in interactions: it refills with `per_second` and holds at most `burst`."""

    per_second: Annotated[float, msgspec.Meta(gt=0)]
    burst: Annotated[int, msgspec.Meta(ge=1)]


class TypeSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Schema (2020-12) for the properties of one channel and type."""

    channel: str
    type: str
    properties: dict[str, Any]


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """How what a source sends is taken, beside what it is trusted with.

    `formats`: names of those that it may use, None for every one that takes a write key. `origins`: of pages that may
    send with its key, as browsers name them (`https://shop.example`); none means: no page of another origin.
    `without_consent`: what becomes of an interaction that says so: kept on the timeline unscored, or refused.
    `schemas` and what happens to an interaction that violates its own: refused, or taken and counted.
    `mapping`: how the generic webhook reads a document (YAML, as `tierwise import` takes). `topics`: the ARNs
    of the SNS topics that it may be subscribed to. `redirects`: origins to which a form may send a visitor on.
    """

    formats: frozenset[str] | None = None
    origins: frozenset[str] = frozenset()
    rate_limit: RateLimit | None = None
    without_consent: Literal["keep", "refuse"] = "keep"
    schemas: tuple[TypeSchema, ...] = ()
    violations: Literal["refuse", "count"] = "refuse"
    mapping: str | None = None
    topics: frozenset[str] = frozenset()
    redirects: frozenset[str] = frozenset()


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A system that pushes interactions. `id` is the database's number, `name` what people call it."""

    id: int
    name: str
    trust: Trust
    intake: Intake = Intake()


BY_HAND: Final = "profile-api"
"""The name of the source of what people write back through the profile API."""

BACKEND = Trust(default_region="CN")
"""A system of the organisation's own: believed in everything."""

BROWSER = Trust(channels=frozenset({"web"}), kinds=frozenset({"anonymous_id"}), attributes=frozenset(), links=False)
"""A page or an app, whose key anyone can read."""
