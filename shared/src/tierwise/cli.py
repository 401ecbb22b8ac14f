"""The command `tierwise`: gathers the subcommands of every installed package, and says what went wrong in a line.

A package brings its own through the entry point group `tierwise.commands`: the name of a subcommand, and a function
`register(app)` that adds it, beside the code that it runs.
"""

import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated

import typer


def main() -> None:
    """Exit status 0: done, 1: failed, 2: wrong use (a setting that is none counts as such)."""
    app = build(*sys.argv[1:2])
    try:
        app()
    except Exception as error:
        from tierwise.failing import explained  # knows every library that can fail, which only a failure is worth

        explanation = explained(error)
        if explanation is None:
            raise
        explanation.show()
        sys.exit(explanation.status)


def build(first: str | None = None) -> typer.Typer:
    """The command line: whole, or where the first argument is a subcommand with only that, since the imports of all
    take more than a second. A package whose commands cannot be imported is an error, not a missing command."""
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

    for entry in _needed(first):
        entry.load()(app)
    return app


def _needed(first: str | None) -> Iterable[EntryPoint]:
    """Each function once: it may bring several subcommands."""
    if first == "--version":
        return ()
    entries = sorted(entry_points(group="tierwise.commands"), key=lambda entry: (entry.name, entry.value))
    wanted = [entry for entry in entries if entry.name == first] or entries
    return {entry.value: entry for entry in wanted}.values()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tierwise {version('tierwise-shared')}")
        raise typer.Exit
