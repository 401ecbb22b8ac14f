"""`tierwise digest`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import uvloop

from tierwise.domain.change import rfc3339
from tierwise.settings import Settings
from tierwise.table import show, show_json
from tierwise.telemetry import configure_logging
from tierwise_scoring.digest import CustomerDigest, Digest, Digesting
from tierwise_scoring.progress import count_customers, customers_bar, opened_database


def register(app: typer.Typer) -> None:
    @app.command()
    def digest(
        at: Annotated[
            str | None,
            typer.Option(
                "--at",
                metavar="TIME",
                help="Classify everyone at this time, as 2026-11-22T12:00:00+08:00; now, when absent. Two digests are "
                "compared at the same one.",
            ),
        ] = None,
        verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print the hash of each part too.")] = False,
        write: Annotated[
            Path | None,
            typer.Option(
                "--write",
                metavar="FILE",
                dir_okay=False,
                help="Write each customer's hashes, a line each, tabs between: the whole, identifiers, interactions, "
                "ledger, attributes, classification, and the customer's id. Sort two files by all but the id, and "
                "compare them with diff.",
            ),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """One hash over all that is known of the customers: identifiers, interactions, compacted ledgers, attributes,
        and the classification at a time.

        It is the same for the same interactions in any order and any batches, on either stream, after any crash. It is
        made of one snapshot; scoring goes on meanwhile.
        """
        moment = None if at is None else _moment(at)
        settings = Settings()
        configure_logging(settings)
        with _writing(write) as told:
            found = uvloop.run(_run(settings, moment, told))
        if as_json:
            show_json(_document(found))
        else:
            _print(found, verbose=verbose)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is no time with a zone, as 2026-11-22T12:00:00+08:00", param_hint="--at")
    return moment


async def _run(settings: Settings, at: datetime | None, told: Callable[[CustomerDigest], None]) -> Digest:
    async with opened_database(settings) as (engine, vault):
        async with engine.connect() as connection:
            customers = await count_customers(connection)
        with customers_bar(customers) as progressed:
            return await Digesting(engine, vault, told, progressed).run(at)


@contextmanager
def _writing(path: Path | None) -> Iterator[Callable[[CustomerDigest], None]]:
    if path is None:
        yield lambda _: None
        return
    with path.open("w", encoding="ascii") as file:
        yield lambda one: print(*one, sep="\t", file=file)


def _document(found: Digest) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(found)
    return {**document, "at": rfc3339(found.at)}


def _print(found: Digest, *, verbose: bool) -> None:
    if not verbose:
        typer.echo(found.hash)
        return
    show([{"part": part, "hash": hash_} for part, hash_ in {**found.parts, "all": found.hash}.items()], as_json=False)
    typer.echo(
        f"{found.customers:,} customers and {found.interactions:,} interactions, classified at {rfc3339(found.at)} by "
        f"rulebook {found.rulebook}" + ("" if found.cuts is None else f", cuts {found.cuts}")
    )
