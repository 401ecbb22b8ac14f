"""The rulebook that a command line names."""

from pathlib import Path

import typer

from tierwise.domain.rulebook import ready_rulebooks, ready_text


def text_of(name: str) -> str:
    """The text of a file, or of a rulebook that comes with Tierwise. Raises typer.BadParameter."""
    if name in ready_rulebooks():
        return ready_text(name)
    path = Path(name)
    if not path.is_file():
        raise typer.BadParameter(f"{name} is neither a file nor one of {', '.join(ready_rulebooks())}")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from None
