"""Events and properties under the product's names.

Source: Sensors Analytics, technical guide, preset events and properties of the SDKs for App and Web, and its template
of events for shops.
"""

from typing import Any, Final

from tierwise_ingest.formats.segment import properties as shaped
from tierwise_ingest.formats.segment.kinds import PAGE, Kind, kind_of

_EVENTS: Final = {
    "$pageview": PAGE,
    "$AppViewScreen": PAGE,
    "$MPViewScreen": PAGE,
    "$SignUp": Kind("web", "signup"),
    "ViewProduct": Kind("web", "product_view"),
    "SearchProduct": Kind("web", "search"),
    "AddToShoppingCart": Kind("web", "cart_added"),
    "SubmitOrder": Kind("web", "checkout_started"),
    "PayOrder": Kind("order", "purchase"),
    "CancelPayOrder": Kind("order", "cancelled"),
    "ReturnOrder": Kind("order", "refund"),
}
_BY_NAME: Final = {name.lower(): kind for name, kind in _EVENTS.items()}

_PROPERTIES: Final = {
    "$url_path": "path",
    "$event_duration": "duration_s",
    "$screen_name": "screen",
    "$province": "region",
    "product_id": "sku",
    "product_classify": "category",
    "key_word": "query",
    "order_actual_amount": "amount",
    "actual_amount": "amount",
    "order_amount": "amount",
}
_LEFT: Final = frozenset({"$is_login_id", "$lib_detail"})


def event_kind(event: str) -> Kind:
    """An own event of the SDKs keeps its name without the sign: `$WebClick` is `web_click`."""
    return _BY_NAME.get(event.lower()) or kind_of(event.removeprefix("$"))


def of_event(event: str, kind: Kind, sent: dict[str, Any]) -> dict[str, Any]:
    """The properties of a message: `$` is left out of their names."""
    given = {name: value for name, value in sent.items() if name not in _LEFT and name[:1] != "$"}
    for name, value in sent.items():
        if name in _PROPERTIES:
            given.setdefault(_PROPERTIES[name], value)
        if name[:1] == "$" and name not in _LEFT:
            given.setdefault(name[1:], value)
    if kind == PAGE:
        return shaped.of_page(None, None, given, None)
    return shaped.of_event(event, kind, given)
