"""What a source wants refused: violations of its own schemas, and what came without consent."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tierwise.domain.claim import Admitted
from tierwise.domain.interaction import Interaction, encode
from tierwise.domain.property_schema import InvalidSchema, PropertySchema
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import BACKEND, Intake, Source, TypeSchema
from tierwise_ingest.formats.format import Ignored, Item
from tierwise_ingest.judge import Judge
from tierwise_ingest.metrics import IngestMetrics

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SEARCH: dict[str, Any] = {
    "type": "object",
    "required": ["query"],
    "properties": {"query": {"type": "string", "maxLength": 20}, "where": {"properties": {"page": {"minimum": 1}}}},
}


def searched(properties: dict[str, Any], *, type: str = "search", scored: bool = True) -> Admitted:  # noqa: A002
    interaction = Interaction(
        id="1", source="shop", time=NOW, received=NOW, channel="web", type=type, identifiers={"user_id": "u1"},
        properties=properties, scored=scored,
    )  # fmt: skip
    return Admitted(interaction, encode(interaction), recognisable=True)


def shop(**intake: Any) -> Source:
    return Source(id=1, name="shop", trust=BACKEND, intake=Intake(**intake))


def with_schema(schema: dict[str, Any] = SEARCH, **intake: Any) -> Source:
    return shop(schemas=(TypeSchema(channel="web", type="search", properties=schema),), **intake)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def judge(registry: CollectorRegistry) -> Judge:
    return Judge(IngestMetrics(registry))


def refusals(items: Iterable[object]) -> list[tuple[str, str | None]]:
    return [(item.code, item.field) for item in items if isinstance(item, InvalidInteraction)]


def test_without_schemas_and_with_consent_not_needed_items_pass_untouched(judge: Judge) -> None:
    items: list[Item] = [searched({}, scored=False), Ignored("spam")]
    assert judge.judged(items, shop()) is items


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({}, "properties.query"),
        ({"query": 5}, "properties.query"),
        ({"query": "x" * 21}, "properties.query"),
        ({"query": "tea", "where": {"page": 0}}, "properties.where.page"),
    ],
)
def test_a_violation_names_the_property(judge: Judge, properties: dict[str, Any], field: str) -> None:
    [found] = judge.judged([searched(properties)], with_schema())
    assert isinstance(found, InvalidInteraction)
    assert (found.code, found.field) == ("schema_violation", field)


def test_a_violation_repeats_no_value(judge: Judge) -> None:
    schema = {"properties": {"query": {"enum": ["tea"], "pattern": "^t", "maxLength": 2}}}
    [found] = judge.judged([searched({"query": "li@example.com"})], with_schema(schema))
    assert isinstance(found, InvalidInteraction)
    assert "li@example.com" not in str(found)


def test_what_fits_other_types_and_what_was_refused_before_pass_in_their_order(judge: Judge) -> None:
    earlier = InvalidInteraction("missing_identifier", "identifiers", "...")
    items: list[Item] = [searched({"query": "tea"}), earlier, searched({}, type="page_view"), Ignored("spam")]
    assert list(judge.judged(items, with_schema())) == items


def test_a_source_may_have_violations_counted_instead(judge: Judge, registry: CollectorRegistry) -> None:
    items: list[Item] = [searched({}), searched({"query": "tea"}), searched({})]
    assert list(judge.judged(items, with_schema(violations="count"))) == items
    assert registry.get_sample_value("tierwise_ingest_schema_violations_total", {"source": "shop"}) == 2


def test_a_source_may_refuse_what_came_without_consent(judge: Judge) -> None:
    items: list[Item] = [searched({}, scored=False), searched({})]
    found = list(judge.judged(items, shop(without_consent="refuse")))
    assert refusals(found) == [("no_consent", "consent")]
    assert found[1] is items[1]


def test_a_schema_that_its_source_changed_is_the_one_that_counts(judge: Judge) -> None:
    assert refusals(judge.judged([searched({})], with_schema())) == [("schema_violation", "properties.query")]
    assert not refusals(judge.judged([searched({})], with_schema({"required": []})))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"properties": {"query": {"pattern": "(("}}},
        {"$ref": "#/nowhere"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/hostname"},
    ],
)
def test_what_is_no_schema_or_points_elsewhere_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchema):
        PropertySchema(schema)


def test_a_pattern_that_backtracks_for_ever_does_not_hold_ingest_up(judge: Judge) -> None:
    schema = {"properties": {"query": {"pattern": "^(a+)+(?<!b)$"}}}
    [found] = judge.judged([searched({"query": "a" * 60 + "!"})], with_schema(schema))
    assert refusals([found]) == [("schema_violation", "properties.query")]
