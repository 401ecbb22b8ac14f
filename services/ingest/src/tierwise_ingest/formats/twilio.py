"""Twilio's status callbacks for calls and messages, and incoming messages.

Source: Twilio documentation, "Webhooks security", "Call resource: statusCallback", "Outbound message status in status
callbacks", "Messaging webhooks", "Voice webhooks". The source's secret is the account's auth token.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from tierwise.asgi import Response
from tierwise.domain.claim import Claim, Terms
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import Source
from tierwise.security.sources import Unverified
from tierwise_ingest import documents
from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Checking, Format, Ignored, Item, Route, Signature, taken
from tierwise_ingest.formats.mail.fields import document
from tierwise_ingest.outcome import Outcome
from tierwise_ingest.request import Request

_FORM: Final = "application/x-www-form-urlencoded"
_DIGESTS: Final = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}

_MISSED: Final = frozenset({"busy", "no-answer", "canceled"})
_CALL_GOES_ON: Final = frozenset({"queued", "initiated", "ringing", "in-progress", "answered"})
_NO_SUCH_NUMBER: Final = frozenset({"404", "410", "484", "604"})
_DECLINED: Final = frozenset({"603", "607"})
"""SIP's answers (RFC 3261, section 21; RFC 8197)."""
_MESSAGE_GOES_ON: Final = frozenset({"accepted", "scheduled", "queued", "sending", "receiving", "canceled"})
_MESSAGES: Final = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "opened",
    "undelivered": "bounced",
    "failed": "bounced",
}
_NO_SUCH_ADDRESS: Final = frozenset({"21211", "21614", "30005", "30006"})
_OPT_OUT: Final = {"STOP": "unsubscribed", "START": "subscribed"}
_WITHHELD: Final = frozenset({"", "anonymous", "restricted", "unknown", "unavailable", "+266696687", "+7378742833"})
"""What stands for a caller who does not show a number; the digits spell ANONYMOUS and RESTRICTED."""


async def verify(request: Request, _: Source, secrets: Sequence[bytes], __: Checking) -> None:
    """HMAC over address and parameters, or over the address with the body's digest in it. Raises Unverified."""
    settings = dict(part.strip().partition("=")[::2] for part in (_settings(request) or "").split(","))
    digest = _DIGESTS.get(settings.get("algorithm", "HMAC_SHA1").upper())
    sent = (request.header("x-twilio-signature") or "").encode("latin-1")
    if digest is None:
        raise Unverified
    said = _signed_parameters(request)
    addresses = _addresses(request.url)
    for secret in secrets:
        for address in addresses:
            made = hmac.new(secret, (address + said).encode("utf-8", "replace"), digest).digest()
            if hmac.compare_digest(base64.b64encode(made), sent):
                return
    raise Unverified


def _settings(request: Request) -> str | None:
    return request.header("x-twilio-webhooks-signature-settings")


def _signed_parameters(request: Request) -> str:
    """Raises Unverified for a body that nothing signs."""
    if request.media_type == _FORM:
        pairs = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        return "".join(name + value for name, value in sorted(set(pairs)))
    if request.body:
        digest = hashlib.sha256(request.body).hexdigest()
        if not hmac.compare_digest(digest.encode(), request.query.get("bodySHA256", "").encode("utf-8", "replace")):
            raise Unverified
    return ""


