"""The commands `tierwise webhook ...`."""

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

import msgspec
import typer
from sqlalchemy import Row

from tierwise.db.engine import open_engine
from tierwise.db.migrate import check
from tierwise.security.commands import AsJson, in_transaction, settings_of_environment, told_as_wrong_use
from tierwise.table import show, show_json
from tierwise.webhooks.document import BULK_CAUSES, CAUSES, InvalidSubscription, read_subscription
from tierwise.webhooks.log import add_replay, add_test, delivery_document, find_delivery, list_deliveries
from tierwise.webhooks.registry import create_subscription, list_subscriptions, subscription_document

Subscription = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]
_TEST_WITHIN_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.2

_run = partial(in_transaction, wrong_use=InvalidSubscription)


def register(app: typer.Typer) -> None:
    webhook = typer.Typer(help="Subscriptions to changes, sent by HTTP, and what became of them.", no_args_is_help=True)
    app.add_typer(webhook, name="webhook")
    webhook.command("create")(create)
    webhook.command("list")(list_all)
    webhook.command("test")(send_test)
    webhook.command("deliveries")(deliveries)
    webhook.command("replay")(replay)


def create(
    url: Annotated[str, typer.Argument(metavar="URL")],
    aspect: Annotated[
        list[str] | None, typer.Option(help="Only these: tier, intent, lifecycle, merge, tag, tag:FAMILY.NAME.")
    ] = None,
    old: Annotated[list[str] | None, typer.Option("--from", help="Only from these values.")] = None,
    new: Annotated[list[str] | None, typer.Option("--to", help="Only to these values.")] = None,
    cause: Annotated[
        list[str] | None,
        typer.Option(help=f"Only by these causes, of {', '.join(CAUSES)}. None: all but the last {len(BULK_CAUSES)}."),
    ] = None,
    segment: Annotated[list[str] | None, typer.Option(help="Only of who is in one of these segments.")] = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    request: Annotated[
        typer.FileText | None,
        typer.Option(help="JSON: method, headers and body of requests in that system's own form; - is standard input."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send changes to an address from now on. Its secret is printed this once."""
    filters = {"aspects": aspect, "from": old, "to": new, "causes": cause, "segments": segment}
    filters = {name: values or [] for name, values in filters.items()}
    document = {"url": url, "description": description, "filters": filters}
    with told_as_wrong_use(InvalidSubscription):
        described = read_subscription(document | ({} if request is None else {"request": _json_of(request)}))
    made, secret = _run(lambda connection, vault: create_subscription(connection, vault, described))
    if as_json:
        show_json({"subscription": subscription_document(made), "secret": secret})
        return
    typer.echo(f"Subscription {made.id}. Keep its secret, it is shown only now:", err=True)
    typer.echo(secret)


def list_all(as_json: AsJson = False) -> None:
    """Show all subscriptions, never their secrets."""
    found = [subscription_document(one) for one in _run(list_subscriptions)]
    show(found if as_json else [_brief(one) for one in found], as_json=as_json)


def send_test(subscription_id: Subscription, as_json: AsJson = False) -> None:
    """Send an event that says nothing, and tell what became of it. A scoring service has to run."""
    sent = asyncio.run(_test(subscription_id))
    attempts = sent["attempts"]
    if as_json:
        show_json(sent)
    elif not attempts:
        typer.echo(f"It was not sent within {_TEST_WITHIN_S:g} s: does `tierwise scoring` run?", err=True)
    else:
        last = attempts[-1]
        typer.echo(f"{sent['state']}: {last['status'] or last['error']} after {last['ms']} ms. {last['answer'] or ''}")
    if sent["state"] != "delivered":
        raise typer.Exit(1)


def deliveries(
    subscription_id: Subscription,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what was sent, with every attempt."""
    rows = _run(lambda connection, _: list_deliveries(connection, subscription_id, limit=limit))
    found = [delivery_document(row) for row in rows]
    show(found if as_json else [_brief_delivery(one) for one in found], as_json=as_json)


def replay(
    subscription_id: Subscription,
    since: Annotated[str, typer.Option("--from", help="RFC 3339 with a zone, as 2026-11-20T00:00:00Z.")],
    until: Annotated[str | None, typer.Option("--to", help="Before this time. None given: now.")] = None,
) -> None:
    """Send again what was recorded in a time range and passes the filters, with the ids that it had."""
    start = _moment("--from", since)
    end = datetime.now(UTC) if until is None else _moment("--to", until)
    count = _run(lambda connection, _: add_replay(connection, subscription_id, start, end))
    typer.echo(f"{count:,} changes are looked at; those that pass the filters are sent again.")


async def _test(subscription_id: str) -> dict[str, Any]:
    settings = settings_of_environment()
    async with open_engine(settings, pool_size=1) as engine:
        await check(engine)
        async with engine.begin() as connection:
            row: Row[Any] | None = await add_test(connection, subscription_id)
        ends_at = time.monotonic() + _TEST_WITHIN_S
        while row is not None and row.state == "pending" and time.monotonic() < ends_at:
            await asyncio.sleep(_LOOK_EVERY_S)
            async with engine.begin() as connection:
                row = await find_delivery(connection, row.id)
        if row is None:
            raise typer.BadParameter("the subscription was deleted meanwhile")
        return delivery_document(row)


def _json_of(file: typer.FileText) -> Any:
    try:
        return msgspec.json.decode(file.read())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidSubscription("request", f"the file holds no JSON: {error}") from error


def _moment(option: str, given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter("a time is RFC 3339 with a zone: 2026-11-20T09:30:00+08:00", param_hint=option)
    return moment


def _brief(document: dict[str, Any]) -> dict[str, Any]:
    disabled = document["disabled"]
    return {
        "id": document["id"],
        "url": document["url"],
        "filters": [f"{name}: {', '.join(values)}" for name, values in document["filters"].items() if values],
        "enabled": f"no, {disabled['reason']} {disabled['at']}" if disabled else "yes" if document["enabled"] else "no",
        "pending": document["pending"],
        "description": document["description"],
    }


def _brief_delivery(document: dict[str, Any]) -> dict[str, Any]:
    last = document["attempts"][-1] if document["attempts"] else {"status": None, "ms": None, "error": None}
    return {
        "id": document["id"],
        "event": document["event_id"],
        "kind": document["kind"],
        "state": document["state"],
        "attempts": len(document["attempts"]),
        "status": last["status"],
        "ms": last["ms"],
        "error": last["error"],
        "due": document["due"],
    }
