"""124 payloads of e-mail providers with the event types that they mean, gathered by the django-anymail project, which
are no part of this one: TIERWISE_REAL_DATA names the directory that holds them."""

import json
import os
import re
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.mail import form, items, posted
from tierwise.domain.claim import Admitted
from tierwise.domain.rejection import InvalidInteraction
from tierwise_ingest.formats.format import Ignored
from tierwise_ingest.formats.mail.event import Event
from tierwise_ingest.request import Request

_GIVEN = os.environ.get("TIERWISE_REAL_DATA")  # at import: the suite's environment is cleared of settings
if _GIVEN is None:
    pytest.skip("TIERWISE_REAL_DATA names no directory with the real files", allow_module_level=True)
_FILE = Path(_GIVEN) / "email_webhook_conformance_anymail.jsonl"
ROWS = [json.loads(line) for line in _FILE.read_text(encoding="utf-8").splitlines()]

NAMES = {"amazon_ses": "ses"}
UNKNOWN = "unknown"
NO_INTERACTION = {"queued": "queued", "deferred": "deferred", "unknown": UNKNOWN}
"""Their types that make none here; the others are called the same."""

OTHER_TAGS = {"resend", "amazon_ses", "mailjet"}
"""The file's stand in headers that its own mailer writes (Mailjet's is our campaign); here they are the provider's."""
OTHER_METADATA = {"mailgun-test_metadata_key_conflicts"}
"""The file's payload has lost it."""
OTHER_TIME = {"amazon_ses-test_bounce_event"}
"""When it bounced, not when the topic told so."""
NO_RECIPIENT = {
    "postmark-test_bounce_unsubscribe_variant": "missing_identifier",
    "sparkpost-test_amp_events": "missing_identifier",
    "mailjet-test_bounce_event": "invalid_identifier",
    "sendgrid-test_dropped_invalid_event": "invalid_identifier",
}
"""Rows without one, or with one that is no address (`invalid@invalid`): understood, and of nobody that there is."""


def label(row: dict[str, Any]) -> str:
    return f"{row['provider']}-{row['test'].partition('.')[2]}"


def name_of(row: dict[str, Any]) -> str:
    provider: str = row["provider"]
    return NAMES.get(provider, provider)


def request_of(row: dict[str, Any]) -> Request:
    """As the provider sends it: the file has some payloads without what goes around them."""
    payload, provider = row["payload"], row["provider"]
    if provider == "mandrill":
        return form({"mandrill_events": json.dumps(payload)}, name="mandrill")
    if provider == "mailgun" and "event-data" not in payload:
        return form(payload, name="mailgun")
    if provider == "unisender_go" and "events_by_user" not in payload:
        event = {"event_name": payload["event_name"], "event_data": payload}
        payload = {"auth": "", "events_by_user": [{"user_id": 111111, "events": [event]}]}
    wants_initial = row["test"].endswith("initial_open_event_as_opened")
    headers = {"svix-id": "msg_2W2D3qXLS5fOaPja1GDg7rF2CwB"} if provider == "resend" else {}
    query = "initial_open=opened" if wants_initial else ""
    return posted(payload, name=name_of(row), headers=headers, query=query)


def test_every_row_is_there() -> None:
    assert len(ROWS) == 124


@pytest.mark.parametrize("row", ROWS, ids=[label(row) for row in ROWS])
def test_a_row_is_read_as_the_file_says(row: dict[str, Any]) -> None:
    request, name, expected = request_of(row), name_of(row), row["expected"]
    read = list(import_module(f"tierwise_ingest.formats.mail.{name}").events(request))
    events = [one for one in read if isinstance(one, Event)]

    assert {said(one) for one in read} == {NO_INTERACTION.get(one, one) for one in row["expected_event_types"]}
    for event in events:
        properties = event.properties
        assert properties.get("url") == expected.get("click_url", properties.get("url"))
        assert properties.get("user_agent") == (expected.get("user_agent") or properties.get("user_agent"))
        if row["provider"] not in OTHER_TAGS:
            assert properties.get("tags", []) == (expected.get("tags") or properties.get("tags", []))
        if row["provider"] not in OTHER_TAGS and label(row) not in OTHER_METADATA:
            assert properties.get("metadata", {}).items() >= (expected.get("metadata") or {}).items()
        if (at := stated_time(expected)) and label(row) not in OTHER_TIME:
            assert event.time is not None
            assert event.time.replace(microsecond=0) == at
    check_items(row, request, read)


def said(one: object) -> str:
    if isinstance(one, Event):
        return one.type
    assert isinstance(one, Ignored)
    return UNKNOWN if one.reason in ("initial_open", "of_no_customer") else one.reason


def stated_time(expected: dict[str, Any]) -> datetime | None:
    stated = re.fullmatch(r"datetime\(([0-9, ]+).*tzinfo=timezone.utc\)", expected.get("timestamp") or "")
    if stated is None:
        return None
    year, month, day, hour, minute, second, *_ = (int(part) for part in stated[1].split(",") if part.strip())
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def check_items(row: dict[str, Any], request: Request, read: list[Any]) -> None:
    """What has a recipient is admitted as theirs; what has none names the field that it misses."""
    made = items(name_of(row), request)
    for event, item in zip(read, made, strict=True):
        if not isinstance(event, Event):
            assert item == event
        elif label(row) in NO_RECIPIENT:
            assert isinstance(item, InvalidInteraction)
            assert (item.code, item.field) == (NO_RECIPIENT[label(row)], event.field)
        else:
            assert isinstance(item, Admitted)
            assert (item.interaction.channel, item.interaction.type) == ("email", event.type)
            assert item.interaction.identifiers == {"email": (event.recipient or "").lower()}
    recipients = {one.recipient for one in read if isinstance(one, Event)}
    assert not recipients or row["expected"].get("recipient", next(iter(recipients))) in recipients
