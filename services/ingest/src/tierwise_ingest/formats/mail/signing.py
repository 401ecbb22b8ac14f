"""How providers prove that a request is theirs. Everything is compared in constant time, over the body as received."""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from tierwise.domain.source import Source
from tierwise.problem import Unauthorized
from tierwise.security.sources import Unverified
from tierwise_ingest.authenticate import write_key
from tierwise_ingest.formats.format import Checking, Signature, WriteKey
from tierwise_ingest.formats.mail.fields import seconds
from tierwise_ingest.request import Request

KEY_HEADER: Final = "x-tierwise-key"
_DKIM: Final = re.compile(rb";\s*p=([^;]+)")
Digest = Literal["md5", "sha1", "sha256"]


def _key(request: Request) -> str:
    """Raises Unauthorized."""
    key = request.header(KEY_HEADER)
    if key:
        return key
    try:
        return write_key(request)
    except Unauthorized as error:
        raise Unauthorized(
            "Send the source's write key as the user name of Basic (https://KEY@host/...), as a bearer token, or in "
            "the header X-Tierwise-Key."
        ) from error


KEYED: Final = WriteKey(_key)
"""Of a provider that signs nothing and sends what it was told to: user name, token or header."""


def check(expected: Iterable[bytes], *sent: str | None) -> None:
    """That one of what was sent is one of what is expected. Raises Unverified."""
    given = [one.encode("utf-8", "replace") for one in sent if one]
    if not any(hmac.compare_digest(good, one) for good in expected for one in given):
        raise Unverified


def hexadecimal(secret: bytes, message: bytes, digest: Digest = "sha256") -> bytes:
    return hmac.new(secret, message, digest).hexdigest().encode()


def base_64(secret: bytes, message: bytes, digest: Digest = "sha256") -> bytes:
    return base64.b64encode(hmac.new(secret, message, digest).digest())


def body_signed(header: str) -> Signature:
    """HMAC-SHA256 of the body, hexadecimal, in a header."""

    async def verify(request: Request, _: Source, secrets: Sequence[bytes], __: Checking) -> None:
        check((hexadecimal(secret, request.body) for secret in secrets), request.header(header))

    return Signature(verify)


def check_recent(timestamp: object, checking: Checking, *, within: timedelta) -> None:
    """Of seconds since 1970. Raises Unverified."""
    at = seconds(timestamp)
    if at is None or abs(checking.now - at) > within:
        raise Unverified


def decoded(sent: str | None) -> bytes:
    """Of base64. Raises Unverified."""
    try:
        return base64.b64decode((sent or "").encode(), validate=True)
    except binascii.Error as error:
        raise Unverified from error


def public_keys(secrets: Sequence[bytes]) -> Iterator[EllipticCurvePublicKey | RSAPublicKey]:
    """Those of the secrets that are one: in PEM, as base64 of DER, or as the `p=` of a DKIM record."""
    for secret in secrets:
        key = _public_key(secret)
        if key is not None:
            yield key


@lru_cache(maxsize=256)
def _public_key(secret: bytes) -> EllipticCurvePublicKey | RSAPublicKey | None:
    try:
        if b"-----BEGIN" in secret:
            key = load_pem_public_key(secret)
        else:
            found = _DKIM.search(secret)
            encoded = secret if found is None else found[1]
            key = load_der_public_key(base64.b64decode(b"".join(encoded.split()), validate=True))
    except ValueError:
        return None
    return key if isinstance(key, EllipticCurvePublicKey | RSAPublicKey) else None
