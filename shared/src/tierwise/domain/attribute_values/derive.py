"""Deriving: the attributes that an interaction brings, in normal form and with what follows from them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tierwise.domain.attribute_values import age, company_size, names, places, words
from tierwise.domain.attribute_values.spelling import text_of


def derive(attributes: Mapping[str, Any], *, year: int) -> dict[str, Any]:
    """`attributes` as given, with normal values where they are understood and with what follows from them.

    What is not understood stays as given. Deriving again changes nothing. `year`: of the interaction; who is 35 in it
    was born 35 years before. What follows from an attribute is unset with it.
    """
    given = _given(attributes)
    if not given:
        return dict(attributes)
    return {**attributes, **_Derivation(given, year).found}


def _given(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """By our names."""
    found: dict[str, tuple[int, str, Any]] = {}
    for name, value in attributes.items():
        if (known := names.canonical(name)) is not None:
            ours, rank = known
            if ours not in found or (rank, name) < found[ours][:2]:
                found[ours] = (rank, name, value)
    return {ours: value for ours, (_, _, value) in found.items()}


_BY_WORD: Final[dict[str, Callable[[str], Any]]] = {
    "country": places.country,
    "gender": words.gender,
    "birth_year": age.birth_year,
    "occupation": words.occupation,
    "industry": words.industry,
}


class _Derivation:
    """`found`: what is to be set, by our names."""

    def __init__(self, given: Mapping[str, Any], year: int) -> None:
        self._given = given
        self.found: dict[str, Any] = {name: value for name, value in given.items() if name in names.SAME}
        for name, value in given.items():
            if (meaning := _BY_WORD.get(name)) is not None and (text := text_of(value)) is not None:
                self._set(name, meaning(text))
        if not given.keys().isdisjoint(_PLACES):
            self._place()
        if not given.keys().isdisjoint(_COMPANIES):
            self._company()
        if not given.keys().isdisjoint(_AGES):
            self._age(year)

    def _set(self, name: str, known: Any) -> None:
        """None: it is not understood, and stays as given."""
        if known is not None:
            self.found[name] = known

    def _follows(self, name: str, value: Any) -> None:
        """What is given wins over what would follow."""
        if name not in self._given:
            self.found[name] = value

    def _text(self, name: str) -> str | None:
        return text_of(self._given.get(name))

    def _place(self) -> None:
        country_text = self._text("country")
        country = places.country(country_text) if country_text is not None else None
        region_text, city_text = self._text("region"), self._text("city")
        region = places.region(region_text, country) if region_text is not None else None
        city = places.city(city_text, country, region) if city_text is not None else None
        if region_text is not None and region is not None:
            self.found["region"] = region
            if "city" not in self._given:
                city = places.city_within(region_text, region, country)
        if city is not None:
            self.found["city"] = city.name
            self._follows("region", city.region)
        if "city" in self.found:  # also where the new city is not known: the tier of the one before is wrong now
            self._follows("city_tier", city.tier if city else None)
        if (text := self._text("city_tier")) is not None:
            self._set("city_tier", words.city_tier(text))

    def _company(self) -> None:
        if (text := self._text("customer_type")) is not None and (type_ := words.customer_type(text)) is not None:
            self.found["customer_type"] = type_
            if type_ == "company" and (size := words.company_size(text)) is not None:
                self._follows("company_size", size)
        if (text := self._text("employees")) is not None and (size := company_size.by_employees(text)) is not None:
            self._follows("company_size", size)
        if (text := self._text("company_size")) is not None:
            self._set("company_size", company_size.company_size(text))

    def _age(self, year: int) -> None:
        born = None
        if (text := self._text("birth_date")) is not None:
            born = age.birth_year(text)
        if born is None and (text := self._text("age")) is not None:
            born = age.birth_year_of_age(text, year)
        if born is not None or self._given.get("birth_date", "") is None:
            self._follows("birth_year", born)
        if (text := self._text("age_group")) is not None:
            self._set("age_group", words.age_group(text) or age.group_of_range(text))


_PLACES: Final = frozenset({"region", "city", "city_tier"})
_COMPANIES: Final = frozenset({"company_size", "employees", "customer_type"})
_AGES: Final = frozenset({"birth_date", "age", "age_group"})
