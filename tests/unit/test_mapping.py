"""Rows of files become interactions as the mapping says, with ids that neither order nor batches change."""

import gzip
import random
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pyarrow.parquet
import pytest

from tierwise.domain.claim import Terms
from tierwise.domain.interaction import Interaction
from tierwise.domain.source import BACKEND, Source
from tierwise.files.apply import Mapper, Row
from tierwise.files.mapping import (
    Mapping,
    MappingError,
    load_mapping,
    parse_mapping,
    ready_mappings,
)
from tierwise.files.native import native_mapping
from tierwise.files.ordinals import Ordinals
from tierwise.files.prepare import Preparer, Rejected
from tierwise.files.read import Rows, UnreadableFile, form_of

MOMENT = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
TERMS = Terms(
    source=Source(id=1, name="shop", trust=BACKEND),
    received=MOMENT,
    new_id=lambda: "fresh",
    content_key=b"a key of the tests",
)

ORDERS = """
zone: Asia/Shanghai
time: {column: date, format: "%Y-%m-%d", at: "12:00"}
identifiers: {user_id: {column: customer}}
interactions:
  - channel: order
    type: purchase
    properties: {amount: {column: total, as: money}}
"""


def read_all(path: Path, mapping: Mapping | None) -> tuple[list[Interaction], list[Rejected]]:
    interactions: list[Interaction] = []
    rejected: list[Rejected] = []
    with Rows(path, mapping, form=form_of(path, mapping)) as rows, Ordinals() as ordinals:
        if mapping is None and rows.columns is not None:
            mapping = native_mapping(rows.columns)
        mapper = Mapper(mapping, columns=rows.columns, moment=MOMENT) if mapping else None
        prepare = Preparer(mapper, ordinals, TERMS, item_bytes_max=64_000, quiet=False)
        for line in rows:
            outcome = prepare(line)
            if isinstance(outcome, Rejected):
                rejected.append(outcome)
            else:
                interactions += [admitted.interaction for admitted in outcome]
    return interactions, rejected


def mapped(text: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    mapping = parse_mapping(text, name="test")
    return list(Mapper(mapping, columns=tuple(row), moment=MOMENT)(Row(row)))


def one(properties: str, row: dict[str, Any], extra: str = "") -> Any:
    document = f"""
{extra}
time: import
identifiers: {{user_id: u1}}
interactions: [{{channel: web, type: page_view, properties: {{value: {properties}}}}}]
"""
    return mapped(document, row)[0].get("properties", {}).get("value")


@pytest.mark.parametrize(
    ("value", "row", "expected"),
    [
        ("fixed", {"c": "x"}, "fixed"),
        ("7", {"c": "x"}, 7),
        ("{column: c}", {"c": " x "}, "x"),
        ("{column: c}", {"c": ""}, None),
        ("{column: c, default: none}", {"c": ""}, "none"),
        ("{column: c, as: integer}", {"c": "1,204"}, 1204),
        ("{column: c, as: number}", {"c": "0.5"}, 0.5),
        ("{column: c, as: money}", {"c": "¥1,299.00"}, "1299.00"),
        ("{column: c, as: money, absolute: true}", {"c": "-12.50"}, "12.50"),
        ("{column: c, as: boolean}", {"c": "是"}, True),
        ("{column: c, as: boolean}", {"c": "No"}, False),
        ("{column: c, as: list, separator: ;}", {"c": "a; b;"}, ["a", "b"]),
        ("{column: c, as: scalar}", {"c": "42"}, 42),
        ("{column: c, as: scalar}", {"c": "007"}, "007"),
        ("{column: c, map: {Yes: true, No: false}}", {"c": "Yes"}, True),
        ("{column: c, map: {Yes: true}, otherwise: false}", {"c": "perhaps"}, False),
        ('{join: [{column: c}, {column: d}], with: "-"}', {"c": "a", "d": "b"}, "a-b"),
        ('{join: [{column: c}, {column: d}], with: "-"}', {"c": "a", "d": ""}, "a"),
    ],
)
def test_a_value_is_read_as_the_mapping_says(value: str, row: dict[str, str], expected: object) -> None:
    assert one(value, row) == expected


def test_words_that_mean_nothing_are_absent() -> None:
    assert one("{column: c}", {"c": "Select"}, extra="empty: [Select]") is None


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ('{column: c, format: "%Y%m%d", at: "12:00"}', "19970101", "1997-01-01T12:00:00+08:00"),
        ('{column: c, format: "%d/%m/%Y %H:%M"}', "20/11/2026 09:30", "2026-11-20T09:30:00+08:00"),
        ("{column: c}", "2026-11-20T09:30:00Z", "2026-11-20T09:30:00+00:00"),
        ("{column: c}", "2026-11-20 09:30:00", "2026-11-20T09:30:00+08:00"),
        ("{column: c, zone: UTC}", "2026-11-20 09:30:00", "2026-11-20T09:30:00+00:00"),
        ("{column: c, format: epoch_ms}", "1763600000500", "2025-11-20T00:53:20.500000+00:00"),
        ("import", "", MOMENT.isoformat()),
    ],
)
def test_times_carry_a_zone(column: str, text: str, expected: str) -> None:
    document = f"""
zone: Asia/Shanghai
time: {column}
identifiers: {{user_id: u1}}
interactions: [{{channel: web, type: page_view}}]
"""
    assert mapped(document, {"c": text})[0]["time"] == expected


