"""A published change, for people and for programs."""

from typing import Any, Final

import msgspec
from rich.text import Text

from tierwise.stream.port import Record

_CUSTOMER_WIDTH: Final = 16
_ASPECT_WIDTH: Final = 26


def as_json(record: Record, partition: int) -> str:
    """The CloudEvent in its JSON format, with where it stands."""
    attributes = {name.removeprefix("ce_"): value.decode() for name, value in record.headers}
    attributes["datacontenttype"] = attributes.pop("content-type", "application/json")
    place = {"partition": partition, "position": record.position}
    return msgspec.json.encode({**attributes, **place, "data": msgspec.Raw(record.value)}).decode()


def as_line(data: dict[str, Any]) -> Text:
    line = Text(f"{data['at'][:19]}Z  ", style="dim")
    line.append(data["customer_id"].ljust(_CUSTOMER_WIDTH), style="cyan not dim")
    if "aspect" not in data:
        happened = next((name for name in ("merged", "split") if name in data), "erased")
        line.append(happened.ljust(_ASPECT_WIDTH), style="magenta not dim")
        return line.append(", ".join(data.get(happened, ())), style="default not dim")
    line.append(data["aspect"].ljust(_ASPECT_WIDTH), style="magenta not dim")
    line.append(f"{data['from'] or '-'} → ", style="default not dim").append(data["to"] or "-", style="bold not dim")
    if data["score"] is not None:
        line.append(f"  {data['score']:.1f}", style="green not dim")
    if reasons := ", ".join(_reason(reason) for reason in data["reasons"]):
        line.append(f"  {reasons}", style="default not dim")
    return line


def _reason(reason: dict[str, Any]) -> str:
    return f"{reason['en']} {reason['points']:+.1f}" if "points" in reason else str(reason["en"])
