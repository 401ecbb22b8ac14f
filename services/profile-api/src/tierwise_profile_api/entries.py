"""What people say of customers, as entries of the log: each is an interaction of one source, with its author.

An entry names its customer by one identifier, the strongest: so it ties nothing together that was not.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import msgspec
from fastapi import Request, Response

from tierwise.domain.change import rfc3339
from tierwise.domain.claim import Claim, Terms, take
from tierwise.domain.customer_id import public_id
from tierwise.domain.interaction import Interaction, encode, strongest
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import BACKEND, BY_HAND, Source
from tierwise.problem import Unavailable
from tierwise.security.keys import Reader
from tierwise.stream.port import Outgoing, StreamUnavailable
from tierwise.stream.topics import INTERACTIONS
from tierwise_profile_api import queries
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.body import InvalidBody
from tierwise_profile_api.reads import Row
from tierwise_profile_api.routes.customers import customer_number, unknown_customer
from tierwise_profile_api.view import open_identifiers

SOURCE: Final = Source(id=0, name=BY_HAND, trust=BACKEND)
CHANNEL: Final = "crm"

APPEND_TIMEOUT_S = 10.0

_encode = msgspec.json.Encoder().encode


class Said(msgspec.Struct, frozen=True):
    """`id`: the client's; None: a new one, and a repeat is another entry."""

    type: str
    properties: dict[str, Any]
    attributes: dict[str, Any] = {}
    id: str | None = None


async def customer_row(source: Backend, customer_id: str) -> Row:
    """The row of `queries.CUSTOMER`. Raises UnknownCustomer, ErasedCustomer, Unavailable."""
    number = customer_number(customer_id)
    row = await source.reads.row(queries.CUSTOMER, number)
    if row is None or not row["kinds"]:
        raise await unknown_customer(source, number)
    return row


async def append(request: Request, reader: Reader, customers: Sequence[Row], said: Said) -> Response:
    """202 when the log has what `reader` said of these customers, who are one person from then on. Raises InvalidBody,
    Unavailable."""
    source = backend_of(request)
    names = [_name(row, source) for row in customers]
    entry = _entry(names, reader, said)
    await appended(source, Outgoing(source.vault.identifier_hash(*names[0]), encode(entry)))
    return accepted(entry.id, public_id(min(row["id"] for row in customers)))


def accepted(entry_id: str, customer_id: str | None, *, kept_whole_before: datetime | None = None) -> Response:
    """`customer_id`: whom it is of; None where it may be of many. `kept_whole_before`: what happened before is kept as
    sums, which cannot be taken apart."""
    body = {"id": entry_id} if customer_id is None else {"id": entry_id, "customer_id": customer_id}
    if kept_whole_before is not None:
        body["kept_whole_before"] = rfc3339(kept_whole_before)
    return Response(_encode(body), 202, {"Cache-Control": "no-store"}, "application/json")


def entry_id(reader: Reader, given: str | None) -> str:
    """`given`: the client's; None: a new one."""
    return uuid4().hex if given is None else f"{reader.name}:{given}"


def _name(row: Row, source: Backend) -> tuple[str, str]:
    return strongest(dict(open_identifiers(row["kinds"], row["ciphertexts"], source.vault, masked=False)))


def _entry(names: Sequence[tuple[str, str]], reader: Reader, said: Said) -> Interaction:
    (kind, value), *others = names
    claim = Claim(
        id=entry_id(reader, said.id),
        channel=CHANNEL,
        type=said.type,
        identifiers={kind: value},
        attributes=said.attributes,
        properties=said.properties | {"author": reader.name},
    )
    terms = Terms(
        source=SOURCE,
        received=datetime.now(UTC),
        new_id=lambda: uuid4().hex,
        kinds=frozenset({kind}),
        by_hand=True,
    )
    try:
        entry = take(claim, terms).interaction
    except InvalidInteraction as error:
        raise InvalidBody(f"{error.detail}.", field=error.field, reason=error.code) from error
    return msgspec.structs.replace(entry, same_as=tuple(other for other in others if other != (kind, value)))


async def appended(source: Backend, record: Outgoing) -> None:
    """Returns when the log has it. Raises Unavailable."""
    try:
        async with asyncio.timeout(APPEND_TIMEOUT_S):
            await source.stream.append(INTERACTIONS, [record])
    except TimeoutError as error:
        raise Unavailable("The stream is slow; with an `id` of yours, repeating the request is safe.") from error
    except StreamUnavailable as error:
        raise Unavailable("The stream is away; with an `id` of yours, repeating the request is safe.") from error
