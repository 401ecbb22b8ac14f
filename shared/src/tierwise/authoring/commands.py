"""The commands `tierwise rulebook validate | show | diff | schema`."""

import asyncio
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from sqlalchemy import select

from tierwise.authoring.difference import differences
from tierwise.authoring.findings import findings
from tierwise.authoring.given import text_of
from tierwise.authoring.parts import parts
from tierwise.authoring.printing import print_differences, print_findings, print_rulebook
from tierwise.db.engine import open_engine
from tierwise.db.tables import rulebooks
from tierwise.domain.rulebook import load, ready_rulebooks
from tierwise.domain.rulebook.form import read
from tierwise.domain.rulebook.schema import Document
from tierwise.settings import Settings
from tierwise.table import show_json

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_ONE = f"A rulebook: a file, or one that comes with Tierwise ({', '.join(ready_rulebooks())})"
Given = Annotated[str, typer.Argument(metavar="FILE", help=_ONE, show_default=False)]
InForce = Annotated[
    str | None, typer.Argument(metavar="[FILE]", help=f"{_ONE}; the one in force when absent", show_default=False)
]


class Source(NamedTuple):
    """A rulebook's text, and where it is from."""

    name: str
    text: str


def register(app: typer.Typer) -> None:
    group = rulebook_group(app)
    group.command("validate")(validate)
    group.command("show")(show)
    group.command("diff")(diff)
    group.command("schema")(schema)


def rulebook_group(app: typer.Typer) -> typer.Typer:
    """The group `tierwise rulebook`, for every package that has a command in it."""
    for registered in app.registered_groups:
        if registered.name == "rulebook" and registered.typer_instance is not None:
            return registered.typer_instance
    group = typer.Typer(help="The rulebook, by which customers are classified.", no_args_is_help=True)
    app.add_typer(group, name="rulebook")
    return group


def validate(file: Given, as_json: AsJson = False) -> None:
    """Say all that is wrong with a rulebook, and where. Exit code 1 when there is anything."""
    source = Source(file, text_of(file))
    found = findings(source.text)
    if as_json:
        show_json([finding._asdict() for finding in found])
    elif found:
        print_findings(source.name, source.text, found, _console())
    else:
        rulebook = load(source.text)
        _console().print(
            f"{source.name} is valid: version {rulebook.version}, {len(rulebook.signals)} signals, "
            f"{len(rulebook.stages)} stages, {len(rulebook.dimensions)} tier dimensions, {len(rulebook.tags)} tags",
            style="green",
            soft_wrap=True,
        )
    if found:
        raise typer.Exit(1)


def show(file: InForce = None, as_json: AsJson = False) -> None:
    """What a rulebook says, as tables: signals, points, levels, stages, dimensions, tags, with their labels."""
    document = _valid(_in_force() if file is None else Source(file, text_of(file)))
    if as_json:
        show_json(document.model_dump(mode="json", by_alias=True, exclude_none=True))
    else:
        print_rulebook(parts(document), _console())


def diff(
    old: Annotated[str, typer.Argument(metavar="A", help=f"{_ONE}. With no B: in force is A, and this is B")],
    new: Annotated[str | None, typer.Argument(metavar="[B]", help="Another one", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """What two rulebooks say differently, not how they are written, and whether a release has to fold again."""
    before = _in_force() if new is None else Source(old, text_of(old))
    after = Source(old, text_of(old)) if new is None else Source(new, text_of(new))
    found = differences(_valid(before), _valid(after))
    folds_again = load(before.text).fold_version != load(after.text).fold_version
    if as_json:
        listed = [difference._asdict() for difference in found]
        show_json({"from": before.name, "to": after.name, "folds_again": folds_again, "differences": listed})
        return
    console = _console()
    print_differences(found, console)
    if not found:
        console.print("They say the same.")
    elif folds_again:
        console.print("Going from one to the other, interactions are folded again.", style="yellow", soft_wrap=True)
    else:
        console.print(
            "Going from one to the other needs no folding: customers are only classified again.", soft_wrap=True
        )


def schema() -> None:
    """The JSON Schema of a rulebook, for editors.

    Keep it beside your rulebook, and put `# yaml-language-server: $schema=rulebook.schema.json` into its first line:
    then the editor completes names and marks what is wrong while you type.
    """
    show_json({"$schema": "https://json-schema.org/draft/2020-12/schema"} | Document.model_json_schema())


def _valid(source: Source) -> Document:
    """Prints what is wrong and exits with 1 where anything is."""
    if found := findings(source.text):
        print_findings(source.name, source.text, found, Console(stderr=True, highlight=False, markup=False))
        raise typer.Exit(1)
    return read(source.text)


def _in_force() -> Source:
    return asyncio.run(_newest(Settings()))


async def _newest(settings: Settings) -> Source:
    async with open_engine(settings) as engine, engine.connect() as connection:
        query = select(rulebooks.c.version, rulebooks.c.document).order_by(rulebooks.c.id.desc()).limit(1)
        found = (await connection.execute(query)).one_or_none()
    if found is None:
        raise typer.BadParameter("the database has no rulebook: run `tierwise migrate`")
    return Source(f"{found.version} (in force)", found.document)


def _console() -> Console:
    return Console(highlight=False, markup=False)
