"""JSON documents, as webhooks bring them and NDJSON files hold them, are read by the same mappings as tables are."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.test_ready_mappings import MOMENT
from tierwise.domain.claim import Terms
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import BACKEND, Source
from tierwise.files.apply import Mapper, claims_of
from tierwise.files.json_path import check_path, compile_path
from tierwise.files.mapping import MappingError, mapping_schema, parse_mapping, ready_mappings
from tierwise.files.ordinals import Ordinals
from tierwise.files.prepare import Preparer, Rejected
from tierwise.files.read import Rows

CALL = """
zone: Asia/Shanghai
identifiers: {phone: {path: "$.call.from[0].number"}}
interactions:
  - id: {join: [call, {path: $.call.id}], with: "-"}
    time: {path: $.call.ended_at, format: epoch_ms}
    channel: call
    type: {path: $.call.status, map: {answered: completed, busy: refused}, otherwise: missed}
    properties:
      direction: {path: $.call.direction, default: inbound}
      duration_s: {path: $.call.seconds, as: integer}
      topics: {path: "$.call.topics[*].name"}
      agent: {path: "$['agent name']"}
  - each: $.call.orders[*]
    when: {path: "@.paid", is: "true"}
    time: import
    id: {join: [order, {path: "@.number"}], with: "-"}
    channel: order
    type: purchase
    properties:
      amount: {path: "@.total", as: money, decimal: ","}
      call: {path: $.call.id}
"""
DOCUMENT = {
    "agent name": "Seven",
    "call": {
        "id": 77, "status": "answered", "ended_at": 1763600000500, "seconds": "65", "from": [{"number": "13800000001"}],
        "topics": [{"name": "price"}, {"other": 1}, {"name": "delivery"}],
        "orders": [{"number": "a", "total": "1.299,50 €", "paid": True}, {"number": "b", "total": "5", "paid": False}],
    },
}  # fmt: skip


def mapper_of(text: str) -> Mapper:
    return Mapper(parse_mapping(text, name="call"), columns=None, moment=None)


def test_a_document_is_read_by_paths_and_fans_out() -> None:
    call, order = claims_of(DOCUMENT, mapper_of(CALL))
    assert call == {
        "id": "call-77",
        "time": "2025-11-20T00:53:20.500000+00:00",
        "channel": "call",
        "type": "completed",
        "identifiers": {"phone": "13800000001"},
        "properties": {"direction": "inbound", "duration_s": 65, "topics": ["price", "delivery"], "agent": "Seven"},
    }
    assert order == {  # without a time: that of its arrival
        "id": "order-a",
        "channel": "order",
        "type": "purchase",
        "identifiers": {"phone": "13800000001"},
        "properties": {"amount": "1299.50", "call": 77},
    }


def test_an_array_is_as_many_documents() -> None:
    assert [claim["id"] for claim in claims_of([DOCUMENT, DOCUMENT], mapper_of(CALL))] == [
        "call-77", "order-a", "call-77", "order-a",
    ]  # fmt: skip
    with pytest.raises(InvalidInteraction, match="Expected an object"):
        list(claims_of(["nonsense"], mapper_of(CALL)))


def test_what_cannot_be_read_is_named_by_its_path() -> None:
    document = {"call": DOCUMENT["call"] | {"seconds": "a minute"}}  # type: ignore[operator]
    with pytest.raises(InvalidInteraction) as refused:
        list(claims_of(document, mapper_of(CALL)))
    assert (refused.value.field, refused.value.detail) == (
        "properties.duration_s", "$.call.seconds: 'a minute' is no number",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [{"a": {"b": [1, 2]}, "c.d": 3}]),
        ("$.a.b", [[1, 2]]),
        ("$.a.b[1]", [2]),
        ("$.a.b[*]", [1, 2]),
        ("$.a.*[*]", [1, 2]),
        ("$['c.d']", [3]),
        ('$["c.d"]', [3]),
        ("$.a.b[2]", []),
        ("$.a.b.c", []),
        ("$.x.y", []),
    ],
)
def test_a_path_selects_what_stands_there(path: str, found: list[Any]) -> None:
    assert list(compile_path(path)({"a": {"b": [1, 2]}, "c.d": 3})) == found


@pytest.mark.parametrize("path", ["a.b", "", "$a", "$.a[", "$.a[-1]", "$..a", "$.a[?(@.b)]", "$.", "$.a b"])
def test_what_is_no_path_is_refused_with_where_it_goes_wrong(path: str) -> None:
    with pytest.raises(ValueError, match="is no JSON path"):
        check_path(path)


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("path: $.call.seconds", "path: call.seconds", "begin it with $"),
        ("path: $.call.seconds", "column: s, path: $.call.seconds", "write either `column` or `path`"),
        ("each: $.call.orders[*]", 'each: "@.orders"', "begin it with $"),
    ],
)
def test_a_wrong_place_is_refused_naming_it(was: str, becomes: str, says: str) -> None:
    with pytest.raises(MappingError, match=says.replace("$", r"\$")):
        parse_mapping(CALL.replace(was, becomes), name="call")


def test_nested_lines_of_a_file_are_read_the_same(tmp_path: Path) -> None:
    file = tmp_path / "calls.ndjson"
    file.write_bytes(msgspec.json.encode(DOCUMENT) + b"\n[1]\n")
    mapping = parse_mapping(CALL.replace("zone:", "format: ndjson\nzone:"), name="call")
    terms = Terms(source=Source(id=1, name="calls", trust=BACKEND), received=MOMENT, new_id=str)
    with Rows(file, mapping, form="ndjson") as rows, Ordinals() as ordinals:
        prepare = Preparer(Mapper(mapping, columns=None, moment=MOMENT), ordinals, terms, item_bytes_max=64_000)
        taken, refused = [prepare(line) for line in rows]
    assert not isinstance(taken, Rejected)
    assert [admitted.interaction.id for admitted in taken] == ["call-77", "order-a"]
    assert isinstance(refused, Rejected)


def test_the_first_of_several_columns_that_is_there_counts() -> None:
    text = """
time: {column: [at, on], format: ["%Y/%m/%d", iso], zone: UTC}
identifiers: {user_id: {column: [id, name]}}
interactions: [{channel: web, type: page_view}]
"""
    mapper = mapper_of(text)
    (claim,) = claims_of({"at": "", "on": "2026/11/20", "name": "n"}, mapper)
    assert claim["time"] == datetime(2026, 11, 20, tzinfo=UTC).isoformat()
    assert claim["identifiers"] == {"user_id": "n"}


def test_the_schema_knows_every_word_of_the_language() -> None:
    schema = mapping_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert {"format", "missing", "interactions", "identifiers"} <= schema["properties"].keys()
    assert {"each", "when", "repeat"} <= schema["$defs"]["Entry"]["properties"].keys()
    assert {"as", "path", "ago", "decimal"} <= schema["$defs"]["Column"]["properties"].keys()
    assert ready_mappings()
