"""Rows into interactions: mapped or native, given their ids, validated as ingest validates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from tierwise.domain.claim import Admitted, Terms, read_claim
from tierwise.domain.interaction import encode
from tierwise.domain.rejection import InvalidInteraction
from tierwise.files.apply import Mapper, Row, row_of
from tierwise.files.mapping import ROW
from tierwise.files.ordinals import Ordinals
from tierwise.files.read import Line


@dataclass(frozen=True, slots=True)
class Rejected:
    """What of a line was not taken, and why. `line` counts from 1."""

    line: int
    code: str
    field: str | None
    detail: str


class _Peek(msgspec.Struct):
    id: msgspec.Raw | None = None


_peek = msgspec.json.Decoder(_Peek)
_object = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Preparer:
    """Answers, for each line, its interactions or why there are none: all or nothing of a line.

    `mapper` None: lines are NDJSON in the native form. A row without id is keyed by its content and its ordinal
    among equal rows, and by channel, type and number where it gives several interactions. `batch`: of the import.
    """

    def __init__(
        self,
        mapper: Mapper | None,
        ordinals: Ordinals,
        terms: Terms,
        *,
        item_bytes_max: int,
        batch: str | None = None,
        quiet: bool = False,
    ) -> None:
        self._mapper = mapper
        self._ordinals = ordinals
        self._terms = terms
        self._item_bytes_max = item_bytes_max
        self._batch = batch
        self._quiet = quiet

    def __call__(self, line: Line) -> Sequence[Admitted] | Rejected:
        if line.fault is not None:
            return Rejected(line.number, "unreadable", None, line.fault)
        try:
            claims = self._native(line.content) if self._mapper is None else self._mapped(self._mapper, line)
            return [self._admitted(claim) for claim in claims]
        except InvalidInteraction as error:
            return Rejected(line.number, error.code, error.field, error.detail)

    def _admitted(self, claim: bytes) -> Admitted:
        if len(claim) > self._item_bytes_max:
            raise InvalidInteraction("too_large", None, f"More than {self._item_bytes_max} bytes")
        admitted = read_claim(claim, self._terms)
        interaction = msgspec.structs.replace(admitted.interaction, batch=self._batch, quiet=self._quiet)
        return admitted._replace(interaction=interaction, encoded=encode(interaction))

    def _native(self, content: bytes) -> Iterator[bytes]:
        try:
            has_id = _peek.decode(content).id is not None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            has_id = True  # no object that could be given an id: read_claim says what is wrong with it
        if has_id:
            yield content
            return
        row_hash = self._hash(content)
        identity = _identity(row_hash, self._ordinals.next(row_hash), "", "", 0).encode()
        yield b'{"id":"%b"%b%b' % (identity, b"" if content[1:].lstrip() == b"}" else b",", content[1:])

    def _mapped(self, mapper: Mapper, line: Line) -> Iterator[bytes]:
        if line.values is not None:
            row = Row(line.values, line.document)
        else:
            try:
                row = row_of(_object.decode(line.content))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise InvalidInteraction("malformed", None, f"is no JSON object: {error}") from None
        row_hash = self._hash(line.content)
        ordinal = self._ordinals.next(row_hash)
        row.values[ROW] = _identity(row_hash, ordinal, "", "", 0)
        numbers: dict[tuple[str, str], int] = {}
        for claim in mapper(row):
            if "id" not in claim:
                kind = (str(claim.get("channel")), str(claim.get("type")))
                numbers[kind] = number = numbers.get(kind, -1) + 1
                claim["id"] = _identity(row_hash, ordinal, *kind, number)
            yield _encode(claim)

    def _hash(self, content: bytes) -> bytes:
        # Keyed: a row is often short enough to be guessed from its id.
        return blake2b(content, key=self._terms.content_key, digest_size=16).digest()


def _identity(row_hash: bytes, ordinal: int, channel: str, type_: str, number: int) -> str:
    """32 hexadecimal digits. Channel and type are in it so that another mapping of the same file adds to it."""
    name = f"{ordinal}\0{channel}\0{type_}\0{number}".encode()
    return blake2b(row_hash + name, digest_size=16).hexdigest()
