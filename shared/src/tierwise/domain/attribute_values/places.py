"""Places: countries, and the regions and cities of China, by any of their names."""

import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

from tierwise.domain.attribute_values.spelling import squashed

CHINA: Final = frozenset({"CN", "HK", "MO", "TW"})
"""The countries of ISO 3166-1 whose places are known by name."""

_TIERS: Final = ("first", "new_first", "second", "third", "fourth", "fifth")
_SUBDIVISION: Final = re.compile(r"[A-Za-z]{2}-[A-Za-z0-9]{1,3}", re.ASCII)  # ISO 3166-2
_CLEAR_LEAD: Final = 2
_CITY_HEAD: Final = re.compile(r".+?(?:市|自治州|地区|盟)")  # 杭州市西湖区
_LETTERS_OF_OTHERS: Final = frozenset({"hi", "mo", "nm", "sc", "sd"})
"""Letters of Chinese regions that are states of the USA too: they are read only where the country is said."""


class City(NamedTuple):
    """`region`: as CN-31. `tier`: `first` to `fifth` with `new_first`, None where it has no rank."""

    name: str
    region: str
    tier: str | None


@lru_cache(4096)
def country(text: str) -> str | None:
    """ISO 3166-1's two letters."""
    return _countries().get(squashed(text))


@lru_cache(16_384)
def region(text: str, country: str | None) -> str | None:
    """`CN-` and the two digits of GB/T 2260 for a region of China, or where the text is one of its cities, of that.
    Other codes of ISO 3166-2 come back in capitals. `country`: two letters, None where it is not known."""
    if country is None or country in CHINA:
        if (code := _region_named(squashed(text), country)) is not None:
            return code
        if (found := city(text, country, None)) is not None:
            return found.region
        if (split := _split(squashed(text))) is not None and split.whole:
            return split.region
    return text.upper() if _SUBDIVISION.fullmatch(text) and not text.upper().startswith("CN-") else None


@lru_cache(16_384)
def city(text: str, country: str | None, region: str | None) -> City | None:
    """A city of China, with or without its region before it and its district behind it. `region`: where it has to be;
    without it the one that stands at least two tiers above the others that are spelt alike."""
    if country is not None and country not in CHINA:
        return None
    key = squashed(text)
    found = _cities_spelt(key)
    if not found and (split := _split(key)) is not None:
        region = split.region if region in (None, split.region) else "elsewhere"
        of_region = _by_region()[split.region]
        whole_region = len(of_region) == 1 and (split.whole or split.rest.endswith(("区", "县")))
        found = of_region if whole_region else _cities_spelt(split.rest)
    return _chosen(found, region)


@lru_cache(16_384)
def city_within(region_text: str, region: str, country: str | None) -> City | None:
    """The city that a region's text tells: the region may be one city, as Shanghai is, or the text may be one."""
    of_region = _by_region().get(region, [])
    if len(of_region) == 1:
        return of_region[0]
    if _region_named(squashed(region_text), country) is not None:
        return None
    return city(region_text, country, None)


def _region_named(key: str, country: str | None) -> str | None:
    if country is None and key in _LETTERS_OF_OTHERS:
        return None
    return _regions().get(key) or _regions().get(_without(key, _REGION_ENDINGS))


def _cities_spelt(key: str) -> Sequence[City]:
    found = _cities().get(key) or _cities().get(_without(key, _CITY_ENDINGS))
    if found is None and (head := _CITY_HEAD.match(key)) is not None:
        found = _cities().get(head[0])
    return found or ()


def _chosen(found: Sequence[City], region: str | None) -> City | None:
    if region is not None:
        found = [one for one in found if one.region == region]
    if len(found) < 2:
        return found[0] if found else None
    first, second, *_ = sorted(found, key=_rank)
    return first if _rank(second) - _rank(first) >= _CLEAR_LEAD else None


def _rank(one: City) -> int:
    return len(_TIERS) if one.tier is None else _TIERS.index(one.tier)


_REGION_ENDINGS: Final = ("province", "municipality", "autonomousregion", "sar", "city", "sheng", "shi")
_CITY_ENDINGS: Final = ("city", "shi", "municipality", "prefecture")


def _without(key: str, endings: tuple[str, ...]) -> str:
    return next((key.removesuffix(ending) for ending in endings if key.endswith(ending)), key)


class _Split(NamedTuple):
    """`浙江省杭州市`: region CN-33, and the rest. `whole`: the region's name is as in the law."""

    region: str
    whole: bool
    rest: str


def _split(key: str) -> _Split | None:
    for name, whole in _prefixes():
        if key.startswith(name) and key != name:
            return _Split(_regions()[name], whole, key.removeprefix(name))
    return None


@cache
def _regions() -> dict[str, str]:
    """Every spelling, squashed -> code."""
    spelt: dict[str, str] = {}
    for row in _rows("regions.csv"):
        digits, iso = row["code"], row["iso"]
        names = [row["name"], row["full"], row["abbreviation"], row["english"], *row["also"].split("|")]
        codes = [digits, f"{digits}0000", f"CN{digits}", iso, f"CN{iso}"]
        for word in (*names, *codes):
            if word:
                spelt.setdefault(squashed(word), f"CN-{digits}")
    return spelt


@cache
def _prefixes() -> tuple[tuple[str, bool], ...]:
    """(name, as in the law) of what may stand before a city, the longest first."""
    names = [pair for row in _rows("regions.csv") for pair in ((row["full"], True), (row["name"], False))]
    return tuple(sorted(names, key=lambda pair: (-len(pair[0]), pair)))


@cache
def _cities() -> dict[str, list[City]]:
    """Every spelling, squashed -> the cities that it may be."""
    spelt: dict[str, list[City]] = defaultdict(list)
    for row in _rows("cities.csv"):
        one = City(row["name"], f"CN-{row['region']}", row["tier"] or None)
        full = row["full"] or f"{one.name}市"
        for word in dict.fromkeys(map(squashed, (one.name, full, *row["romanised"].split("|")))):
            if word:
                spelt[word].append(one)
    return dict(spelt)


@cache
def _by_region() -> dict[str, list[City]]:
    cities = dict.fromkeys(one for spelt in _cities().values() for one in spelt)
    regions: dict[str, list[City]] = {}
    for one in cities:
        regions.setdefault(one.region, []).append(one)
    return regions


@cache
def _countries() -> dict[str, str]:
    spelt: dict[str, str] = {}
    for row in _rows("countries.csv"):
        for word in (row["code"], row["alpha_3"], row["english"], row["chinese"], *row["also"].split("|")):
            if word:
                spelt.setdefault(squashed(word), row["code"])
    return spelt


def _rows(name: str) -> list[dict[str, str]]:
    text = files("tierwise.domain.attribute_values").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
