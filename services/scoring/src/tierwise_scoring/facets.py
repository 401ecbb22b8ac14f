"""Facets: what lists, counts and statistics read, one narrow row a customer beside the classification."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import asyncpg
import numpy as np
import numpy.typing as npt

from tierwise.db.facets import INTEREST, NAMED, TAG, TEXTS, UNKNOWN, Value, bits_of, numbers_in, numbers_of
from tierwise.domain.attribute_values.age import AGE_GROUP, BIRTH_YEAR, group_of_year, is_birth_year
from tierwise.domain.attributes import Attributes, value_of
from tierwise.domain.calendar import date_of
from tierwise.domain.name_words import words_held
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.rulebook.book import FIRST_TOUCH, LAST_TOUCH
from tierwise.domain.view import tags_of
from tierwise_scoring.measures import Measures

ATTRIBUTES: Final = {
    "region": "region",
    "city_tier": "city_tier",
    "age_group": AGE_GROUP,
    "gender": "gender",
    "occupation": "occupation",
    "industry": "industry",
    "company_size": "company_size",
    "customer_type": "customer_type",
    "owner": "owner",
    "first_touch": FIRST_TOUCH,
    "last_touch": LAST_TOUCH,
}
"""Column -> the attribute that it shows."""

_SHORT: Final = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


class Facets(NamedTuple):
    """`tags`: `family.name:value`, sorted, so that rulebooks that say them in another order agree. `words`: hashes, of
    the customer's names. Attributes: None where they are not known, or no short text."""

    tier: str
    intent: str
    stage: str
    tags: tuple[str, ...]
    words: tuple[int, ...]
    region: str | None
    city_tier: str | None
    age_group: str | None
    gender: str | None
    occupation: str | None
    industry: str | None
    company_size: str | None
    customer_type: str | None
    owner: str | None
    first_touch: str | None
    last_touch: str | None


def facets_of(result: npt.NDArray[np.void], held: Sequence[Attributes], rulebook: Rulebook, today: int) -> list[Facets]:
    """Of customers with these results and attributes. `today`: the business day that they were classified on."""
    width = result.dtype["tags"].itemsize
    codes = result["tags"].tobytes()
    named = (
        [names[code] for code in result[column].tolist()]
        for column, names in (
            ("tier", rulebook.tier_names), ("level", rulebook.level_names), ("stage", rulebook.stage_names)
        )
    )  # fmt: skip
    year = date_of(today).year
    return [
        Facets(
            tier,
            level,
            stage,
            _tags(codes[place * width : (place + 1) * width], rulebook),
            *(_shown(one, year) if one else _NOTHING),
        )
        for place, (tier, level, stage, one) in enumerate(zip(*named, held, strict=True))
    ]


@lru_cache(maxsize=4_096)  # many customers have the same
def _tags(codes: bytes, rulebook: Rulebook) -> tuple[str, ...]:
    result = np.zeros(1, rulebook.result)[0]
    result["tags"] = np.frombuffer(codes, result["tags"].dtype)
    return tuple(sorted(f"{family}.{name}:{value}" for family, name, value in tags_of(result, rulebook)))


_NAMES: Final = tuple(ATTRIBUTES.values())
_AGE_GROUP_AT: Final = 1 + _NAMES.index(AGE_GROUP)
_NOTHING: Final = ((), *(None for _ in ATTRIBUTES))


def _shown(held: Attributes, year: int) -> list[Any]:
    """Words and attributes, in the order of Facets."""
    shown = [words_held(held), *(_short(value_of(held, name)) if name in held else None for name in _NAMES)]
    if BIRTH_YEAR in held and is_birth_year(born := value_of(held, BIRTH_YEAR)):
        shown[_AGE_GROUP_AT] = group_of_year(born, year)
    return shown


def _short(value: Any) -> str | None:
    return value if isinstance(value, str) and _is_short(value) else None


@lru_cache(maxsize=4_096)
def _is_short(text: str) -> bool:
    return _SHORT.fullmatch(text) is not None


