"""The digest: what is known of all customers as one hash, so that two runs over the same interactions can be compared.

It is a function of the facts alone: neither the numbers that customers were given, nor the keys that seal, nor the
order or batches in which interactions came, nor when somebody was last reviewed make a difference. A customer's hash
is made of the hashes of its parts; those of all customers are added up, which needs no order and no memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.bodies import unpack_body
from tierwise.db.engine import driver_connection, snapshot
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain import attributes, ledger, name_words, packed_ledger
from tierwise.domain.attributes import Attributes, Entry, Kind
from tierwise.domain.calendar import date_of
from tierwise.domain.change import rfc3339
from tierwise.domain.classify import attribute_columns, classify
from tierwise.domain.customer_id import public_id
from tierwise.domain.rulebook import Rulebook
from tierwise.folding.checkpoints import Checkpoint, joined, read_checkpoints
from tierwise.problem import Problem
from tierwise.security.personal import Vault
from tierwise.security.values import open_values
from tierwise_scoring.customers import Customers, read_page
from tierwise_scoring.release import Rules, standing_of

PARTS: Final = ("identifiers", "interactions", "ledgers", "attributes", "classification")

_PAGE: Final = 1_000  # customers
_ANY_VERSION: Final = 0  # of signals: what is in checkpoints was folded by those of its time
_CHUNK: Final = 10_000  # interactions in memory at once
_BYTES: Final = 32
_MODULUS: Final = 1 << 8 * _BYTES
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_encode = msgspec.json.Encoder(order="deterministic").encode
_pack = msgspec.msgpack.Encoder(order="deterministic").encode


class TooEarly(Problem):
    status, code, title = 400, "time_too_early", "The digest cannot be made for so early a time"


@dataclass(slots=True)
class Sum:
    """Hashes added up: the same in any order, and another one with each that is missing or comes twice."""

    total: int = 0
    count: int = 0

    def add(self, hashed: bytes) -> None:
        self.total = (self.total + int.from_bytes(hashed, "little")) % _MODULUS
        self.count += 1

    def digest(self) -> bytes:
        return blake2b(self.total.to_bytes(_BYTES, "little") + b"%d" % self.count, digest_size=_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Digest:
    """`hash`: of everything; `parts`: of each of PARTS alone, whoever it belongs to. Both in hex. `at`: when customers
    were classified; `rulebook`: the version in force, by which they were; `cuts`: the number of its cuts."""

    hash: str
    parts: dict[str, str]
    at: datetime
    rulebook: str
    cuts: int | None
    customers: int
    interactions: int


class CustomerDigest(NamedTuple):
    """One customer's hashes. `identifiers` is made with the interactions: nobody can try guesses of an identifier."""

    whole: str
    identifiers: str
    interactions: str
    ledgers: str
    attributes: str
    classification: str
    customer_id: str


@dataclass(slots=True)
class _History:
    """What a page's customers did, by index, and who they are."""

    identifiers: list[dict[bytes, tuple[str, str]]]
    interactions: list[Sum]
    seen: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Digesting:
    """`told`: each customer's hashes, as they come; `progressed`: how many customers are done."""

    engine: AsyncEngine
    vault: Vault
    told: Callable[[CustomerDigest], None] = lambda _: None
    progressed: Callable[[int], None] = lambda _: None
    rulebooks: Rulebooks = field(default_factory=Rulebooks)

    async def run(self, at: datetime | None = None) -> Digest:
        """Of one state of the database, everyone classified at `at` (the database's time where it is None) by the
        rulebook in force. Raises TooEarly."""
        whole, parts, interactions = Sum(), {part: Sum() for part in PARTS}, 0
        async with snapshot(self.engine) as connection:
            in_force = await self.rulebooks.in_force(connection)
            tx = await driver_connection(connection)
            if at is None:
                at = max(await tx.fetchval("SELECT now()"), await tx.fetchval(_LAST) or _EPOCH)
            rules = Rules(in_force, self.rulebooks, self.vault)
            after = -1
            while ids := (customers := await read_page(tx, after, _PAGE)).ids:
                _check(at, customers, rules.rulebook)
                history = await self._history(tx, ids)
                states = await self._states(connection, customers, history, at, rules)
                for index, id_ in enumerate(ids):
                    hashes = _hashes(history, index, states[index])
                    for part, hashed in zip(PARTS, hashes, strict=True):
                        parts[part].add(hashed)
                    whole.add(_hash("customer", b"".join(hashes)))
                    interactions += history.interactions[index].count
                    self.told(_told(hashes, id_))
                after = ids[-1]
                self.progressed(whole.count)
        return Digest(
            whole.digest().hex(),
            {part: sum_.digest().hex() for part, sum_ in parts.items()},
            at,
            rules.rulebook.version,
            rules.rulebook.cuts_number,
            whole.count,
            interactions,
        )

    async def _history(self, tx: asyncpg.Connection, ids: Sequence[int]) -> _History:
        index = {id_: place for place, id_ in enumerate(ids)}
        history = _History([{} for _ in ids], [Sum() for _ in ids], [(0, 0)] * len(ids))
        for row in await tx.fetch(_IDENTIFIERS, ids):
            value = self.vault.open(row["ciphertext"], context=row["kind"].encode()).decode()
            history.identifiers[index[row["customer_id"]]][row["hash"]] = (row["kind"], value)
        for row in await tx.fetch(_SEEN, ids):
            history.seen[index[row["id"]]] = (_microseconds(row["first_seen"]), _microseconds(row["last_seen"]))
        for loser, winner in await tx.fetch(_LOSERS, ids):
            index[loser] = index[winner]
        for place, checkpoint in await _checkpoints(tx, index):
            history.interactions[place].add(self._summed(checkpoint))
            history.interactions[place].count += checkpoint.interactions - 1
        cursor = await tx.cursor(_INTERACTIONS, list(index))
        while rows := await cursor.fetch(_CHUNK):
            for row in rows:
                place = index[row["customer_id"]]
                history.interactions[place].add(self._interaction(row, history.identifiers[place]))
        return history

    def _interaction(self, row: asyncpg.Record, known: dict[bytes, tuple[str, str]]) -> bytes:
        """Without its arrival, which a retry moves. Identifiers that tie nothing are known by their hashes alone,
        which another database makes with another key: their number counts."""
        body = unpack_body(row["body"], self.vault, masked=False)
        named = sorted(known[hash_] for hash_ in row["identifiers"] if hash_ in known)
        said = (row["source"], row["id"], row["time"], row["channel"], row["type"], row["batch"])
        return _hash("interaction", _encode((*said, named, len(row["identifiers"]), *body)))

    def _summed(self, one: Checkpoint) -> bytes:
        known = _pack(self._plain(attributes.unpack(one.attributes)))
        said = [one.interactions, _microseconds(one.first_seen), _microseconds(one.last_seen), len(one.identifiers)]
        return _hash("checkpoint", _pack(said) + one.ledger + known)

    async def _states(
        self, connection: AsyncConnection, customers: Customers, history: _History, at: datetime, rules: Rules
    ) -> list[tuple[bytes, bytes, bytes]]:
        """Ledger, attributes and classification of each, as bytes."""
        rulebook = rules.rulebook
        standing = await standing_of(connection, customers, range(len(customers.ids)), rules)
        rows = ledger.compact(packed_ledger.unpack(standing.ledgers), rulebook.horizon_day(at))
        held = [attributes.unpack(one) for one in standing.attributes]
        result = classify(rows, attribute_columns(held, rulebook), at, rulebook).result
        packed = packed_ledger.pack(rows, rulebook.fold_version)
        version = rulebook.version.encode()
        return [
            (one + _pack(seen), _pack(self._plain(known)), version + classified.tobytes())
            for one, seen, known, classified in zip(packed, history.seen, held, result, strict=True)
        ]

    def _plain(self, held: Attributes) -> dict[str, Any]:
        def opened(name: str, value: Any) -> Any:
            return open_values({name: value}, self.vault, masked=False)[name]

        return {
            name: _without_keyed(attributes.with_values(entry, partial(opened, name)))
            for name, entry in held.items()
            if not name.startswith(name_words.PREFIX)  # hashes with this database's key, of names that are here
        }


