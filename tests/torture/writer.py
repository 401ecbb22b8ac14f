"""A person at the profile API who writes back: notes, overrides, corrections, and rulings on who is who."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, NamedTuple

import httpx

from tests.torture.journal import Journal
from tests.torture.said import NATIVE, WRITER, Script, form_of, mailbox_of, own_identifiers, write_id

_EVERY_S: Final = 0.2
_PAUSE_S: Final = 0.3
_TIMEOUT_S: Final = 20.0
_CARRIED_OUT_WITHIN_S: Final = 20.0
_TRIES: Final = 20  # people looked at for one whom a form fits
_ACCEPTED: Final = 202
_TOO_LATE: Final = (400, 404)  # whom it is said of is not as they were a moment ago


class _Request(NamedTuple):
    method: str
    path: str
    body: dict[str, Any] | None = None
    query: Mapping[str, str] = {}


@dataclass
class Writer:
    """`flowing`: whether another write may begin. `under_way`: whether one is. `wrong`: what nobody should see."""

    script: Script
    journal: Journal
    api: str
    read_key: str
    flowing: asyncio.Event
    wrong: list[str]
    refused: int = 0
    under_way: int = 0
    _blocked: list[int] = field(default_factory=list)

    async def run(self) -> None:
        """Until cancelled. A write is begun when the one before is acknowledged."""
        headers = {"Authorization": f"Bearer {self.read_key}"}
        async with httpx.AsyncClient(base_url=self.api, headers=headers, timeout=_TIMEOUT_S) as http:
            while True:
                await self.flowing.wait()
                number = self.journal.next(WRITER)
                request = await self._request(http, number)
                if request is not None and self.flowing.is_set():
                    self.under_way = 1
                    if await self._until_accepted(http, number, request):
                        self.journal.acknowledged(WRITER, number)
                    self.under_way = 0
                await asyncio.sleep(_EVERY_S)

    async def _until_accepted(self, http: httpx.AsyncClient, number: int, request: _Request | None) -> bool:
        """False where it was of somebody who is not as they were, and nothing was appended. Where that is not known,
        somebody else is written about: the log counts the write once, by its id."""
        unknown = False
        while True:
            status = None if request is None else await self._sent(http, request)
            if status == _ACCEPTED:
                return True
            if status in _TOO_LATE:
                if not unknown or await self._carried_out(http, number):
                    return unknown
                request = None
            unknown |= request is not None
            await asyncio.sleep(_PAUSE_S)
            request = request or await self._request(http, number)

    async def _sent(self, http: httpx.AsyncClient, request: _Request) -> int | None:
        """The answer's status; None where there was none."""
        try:
            response = await http.request(request.method, request.path, json=request.body, params=dict(request.query))
        except httpx.TransportError:
            self.refused += 1
            return None
        status = response.status_code
        self.refused += status != _ACCEPTED
        if status not in (_ACCEPTED, *_TOO_LATE) and not (status == 503 and "retry-after" in response.headers):
            self.wrong.append(f"a write was answered {status}: {response.text[:300]}")
        return status

    async def _carried_out(self, http: httpx.AsyncClient, number: int) -> bool:
        """Whether a split whose answer was lost is why it cannot be made now."""
        until = monotonic() + _CARRIED_OUT_WITHIN_S
        while form_of(number) == "split" and monotonic() < until:
            found = await _read(http, "/v1/rulings", ruling="split", limit="200")
            if found is not None and any(one["id"].endswith(f":{write_id(number)}") for one in found["items"]):
                return True
            await asyncio.sleep(_PAUSE_S)
        return False

    async def _request(self, http: httpx.AsyncClient, number: int) -> _Request | None:
        """Of somebody who is known by now; None where nobody is for whom it makes sense."""
        draw, form, id_ = random.Random(), form_of(number), write_id(number)
        if form in ("block", "unblock"):
            who = self._whose_mailbox(draw, form)
            body = {"kind": "email", "value": mailbox_of(who), "reason": "many read it", "id": id_}
            return _Request("POST", f"/v1/identifiers/{form}", body)
        for _ in range(_TRIES):
            _, value = self.script.someone(draw, self.journal.next(NATIVE[0]))
            if form == "split":
                found = await self._pair(http, draw)
                if found is not None:
                    customer, going = found
                    return _Request("POST", f"/v1/customers/{customer}/split", {"identifiers": going, "id": id_})
            elif (view := await _read(http, f"/v1/customers/by/user_id/{value}")) is not None:
                return _entry(form, view["customer_id"], id_, draw)
        return None

    def _whose_mailbox(self, draw: random.Random, form: str) -> int:
        if form == "unblock" and self._blocked:
            return self._blocked.pop()
        who = self.script.sharing(draw, self.journal.next(NATIVE[0]))
        self._blocked.append(who)
        return who

    async def _pair(self, http: httpx.AsyncClient, draw: random.Random) -> tuple[str, list[dict[str, str]]] | None:
        """Two whom their mailbox has made one: the customer, and what is the second one's."""
        who = self.script.sharing(draw, self.journal.next(NATIVE[0]))
        view = await _read(http, f"/v1/customers/by/user_id/u{who}")
        if view is None:
            return None
        second = own_identifiers(who + 1)
        going = [one for one in view["identifiers"] if (one["kind"], one["value"]) in second]
        return (view["customer_id"], going) if 0 < len(going) < len(view["identifiers"]) else None


def _entry(form: str, customer: str, id_: str, draw: random.Random) -> _Request:
    path = f"/v1/customers/{customer}"
    match form:
        case "note":
            return _Request("POST", f"{path}/notes", {"text": f"called {draw.randrange(99)} times", "id": id_})
        case "attributes":
            attributes = {"region": draw.choice(["CN-31", "CN-11"]), "name": f"n{draw.randrange(99)}"}
            return _Request("POST", f"{path}/attributes", {"attributes": attributes, "id": id_})
        case "override":
            body = {"aspect": "tier", "value": draw.choice("ABCDE"), "reason": "said so", "id": id_}
            return _Request("POST", f"{path}/overrides", body)
    return _Request("DELETE", f"{path}/overrides/tier", query={"id": id_})


async def _read(http: httpx.AsyncClient, path: str, **query: str) -> dict[str, Any] | None:
    """None while it is not to be had."""
    try:
        response = await http.get(path, params=query)
    except httpx.TransportError:
        return None
    found: dict[str, Any] | None = response.json() if response.status_code == 200 else None
    return found
