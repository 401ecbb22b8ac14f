"""Identifiers in the one form in which they are compared, hashed and stored."""

import re
from functools import lru_cache

import phonenumbers
from email_validator import EmailNotValidError, validate_email

IDENTIFIER_CHARACTERS_MAX = 256

# The plain addresses, nearly all there are; quoted, internationalised and odd ones take the library's way.
_PLAIN_EMAIL = re.compile(
    r"([a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*)@(?:(?!xn--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.ASCII
)


class InvalidIdentifier(ValueError):  # noqa: N818
    """The value cannot be an identifier of its kind; says why without repeating it."""


def normalise(kind: str, value: str, *, default_region: str | None = None) -> str:
    """E-mail lower-cased, phone in E.164 (`default_region`, ISO 3166, where it has no country code), others
    as they are. Normalising again changes nothing. Raises InvalidIdentifier."""
    if kind == "email":
        return _email(value)
    if kind == "phone":
        return _phone(value, default_region)
    if not value or value.isspace():
        raise InvalidIdentifier("it is empty")
    if len(value) > IDENTIFIER_CHARACTERS_MAX:
        raise InvalidIdentifier(f"it has more than {IDENTIFIER_CHARACTERS_MAX} characters")
    return value


def _email(value: str) -> str:
    lowered = value.strip().lower()
    plain = _PLAIN_EMAIL.fullmatch(lowered)
    if plain is not None and plain.end(1) <= 64 and len(lowered) <= 254:
        return lowered
    if "." not in lowered.rpartition("@")[2]:
        raise InvalidIdentifier("the part after the @ is no domain")
    try:
        found = validate_email(lowered, check_deliverability=False, globally_deliverable=False, strict=True)
    except EmailNotValidError as error:
        raise InvalidIdentifier("it is no e-mail address") from error
    return found.normalized.lower()


@lru_cache(maxsize=65_536)  # parsing takes 20 us, and the same customers come again
def _phone(value: str, default_region: str | None) -> str:
    normal = _e164(value, default_region)
    # Some digits that are no number anywhere read as another one each time (0s after a 0 that is a trunk prefix).
    if _e164(normal, None) != normal:
        raise InvalidIdentifier("it is no phone number")
    return normal


def _e164(value: str, default_region: str | None) -> str:
    try:
        number = phonenumbers.parse(value, default_region)
    except phonenumbers.NumberParseException as error:
        hint = "" if default_region else "; without a default region of its source it needs +COUNTRY in front"
        raise InvalidIdentifier(f"it is no phone number{hint}") from error
    if number.extension:
        raise InvalidIdentifier("it has an extension: many people share the number before it")
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise InvalidIdentifier("it has too few or too many digits for its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
