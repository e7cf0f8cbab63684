"""The page at /docs: every operation of the OpenAPI document, on a page without scripts.

It loads nothing from other hosts. Without scripts the page cannot leak the session of the dashboard's origin.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.headers import NOTHING

router = APIRouter(include_in_schema=False)
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
body { color: #1b1f24; background: #fff; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #d0d7de; }
details { margin: .4rem 0; padding: .3rem .6rem; border: 1px solid #d0d7de; border-radius: 6px; }
summary { cursor: pointer; }
code { font: 14px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
td:first-child code { overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .25rem .5rem; border-bottom: 1px solid #d0d7de; }
a { color: #0a58a8; }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117; }
  h2, details, th, td { border-color: #3d444d; }
  a { color: #79b8ff; }
}
"""
_DIGEST = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"{NOTHING}; style-src 'sha256-{_DIGEST}'"


@router.get("/docs")
def show_docs(request: Request) -> Response:
    """The page."""
    text = docs_page(request.app.openapi(), request.scope["root_path"])
    return Response(text, headers={"Content-Security-Policy": POLICY}, media_type="text/html; charset=utf-8")


def docs_page(document: Mapping[str, Any], root_path: str = "") -> str:
    """The document as HTML. `root_path`: the prefix of its links."""
    title = f"{document['info']['title']} API {document['info']['version']}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{_text(one)}</p>" for one in document["info"]["description"].split("\n\n")),
    ]
    parts.append(
        "<p>The OpenAPI document, for programs such as Swagger UI, ReDoc, Postman and client generators: "
        f'<a href="{root_path}/openapi.json"><code>/openapi.json</code></a>. <a href="{root_path}/">Dashboard</a></p>'
    )
    for tag in document["tags"]:
        parts += [f"<h2>{escape(tag['name'].capitalize())}</h2>", f"<p>{_text(tag['description'])}</p>"]
        parts += [_operation(*one) for one in _operations(document, tag["name"])]
    parts += ["<h2>Schemas</h2>", *(_schema(*one) for one in sorted(document["components"]["schemas"].items()))]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def _operations(document: Mapping[str, Any], tag: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if tag in operation["tags"]:
                yield method.upper(), path, operation


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    scopes = [scope for one in operation.get("security", []) for found in one.values() for scope in found]
    needs = " or ".join(f"<code>{escape(scope)}</code>" for scope in dict.fromkeys(scopes))
    rows = [
        _row(f"<code>{escape(p['name'])}</code> ({p['in']})", _parameter(p)) for p in operation.get("parameters", [])
    ]
    content = operation.get("requestBody", {}).get("content", {})
    rows += [_row("body", f"{escape(media)}: {_kind(one.get('schema', {}))}") for media, one in content.items()]
    rows += [_row(escape(status), _answer(answer)) for status, answer in operation["responses"].items()]
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><code><b>{method}</b> {escape(path)}</code> '
        f"{escape(operation['summary'])}</summary><p>{_text(operation.get('description', ''))}</p>"
        f"<p>Scope: {needs or 'none, public'}. Operation: <code>{escape(operation['operationId'])}</code></p>"
        f"<table>{''.join(rows)}</table></details>"
    )


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _parameter(parameter: Mapping[str, Any]) -> str:
    facts = [_kind(parameter["schema"]), "required" if parameter.get("required") else ""]
    return ", ".join(filter(None, [*facts, _text(parameter.get("description", ""))]))


def _answer(answer: Mapping[str, Any]) -> str:
    kinds = [_kind(one.get("schema", {})) for one in answer.get("content", {}).values()]
    return ": ".join(filter(None, [_text(answer["description"]), ", ".join(dict.fromkeys(filter(None, kinds)))]))


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        _row(
            f"<code>{escape(field)}</code>{'' if field in required else '?'}",
            _kind(one),
            _text(one.get("description", "")),
        )
        for field, one in schema.get("properties", {}).items()
    ]
    description = f"<p>{_text(schema.get('description', ''))}</p>"
    return (
        f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary>{description}'
        f"<table>{''.join(rows)}</table></details>"
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """A short description of a schema, with links to other schemas."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if schema.get("type") == "string" and "anyOf" in schema:
        return f"{_kind(schema['anyOf'][0])} or others"
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(filter(None, map(_kind, schema[word]))))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {})) or 'anything'}"
    form = f" like <code>{escape(schema['pattern'])}</code>" if "pattern" in schema else ""
    return escape(str(schema.get("format") or schema.get("type", ""))) + form


def _text(words: str) -> str:
    """The text as HTML, with `code` in backquotes marked up."""
    parts = escape(" ".join(words.split())).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
