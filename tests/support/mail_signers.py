"""The other side of webhooks' signatures: what providers do before they send."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from itertools import cycle
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from standardwebhooks import Webhook

from tests.support.mail import FORM, FORMATS, NOW
from tierwise_ingest.checking import OnlineChecking

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123.pem"


@dataclass(frozen=True)
class Sent:
    """A body with the headers that prove it."""

    body: bytes
    headers: Mapping[str, str]


@cache
def rsa_key(number: int) -> rsa.RSAPrivateKey:
    """The same for the same number: making one takes a tenth of a second."""
    return rsa.generate_private_key(65537, 2048)


Sign = Callable[[bytes, datetime], Sent]


@dataclass(frozen=True)
class Signer:
    """`secret`: what the source is given, so that `sign` is believed; empty where it is given none."""

    secret: str
    sign: Sign


@dataclass
class Aws:
    """SNS with a certificate of its own, and the addresses that were visited."""

    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa_key(0))
    visited: list[str] = field(default_factory=list)
    answer: int = 200
    since: datetime = NOW - timedelta(days=1)

    def certificate(self) -> bytes:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
        made = x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(self.since).not_valid_after(self.since + timedelta(days=365))
        return made.sign(self.key, SHA256()).public_bytes(Encoding.PEM)

    def client(self) -> httpx.AsyncClient:
        def serve(request: httpx.Request) -> httpx.Response:
            self.visited.append(str(request.url))
            if self.answer != 200:
                return httpx.Response(self.answer, headers={"Location": "https://elsewhere.example/"})
            return httpx.Response(200, content=self.certificate() if request.url.path.endswith(".pem") else b"<ok/>")

        return httpx.AsyncClient(transport=httpx.MockTransport(serve), follow_redirects=False)

    def sign(self, message: dict[str, Any], *, version: str = "2") -> dict[str, Any]:
        confirming = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
        notifying = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
        names = notifying if message["Type"] == "Notification" else confirming
        signed = "".join(f"{name}\n{message[name]}\n" for name in names if name in message).encode()
        algorithm = SHA256() if version == "2" else SHA1()
        signature = base64.b64encode(self.key.sign(signed, PKCS1v15(), algorithm)).decode()
        return message | {"SignatureVersion": version, "Signature": signature, "SigningCertURL": CERTIFICATE_URL}


class CheckingAt(OnlineChecking):
    """With a clock of the test's."""

    def __init__(self, now: datetime = NOW, aws: Aws | None = None) -> None:
        super().__init__((aws or Aws()).client())
        self.at = now

    @property
    def now(self) -> datetime:
        return self.at


def example(name: str) -> bytes:
    """The body that the provider's documentation in OpenAPI shows."""
    (media_type, content), *_ = FORMATS[name].routes[0].document["requestBody"]["content"].items()
    if media_type == FORM:
        return urlencode(content["example"]).encode()
    return json.dumps(content["example"]).encode()


def sendgrid() -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(body: bytes, at: datetime) -> Sent:
        timestamp = str(int(at.timestamp()))
        signature = key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
        return Sent(
            body,
            {
                "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
                "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
            },
        )

    return Signer(base64.b64encode(public).decode(), sign)


def mailgun() -> Signer:
    secret = secrets.token_hex(16)

    def sign(body: bytes, at: datetime) -> Sent:
        timestamp, token = str(int(at.timestamp())), secrets.token_hex(25)
        signature = hmac.new(secret.encode(), (timestamp + token).encode(), "sha256").hexdigest()
        proof = {"timestamp": timestamp, "token": token, "signature": signature}
        return Sent(json.dumps(json.loads(body) | {"signature": proof}).encode(), {})

    return Signer(secret, sign)


def ses(aws: Aws | None = None) -> Signer:
    signing = aws or Aws()

    def sign(body: bytes, at: datetime) -> Sent:
        message = json.loads(body) | {"TopicArn": TOPIC, "Timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
        return Sent(json.dumps(signing.sign(message)).encode(), {"Content-Type": "text/plain; charset=UTF-8"})

    return Signer("", sign)


def resend() -> Signer:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()

    def sign(body: bytes, at: datetime) -> Sent:
        signature = Webhook(secret).sign("msg_1", at, body.decode())
        headers = {"svix-id": "msg_1", "svix-timestamp": str(int(at.timestamp())), "svix-signature": signature}
        return Sent(body, headers)

    return Signer(secret, sign)


def _hexadecimal(header: str) -> Signer:
    secret = secrets.token_urlsafe(24)

    def sign(body: bytes, _: datetime) -> Sent:
        return Sent(body, {header: hmac.new(secret.encode(), body, "sha256").hexdigest()})

    return Signer(secret, sign)


def mailersend() -> Signer:
    return _hexadecimal("Signature")


def mailtrap() -> Signer:
    return _hexadecimal("Mailtrap-Signature")


def unisender_go() -> Signer:
    secret = secrets.token_hex(20)

    def sign(body: bytes, _: datetime) -> Sent:
        document = json.loads(body)
        with_key = json.dumps(document | {"auth": secret}, separators=(",", ":")).encode()
        auth = hashlib.md5(with_key, usedforsecurity=False).hexdigest()
        return Sent(json.dumps(document | {"auth": auth}, separators=(",", ":")).encode(), {})

    return Signer(secret, sign)


_POSTAL_KEYS = cycle((1, 2))


def postal() -> Signer:
    key = rsa_key(next(_POSTAL_KEYS))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(body: bytes, _: datetime) -> Sent:
        older, newer = (base64.b64encode(key.sign(body, PKCS1v15(), one)).decode() for one in (SHA1(), SHA256()))
        return Sent(body, {"X-Postal-Signature": older, "X-Postal-Signature-256": newer})

    return Signer(f"v=DKIM1; t=s; h=sha256; p={base64.b64encode(public).decode()};", sign)


def mandrill(url: str = "https://hooks.example/v1/webhooks/mandrill/mail", secret: str = "") -> Signer:
    secret = secret or secrets.token_urlsafe(16)

    def sign(body: bytes, _: datetime) -> Sent:
        fields = sorted((name, values[0]) for name, values in parse_qs(body.decode()).items())
        message = url + "".join(name + value for name, value in fields)
        signature = base64.b64encode(hmac.new(secret.encode(), message.encode(), "sha1").digest()).decode()
        return Sent(body, {"X-Mandrill-Signature": signature, "Content-Type": FORM})

    return Signer(secret, sign)


SIGNERS: Mapping[str, Callable[[], Signer]] = {
    "sendgrid": sendgrid,
    "mailgun": mailgun,
    "resend": resend,
    "mailersend": mailersend,
    "mailtrap": mailtrap,
    "unisender_go": unisender_go,
    "postal": postal,
    "mandrill": mandrill,
}
"""Of those who share a secret with their source, or give it a key; SES has neither."""
