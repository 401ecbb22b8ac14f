"""Messages of Amazon SNS over HTTPS (Amazon SNS developer guide, "Verifying the signatures of Amazon SNS messages",
"HTTP/HTTPS notification JSON format"): signed with a key whose certificate they name."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from tierwise.domain.source import Source
from tierwise.security.sources import Unverified
from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Checking
from tierwise_ingest.formats.mail.fields import Fields, document, instant
from tierwise_ingest.formats.mail.signing import decoded
from tierwise_ingest.request import Request

_HOST: Final = re.compile(r"sns\.([a-z0-9-]{1,40})\.amazonaws\.com(?:\.cn)?", re.ASCII)
_REPLAY_WINDOW: Final = timedelta(minutes=70)
"""SNS tries an HTTPS endpoint for an hour at most."""

_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Final = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_ALGORITHMS: Final = {"1": SHA1(), "2": SHA256()}  # noqa: S303  (version 1 is the default of every topic)


async def verify(request: Request, source: Source, _: Sequence[bytes], checking: Checking) -> None:
    """The topic is one that the source names, and its signature holds; then a subscription is confirmed. Raises
    Unverified, Unavailable."""
    message = _message(request)
    topic, kind = message.text("TopicArn"), message.text("Type") or ""
    at = instant(message.text("Timestamp"))
    if topic not in source.intake.topics or kind not in _SIGNED or at is None:
        raise Unverified
    if abs(checking.now - at) > _REPLAY_WINDOW:
        raise Unverified
    certificate = message.text("SigningCertURL") or ""
    if not is_of_sns(certificate, topic) or not certificate.endswith(".pem"):
        raise Unverified
    _check(message, _SIGNED[kind], await checking.certificate(certificate), checking)
    if kind == "SubscriptionConfirmation":
        await checking.confirm(_confirmation(message, topic))


def _message(request: Request) -> Fields:
    try:
        return Fields(document(request.body))
    except InvalidBody as error:
        raise Unverified from error


def is_of_sns(url: str, topic: str) -> bool:
    """Whether an address is one of the SNS of the topic's region, over TLS: anything else could be anybody's."""
    try:
        parts = urlsplit(url)
        plain = parts.port is None and parts.username is None and parts.password is None and not parts.fragment
    except ValueError:
        return False
    host = _HOST.fullmatch(parts.netloc)
    return plain and parts.scheme == "https" and host is not None and host[1] == topic.split(":")[3]


def _check(message: Fields, names: Sequence[str], pem: bytes, checking: Checking) -> None:
    """Raises Unverified."""
    algorithm = _ALGORITHMS.get(message.text("SignatureVersion") or "")
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise Unverified from error
    key = certificate.public_key()
    valid = certificate.not_valid_before_utc <= checking.now <= certificate.not_valid_after_utc
    if algorithm is None or not isinstance(key, RSAPublicKey) or not valid:
        raise Unverified
    signed = "".join(f"{name}\n{message.held[name]}\n" for name in names if isinstance(message.get(name), str))
    try:
        signature = decoded(message.text("Signature"))
        key.verify(signature, signed.encode("utf-8", "replace"), PKCS1v15(), algorithm)
    except InvalidSignature as error:
        raise Unverified from error


def _confirmation(message: Fields, topic: str) -> str:
    """Raises Unverified where visiting it would do something else than confirm this subscription."""
    url = message.text("SubscribeURL") or ""
    asked = parse_qs(urlsplit(url).query) if is_of_sns(url, topic) else {}
    if asked.get("Action") != ["ConfirmSubscription"] or asked.get("TopicArn") != [topic]:
        raise Unverified
    return url
