"""Names of events as channel and type.

Source: Segment's specs for E-Commerce (v2, and the names of v1), Email, Live Chat, B2B SaaS and Mobile, which
RudderStack's event spec shares; and the names of Google Analytics 4 that the same shops use.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from tierwise.domain.match import PROFILE_UPDATE

CUSTOM: Final = "custom"
"""The type of an event whose name cannot be one, as 点击按钮: its property `event` keeps the name."""


class Kind(NamedTuple):
    """`named`: whether the type tells the event's name."""

    channel: str
    type: str
    named: bool = True


PAGE: Final = Kind("web", "page_view")
PROFILE: Final = Kind("web", PROFILE_UPDATE)

_KNOWN: Final = {
    "product_view": ("web", "product viewed, viewed product, view item"),
    "search": ("web", "products searched, searched products, site searched, searched"),
    "cart_added": ("web", "product added, added product, add to cart, wishlist product added to cart"),
    "cart_removed": ("web", "product removed, removed product, remove from cart"),
    "checkout_started": ("web", "started checkout, begin checkout"),
    "favourited": ("web", "product added to wishlist, added product to wishlist, add to wishlist"),
    "form_submitted": ("web", "form submit, submitted form, form completed"),
    "download": ("web", "file downloaded, document downloaded, downloaded"),
    "signup": ("web", "signed up, sign up, user signed up, user registered, registered"),
    "login": ("web", "logged in, signed in, log in, sign in, user logged in, user signed in"),
    "page_view": ("web", "page viewed, viewed page, screen viewed"),
    "purchase": ("order", "order completed, completed order, purchased"),
    "refund": ("order", "order refunded, refunded order"),
    "cancelled": ("order", "order cancelled, order canceled, cancelled order"),
    "sent": ("email", "email sent"),
    "delivered": ("email", "email delivered"),
    "opened": ("email", "email opened"),
    "clicked": ("email", "email link clicked, email clicked"),
    "bounced": ("email", "email bounced"),
    "complained": ("email", "email marked as spam, spam reported"),
    "unsubscribed": ("email", "unsubscribe, email unsubscribed"),
    "message": ("chat", "live chat message sent, live chat message received"),
    "started": ("chat", "live chat conversation started"),
    "ended": ("chat", "live chat conversation ended"),
}
"""Type: channel, and names beside the type's own. A channel's own words are names only where they say it all."""

_AMBIGUOUS: Final = frozenset({"sent", "delivered", "opened", "clicked", "bounced", "message", "started", "ended"})
_OTHER_MEANING: Final = frozenset({"cancelled"})  # a subscription, an appointment, ...

_BY_NAME: Final = {
    name.replace(" ", ""): Kind(channel, type_)
    for type_, (channel, names) in _KNOWN.items()
    for name in (*names.split(", "), *(() if type_ in _AMBIGUOUS | _OTHER_MEANING else (type_.replace("_", " "),)))
}

_NOTHING: Final = str.maketrans("", "", " _-.:")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BREAK: Final = re.compile(r"[\s_\-./:,>|]+")
_TYPE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


@lru_cache(8192)
def kind_of(event: str) -> Kind:
    """The product's own where the specs give the event a meaning that it has; else web, and the name in snake_case."""
    if (known := _BY_NAME.get(event.lower().translate(_NOTHING))) is not None:
        return known
    snake = _BREAK.sub("_", _HUMP.sub("_", event.strip())).strip("_").lower()
    if snake == PROFILE_UPDATE:  # it is no update, it tells of one, and counts
        snake = "profile_updated"
    return Kind("web", snake) if _TYPE.fullmatch(snake) else Kind("web", CUSTOM, named=False)
