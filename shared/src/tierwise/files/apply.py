"""A mapping put to work: compiled once into plain functions, then called for each row."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from tierwise.domain.rejection import InvalidInteraction
from tierwise.files.convert import conversion
from tierwise.files.mapping import (
    Column,
    Condition,
    Either,
    Entry,
    Every,
    Join,
    Mapping,
    MappingError,
    Not,
    Test,
    Value,
    native_mapping,
)

Row = dict[str, Any]
Read = Callable[[Row, int], Any]
"""(row, how many times the interaction is repeated) -> the value, None where it is absent."""


class Mapper:
    """Turns rows into interactions in the native form: `Mapper(mapping, columns=..., moment=...)(row)`.

    `columns`: those that the file has, None where rows bring their own names. `moment`: what `time: import` means.
    Raises MappingError when the mapping names a column that the file has not.
    """

    def __init__(self, mapping: Mapping, *, columns: tuple[str, ...] | None, moment: datetime) -> None:
        self._compiler = _Compiler(mapping, columns, moment.astimezone(UTC).isoformat())
        self._entries = [self._compiler.entry(entry) for entry in mapping.interactions]

    def __call__(self, row: Row) -> Iterator[dict[str, Any]]:
        """Raises InvalidInteraction naming the field and what stands there."""
        for entry in self._entries:
            yield from entry(row)


def mapper_for(columns: tuple[str, ...] | None, mapping: Mapping | None, *, moment: datetime) -> Mapper | None:
    """The mapping's, else by the names of the columns; None where rows are in the native form already (NDJSON).

    Raises MappingError when neither the mapping nor the native form fits the columns.
    """
    if mapping is None:
        if columns is None:
            return None
        mapping = native_mapping(columns)
    return Mapper(mapping, columns=columns, moment=moment)


class _Compiler:
    def __init__(self, mapping: Mapping, columns: tuple[str, ...] | None, moment: str) -> None:
        self._mapping = mapping
        self._columns = columns
        self._moment = moment
        self._empty = mapping.empty | {""}

    def entry(self, entry: Entry) -> Callable[[Row], Iterator[dict[str, Any]]]:
        when = self._condition(entry.when) if entry.when is not None else None
        scalars = [
            (name, self._time(value) if name == "time" else self._value(value, name))
            for name, value in (
                ("id", entry.id),
                ("time", entry.time if entry.time is not None else self._mapping.time),
                ("channel", entry.channel),
                ("type", entry.type),
            )
            if value is not None
        ]
        groups = [
            (name, [(key, self._value(value, f"{name}.{key}")) for key, value in values.items()])
            for name, values in (
                ("identifiers", entry.identifiers or self._mapping.identifiers),
                ("attributes", entry.attributes),
                ("properties", entry.properties),
            )
        ]
        times = self._repeat(entry)

        def interactions(row: Row) -> Iterator[dict[str, Any]]:
            if when is not None and not when(row):
                return
            repeats = times(row)
            for number in range(repeats):
                item: dict[str, Any] = {}
                for name, read in scalars:
                    if (value := read(row, repeats)) is not None:
                        item[name] = value
                for name, reads in groups:
                    values = {key: value for key, read in reads if (value := read(row, repeats)) is not None}
                    if values:
                        item[name] = values
                if number and "id" in item:
                    item["id"] = f"{item['id']}-{number + 1}"
                yield item

        return interactions

    def _repeat(self, entry: Entry) -> Callable[[Row], int]:
        if entry.repeat is None:
            return lambda row: 1
        most = entry.repeat.at_most
        read = self._value(Column.model_validate({"column": entry.repeat.column, "as": "integer"}), "repeat")
        return lambda row: min(max(read(row, 1) or 0, 0), most)

    def _time(self, value: Value) -> Read:
        if value == "import":
            return lambda row, repeats: self._moment
        if isinstance(value, Column):
            return self._value(value.model_copy(update={"as_": "time"}), "time")
        return self._value(value, "time")

    def _value(self, value: Value, field: str) -> Read:
        if isinstance(value, Column):
            return self._column(value, field)
        if isinstance(value, Join):
            parts = [self._value(part, field) for part in value.join]
            between = value.with_

            def joined(row: Row, repeats: int) -> str | None:
                texts = [str(part) for read in parts if (part := read(row, repeats)) is not None]
                return between.join(texts) if texts else None

            return joined
        return lambda row, repeats: value

    def _column(self, value: Column, field: str) -> Read:
        name = self._known(value.column)
        empty, default, share = self._empty, value.default, value.share
        convert = conversion(value, self._mapping.zone)

        def read(row: Row, repeats: int) -> Any:
            raw = row.get(name)
            if isinstance(raw, str):
                raw = raw.strip()
                if raw in empty:
                    raw = None
            if raw is None:
                return default
            try:
                converted = convert(raw)
            except (ValueError, OverflowError) as error:
                raise InvalidInteraction("unreadable", field, f"column {name!r}: {error}") from None
            return converted / repeats if share else converted

        return read

    def _condition(self, condition: Condition) -> Callable[[Row], bool]:
        if isinstance(condition, Every):
            parts = [self._condition(part) for part in condition.all]
            return lambda row: all(part(row) for part in parts)
        if isinstance(condition, Either):
            parts = [self._condition(part) for part in condition.any]
            return lambda row: any(part(row) for part in parts)
        if isinstance(condition, Not):
            inner = self._condition(condition.not_)
            return lambda row: not inner(row)
        return self._test(condition)

    def _test(self, test: Test) -> Callable[[Row], bool]:
        text = self._value(Column.model_validate({"column": test.column}), "when")
        numbers = test.at_least is not None or test.at_most is not None
        amount = self._value(Column.model_validate({"column": test.column, "as": "number"}), "when")

        def holds(row: Row) -> bool:
            found = text(row, 1)
            if test.present is not None and test.present != (found is not None):
                return False
            if test.is_ is not None and (found is None or str(found) != test.is_):
                return False
            if test.in_ is not None and (found is None or str(found) not in test.in_):
                return False
            if not numbers:
                return True
            number = amount(row, 1)
            return (
                number is not None
                and (test.at_least is None or number >= test.at_least)
                and (test.at_most is None or number <= test.at_most)
            )

        return holds

    def _known(self, column: str) -> str:
        if self._columns is not None and column not in self._columns:
            raise MappingError(f"the file has no column {column!r}; it has: {', '.join(self._columns)}")
        return column
