"""The mapping of a table whose columns are named as the native form is."""

from typing import Any

from tierwise.files.mapping import Mapping, MappingError, ready_mappings


def native_mapping(columns: tuple[str, ...]) -> Mapping:
    """For a table whose columns are named as the native form is, with dots: id, time, channel, type, identifiers.email,
    attributes.region, properties.amount. Raises MappingError when they are not."""
    entry: dict[str, Any] = {"identifiers": {}, "attributes": {}, "properties": {}}
    for column in columns:
        group, dot, name = column.partition(".")
        if column == "time":
            entry[column] = {"column": column, "as": "time"}
        elif column in ("id", "channel", "type"):
            entry[column] = {"column": column}
        elif dot and group in ("attributes", "properties"):
            entry[group][name] = {"column": column, "as": "money" if column == "properties.amount" else "scalar"}
        elif dot and group == "identifiers":
            entry[group][name] = {"column": column, "as": "text"}
        else:
            raise MappingError(
                f"the column {column!r} is none of id, time, channel, type, identifiers.*, attributes.*, properties.*: "
                f"say with --mapping what it means (ready ones: {', '.join(ready_mappings())})"
            )
    missing = [name for name in ("channel", "type") if name not in entry]
    if missing or not entry["identifiers"]:
        raise MappingError(
            f"the file has no column {', '.join(missing) or 'identifiers.*'}: say with --mapping what stands for it"
        )
    entry.setdefault("time", "import")
    return Mapping.model_validate({"interactions": [entry]})
