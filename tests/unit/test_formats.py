"""The table of formats against what its users read."""

from pathlib import Path

from tierwise_ingest.formats.table import FORMATS

SOURCES = (Path(__file__).parents[2] / "docs" / "sources.md").read_text("utf-8").partition("\n## Formats\n")[2]


def test_every_format_is_named_in_the_document_of_sources() -> None:
    assert [format_.name for format_ in FORMATS if f"`{format_.name}`" not in SOURCES] == []


def test_no_two_routes_are_the_same() -> None:
    routes = [(route.method, route.path) for format_ in FORMATS for route in format_.routes]
    assert len(routes) == len(set(routes))


def test_what_a_route_answers_is_documented() -> None:
    for format_ in FORMATS:
        for route in format_.routes:
            assert route.document["summary"], route.path
            assert {"401", "503"} <= route.document["responses"].keys(), route.path
