"""What a customer does over time, as an endless, time-ordered sequence of interactions."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from tierwise_embedded.simulate.people import CATEGORIES, Person


class Step(NamedTuple):
    """One interaction, `time` aware."""

    time: datetime
    channel: str
    type: str
    identifiers: dict[str, str]
    properties: dict[str, Any]
    attributes: dict[str, Any]


Episode = list[Step]
_PATHS = ["/", "/about", "/blog/2026-trends", "/pricing", "/pricing/teams", "/cases", "/help", "/contact"]


class Journey:
    """The life of one person from `joined` on. `steps()` never ends, except for those who do."""

    def __init__(self, person: Person, joined: datetime, random: Random) -> None:
        self._person = person
        self._random = random
        self._now = joined
        self._signed_up = False

    def steps(self) -> Iterator[Step]:
        lives: dict[str, Callable[[], Iterator[Episode]]] = {
            "visitor": self._visitor,
            "lead": self._lead,
            "buyer": self._buyer,
            "loyal": self._loyal,
            "leaving": self._leaving,
            "company": self._company,
        }
        for episode in lives[self._person.kind]():
            # The steps of an episode may be minutes to days long: the next one begins after it.
            episode.sort(key=lambda step: step.time)
            yield from episode
            if episode:
                self._now = max(self._now, episode[-1].time)

    # Lives: which episodes follow each other.

    def _visitor(self) -> Iterator[Episode]:
        while True:
            yield self._visit(pages=self._random.randint(1, 4))
            if self._random.random() < 0.55:
                return
            self._pass_days(12)

    def _becomes_lead(self) -> Iterator[Episode]:
        for _ in range(self._random.randint(1, 3)):
            yield self._visit(pages=self._random.randint(2, 6))
            self._pass_days(2.5)
        yield self._form()
        yield self._lead_created()
        self._pass_days(0.5)
        yield self._call()

    def _lead(self) -> Iterator[Episode]:
        yield from self._becomes_lead()
        interest = self._random.uniform(0.6, 0.97)
        while True:
            self._pass_days(7 / interest)
            yield self._nurture()
            interest *= 0.93
            if self._random.random() < 0.03:
                yield [self._by_email("unsubscribed", self._at_some_hour())]
                return
            if interest < 0.15:
                return

    def _buyer(self) -> Iterator[Episode]:
        yield from self._becomes_lead()
        self._pass_days(4)
        yield from self._buys()
        while True:
            self._pass_days(21)
            yield self._nurture()
            if self._random.random() < 0.25:
                yield from self._buys()

    def _loyal(self) -> Iterator[Episode]:
        yield from self._becomes_lead()
        while True:
            yield from self._buys()
            if self._random.random() < 0.15:
                self._pass_days(1)
                yield self._survey(8, 10)
            self._pass_days(9)
            yield self._nurture()
            self._pass_days(6)

    def _leaving(self) -> Iterator[Episode]:
        yield from self._becomes_lead()
        for _ in range(self._random.randint(2, 4)):
            yield from self._buys()
            self._pass_days(12)
        yield self._complaint()
        self._pass_days(2)
        yield self._survey(0, 5)
        if self._random.random() < 0.6:
            self._pass_days(3)
            yield [self._by_email("unsubscribed", self._at_some_hour())]
        self._pass_days(150)
        if self._random.random() < 0.3:  # won back
            yield self._call()
            yield from self._buys()

    def _company(self) -> Iterator[Episode]:
        yield from self._becomes_lead()
        while True:
            self._pass_days(6)
            yield self._meeting()
            self._pass_days(4)
            accepted = self._random.random() < 0.55
            yield self._quote(accepted=accepted)
            if accepted:
                self._pass_days(2)
                yield [self._order(self._in_office_hours(), self._person.spending)]
            self._pass_days(25)
            yield self._nurture()

    # Episodes: what belongs together.

    def _visit(self, *, pages: int) -> Episode:
        at = self._at_some_hour()
        steps = []
        if self._signed_up and self._random.random() < 0.5:
            steps.append(self._on_web("login", at, self._device(signed_in=True)))
        who = self._device(signed_in=bool(steps))
        for number in range(pages):
            at += timedelta(seconds=self._random.randint(8, 240))
            if self._random.random() < 0.35:
                category = self._category()
                properties = {"category": category, "sku": f"{category[:3]}-{self._random.randint(1, 60)}"}
                steps.append(self._on_web("product_view", at, who, properties))
            else:
                properties = {"path": self._random.choice(_PATHS)}
                if number == 0:
                    properties["utm_source"] = self._person.source
                steps.append(self._on_web("page_view", at, who, properties))
        if self._random.random() < 0.1:
            steps.append(self._on_web("search", at + timedelta(seconds=20), who, {"query": self._category()}))
        return steps

    def _form(self) -> Episode:
        """Ties the device to the e-mail, and for most to an account of their own."""
        person, at = self._person, self._at_some_hour()
        who = self._device(signed_in=False) | {"email": person.email}
        steps = [self._on_web("form_submitted", at, who, {"form": "contact"}, person.attributes)]
        if person.kind != "lead" or self._random.random() < 0.4:
            self._signed_up = True
            at += timedelta(minutes=self._random.randint(1, 30))
            steps.append(self._on_web("signup", at, who | {"user_id": person.user_id}))
        return steps

    def _lead_created(self) -> Episode:
        person = self._person
        who = {"crm_id": person.crm_id, "email": person.email, "phone": person.phone}
        at = self._now + timedelta(minutes=self._random.randint(5, 90))
        return [Step(at, "crm", "lead_created", who, {"source": person.source}, person.attributes)]

    def _call(self) -> Episode:
        at, chance = self._in_office_hours(), self._random.random()
        who = {"phone": self._person.phone}
        if chance < 0.3:
            return [Step(at, "call", "missed", who, {"direction": "outbound"}, {})]
        if chance < 0.34:
            return [Step(at, "call", "refused", who, {"direction": "outbound"}, {})]
        duration_s = int(self._random.lognormvariate(4.9, 0.8))
        outcome = self._random.choice(["interested", "call_back", "not_now"])
        spoken = {"direction": "outbound", "duration_s": duration_s, "outcome": outcome}
        return [Step(at, "call", "completed", who, spoken, {})]

    def _nurture(self) -> Episode:
        """A campaign's e-mail, and what came of it."""
        at = self._in_office_hours()
        campaign = {"campaign": f"{at:%Y-%m}-news"}
        steps = [self._by_email("sent", at, campaign)]
        at += timedelta(seconds=self._random.randint(2, 60))
        if self._random.random() < 0.02:
            return [*steps, self._by_email("bounced", at, campaign | {"hard": self._random.random() < 0.5})]
        steps.append(self._by_email("delivered", at, campaign))
        if self._random.random() < 0.2:
            steps.append(self._by_email("opened", at + timedelta(seconds=3), campaign | {"machine": True}))
        if self._random.random() < 0.45:
            at += timedelta(minutes=self._random.randint(3, 900))
            steps.append(self._by_email("opened", at, campaign | {"machine": False}))
            if self._random.random() < 0.4:
                at += timedelta(seconds=self._random.randint(5, 90))
                steps.append(self._by_email("clicked", at, campaign | {"url": "https://shop.example.com/pricing"}))
                self._now = at
                steps.extend(self._visit(pages=self._random.randint(1, 5)))
        return steps

    def _buys(self) -> Iterator[Episode]:
        at = self._at_some_hour()
        who = self._device(signed_in=True) if self._signed_up else self._device(signed_in=False)
        category = self._category()
        steps = [self._on_web("product_view", at, who, {"category": category})]
        for type_ in ("cart_added", "checkout_started"):
            at += timedelta(seconds=self._random.randint(20, 300))
            steps.append(self._on_web(type_, at, who, {"category": category}))
        yield steps
        if self._random.random() < 0.15:  # the cart stays behind
            return
        amount = max(self._person.spending * self._random.lognormvariate(0, 0.5), 5.0)
        order = self._order(at + timedelta(seconds=self._random.randint(30, 600)), amount, category)
        yield [order]
        if self._random.random() < 0.06:
            back = {"amount": order.properties["amount"], "currency": self._person.currency}
            at = order.time + timedelta(days=self._random.uniform(1, 9))
            yield [Step(at, "order", "refund", {"user_id": self._person.user_id}, back, {})]

    def _meeting(self) -> Episode:
        at, who = self._in_office_hours(), {"crm_id": self._person.crm_id}
        held = "held" if self._random.random() < 0.85 else "no_show"
        return [
            Step(at, "meeting", "scheduled", who, {}, {}),
            Step(at + timedelta(days=2), "meeting", held, who, {"participants": self._random.randint(2, 6)}, {}),
        ]

    def _quote(self, *, accepted: bool) -> Episode:
        at, who = self._in_office_hours(), {"crm_id": self._person.crm_id}
        amount = {"amount": _money(self._person.spending), "currency": self._person.currency}
        answered = at + timedelta(days=self._random.uniform(1, 5))
        return [
            Step(at, "quote", "requested", who, {}, {}),
            Step(at + timedelta(hours=5), "quote", "sent", who, amount, {}),
            Step(answered, "quote", "accepted" if accepted else "rejected", who, amount, {}),
        ]

    def _complaint(self) -> Episode:
        at, who = self._in_office_hours(), {"email": self._person.email}
        closed = at + timedelta(days=self._random.uniform(0.5, 6))
        return [
            Step(at, "service", "ticket_opened", who, {"topic": "delivery"}, {}),
            Step(at + timedelta(minutes=10), "service", "complaint", who, {}, {}),
            Step(closed, "service", "ticket_closed", who, {}, {}),
        ]

    def _survey(self, low: int, high: int) -> Episode:
        score = {"score": self._random.randint(low, high)}
        return [Step(self._at_some_hour(), "survey", "answered", {"email": self._person.email}, score, {})]

    # Steps.

    def _order(self, at: datetime, amount: float, category: str | None = None) -> Step:
        person = self._person
        properties = {
            "amount": _money(amount),
            "currency": person.currency,
            "category": category or self._category(),
            "items": self._random.choice([1, 1, 1, 2, 2, 3, 5]),
        }
        return Step(at, "order", "purchase", {"user_id": person.user_id, "email": person.email}, properties, {})

    def _on_web(
        self,
        type_: str,
        at: datetime,
        who: dict[str, str],
        properties: dict[str, Any] | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> Step:
        return Step(at, "web", type_, who, properties or {}, attributes or {})

    def _by_email(self, type_: str, at: datetime, properties: dict[str, Any] | None = None) -> Step:
        return Step(at, "email", type_, {"email": self._person.email}, properties or {}, {})

    def _device(self, *, signed_in: bool) -> dict[str, str]:
        who = {"anonymous_id": self._random.choice(self._person.anonymous_ids)}
        return who | {"user_id": self._person.user_id} if signed_in else who

    def _category(self) -> str:
        return self._person.interest if self._random.random() < 0.7 else self._random.choice(CATEGORIES)

    # Time.

    def _pass_days(self, mean: float) -> None:
        self._now += timedelta(days=self._random.expovariate(1 / mean))

    def _at_some_hour(self) -> datetime:
        """The next moment at which this person would sit before a screen: evenings, and at weekends all day."""
        day = self._now
        evening = self._random.random() < self._person.evening or day.weekday() >= 5
        hour = self._random.choice([12, 19, 20, 20, 21, 21, 22, 23] if evening else [8, 9, 10, 11, 14, 15, 16, 17])
        return self._not_before_now(day, hour)

    def _in_office_hours(self) -> datetime:
        """The next moment at which somebody works: Monday to Friday, 9 to 18."""
        day = self._now
        while day.weekday() >= 5:
            day += timedelta(days=1)
        at = self._not_before_now(day, self._random.choice([9, 10, 10, 11, 14, 14, 15, 16, 17]))
        return at + timedelta(days=7 - at.weekday()) if at.weekday() >= 5 else at

    def _not_before_now(self, day: datetime, hour: int) -> datetime:
        at = day.replace(hour=hour, minute=self._random.randrange(60), second=self._random.randrange(60), microsecond=0)
        return at if at >= self._now else at + timedelta(days=1)


def _money(amount: float) -> str:
    return f"{amount:.2f}"