def test_one_row_gives_the_interactions_whose_conditions_hold() -> None:
    document = """
time: import
identifiers: {crm_id: {column: lead}}
interactions:
  - {channel: crm, type: lead_created}
  - {channel: web, type: page_view, repeat: {column: visits, at_most: 3},
     properties: {seconds: {column: seconds, as: number, share: true}}}
  - {when: {column: last, in: [opened, clicked]}, channel: email, type: {column: last}}
  - {when: {any: [{column: mail, is: "No"}, {column: visits, at_least: 50}]}, channel: email, type: unsubscribed}
  - {when: {all: [{column: mail, present: true}, {not: {column: mail, is: "No"}}]}, channel: email, type: sent}
"""
    row = {"lead": "7", "visits": "17", "seconds": "60", "last": "opened", "mail": "No"}
    claims = mapped(document, row)
    kinds = Counter((claim["channel"], claim["type"]) for claim in claims)
    assert kinds == {
        ("crm", "lead_created"): 1,
        ("web", "page_view"): 3,
        ("email", "opened"): 1,
        ("email", "unsubscribed"): 1,
    }
    assert sum(claim["properties"]["seconds"] for claim in claims if claim["channel"] == "web") == 60


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("interactions: []", "interactions: List should have at least 1 item"),
        (ORDERS + "delimeter: ','", "delimeter: is no word of the mapping language"),
        (ORDERS.replace("as: money", "as: cash"), "interactions[0].properties.amount.as: Input should be"),
        (ORDERS.replace("Asia/Shanghai", "Beijing"), "zone: 'Beijing' is no time zone"),
        (ORDERS.replace("column: customer", "colum: customer"), "identifiers.user_id.colum: is no word"),
        (ORDERS.replace("time: {", "tyme: {"), "tyme: is no word of the mapping language"),
        (ORDERS + "zone: UTC", "the key 'zone' stands here twice"),
        (ORDERS + "encoding: klingon", "encoding: 'klingon' is no encoding"),
        (ORDERS + "header: false", "a file without header needs `columns`"),
        ("[1, 2", "is no YAML"),
        ("just text", "has to be a YAML mapping"),
    ],
)
def test_a_wrong_mapping_is_refused_naming_the_place(document: str, says: str) -> None:
    with pytest.raises(MappingError) as refused:
        parse_mapping(document, name="orders.yaml")
    assert says in str(refused.value)


def test_a_column_that_the_file_has_not_is_named_with_those_it_has() -> None:
    mapping = parse_mapping(ORDERS, name="orders")
    with pytest.raises(MappingError, match="no column 'customer'; it has: date, total"):
        Mapper(mapping, columns=("date", "total"), moment=MOMENT)


def test_equal_rows_are_separate_and_keep_their_ids_in_any_order(tmp_path: Path) -> None:
    lines = ["c1,2026-01-05,10.00", "c1,2026-01-05,10.00", "c2,2026-01-05,9.99", "c1,2026-01-05,10.00"]
    mapping = parse_mapping(ORDERS, name="orders")
    found = []
    for seed in range(5):
        random.Random(seed).shuffle(lines)
        file = tmp_path / "orders.csv"
        file.write_text("\n".join(["customer,date,total", *lines]))
        interactions, _ = read_all(file, mapping)
        found.append({interaction.id: interaction for interaction in interactions})
    assert len(found[0]) == 4
    assert all(again == found[0] for again in found)