def _addresses(url: str) -> list[str]:
    """With the port and without it: Twilio signs either."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Unverified from error
    host = parts.netloc.removesuffix(f":{port}")
    return [parts._replace(netloc=netloc).geturl() for netloc in (host, f"{host}:{port}")]


def read(request: Request, terms: Terms) -> Iterator[Item]:
    """Raises InvalidBody."""
    given = _parameters(request)
    item = _call(given, terms) if "CallSid" in given else _message(given, terms)
    return iter([item])


def _parameters(request: Request) -> dict[str, str]:
    if request.method == "GET":
        return request.query
    if request.media_type == _FORM or not request.body:
        return request.form
    found = document(request.body)
    if not isinstance(found, dict):
        raise InvalidBody("The body is no JSON object.")
    return {name: value if isinstance(value, str) else str(value) for name, value in found.items()}


def _call(given: dict[str, str], terms: Terms) -> Item:
    status = given.get("CallStatus", "").lower()
    if not status:
        return Ignored("of_no_call")  # what a recording, or the search for a machine, tells later
    if status in _CALL_GOES_ON:
        return Ignored("in_progress")
    type_ = _type_of_call(status, given)
    if type_ is None:
        return InvalidInteraction("unknown_event", "CallStatus", "This version of Tierwise knows no such status")
    inbound = given.get("Direction", "").startswith("inbound")
    seconds = given.get("CallDuration", "")
    properties = {
        "direction": "inbound" if inbound else "outbound",
        "duration_s": int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 10 else None,
        "outcome": status,
        "answered_by": given.get("AnsweredBy"),
        "sequence": given.get("SequenceNumber"),
        "call_id": given["CallSid"],
        "recording": given.get("RecordingSid"),
    }
    return _item("call", type_, given["CallSid"], "From" if inbound else "To", given, properties, terms)


def _type_of_call(status: str, given: dict[str, str]) -> str | None:
    answered_by = given.get("AnsweredBy", "").lower()
    if status == "completed":
        return "voicemail" if answered_by.startswith("machine") else "wrong_number" if answered_by == "fax" else status
    if status == "failed":
        sip = given.get("SipResponseCode", "")
        return "wrong_number" if sip in _NO_SUCH_NUMBER else "refused" if sip in _DECLINED else "missed"
    return "missed" if status in _MISSED else None


def _message(given: dict[str, str], terms: Terms) -> Item:
    id_ = given.get("MessageSid") or given.get("SmsSid")
    if not id_:
        return InvalidInteraction("unknown_event", "MessageSid", "It tells of neither a call nor a message")
    status = (given.get("MessageStatus") or given.get("SmsStatus") or "received").lower()
    if status == "received":
        type_ = _OPT_OUT.get(given.get("OptOutType", "").upper(), "replied")
        return _item("sms", type_, id_, "From", given, {"text": given.get("Body"), "message_id": id_}, terms)
    if status in _MESSAGE_GOES_ON:
        return Ignored("in_progress")
    if status not in _MESSAGES:
        return InvalidInteraction("unknown_event", "MessageStatus", "This version of Tierwise knows no such status")
    type_, code = _MESSAGES[status], given.get("ErrorCode")
    properties = {
        "message_id": id_,
        "reason": code,
        "hard": code in _NO_SUCH_ADDRESS if type_ == "bounced" else None,
    }
    return _item("sms", type_, id_, "To", given, properties, terms)


def _item(
    channel: str, type_: str, id_: str, field: str, given: dict[str, str], properties: dict[str, Any], terms: Terms
) -> Item:
    """`field`: which of the two addresses is the customer's."""
    via, colon, number = given.get(field, "").rpartition(":")
    if number.lower() in _WITHHELD:
        return Ignored("number_withheld")
    if colon:
        properties["via"] = via
    item = taken(
        Claim(
            id=f"{id_} {type_}"[:256],
            time=_time(given.get("Timestamp"), terms.received),
            channel=channel,
            type=type_,
            identifiers={"phone": number},
            properties={name: value for name, value in properties.items() if value not in (None, "")},
        ),
        terms,
    )
    if isinstance(item, InvalidInteraction) and item.field == "identifiers.phone":
        return InvalidInteraction(item.code, field, item.detail)
    return item


def _time(stamp: str | None, received: datetime) -> datetime | None:
    """As mails write it (RFC 2822)."""
    try:
        time = parsedate_to_datetime(stamp or "")
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return min(time, received)


def answer(_: Request, outcome: Outcome) -> Response:
    """An empty TwiML document: of a message a text would be the reply. The headers stand in Twilio's log."""
    headers = {"Tierwise-Accepted": str(outcome.accepted), "Tierwise-Rejected": str(len(outcome.rejections))}
    if outcome.rejections:
        headers["Tierwise-Reason"] = f"{outcome.rejections[0].code} {outcome.rejections[0].field or ''}".strip()
    return Response(200, b"<Response/>", media_type="text/xml; charset=utf-8", headers=headers)


_EXAMPLE: Final = {
    "CallSid": "CA00000000000000000000000000000001",
    "CallStatus": "completed",
    "CallDuration": "185",
    "Direction": "outbound-api",
    "From": "+862150000000",
    "To": "+8613800138000",
    "SequenceNumber": "3",
    "Timestamp": "Fri, 20 Nov 2026 01:30:00 +0000",
}
_ANSWERS: Final[dict[str, Any]] = {
    "200": {
        "description": "Durable. An empty TwiML document; the headers count what was accepted and rejected.",
        "content": {"text/xml": {"schema": {"const": "<Response/>"}}},
    }
}


def _document(method: str) -> dict[str, Any]:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    body = {_FORM: {"schema": schema, "example": _EXAMPLE}} if method == "POST" else None
    return documents.operation(
        "Twilio: calls and messages", f"{method.lower()}_twilio_callback", tag="call providers", secured=False,
        parameters=[documents.SOURCE], body=body, answers=_ANSWERS,
    )  # fmt: skip


TWILIO: Final = Format(
    name="twilio",
    routes=tuple(Route(method, "/v1/webhooks/twilio/{source}", _document(method)) for method in ("POST", "GET")),
    credentials=Signature(verify),
    read=read,
    answer=answer,
    keeps_unmapped=True,
)
