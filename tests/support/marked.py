"""A person who is easily found again, sent through every path that a deployment has, the wrong ones too."""

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import httpx

from tierwise_ingest.formats.table import FORMATS

EMAIL: Final = "mark.wang@marked.example"
PHONE: Final = "+8613912345678"
MARKS: Final = (
    EMAIL,
    "mark.wang",
    PHONE,
    "13912345678",
    "Marked Wangson",
    "马克标",
    "marked-user-77",
    "Marked Street 7",
)
"""What must not be found anywhere. Searched without case, as text, in JSON's escapes and in those of addresses."""

_PERSON: Final[dict[str, Any]] = {
    "name": "Marked Wangson",
    "姓名": "马克标",
    "address": "Marked Street 7",
    "phone": PHONE,
}
_IDENTIFIERS: Final = {"email": EMAIL, "phone": PHONE, "user_id": "marked-user-77"}


def found_in(text: str) -> list[str]:
    """The marks that are in it."""
    lowered = text.lower()
    return [
        mark
        for mark in MARKS
        if any(form.lower() in lowered for form in (mark, json.dumps(mark)[1:-1], quote(mark), quote(mark, safe="@")))
    ]


def interaction(id_: str, **fields: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "id": id_,
        "channel": "order",
        "type": "purchase",
        "identifiers": _IDENTIFIERS,
        "attributes": _PERSON,
        "properties": {"amount": "10.00", "note": f"for {EMAIL}", **_PERSON},
    }
    return plain | fields


def _bodies() -> Iterator[Any]:
    """Right ones, and ones that are refused in many ways."""
    yield [interaction("m1"), interaction("m1", properties={"amount": "11.00"}), interaction("m2", type="page_view")]
    yield interaction("m3", identifiers={"email": EMAIL}) | {EMAIL: PHONE}
    yield interaction("m4", time=EMAIL)
    yield interaction("m5", identifiers={EMAIL: EMAIL, "phone": "Marked Wangson"})
    yield interaction("m6", channel=EMAIL)
    yield interaction("m7", properties={"amount": PHONE})
    yield [EMAIL, None, {"email": EMAIL}, [EMAIL]]
    yield {"batch": [{"type": "identify", "userId": "marked-user-77", "traits": {"email": EMAIL, **_PERSON}}]}
    yield {"type": EMAIL, "userId": "marked-user-77", "messageId": EMAIL, "traits": _PERSON}
    yield {"specversion": "1.0", "id": EMAIL, "source": EMAIL, "type": EMAIL, "subject": EMAIL, "data": _PERSON}


async def send_everything(client: httpx.AsyncClient, source: str) -> int:
    """To every route of ingest, with `source` where a path names one. Returns how many requests were answered."""
    answered = 0
    for method, path, _ in [route for format_ in FORMATS for route in format_.routes]:
        address = path.replace("{source}", source)
        for body in _bodies():
            await client.request(method, address, json=body, params={"email": EMAIL})
            answered += 1
        await client.request(method, address, data={"email": EMAIL, "From": PHONE, **_PERSON})
        await client.request(method, address, content=f'{{"email": "{EMAIL}", '.encode())
        await client.request(method, address, content=EMAIL.encode(), headers={"content-type": EMAIL})
        answered += 3
    for headers in ({"Authorization": f"Bearer {EMAIL}"}, {"Authorization": "Basic bWFyaw=="}, {"traceparent": EMAIL}):
        await client.post("/v1/interactions", json=interaction("m8"), headers=headers)
    await client.get(f"/v1/{EMAIL}")
    await client.request("BREW", f"/v1/interactions/{PHONE}")
    return answered


async def ask_everything(client: httpx.AsyncClient, webhook: str) -> str:
    """Of the profile API, which knows the person by now. `webhook`: an address that refuses. Returns the customer."""
    found = await client.get(f"/v1/customers/by/email/{EMAIL}")
    assert found.status_code == 200, found.text
    customer = f"/v1/customers/{found.json()['customer_id']}"
    await client.post("/v1/subscriptions", json={"url": f"{webhook}/{quote(EMAIL)}?phone={PHONE}", "name": "refuses"})
    for address in (
        *(f"/v1/customers/by/{kind}/{value}" for kind in ("email", "phone", "user_id", EMAIL) for value in MARKS),
        *(f"{customer}/{part}" for part in ("timeline", "changes", "why", EMAIL)),
        *(f"/v1/{part}?{name}={quote(EMAIL)}" for part in ("customers", "export", "changes") for name in ("q", "tier")),
        f"/v1/customers/{EMAIL}",
        f"/v1/statistics/{EMAIL}",
        f"{customer}?as_of={EMAIL}",
        f"/v1/customers?cursor={EMAIL}",
    ):
        await client.get(address)
        await client.get(address, headers={"Authorization": f"Bearer {EMAIL}", "If-None-Match": EMAIL})
    for address, body in (
        ("/v1/customers/lookup", {"customers": [EMAIL, {"kind": "email", "value": EMAIL}, {EMAIL: PHONE}]}),
        (f"{customer}/notes", {"text": f"{EMAIL} {PHONE}", "author": EMAIL}),
        (f"{customer}/notes", {EMAIL: EMAIL}),
        (f"{customer}/attributes", {"attributes": {**_PERSON, EMAIL: EMAIL}}),
        (f"{customer}/overrides", {"aspect": EMAIL, "to": EMAIL, "reason": EMAIL}),
        ("/v1/merges", {"customers": [EMAIL, PHONE], "reason": EMAIL}),
        ("/v1/tokens", {"customer_id": EMAIL}),
        ("/v1/sources", {"name": EMAIL, "trust": EMAIL}),
        ("/v1/subscriptions", {"url": EMAIL, "name": EMAIL}),
        ("/v1/identifiers/block", {"kind": "email", "value": EMAIL, EMAIL: EMAIL}),
        ("/v1/segments", {"name": EMAIL, "filter": {EMAIL: EMAIL}}),
    ):
        await client.post(address, json=body)
        await client.post(address, content=f'{{"email": "{EMAIL}'.encode())
    return customer
