"""The commands `tierwise key ...`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.engine import open_engine
from tierwise.db.migrate import check
from tierwise.domain.source import BACKEND, BROWSER
from tierwise.problem import Problem
from tierwise.security.keys import (
    DEFAULT_SCOPES,
    SCOPES,
    Created,
    Key,
    create_read_key,
    create_write_key,
    list_keys,
    revoke_key,
)
from tierwise.security.personal import Vault, open_vault, rewrap
from tierwise.security.source_document import InvalidSource, check_name
from tierwise.settings import Settings
from tierwise.table import show, show_json
from tierwise.telemetry import configure_logging

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeyId = Annotated[str, typer.Argument(metavar="ID")]
SourceName = Annotated[str | None, typer.Option("--source", help="A write key, for the source of this name.")]
ReaderName = Annotated[str | None, typer.Option("--reader", help="A read key, for the reader of this name.")]
Browser = Annotated[bool, typer.Option("--browser", help="The source's key stands in a web page: trust it little.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help=f"Of {', '.join(SCOPES)}. None given: {', '.join(DEFAULT_SCOPES)}."),
]
Rate = Annotated[float | None, typer.Option("--rate", min=0.1, help="Requests a second that a read key may make.")]


def register(app: typer.Typer) -> None:
    key = typer.Typer(help="Write keys of sources and read keys of readers.", no_args_is_help=True)
    app.add_typer(key, name="key")

    @key.command("create")
    def create(
        source: SourceName = None,
        reader: ReaderName = None,
        scope: Scopes = None,
        rate: Rate = None,
        browser: Browser = False,
        as_json: AsJson = False,
    ) -> None:
        """Make a key. Its secret is printed this once."""
        if (not (source or "").strip() and not (reader or "").strip()) or (source is not None) == (reader is not None):
            raise typer.BadParameter("give a name with either --source or --reader")
        if (browser and source is None) or ((scope or rate is not None) and reader is None):
            raise typer.BadParameter("--browser goes with --source, --scope and --rate with --reader")
        if unknown := set(scope or ()) - set(SCOPES):
            raise typer.BadParameter(f"no scope is called {', '.join(sorted(unknown))}: {', '.join(SCOPES)}")
        if source is not None:
            with told_as_wrong_use(InvalidSource):
                check_name(source)
        created = asyncio.run(
            _create(settings_of_environment(), source, reader, scope or DEFAULT_SCOPES, browser=browser, rate=rate)
        )
        show_created(created, as_json=as_json)

    @key.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """Show all keys, never their secrets."""
        show([_row(found) for found in asyncio.run(_list(settings_of_environment()))], as_json=as_json)

    @key.command("revoke")
    def revoke(key_id: KeyId) -> None:
        """Refuse a key from now on (services follow within 10 seconds)."""
        asyncio.run(_revoke(settings_of_environment(), key_id))
        typer.echo(f"Key {key_id} is revoked.")

    @key.command("rewrap")
    def rewrap_all() -> None:
        """Wrap the data keys with the newest of TIERWISE_SECRET_KEY, so that the older ones can go."""
        count = asyncio.run(_rewrap(settings_of_environment()))
        typer.echo(f"{count} data keys are wrapped with the newest secret key; the older ones can go.")


def show_created(created: Created, *, as_json: bool) -> None:
    """The secret alone goes to stdout, for those that keep it in a variable."""
    if as_json:
        show_json(created._asdict())
    else:
        typer.echo(f"Key {created.id} of {created.name}. Keep its secret, it is shown only now:", err=True)
        typer.echo(created.secret)


def settings_of_environment() -> Settings:
    settings = Settings()
    configure_logging(settings)
    return settings


def _row(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "kind": key.kind,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": key.created_at.isoformat(timespec="seconds"),
        "revoked_at": key.revoked_at.isoformat(timespec="seconds") if key.revoked_at else None,
    }


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[tuple[AsyncConnection, Vault]]:
    """One transaction on a migrated database."""
    async with open_engine(settings, pool_size=2) as engine:
        await check(engine)
        async with engine.begin() as connection:
            yield connection, await open_vault(connection, settings)


def in_transaction(work: Callable[[AsyncConnection, Vault], Awaitable[T]], *, wrong_use: type[Problem]) -> T:
    """A command's work on the database; what it raises of `wrong_use` is the command line's fault."""

    async def run() -> T:
        async with opened_database(settings_of_environment()) as (connection, vault):
            return await work(connection, vault)

    with told_as_wrong_use(wrong_use):
        return asyncio.run(run())


@contextmanager
def told_as_wrong_use(problem: type[Problem]) -> Iterator[None]:
    try:
        yield
    except problem as error:
        raise typer.BadParameter(error.detail) from error


async def _create(
    settings: Settings,
    source: str | None,
    reader: str | None,
    scopes: list[str] | tuple[str, ...],
    *,
    browser: bool,
    rate: float | None,
) -> Created:
    async with opened_database(settings) as (connection, vault):
        if source is not None:
            trust = BROWSER if browser else BACKEND
            return await create_write_key(connection, vault, source=source, trust=trust)
        assert reader is not None  # noqa: S101  (checked where the options are)
        return await create_read_key(connection, vault, name=reader, scopes=scopes, rate_per_s=rate)


async def _list(settings: Settings) -> list[Key]:
    async with opened_database(settings) as (connection, _):
        return await list_keys(connection)


async def _revoke(settings: Settings, key_id: str) -> None:
    async with opened_database(settings) as (connection, _):
        await revoke_key(connection, key_id)


async def _rewrap(settings: Settings) -> int:
    async with opened_database(settings) as (connection, _):
        return await rewrap(connection, settings)