def test_equal_rows_are_counted_beyond_what_fits_the_cache() -> None:
    with Ordinals() as ordinals:
        hashes = [number.to_bytes(16, "big") for number in range(20_000)]
        assert {ordinals.next(row) for row in hashes} == {0}
        assert {ordinals.next(row) for row in reversed(hashes)} == {1}
        assert ordinals.next(hashes[7]) == 2


def test_the_cdnow_mapping_keeps_days_and_sums(tmp_path: Path) -> None:
    file = tmp_path / "CDNOW_master.txt"
    rows = [" 00001 19970101  1   11.77", " 00002 19970112  5   77.00", " 00002 19970112  5   77.00"]
    file.write_bytes("\r\n".join([" customer_id  date number_of_cds  dollar_value", *rows, ""]).encode())
    interactions, rejected = read_all(file, load_mapping("cdnow"))
    assert not rejected
    assert len({interaction.id for interaction in interactions}) == 3
    assert sum(Decimal(interaction.properties["amount"]) for interaction in interactions) == Decimal("165.77")
    assert interactions[0].time == datetime(1997, 1, 1, 4, tzinfo=UTC)  # noon in Shanghai
    assert "currency" not in interactions[0].properties


def test_the_lead_mapping_takes_what_happened_and_not_what_came_of_it(tmp_path: Path) -> None:
    row = {
        "Prospect ID": "p-1", "Lead Origin": "Landing Page Submission", "Lead Source": "Google", "Do Not Email": "Yes",
        "Do Not Call": "No", "Converted": "1", "TotalVisits": "4", "Total Time Spent on Website": "100",
        "Page Views Per Visit": "2.5", "Last Activity": "SMS Sent", "Country": "India", "Specialization": "Select",
        "How did you hear about X Education": "Select", "What is your current occupation": "Student", "Tags": "Ringing",
        "City": "Mumbai", "A free copy of Mastering The Interview": "No",
    }  # fmt: skip
    file = tmp_path / "leads.csv"
    file.write_text("\n".join([",".join(row), ",".join(row.values())]))
    interactions, rejected = read_all(file, load_mapping("x-education"))
    assert not rejected
    kinds = Counter(f"{interaction.channel}/{interaction.type}" for interaction in interactions)
    assert kinds == {
        "crm/lead_created": 1, "web/page_view": 4, "web/form_submitted": 1, "email/unsubscribed": 1, "sms/sent": 1,
    }  # fmt: skip
    lead = interactions[0]
    assert lead.identifiers == {"crm_id": "p-1"}
    assert lead.properties["source"] == "search"
    assert lead.attributes.keys() >= {"occupation", "country"}
    assert lead.attributes.items() >= {"city": "Mumbai", "do_not_email": True, "do_not_call": False}.items()
    assert "Ringing" not in str(interactions)


def test_every_ready_mapping_loads() -> None:
    assert {"cdnow", "cdnow-sample", "x-education"} <= set(ready_mappings())
    for name in ready_mappings():
        assert load_mapping(name).interactions


def test_a_chinese_file_is_read_in_its_encoding_with_any_delimiter(tmp_path: Path) -> None:
    document = """
encoding: gb18030
time: import
identifiers: {user_id: {column: 客户}}
interactions: [{channel: order, type: purchase, properties: {amount: {column: 金额, as: money}}}]
"""
    file = tmp_path / "订单.csv"
    file.write_bytes("客户;金额\n王伟;￥12.00\n".encode("gb18030"))
    interactions, _ = read_all(file, parse_mapping(document, name="orders"))
    assert interactions[0].identifiers == {"user_id": "王伟"}
    with pytest.raises(UnreadableFile, match="name the encoding in the mapping"):
        read_all(file, parse_mapping(document.replace("gb18030", "utf-8"), name="orders"))


