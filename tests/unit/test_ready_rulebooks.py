"""The rulebooks that come with Tierwise: every name is labelled, and every result that they name can come out."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest

from tests.support.kernel import attributes_of_all, classify_all, read
from tests.support.reference import Expected
from tests.support.stories import NOW, did, known
from tierwise.domain.interaction import Interaction
from tierwise.domain.rulebook import Rulebook, load, ready_rulebooks, ready_text
from tierwise.domain.rulebook.book import FIRST_TOUCH, LAST_TOUCH
from tierwise.domain.rulebook.expressions import Comparison, In, Name, Node
from tierwise.domain.rulebook.form import read as read_document

History = list[Interaction]

EVENING = -9 / 24  # 21:00
CHANNELS = (
    "web/page_view", "email/clicked", "sms/clicked", "call/completed", "meeting/held", "chat/message",
    "social/followed", "ad/click", "order/purchase", "quote/requested", "survey/answered", "service/ticket_opened",
)  # fmt: skip


def bought(*days_ago: float, amount: str = "100", **properties: Any) -> History:
    return did("order/purchase", *days_ago, amount=amount, **properties)


SHARED: dict[str, History] = {
    "browsing.high": did("web/page_view", *[1] * 20), "browsing.low": did("web/page_view", 1),
    "email.unsubscribed": did("email/unsubscribed", 9),
    "email.engaged": did("email/opened", 1, 2),
    "call.wrong_number": did("call/wrong_number", 1), "call.refuses": did("call/refused", 1, 2),
    "call.talkative": did("call/completed", 1, 2, 3, 4, duration_s=200),
    "call.reachable": did("call/completed", 1, duration_s=200),
    "channels.several": did("web/page_view", 1) + did("chat/message", 1) + bought(1), "channels.one": bought(1),
    "spending.high": bought(1, amount="600000"), "spending.low": bought(1, amount="20"),
    "history.repeat": bought(1, 2), "history.first": bought(1),
    "asked.help": did("service/ticket_opened", 1),
    "care.complaint": did("service/complaint", 1), "care.dissatisfied": did("survey/answered", 1, score=3),
    "care.cancelled": did("order/cancelled", 1), "care.praise": did("service/praise", 1),
    "care.satisfied": did("survey/answered", 1, score=10),
    "contact.neither": known(do_not_email=True, do_not_call=1), "contact.no_email": known(do_not_email=True),
    "contact.no_calls": known(do_not_call=True),
    "prospect": [], "new": bought(1), "active": bought(1, 2), "dormant": bought(150), "churned": bought(800),
    "low": [], "medium": did("web/product_view", *[0] * 8),
    "high": bought(0, 0, 0) + did("web/cart_added", 0, 0, 0, 0) + did("quote/accepted", 0, 0),
    "E": [],
    "A": bought(*range(0, 700, 14), amount="60000", items=5, category="food") + did("quote/accepted", 0, 0),
}  # fmt: skip

ALL_DAY = {
    "daypart.night": did("web/page_view", 1 + EVENING), "daypart.day": did("web/page_view", 1),
    "purchase_time.night": bought(1 + EVENING), "purchase_time.day": bought(1),
    "clicking.high": did("email/clicked", *[1] * 5), "clicking.low": did("email/sent", *[1] * 5),
    "email.lapsed": did("email/opened", 61),
    "basket.large": bought(1, items=5), "basket.small": bought(1, items=1),
    "price.discount": bought(1, coupon="NOV"),
}  # fmt: skip
FORMS = {
    "asked.quote": did("call/completed", 1, need="报价"), "asked.demo": did("web/form_submitted", 1, form="Demo"),
    "asked.contact": did("web/form_submitted", 1), "asked.material": did("web/download", 1),
}  # fmt: skip

STORIES: dict[str, dict[str, History]] = {
    "default": {
        **SHARED, **ALL_DAY, **FORMS,
        "city_tier.lower": known(city_tier="fifth"), "company_size.sme": known(company_size="micro"),
        "buying.frequent": bought(1, 2, 3, 4, 5, 6), "buying.rare": bought(1),
        "mature": bought(1, 2, 3, 4), "loyal": bought(1, 2, 3, 4, 5, 6, 200, 400), "won_back": bought(1, 500),
        "interested": did("web/form_submitted", 0),
        "B": bought(*range(0, 120, 30), amount="500"), "C": bought(1, amount="1299"), "D": bought(1, amount="100"),
    },
    "retail": {
        **SHARED, **ALL_DAY,
        "high": bought(0, 0, 0, 0),
        "cart.abandoned": did("web/cart_added", 1),
        "attention.rising": did("web/product_view", 1, 1, 2, 3),
        "attention.falling": did("web/product_view", 1, 20, 21),
        "city_tier.lower": known(city_tier="fifth"),
        "buying.frequent": bought(1, 2, 3, 4, 5, 6), "buying.rare": bought(1),
        "rhythm.weekly": bought(1, 8, 15, 22), "rhythm.monthly": bought(1, 31, 61),
        "weekday.weekend": bought(5), "weekday.workday": bought(1),  # a Sunday and a Thursday
        "place.both": bought(1, sold_in="门店") + bought(2), "place.store": bought(1, sold_in="store"),
        "place.online": bought(1), "returns.often": bought(1) + did("order/refund", 1, amount="100"),
        "mature": bought(1, 2, 3, 4, 5, 6), "loyal": bought(*range(1, 11), 150, 300, 400), "won_back": bought(1, 300),
        "interested": did("web/cart_added", 0), "dormant": bought(100),
        "B": bought(*range(0, 300, 30), amount="500"), "C": bought(1, 30, amount="900"), "D": bought(1, amount="500"),
    },
    "b2b": {
        **SHARED, **FORMS,
        "company_size.sme": known(company_size="micro"),
        "account.key": known(account_class="key"), "account.strategic": known(account_class="strategic"),
        "attention.rising": did("web/page_view", 1, 2, 3, 4), "attention.falling": did("web/page_view", 1, 70, 71),
        "email.lapsed": did("email/sent", 1, 2, 3),
        "meetings.misses": did("meeting/no_show", 1) + did("meeting/held", 2), "meetings.some": did("meeting/held", 1),
        "meetings.frequent": did("meeting/held", 1, 2, 3),
        "buying.frequent": bought(1, 2, 3, 4), "buying.rare": bought(1),
        "size.large": bought(1, amount="100000"), "size.small": bought(1),
        "contract.due": bought(350), "contract.renewed": bought(1, kind="renewal"),
        "quotes.won": did("quote/accepted", 1), "quotes.lost": did("quote/rejected", 1),
        "quotes.open": did("quote/sent", 1),
        "medium": did("meeting/held", 0), "opportunity": did("quote/requested", 1),
        "interested": did("web/form_submitted", 0), "mature": bought(1, 2, 3), "loyal": bought(1, 500, 1_100),
        "won_back": bought(1, 800), "dormant": bought(500),
        "B": bought(1, 300, 600, amount="300000"), "C": bought(1, 300, amount="20000"), "D": bought(1, amount="5000"),
    },
}  # fmt: skip

SOURCES: dict[str, History] = {
    "email": did("web/page_view", 1, utm_medium="email"),
    "online_ads": did("web/page_view", 1, referrer="https://www.baidu.com/", bd_vid="1x"),
    "social": did("web/page_view", 1, referrer="https://www.xiaohongshu.com/explore"),
    "search": did("web/page_view", 1, referrer="https://www.baidu.com/s?wd=x"),
    "partner": did("crm/lead_created", 1, source="合作伙伴"),
    "exhibition": did("crm/lead_created", 1, source="展会"),
    "phone": did("call/completed", 1),
    "store": bought(1, sold_in="门店"),
    "direct": did("web/page_view", 1),
}


@cache
def rulebook(name: str) -> Rulebook:
    return load(ready_text(name))


def outcomes(name: str, histories: Sequence[History]) -> list[Expected]:
    return [read(result, rulebook(name)) for result in classify_all(histories, NOW, rulebook(name)).result]


def named(name: str) -> Iterator[str]:
    """Every result that a rulebook names, tags as `tag.value`."""
    book = rulebook(name)
    yield from (*book.level_names, *book.stage_names, *book.tier_names)
    yield from (f"{tag.name}.{value}" for tag in book.tags for value in tag.values)


def results(found: Expected) -> set[str]:
    return {found.level, found.stage, found.tier, *(f"{tag}.{value}" for _, tag, value in found.tags)}


def told_by_an_attribute(name: str) -> Iterator[tuple[str, History]]:
    """A story for each value that asks only which text an attribute is."""
    for tag in rulebook(name).tags:
        for value, when in zip(tag.values, tag.conditions, strict=True):
            if text := _text_asked(when):
                yield f"{tag.name}.{value}", known(**text)


def _text_asked(when: Node) -> dict[str, object] | None:
    match when:
        case Comparison(operator="=", left=Name(name=name), right=right):
            return {name: getattr(right, "value")}  # noqa: B009  (a Text)
        case In(operand=Name(name=name), options=options):
            return {name: options[0].value}
    return None


def by_channel() -> Iterator[tuple[str, History]]:
    for kind in CHANNELS:
        yield f"preferred_channel.{kind.partition('/')[0]}", did(kind, 1)


def stories(name: str) -> dict[str, History]:
    return dict([*by_channel(), *told_by_an_attribute(name), *STORIES[name].items()])


@pytest.mark.parametrize("name", ready_rulebooks())
def test_every_result_that_a_rulebook_names_has_a_history_that_gives_it(name: str) -> None:
    told = stories(name)
    assert sorted(set(named(name)) - told.keys()) == [], "without a history"
    found = dict(zip(told, outcomes(name, list(told.values())), strict=True))
    assert {result: found[result] for result in named(name) if result not in results(found[result])} == {}


@pytest.mark.parametrize("name", ready_rulebooks())
def test_every_source_of_customers_is_told_by_first_and_last_touch(name: str) -> None:
    assert {source for source, _ in rulebook(name).acquisition} == set(SOURCES)
    for source, history in SOURCES.items():
        [held] = attributes_of_all([history], rulebook(name))
        assert (held[FIRST_TOUCH].value, held[LAST_TOUCH].value) == (source, source)


def test_a_page_that_was_reached_from_another_of_the_site_is_no_touch() -> None:
    visit = did("web/page_view", 2, referrer="https://www.google.com/") + did(
        "web/page_view", 1, referrer="https://a.cn/"
    )
    [held] = attributes_of_all([visit], rulebook("default"))
    assert held[LAST_TOUCH].value == "search"


def test_a_competitor_and_a_wrong_number_take_points_away() -> None:
    interested = did("web/form_submitted", 0, 0)
    more = [did("call/wrong_number", 0), did("crm/note", 0, reason="chose a competitor"),
            did("quote/rejected", 0, reason="竞品更便宜")]  # fmt: skip
    before, *after = outcomes("default", [interested, *(interested + one for one in more)])
    assert all(one.points < before.points for one in after)


@pytest.mark.parametrize("name", ready_rulebooks())
def test_every_name_has_a_label_in_both_languages(name: str) -> None:
    document = read_document(ready_text(name))
    tags = [
        (family, tag, value)
        for family, tags in document.tags.items()
        for tag, values in tags.items()
        for value in values
    ]
    strategies = [one for named in document.strategies.values() for one in named.values()]
    names = {
        *document.signals, *document.attributes, *(touch.source for touch in document.acquisition),
        *(fit.name for fit in document.intent.fit), *document.intent.levels, document.intent.otherwise,
        *(stage.stage for stage in document.lifecycle), *document.tiers.cuts, document.tiers.otherwise,
        *document.tiers.dimensions,
        *(f"tags.{family}" for family, _, _ in tags), *(f"{family}.{tag}" for family, tag, _ in tags),
        *(f"{tag}.{value}" for _, tag, value in tags),
        *(word for one in strategies for word in (one.owner, one.service, one.next_action) if word),
        *(offer for one in strategies for offer in one.offers or ()),
    }  # fmt: skip
    assert sorted(names - document.labels.keys()) == []
    assert sorted(document.labels.keys() - names) == [], "labels of nothing"
    assert all(any("一" <= letter <= "鿿" for letter in label.zh) for label in document.labels.values())


@pytest.mark.parametrize("name", ready_rulebooks())
def test_every_tier_level_and_stage_has_something_to_do(name: str) -> None:
    book = rulebook(name)
    assert set(book.strategies["tier"]) == set(book.tier_names)
    assert set(book.strategies["intent"]) == set(book.level_names)
    for tier in book.strategies["tier"].values():
        assert {"owner", "respond_within", "service", "offers"} <= set(tier)
    assert all("next_action" in level for level in book.strategies["intent"].values())


def test_the_default_rulebook_is_loaded_under_a_version_of_its_own() -> None:
    assert len({rulebook(name).version for name in ready_rulebooks()}) == len(ready_rulebooks()) == 3
