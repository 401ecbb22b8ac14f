"""The mapping: how the rows of a file become interactions. A small declarative language, written in YAML.

    format: csv                       # csv, whitespace, ndjson or parquet
    zone: Asia/Shanghai               # of times that name none
    time: {column: date, format: "%Y-%m-%d", at: "12:00"}
    identifiers: {user_id: {column: customer}}
    interactions:                     # one row gives each of these whose `when` holds
      - when: {column: paid, is: "yes"}
        channel: order
        type: purchase
        properties: {amount: {column: total, as: money}}

A *value* is a constant, a column (`{column: name, ...}`), a place in a JSON document (`{path: $.call.from, ...}`) or
parts put together (`{join: [...]}`). What is absent (an empty column, a word under `empty`) is left out of the
interaction.
"""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from tierwise.domain.document import load_yaml
from tierwise.files.json_path import check_path, is_relative

Scalar = bool | int | float | str
Text = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value),
    WithJsonSchema({"type": ["string", "number"]}),
]


class MappingError(Exception):
    """The mapping is wrong; the message has one line for each error, with its place."""


def _known_zone(zone: str) -> str:
    if zone not in available_timezones():
        raise ValueError(f"{zone!r} is no time zone; write one like Asia/Shanghai or UTC")
    return zone


def _known_encoding(encoding: str) -> str:
    try:
        "".encode(encoding)
    except LookupError:
        raise ValueError(f"{encoding!r} is no encoding; the usual ones are utf-8, gb18030, big5") from None
    return encoding


Zone = Annotated[str, AfterValidator(_known_zone)]
JsonPath = Annotated[str, AfterValidator(check_path)]

