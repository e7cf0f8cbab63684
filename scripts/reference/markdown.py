"""Markdown parts that the generated pages share."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence

SOURCE = "<!-- Generated from the code by scripts/reference: change it there, then run `make docs`. -->"


def page(title: str, *parts: str) -> str:
    """A page of paragraphs, tables and sections."""
    return "\n\n".join([SOURCE, f"# {title}", *(part.strip() for part in parts if part.strip())]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. Bars and line breaks in cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(value: object) -> str:
    """The value as code. An empty value gives an empty text."""
    return f"`{value}`" if value != "" else ""


def prose(docstring: str | None) -> str:
    """A docstring as paragraphs. Examples become fenced blocks, and `<` is escaped, because it would begin HTML."""
    parts = re.split(r"^(>>>.*?(?:\n\n|\Z))", inspect.cleandoc(docstring or ""), flags=re.MULTILINE | re.DOTALL)
    return "".join(_example(part) if part.startswith(">>>") else part.replace("<", "\\<") for part in parts)


def _example(text: str) -> str:
    lines = re.sub(r" +# doctest:.*", "", text.rstrip())
    return f"```pycon\n{lines}\n```" + text[len(text.rstrip()) :]


def field_docs(model: type) -> dict[str, str]:
    """The docstrings below the fields of a class, in source order."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, following in zip(body.body, body.body[1:], strict=False):
        documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and documented:
            found[field.target.id] = inspect.cleandoc(following.value.value)  # type: ignore[attr-defined]
    return found