async def _checkpoints(tx: asyncpg.Connection, index: Mapping[int, int]) -> list[tuple[int, Checkpoint]]:
    """Of each person one, by their place."""
    held = await read_checkpoints(tx, index)
    of_person = joined((replace(one, customer_id=index[one.customer_id]) for one in held), _ANY_VERSION)
    return [(one.customer_id, one) for one in of_person]


def _without_keyed(entry: Entry) -> tuple[Any, ...]:
    """The elements of a set of personal values are told apart by keyed hashes: here by what they say."""
    if entry.kind == Kind.SEVERAL:
        return entry._replace(value=[_without_keyed(Entry(*one)) for one in entry.value])
    if entry.kind == Kind.SET:
        return entry._replace(
            value=sorted([at, name if sealed is None else sealed] for at, name, sealed in entry.value)
        )
    return entry


def _check(at: datetime, customers: Customers, rulebook: Rulebook) -> None:
    last = customers.classified_at
    if last is not None and rulebook.horizon_day(last) > rulebook.horizon_day(at):
        raise TooEarly(
            f"{rfc3339(at)} lies before {date_of(rulebook.days.day_of(last))}, a business day on which customers were "
            "classified already, and ledgers compacted. Give a time on that day or later"
        )


def _hashes(history: _History, index: int, state: tuple[bytes, bytes, bytes]) -> list[bytes]:
    """In the order of PARTS."""
    contents = (
        _encode(sorted(history.identifiers[index].values())),
        history.interactions[index].digest(),
        *state,
    )
    return [_hash(part, content) for part, content in zip(PARTS, contents, strict=True)]


def _hash(what: str, content: bytes) -> bytes:
    return blake2b(content, digest_size=_BYTES, person=what.encode()).digest()


def _told(hashes: Sequence[bytes], id_: int) -> CustomerDigest:
    identifiers, interactions, *others = hashes
    shown = [b"".join(hashes), identifiers + interactions, interactions, *others]
    return CustomerDigest._make([*(blake2b(one, digest_size=8).hexdigest() for one in shown), public_id(id_)])


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


_LAST: Final = "SELECT max(classified_at) FROM customers"
_IDENTIFIERS: Final = (
    "SELECT hash, customer_id, kind, ciphertext FROM identifiers WHERE customer_id = ANY($1::bigint[])"
)
_SEEN: Final = "SELECT id, first_seen, last_seen FROM customers WHERE id = ANY($1::bigint[])"
_LOSERS: Final = "SELECT id, merged_into FROM customers WHERE merged_into = ANY($1::bigint[])"
_INTERACTIONS: Final = """
    SELECT held.customer_id, held.time, held.id, held.channel, held.type, held.identifiers, held.body,
           sources.name AS source, batches.name AS batch
    FROM interactions AS held JOIN sources ON sources.id = held.source_id
         LEFT JOIN batches ON batches.id = held.batch_id
    WHERE held.customer_id = ANY($1::bigint[])"""
