"""What a command says when it fails: a line for what a person can mend, nothing for what only a traceback explains."""

from typing import NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from rich.console import Console

from tierwise.db.dumping import DumpError
from tierwise.db.embedded import EmbeddedDatabaseError
from tierwise.db.engine import DATABASE_ERRORS, DatabaseUnreachable, is_transient
from tierwise.domain.rulebook import RulebookError
from tierwise.problem import Problem
from tierwise.security.personal import VaultError
from tierwise.settings import SettingError
from tierwise.stream.port import PositionError, StreamUnavailable

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


class Explanation(NamedTuple):
    lines: tuple[str, ...]
    status: int = 1
    """1: failed, 2: wrong use."""

    def show(self) -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
        for line in self.lines:
            console.print(f"tierwise: {line}", style="red")


def explained(error: Exception) -> Explanation | None:
    """None where it is no failure that a person can mend."""
    if isinstance(error, ValidationError) and error.title == "Settings":
        return Explanation(tuple(map(_of_setting, error.errors())), status=2)
    if isinstance(error, _SAYS_WHAT_TO_DO):
        return Explanation((str(error),))
    if isinstance(error, DATABASE_ERRORS):
        return _of_database(error)
    return None


def _of_setting(wrong: ErrorDetails) -> str:
    name = "_".join(("TIERWISE", *(str(part).upper() for part in wrong["loc"][:1])))
    return f"{name}: {wrong['msg']}"


def _of_database(error: Exception) -> Explanation | None:
    if not is_transient(error) and getattr(getattr(error, "orig", error), "sqlstate", None) == _UNDEFINED_TABLE:
        return Explanation(("the database has no tables yet: run `tierwise migrate`",))
    if isinstance(error, OSError) and error.filename is not None:
        return Explanation((f"{error.filename}: {error.strerror}",))
    if isinstance(error, DatabaseUnreachable) or is_transient(error):
        what_to_do = "Is it running, and are TIERWISE_DATABASE_URL and its network right? See `tierwise doctor`"
        return Explanation((f"{error}. {what_to_do}",))
    return None
