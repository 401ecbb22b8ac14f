"""Which pages may send: preflights, and the requests themselves."""

import pytest

from tierwise.domain.source import BROWSER, Intake, Source
from tierwise_ingest.origins import OriginNotAllowed, cors_headers, preflight

SHOP = "https://shop.example"


def page(*origins: str) -> Source:
    return Source(id=1, name="page", trust=BROWSER, intake=Intake(origins=frozenset(origins)))


def asking(**headers: str) -> dict[str, object]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "OPTIONS", "path": "/v1/interactions", "headers": named}


def test_a_preflight_of_an_allowed_page_may_send_the_headers_that_it_asks_for() -> None:
    scope = asking(origin=SHOP, access_control_request_headers="authorization,content-type")
    response = preflight(scope, {SHOP}, {"GET", "POST"})
    headers = dict(response.headers)
    assert response.status == 204
    assert headers[b"access-control-allow-origin"] == SHOP.encode()
    assert headers[b"access-control-allow-headers"] == b"authorization,content-type"
    assert b"POST" in headers[b"access-control-allow-methods"]
    assert headers[b"vary"] == b"Origin"


def test_a_preflight_of_any_other_page_is_forbidden() -> None:
    with pytest.raises(OriginNotAllowed):
        preflight(asking(origin="https://evil.example"), {SHOP}, {"POST"})


def test_header_names_that_are_none_are_not_echoed() -> None:
    response = preflight(asking(origin=SHOP, access_control_request_headers="x: y, z"), {SHOP}, {"POST"})
    assert b"access-control-allow-headers" not in dict(response.headers)


def test_options_without_an_origin_says_what_is_allowed() -> None:
    response = preflight(asking(), {SHOP}, {"POST", "HEAD"})
    assert (response.status, dict(response.headers)[b"allow"]) == (204, b"HEAD, OPTIONS, POST")


def test_a_request_without_origin_is_a_systems_and_nothing_changes_for_it() -> None:
    assert cors_headers(page(), None) == {}
    assert cors_headers(page(SHOP), None) == {}


def test_the_page_of_an_allowed_origin_may_read_the_answer() -> None:
    headers = cors_headers(page(SHOP), SHOP)
    assert headers["Access-Control-Allow-Origin"] == SHOP
    assert headers["Vary"] == "Origin"


LIKE_IT = ["null", "http://shop.example", "https://shop.example:8443", "https://shop.example.evil.example", SHOP + "/"]


@pytest.mark.parametrize("origin", ["https://evil.example", *LIKE_IT])
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    with pytest.raises(OriginNotAllowed, match="page"):
        cors_headers(page(SHOP), origin, host="ingest.example")


def test_a_source_that_lists_no_origins_takes_nothing_from_pages() -> None:
    with pytest.raises(OriginNotAllowed):
        cors_headers(page(), SHOP)


def test_a_page_that_ingest_serves_itself_is_not_of_another_origin() -> None:
    assert cors_headers(page(), "http://127.0.0.1:8001", host="127.0.0.1:8001") == {}
