"""Properties under the product's names, beside those that the sender gave them."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from tierwise_ingest.formats.segment.kinds import Kind

Properties = dict[str, Any]

AMOUNTS: Final = ("revenue", "total", "value", "amount")
"""Where an order's amount may stand, the first one that is there: `revenue` is without tax and shipping."""


def _order(properties: Properties) -> None:
    amount = next((properties[name] for name in AMOUNTS if properties.get(name) is not None), None)
    if amount is not None:
        # Sums that a browser makes have errors in the sixteenth digit; refunds are sent with either sign.
        properties["amount"] = round(amount, 4) if isinstance(amount, float) else amount
    products = properties.get("products")
    if isinstance(products, list):
        bought = [product for product in products if isinstance(product, dict)]
        properties.setdefault("items", sum(_quantity(product) for product in bought))
        if (category := next((product["category"] for product in bought if product.get("category")), None)) is not None:
            properties.setdefault("category", category)


def _refund(properties: Properties) -> None:
    _order(properties)
    amount = properties.get("amount")
    if isinstance(amount, str):
        properties["amount"] = amount.removeprefix("-")
    elif isinstance(amount, int | float) and not isinstance(amount, bool):
        properties["amount"] = abs(amount)


def _quantity(product: Properties) -> int:
    quantity = product.get("quantity")
    return int(quantity) if isinstance(quantity, int | float) and 0 <= quantity < 1e9 else 1


def _product(properties: Properties) -> None:
    # A product's name is nobody's; under `name` it would be sealed as a person's.
    if "name" in properties:
        properties.setdefault("product_name", properties.pop("name"))
    if "sku" not in properties and (product_id := properties.get("product_id")) is not None:
        properties["sku"] = product_id


def _renaming(ours: str, *theirs: str) -> Callable[[Properties], None]:
    def rename(properties: Properties) -> None:
        found = next((properties[name] for name in theirs if properties.get(name) is not None), None)
        if found is not None:
            properties.setdefault(ours, found)

    return rename


_SHAPES: Final[dict[tuple[str, str], Callable[[Properties], None]]] = {
    ("order", "purchase"): _order,
    ("order", "refund"): _refund,
    ("order", "cancelled"): _order,
    ("web", "product_view"): _product,
    ("web", "product_clicked"): _product,
    ("web", "cart_added"): _product,
    ("web", "cart_removed"): _product,
    ("web", "favourited"): _product,
    ("web", "search"): _renaming("query", "search_term", "q"),
    ("web", "form_submitted"): _renaming("form", "form_name", "formName", "form_id", "formId", "name"),
    ("email", "clicked"): _renaming("url", "link_url"),
}


def of_event(event: str, kind: Kind, given: Properties) -> Properties:
    """Of a `track`. `given` is changed."""
    if not kind.named:
        given["event"] = event
    shape = _SHAPES.get((kind.channel, kind.type))
    if shape is not None:
        shape(given)
    if kind.channel == "chat" and kind.type == "message":
        given.setdefault("direction", "outbound" if "received" in event.lower() else "inbound")
    if isinstance(currency := given.get("currency"), str):
        given["currency"] = currency.upper()
    return given


def of_page(name: str | None, category: str | None, given: Properties, page: Any) -> Properties:
    """Of a `page` or `screen`. `page`: the context's. `given` is changed; it wins over what the context says."""
    if isinstance(page, dict):
        for member in _PAGE:
            if isinstance(value := page.get(member), str):
                given.setdefault(member, value)
    if name:
        given.pop("name", None)
        given.setdefault("title", name)
        given["page_name"] = name
    if category:
        given.setdefault("category", category)
    _add_address(given)
    return given


_PAGE: Final = ("path", "title", "referrer", "url", "search")


def _add_address(properties: Properties) -> None:
    """`path` from `url`, and what the query tells of where the visitor came from."""
    url, search = properties.get("url"), properties.get("search")
    if isinstance(url, str) and ("path" not in properties or (search is None and "?" in url)):
        try:
            parts = urlsplit(url)
        except ValueError:
            return
        properties.setdefault("path", parts.path or "/")
        search = search or parts.query
    if isinstance(search, str) and any(mark in search for mark in _MARKS):
        for name, value in parse_qsl(search.removeprefix("?")):
            if name.startswith(_MARKS):
                properties.setdefault(name, value)


_MARKS: Final = ("utm_", "gclid", "bd_vid")

_CAMPAIGN: Final = {
    "source": "utm_source",
    "medium": "utm_medium",
    "name": "utm_campaign",
    "term": "utm_term",
    "content": "utm_content",
}


def add_context(properties: Properties, page: Any, campaign: Any) -> None:
    """Of anything on the web: where it took place, and the campaign that the visitor came by."""
    if isinstance(page, dict) and isinstance(path := page.get("path"), str):
        properties.setdefault("path", path)
    if isinstance(campaign, dict):
        for theirs, ours in _CAMPAIGN.items():
            if isinstance(value := campaign.get(theirs), str):
                properties.setdefault(ours, value)
