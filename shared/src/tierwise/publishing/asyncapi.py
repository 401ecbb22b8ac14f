"""The AsyncAPI 3.0 document of all that leaves: topics and webhooks."""

from importlib.metadata import version
from typing import Any, Final

from tierwise.publishing.kinds import KINDS, Kind
from tierwise.publishing.schemas import SCHEMAS
from tierwise.stream.topics import DEAD_LETTERS

_TEXT: Final = {"type": "string"}
_SCHEMA_FORMAT: Final = "application/schema+json;version=draft-07"
_KAFKA: Final = "0.5.0"
"""Version of AsyncAPI's Kafka bindings."""

_DESCRIPTION: Final = """
Changes of customers' classification, as CloudEvents 1.0 in the binary mode of its Kafka protocol binding: attributes
are headers, the data is the value. Records are keyed by customer, so each customer's come in order. A record may come
twice: its `ce_id` is the same.
""".strip()


def document() -> dict[str, Any]:
    channels = {_name(kind): _channel(kind) for kind in KINDS}
    channels |= {"deadLetters": _dead_letters(), "webhooks": _webhooks()}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Tierwise events", "version": version("tierwise-shared"), "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            f"send.{name}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}} for name in channels
        },
        "components": {
            "messages": {_name(kind): _message(kind) for kind in KINDS}
            | {_webhook_name(kind): _webhook_message(kind) for kind in KINDS},
            "messageTraits": {"cloudEvent": _cloud_event(), "standardWebhook": _standard_webhook()},
        },
    }


def _name(kind: Kind) -> str:
    """tierwise.customer.tier-changed.v1 -> tierChanged.v1"""
    _, _, noun, number = kind.type.split(".")
    first, *rest = noun.split("-")
    return first + "".join(word.capitalize() for word in rest) + "." + number


def _channel(kind: Kind) -> dict[str, Any]:
    name = _name(kind)
    return {
        "address": kind.topic,
        "title": SCHEMAS[kind.type]["title"],
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {"kafka": {"topic": kind.topic, "bindingVersion": _KAFKA}},
    }


def _message(kind: Kind) -> dict[str, Any]:
    return {
        "name": kind.type,
        "title": SCHEMAS[kind.type]["title"],
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": SCHEMAS[kind.type]},
    }


def _cloud_event() -> dict[str, Any]:
    headers = {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {**_TEXT, "description": "CUSTOMER:SEQUENCE; the same when it comes again."},
        "ce_type": _TEXT,
        "ce_source": {"const": "/tierwise"},
        "ce_subject": {**_TEXT, "description": "The customer's id, which is the record's key too."},
        "ce_time": {**_TEXT, "format": "date-time", "description": "When it was recorded, in UTC."},
        "content-type": {"const": "application/json"},
    }
    return {
        "headers": {"type": "object", "properties": headers, "required": list(headers)},
        "bindings": {"kafka": {"key": {**_TEXT, "description": "The customer's id."}, "bindingVersion": _KAFKA}},
    }


def _webhook_name(kind: Kind) -> str:
    return f"webhook.{_name(kind)}"


def _webhooks() -> dict[str, Any]:
    return {
        "address": None,
        "title": "Changes sent to an address of yours",
        "description": "By HTTP POST, to the address that a subscription names (`/v1/subscriptions`).",
        "messages": {_webhook_name(kind): {"$ref": f"#/components/messages/{_webhook_name(kind)}"} for kind in KINDS},
    }


def _webhook_message(kind: Kind) -> dict[str, Any]:
    body = {"type": {"const": kind.type}, "timestamp": {**_TEXT, "format": "date-time"}, "data": SCHEMAS[kind.type]}
    return {
        "name": kind.type,
        "title": SCHEMAS[kind.type]["title"],
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/standardWebhook"}],
        "payload": {
            "schemaFormat": _SCHEMA_FORMAT,
            "schema": {"type": "object", "properties": body, "required": list(body)},
        },
    }


def _standard_webhook() -> dict[str, Any]:
    headers = {
        "webhook-id": {**_TEXT, "description": "CUSTOMER:SEQUENCE; the same when it is sent again."},
        "webhook-timestamp": {**_TEXT, "description": "Of this attempt, seconds since 1970."},
        "webhook-signature": {**_TEXT, "description": "As Standard Webhooks says."},
    }
    return {"headers": {"type": "object", "properties": headers, "required": list(headers)}}


def _dead_letters() -> dict[str, Any]:
    headers = {
        "tierwise_dead_letter": {**_TEXT, "description": "Its number, for `tierwise dead-letters`."},
        "tierwise_reason": _TEXT,
        "tierwise_detail": _TEXT,
        "tierwise_position": {**_TEXT, "description": "Where it stood: TOPIC[PARTITION]:POSITION."},
    }
    message = {
        "name": "deadLetter",
        "title": "A record that could not be scored, as it was",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "properties": headers, "required": list(headers)},
        "payload": {"type": "string", "format": "binary"},
    }
    return {"address": DEAD_LETTERS, "messages": {"deadLetter": message}}
