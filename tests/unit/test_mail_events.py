"""What e-mail providers' webhooks tell becomes interactions of the channel e-mail, whatever the provider's words."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.mail import FORM, FORMATS, NOW, form, interactions, items, posted, terms
from tests.support.mail_signers import example
from tierwise.domain.rejection import InvalidInteraction
from tierwise_ingest.body import InvalidBody
from tierwise_ingest.formats.format import Ignored
from tierwise_ingest.request import Request

LI, AT = "li@example.com", 1795130000  # 2026-11-19T23:13:20Z


def sendgrid(event: str, **more: Any) -> Request:
    plain = {"event": event, "email": LI, "timestamp": AT, "sg_event_id": "e-1", "sg_message_id": "m-1"}
    return posted([plain | more])


def mailgun(event: str, **more: Any) -> Request:
    plain = {"event": event, "recipient": LI, "timestamp": AT + 0.5, "id": "e-1"}
    return posted({"signature": {}, "event-data": plain | more}, name="mailgun")


def postmark(record: str, **more: Any) -> Request:
    plain = {"RecordType": record, "MessageID": "m-1", "Recipient": LI, "Email": LI}
    return posted(plain | more, name="postmark")


def ses(event: str, details: dict[str, Any], *to: str) -> Request:
    place = "failure" if event == "Rendering Failure" else event.lower()
    message = {"eventType": event, "mail": {"messageId": "m-1", "destination": list(to or [LI])}, place: details}
    return sns(Message=json.dumps(message))


def sns(**more: Any) -> Request:
    plain = {"Type": "Notification", "MessageId": "n-1", "Timestamp": "2026-11-19T23:13:20.000Z", "Message": "{}"}
    return posted(plain | more, name="ses", media_type="text/plain")


def brevo(event: str, **more: Any) -> Request:
    return posted({"event": event, "email": LI, "ts_epoch": AT * 1000, "message-id": "<m-1>"} | more, name="brevo")


def mailjet(event: str, **more: Any) -> Request:
    return posted([{"event": event, "time": AT, "email": LI, "MessageID": 19421777835146490} | more], name="mailjet")


def resend(event: str, **more: Any) -> Request:
    data = {"email_id": "m-1", "to": [LI]} | more
    body = {"type": f"email.{event}", "created_at": "2026-11-19T23:13:20Z", "data": data}
    return posted(body, name="resend", headers={"svix-id": "msg_1"})


def mailersend(event: str, **morph: Any) -> Request:
    data = {"id": "e-1", "created_at": "2026-11-19T23:13:20Z", "email": {"recipient": {"email": LI}}, "morph": morph}
    return posted({"type": f"activity.{event}", "data": data}, name="mailersend")


def sparkpost(event: str, query: str = "", **more: Any) -> Request:
    plain = {"type": event, "rcpt_to": LI, "event_id": "e-1", "timestamp": str(AT)}
    return posted([{"msys": {"message_event": plain | more}}], name="sparkpost", query=query)


def mailtrap(event: str, **more: Any) -> Request:
    return posted(
        {"events": [{"event": event, "email": LI, "timestamp": AT, "event_id": "e-1"} | more]}, name="mailtrap"
    )


def unisender_go(status: str, **more: Any) -> Request:
    data = {"status": status, "email": LI, "event_time": "2026-11-19 23:13:20", "job_id": "m-1"} | more
    events = [{"event_name": "transactional_email_status", "event_data": data}]
    return posted({"auth": "", "events_by_user": [{"user_id": 1, "events": events}]}, name="unisender_go")


def postal(event: str, **payload: Any) -> Request:
    message = {"message_id": "m-1", "direction": "outgoing", "to": f"Li <{LI}>"}
    body = {"event": event, "timestamp": AT, "uuid": "e-1", "payload": {"message": message} | payload}
    return posted(body, name="postal")


def mandrill(event: str, **more: Any) -> Request:
    plain = {"event": event, "ts": AT, "_id": "m-1", "msg": {"email": LI, "from_email": "wang@example.com"}}
    return form({"mandrill_events": json.dumps([plain | more])}, name="mandrill")


TOLD = [
    ("sendgrid", sendgrid("delivered", response="250 OK"), "delivered", {"reason": "250 OK", "message_id": "m-1"}),
    ("sendgrid", sendgrid("open", sg_machine_open=True), "opened", {"machine": True}),
    (
        "sendgrid",
        sendgrid("open", sg_machine_open=False, useragent="UA"),
        "opened",
        {"machine": False, "user_agent": "UA"},
    ),
    ("sendgrid", sendgrid("click", url="https://a.example"), "clicked", {"url": "https://a.example"}),
    ("sendgrid", sendgrid("bounce", type="bounce", reason="no such user"), "bounced", {"hard": True}),
    ("sendgrid", sendgrid("bounce", type="blocked"), "bounced", {"hard": False}),
    ("sendgrid", sendgrid("dropped", reason="Bounced Address"), "rejected", {"reason": "Bounced Address"}),
    ("sendgrid", sendgrid("spamreport"), "complained", {}),
    ("sendgrid", sendgrid("group_unsubscribe", asm_group_id=1), "unsubscribed", {}),
    ("sendgrid", sendgrid("group_resubscribe"), "subscribed", {}),
    ("sendgrid", sendgrid("open", category="a", order="7"), "opened", {"tags": ["a"], "metadata": {"order": "7"}}),
    ("mailgun", mailgun("opened", **{"client-info": {"bot": "apple"}}), "opened", {"machine": True}),
    ("mailgun", mailgun("failed", severity="permanent"), "bounced", {"hard": True}),
    ("mailgun", mailgun("rejected", reject={"reason": "sandbox"}), "rejected", {"reason": "sandbox"}),
    ("mailgun", mailgun("clicked", url="u", tags=["a"]), "clicked", {"url": "u", "tags": ["a"]}),
    ("postmark", postmark("Delivery", DeliveredAt="2026-11-19T23:13:20Z"), "delivered", {"message_id": "m-1"}),
    ("postmark", postmark("Bounce", Type="HardBounce", ID=7), "bounced", {"hard": True}),
    ("postmark", postmark("Bounce", Type="SoftBounce", ID=7), "bounced", {"hard": False}),
    ("postmark", postmark("Bounce", Type="AutoResponder"), "autoresponded", {}),
    ("postmark", postmark("SubscriptionChange", SuppressSending=True), "unsubscribed", {}),
    ("postmark", postmark("SubscriptionChange", SuppressSending=False), "subscribed", {}),
    ("postmark", postmark("Click", OriginalLink="u", Tag="a"), "clicked", {"url": "u", "tags": ["a"]}),
    (
        "postmark",
        postmark("Inbound", From=f"Li <{LI}>", FromFull={"Email": LI}, Subject="Re"),
        "replied",
        {"subject": "Re"},
    ),
    ("ses", ses("Send", {}), "sent", {"message_id": "m-1"}),
    ("ses", ses("Click", {"link": "u"}), "clicked", {"url": "u"}),
    ("ses", ses("Reject", {"reason": "Bad content"}), "rejected", {"reason": "Bad content"}),
    ("ses", ses("Rendering Failure", {"errorMessage": "no name"}), "failed", {"reason": "no name"}),
    ("ses", ses("Subscription", {"newTopicPreferences": {"unsubscribeAll": True}}), "unsubscribed", {}),
    ("brevo", brevo("hard_bounce", reason=" no such user "), "bounced", {"hard": True, "reason": "no such user"}),
    ("brevo", brevo("soft_bounce"), "bounced", {"hard": False}),
    ("brevo", brevo("unique_proxy_open"), "opened", {"machine": True}),
    ("brevo", brevo("click", link="u", tag='["a", "b"]'), "clicked", {"url": "u", "tags": ["a", "b"]}),
    ("brevo", brevo("unsubscribe", **{"X-Mailin-custom": '{"order": 7}'}), "unsubscribed", {"metadata": {"order": 7}}),
    ("mailjet", mailjet("sent", customcampaign="spring"), "delivered", {"campaign": "spring"}),
    ("mailjet", mailjet("bounce", hard_bounce=True, error="user unknown"), "bounced", {"hard": True}),
    ("mailjet", mailjet("unsub", Payload='{"order": 7}'), "unsubscribed", {"metadata": {"order": 7}}),
    ("mailjet", mailjet("open", Payload="order 7"), "opened", {"metadata": "order 7"}),
    ("resend", resend("sent", tags=[{"name": "a", "value": "b"}]), "sent", {"metadata": {"a": "b"}}),
    (
        "resend",
        resend("bounced", bounce={"type": "Permanent", "message": "gone"}),
        "bounced",
        {"hard": True, "reason": "gone"},
    ),
    ("resend", resend("clicked", click={"link": "u", "userAgent": "UA"}), "clicked", {"url": "u", "user_agent": "UA"}),
    ("resend", resend("received", **{"from": f"Li <{LI}>"}, subject="Re"), "replied", {"subject": "Re"}),
    ("mailersend", mailersend("soft_bounced", reason="full"), "bounced", {"hard": False, "reason": "full"}),
    ("mailersend", mailersend("clicked", url="u"), "clicked", {"url": "u"}),
    ("sparkpost", sparkpost("bounce", bounce_class="10"), "bounced", {"hard": True}),
    ("sparkpost", sparkpost("out_of_band", bounce_class="20"), "bounced", {"hard": False}),
    ("sparkpost", sparkpost("bounce", bounce_class="90"), "unsubscribed", {}),
    ("sparkpost", sparkpost("open", user_agent_parsed={"is_prefetched": True}), "opened", {"machine": True}),
    ("sparkpost", sparkpost("initial_open", "initial_open=opened"), "opened", {}),
    ("sparkpost", sparkpost("amp_click", target_link_url="u"), "clicked", {"url": "u"}),
    ("mailtrap", mailtrap("bounce", category="a", response="550"), "bounced", {"hard": True, "tags": ["a"]}),
    (
        "unisender_go",
        unisender_go("hard_bounced", delivery_info={"delivery_status": "err"}),
        "bounced",
        {"reason": "err"},
    ),
    ("unisender_go", unisender_go("subscribed"), "subscribed", {}),
    ("postal", postal("MessageSent", status="Sent", output="250 OK\n"), "delivered", {"reason": "250 OK"}),
    ("postal", postal("MessageBounced", bounce={"id": 2}), "bounced", {}),
    ("postal", postal("MessageLoaded", user_agent="UA"), "opened", {"user_agent": "UA"}),
    ("mandrill", mandrill("soft_bounce"), "bounced", {"hard": False}),
    ("mandrill", mandrill("unsub"), "unsubscribed", {}),
]


@pytest.mark.parametrize(("name", "request_", "type_", "properties"), TOLD, ids=[f"{one[0]}-{one[2]}" for one in TOLD])
def test_an_event_is_an_interaction(name: str, request_: Request, type_: str, properties: dict[str, Any]) -> None:
    (made,) = interactions(name, request_)
    assert (made.channel, made.type, made.identifiers) == ("email", type_, {"email": LI})
    assert made.properties.items() >= properties.items()
    if name != "postmark":
        assert made.time.replace(microsecond=0) == datetime(2026, 11, 19, 23, 13, 20, tzinfo=UTC)


def test_an_answer_is_the_customers_who_wrote_it() -> None:
    (made,) = interactions("mandrill", mandrill("inbound"))
    assert (made.type, made.identifiers) == ("replied", {"email": "wang@example.com"})


NO_INTERACTIONS = [
    ("sendgrid", sendgrid("processed"), "queued"),
    ("sendgrid", sendgrid("deferred"), "deferred"),
    ("mailgun", mailgun("accepted"), "queued"),
    ("mailgun", mailgun("failed", severity="temporary"), "deferred"),
    ("postmark", postmark("Bounce", Type="Transient"), "deferred"),
    ("ses", ses("DeliveryDelay", {}), "deferred"),
    ("ses", sns(Type="SubscriptionConfirmation"), "subscription"),
    ("ses", sns(Message="Successfully validated SNS topic for Amazon SES event publishing."), "empty"),
    ("ses", ses("Open", {}, LI, "wang@example.com"), "recipient_not_said"),
    ("brevo", brevo("request"), "queued"),
    ("mailjet", mailjet("bounce", error="greylisted"), "deferred"),
    ("resend", resend("delivery_delayed"), "deferred"),
    ("resend", resend("opened", to=[LI, "wang@example.com"]), "recipient_not_said"),
    ("mailersend", mailersend("deferred"), "deferred"),
    ("sparkpost", sparkpost("injection"), "queued"),
    ("sparkpost", sparkpost("initial_open"), "initial_open"),
    ("sparkpost", posted([{"msys": {}}], name="sparkpost"), "empty"),
    ("mailtrap", mailtrap("soft bounce"), "deferred"),
    ("unisender_go", unisender_go("soft_bounced"), "deferred"),
    ("postal", postal("MessageHeld", status="Held"), "queued"),
    (
        "postal",
        posted({"event": "DomainDNSError", "payload": {"domain": "a.example"}}, name="postal"),
        "of_no_customer",
    ),
    ("mandrill", mandrill("deferral"), "deferred"),
]


@pytest.mark.parametrize(
    ("name", "request_", "reason"), NO_INTERACTIONS, ids=[f"{n}-{r}" for n, _, r in NO_INTERACTIONS]
)
def test_what_nobody_did_is_counted_and_not_kept(name: str, request_: Request, reason: str) -> None:
    assert items(name, request_) == [Ignored(reason)]


BUILDERS: dict[str, Callable[..., Request]] = {
    "sendgrid": sendgrid,
    "mailgun": mailgun,
    "postmark": postmark,
    "brevo": brevo,
    "mailjet": mailjet,
    "resend": resend,
    "mailersend": mailersend,
    "sparkpost": sparkpost,
    "mailtrap": mailtrap,
    "unisender_go": unisender_go,
    "postal": postal,
    "mandrill": mandrill,
}
UNKNOWN = [(name, build("teleported")) for name, build in BUILDERS.items()]


@pytest.mark.parametrize(("name", "request_"), [*UNKNOWN, ("ses", ses("Teleport", {}))])
def test_an_event_that_is_not_known_is_named_so_that_it_is_kept(name: str, request_: Request) -> None:
    (refused,) = items(name, request_)
    assert isinstance(refused, InvalidInteraction)
    assert refused.code == "unknown_event"
    assert refused.field


@pytest.mark.parametrize("name", FORMATS)
def test_the_documented_example_is_read_and_a_repeat_of_it_has_the_same_id(name: str) -> None:
    media_type = FORM if name == "mandrill" else "application/json"
    first, again = (interactions(name, posted(example(name), name=name, media_type=media_type)) for _ in range(2))
    assert len(first) == 1
    assert [one.id for one in first] == [one.id for one in again]
    assert "li@" not in first[0].id


def test_a_bad_event_costs_its_neighbours_nothing_and_is_named_in_the_providers_words() -> None:
    good = {"event": "open", "timestamp": AT}
    read = items(
        "sendgrid", posted([good | {"email": LI}, good, good | {"email": "li@nowhere"}, 7, good | {"email": LI}])
    )
    wrong = [(one.code, one.field) for one in read if isinstance(one, InvalidInteraction)]
    assert wrong == [("missing_identifier", "email"), ("invalid_identifier", "email"), ("unknown_event", "event")]
    assert len(read) == 5


@pytest.mark.parametrize("ahead", [timedelta(minutes=1), timedelta(days=30_000)])
def test_what_a_clock_ahead_tells_happened_when_it_arrived(ahead: timedelta) -> None:
    (made,) = interactions("sendgrid", sendgrid("open", timestamp=(NOW + ahead).timestamp()))
    assert made.time == NOW


def test_an_event_without_id_is_known_by_what_it_says() -> None:
    first, again, other = (
        interactions("brevo", brevo("opened", **more))[0].id for more in ({}, {}, {"ts_epoch": AT * 1000 + 1000})
    )
    assert first == again != other


def test_an_id_that_is_too_long_is_shortened_and_stays_the_same() -> None:
    first, again = (interactions("sendgrid", sendgrid("open", sg_event_id="e" * 300))[0].id for _ in range(2))
    assert first == again
    assert len(first) <= 256


def test_mailguns_ids_are_unique_within_a_day_alone() -> None:
    today, tomorrow = (interactions("mailgun", mailgun("opened", timestamp=AT + day))[0].id for day in (0, 86_400))
    assert today != tomorrow


def test_who_bounced_and_who_was_sent_to_are_all_told_of() -> None:
    both = [{"emailAddress": LI, "diagnosticCode": "550"}, {"emailAddress": "wang@example.com"}]
    bounce = ses(
        "Bounce", {"bounceType": "Permanent", "bouncedRecipients": both}, LI, "wang@example.com", "qi@example.com"
    )
    sent = ses("Send", {}, LI, "wang@example.com")
    for request, type_ in ((bounce, "bounced"), (sent, "sent")):
        made = interactions("ses", request)
        assert [one.type for one in made] == [type_, type_]
        assert [one.identifiers["email"] for one in made] == [LI, "wang@example.com"]
        assert len({one.id for one in made}) == 2
    made = interactions("resend", resend("sent", to=[f"Li <{LI}>", "wang@example.com"]))
    assert len({one.id for one in made}) == 2


def test_mailguns_older_form_is_read_too() -> None:
    fields = {"event": "clicked", "recipient": LI, "timestamp": str(AT), "token": "t-1", "url": "u", "tag": ["a", "b"]}
    (made,) = interactions("mailgun", form(fields, name="mailgun"))
    assert (made.id, made.type, made.properties) == ("t-1", "clicked", {"url": "u", "tags": ["a", "b"]})


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("body", [b"", b"{", b"7", b"\xff\xfe"])
def test_a_body_that_is_none_of_the_providers_is_refused_as_a_whole(name: str, body: bytes) -> None:
    with pytest.raises(InvalidBody):
        list(FORMATS[name].read(posted(body, name=name), terms()))
