"""What subscribers rely on: the schemas of published changes, and the document of the topics."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.support.compatibility import incompatible
from tests.support.node import run_module
from tests.support.pages import blocks
from tierwise.publishing import asyncapi
from tierwise.publishing.kinds import KINDS
from tierwise.publishing.schemas import SCHEMAS
from tierwise.stream.topics import DEAD_LETTERS, PUBLISHED

RELEASED = Path(__file__).parents[1] / "released" / "schemas"
TIER_CHANGED = "tierwise.customer.tier-changed.v1"


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.fixture
def tier_changed() -> Any:
    return plain(SCHEMAS[TIER_CHANGED])


def test_every_type_of_event_has_a_schema_and_its_topic() -> None:
    assert [kind.type for kind in KINDS] == list(SCHEMAS)
    assert tuple(kind.topic for kind in KINDS) == PUBLISHED
    for schema in SCHEMAS.values():
        jsonschema_rs.meta.validate(plain(schema))


def test_the_event_that_the_page_shows_is_one() -> None:
    [shown] = [block.text for block in blocks("docs/subscribe.md") if block.kind == "json"]

    jsonschema_rs.validate(plain(SCHEMAS[TIER_CHANGED]), json.loads(shown))


@pytest.mark.parametrize("wrong", [{"sequence": "19"}, {"to": None}, {"aspect": "intent"}, {"cause": {}}])
def test_what_is_no_event_is_not_taken_for_one(wrong: dict[str, Any]) -> None:
    [shown] = [block.text for block in blocks("docs/subscribe.md") if block.kind == "json"]

    assert not jsonschema_rs.is_valid(plain(SCHEMAS[TIER_CHANGED]), json.loads(shown) | wrong)


def test_the_schemas_are_compatible_with_those_of_the_last_release() -> None:
    released = {path.stem: json.loads(path.read_text("utf-8")) for path in RELEASED.glob("*.json")}

    assert released.keys() <= SCHEMAS.keys()
    for event_type, schema in released.items():
        assert list(incompatible(schema, plain(SCHEMAS[event_type]))) == [], event_type


def test_a_field_may_be_added_but_not_as_a_required_one(tier_changed: Any) -> None:
    new = deepcopy(tier_changed)
    new["properties"]["owner"] = {"type": "string"}
    assert list(incompatible(tier_changed, new)) == []

    new["required"].append("owner")
    assert list(incompatible(tier_changed, new)) == ["$.owner: is required now"]


def test_a_field_may_not_go_or_become_another_one(tier_changed: Any) -> None:
    new = deepcopy(tier_changed)
    del new["properties"]["cuts"]
    new["required"].remove("cuts")
    new["properties"]["score"]["type"] = "integer"
    new["properties"]["cause"]["properties"]["kind"]["enum"] = ["interaction"]

    assert list(incompatible(tier_changed, new)) == [
        "$.cuts: is not required any more",
        "$.score: type was number, is integer",
        "$.cuts: is gone",
        "$.cause.kind: enum was None, is ['interaction']",
    ]


def test_words_may_change(tier_changed: Any) -> None:
    new = deepcopy(tier_changed)
    new["properties"]["score"]["description"] = "Other words."
    new["properties"]["from"]["anyOf"][0]["examples"] = ["E"]

    assert list(incompatible(tier_changed, new)) == []


async def test_the_document_of_all_that_leaves_is_asyncapi_3() -> None:
    official = json.loads(
        await run_module(
            'import specs from "@asyncapi/specs";process.stdout.write(JSON.stringify(specs.schemasWithoutId["3.0.0"]));'
        )
    )
    document = plain(asyncapi.document())

    jsonschema_rs.validator_for(official).validate(document)
    assert {channel["address"] for channel in document["channels"].values()} == {*PUBLISHED, DEAD_LETTERS, None}


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = plain(asyncapi.document())

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for held in value.values() for found in references(held)]
        return [found for held in value for found in references(held)] if isinstance(value, list) else []

    found = references(document)
    assert found
    for reference in found:
        at = document
        for name in reference.removeprefix("#/").split("/"):
            at = at[name]
