"""A source as its administrator writes it: what is wrong is said by field and reason."""

from typing import Any

import pytest

from tierwise.domain.source import BACKEND, BROWSER, Intake, RateLimit
from tierwise.security.source_document import InvalidSource, document_of, patch_source, read_source

SHOP = {
    "name": "shop-page",
    "trust": "browser",
    "intake": {"origins": ["https://shop.example"], "rate_limit": {"per_second": 100, "burst": 1000}},
}


def test_a_name_alone_is_a_trusted_system() -> None:
    assert read_source({"name": "crm 中国"}) == ("crm 中国", BACKEND, Intake())


def test_a_page_is_trusted_little() -> None:
    name, trust, intake = read_source(SHOP)
    assert (name, trust) == ("shop-page", BROWSER)
    assert intake.origins == {"https://shop.example"}
    assert intake.rate_limit == RateLimit(per_second=100, burst=1000)


def test_what_is_read_is_written_again_the_same() -> None:
    _, trust, intake = read_source(SHOP)
    assert read_source({"name": "x", "trust": document_of(trust), "intake": document_of(intake)}) == (
        "x",
        trust,
        intake,
    )


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "name", "100 characters"),
    ({"name": "a/b"}, "name", "paths"),
    ({"name": "x\0"}, "name", "control"),
    ({"name": 5}, "name", "characters"),
    ({"nmae": "x"}, "nmae", "no such field"),
    ({"trust": "everything"}, "trust", "backend or browser"),
    ({"trust": {"chanels": []}}, "trust.chanels", "channels"),
    ({"trust": {"channels": "web"}}, "trust.channels", "array"),
    ({"trust": {"channels": ["fax"]}}, "trust.channels", "'fax' is no channel"),
    ({"trust": {"kinds": ["passport"]}}, "trust.kinds", "anonymous_id"),
    ({"trust": {"attributes": ["override.tier"]}}, "trust.attributes", "override.tier"),
    ({"trust": {"default_region": "China"}}, "trust.default_region", "ISO 3166"),
    ({"trust": {"links": "no"}}, "trust.links", "bool"),
    ({"intake": {"orgins": []}}, "intake.orgins", "origins"),
    ({"intake": {"formats": ["A B"]}}, "intake.formats", "format"),
    ({"intake": {"rate_limit": {"per_second": 0, "burst": 1}}}, "intake.rate_limit.per_second", "> 0"),
    ({"intake": {"rate_limit": {"per_second": 1}}}, "intake.rate_limit.burst", "required"),
    ({"intake": {"rate_limit": {"per_second": 1, "brust": 1}}}, "intake.rate_limit.brust", "burst"),
    ({"intake": {"rate_limit": {"per_second": 1e300, "burst": 1}}}, "intake.rate_limit.per_second", "at most"),
    ({"intake": {"without_consent": "drop"}}, "intake.without_consent", "drop"),
    ({"intake": {"topics": ["orders"]}}, "intake.topics", "ARN"),
    (
        {"intake": {"schemas": [{"channel": "web", "type": "Search", "properties": {}}]}},
        "intake.schemas[0].type",
        "a-z",
    ),
    (
        {"intake": {"schemas": [{"channel": "fax", "type": "sent", "properties": {}}]}},
        "intake.schemas[0].channel",
        "fax",
    ),
    (
        {"intake": {"schemas": [{"channel": "web", "type": "search", "properties": {"type": "objekt"}}]}},
        "intake.schemas[0].properties",
        "no JSON Schema",
    ),
    (
        {"intake": {"schemas": [{"channel": "web", "type": "search", "properties": {}}] * 2}},
        "intake.schemas[1]",
        "already",
    ),
    (
        {"intake": {"schemas": [{"channel": "web", "type": "search", "properties": {"title": "\0"}}]}},
        "intake.schemas",
        "NUL",
    ),
    ({"intake": {"mapping": "interactions: 5"}}, "intake.mapping", "interactions"),
    ({"intake": {"origins": ["https://shop.example"]}}, "trust.links", "page"),
]


@pytest.mark.parametrize(("document", "field", "reason"), WRONG)
def test_what_is_wrong_is_named_with_its_reason(document: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(InvalidSource) as refused:
        read_source({"name": "shop"} | document if "nmae" not in document else document)
    assert refused.value.extra["field"] == field
    assert reason in refused.value.detail


NO_ORIGINS = [
    "shop.example", "https://shop.example/", "https://shop.example/page", "https://Shop.example", "https://*.example",
    "*", "null", "https://shop.example:443", "http://shop.example:80", "https://u@shop.example", "https://",
    "ftp://shop.example", "https://shop.example:99999", "https://shop.example?x", "https://例.example",
]  # fmt: skip


@pytest.mark.parametrize("origin", NO_ORIGINS)
def test_what_a_browser_never_sends_as_origin_is_refused(origin: str) -> None:
    with pytest.raises(InvalidSource, match="as browsers name it"):
        read_source({"name": "x", "trust": "browser", "intake": {"origins": [origin]}})


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://shop.example:8443", "http://[::1]:8080"])
def test_origins_may_have_a_port(origin: str) -> None:
    read_source({"name": "x", "trust": "browser", "intake": {"origins": [origin]}})


def test_a_change_replaces_what_it_names_and_nothing_else() -> None:
    _, trust, intake = read_source(SHOP)
    patch = {"trust": {"kinds": ["email"]}, "intake": {"rate_limit": {"burst": 5}}}
    changed_trust, changed = patch_source(trust, intake, patch)
    assert changed_trust.kinds == frozenset({"email"})
    assert not changed_trust.links
    assert changed.rate_limit == RateLimit(per_second=100, burst=5)
    assert changed.origins == intake.origins


def test_null_takes_a_field_back_to_its_default() -> None:
    _, trust, intake = read_source(SHOP)
    _, changed = patch_source(trust, intake, {"intake": {"rate_limit": None, "origins": None}})
    assert changed == Intake()


def test_a_change_is_checked_as_a_whole() -> None:
    _, trust, intake = read_source(SHOP)
    with pytest.raises(InvalidSource, match=r"trust\.links"):
        patch_source(trust, intake, {"trust": "backend"})
    with pytest.raises(InvalidSource, match="an object"):
        patch_source(trust, intake, [])
