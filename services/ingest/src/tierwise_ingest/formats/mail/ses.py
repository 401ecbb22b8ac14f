"""Amazon SES's events and notifications through SNS (Amazon SES developer guide, "Contents of event data that Amazon
SES publishes to Amazon SNS", "Amazon SNS notification contents"). The source names its topics in `intake.topics`; raw
message delivery must be off, since it leaves the signature out."""

from collections.abc import Iterator
from typing import Any, Final

from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Ignored, Signature
from tierwise_ingest.formats.mail import sns
from tierwise_ingest.formats.mail.event import DEFERRED, EMPTY, Event, Notice, told, unknown, webhook
from tierwise_ingest.formats.mail.fields import Fields, document, instant, nested
from tierwise_ingest.request import Request

_NAMES: Final = {
    # kind: (type, where its details are, where its recipients are)
    "Send": ("sent", "send", None),
    "Delivery": ("delivered", "delivery", "recipients"),
    "Open": ("opened", "open", None),
    "Click": ("clicked", "click", None),
    "Bounce": ("bounced", "bounce", "bouncedRecipients"),
    "Complaint": ("complained", "complaint", "complainedRecipients"),
    "Subscription": ("unsubscribed", "subscription", None),
    "Reject": ("rejected", "reject", None),
    "Rendering Failure": ("failed", "failure", None),
}
_OF_ALL: Final = frozenset({"sent", "rejected", "failed"})
"""What is true of each recipient where a message has several."""


def events(request: Request) -> Iterator[Notice]:
    """Raises InvalidBody."""
    envelope = Fields(document(request.body))
    kind = envelope.text("Type")
    if kind in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        yield Ignored("subscription")
        return
    if kind != "Notification":
        raise InvalidBody("Type: it is no message of SNS.")
    message = Fields(nested(envelope.text("Message")))
    if not message.held:
        # A sentence, that SES says when it is given the topic.
        yield (
            EMPTY
            if (envelope.text("Message") or "").startswith("Successfully validated SNS topic")
            else unknown("Message")
        )
        return
    yield from _events(message, envelope)


def _events(message: Fields, envelope: Fields) -> Iterator[Notice]:
    name = message.text("eventType") or message.text("notificationType") or ""
    if name == "DeliveryDelay":
        yield DEFERRED
    elif name == "AmazonSnsSubscriptionSucceeded":
        yield EMPTY
    elif name not in _NAMES:
        yield unknown("Message.eventType")
    else:
        type_, place, named = _NAMES[name]
        details = message.inner(place)
        recipients = _recipients(details.array(named) if named else message.array("mail", "destination"))
        if len(recipients) > 1 and named is None and type_ not in _OF_ALL:
            yield Ignored("recipient_not_said")  # which of several it was, and it would be wrong of all but one
            return
        for index, recipient in enumerate(recipients or [None]):
            yield _event(_type(type_, details), recipient, index, message, details, envelope)


def _recipients(listed: list[Any]) -> list[str]:
    found = (one if isinstance(one, str) else Fields(one).text("emailAddress") for one in listed)
    return [one for one in found if one]


def _type(type_: str, details: Fields) -> str:
    if type_ == "unsubscribed" and details.get("newTopicPreferences", "unsubscribeAll") is False:
        return "subscribed"
    return type_


def _event(type_: str, recipient: str | None, index: int, message: Fields, details: Fields, envelope: Fields) -> Event:
    id_, mail = envelope.text("MessageId"), message.inner("mail")
    bounced = [Fields(one) for one in details.array("bouncedRecipients")]
    return Event(
        type=type_,
        recipient=recipient,
        field="Message.mail.destination",
        said=[message.held, recipient],
        id=None if id_ is None else f"{id_}:{index}" if index else id_,
        time=instant(details.text("timestamp")) or instant(envelope.text("Timestamp")),
        properties=told(
            message_id=mail.text("messageId"),
            campaign=next(iter(mail.texts("tags", "ses:configuration-set")), None),
            metadata=_tags(mail),
            subject=mail.text("commonHeaders", "subject"),
            reason=_reason(details, bounced, index),
            hard=details.get("bounceType") == "Permanent" if type_ == "bounced" else None,
            url=details.text("link"),
            user_agent=details.text("userAgent"),
        ),
    )


def _reason(details: Fields, bounced: list[Fields], index: int) -> str | None:
    diagnosis = bounced[index].text("diagnosticCode") if index < len(bounced) else None
    names = ("bounceSubType", "complaintFeedbackType", "reason", "errorMessage", "smtpResponse")
    return diagnosis or next((found for name in names if (found := details.text(name))), None)


def _tags(mail: Fields) -> dict[str, Any]:
    """The sender's own; those of SES begin with `ses:`."""
    return {name: value for name, value in mail.inner("tags").held.items() if not name.startswith("ses:")}


SES: Final = webhook(
    "ses",
    "Amazon SES through SNS",
    events=events,
    credentials=Signature(sns.verify),
    example={
        "Type": "Notification",
        "MessageId": "1f0c5a3e-sample",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:ses-events",
        "Message": '{"eventType": "Open", "mail": {"messageId": "sample-message", "destination": ["li@example.com"]}, '
        '"open": {"timestamp": "2026-11-20T09:30:00.000Z", "userAgent": "Mozilla/5.0"}}',
        "Timestamp": "2026-11-20T09:30:01.000Z",
        "SignatureVersion": "2",
        "Signature": "base64",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-sample.pem",
    },
)
