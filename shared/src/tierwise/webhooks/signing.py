"""Signatures of the Standard Webhooks specification: v1 by HMAC-SHA256, v1a by Ed25519."""

import hmac
import secrets
from base64 import b64encode
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_BYTES: Final = 32


class Secret(NamedTuple):
    """Of a subscription. Each of its parts has 32 bytes of its own: whoever checks v1 could sign, but with v1 only."""

    symmetric: bytes
    seed: bytes

    @classmethod
    def make(cls) -> Self:
        return cls(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES))

    @classmethod
    def parse(cls, stored: bytes) -> Self:
        return cls(stored[:KEY_BYTES], stored[KEY_BYTES:])

    @property
    def stored(self) -> bytes:
        return self.symmetric + self.seed

    @property
    def shared_text(self) -> str:
        """What the receiver checks v1 with, and keeps to itself."""
        return f"whsec_{_base64(self.symmetric)}"

    @property
    def public_text(self) -> str:
        """What anyone may check v1a with."""
        return f"whpk_{_base64(self._private.public_key().public_bytes_raw())}"

    def signatures(self, content: bytes) -> list[str]:
        digest = hmac.digest(self.symmetric, content, "sha256")
        return [f"v1,{_base64(digest)}", f"v1a,{_base64(self._private.sign(content))}"]

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def signed_headers(live: Sequence[Secret], event_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers of one attempt. `live`: while rotating there are two, and either one's signature is enough."""
    content = b"%b.%d.%b" % (event_id.encode(), timestamp_s, body)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(one for secret in live for one in secret.signatures(content)),
    }


def _base64(content: bytes) -> str:
    return b64encode(content).decode()
