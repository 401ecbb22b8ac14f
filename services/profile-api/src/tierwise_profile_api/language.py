"""Which of our languages a caller reads best."""

from typing import Final

LANGUAGES: Final = ("en", "zh")


def negotiated(accept_language: str | None) -> str:
    """The language of an Accept-Language header (RFC 9110, 12.5.4): the most wanted of ours, else English."""
    best, best_quality = LANGUAGES[0], 0.0
    for wanted in (accept_language or "").lower().split(",")[:20]:
        tag, _, weight = wanted.partition(";")
        language = tag.strip().partition("-")[0]
        quality = _quality(weight)
        if language in LANGUAGES and quality > best_quality:
            best, best_quality = language, quality
    return best


def _quality(weight: str) -> float:
    name, _, value = weight.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
