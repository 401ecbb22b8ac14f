"""Amazon SNS: whose certificate is believed, which topics may send, and which subscriptions are confirmed."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.support.mail import FORMATS, NOW, posted, source
from tests.support.mail_signers import CERTIFICATE_URL, TOPIC, Aws, CheckingAt, example, rsa_key, ses
from tierwise.problem import Unavailable
from tierwise.security.sources import Unverified
from tierwise_ingest.checking import OnlineChecking
from tierwise_ingest.formats.format import Signature

SUBSCRIBE = (
    "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
    "&TopicArn=arn:aws:sns:eu-west-1:123456789012:ses-events&Token=2336412f37"
)
NOTIFICATION = {
    "Type": "Notification",
    "MessageId": "m-1",
    "TopicArn": TOPIC,
    "Subject": "Amazon SES Email Event Notification",
    "Message": "{}",
    "Timestamp": "2026-11-20T02:00:00.000Z",
}
CONFIRMATION = NOTIFICATION | {"Type": "SubscriptionConfirmation", "Token": "2336412f37", "SubscribeURL": SUBSCRIBE}
del CONFIRMATION["Subject"]


@pytest.fixture
def aws() -> Aws:
    return Aws()


async def verify(message: dict[str, Any] | bytes, aws: Aws, *topics: str, **when: Any) -> None:
    credentials = FORMATS["ses"].credentials
    assert isinstance(credentials, Signature)
    named = source(topics=frozenset(topics or [TOPIC]))
    await credentials.verify(posted(message, name="ses"), named, [], CheckingAt(NOW + timedelta(**when), aws))


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("message", [NOTIFICATION, {**NOTIFICATION, "Message": "行\n'\""}, CONFIRMATION])
async def test_either_version_of_the_signature_is_believed(aws: Aws, version: str, message: dict[str, Any]) -> None:
    await verify(aws.sign(message, version=version), aws)
    assert aws.visited[0] == CERTIFICATE_URL


async def test_a_message_without_a_subject_is_believed(aws: Aws) -> None:
    await verify(aws.sign({name: value for name, value in NOTIFICATION.items() if name != "Subject"}), aws)
    await verify(ses(aws).sign(example("ses"), NOW).body, aws)


@pytest.mark.parametrize("field", ["Message", "MessageId", "Subject", "Timestamp", "TopicArn"])
async def test_what_was_changed_is_refused(aws: Aws, field: str) -> None:
    changed = aws.sign(NOTIFICATION) | {field: NOTIFICATION[field].replace("0", "1") + " "}
    with pytest.raises(Unverified):
        await verify(changed, aws, TOPIC, changed["TopicArn"])


@pytest.mark.parametrize(
    "change",
    [{"SignatureVersion": "3"}, {"Signature": "AAAA"}, {"Signature": "~"}, {"Signature": None}, {"Type": "Else"}],
)
async def test_what_is_not_signed_is_refused(aws: Aws, change: dict[str, Any]) -> None:
    with pytest.raises(Unverified):
        await verify(aws.sign(NOTIFICATION) | change, aws)


async def test_another_key_is_refused(aws: Aws) -> None:
    with pytest.raises(Unverified):
        await verify(Aws(rsa_key(1)).sign(NOTIFICATION), aws)


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/a.pem",
        "https://evil.example#sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
        "https://sns.eu-west-1.amazonaws.com\\.evil.example/a.pem",
        "https://SNS.eu-west-1.amazonaws.com.cn.evil/a.pem",
        "https://bucket.s3.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com/?Action=Publish",
        "https://[::1/a.pem",
        "file:///etc/passwd",
        "",
    ],
)
async def test_no_other_address_is_visited_for_a_certificate(aws: Aws, url: str) -> None:
    with pytest.raises(Unverified):
        await verify(aws.sign(NOTIFICATION) | {"SigningCertURL": url}, aws)
    assert aws.visited == []


async def test_a_topic_of_china_has_its_certificate_there(aws: Aws) -> None:
    topic = "arn:aws-cn:sns:cn-north-1:123456789012:ses-events"
    signed = aws.sign(NOTIFICATION | {"TopicArn": topic})
    url = "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-9.pem"
    await verify(signed | {"SigningCertURL": url}, aws, topic)


async def test_a_topic_that_the_source_does_not_name_is_refused_before_anything_is_visited(aws: Aws) -> None:
    with pytest.raises(Unverified):
        await verify(aws.sign(CONFIRMATION), aws, "arn:aws:sns:eu-west-1:123456789012:other")
    assert aws.visited == []


@pytest.mark.parametrize("when", [{"minutes": 71}, {"minutes": -71}])
async def test_what_is_older_than_sns_tries_is_refused(aws: Aws, when: dict[str, int]) -> None:
    with pytest.raises(Unverified):
        await verify(aws.sign(NOTIFICATION), aws, **when)


@pytest.mark.parametrize("days", [1, -400])
async def test_a_certificate_is_good_in_its_time_alone(aws: Aws, days: int) -> None:
    aws.since = NOW + timedelta(days=days)
    with pytest.raises(Unverified):
        await verify(aws.sign(NOTIFICATION), aws)


async def test_a_subscription_to_a_named_topic_is_confirmed_once_it_is_verified(aws: Aws) -> None:
    await verify(aws.sign(CONFIRMATION), aws)
    assert aws.visited == [CERTIFICATE_URL, SUBSCRIBE]
    await verify(aws.sign(CONFIRMATION | {"Type": "UnsubscribeConfirmation"}), aws)
    await verify(aws.sign(NOTIFICATION), aws)
    assert aws.visited.count(SUBSCRIBE) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/?Action=ConfirmSubscription&TopicArn=" + TOPIC,
        "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" + TOPIC,
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:eu-west-1:1:other",
        "https://sns.eu-west-1.amazonaws.com/?Action=DeleteTopic&TopicArn=" + TOPIC,
        "https://sns.eu-west-1.amazonaws.com/",
    ],
)
async def test_a_subscription_is_confirmed_at_no_other_address(aws: Aws, url: str) -> None:
    with pytest.raises(Unverified):
        await verify(aws.sign(CONFIRMATION | {"SubscribeURL": url}), aws)
    assert aws.visited == [CERTIFICATE_URL]


@pytest.mark.parametrize("answer", [302, 404, 500])
async def test_a_redirect_is_not_followed_and_a_failure_is_tried_again(aws: Aws, answer: int) -> None:
    aws.answer = answer
    with pytest.raises(Unavailable):
        await verify(aws.sign(NOTIFICATION), aws)
    assert aws.visited == [CERTIFICATE_URL]


async def test_certificates_are_remembered_and_bounded_in_size(aws: Aws) -> None:
    checking = OnlineChecking(aws.client())
    for _ in range(3):
        assert await checking.certificate(CERTIFICATE_URL) == await checking.certificate(CERTIFICATE_URL)
    assert aws.visited == [CERTIFICATE_URL]

    huge = httpx.MockTransport(lambda _: httpx.Response(200, content=b"x" * 100_000))
    with pytest.raises(Unavailable):
        await OnlineChecking(httpx.AsyncClient(transport=huge)).certificate(CERTIFICATE_URL)


async def test_what_sns_sends_raw_has_no_signature_and_is_refused(aws: Aws) -> None:
    with pytest.raises(Unverified):
        await verify(json.loads(NOTIFICATION["Message"]), aws)
    with pytest.raises(Unverified):
        await verify(b"\xff", aws)
