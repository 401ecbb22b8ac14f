"""An OpenAPI document brought to its last form: what has a name is said once, and every parameter, body and answer has
an example, put together from the examples of its parts where it has none of its own."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = dict[str, Any]
Examples = Mapping[str, Any]
"""By the name of a parameter or a property, or by media type, for those whose schema has none."""

_OF_TYPE: Final[Mapping[str, Any]] = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "null": None}
_OF_FORMAT: Final[Mapping[str, Any]] = {"date-time": "2026-11-20T09:30:00Z", "date": "2026-11-20"}


def complete(document: dict[str, Any], examples: Examples) -> None:
    """In place. Parameters are nullable no more: in an address there is no null."""
    components: dict[str, Schema] = document.setdefault("components", {}).setdefault("schemas", {})
    document["paths"] = _named(document["paths"], components)
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _without_null(parameter["schema"])
            if parameter.keys().isdisjoint({"example", "examples"}):
                parameter["example"] = example_of(parameter["schema"], components, examples, parameter["name"])
        for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
            for media_type, content in holder.get("content", {}).items():
                if content.keys().isdisjoint({"example", "examples"}):
                    content["example"] = examples.get(media_type) or example_of(
                        content.get("schema", {}), components, examples
                    )


def _named(node: Any, components: dict[str, Schema]) -> Any:
    """A copy, in which objects that have a title are references to components of that name."""
    if isinstance(node, list):
        return [_named(one, components) for one in node]
    if not isinstance(node, dict):
        return node
    copy = {name: _named(one, components) for name, one in node.items()}
    title = copy.get("title")
    if "properties" not in copy or not isinstance(title, str) or not title.isidentifier():
        return copy
    same = components.setdefault(title, copy) == copy
    return {"$ref": f"#/components/schemas/{title}"} if same else copy


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method in capitals, path, operation)."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def example_of(schema: Schema, components: Mapping[str, Schema], examples: Examples, name: str = "") -> Any:
    """What fits a JSON Schema. `name`: of the property or parameter that has it."""
    if "$ref" in schema:
        return example_of(components[schema["$ref"].rpartition("/")[2]], components, examples, name)
    if "examples" in schema:
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return example_of(schema[several][0], components, examples, name)
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind == "array":
        return [example_of(schema.get("items", {}), components, examples, name)]
    if kind == "object":
        return None if "null" in kinds else _object(schema, components, examples)
    if name in examples:
        return examples[name]
    if "null" in kinds:
        return None
    return _OF_FORMAT.get(schema.get("format", ""), schema.get("default") or _OF_TYPE[kind])


def _object(schema: Schema, components: Mapping[str, Schema], examples: Examples) -> dict[str, Any]:
    """What has to be there, and what may be and says itself what it is like."""
    required = schema.get("required", ())
    return {
        name: example_of(one, components, examples, name)
        for name, one in schema.get("properties", {}).items()
        if name in required or "examples" in one
    }


def _without_null(schema: Schema) -> Schema:
    others: list[Schema] = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(others) != 1:
        return schema
    return others[0] | {name: value for name, value in schema.items() if name not in ("anyOf", "default")}


def merge_patch(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    """Of a JSON merge patch (RFC 7396) of what has this schema: nothing is required, null is the default again."""
    properties = {name: _patched(one, components) for name, one in schema["properties"].items()}
    return {name: value for name, value in schema.items() if name != "required"} | {"properties": properties}


def _patched(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    if "$ref" in schema:
        return _patched(components[schema["$ref"].rpartition("/")[2]], components)
    if "anyOf" in schema:
        return schema | {"anyOf": [_patched(one, components) for one in schema["anyOf"]]}
    inside = merge_patch(schema, components) if "properties" in schema else schema
    return {"anyOf": [inside, {"type": "null"}]}
