import gzip
import json
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.asgi import Message, Scope
from tierwise_ingest.body import (
    BodyTooLarge,
    ClientGone,
    InvalidBody,
    UnsupportedMediaType,
    array_at,
    json_items,
    read_body,
    split_array,
    split_json,
)


def request(*chunks: bytes, gone: bool = False, **headers: Any) -> tuple[Scope, "Receiver"]:
    named = [(name.replace("_", "-").encode(), str(value).encode()) for name, value in headers.items()]
    return {"type": "http", "headers": named}, Receiver(chunks, gone=gone)


class Receiver:
    """A request's body in the given chunks, or cut off after them."""

    def __init__(self, chunks: Sequence[bytes], *, gone: bool) -> None:
        self.messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
        self.messages.append({"type": "http.disconnect"} if gone else {"type": "http.request"})

    async def __call__(self) -> Message:
        return self.messages.pop(0)


async def items(*chunks: bytes, items_max: int = 10, bytes_max: int = 10_000, **headers: Any) -> Sequence[bytes]:
    scope, receive = request(*chunks, **headers)
    body = await read_body(scope, receive, bytes_max=bytes_max)
    return json_items(body, headers.get("content_type", ""), items_max=items_max)


@pytest.mark.parametrize("content_type", ["", "application/json", "Application/JSON; charset=UTF-8"])
async def test_json_is_one_object_or_an_array(content_type: str) -> None:
    assert await items(b' {"a"', b": 1} \n", content_type=content_type) == [b'{"a": 1}']
    assert await items(b'[{"a":1} , null,3]', content_type=content_type) == [b'{"a":1}', b"null", b"3"]
    assert await items(b"[]", content_type=content_type) == []
    assert await items(b'\xef\xbb\xbf{"a":1}', content_type=content_type) == [b'{"a":1}']


async def test_ndjson_is_a_line_an_item_and_blank_lines_are_nothing() -> None:
    body = b'{"a":1}\r\n\n  \nnot json\n[1]\n'
    assert await items(body, content_type="application/x-ndjson") == [b'{"a":1}\r', b"not json", b"[1]"]


async def test_objects_on_lines_of_their_own_are_ndjson_under_any_name() -> None:
    assert await items(b'{"a":1}\n{"a":NaN}\n{"a":3}\n') == [b'{"a":1}', b'{"a":NaN}', b'{"a":3}']
    assert await items(b'{\n "a": 1\n}\n') == [b'{\n "a": 1\n}']
    assert await items(b'{\n "a": NaN\n}\n') == [b'{\n "a": NaN\n}']


@pytest.mark.parametrize(
    "body", [b"", b" \n ", b"hello", b"3", b"null", b"\xff", b"[", b"[1", b'["', b"[1]]", b"[1] 2", b"{}["[2:]]
)
async def test_what_is_not_json_at_all_is_refused_whole(body: bytes) -> None:
    with pytest.raises(InvalidBody):
        await items(body)


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "application/json; charset=gbk"},
        {"content_encoding": "br"},
        {"content_encoding": "gzip, gzip"},
    ],
)
async def test_another_type_or_encoding_is_refused(headers: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedMediaType):
        await items(b"{}", **headers)


async def test_gzip_is_inflated_whatever_the_chunks_and_members() -> None:
    packed = gzip.compress(b'[{"a":1},') + gzip.compress(b'{"a":2}]')
    for size in (1, 7, len(packed)):
        chunks = [packed[start : start + size] for start in range(0, len(packed), size)]
        assert await items(*chunks, content_encoding="gzip") == [b'{"a":1}', b'{"a":2}']


@pytest.mark.parametrize("cut", [1, 10, -8, -1])
async def test_gzip_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(InvalidBody, match="ends before its end"):
        await items(gzip.compress(b'{"a":1}')[:cut], content_encoding="gzip")


@pytest.mark.parametrize(
    "spoilt", [b"{}", gzip.compress(b"{}", mtime=0) + b"more", gzip.compress(b"{}", mtime=0)[:-6] + b"xxxxxx"]
)
async def test_what_is_not_gzip_is_refused(spoilt: bytes) -> None:
    with pytest.raises(InvalidBody):
        await items(spoilt, content_encoding="gzip")


async def test_a_gzip_bomb_is_refused_before_it_is_inflated() -> None:
    squeeze = zlib.compressobj(9, wbits=31)
    bomb = b"".join(squeeze.compress(bytes(1_000_000)) for _ in range(100)) + squeeze.flush()
    assert len(bomb) < 100_000
    with pytest.raises(BodyTooLarge):
        await items(bomb, content_encoding="gzip", bytes_max=100_000)


async def test_a_body_over_the_limit_is_refused_as_soon_as_it_is_known() -> None:
    scope, receive = request(b"x" * 6, b"x" * 6, b"never asked for")
    with pytest.raises(BodyTooLarge):
        await read_body(scope, receive, bytes_max=10)
    assert len(receive.messages) == 2
    scope, receive = request(b"never asked for", content_length="11")
    with pytest.raises(BodyTooLarge):
        await read_body(scope, receive, bytes_max=10)
    assert len(receive.messages) == 2


@pytest.mark.parametrize("body", [b"[1,2,3]", b"[NaN,2,3]", b"1\n2\n3"])
async def test_too_many_items_are_refused(body: bytes) -> None:
    kind = "application/json" if body[:1] == b"[" else "application/x-ndjson"
    assert len(await items(body, items_max=3, content_type=kind)) == 3
    with pytest.raises(BodyTooLarge, match="more than 2 items"):
        await items(body, items_max=2, content_type=kind)


async def test_a_client_that_leaves_is_not_an_error_of_its_body() -> None:
    scope, receive = request(b'{"a"', gone=True)
    with pytest.raises(ClientGone):
        await read_body(scope, receive, bytes_max=100)


@pytest.mark.parametrize(
    "spoilt",
    [b"NaN", b'{"a": -Infinity, "b": "],[\\"{"}', b"[" * 10_000 + b"]" * 10_000, b"{'a': 1}", b'"\\q"', b"", b"01"],
)
def test_a_spoilt_element_leaves_its_neighbours_whole(spoilt: bytes) -> None:
    good = b'{"id": "[\\"]", "list": [{}, [1, 2]]}'
    assert split_json(b"[" + good + b" ,\n" + spoilt + b", " + good + b"]", items_max=5) == [good, spoilt, good]


documents = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.lists(documents))
def test_brackets_and_strings_split_as_the_decoder_does(elements: list[object]) -> None:
    body = json.dumps(elements).encode()
    assert split_array(body, items_max=1000) == split_json(body, items_max=1000)


@given(st.binary(max_size=60).map(lambda noise: b"[" + noise))
def test_any_array_of_noise_is_split_or_refused(body: bytes) -> None:
    try:
        split_json(body, items_max=10)
    except InvalidBody:
        return


def test_splitting_a_hostile_body_takes_time_in_proportion_to_its_size() -> None:
    for hostile in (b"[" * 5_000_000, b'["' + b"\\" * 5_000_000, b"[" + b'"' * 5_000_000, b"[" + b"[]" * 1_000_000):
        with pytest.raises(InvalidBody):
            split_array(hostile, items_max=1000)


def test_an_array_within_a_document_ends_at_its_own_bracket() -> None:
    body = b'{"a": [1, {"b": "]]"}, [[NaN]]], "c": [2]}'
    assert body[6 : array_at(body, 6)] == b'[1, {"b": "]]"}, [[NaN]]]'
    for broken in (b"[1, [2]", b'["]', b'[{"a": 1}'):
        with pytest.raises(InvalidBody):
            array_at(broken, 0)
