"""The rulebook: the versioned document that says how customers are classified."""

from tierwise.domain.rulebook.book import Rulebook
from tierwise.domain.rulebook.form import RulebookError
from tierwise.domain.rulebook.load import default_text, load, ready_rulebooks, ready_text

__all__ = ["Rulebook", "RulebookError", "default_text", "load", "ready_rulebooks", "ready_text"]
