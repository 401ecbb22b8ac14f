"""Nested JSON as columns."""

from typing import Any


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as columns whose names are joined by dots."""
    columns: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            columns |= flat(value, f"{prefix}{name}.")
        else:
            columns[prefix + name] = value
    return columns
