"""Personal data: hashed to be found, sealed to be stored, masked to be shown.

Data keys, one for each purpose, lie in the table `keyring`, wrapped with keys that come from TIERWISE_SECRET_KEY:
so that a new secret key means a few rows to write again, not every customer.
"""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.tables import keyring
from tierwise.settings import Settings

PURPOSES = ("identifiers", "sealing", "keys")
SECRET_LENGTH_MIN = 32
MAKE_ONE = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
_FORMAT = b"\x01"
_NONCE_BYTES = 12
_CACHED_HASHES = 1 << 16


class VaultError(Exception):
    """The secret key is missing, too short or not the one that this database was made with."""


class NotSealedHere(ValueError):  # noqa: N818
    """These bytes were not sealed with this vault and context, or were altered since."""


class Vault:
    """Hashes and seals with the data keys of one database. Safe to share between tasks and threads."""

    def __init__(self, data_keys: Mapping[str, bytes]) -> None:
        """`data_keys`: 32 bytes for each of PURPOSES."""
        self._identifiers = data_keys["identifiers"]
        self._keys = data_keys["keys"]
        self._sealing = AESGCM(data_keys["sealing"])
        self.identifier_hash: Callable[[str, str], bytes] = lru_cache(_CACHED_HASHES)(self._identifier_hash)
        """Of kind and value 16 bytes by which an identifier is found; without the data key nothing can be tried
        against them."""

    def key_hash(self, secret: str) -> bytes:
        """32 bytes by which a write or read key is known."""
        return blake2b(secret.encode(), key=self._keys, digest_size=32).digest()

    def seal(self, plaintext: bytes, *, context: bytes = b"") -> bytes:
        """AES-256-GCM: format (1 byte), random nonce (12), ciphertext, tag (16). `context` must be the same to open."""
        nonce = os.urandom(_NONCE_BYTES)
        return _FORMAT + nonce + self._sealing.encrypt(nonce, plaintext, context)

    def open(self, ciphertext: bytes, *, context: bytes = b"") -> bytes:
        """Raises NotSealedHere (a ValueError)."""
        return _open(self._sealing, ciphertext, context)

    def _identifier_hash(self, kind: str, value: str) -> bytes:
        name = kind.encode()
        text = b"%d:%b%b" % (len(name), name, value.encode())
        return blake2b(text, key=self._identifiers, digest_size=16).digest()


async def open_vault(database: AsyncConnection | AsyncEngine, settings: Settings) -> Vault:
    """The vault of a migrated database; its data keys are made the first time. Raises VaultError."""
    if isinstance(database, AsyncEngine):
        async with database.begin() as connection:
            return await open_vault(connection, settings)
    wrapping = [_wrapping_key(secret) for secret in secret_keys(settings)]
    found = await _wrapped(database)
    if missing := set(PURPOSES) - set(found):
        made = [{"purpose": purpose, "wrapped": _wrap(wrapping[0], purpose)} for purpose in sorted(missing)]
        await database.execute(insert(keyring).on_conflict_do_nothing(), made)
        found = await _wrapped(database)  # another one may have been first
    return Vault({purpose: _unwrap(wrapping, purpose, found[purpose]) for purpose in PURPOSES})


async def rewrap(connection: AsyncConnection, settings: Settings) -> int:
    """Wrap the data keys with the newest secret key, so that the others can go. Returns how many there are."""
    wrapping = [_wrapping_key(secret) for secret in secret_keys(settings)]
    found = await _wrapped(connection)
    for purpose, wrapped in found.items():
        again = _wrap(wrapping[0], purpose, _unwrap(wrapping, purpose, wrapped))
        await connection.execute(update(keyring).where(keyring.c.purpose == purpose).values(wrapped=again))
    return len(found)


def secret_keys(settings: Settings) -> Sequence[str]:
    """The newest first. Embedded, one is made and kept in DATA_DIR/secret.key. Raises VaultError."""
    given = [key.get_secret_value() for key in settings.secret_key]
    if any(len(key) < SECRET_LENGTH_MIN for key in given):
        raise VaultError(f"TIERWISE_SECRET_KEY is shorter than {SECRET_LENGTH_MIN} characters. Make one: {MAKE_ONE}")
    if settings.database_url is None:
        kept = settings.data_dir / "secret.key"
        if not given or kept.exists():
            given.append(_kept_secret(kept))
    if not given:
        raise VaultError(
            "TIERWISE_SECRET_KEY is not set: it seals personal data. Make one, keep it safe and give it to every "
            f"service: {MAKE_ONE}"
        )
    return given


def secret_key_ids(settings: Settings) -> list[str]:
    """Names of the secret keys that are here, by which nobody can tell the keys themselves; none is made. Raises
    VaultError: one is too short."""
    if settings.database_url is None and not settings.secret_key and not (settings.data_dir / "secret.key").exists():
        return []
    return [_key_id(secret) for secret in secret_keys(settings)]


async def secret_key_id(connection: AsyncConnection, settings: Settings) -> str:
    """Of the secret key that opens this database. Raises VaultError."""
    found = await _wrapped(connection)
    for secret in secret_keys(settings):
        try:
            _open(_wrapping_key(secret), found["sealing"], b"sealing")
        except NotSealedHere:
            continue
        return _key_id(secret)
    raise VaultError("TIERWISE_SECRET_KEY is not the one that this database was made with")


def _key_id(secret: str) -> str:
    return HKDF(SHA256(), length=8, salt=None, info=b"tierwise secret key id").derive(secret.encode()).hex()


def _kept_secret(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # whole or not at all, and only the first of two
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


async def _wrapped(connection: AsyncConnection) -> dict[str, bytes]:
    rows = await connection.execute(select(keyring.c.purpose, keyring.c.wrapped))
    return {row.purpose: row.wrapped for row in rows}


def _wrapping_key(secret: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), length=32, salt=None, info=b"tierwise keyring").derive(secret.encode()))


def _wrap(key: AESGCM, purpose: str, data_key: bytes | None = None) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return _FORMAT + nonce + key.encrypt(nonce, data_key or secrets.token_bytes(32), purpose.encode())


def _unwrap(keys: Sequence[AESGCM], purpose: str, wrapped: bytes) -> bytes:
    for key in keys:
        try:
            return _open(key, wrapped, purpose.encode())
        except NotSealedHere:
            continue
    raise VaultError(
        "TIERWISE_SECRET_KEY is not the one that this database was made with: set that one (embedded: it is in "
        "DATA_DIR/secret.key); while rotating put the new one in front of it, separated by a comma"
    )


def _open(key: AESGCM, ciphertext: bytes, context: bytes) -> bytes:
    nonce = ciphertext[1 : 1 + _NONCE_BYTES]
    if ciphertext[:1] != _FORMAT or len(nonce) != _NONCE_BYTES:
        raise NotSealedHere("this is nothing that was sealed")
    try:
        return key.decrypt(nonce, ciphertext[1 + _NONCE_BYTES :], context)
    except InvalidTag:
        raise NotSealedHere("this was sealed elsewhere, or altered") from None
