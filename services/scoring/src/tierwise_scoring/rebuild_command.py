"""`tierwise rebuild`."""

from typing import Annotated, Any

import typer
import uvloop

from tierwise.domain.customer_id import internal_id
from tierwise.settings import Settings
from tierwise.table import show, show_json
from tierwise.telemetry import configure_logging
from tierwise_scoring.progress import customers_bar, opened_database
from tierwise_scoring.rebuild import DIFFERENCES_KEPT, Rebuild, Report

SHOWN = 50


def register(app: typer.Typer) -> None:
    @app.command()
    def rebuild(
        customer: Annotated[
            str | None, typer.Option(metavar="ID", help="Only this one (or whom it was merged into).")
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what differs, and change nothing.")] = False,
        quiet: Annotated[
            bool, typer.Option("--quiet", help="What a repair changes is recorded but not published.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Fold every customer again from the stored interactions, say what differs, and repair it.

        Who is who stays as it is. Scoring may go on meanwhile. Exit status 0: nothing differed, 1: something did.
        """
        number = None if customer is None else internal_id(customer)
        if customer is not None and number is None:
            raise typer.BadParameter(
                f"{customer} is no customer's id; those look like c_8f2kq01xm3v7a", param_hint="--customer"
            )
        settings = Settings()
        configure_logging(settings)
        report = uvloop.run(_run(settings, number, repair=not dry_run, quiet=quiet))
        if as_json:
            show_json(_document(report))
        else:
            _tell(report, dry_run=dry_run)
        if report.different:
            raise typer.Exit(1)


async def _run(settings: Settings, customer: int | None, *, repair: bool, quiet: bool) -> Report:
    async with opened_database(settings) as (engine, vault):
        rebuild = Rebuild(engine, vault, repair=repair, quiet=quiet)
        if customer is not None:
            return await rebuild.one(customer)
        with customers_bar(await rebuild.count()) as progressed:
            return await rebuild.everyone(progressed)


def _document(report: Report) -> dict[str, Any]:
    return {
        "customers": report.customers,
        "interactions": report.interactions,
        "summed": report.summed,
        "different": report.different,
        "repaired": report.repaired,
        "parts": dict(sorted(report.parts.items())),
        "differences": [one._asdict() for one in report.differences],
    }


def _tell(report: Report, *, dry_run: bool) -> None:
    """The differences and their number on stdout."""
    typer.echo(f"Customers folded again: {report.customers:,}, from interactions: {report.interactions:,}")
    if report.summed:
        typer.echo(f"Of these {report.summed:,} are kept as sums alone: they stay as they were folded.")
    if not report.different:
        typer.echo("No difference.")
        return
    show([one._asdict() for one in report.differences[:SHOWN]], as_json=False)
    if (rest := report.parts.total() - SHOWN) > 0:
        typer.echo(f"... and {rest:,} more: --json names the first {DIFFERENCES_KEPT:,}")
    parts = ", ".join(f"{part}: {count:,}" for part, count in report.parts.most_common())
    did = "nothing was repaired" if dry_run else f"repaired: {report.repaired:,}"
    typer.echo(f"Customers that differed: {report.different:,}, {did} ({parts})")
    if not dry_run and report.repaired < report.different:
        typer.echo("Those not repaired have no interactions that could be read: restore the table interactions.")
