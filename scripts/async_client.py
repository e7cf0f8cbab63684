"""Writes baton/client/aio, the asynchronous client, from the modules of the synchronous one.

`python -m scripts.async_client` writes the files, `--check` only compares them. Both clients so have the same methods,
and a call is described once. In a module of MODULES:

- a function that waits becomes `async def`: one that calls a function of WAITS, or another function that waits;
- a call of it gets `await`, and a loop over it `async for`; the functions of OPENS are entered by `async with`;
- everything else (constants, models, functions without waiting) is imported from the synchronous module;
- examples in docstrings are left out.

Functions are told apart by their names alone, so no function that waits may have the name of one that does not.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "baton/client"
MODULES = (
    "transport", "streams", "download", "job", "changes", "code", "data", "deletion", "notifications", "series",
    "submissions", "job_lists", "tokens", "projects", "usage", "client",
)  # fmt: skip
WAITS = {"http.send", "http.close", "response.read", "time.sleep", "self._sleep", "_transport.blocking"}
OPENS = {"stream"}
ITERATES = {"iter_raw", "iter_bytes", "iter_text"}
RENAMED = {
    "Client": "AsyncClient", "Job": "AsyncJob", "Jobs": "AsyncJobs", "__enter__": "__aenter__",
    "__exit__": "__aexit__", "contextmanager": "asynccontextmanager", **{one: f"a{one}" for one in ITERATES},
}  # fmt: skip
TEXTS = {
    "Concatenate[Transport, _P]": "Concatenate[Blocking, _P]",
    "self.http.close(": "self.http.aclose(",
    "response.read(": "response.aread(",
    "time.sleep(": "asyncio.sleep(",
    "Callable[[float], None] = time.sleep": "Callable[[float], Awaitable[None]] = asyncio.sleep",
}
BLOCKING = '''
        """Calls a function of a synchronous transport in a thread, such as one that reads files."""

        def run() -> _T:
            with contextlib.closing(Blocking(*self._given)) as transport:
                return act(transport, *given, **more)

        return await asyncio.to_thread(run)
'''
HEAD = '''"""{title} Asynchronous.

