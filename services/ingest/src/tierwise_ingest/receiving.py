"""The path of every request: authenticate, read it in its format, accept what it holds, answer as is expected."""

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from tierwise.asgi import App, Receive, Response, Scope, Send, problem_response
from tierwise.domain.claim import Terms
from tierwise.domain.source import Source
from tierwise.problem import Forbidden, Problem, Unauthorized
from tierwise.settings import Settings
from tierwise_ingest.accept import Keep
from tierwise_ingest.backend import Backend, Opened
from tierwise_ingest.body import ClientGone, InvalidBody, read_body
from tierwise_ingest.formats.format import Format, Item, Signature, WriteKey
from tierwise_ingest.origins import cors_headers, preflight
from tierwise_ingest.outcome import Outcome, Rejection
from tierwise_ingest.proxies import sent_to
from tierwise_ingest.request import Request
from tierwise_ingest.unmapped import record_of


class FormatNotAllowed(Forbidden):
    code, title = "format_not_allowed", "This source does not send in this format"


def receiving(format_: Format, settings: Settings, backend: Backend) -> App:
    """The routes of a format as plain ASGI: as the framework's they cost 28 us more, of 170 that a request takes."""
    terms_for = _terms(settings)
    bytes_max = format_.body_bytes_max or settings.ingest_body_bytes_max

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        opened = backend.opened()
        try:
            source, request = await _authenticated(format_, scope, receive, opened, bytes_max, settings)
        except ClientGone:
            return
        except Problem as problem:
            _explain(problem, format_)
            raise
        shared = cors_headers(source, request.header("origin"), host=request.header("host"))
        try:
            response = await _received(format_, request, terms_for(source, request, opened), opened)
        except Problem as problem:
            _explain(problem, format_)
            response = problem_response(problem)
        for name, value in shared.items():
            response.headers.append((name.lower().encode(), value.encode()))
        await response(scope, receive, send)

    return app


def _explain(problem: Problem, format_: Format) -> None:
    if format_.reason_member is not None:
        problem.extra.setdefault(format_.reason_member, problem.detail)


def asked_first(backend: Backend, methods: Collection[str]) -> App:
    """The answer to a browser that asks what a page of another origin may send."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answer = preflight(scope, await backend.opened().sources.origins(), methods)
        await answer(scope, receive, send)

    return app


async def _received(format_: Format, request: Request, terms: Terms, opened: Opened) -> Response:
    source = terms.source

    async def accept(items: Iterable[Item], *, keep: Keep | None = None) -> Outcome:
        return await opened.acceptor.accept(opened.judge.judged(items, source), source, keep=keep)

    def keep(rejections: Sequence[Rejection]) -> bytes:
        return record_of(request, format_.name, source, terms.received, rejections)

    if not format_.keeps_unmapped:
        return format_.answer(request, await accept(format_.read(request, terms)))
    try:
        outcome = await accept(format_.read(request, terms), keep=keep)
    except InvalidBody as error:
        outcome = await accept([error.as_rejection()], keep=keep)
    return format_.answer(request, outcome)


async def _authenticated(
    format_: Format, scope: Scope, receive: Receive, opened: Opened, bytes_max: int, settings: Settings
) -> tuple[Source, Request]:
    """The key in the head is looked at before the body is received. Raises Unauthorized, FormatNotAllowed."""
    request = Request(
        method=scope["method"],
        url=sent_to(scope, settings.ingest_trusted_proxies),
        parameters=scope["path_params"],
        query_string=scope["query_string"],
        headers=scope["headers"],
        body=b"",
    )
    credentials = format_.credentials
    source = None
    if isinstance(credentials, WriteKey) and not credentials.in_body:
        source = await _keyed(credentials, request, opened)
    request.body = await read_body(scope, receive, bytes_max=bytes_max)
    if isinstance(credentials, Signature):
        source, secrets = await opened.sources.named(request.parameters["source"])
        await credentials.verify(request, source, secrets, opened.checking)
    elif source is None:
        source = await _keyed(credentials, request, opened)
    if source.intake.formats is not None and format_.name not in source.intake.formats:
        raise FormatNotAllowed(f"{source.name} may send: {', '.join(sorted(source.intake.formats)) or 'nothing'}.")
    return source, request


async def _keyed(credentials: WriteKey, request: Request, opened: Opened) -> Source:
    source = await opened.keys.authenticate_write(credentials.find(request))
    if request.parameters.get("source", source.name) != source.name:
        raise Unauthorized("This key is of another source than the one that the path names.")
    return source


def _terms(settings: Settings) -> Callable[[Source, Request, Opened], Terms]:
    days = settings.deduplication_horizon_days
    horizon = None if days is None else timedelta(days=days)

    def terms(source: Source, request: Request, opened: Opened) -> Terms:
        return Terms(
            source=source,
            received=datetime.now(UTC),
            new_id=_random_id,
            horizon=horizon,
            depth_max=settings.ingest_depth_max,
            item_bytes_max=settings.ingest_item_bytes_max,
            items_max=settings.ingest_items_max,
            content_key=opened.content_key,
            consented=not request.asks_not_to_be_tracked,
        )

    return terms


def _random_id() -> str:
    return f"arrival-{uuid.uuid4().hex}"
