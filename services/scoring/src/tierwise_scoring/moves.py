"""How a simulated release looks: as tables in a terminal, and as JSON."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tierwise.domain.change import INTENT, LIFECYCLE, TIER
from tierwise.domain.rulebook import Rulebook
from tierwise_scoring.simulation import Mover, Moves

_TITLES: Final = {TIER: "Tiers", INTENT: "Intent levels", LIFECYCLE: "Lifecycle stages"}


def document(moves: Moves, rulebook: Rulebook) -> dict[str, Any]:
    """For programs. Moves are listed where there is anyone; those who stay are from a name to the same."""
    return {
        "version": rulebook.version,
        "cuts": {name: score / 100 for name, score in rulebook.cuts},
        "customers": moves.customers,
        "changed": moves.changed,
        "folded_again": moves.refolded,
        "changes": dict(sorted(moves.changes.items())),
        "moves": {
            aspect: [{"from": old, "to": new, "customers": count} for (old, new), count in sorted(matrix.items())]
            for aspect, matrix in moves.matrices.items()
        },
        "movers": [_mover(mover) for mover in moves.movers],
    }


def tell(moves: Moves, rulebook: Rulebook, console: Console) -> None:
    """For people."""
    again = f", {moves.refolded:,} of them folded again" if moves.refolded else ""
    console.print(f"Under version {rulebook.version}: {moves.customers:,} customers{again}, {moves.changed:,} change.")
    if rulebook.shares is not None:
        console.print("Tiers begin at " + ", ".join(f"{name} {score / 100:.2f}" for name, score in rulebook.cuts) + ".")
    names = {TIER: rulebook.tier_names, INTENT: rulebook.level_names, LIFECYCLE: rulebook.stage_names}
    for aspect, matrix in moves.matrices.items():
        console.print("", _matrix(_TITLES[aspect], matrix, names[aspect], rulebook), sep="\n")
    tags = {aspect.removeprefix("tag:"): count for aspect, count in moves.changes.items() if aspect.startswith("tag:")}
    if tags:
        rows = [(name, f"{count:,}") for name, count in sorted(tags.items(), key=lambda pair: -pair[1])]
        console.print("", _table("Tags that change", ("tag", "customers"), rows), sep="\n")
    if moves.movers:
        console.print("", _movers(moves.movers), sep="\n")


def _matrix(title: str, matrix: Counter[tuple[str, str]], names: Sequence[str], rulebook: Rulebook) -> Table:
    """A row for each name of today, a column for each of the new rulebook; who stays stands in the diagonal."""
    olds = list(dict.fromkeys([name for name in names if any(old == name for old, _ in matrix)]))
    olds += sorted({old for old, _ in matrix} - set(olds))
    table = Table(title=f"{title}: rows now, columns then", box=None, pad_edge=False, title_justify="left",
                  title_style="bold", header_style="dim")  # fmt: skip
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("", style="cyan")
    for old in olds:
        counts = [matrix[old, new] for new in names]
        cells = [
            Text(f"{count:,}" if count else ".", "dim" if old == new or not count else "yellow")
            for new, count in zip(names, counts, strict=True)
        ]
        label = rulebook.label(old)
        table.add_row(old, *cells, f"{label['en']} {label['zh']}")
    return table


def _movers(movers: Sequence[Mover]) -> Table:
    columns = ("customer", "tier", "tier score", "intent", "score", "stage")
    rows = [
        (
            mover.customer_id,
            _arrow(mover.tier),
            _arrow((f"{mover.tier_score[0] / 100:.1f}", f"{mover.tier_score[1] / 100:.1f}")),
            _arrow(mover.level),
            _arrow((f"{mover.score[0] / 10:.1f}", f"{mover.score[1] / 10:.1f}")),
            _arrow(mover.stage),
        )
        for mover in movers
    ]
    return _table("Those who move most", columns, rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, box=None, pad_edge=False, title_justify="left", title_style="bold", header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _arrow(pair: tuple[str, str]) -> str:
    return pair[0] if pair[0] == pair[1] else f"{pair[0]} > {pair[1]}"


def _mover(mover: Mover) -> dict[str, Any]:
    def pair(values: tuple[Any, Any]) -> dict[str, Any]:
        return {"from": values[0], "to": values[1]}

    return {
        "customer_id": mover.customer_id,
        "tier": pair(mover.tier),
        "tier_score": pair((mover.tier_score[0] / 100, mover.tier_score[1] / 100)),
        "level": pair(mover.level),
        "score": pair((mover.score[0] / 10, mover.score[1] / 10)),
        "stage": pair(mover.stage),
    }