def test_bad_rows_are_named_and_their_neighbours_taken(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv.gz"
    rows = ["c1,2026-01-05,10.00", "c1,yesterday,10.00", "c1,2026-01-05", ",2026-01-05,1", "c1,2026-01-05,-1",
            "c1,2026-01-05,\xff", "c2,2026-01-06,1"]  # fmt: skip
    file.write_bytes(gzip.compress("\n".join(["customer,date,total", *rows]).encode("latin-1")))
    interactions, rejected = read_all(file, parse_mapping(ORDERS, name="orders"))
    assert [interaction.identifiers["user_id"] for interaction in interactions] == ["c1", "c2"]
    assert [(rejection.line, rejection.code, rejection.field) for rejection in rejected] == [
        (3, "unreadable", "time"),
        (4, "unreadable", None),
        (5, "missing_identifier", "identifiers"),
        (6, "invalid_amount", "properties.amount"),
        (7, "unreadable", None),
    ]


def test_a_truncated_gzip_file_says_that_it_breaks_off(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv.gz"
    rows = "\n".join(["customer,date,total", *(f"c{n},2026-01-05,{n}" for n in range(5_000))])
    file.write_bytes(gzip.compress(rows.encode())[:-200])
    with pytest.raises(UnreadableFile, match="breaks off"):
        read_all(file, parse_mapping(ORDERS, name="orders"))


NATIVE = {
    "time": "2026-11-19T09:30:00+08:00",
    "channel": "order",
    "type": "purchase",
    "identifiers": {"user_id": "u7"},
    "attributes": {"region": "CN-31"},
    "properties": {"amount": "1299.00", "items": 2},
}


def test_the_native_form_needs_no_mapping_as_ndjson_csv_or_parquet(tmp_path: Path) -> None:
    ndjson, table, parquet = tmp_path / "i.ndjson", tmp_path / "i.csv", tmp_path / "i.parquet"
    ndjson.write_bytes(msgspec.json.encode(NATIVE | {"id": "ord-1"}) + b"\n")
    table.write_text(
        "id,time,channel,type,identifiers.user_id,attributes.region,properties.amount,properties.items\n"
        "ord-1,2026-11-19T09:30:00+08:00,order,purchase,u7,CN-31,1299.00,2\n"
    )
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([NATIVE | {"id": "ord-1"}]), parquet)
    results = [read_all(file, None) for file in (ndjson, table, parquet)]
    assert results[0] == results[1] == results[2]
    (interaction,), rejected = results[0]
    assert (interaction.id, interaction.properties, rejected) == ("ord-1", {"amount": "1299.00", "items": 2}, [])


def test_native_lines_without_id_are_told_apart_by_their_ordinal(tmp_path: Path) -> None:
    file = tmp_path / "i.ndjson"
    line = msgspec.json.encode(NATIVE)
    file.write_bytes(line + b"\n" + line + b"\nnonsense\n{}\n" + b"[" * 2_000_000 + b"\n" + line)
    first, rejected = read_all(file, None)
    again, _ = read_all(file, None)
    assert len({interaction.id for interaction in first}) == 3
    assert first == again
    assert [rejection.line for rejection in rejected] == [3, 4, 5]


def test_what_is_too_large_or_not_to_be_held_is_one_rejected_row(tmp_path: Path) -> None:
    file = tmp_path / "i.csv"
    head = "time,channel,type,identifiers.user_id,properties.note,properties.n\n"
    rows = [
        f"2026-11-19T09:30:00Z,web,page_view,u1,{'x' * 70_000},1",
        "2026-11-19T09:30:00Z,web,page_view,u1,fine,1",
        "2026-11-19T09:30:00Z,web,page_view,u1,n\0l,1",
    ]
    file.write_text(head + "\r\r\n".join(rows), newline="")
    interactions, rejected = read_all(file, None)
    assert len(interactions) == 1
    assert [rejection.line for rejection in rejected] == [2, 4]
    assert rejected[0].code == "too_large"


def test_a_number_beyond_64_bits_is_a_rejected_row(tmp_path: Path) -> None:
    document = """
time: import
identifiers: {user_id: u1}
interactions: [{channel: web, type: page_view, properties: {n: {column: n, as: integer}}}]
"""
    file = tmp_path / "i.csv"
    file.write_text("n,m\n99999999999999999999999,1\n7,1\ninf,1\n1e400,1\n")
    interactions, rejected = read_all(file, parse_mapping(document, name="numbers"))
    assert [interaction.properties for interaction in interactions] == [{"n": 7}]
    assert [rejection.line for rejection in rejected] == [2, 4, 5]