def facets_moved(before: npt.NDArray[np.void], after: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Whether the classification makes any facet another one, by customer. Both are results in the layout of one
    rulebook."""
    moved: npt.NDArray[np.bool_] = (before["tags"] != after["tags"]).any(axis=1)
    for name in ("tier", "level", "stage"):
        moved |= before[name] != after[name]
    return moved


async def write_facets(
    tx: asyncpg.Connection, ids: Sequence[int], facets: Mapping[int, Facets], measures: Measures
) -> None:
    """`facets`: by the place of the customer in `ids`, of those whose facets are to be written; of the others only the
    measures are. The customers' rows are there already, and locked: first and last seen are theirs."""
    numbers = await numbers_of(tx, _values(facets.values(), measures))
    if facets:
        places = sorted(facets)
        written = [facets[place] for place in places]
        columns = dict(zip(Facets._fields, zip(*written, strict=True), strict=True))
        texts = [_numbered(name, columns[name], numbers) for name in _COLUMNS]
        ids_of = [ids[place] for place in places]
        words = [",".join(map(str, one.words)) for one in written]
        tags = _tag_bits(written, numbers)
        await tx.execute(_UPSERT, ids_of, *measures.arrays(places, numbers), tags, words, *texts)
    others = [place for place in range(len(ids)) if place not in facets]
    if others:
        await tx.execute(_UPDATE, [ids[place] for place in others], *measures.arrays(others, numbers))


def _numbered(name: str, column: Sequence[str | None], numbers: Mapping[Value, int]) -> list[int]:
    number = {value: UNKNOWN if value is None else numbers.get((name, value), UNKNOWN) for value in set(column)}
    return [number[value] for value in column]


_COLUMNS: Final = [name for name in Facets._fields if name not in ("tags", "words")]


def _values(facets: Iterable[Facets], measures: Measures) -> set[Value]:
    values: set[Value] = set(measures.values())
    columns: Iterable[tuple[Any, ...]] = zip(*facets, strict=True)
    for name, column in zip(Facets._fields, columns, strict=False):
        if name == "tags":
            values.update((TAG, tag) for tag in {tag for tags in set(column) for tag in tags})
        elif name != "words":
            values.update((name, value) for value in set(column) if value is not None)
    return values


def _tag_bits(facets: Sequence[Facets], numbers: Mapping[Value, int]) -> list[bytes]:
    made: dict[tuple[str, ...], bytes] = {}
    for one in facets:
        if one.tags not in made:
            made[one.tags] = bits_of(numbers[TAG, tag] for tag in one.tags)
    return [made[one.tags] for one in facets]


async def read_facets(tx: asyncpg.Connection, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """By customer what is stored, the columns of Facets and Measures. A number that stands for nothing: itself."""
    rows = await tx.fetch("SELECT * FROM customer_facets WHERE customer_id = ANY($1::bigint[])", ids)
    numbers = {(name, row[name]) for row in rows for name in TEXTS}
    for row in rows:
        numbers.update((TAG, number) for number in numbers_in(row["tags"]))
        numbers.update((INTEREST, number) for number in row["interests"])
    named = await tx.fetch(NAMED, [facet for facet, _ in numbers], [number for _, number in numbers])
    names: dict[tuple[str, int], Any] = {(facet, number): value for facet, number, value in named}

    def read(row: asyncpg.Record) -> dict[str, Any]:
        texts = {name: names.get((name, row[name]), row[name] or None) for name in TEXTS}
        tags = tuple(sorted(str(names.get((TAG, number), number)) for number in numbers_in(row["tags"])))
        interests = sorted(str(names.get((INTEREST, number), number)) for number in row["interests"])
        return {**dict(row), **texts, "tags": tags, "words": tuple(row["words"]), "interests": interests}

    return {row["customer_id"]: read(row) for row in rows}


_MEASURES: Final = "score, tier_score, preferred_channel, orders, amount, interests, first_seen, last_seen"
_FACETS: Final = ", ".join(_COLUMNS)
_IN: Final = "$1::bigint[], $2::smallint[], $3::smallint[], $4::int[], $5::int[], $6::bigint[], $7::text[]"
_IN_TEXTS: Final = "".join(f", ${number}::int[]" for number in range(10, 10 + len(_COLUMNS)))
_IN_FACETS: Final = f", $8::bytea[], $9::text[]{_IN_TEXTS}"
_NEW: Final = "id, score, tier_score, preferred_channel, orders, amount, interests"
_MEASURED: Final = """new.score, new.tier_score, new.preferred_channel, new.orders, new.amount,
                      string_to_array(new.interests, ',')::int[], held.first_seen, held.last_seen"""


def _of(alias: str, names: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in names.split(", "))


_UPSERT: Final = f"""
    INSERT INTO customer_facets (customer_id, {_MEASURES}, tags, words, {_FACETS})
    SELECT new.id, {_MEASURED}, new.tags, string_to_array(new.words, ',')::bigint[], {_of("new", _FACETS)}
    FROM unnest({_IN}{_IN_FACETS}) AS new ({_NEW}, tags, words, {_FACETS}) JOIN customers AS held ON held.id = new.id
    ON CONFLICT (customer_id) DO UPDATE
    SET ({_MEASURES}, tags, words, {_FACETS}) = ROW ({_of("excluded", f"{_MEASURES}, tags, words, {_FACETS}")})"""
_UPDATE: Final = f"""
    UPDATE customer_facets AS f SET ({_MEASURES}) = ROW ({_MEASURED})
    FROM unnest({_IN}) AS new ({_NEW}) JOIN customers AS held ON held.id = new.id
    WHERE f.customer_id = new.id AND ({_of("f", _MEASURES)}) IS DISTINCT FROM ({_MEASURED})"""
