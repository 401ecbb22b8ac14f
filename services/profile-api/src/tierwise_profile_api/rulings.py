"""What people rule of who is who, as entries of the log: hashes of identifiers, with author and reason."""

from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import Request, Response

from tierwise.domain.customer_id import internal_id, public_id
from tierwise.domain.identifier import InvalidIdentifier, normalise
from tierwise.domain.interaction import key_of
from tierwise.domain.ruling import BLOCK, IDENTIFIERS_MAX, SPLIT, Kind, Named, Ruling, encode
from tierwise.domain.source import BACKEND, BY_HAND
from tierwise.problem import Problem
from tierwise.security.keys import Reader
from tierwise.stream.port import Outgoing
from tierwise_profile_api import queries
from tierwise_profile_api.backend import Backend, backend_of
from tierwise_profile_api.body import InvalidBody
from tierwise_profile_api.entries import accepted, appended, entry_id
from tierwise_profile_api.ruling_documents import Identifier, NewSplit


class SharedIdentifier(Problem):
    status, code, title = 409, "blocked_identifier", "The identifier is many people's"


async def rule(
    request: Request,
    reader: Reader,
    kind: Kind,
    identifiers: Sequence[bytes],
    others: Sequence[bytes] = (),
    *,
    id: str | None,  # noqa: A002
    reason: str | None,
    customer: int | None = None,
    named: Named | None = None,
) -> Response:
    """202 when the log has it. Raises InvalidBody, Unavailable."""
    if "\x00" in (reason or "") + (id or ""):
        raise InvalidBody("NUL is no text.", field="reason" if id is None or "\x00" not in id else "id")
    if max(len(identifiers), len(others)) > IDENTIFIERS_MAX:
        raise InvalidBody(
            f"The customer has more than {IDENTIFIERS_MAX:,} identifiers: block the one that has tied so many first."
        )
    customer_id = None if customer is None else public_id(customer)
    ruling = Ruling(
        ruling=kind,
        id=entry_id(reader, id),
        author=reader.name,
        time=datetime.now(UTC),
        identifiers=tuple(one.hex() for one in identifiers),
        others=tuple(one.hex() for one in others),
        named=named,
        reason=reason,
        customer_id=customer_id,
    )
    await appended(backend_of(request), Outgoing(identifiers[0], encode(ruling)))
    return await _answer(backend_of(request), kind, ruling.id, customer_id, identifiers)


async def repeated(request: Request, reader: Reader, kind: Kind, id: str | None) -> Response | None:  # noqa: A002
    """The same answer again where this is carried out: whom it was said of are others since. Raises Unavailable."""
    source = backend_of(request)
    if id is None:
        return None
    row = await source.reads.row(queries.RULED, key_of(BY_HAND, entry_id(reader, id)), kind)
    if row is None:
        return None
    return await _answer(source, kind, row["id"], public_id(row["customer_id"]), row["identifiers"])


async def _answer(
    source: Backend, kind: Kind, ruling_id: str, customer_id: str | None, identifiers: Sequence[bytes]
) -> Response:
    kept = await source.reads.row(queries.KEPT_WHOLE, identifiers) if kind in (SPLIT, BLOCK) else None
    return accepted(ruling_id, customer_id, kept_whole_before=None if kept is None else kept[0])


async def held_by(source: Backend, customer: int) -> list[bytes]:
    """The hashes of a customer's identifiers. Raises Unavailable, and SharedIdentifier where it is a blocked one."""
    rows = await source.reads.rows(queries.HELD, customer)
    if any(row["blocked"] for row in rows):
        raise SharedIdentifier(
            "This customer is what names a blocked identifier and nobody else; that is said of many people's "
            "interactions. Unblock it, or erase those people."
        )
    return [row["hash"] for row in rows]


def normalised(kind: str, value: str, *, field: str) -> Named:
    """Raises InvalidBody."""
    try:
        return Named(kind, normalise(kind, value, default_region=BACKEND.default_region))
    except InvalidIdentifier as error:
        raise InvalidBody(f"This is no {kind}: {error}.", field=field) from error


async def parted(source: Backend, customer: int, split: NewSplit) -> tuple[list[bytes], list[bytes]]:
    """The identifiers of a customer that go, and those that stay. Raises InvalidBody, Unavailable."""
    held = [row["hash"] for row in await source.reads.rows(queries.HELD, customer)]
    if (split.merged is None) == (not split.identifiers):
        raise InvalidBody("Name either `merged` or `identifiers`.", field="merged")
    if split.merged is None:
        field, going = "identifiers", _named(source, held, split.identifiers)
    else:
        field, going = "merged", await _of_part(source, customer, split.merged)
    gone = [hash_ for hash_ in held if hash_ in going]
    left = [hash_ for hash_ in held if hash_ not in going]
    if not gone or not left:
        raise InvalidBody("Of the identifiers some have to go and some to stay.", field=field)
    return gone, left


def _named(source: Backend, held: Sequence[bytes], identifiers: Sequence[Identifier]) -> set[bytes]:
    going = set()
    for index, one in enumerate(identifiers):
        field = f"identifiers[{index}]"
        named = normalised(one.kind, one.value, field=field)
        hash_ = source.vault.identifier_hash(named.kind, named.value)
        if hash_ not in held:
            raise InvalidBody("The customer does not have this identifier.", field=field)
        going.add(hash_)
    return going


async def _of_part(source: Backend, customer: int, merged: str) -> set[bytes]:
    number = internal_id(merged)
    rows = [] if number is None else await source.reads.rows(queries.NAMED_BY_PART, customer, number)
    if not rows:
        raise InvalidBody("This id was not merged into the customer.", field="merged")
    return {row[0] for row in rows}
