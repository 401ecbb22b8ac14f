"""The command `tierwise subscribe`."""

import os
import sys
from typing import Annotated, Any

import msgspec
import typer
import uvloop
from rich.console import Console

from tierwise.domain.customer_id import internal_id
from tierwise.serving import until_signalled
from tierwise.settings import Settings
from tierwise.stream.port import Stream
from tierwise.stream.positions import ends_of, format_positions, parse_positions
from tierwise.stream.topics import PUBLISHED
from tierwise.subscribing.follow import Following, opened
from tierwise.subscribing.printing import as_json, as_line
from tierwise.telemetry import configure_logging


def register(app: typer.Typer) -> None:
    @app.command("subscribe")
    def subscribe(
        topic: Annotated[str, typer.Argument(metavar="TOPIC", help=f"One of {', '.join(PUBLISHED)}.")],
        begin: Annotated[
            str,
            typer.Option("--from", metavar="POSITION", help="beginning, now, or positions as an export gives them."),
        ] = "now",
        customer: Annotated[str | None, typer.Option("--customer", metavar="ID", help="Only this customer's.")] = None,
        json: Annotated[bool, typer.Option("--json", help="Print CloudEvents, one a line.")] = False,
    ) -> None:
        """Print changes as they are published, until Ctrl-C, which tells where to go on."""
        if topic not in PUBLISHED:
            raise typer.BadParameter(f"there is no topic {topic}: {', '.join(PUBLISHED)}", param_hint="TOPIC")
        if customer is not None and internal_id(customer) is None:
            raise typer.BadParameter("ids are 15 characters and begin with c_", param_hint="--customer")
        given = _given(topic, begin)
        settings = Settings()
        configure_logging(settings)
        try:
            uvloop.run(until_signalled(_print(settings, topic, given, customer, json=json)))
        except BrokenPipeError:  # whoever read it has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _given(topic: str, begin: str) -> list[int] | None:
    """None: from now on."""
    if begin in ("now", "beginning"):
        return None if begin == "now" else []
    try:
        positions = parse_positions(begin)
    except ValueError as error:
        raise typer.BadParameter(f"beginning, now, or positions: {error}", param_hint="--from") from error
    if topic not in positions:
        raise typer.BadParameter(f"these positions are of {', '.join(positions)}", param_hint="--from")
    return positions[topic]


async def _print(settings: Settings, topic: str, given: list[int] | None, customer: str | None, *, json: bool) -> None:
    async with opened(settings) as stream:
        positions = await _now(stream, topic) if given is None else given
        following = Following(stream, topic, positions)
        console = Console(highlight=False, soft_wrap=True, markup=False)
        Console(stderr=True, highlight=False).print(f"{topic}: listening, Ctrl-C ends it", style="dim")
        try:
            async for one in following.slices():
                for record in one.records:
                    data = msgspec.json.decode(record.value)
                    if customer is None or customer in _concerned(data):
                        print(as_json(record, one.partition.index)) if json else console.print(as_line(data))
                sys.stdout.flush()
        finally:
            reached = {topic: [position for _, position in sorted(following.positions.items())]}
            if reached[topic]:
                Console(stderr=True, highlight=False, soft_wrap=True).print(
                    f"go on with --from {format_positions(reached)}"
                )


def _concerned(data: dict[str, Any]) -> list[str]:
    return [data["customer_id"], *data.get("merged", ()), *data.get("split", ())]


async def _now(stream: Stream, topic: str) -> list[int]:
    return (await ends_of(stream, [topic])).get(topic, [])
