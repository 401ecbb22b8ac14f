"""From rows of `queries` to the current view, as a key's scopes allow it."""

from typing import Any

from tierwise.domain.view import StoredCustomer, current_view
from tierwise.security.keys import Reader
from tierwise.security.personal import Vault
from tierwise.security.values import mask_identifier, open_values
from tierwise_profile_api.authenticate import PERSONAL
from tierwise_profile_api.backend import Backend
from tierwise_profile_api.reads import Row


async def view(row: Row, source: Backend, reader: Reader) -> dict[str, Any]:
    """The current view of one row of `queries.CUSTOMER` and its like."""
    masked = PERSONAL not in reader.scopes
    return current_view(
        StoredCustomer(**{name: row[name] for name in StoredCustomer.__struct_fields__}),
        identifiers=sorted(open_identifiers(row["kinds"], row["ciphertexts"], source.vault, masked=masked)),
        rulebook=await source.rulebook(row["rulebook_id"], row["cuts"]),
        open_attributes=lambda values: open_values(dict(values), source.vault, masked=masked),
    )


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
