"""What a source may assert: a key that stands in a web page is public, so what it says is believed only so far."""

import msgspec


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """None in `channels`, `kinds` or `attributes` means: all of them. `links`: its identifiers may tie customers
    together. `default_region`: ISO 3166 code by which a phone number without country code is read."""

    channels: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    attributes: frozenset[str] | None = None
    links: bool = True
    default_region: str | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A system that pushes interactions. `id` is the database's number, `name` what people call it."""

    id: int
    name: str
    trust: Trust


BACKEND = Trust(default_region="CN")
"""A system of the organisation's own: believed in everything."""

BROWSER = Trust(channels=frozenset({"web"}), kinds=frozenset({"anonymous_id"}), attributes=frozenset(), links=False)
"""A page or an app, whose key anyone can read."""
