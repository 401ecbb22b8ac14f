"""How findings, rulebooks and differences look in a terminal."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tierwise.authoring.difference import Difference
from tierwise.authoring.findings import Finding
from tierwise.authoring.parts import Part

_MARKS: Final = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "moved": ("~", "yellow")}
_TITLES: Final = {
    "signals": "Signals",
    "acquisition": "Acquisition",
    "intent.points": "Intent points",
    "intent.fit": "Intent points from attributes",
    "intent.levels": "Intent levels",
    "lifecycle": "Lifecycle stages, the first that holds",
    "tiers.dimensions": "Tier dimensions",
    "tiers.cuts": "Tier cuts",
    "tiers.shares": "Tiers as shares of the customers",
    "rates": "Exchange rates",
}
_LABELLED: Final = frozenset(_TITLES) - {"rates", "tiers.shares"}


def print_findings(path: str, text: str, found: Sequence[Finding], console: Console) -> None:
    """Each as `file:line:column: what`, with the line of the document and a mark under the place."""
    lines = text.splitlines()
    for finding in found:
        position = "" if finding.line is None else f":{finding.line}:{finding.column}"
        where = f"{finding.place}: " if finding.place and finding.line is not None else ""
        console.print(
            Text.assemble((f"{path}{position}: ", "bold"), (where, "cyan"), (finding.message, "red")), soft_wrap=True
        )
        if finding.line is not None and finding.column is not None and finding.line <= len(lines):
            margin = f"{finding.line:>6} | "
            console.print(Text.assemble((margin, "dim"), lines[finding.line - 1]), soft_wrap=True)
            mark = " " * (Text(lines[finding.line - 1][: finding.column - 1]).cell_len) + "^"
            console.print(Text.assemble((" " * 6 + " | ", "dim"), (mark, "bold red")), soft_wrap=True)
    console.print(f"{len(found)} error{'' if len(found) == 1 else 's'}", style="bold red")


def print_rulebook(found: Sequence[Part], console: Console) -> None:
    """A table for every section, beside each name its labels."""
    labels = {part.name: part.texts for part in found if part.section == "labels"}
    tags = [part for part in found if part.section.startswith("tags.")]
    for part in found:
        if part.section == "":
            console.print(Text.assemble((f"{part.name}: ", "bold"), part.texts[""]))
    for section in ("attributes", "interests.values"):
        listed = ", ".join(part.name for part in found if part.section == section)
        console.print(Text.assemble((f"{section}: ", "bold"), listed))
    for section, title in _TITLES.items():
        rows = [part for part in found if part.section == section]
        if rows:
            console.print("", _table(title, rows, labels if section in _LABELLED else {}), sep="\n")
    if tags:
        console.print("", _tags(tags, labels), sep="\n")
    strategies = [part for part in found if part.section.startswith("strategies.")]
    if strategies:
        console.print("", _table("Strategies", strategies, {}), sep="\n")


def print_differences(found: Iterable[Difference], console: Console) -> None:
    """One a line, section by section."""
    section = None
    for difference in found:
        if difference.section != section:
            section = difference.section
            console.print(Text(section or "rulebook", "bold"))
        mark, style = _MARKS[difference.change]
        line = Text.assemble((f"  {mark} {difference.name} ".rstrip() + " ", style))
        if difference.field:
            line.append(f"{difference.field}: ")
        if difference.old is not None:
            line.append(difference.old, "red")
        if difference.change in ("changed", "moved"):
            line.append(" -> " if difference.old is not None else "-> ")
        if difference.new is not None:
            line.append(difference.new, "green")
        elif difference.change == "changed":
            line.append("nothing", "dim")
        console.print(line, soft_wrap=True)


def _table(title: str, rows: Sequence[Part], labels: dict[str, dict[str, str]]) -> Table:
    fields = list(dict.fromkeys(field for part in rows for field in part.texts))
    table = _empty_table(title)
    for name in ("name", *(field.replace("_", " ") for field in fields)):
        table.add_column(name, overflow="fold")
    languages = list(dict.fromkeys(language for label in labels.values() for language in label)) if labels else []
    for language in languages:
        table.add_column(language, style="cyan", overflow="fold")
    for part in rows:
        group = part.section.partition("strategies.")[2]
        label = labels.get(part.name.partition(" (")[0], {})
        table.add_row(
            f"{group} {part.name}".strip(),
            *(Text(part.texts.get(field, "")) for field in fields),
            *(Text(label.get(language, "")) for language in languages),
        )
    return table


def _tags(rows: Sequence[Part], labels: dict[str, dict[str, str]]) -> Table:
    table = _empty_table("Tags, of each name the first value that holds")
    for name in ("family", "name", "value", "when", "en", "zh"):
        table.add_column(name, overflow="fold", style="cyan" if name in ("en", "zh") else None)
    for part in rows:
        _, family, name = part.section.split(".")
        label = labels.get(f"{name}.{part.name}", {})
        when = Text(part.texts["when"])
        table.add_row(family, name, part.name, when, label.get("en", ""), label.get("zh", ""))
    return table


def _empty_table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
