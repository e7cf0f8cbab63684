"""Descriptions of JSON schemas: type, choices and bounds of a field."""

from __future__ import annotations

import json
import re
from typing import Any

UNITS = {"Length": " characters", "Items": " entries", "Properties": " entries"}
NAMES = {"integer": "whole number", "boolean": "true or false", "string": "text", "null": "null"}


def shape(schema: dict[str, Any]) -> str:
    """The allowed values, with links to the models that the schema refers to."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(shape(one) for one in schema[key] if one.get("type") != "null"))
    return ", ".join([_kind(schema), *_limits(schema)])


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    """The fields of a model's schema, with the choices of an enumeration instead of its name."""
    choices = {f"#/$defs/{name}": one for name, one in schema.get("$defs", {}).items() if "enum" in one}
    found: dict[str, Any] = _inlined(schema["properties"], choices)
    return found


def _inlined(schema: Any, choices: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(one, choices) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return choices.get(schema.get("$ref", "")) or {name: _inlined(one, choices) for name, one in schema.items()}


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{_plain(value)}`" for value in schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "array":
            inner = schema.get("items") or {"anyOf": schema.get("prefixItems", [{}])}
            return f"list of {shape(inner)}"
        case "object":
            inner = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
            found = next((shape(one) for one in inner if isinstance(one, dict)), "anything")
            return f"mapping of names to {found}"
        case str(kind):
            return NAMES.get(kind, kind)
    return "anything"


def _limits(schema: dict[str, Any]) -> list[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    found = _range(low, high, "")
    found += [f"more than {_plain(schema['exclusiveMinimum'])}"] if "exclusiveMinimum" in schema else []
    found += [f"less than {_plain(schema['exclusiveMaximum'])}"] if "exclusiveMaximum" in schema else []
    for what, unit in UNITS.items():
        found += _range(schema.get(f"min{what}"), schema.get(f"max{what}"), unit)
    if "pattern" in schema:  # the pattern limits the length too
        return [f"like `{schema['pattern']}`"]
    return found


def _range(low: object, high: object, unit: str) -> list[str]:
    if low is None and high is None:
        return []
    if high is None:
        return [f"at least {_plain(low)}{unit}"]
    return [f"at most {_plain(high)}{unit}" if low is None else f"{_plain(low)} to {_plain(high)}{unit}"]


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    return re.sub(r'^"|"$', "", json.dumps(value))


def default(schema: dict[str, Any], required: bool) -> str:
    """The default as a table cell. "required" in bold if the field has none."""
    if required:
        return "**required**"
    value = schema.get("default")
    return "" if value in (None, {}, []) or isinstance(value, dict) else f"`{_plain(value)}`"
