"""From rows of `queries` to the current view, as a key's scopes allow it."""

from typing import Any

from tierwise.domain import attributes
from tierwise.domain.change import rfc3339
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.view import StoredCustomer, current_view
from tierwise.folding.past import State, classified
from tierwise.security.keys import Reader
from tierwise.security.personal import Vault
from tierwise.security.values import mask_identifier, open_values
from tierwise_profile_api import queries
from tierwise_profile_api.authenticate import PERSONAL
from tierwise_profile_api.backend import Backend
from tierwise_profile_api.labels import labels_of
from tierwise_profile_api.past import Past
from tierwise_profile_api.reads import Row


async def view(row: Row, source: Backend, reader: Reader, *, language: str | None = None) -> dict[str, Any]:
    """The current view of one row of `queries.CUSTOMER` and its like; with labels in `language`, if any."""
    masked = PERSONAL not in reader.scopes
    rulebook = await source.rulebook(row["rulebook_id"], row["cuts"])
    found = current_view(
        StoredCustomer(**{name: row[name] for name in StoredCustomer.__struct_fields__}),
        identifiers=sorted(open_identifiers(row["kinds"], row["ciphertexts"], source.vault, masked=masked)),
        rulebook=rulebook,
        open_attributes=lambda values: open_values(dict(values), source.vault, masked=masked),
    )
    return found if language is None else found | {"labels": labels_of(found, rulebook, language)}


async def past_view(
    past: Past, state: State, rulebook: Rulebook, source: Backend, reader: Reader, *, language: str
) -> dict[str, Any]:
    """A customer as they stood, in the shape of the current view with `as_of`. `lifecycle.since` is None: when the
    stage was entered is a matter of what was classified before."""
    masked = PERSONAL not in reader.scopes
    held = await source.reads.rows(queries.IDENTIFIERS_OF, past.identifiers(state.time), past.id)
    kinds, ciphertexts = [row["kind"] for row in held], [row["ciphertext"] for row in held]
    found = current_view(
        StoredCustomer(
            id=past.id,
            merged_into=None,
            ledger=state.ledger,
            attributes=attributes.pack(state.attributes),
            result=classified(state, rulebook).result[0].tobytes(),
            rulebook_id=0,
            first_seen=state.first_seen,
            last_seen=state.last_seen,
            stage_since=state.time.date(),
            classified_at=state.time,
            sequence=0,
            version=0,
        ),
        identifiers=sorted(open_identifiers(kinds, ciphertexts, source.vault, masked=masked)),
        rulebook=rulebook,
        open_attributes=lambda values: open_values(dict(values), source.vault, masked=masked),
    )
    found["lifecycle"]["since"] = None
    del found["version"]
    found["labels"] = labels_of(found, rulebook, language)
    return {"customer_id": found.pop("customer_id"), "as_of": rfc3339(state.time), **found}


def open_identifiers(
    kinds: list[str] | None, ciphertexts: list[bytes] | None, vault: Vault, *, masked: bool
) -> list[tuple[str, str]]:
    """Pairs of kind and value; None for the lists, as SQL gives for no rows, is none."""
    return [
        (kind, open_identifier(kind, ciphertext, vault, masked=masked))
        for kind, ciphertext in zip(kinds or (), ciphertexts or (), strict=True)
    ]


def open_identifier(kind: str, ciphertext: bytes, vault: Vault, *, masked: bool) -> str:
    value = vault.open(ciphertext, context=kind.encode()).decode()
    return mask_identifier(kind, value) if masked else value
