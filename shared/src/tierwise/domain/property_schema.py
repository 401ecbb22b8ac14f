"""What a source's own JSON Schema says of the properties of its interactions."""

from typing import Any

from jsonschema_rs import Draft202012Validator, ReferencingError, ValidationError, ValidationErrorKind


class InvalidSchema(ValueError):  # noqa: N818
    """This is no JSON Schema, or it refers to another document."""


class PropertySchema:
    """JSON Schema 2020-12, compiled: 0.2 us for a few properties."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Nothing is ever fetched: references stay inside the schema. Raises InvalidSchema."""
        try:
            self._validator = Draft202012Validator(schema, mask="the value", offline=True)
        except (ValidationError, ReferencingError) as error:
            raise InvalidSchema(str(error).partition("\n")[0]) from error

    def violation(self, properties: dict[str, Any]) -> tuple[str, str] | None:
        """Field (dots join names, `properties` first) and reason of the first one, without any value; None: it fits."""
        if self._validator.is_valid(properties):
            return None
        error = next(self._validator.iter_errors(properties))
        path = ["properties", *map(str, error.instance_path)]
        if isinstance(error.kind, ValidationErrorKind.Required):
            return ".".join([*path, error.kind.property]), "It is required"
        return ".".join(path), error.message
