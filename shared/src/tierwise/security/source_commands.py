"""The commands `tierwise source ...`."""

import sys
from functools import partial
from typing import Annotated, Any

import typer

from tierwise.domain.source import BACKEND, BROWSER
from tierwise.security import source_options as options
from tierwise.security.commands import AsJson, in_transaction, show_created, told_as_wrong_use
from tierwise.security.source_document import PRESETS, InvalidSource, document_of, read_source
from tierwise.security.source_registry import (
    create_source,
    find_source,
    list_sources,
    registered_document,
    retire_source,
    rotate_key,
    rotate_secret,
    update_source,
)
from tierwise.table import show, show_json

Name = Annotated[str, typer.Argument(metavar="NAME")]
Browser = Annotated[bool, typer.Option("--browser", help="Its key stands in a web page: trust it little.")]
Secret = Annotated[
    bool, typer.Option("--secret", help="A webhook's secret instead of the write key: asked for, or read from stdin.")
]
Generate = Annotated[bool, typer.Option("--generate", help="With --secret: make one, and print it this once.")]

_run = partial(in_transaction, wrong_use=InvalidSource)


def register(app: typer.Typer) -> None:
    source = typer.Typer(
        help="Systems that send: what each may assert, and how what it sends is taken.", no_args_is_help=True
    )
    app.add_typer(source, name="source")
    source.command("create")(create)
    source.command("list")(list_all)
    source.command("show")(show_one)
    source.command("update")(change)
    source.command("rotate")(rotate)
    source.command("retire")(retire)


def create(
    context: typer.Context,
    name: Name,
    browser: Browser = False,
    channel: options.Channels = None,
    kind: options.Kinds = None,
    attribute: options.Attributes = None,
    links: options.Links = None,
    region: options.Region = None,
    format: options.Formats = None,  # noqa: A002
    origin: options.Origins = None,
    rate_limit: options.Rate = None,
    burst: options.Burst = None,
    without_consent: options.WithoutConsent = None,
    schema: options.Schemas = None,
    violations: options.Violations = None,
    mapping: options.MappingFile = None,
    topic: options.Topics = None,
    redirect: options.Redirects = None,
    as_json: AsJson = False,
) -> None:
    """Make a source and its first write key, which is printed this once.

    Without options it is a system of your own, believed in everything; with --browser a page's."""
    trust, intake = options.given(context.params)
    preset = BROWSER if browser else BACKEND
    with told_as_wrong_use(InvalidSource):
        described = read_source({"name": name, "trust": document_of(preset) | trust, "intake": intake})
    show_created(_run(lambda connection, vault: create_source(connection, vault, described)), as_json=as_json)


def list_all(as_json: AsJson = False) -> None:
    """Show all sources, retired ones too."""
    found = [registered_document(one) for one in _run(lambda connection, _: list_sources(connection))]
    show(found if as_json else [_brief(one) for one in found], as_json=as_json)


def show_one(name: Name, as_json: AsJson = False) -> None:
    """Show all of a source, but its keys and secrets themselves."""
    _show(registered_document(_run(lambda connection, _: find_source(connection, name))), as_json=as_json)


def change(
    context: typer.Context,
    name: Name,
    channel: options.Channels = None,
    kind: options.Kinds = None,
    attribute: options.Attributes = None,
    links: options.Links = None,
    region: options.Region = None,
    format: options.Formats = None,  # noqa: A002
    origin: options.Origins = None,
    rate_limit: options.Rate = None,
    burst: options.Burst = None,
    without_consent: options.WithoutConsent = None,
    schema: options.Schemas = None,
    violations: options.Violations = None,
    mapping: options.MappingFile = None,
    topic: options.Topics = None,
    redirect: options.Redirects = None,
    reset: options.Reset = None,
    as_json: AsJson = False,
) -> None:
    """Change what is named, and nothing else. Services follow within 10 seconds."""
    trust, intake = options.given(context.params)
    if not trust and not intake:
        raise typer.BadParameter("say what is to change, as --origin https://shop.example or --reset rate_limit")
    patch = {"trust": trust, "intake": intake}
    _show(registered_document(_run(lambda connection, _: update_source(connection, name, patch))), as_json=as_json)


def rotate(
    name: Name,
    secret: Secret = False,
    generate: Generate = False,
    grace: options.Grace = "24h",
    as_json: AsJson = False,
) -> None:
    """Give a source a new write key, or a new secret; the older one goes on for a while."""
    if generate and not secret:
        raise typer.BadParameter("--generate goes with --secret; a write key is always generated")
    left = options.grace_of(grace)
    if not secret:
        show_created(_run(lambda connection, vault: rotate_key(connection, vault, name, grace=left)), as_json=as_json)
        return
    given = None if generate else _asked()
    new = _run(lambda connection, vault: rotate_secret(connection, vault, name, given, grace=left))
    if as_json:
        show_json({"name": name, "secret": new if generate else None})
        return
    typer.echo(f"{name} has a new secret; an older one goes on for {grace}.", err=True)
    if generate:
        typer.echo(new)


def retire(name: Name) -> None:
    """Refuse a source's keys and secrets from now on, for good. What it sent stays."""
    _run(lambda connection, _: retire_source(connection, name))
    typer.echo(f"{name} is retired; services follow within 10 seconds.")


def _asked() -> str:
    """Never from the command line, which every user of the machine can read."""
    if sys.stdin.isatty():
        return str(typer.prompt("Secret", hide_input=True))
    given = sys.stdin.read().strip()
    if not given:
        raise typer.BadParameter("there is no secret on stdin; with --generate one is made")
    return given


def _brief(document: dict[str, Any]) -> dict[str, Any]:
    presets = [name for name, preset in PRESETS.items() if document_of(preset) == document["trust"]]
    return {
        "name": document["name"],
        "trust": presets[0] if presets else "own",
        "formats": document["intake"]["formats"],
        "keys": len(document["keys"]),
        "secrets": len(document["secrets"]),
        "created_at": document["created_at"],
        "retired_at": document["retired_at"],
    }


def _show(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(document)
        return
    flat = {name: value for name, value in document.items() if name not in ("trust", "intake")}
    flat |= {f"{part}.{name}": value for part in ("trust", "intake") for name, value in document[part].items()}
    show([{"field": name, "value": value} for name, value in flat.items()], as_json=False)