ROW = "(row)"
"""A column that every file has: what tells a row from all others of its file, in whatever order they stand."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Place(_Part):
    """Where a value stands: in a column, or in the first one of several that the file has and that is not empty; or
    in a JSON document. A path that selects many gives the list of them."""

    column: Text | Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    path: JsonPath | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.column is None) == (self.path is None):
            raise ValueError("write either `column` or `path`: where does the value stand?")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,) if isinstance(self.column, str) else self.column or ()


class Column(Place):
    """What stands in a column, or at a path.

    `as`: how the text is read. money: a decimal string, thousands separators and currency signs taken away (`decimal`:
    what stands before the cents); list: cut at `separator`; scalar: a number, true or false where the text is one.
    `map`: replaces one text by another value; a text that is not in it rejects the row unless `otherwise` says
    what it becomes. `default`: stands in for an absent one.
    `format`, `at`, `zone`: of a time (strptime's letters, iso, epoch_s or epoch_ms, or several to be tried in turn;
    `at` is the time of day of a date without one). `ago`: so many days, or months of 30, before the import.
    `share`: a number is divided among the repeats of the interaction, so that their sum is the column's.
    `absolute`: without its sign.
    """

    as_: Literal["text", "integer", "number", "money", "boolean", "list", "time", "scalar"] | None = Field(
        None, alias="as"
    )
    map: dict[Text, Scalar | list[Scalar]] | None = None
    otherwise: Scalar | None = None
    default: Scalar | None = None
    format: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    ago: Literal["days", "months"] | None = None
    decimal: Literal[".", ","] = "."
    at: str | None = Field(None, pattern=r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$")
    zone: Zone | None = None
    separator: str = ","
    share: bool = False
    absolute: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "Column":
        if self.map is not None and self.as_ is not None:
            raise ValueError("`map` says what each text becomes, so `as` has no place beside it")
        if self.otherwise is not None and self.map is None:
            raise ValueError("`otherwise` belongs to a `map`; for an absent value write `default`")
        if self.share and self.as_ not in ("integer", "number"):
            raise ValueError("`share` divides a number: write `as: number` beside it")
        if self.absolute and self.as_ not in ("integer", "number", "money"):
            raise ValueError("`absolute` is of a number: write `as: number` or `as: money` beside it")
        return self


class Join(_Part):
    """Parts put together, absent ones left out; absent when all of them are."""

    join: list["Value"] = Field(min_length=1)
    with_: str = Field("", alias="with")


def _kind_of_value(value: object) -> str:
    if isinstance(value, dict):
        return "(join)" if "join" in value else "(column)"
    return "(list)" if isinstance(value, list) else "(constant)"


Value = Annotated[
    Annotated[Scalar, Tag("(constant)")]
    | Annotated[list[Scalar], Tag("(list)")]
    | Annotated[Column, Tag("(column)")]
    | Annotated[Join, Tag("(join)")],
    Discriminator(_kind_of_value),
]


class Test(Place):
    """True when all that is written holds of what stands there. Texts are compared as written, after trimming."""

    is_: Text | None = Field(None, alias="is")
    in_: list[Text] | None = Field(None, alias="in", min_length=1)
    present: bool | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Test":
        if all(v is None for v in (self.is_, self.in_, self.present, self.at_least, self.at_most)):
            raise ValueError("a condition needs one of `is`, `in`, `present`, `at_least`, `at_most`")
        return self


class Every(_Part):
    all: list["Condition"] = Field(min_length=1)


class Either(_Part):
    any: list["Condition"] = Field(min_length=1)


class Not(_Part):
    not_: "Condition" = Field(alias="not")


def _kind_of_condition(value: object) -> str:
    if isinstance(value, dict):
        return next((f"({word})" for word in ("all", "any", "not") if word in value), "(test)")
    return "(test)"


Condition = Annotated[
    Annotated[Every, Tag("(all)")]
    | Annotated[Either, Tag("(any)")]
    | Annotated[Not, Tag("(not)")]
    | Annotated[Test, Tag("(test)")],
    Discriminator(_kind_of_condition),
]


class Repeat(Place):
    """The interaction happened as many times as stands there, at most `at_most` of which are made."""

    at_most: int = Field(ge=1, le=500)


class Entry(_Part):
    """One interaction of a row. What it does not say is taken from the mapping's own `time` and `identifiers`. `each`:
    one for each element that the path selects, of which paths that begin with @ tell."""

    each: JsonPath | None = None
    when: Condition | None = None
    id: Value | None = None
    time: Value | None = None
    channel: Value
    type: Value
    identifiers: dict[str, Value] | None = None
    attributes: dict[str, Value] = {}
    properties: dict[str, Value] = {}
    repeat: Repeat | None = None


class Mapping(_Part):
    """A whole mapping. `delimiter` absent: found in the first line. `columns`: names in the place of the header's.
    `missing`: whether columns that the file has not are an error, or empty; some are needed in any case."""

    about: str = ""
    format: Literal["csv", "whitespace", "ndjson", "parquet"] = "csv"
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    header: bool = True
    columns: tuple[str, ...] | None = Field(None, min_length=1)
    missing: Literal["error", "empty"] = "error"
    empty: frozenset[Text] = frozenset()
    zone: Zone | None = None
    time: Value | None = None
    identifiers: dict[str, Value] = {}
    interactions: list[Entry] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> "Mapping":
        if self.format in ("csv", "whitespace") and not self.header and self.columns is None:
            raise ValueError("a file without header needs `columns`")
        if self.columns and len(set(self.columns)) < len(self.columns):
            raise ValueError("`columns` names one of them twice")
        for number, entry in enumerate(self.interactions):
            if entry.time is None and self.time is None:
                raise ValueError(f"interactions[{number}] has no `time` (for the moment of the import: `time: import`)")
            if entry.each is not None and is_relative(entry.each):
                raise ValueError(f"interactions[{number}].each is of the document: begin it with $")
            if not (entry.identifiers or self.identifiers):
                raise ValueError(f"interactions[{number}] has no `identifiers`: nobody could say whose it is")
        return self


def mapping_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of mapping files, for editors. What depends on several words is told by `parse_mapping`."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Tierwise mapping"}
    return Mapping.model_json_schema(by_alias=True) | head


def ready_mappings() -> list[str]:
    """The names of the mappings that come with Tierwise."""
    folder = files("tierwise.files") / "mappings"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_mapping(name_or_path: str) -> Mapping:
    """A ready mapping by name, or one from a file. Raises MappingError."""
    if name_or_path in ready_mappings():
        text = (files("tierwise.files") / "mappings" / f"{name_or_path}.yaml").read_text("utf-8")
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise MappingError(f"{name_or_path} is neither a file nor a ready mapping ({', '.join(ready_mappings())})")
        text = path.read_text("utf-8")
    return parse_mapping(text, name=name_or_path)


def parse_mapping(text: str, *, name: str) -> Mapping:
    """Raises MappingError with every error in it."""
    try:
        document = load_yaml(text)
    except yaml.YAMLError as error:
        raise MappingError(f"{name} is no YAML: {error}") from None
    if not isinstance(document, dict):
        raise MappingError(f"{name} has to be a YAML mapping with `interactions` in it")
    try:
        return Mapping.model_validate(document)
    except ValidationError as error:
        lines = [f"  {_place(problem['loc'])}: {_reason(problem)}" for problem in error.errors()]
        raise MappingError("\n".join([f"{name} is no valid mapping:", *lines])) from None


def _place(location: tuple[int | str, ...]) -> str:
    """`interactions[0].properties.amount`: what stands in brackets is the name of a union's branch."""
    place = ""
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        elif not part.startswith("("):
            place += f".{part}" if place else part
    return place or "the mapping"


def _reason(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "is no word of the mapping language"
    return str(problem["msg"]).removeprefix("Value error, ")
