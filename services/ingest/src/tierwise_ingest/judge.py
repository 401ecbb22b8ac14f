"""What a source wants refused that is well formed: against its own schemas, or without the customer's consent."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tierwise.domain.claim import Admitted
from tierwise.domain.property_schema import PropertySchema
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.source import Source, TypeSchema
from tierwise_ingest.formats.format import Item
from tierwise_ingest.metrics import IngestMetrics


class _Compiled(NamedTuple):
    of: Sequence[TypeSchema]
    by_type: Mapping[tuple[str, str], PropertySchema]


class Judge:
    """Between reading and the stream. Schemas are compiled once, and again when their source changes."""

    def __init__(self, metrics: IngestMetrics) -> None:
        self._violations = metrics.violations
        self._compiled: dict[int, _Compiled] = {}

    def judged(self, items: Iterable[Item], source: Source) -> Iterable[Item]:
        """The same items in the same order, those that the source wants refused as what they are refused for."""
        if not source.intake.schemas and source.intake.without_consent == "keep":
            return items
        return self._judged(items, source)

    def _judged(self, items: Iterable[Item], source: Source) -> Iterator[Item]:
        schemas = self._schemas(source)
        for item in items:
            yield self._verdict(item, source, schemas) if isinstance(item, Admitted) else item

    def _verdict(
        self, item: Admitted, source: Source, schemas: Mapping[tuple[str, str], PropertySchema]
    ) -> Admitted | InvalidInteraction:
        interaction = item.interaction
        if not interaction.scored and source.intake.without_consent == "refuse":
            return InvalidInteraction("no_consent", "consent", "This source keeps nothing without consent")
        schema = schemas.get((interaction.channel, interaction.type))
        violation = schema.violation(interaction.properties) if schema is not None else None
        if violation is None:
            return item
        if source.intake.violations == "count":
            self._violations.labels(source.name).inc()
            return item
        return InvalidInteraction("schema_violation", *violation)

    def _schemas(self, source: Source) -> Mapping[tuple[str, str], PropertySchema]:
        held = self._compiled.get(source.id)
        if held is None or held.of != source.intake.schemas:
            by_type = {(one.channel, one.type): PropertySchema(one.properties) for one in source.intake.schemas}
            held = self._compiled[source.id] = _Compiled(source.intake.schemas, by_type)
        return held.by_type
