"""Random histories of customers: what the default rulebook asks for, and around it what sources send besides."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from tierwise.domain.interaction import Interaction
from tierwise.domain.updates import Updates

Properties = dict[str, Any]


def _nothing(_: Random) -> Properties:
    return {}


def _visit(random: Random) -> Properties:
    return {
        "path": random.choice(["/", "/Pricing/plans", "/courses", "/关于/价格", "/a\nb/pricing"]),
        "duration_s": random.choice([5, 119, 120, 300.5, "150", "long", None, True]),
        "utm_medium": random.choice(["email", "CPC", "organic", "social", None]),
        "referrer": random.choice(["https://www.baidu.com/s", "https://weibo.com", "", None]),
        "category": random.choice(["courses", "图书", "rockets", "other", 7, None]),
    }


def _order(random: Random) -> Properties:
    amount: object = random.choice(
        ["0.01", "99.995", "120.005", "1299.00", 15, 0.1, "250000", "999999999999.9999", None]
    )
    properties = {"amount": amount, "items": random.choice([1, 3, "4", None]), "category": random.choice(["food", "x"])}
    currency = random.choice(["CNY", "USD", "JPY", "XTS", None])
    return properties if currency is None else properties | {"currency": currency}


def _call(random: Random) -> Properties:
    return {"duration_s": random.choice([0, 59, 59.9, 60, 600, None]), "direction": random.choice(["in", "out"])}


def _opening(random: Random) -> Properties:
    return random.choice([{}, {"machine": True}, {"machine": False}, {"machine": "true"}, {"machine": 1}])


def _answer(random: Random) -> Properties:
    return {"score": random.choice([0, 6, 7, 9, 10, "9", None])}


def _lead(random: Random) -> Properties:
    return {"source": random.choice(["partner", "Referral", "exhibition", "google", "门店", "pay per click ads", 3])}


def _override(random: Random) -> Properties:
    aspects = ["tier", "intent", "lifecycle", "tag:behaviour.browsing", "tag:family_0.tag_0_0", "mood"]
    values = ["A", "Z", "high", "level_1", "churned", "rest", "value_0", None]
    return {
        "aspect": random.choice(aspects),
        "value": random.choice(values),
        "expires": random.choice(["2024-10-28T00:00:00Z", "2026-11-20T12:00:00+08:00", "2031-01-01T00:00:00Z", None]),
    }


KINDS: tuple[tuple[str, str, Callable[[Random], Properties]], ...] = (
    ("web", "page_view", _visit), ("web", "page_view", _visit), ("web", "product_view", _visit),
    ("web", "search", _nothing), ("web", "form_submitted", _nothing), ("web", "download", _nothing),
    ("web", "cart_added", _nothing), ("web", "login", _nothing), ("web", "blinked", _visit),
    ("email", "sent", _nothing), ("email", "opened", _opening), ("email", "clicked", _nothing),
    ("email", "replied", _nothing), ("email", "bounced", _nothing), ("email", "unsubscribed", _nothing),
    ("sms", "clicked", _nothing), ("sms", "complained", _nothing), ("call", "completed", _call),
    ("call", "refused", _nothing), ("call", "missed", _nothing), ("meeting", "held", _nothing),
    ("meeting", "no_show", _nothing), ("chat", "message", _nothing), ("social", "followed", _nothing),
    ("ad", "click", _nothing), ("ad", "impression", _nothing), ("order", "purchase", _order),
    ("order", "purchase", _order), ("order", "purchase", _order), ("order", "refund", _order),
    ("order", "cancelled", _nothing), ("quote", "requested", _nothing), ("quote", "accepted", _nothing),
    ("quote", "rejected", _nothing), ("survey", "answered", _answer), ("service", "complaint", _nothing),
    ("service", "praise", _nothing), ("crm", "lead_created", _lead), ("crm", "qualified", _nothing),
    ("crm", "disqualified", _nothing), ("crm", "note", _nothing), ("crm", "override", _override),
    ("web", "profile_update", _visit), ("crm", "profile_update", _nothing),
)  # fmt: skip

ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "role": ("owner", "Director", "intern", "", None),
    "occupation": ("professional", "Working Professional", "student", None),
    "company_size": ("large", "small", None),
    "city_tier": (1, 2, 3, "4", 2.5, True, None),
    "gender": ("female", "FEMALE", "male", None),
    "age_group": ("young", "middle", "senior", 7),
    "birth_year": (1954, 1965, 1966, 1985, 1990, 2004, 2012, 2030, "1990", 90, None),
    "customer_type": ("company", "government"),
    "hobbies": (["go"], "go", None),
    "shoe_size": (43, "43", None),
}

AGES_DAYS = (0, 1, 7, 30, 90, 120, 180, 365, 730, 1200)
"""Where windows, half-lives and rules have their edges."""


def random_history(random: Random, now: datetime, zone: ZoneInfo, *, length_max: int = 24) -> list[Interaction]:
    """One customer's interactions, in any order: few or none, around the edges of days and windows, a few of them
    after `now`, some of them twice, some at the same moment."""
    length = random.choice([0, 1, 2, 5, length_max])
    history: list[Interaction] = []
    for number in range(random.randint(0, length)):
        at_once = history and random.random() < 0.1
        time = history[-1].time if at_once else _time(random, now, zone)
        history.append(_interaction(random, number, time))
    history += random.choices(history, k=len(history) // 8)
    random.shuffle(history)
    return history


def _interaction(random: Random, number: int, time: datetime) -> Interaction:
    channel, type_, properties = random.choice(KINDS)
    names = random.sample(sorted(ATTRIBUTES), k=random.choice([0, 0, 0, 1, 3]))
    return Interaction(
        id=str(number),
        source=random.choice(["shop", "site"]),
        time=time,
        received=time,
        channel=channel,
        type=type_,
        identifiers={"user_id": "u"},
        attributes={name: random.choice(ATTRIBUTES[name]) for name in names},
        updates=_updates(random) if random.random() < 0.2 else None,
        properties={name: value for name, value in properties(random).items() if value is not None},
        scored=random.random() < 0.95,
    )


def _updates(random: Random) -> Updates:
    name = random.choice(sorted(ATTRIBUTES))
    return random.choice(
        [
            Updates(first={name: random.choice(ATTRIBUTES[name])}),
            Updates(add={name: random.choice([1, -2, 0.5, 0.1])}),
            Updates(append={name: ["go"]}),
            Updates(clear=True),
        ]
    )


def _time(random: Random, now: datetime, zone: ZoneInfo) -> datetime:
    """Recent rather than old, often at the very edge of a business day, sometimes after `now`, sometimes equal."""
    age = random.choice(AGES_DAYS) + random.randint(-2, 2) if random.random() < 0.3 else int(random.expovariate(1 / 60))
    local = (now - timedelta(days=age)).astimezone(zone).replace(fold=0)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
    if random.random() < 0.3:
        return midnight + timedelta(microseconds=random.choice([-1_000_000, -1, 0, 1, 999_999, 3_600_000_000]))
    return midnight + timedelta(seconds=random.randrange(90_000), microseconds=random.choice([0, 0, 1, 999_999]))
