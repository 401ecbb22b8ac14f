"""The command `tierwise`: gathers the subcommands of every installed package, and says what went wrong in a line.

A package brings its own through the entry point group `tierwise.commands`: a function `register(app)`.
"""

import sys
from importlib.metadata import entry_points, version
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console

from tierwise import doctor
from tierwise.authoring import commands as authoring
from tierwise.classifying import commands as classifying
from tierwise.db import backup_commands as backups
from tierwise.db import commands as database
from tierwise.db.dumping import DumpError
from tierwise.db.embedded import EmbeddedDatabaseError
from tierwise.db.engine import DATABASE_ERRORS, DatabaseUnreachable, is_transient
from tierwise.domain.rulebook import RulebookError
from tierwise.problem import Problem
from tierwise.security import commands as keys
from tierwise.security import source_commands as sources
from tierwise.security.personal import VaultError
from tierwise.settings import SettingError
from tierwise.stream.port import PositionError, StreamUnavailable
from tierwise.subscribing import commands as subscribing
from tierwise.top import commands as top
from tierwise.webhooks import commands as webhooks

_SAYS_WHAT_TO_DO = (
    Problem,
    EmbeddedDatabaseError,
    DumpError,
    VaultError,
    StreamUnavailable,
    PositionError,
    RulebookError,
    SettingError,
)
_UNDEFINED_TABLE = "42P01"


def main() -> None:
    """Exit status 0: done, 1: failed, 2: wrong use (a setting that is none counts as such)."""
    app = build()
    try:
        app()
    except ValidationError as error:
        if error.title != "Settings":
            raise
        for wrong in error.errors():
            name = "_".join(("TIERWISE", *(str(part).upper() for part in wrong["loc"][:1])))
            _say(f"{name}: {wrong['msg']}")
        sys.exit(2)
    except _SAYS_WHAT_TO_DO as error:
        _fail(error)
    except DATABASE_ERRORS as error:
        if not is_transient(error) and getattr(getattr(error, "orig", error), "sqlstate", None) == _UNDEFINED_TABLE:
            _fail("the database has no tables yet: run `tierwise migrate`")
        if isinstance(error, OSError) and error.filename is not None:
            _fail(f"{error.filename}: {error.strerror}")
        if isinstance(error, DatabaseUnreachable) or is_transient(error):
            _fail(f"{error}. Is it running, and are TIERWISE_DATABASE_URL and its network right? See `tierwise doctor`")
        raise


def build() -> typer.Typer:
    """The whole command line. A package whose commands cannot be imported is an error, not a missing command."""
    app = typer.Typer(
        name="tierwise",
        help="Keeps a live classification of every customer.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,  # they print local variables: payloads and secrets
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def root(
        show_version: Annotated[
            bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
        ] = False,
    ) -> None:
        """Keeps a live classification of every customer."""

    for own in (database, backups, keys, sources, doctor, top, authoring, classifying, subscribing, webhooks):
        own.register(app)
    for entry in sorted(entry_points(group="tierwise.commands"), key=lambda entry: entry.name):
        entry.load()(app)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tierwise {version('tierwise-shared')}")
        raise typer.Exit


def _say(message: object) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    console.print(f"tierwise: {message}", style="red")


def _fail(message: object) -> NoReturn:
    _say(message)
    sys.exit(1)
