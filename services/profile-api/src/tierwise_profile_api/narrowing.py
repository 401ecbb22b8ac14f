"""From what a request narrows by to a condition, with the filters of the segments that it names."""

from tierwise.domain.rulebook.book import Rulebook
from tierwise_profile_api.backend import Backend
from tierwise_profile_api.filters import Asked, Filters, read_filters
from tierwise_profile_api.parameters import VALUES_MAX, BadParameter


async def narrowed(source: Backend, asked: Asked, rulebook: Rulebook) -> Filters:
    """Raises BadParameter naming the values that there are, Unavailable."""
    return read_filters(asked, rulebook, source.vault, await _filters_of(source, asked.segment or []))


async def _filters_of(source: Backend, names: list[str]) -> list[str]:
    if len(names) > VALUES_MAX:
        raise BadParameter("segment", f"At most {VALUES_MAX} values.")
    if not names:
        return []
    known = {row["name"]: row["filter"] for row in await source.reads.rows("SELECT name, filter FROM segments")}
    for name in names:
        if name not in known:
            there = f"The segments are {', '.join(sorted(known))}" if known else "There are none: POST /v1/segments"
            raise BadParameter("segment", f"{there}.")
    return [known[name] for name in names]
