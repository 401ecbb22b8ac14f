"""Whatever a provider, or somebody in its name, sends: it is read, refused by name, or a problem; never a crash."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st

from tests.support.mail import FORM, FORMATS, NOW, posted, source, terms
from tests.support.mail_signers import TOPIC, CheckingAt, example
from tierwise.domain.claim import Admitted
from tierwise.domain.interaction import decode
from tierwise.problem import Problem
from tierwise_ingest.formats.format import Signature, WriteKey
from tierwise_ingest.request import Request

ODD = [
    None,
    True,
    -1,
    2**70,
    1e308,
    "",
    "\x00",
    "￿" * 400,
    "9" * 400,
    "9999-12-31T23:59:59-23:59",
    [],
    {},
    [[None]],
    {"": 1},
]
VALUES = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FORMAT = pytest.mark.parametrize("name", FORMATS)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a document."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def spoilt(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = document.copy()
    copy[path[0]] = spoilt(document[path[0]], path[1:], value)
    return copy


async def never_crashes(name: str, request: Request) -> None:
    format_ = FORMATS[name]
    try:
        for item in format_.read(request, terms()):
            if isinstance(item, Admitted):
                decode(item.encoded)
                assert item.interaction.time <= NOW
                assert item.interaction.identifiers
    except Problem:
        pass
    try:
        if isinstance(format_.credentials, Signature):
            sender = source(topics=frozenset([TOPIC]))
            await format_.credentials.verify(request, sender, [b"secret"], CheckingAt())
        elif isinstance(format_.credentials, WriteKey):
            format_.credentials.find(request)
    except Problem:
        pass


def enclosed(name: str, document: Any) -> Request:
    """As the provider wraps its events."""
    if name == "mandrill":
        return posted(urlencode({"mandrill_events": json.dumps(document)}), name=name, media_type=FORM)
    if name == "ses":
        document = {"Type": "Notification", "MessageId": "1", "Message": json.dumps(document), "TopicArn": TOPIC}
    return posted(document, name=name)


def inner(name: str) -> Any:
    if name == "mandrill":
        return [{"event": "click", "ts": 1, "_id": "x", "url": "u", "msg": {"email": "li@example.com", "tags": ["t"]}}]
    document = json.loads(example(name))
    return json.loads(document["Message"]) if name == "ses" else document


@FORMAT
@run(max_examples=40, deadline=None)
@given(data=st.data())
async def test_a_document_with_anything_anywhere(name: str, data: st.DataObject) -> None:
    document = inner(name)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(document)))
        document = spoilt(document, place, data.draw(VALUES))
    await never_crashes(name, enclosed(name, document))


@FORMAT
@run(max_examples=20, deadline=None)
@given(
    body=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()),
    headers=st.dictionaries(
        st.sampled_from(
            ["signature", "svix-id", "svix-timestamp", "svix-signature", "authorization", "x-tierwise-key"]
        ),
        st.text(st.characters(max_codepoint=255), max_size=20),
    ),
    query=st.sampled_from(["", "initial_open=opened", "%FF=&&=;"]),
    media_type=st.sampled_from(["application/json", FORM, "multipart/form-data", ""]),
)
async def test_any_bytes(name: str, body: bytes, headers: dict[str, str], query: str, media_type: str) -> None:
    await never_crashes(name, posted(body, name=name, headers=headers, query=query, media_type=media_type))
