"""What the numbers in `customer_facets` stand for, each read when it first comes."""

from collections.abc import Iterable, Mapping

from tierwise.db.facets import NAMED, UNKNOWN
from tierwise_profile_api.reads import Reads


class FacetNames:
    """Of one request, or of many: a number stands for the same for ever."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._names: dict[str, dict[int, str | None]] = {}

    async def of(self, facet: str, numbers: Iterable[int]) -> Mapping[int, str | None]:
        """By number at least of these; None for UNKNOWN. Raises Unavailable."""
        names = self._names.setdefault(facet, {UNKNOWN: None})
        if new := set(numbers) - names.keys():
            rows = await self._reads.rows(NAMED, [facet] * len(new), list(new))
            names.update((row["number"], row["value"]) for row in rows)
        return names
