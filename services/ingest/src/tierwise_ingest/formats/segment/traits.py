"""Traits as attributes: nested ones by names with dots, the standard ones by the product's names.

Source: Segment, Spec: Identify, section Traits, and Spec: Group, section Traits.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from tierwise.domain.attributes import RESERVED

_NAME_MAX: Final = 64
_TEXT_MAX: Final = 1_024
_ITEMS_MAX: Final = 100
_DEPTH_MAX: Final = 8

_IDENTIFIERS: Final = frozenset({"email", "phone"})
_PERSON: Final = {
    "firstName": "first_name",
    "lastName": "last_name",
    "createdAt": "created_at",
    "birthday": "birth_date",
    "address.street": "street",
    "address.city": "city",
    "address.state": "region",
    "address.country": "country",
    "address.postalCode": "postal_code",
    "company.name": "company",
    "company.id": "company_id",
    "company.industry": "industry",
    "company.employee_count": "employees",
    "company.employees": "employees",
}
_GROUP: Final = {
    "name": "company",
    "industry": "industry",
    "employees": "employees",
    "employee_count": "employees",
}

Attributes = dict[str, Any]


def of_person(traits: Mapping[str, Any]) -> tuple[Attributes, list[str]]:
    """(attributes, names of the traits that cannot be one). `email` and `phone` are identifiers instead."""
    attributes, unfit = _attributes(traits, _PERSON, prefix="")
    if "title" in attributes:
        attributes.setdefault("occupation", attributes["title"])
    return attributes, unfit


def of_group(group_id: str | None, traits: Mapping[str, Any]) -> tuple[Attributes, list[str]]:
    """The same of a company: what is not among the product's names is `company.NAME`, so that its e-mail address is not
    taken for the person's."""
    attributes, unfit = _attributes(traits, _GROUP, prefix="company.")
    if group_id is not None:
        attributes["company_id"] = group_id
    return attributes, unfit


def _attributes(traits: Mapping[str, Any], names: Mapping[str, str], *, prefix: str) -> tuple[Attributes, list[str]]:
    attributes: Attributes = {}
    unfit = []
    for path, value in _leaves(traits):
        if not prefix and path in _IDENTIFIERS:
            continue
        name = names.get(path) or f"{prefix}{path}"
        if 0 < len(name) <= _NAME_MAX and not name.startswith(RESERVED) and _fits(value):
            attributes[name] = value
        else:
            unfit.append(f"traits.{path[:_NAME_MAX]}")
    return attributes, unfit


def _leaves(traits: Mapping[str, Any], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    """Lists of anything but scalars as JSON."""
    for name, value in traits.items():
        if isinstance(value, dict) and depth < _DEPTH_MAX:
            yield from _leaves(value, f"{prefix}{name}.", depth + 1)
        elif isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(one, dict | list) for one in value)
        ):
            yield f"{prefix}{name}", _json(value)
        else:
            yield f"{prefix}{name}", value


def _json(value: Any) -> str | None:
    try:
        return msgspec.json.encode(value).decode()
    except (RecursionError, UnicodeEncodeError):
        return None


def _fits(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _TEXT_MAX
    return not isinstance(value, list) or (len(value) <= _ITEMS_MAX and all(map(_fits, value)))
