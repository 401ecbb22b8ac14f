"""The options that describe a source on the command line, and the document that they make."""

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
import yaml

from tierwise.domain.document import load_yaml
from tierwise.domain.interaction import CHANNELS, IDENTIFIER_KINDS
from tierwise.domain.source import Intake, Trust

_Several = list[str] | None

Channels = Annotated[_Several, typer.Option("--channel", help=f"Only these channels: {', '.join(CHANNELS)}.")]
Kinds = Annotated[
    _Several, typer.Option("--kind", help=f"Only these kinds of identifier: {', '.join(IDENTIFIER_KINDS)}.")
]
Attributes = Annotated[_Several, typer.Option("--attribute", help="Only these attributes of customers.")]
Links = Annotated[bool | None, typer.Option("--links/--no-links", help="Its identifiers may merge customers.")]
Region = Annotated[str | None, typer.Option(help="Country of phone numbers that name none, as CN.")]
Formats = Annotated[_Several, typer.Option("--format", help="Only these formats, as native or segment.")]
Origins = Annotated[_Several, typer.Option("--origin", help="A page's origin that may send, as https://shop.example.")]
Rate = Annotated[str | None, typer.Option("--rate-limit", metavar="N/s", help="Interactions a second, as 100/s.")]
Burst = Annotated[int | None, typer.Option(help="So many at once; none given: what 10 s allow.")]
WithoutConsent = Annotated[
    Literal["keep", "refuse"] | None, typer.Option(help="What says no to consent: kept unscored, or refused.")
]
Schemas = Annotated[
    list[Path] | None,
    typer.Option("--schema", help="JSON or YAML: {channel, type, properties: a JSON Schema}, or a list of them."),
]
Violations = Annotated[
    Literal["refuse", "count"] | None, typer.Option(help="What violates its schema: refused, or taken and counted.")
]
MappingFile = Annotated[Path | None, typer.Option("--mapping", help="How the generic webhook is read; YAML.")]
Topics = Annotated[_Several, typer.Option("--topic", metavar="ARN", help="An SNS topic that it may be subscribed to.")]
Redirects = Annotated[_Several, typer.Option("--redirect", help="An origin to which a form may send visitors on.")]
Reset = Annotated[
    _Several, typer.Option("--reset", metavar="FIELD", help="Back to its default: origins, channels, ...")
]
Grace = Annotated[str, typer.Option(metavar="TIME", help="How long the older one goes on, as 24h, 30m, 7d or 0s.")]

_TRUST: Final = {
    "channel": "channels", "kind": "kinds", "attribute": "attributes", "links": "links", "region": "default_region",
}  # fmt: skip
_INTAKE: Final = {
    "format": "formats", "origin": "origins", "without_consent": "without_consent", "violations": "violations",
    "topic": "topics", "redirect": "redirects",
}  # fmt: skip
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def given(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(trust, intake): what a command line says of them, by the names of its parameters; a field that was reset is
    None. Raises typer.BadParameter."""
    said = {option: value for option, value in parameters.items() if value not in (None, [], ())}
    trust = {field: said[option] for option, field in _TRUST.items() if option in said}
    intake = {field: said[option] for option, field in _INTAKE.items() if option in said}
    if "rate_limit" in said or "burst" in said:
        intake["rate_limit"] = _rate_limit(said.get("rate_limit"), said.get("burst"))
    if "schema" in said:
        intake["schemas"] = [one for path in said["schema"] for one in _schemas(path)]
    if "mapping" in said:
        intake["mapping"] = _text(said["mapping"])
    for field in said.get("reset", ()):
        if field not in (*Trust.__struct_fields__, *Intake.__struct_fields__):
            known = ", ".join((*Trust.__struct_fields__, *Intake.__struct_fields__))
            raise typer.BadParameter(f"{field!r} is none of {known}", param_hint="--reset")
        (trust if field in Trust.__struct_fields__ else intake)[field] = None
    return trust, intake


def grace_of(text: str) -> timedelta:
    """Raises typer.BadParameter."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time, as 24h, 30m, 7d or 0s", param_hint="--grace")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _rate_limit(rate: str | None, burst: int | None) -> dict[str, Any]:
    if rate is None:
        return {"burst": burst}
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)/s", rate)
    if found is None:
        raise typer.BadParameter(f"{rate!r} is no rate, as 100/s", param_hint="--rate-limit")
    per_second = float(found[1])
    return {"per_second": per_second, "burst": math.ceil(per_second * 10) if burst is None else burst}


def _schemas(path: Path) -> list[Any]:
    try:
        document = load_yaml(_text(path))
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{path} is neither JSON nor YAML: {error}", param_hint="--schema") from None
    return document if isinstance(document, list) else [document]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
