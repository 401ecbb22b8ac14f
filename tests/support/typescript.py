"""TypeScript types of the profile API: `python -m tests.support.typescript` writes docs/tierwise.d.ts."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support.database import test_settings
from tierwise.openapi import operations
from tierwise_profile_api.app import create_app

TYPES = Path(__file__).parents[2] / "docs" / "tierwise.d.ts"

_HEAD = """\
// Types of the profile API, made from its OpenAPI document. Other fields may come: pass over what you do not know.
"""
_SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")

Schema = Mapping[str, Any]


def types_of(document: Mapping[str, Any]) -> str:
    """An interface for each schema, and `Operations`: what each takes and answers when all is well."""
    blocks = [_HEAD]
    for name, schema in sorted(document["components"]["schemas"].items()):
        blocks.append(f"{_comment(schema, '')}export type {name} = {_type(schema, '')};\n")
    entries = [_operation(f"{method} {path}", one) for method, path, one in operations(dict(document))]
    blocks.append("export interface Operations {\n" + "".join(entries) + "}\n")
    return "\n".join(blocks)


def _operation(name: str, operation: Mapping[str, Any]) -> str:
    lines = [f"  /** {operation['summary']}. */\n", f"  {json.dumps(name)}: {{\n"]
    for place in ("path", "query"):
        given = [one for one in operation.get("parameters", ()) if one["in"] == place]
        properties = {one["name"]: one["schema"] | {"description": one.get("description", "")} for one in given}
        required = [one["name"] for one in given if one["required"]]
        closed = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        lines.append(f"    {place}: {_type(closed, '    ')};\n")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    lines.append(f"    body: {'undefined' if body is None else _type(body, '    ')};\n")
    lines.append(f"    answer: {_answer(operation['responses'])};\n  }};\n")
    return "".join(lines)


def _answer(responses: Mapping[str, Any]) -> str:
    [content] = [one.get("content", {}) for status, one in responses.items() if status.startswith("2")]
    found = content.get("application/json")
    return _type(found["schema"], "    ") if found else "string" if content else "undefined"


def _type(schema: Schema, indent: str) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(_type(one, indent) for one in schema[several]))
    if "const" in schema or "enum" in schema:
        return " | ".join(json.dumps(one) for one in schema.get("enum", [schema.get("const")]))
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    return " | ".join(_of_kind(kind, schema, indent) for kind in kinds) or "unknown"


def _of_kind(kind: str, schema: Schema, indent: str) -> str:
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(_type(one, indent) for one in schema['prefixItems'])}]"
        item = _type(schema.get("items", {}), indent)
        return f"({item})[]" if " | " in item else f"{item}[]"
    if kind == "object":
        return _object(schema, indent)
    return _SCALARS[kind]


def _object(schema: Schema, indent: str) -> str:
    properties, required = schema.get("properties", {}), schema.get("required", ())
    if not properties:
        others = schema.get("additionalProperties", True)
        value = _type(others, indent) if isinstance(others, Mapping) else "unknown"
        return "{}" if others is False else f"{{ [name: string]: {value} }}"
    return "{\n" + "".join(_members(properties, required, indent + "  ")) + indent + "}"


def _members(properties: Mapping[str, Schema], required: Any, indent: str) -> Iterator[str]:
    for name, schema in properties.items():
        shown = name if _NAME.fullmatch(name) else json.dumps(name)
        yield f"{_comment(schema, indent)}{indent}{shown}{'' if name in required else '?'}: {_type(schema, indent)};\n"


def _comment(schema: Schema, indent: str) -> str:
    text = " ".join(str(schema.get("description", "")).split()).replace("*/", "* /")
    return f"{indent}/** {text} */\n" if text else ""


def generated() -> str:
    settings = test_settings(database_url="postgresql://nobody@nowhere/nothing", data_dir=Path())
    return types_of(create_app(settings).openapi())


if __name__ == "__main__":
    sys.exit(0 if TYPES.write_text(generated(), "utf-8") else 1)