Generated from baton/client/{name}.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
'''
Function = ast.FunctionDef


@dataclass
class Module:
    """A source module. `waiting`: the functions of it that become asynchronous."""

    name: str
    text: str
    tree: ast.Module
    functions: list[Function]
    waiting: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, name: str) -> Module:
        """Read and parse it."""
        text = (CLIENT / f"{name}.py").read_text()
        tree = ast.parse(text)
        return cls(name, text, tree, [node for node in ast.walk(tree) if isinstance(node, Function)])


def dotted(node: ast.expr) -> str:
    """The end of a dotted name, such as `http.send` of `self.http.send`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value).rpartition('.')[2]}.{node.attr}"
    return ""


def called(node: ast.AST) -> str:
    """The last part of the name of the function that is called; empty: no call."""
    return dotted(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""


def waits_itself(node: ast.AST) -> bool:
    """Whether it is a call of a function of WAITS, or of ITERATES."""
    return isinstance(node, ast.Call) and (dotted(node.func) in WAITS or called(node) in ITERATES)


def find_waiting(modules: Iterable[Module]) -> set[str]:
    """The names of all functions that wait."""
    names = set(OPENS)
    while True:
        found = {
            function.name
            for module in modules
            for function in module.functions
            if any(waits_itself(node) or called(node) in names for node in ast.walk(function))
        }
        if found <= names:
            return names | {"blocking", "__enter__", "__exit__"}
        names |= found


def is_generator(function: Function) -> bool:
    """Whether it yields."""
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function))


class Writer:
    """Changes the text of one module at the places that its tree names."""

    def __init__(self, module: Module, waiting: set[str], generators: set[str]) -> None:
        self.module, self.waiting, self.generators = module, waiting, generators
        self.lines = module.text.encode().splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.changes: list[tuple[int, int, str]] = []
        self.parents = {child: node for node in ast.walk(module.tree) for child in ast.iter_child_nodes(node)}

    def _at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def _put(self, node: ast.AST, before: str, after: str = "") -> None:
        start = self._at(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        end = self._at(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        self.changes += [(start, start, before), *([(end, end, after)] if after else [])]

    def _replace(self, first: ast.AST, last: ast.AST, text: str) -> None:
        self.changes.append(
            (self._at(first.lineno, first.col_offset), self._at(last.end_lineno, last.end_col_offset), text)  # type: ignore[attr-defined]
        )

    def emitted(self) -> list[Function | ast.ClassDef]:
        """The functions and classes that are written: those in which something waits."""

        def waits(node: ast.stmt) -> bool:
            return any(isinstance(one, Function) and one.name in self.waiting for one in ast.walk(node))

        nodes = [node for node in self.module.tree.body if isinstance(node, Function | ast.ClassDef)]
        return [node for node in nodes if node.name in RENAMED or waits(node)]

    def write(self) -> str:
        """The text of the asynchronous module."""
        emitted = self.emitted()
        for top in emitted:
            for node in ast.walk(top):
                self._change(node)
        text = self._text_of(emitted)
        title = (ast.get_docstring(self.module.tree) or "").split("\n\n")[0].replace("\n", " ")
        return HEAD.format(title=title, name=self.module.name) + "\n".join(self._imports(emitted, text)) + "\n" + text

    def _change(self, node: ast.AST) -> None:
        if isinstance(node, Function):
            self._function(node)
        if isinstance(node, Function | ast.ClassDef):
            self._docstring(node)
        elif isinstance(node, ast.Call) and (waits_itself(node) or called(node) in self.waiting):
            self._call(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.YieldFrom):
            inner, indent = ast.get_source_segment(self.module.text, node.value.value), " " * node.col_offset
            how = "async " if self._iterates(node.value.value) else ""
            self._replace(node, node, f"{how}for one in {inner}:\n{indent}    yield one")

    def _function(self, node: Function) -> None:
        if node.name not in self.waiting:
            return
        self._put(node, "async ")
        if node.name == "blocking":
            self._replace(node.body[0], node.body[-1], BLOCKING.strip())
        if is_generator(node) and isinstance(node.returns, ast.Subscript):
            self._put(node.returns, "Async")

    def _docstring(self, node: Function | ast.ClassDef) -> None:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            source = ast.get_source_segment(self.module.text, first) or ""
            if ">>>" in source:
                end = "\n" + " " * first.col_offset + '"""' if "\n" in source.partition(">>>")[0].strip() else '"""'
                self._replace(first, first, source.partition(">>>")[0].rstrip() + end)

    def _call(self, node: ast.Call) -> None:
        parent = self.parents[node]
        if isinstance(parent, ast.withitem):
            self._put(self.parents[parent], "async ")
        elif isinstance(parent, ast.For | ast.comprehension) and self._iterates(node):
            self._put(parent if isinstance(parent, ast.For) else parent.target, "async ", "")
            if isinstance(parent, ast.comprehension):
                start = self.changes.pop()[0]
                place = self.module.text.encode().rindex(b"for ", 0, start)
                self.changes.append((place, place, "async "))
        elif isinstance(parent, ast.YieldFrom) and self._iterates(node):
            pass  # the statement is replaced
        elif isinstance(parent, ast.Attribute | ast.Subscript):
            self._put(node, "(await ", ")")
        elif not self._iterates(node):
            self._put(node, "await ")

    def _iterates(self, node: ast.AST) -> bool:
        return called(node) in self.generators or called(node) in ITERATES

    def _text_of(self, nodes: list[Function | ast.ClassDef]) -> str:
        source, found = self.module.text.encode(), []
        for node in nodes:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            start, end = self._at(first, 0), self._at(node.end_lineno or 0, node.end_col_offset or 0)
            piece, place = [], start
            mine = sorted(one for one in self.changes if start <= one[0] <= end)
            for begin, stop, new in mine:
                if begin < place:
                    continue  # within a part that is replaced as a whole
                piece += [source[place:begin], new.encode()]
                place = stop
            found.append(renamed((b"".join(piece) + source[place:end]).decode()))
        return "\n\n" + "\n\n\n".join(found) + "\n"

    def _imports(self, emitted: list[Function | ast.ClassDef], text: str) -> Iterator[str]:
        names = {one.name for one in emitted}
        others = sorted(name for name in defined(self.module.tree) - names if re.search(rf"\b{name}\b", text))
        if others:
            yield f"from baton.client.{self.module.name} import {', '.join(others)}"
        if self.module.name == "transport":
            yield "from baton.client.transport import Transport as Blocking"
        for node in self.module.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                continue
            if isinstance(node, ast.Import | ast.ImportFrom | ast.If):
                yield imported(ast.get_source_segment(self.module.text, node) or "")


def defined(tree: ast.Module) -> set[str]:
    """The names that a module defines itself."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef):
            found.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else []
        found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    return found


EMITTED: dict[str, set[str]] = {}
"""By module: the names that its asynchronous form defines."""


def imported(source: str) -> str:
    """An import, with the names that have an asynchronous form taken from there."""
    found = []
    for line in ast.parse(source).body:
        if isinstance(line, ast.ImportFrom) and (line.module or "").startswith("baton.client."):
            module = (line.module or "").rpartition(".")[2]
            for one in line.names:
                folder = "baton.client.aio" if one.name in EMITTED.get(module, ()) else "baton.client"
                path = line.module if module not in EMITTED else f"{folder}.{module}"
                found.append(f"from {path} import {renamed(one.name)}")
        elif isinstance(line, ast.If):
            inner = [one for part in line.body for one in imported(ast.unparse(part)).split("\n")]
            found.append(f"if {ast.unparse(line.test)}:\n" + "\n".join(f"    {one}" for one in inner))
        else:
            found.append(ast.unparse(line))
    return "\n".join(found)


def renamed(text: str) -> str:
    """The text with the names of the asynchronous client."""
    for old, new in TEXTS.items():
        text = text.replace(old, new)
    return re.sub(r"\b(" + "|".join(RENAMED) + r")\b", lambda found: RENAMED[found[0]], text)


def generated() -> dict[Path, str]:
    """The files, not formatted yet."""
    modules = [Module.read(name) for name in MODULES]
    waiting = find_waiting(modules)
    functions = [one for module in modules for one in module.functions if one.name in waiting - OPENS]
    generators = {one.name for one in functions if is_generator(one)}
    writers = [Writer(module, waiting, generators) for module in modules]
    EMITTED.update({one.module.name: {node.name for node in one.emitted()} for one in writers})
    return {CLIENT / "aio" / f"{one.module.name}.py": one.write() for one in writers}


def formatted(path: Path, text: str) -> str:
    """As ruff formats it: without unused imports, sorted."""
    for command in (("check", "--fix-only", "-q"), ("format", "-q")):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


def main() -> int:
    """Write the files, or compare them."""
    wrong = []
    for path, text in generated().items():
        new = formatted(path, text)
        if not path.exists() or path.read_text() != new:
            wrong.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.parent.mkdir(exist_ok=True)
                path.write_text(new)
    if "--check" in sys.argv and wrong:
        print(f"run `python -m scripts.async_client`: not current: {', '.join(wrong)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
