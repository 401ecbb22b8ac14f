"""What RudderStack's clients send beside Segment's verbs."""

import base64
import json
from urllib.parse import urlencode

import pytest

from tests.support.segment import batch, items, requested
from tierwise.asgi import header
from tierwise.domain.claim import Admitted
from tierwise.domain.interaction import Interaction
from tierwise.domain.match import counts
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import BROWSER
from tierwise.problem import Unauthorized
from tierwise_ingest.formats.pixel import GIF
from tierwise_ingest.formats.rudderstack import RUDDERSTACK, key_in_query
from tierwise_ingest.formats.segment.format import NoneAccepted
from tierwise_ingest.outcome import Outcome, Rejection
from tierwise_ingest.request import Request

VERBS, BEACON, PIXEL, WEBHOOK = RUDDERSTACK


def only(request: Request) -> Interaction:
    (item,) = items(request)
    assert isinstance(item, Admitted), item
    return item.interaction


def rejected(request: Request) -> tuple[str, str | None]:
    (item,) = items(request)
    assert isinstance(item, InvalidInteraction)
    return item.code, item.field


def merging(*pairs: tuple[str, str], **message: str) -> Request:
    properties = [{"type": type_, "value": value} for type_, value in pairs]
    return requested("/v1/merge", {"messageId": "m1", "mergeProperties": properties, **message})


def test_merge_ties_what_it_names() -> None:
    interaction = only(merging(("email", "li@example.com"), ("mobile", "13800138000"), userId="u1"))
    assert interaction.identifiers == {"user_id": "u1", "email": "li@example.com", "phone": "+8613800138000"}
    assert (interaction.properties, counts(interaction)) == ({"verb": "merge"}, False)


def test_a_merge_that_cannot_be_done_says_why() -> None:
    assert rejected(merging(("email", "li@example.com"))) == ("nothing_to_merge", "mergeProperties")
    assert rejected(merging(("email", "a@b.cn"), ("cookie", "c1"))) == ("unknown_identifier", "mergeProperties[1].type")
    assert rejected(merging(("userId", "u1"), ("userId", "u2"))) == ("two_of_a_kind", "mergeProperties[1].type")
    assert rejected(merging()) == ("missing_merge_properties", "mergeProperties")


def test_an_import_is_a_batch_of_what_was() -> None:
    message = {"type": "track", "event": "E", "userId": "u1", "originalTimestamp": "2024-01-01T00:00:00Z"}
    found = items(requested("/v1/import", {"batch": [message, message | {"userId": None}]}))
    assert isinstance(found[0], Admitted)
    assert found[0].interaction.time.year == 2024
    assert isinstance(found[1], InvalidInteraction)


def test_the_header_names_who_does_not_name_himself() -> None:
    encoded = base64.b64encode(b"a7").decode()
    nobody = {"type": "track", "event": "E"}
    for sent in (encoded, "a7-"):
        request = requested("/v1/batch", {"batch": [nobody, nobody | {"userId": "u1"}]}, AnonymousId=sent)
        found = [item.interaction.identifiers for item in items(request) if isinstance(item, Admitted)]
        assert found == [{"anonymous_id": "a7" if sent == encoded else "a7-"}, {"user_id": "u1"}]


def test_a_beacon_is_text_with_the_key_in_the_query() -> None:
    body = json.dumps({"batch": [{"type": "page", "anonymousId": "a1", "properties": {"path": "/"}}]}).encode()
    request = requested("/beacon/v1/batch", body, query="writeKey=k1", media_type="text/plain")
    assert key_in_query(request) == "k1"
    assert only(request).type == "page_view"
    with pytest.raises(Unauthorized):
        key_in_query(requested("/beacon/v1/batch", body))


def test_a_pixel_is_a_message_in_an_address() -> None:
    query = {
        "writeKey": "k1",
        "anonymousId": '"a1"',
        "event": "Order Completed",
        "properties.revenue": "12.50",
        "properties.products.0": "x",
        "context.page.path": "/thanks",
        "context.traits.email": "Li@example.com",
    }
    track = only(requested("/pixel/v1/track", query=urlencode(query)))
    assert (track.channel, track.type, track.properties["amount"]) == ("order", "purchase", "12.50")
    assert track.identifiers == {"anonymous_id": "a1", "email": "li@example.com"}
    page = only(requested("/pixel/v1/page", query="anonymousId=a1&name=Home&context.page.path=/"))
    assert (page.type, page.properties) == ("page_view", {"title": "Home", "page_name": "Home", "path": "/"})
    assert rejected(requested("/pixel/v1/track", query="anonymousId=a1&event=")) == ("missing_event", "event")
    assert rejected(requested("/pixel/v1/track", query="event=E&properties=1&properties.a=2"))[0] == "invalid_field"


def test_a_webhook_takes_any_document_and_messages_too() -> None:
    document = {"event_id": 7, "user_id": "u1", "email": "li@example.com", "plan": "trial"}
    interaction = only(requested("/v1/webhook", document))
    assert (interaction.id, interaction.type) == ("7", "webhook_source_event")
    assert interaction.identifiers == {"user_id": "u1", "email": "li@example.com"}
    assert interaction.properties == document
    form = requested("/v1/webhook", b"email=li%40example.com&x=1", media_type="application/x-www-form-urlencoded")
    assert only(form).identifiers == {"email": "li@example.com"}
    message = {"type": "track", "event": "Product Viewed", "userId": "u1"}
    several = items(requested("/v1/webhook", [message, {"nobody": True}, 7]))
    assert isinstance(several[0], Admitted)
    assert several[0].interaction.type == "product_view"
    codes = [item.code for item in several[1:] if isinstance(item, InvalidInteraction)]
    assert codes == ["missing_identifier", "not_an_object"]


def test_the_gateways_answer_is_ok_and_counts_are_in_headers() -> None:
    rejection = Rejection(index=0, code="missing_identifier", field="userId", detail="d")
    partly = VERBS.answer(batch(), Outcome(accepted=1, rejections=[rejection]))
    assert (partly.status, partly.body) == (200, b"OK")
    assert header(partly.headers, b"tierwise-rejected") == b"1"
    with pytest.raises(NoneAccepted):
        BEACON.answer(batch(), Outcome(rejections=[rejection]))
    assert WEBHOOK.answer(batch(), Outcome(rejections=[rejection], kept=True)).status == 200
    odd = Rejection(index=0, code="schema_violation", field="properties.金额", detail="d")
    picture = PIXEL.answer(batch(), Outcome(rejections=[odd]))
    assert (picture.status, picture.body) == (200, GIF)


def test_a_public_key_merges_nobody() -> None:
    (item,) = items(merging(("email", "boss@example.com"), ("anonymousId", "a1")), trust=BROWSER)
    assert isinstance(item, Admitted)
    assert (item.interaction.identifiers, item.interaction.links) == ({"anonymous_id": "a1"}, False)
