"""From a change to the request that carries it: as the Standard Webhooks specification has it, or in the form of a
destination, with the same signature."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from tierwise.domain.change import event_id, published, rfc3339
from tierwise.domain.rulebook import Rulebook
from tierwise.publishing.kinds import kind_of
from tierwise.webhooks.document import Described
from tierwise.webhooks.log import test_id
from tierwise.webhooks.signing import Secret, signed_headers
from tierwise.webhooks.template import Values, filled
from tierwise_scoring.webhooks.queue import Head
from tierwise_scoring.webhooks.sender import Request

TEST_TYPE: Final = "tierwise.webhook.test.v1"


def event_of(head: Head, rulebook: Rulebook | None, subscription_id: str) -> dict[str, Any]:
    """`rulebook`: the one that the change names; None of a test."""
    if head.change is None or rulebook is None:
        data = {"subscription_id": subscription_id, "delivery_id": str(head.id)}
        return {"type": TEST_TYPE, "timestamp": rfc3339(head.created_at), "data": data}
    return {
        "type": kind_of(head.change.aspect).type,
        "timestamp": rfc3339(head.change.recorded_at),
        "data": published(head.change, rulebook),
    }


def request_of(
    head: Head, event: dict[str, Any], described: Described, live: Sequence[Secret], now: datetime, values: Values
) -> Request:
    """Signed for an attempt at `now`. `values`: of a destination's placeholders. Raises Unaddressable."""
    name = test_id(head.id) if head.change is None else event_id(head.change)
    template = described.request
    if template is None:
        body = msgspec.json.encode(event)
        return Request("POST", described.url, signed_headers(live, name, int(now.timestamp()), body), body)
    url, body = filled(described.url, template, values, test=head.change is None)
    headers = template.headers | signed_headers(live, name, int(now.timestamp()), body)
    return Request(template.method, url, headers, body)
