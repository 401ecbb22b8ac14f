"""A batch: what was read from the stream, decoded, with the positions that its effects will move."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import InvalidOperation
from typing import NamedTuple

import msgspec

from tierwise.domain import unmapped
from tierwise.domain.interaction import CHANNELS, Interaction, decode
from tierwise.domain.money import minor_units
from tierwise.domain.override import entry_of, is_override
from tierwise.domain.retraction import Retraction, retraction_of
from tierwise.domain.ruling import Ruling, ruling_of
from tierwise.stream.port import Partition, Record, Slice
from tierwise.tracing import TRACEPARENT

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2149, 1, 1, tzinfo=UTC)  # a ledger's days end in 2149
AMOUNT_MAX = 10**15  # minor units, ten times what ingest lets pass: other producers may write to the topic too


class Move(NamedTuple):
    """A partition's position goes from `expected` to `next`."""

    partition: Partition
    expected: int
    next: int


class DeadLetter(NamedTuple):
    """A record that scoring cannot use. `reason`: a code; `detail`: for people, without the record's content."""

    partition: Partition
    record: Record
    reason: str
    detail: str


class Unusable(ValueError):  # noqa: N818
    """The record is no interaction that scoring can use."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(slots=True)
class Batch:
    """`interactions[i]` was read as `records[i]`; both in the order of the stream within a partition. `arrived_ms`: by
    partition, when the first and the last of all that was read were appended, in milliseconds since 1970."""

    moves: list[Move] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)
    records: list[tuple[Partition, Record]] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    retractions: list[Retraction] = field(default_factory=list)
    rulings: list[Ruling] = field(default_factory=list)
    arrived_ms: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.interactions) + len(self.dead_letters)


def decode_slices(slices: Sequence[Slice]) -> Batch:
    """What cannot be decoded becomes a dead letter."""
    batch = Batch()
    for part in slices:
        batch.moves.append(Move(part.partition, part.position, part.next_position))
        if part.records:
            batch.arrived_ms[part.partition.index] = part.records[0].timestamp_ms, part.records[-1].timestamp_ms
        for record in part.records:
            try:
                batch.interactions.append(decode_record(record.value))
            except Unusable as error:
                if (retraction := retraction_of(record.value)) is not None:
                    batch.retractions.append(retraction)
                    continue
                if (ruling := ruling_of(record.value)) is not None:
                    batch.rulings.append(ruling)
                    continue
                batch.dead_letters.append(DeadLetter(part.partition, record, error.reason, error.detail))
            else:
                batch.records.append((part.partition, record))
    return batch


def traceparents(batch: Batch) -> Iterator[str]:
    """Of the appends that the interactions came by, where those were traced."""
    for _, record in batch.records:
        for name, value in record.headers:
            if name == TRACEPARENT:
                yield value.decode("latin-1")


def decode_record(value: bytes) -> Interaction:
    """Raises Unusable. Ingest checks more than this: here is only what would stop scoring or the database."""
    try:
        interaction = decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _undecodable(value, error) from error
    if b"\\u0000" in value and b"\x00" in msgspec.msgpack.encode(_texts(interaction)):
        raise Unusable("nul_character", "a text has a NUL character, which the database cannot hold")
    if interaction.channel not in CHANNELS:
        raise Unusable("unknown_channel", "channel: not one of the known ones")
    if not interaction.identifiers:
        raise Unusable("missing_identifier", "identifiers: at least one is needed")
    if interaction.time.tzinfo is None or not EARLIEST <= interaction.time < LATEST:
        raise Unusable("invalid_time", "time: needs a zone and a year from 1970 to 2148")
    if "amount" in interaction.properties:
        _check_amount(interaction.properties["amount"])
    if is_override(interaction):
        _check_override(interaction)
    return interaction


def _undecodable(value: bytes, error: Exception) -> Unusable:
    try:
        request = unmapped.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Unusable("undecodable", f"not an interaction: {error}")
    told = f"{request.code}: {request.detail}" if request.field is None else f"{request.code}: {request.field}"
    return Unusable(unmapped.REASON, f"{request.source} ({request.format}): {told}")


def _check_amount(amount: object) -> None:
    try:
        fits = isinstance(amount, str | int | float) and abs(minor_units(amount)) <= AMOUNT_MAX
    except (InvalidOperation, ValueError, OverflowError):
        fits = False
    if not fits:
        raise Unusable("invalid_amount", "properties.amount: not a decimal of at most 12 digits before the point")


def _check_override(interaction: Interaction) -> None:
    try:
        entry_of(interaction, time_us=0)
    except ValueError as error:
        raise Unusable("invalid_override", f"properties: {error}") from error


def _texts(interaction: Interaction) -> list[str]:
    """What goes into text columns."""
    named = (text for pair in interaction.named for text in pair)
    return [interaction.id, interaction.source, interaction.type, *named]
