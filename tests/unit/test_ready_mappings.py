"""What the ready mappings read of the exports that they are for."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tierwise.domain.claim import Terms
from tierwise.domain.interaction import Interaction
from tierwise.domain.source import BACKEND, Source
from tierwise.files.apply import Mapper
from tierwise.files.mapping import MappingError, load_mapping, ready_mappings
from tierwise.files.ordinals import Ordinals
from tierwise.files.prepare import Preparer, Rejected
from tierwise.files.read import Rows

EXPORTS = Path(__file__).parents[1] / "support" / "exports"
MOMENT = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
WITHOUT_SAMPLE = {"cdnow", "cdnow-sample", "x-education"}  # read in test_mapping.py


def read(name: str, file: Path | None = None) -> list[Interaction]:
    mapping = load_mapping(name)
    terms = Terms(source=Source(id=1, name="crm", trust=BACKEND), received=MOMENT, new_id=str, content_key=b"k")
    found = []
    with Rows(file or EXPORTS / f"{name}.csv", mapping, form=mapping.format) as rows, Ordinals() as ordinals:
        mapper = Mapper(mapping, columns=rows.columns, moment=MOMENT)
        prepare = Preparer(mapper, ordinals, terms, item_bytes_max=64_000)
        for line in rows:
            outcome = prepare(line)
            assert not isinstance(outcome, Rejected), outcome
            found += [admitted.interaction for admitted in outcome]
    return found


def kinds(found: list[Interaction]) -> dict[str, int]:
    return dict(Counter(f"{one.channel}/{one.type}" for one in found))


def only(found: list[Interaction], **fields: Any) -> Interaction:
    (one,) = [one for one in found if all(getattr(one, name) == value for name, value in fields.items())]
    return one


@pytest.mark.parametrize("name", sorted(set(ready_mappings()) - WITHOUT_SAMPLE))
def test_every_ready_mapping_reads_its_sample_the_same_again(name: str) -> None:
    first = read(name)
    assert first
    assert read(name) == first
    assert len({one.id for one in first}) == len(first)


def test_rows_that_name_nobody_are_customers_of_their_own() -> None:
    found = read("hillstrom")
    assert kinds(found) == {"order/purchase": 4, "email/sent": 1, "web/page_view": 1}
    assert len({one.identifiers["user_id"] for one in found}) == 3  # two of the rows are equal
    history = only(found, time=datetime(2026, 1, 24, 1, 30, tzinfo=UTC))  # ten months of 30 days before
    assert (history.properties["amount"], history.properties["category"]) == ("142.44", "mens")


def test_an_order_of_several_rows_is_one_purchase() -> None:
    found = read("shopify-orders")
    assert kinds(found) == {"order/purchase": 2, "order/refund": 1, "order/cancelled": 1}
    first = only(found, id="order-5001")
    assert first.time == datetime(2026, 3, 2, 1, 30, 5, tzinfo=UTC)
    assert first.identifiers == {"email": "one@example.com", "phone": "+8613800000001"}
    assert first.properties.items() >= {"amount": "300.00", "currency": "CNY", "coupon": "SPRING"}.items()
    assert first.attributes["accepts_marketing"] is True
    assert only(found, id="order-5002").properties.items() >= {"amount": "1085.00", "sold_in": "store"}.items()
    assert only(found, type="refund").properties["amount"] == "85.50"


def test_leads_are_created_once_and_told_of_again() -> None:
    found = read("zoho-leads")
    assert kinds(found) == {
        "crm/lead_created": 2, "crm/profile_update": 2, "crm/qualified": 1, "crm/disqualified": 1,
        "email/unsubscribed": 1,
    }  # fmt: skip
    lead = only(found, id="lead-zcrm_100001")
    assert lead.time == datetime(2026, 2, 1, 1, tzinfo=UTC)
    assert lead.identifiers == {"crm_id": "zcrm_100001", "email": "lead1@example.com", "phone": "+8613900000001"}
    assert lead.properties == {"source": "exhibition"}
    told = only(found, type="profile_update", time=datetime(2026, 2, 10, 7, 30, tzinfo=UTC))
    assert told.attributes.items() >= {"region": "CN-44", "company": "Blue Lathe Ltd", "employees": 120}.items()


def test_deals_are_orders_and_quotes_of_the_contact_whom_they_name() -> None:
    (told, created) = read("zoho-contacts")
    assert told.attributes["title"] == "Head of purchasing"
    assert created.properties == {"source": "partner"}
    deals = read("zoho-deals")
    assert kinds(deals) == {"quote/requested": 3, "quote/sent": 1, "quote/rejected": 1, "order/purchase": 1}
    assert {one.identifiers["crm_id"] for one in deals} == {told.identifiers["crm_id"]}
    won = only(deals, id="deal-won-zcrm_300001")
    assert (won.properties["amount"], won.time) == ("12500.00", datetime(2026, 3, 20, 4, tzinfo=UTC))


def test_customers_and_contact_records_with_chinese_headers_meet_in_the_customers_name() -> None:
    customers, records = read("fxiaoke-customers"), read("fxiaoke-records")
    assert kinds(customers) == {"crm/lead_created": 2, "crm/profile_update": 2}
    assert kinds(records) == {"call/completed": 1, "meeting/held": 1, "chat/message": 1, "crm/note": 1}
    first = only(customers, id="customer-C20260001")
    assert first.identifiers == {
        "crm_id": "测试机床有限公司", "phone": "+8613900000001", "email": "kehu1@example.com",
    }  # fmt: skip
    assert first.properties == {"source": "exhibition"}
    told = only(customers, type="profile_update", time=datetime(2026, 2, 10, 7, 30, tzinfo=UTC))
    assert told.attributes.items() >= {"region": "CN-44", "industry": "manufacturing"}.items()
    assert {one.identifiers["crm_id"] for one in records} == {one.identifiers["crm_id"] for one in customers}


def test_an_export_with_fewer_columns_is_read_and_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "客户.csv"
    file.write_text("客户名,创建日期\n甲公司,2026年02月01日\n", encoding="utf-8")
    assert kinds(read("fxiaoke-customers", file)) == {"crm/lead_created": 1, "crm/profile_update": 1}
    file.write_text("a,b\n1,2\n")
    with pytest.raises(MappingError, match="has none of the mapping's columns; it has: a, b"):
        read("fxiaoke-customers", file)
