"""A mapping put to work: compiled once into plain functions, then called for each row, or each JSON document."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tierwise.domain.rejection import InvalidInteraction
from tierwise.files.convert import conversion
from tierwise.files.flat import flat
from tierwise.files.json_path import compile_path, is_relative, selects_many
from tierwise.files.mapping import (
    ROW,
    Column,
    Condition,
    Either,
    Entry,
    Every,
    Join,
    Mapping,
    MappingError,
    Not,
    Place,
    Test,
    Value,
)
from tierwise.files.native import native_mapping


@dataclass(frozen=True, slots=True)
class Row:
    """What a mapping is applied to. `values`: by column. `document`: what paths that begin with $ are of; `element`:
    those with @. `repeats`: how many times the interaction is made."""

    values: dict[str, Any]
    document: Any = None
    element: Any = None
    repeats: int = 1


Read = Callable[[Row], Any]
"""The value, None where it is absent."""


class Mapper:
    """Turns rows into interactions in the native form: `Mapper(mapping, columns=..., moment=...)(row)`.

    `columns`: those that the file has, None where rows bring their own names. `moment`: what `time: import` means;
    None: no time is said, so that it is that of the arrival. Raises MappingError when the mapping names a column that
    the file has not.
    """

    def __init__(self, mapping: Mapping, *, columns: tuple[str, ...] | None, moment: datetime | None) -> None:
        self._compiler = _Compiler(mapping, columns, moment and moment.astimezone(UTC))
        self._entries = [self._compiler.entry(entry) for entry in mapping.interactions]
        self._compiler.check_columns()

    def __call__(self, row: Row) -> Iterator[dict[str, Any]]:
        """Raises InvalidInteraction naming the field and what stands there."""
        for entry in self._entries:
            yield from entry(row)


def claims_of(document: Any, mapper: Mapper) -> Iterator[dict[str, Any]]:
    """The interactions in the native form that a JSON document is told to be, as a webhook brings it; of an array,
    those of each element. `mapper`: without columns. Raises InvalidInteraction."""
    for one in document if isinstance(document, list) else [document]:
        yield from mapper(row_of(one))


def row_of(document: Any) -> Row:
    """Columns are the names of its members, those of nested objects joined by dots."""
    if not isinstance(document, dict):
        raise InvalidInteraction("not_an_object", None, "Expected an object, or an array of them")
    return Row(flat(document), document)


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
    def __init__(self, mapping: Mapping, columns: tuple[str, ...] | None, moment: datetime | None) -> None:
        self._mapping = mapping
        self._columns = columns
        self._moment = moment
        self._empty = mapping.empty | {""}
        self._named = self._found = 0

    def check_columns(self) -> None:
        """Where columns may be missing: a file that has none of them is another file. Raises MappingError."""
        if self._named and not self._found:
            raise MappingError(f"the file has none of the mapping's columns; it has: {', '.join(self._columns or ())}")

    def entry(self, entry: Entry) -> Callable[[Row], Iterator[dict[str, Any]]]:
        rows = self._rows(entry)
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

        def interactions(whole: Row) -> Iterator[dict[str, Any]]:
            for row in rows(whole):
                if when is not None and not when(row):
                    continue
                repeats = times(row)
                repeated = row if repeats == 1 else replace(row, repeats=repeats)
                for number in range(repeats):
                    item = _item(repeated, scalars, groups)
                    if number and "id" in item:
                        item["id"] = f"{item['id']}-{number + 1}"
                    yield item

        return interactions

    def _rows(self, entry: Entry) -> Callable[[Row], Iterator[Row]]:
        if entry.each is None:
            return lambda row: iter((row,))
        find = compile_path(entry.each)
        return lambda row: (replace(row, element=element) for element in find(row.document))

    def _repeat(self, entry: Entry) -> Callable[[Row], int]:
        if entry.repeat is None:
            return lambda row: 1
        most = entry.repeat.at_most
        read = self._value(_column_at(entry.repeat, "integer"), "repeat")
        return lambda row: min(max(read(row) or 0, 0), most)

    def _time(self, value: Value) -> Read:
        moment = self._moment
        if value == "import":
            said = moment and moment.isoformat()
            return lambda row: said
        if not isinstance(value, Column):
            return self._value(value, "time")
        if value.ago is None:
            return self._value(value.model_copy(update={"as_": "time"}), "time")
        if moment is None:
            raise MappingError("`ago` counts back from the import of a file; here is none")
        number = self._value(value.model_copy(update={"as_": "number"}), "time")
        unit = timedelta(days=30 if value.ago == "months" else 1)
        return lambda row: None if (count := number(row)) is None else (moment - count * unit).isoformat()

    def _value(self, value: Value, field: str) -> Read:
        if isinstance(value, Column):
            return self._read(value, field)
        if isinstance(value, Join):
            parts = [self._value(part, field) for part in value.join]
            between = value.with_

            def joined(row: Row) -> str | None:
                texts = [str(part) for read in parts if (part := read(row)) is not None]
                return between.join(texts) if texts else None

            return joined
        return lambda row: value

    def _read(self, value: Column, field: str) -> Read:
        raw_of, place = self._raw(value)
        default, share = value.default, value.share
        convert = conversion(value, self._mapping.zone)

        def read(row: Row) -> Any:
            raw = raw_of(row)
            if raw is None:
                return default
            try:
                converted = convert(raw)
            except (ValueError, OverflowError) as error:
                raise InvalidInteraction("unreadable", field, f"{place}: {error}") from None
            return converted / row.repeats if share else converted

        return read

    def _raw(self, place: Place) -> tuple[Read, str]:
        """What stands there, None where nothing does; and how people call the place."""
        empty = self._empty

        def present(value: Any) -> Any:
            if isinstance(value, str):
                value = value.strip()
                return None if value in empty else value
            return value

        if place.path is not None:
            find, relative, many = compile_path(place.path), is_relative(place.path), selects_many(place.path)

            def at_path(row: Row) -> Any:
                found = [
                    value
                    for raw in find(row.element if relative else row.document)
                    if (value := present(raw)) is not None
                ]
                return (found if many else found[0]) if found else None

            return at_path, place.path
        names = self._known(place.columns)

        def in_column(row: Row) -> Any:
            return next((value for name in names if (value := present(row.values.get(name))) is not None), None)

        return in_column, f"column {' or '.join(map(repr, names or place.columns))}"

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
        text = self._value(_column_at(test), "when")
        numbers = test.at_least is not None or test.at_most is not None
        amount = self._value(_column_at(test, "number"), "when")

        def holds(row: Row) -> bool:
            found = text(row)
            if test.present is not None and test.present != (found is not None):
                return False
            if test.is_ is not None and (found is None or _written(found) != test.is_):
                return False
            if test.in_ is not None and (found is None or _written(found) not in test.in_):
                return False
            if not numbers:
                return True
            number = amount(row)
            return (
                number is not None
                and (test.at_least is None or number >= test.at_least)
                and (test.at_most is None or number <= test.at_most)
            )

        return holds

    def _known(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those that the file has."""
        if self._columns is None:
            return names
        held = tuple(name for name in names if name == ROW or name in self._columns)
        self._named += 1
        self._found += bool(held)
        if not held and self._mapping.missing == "error":
            wanted = " or ".join(map(repr, names))
            raise MappingError(f"the file has no column {wanted}; it has: {', '.join(self._columns)}")
        return held


def _item(
    row: Row, scalars: Sequence[tuple[str, Read]], groups: Sequence[tuple[str, Sequence[tuple[str, Read]]]]
) -> Any:
    item: dict[str, Any] = {name: value for name, read in scalars if (value := read(row)) is not None}
    for name, reads in groups:
        if values := {key: value for key, read in reads if (value := read(row)) is not None}:
            item[name] = values
    return item


def _column_at(place: Place, as_: str | None = None) -> Column:
    return Column.model_validate({"column": place.column, "path": place.path, "as": as_})


def _written(value: Any) -> str:
    """As JSON and YAML write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
