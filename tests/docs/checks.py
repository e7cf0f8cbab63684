"""Checks of a block without running it. Each function returns descriptions of what is wrong."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

import typer
import yaml

from baton.cli import app
from baton.domain.errors import SpecError
from baton.domain.spec import parse_spec
from baton.domain.yaml_text import BadYaml, read_yaml
from tests.deploy.settings import SERVICE, WORKER
from tests.docs.blocks import COMMANDS, Block

OTHERS = {
    "BATON_AZURE_METADATA": "worker/preemption/azure.py",
    "BATON_BROWSER": "scripts/browser.sh",
    "BATON_ADDRESS": "docker-compose.yml",
    "BATON_DOMAIN": "docker-compose.yml",
    "BATON_CHAOS_SEED": "tests/control_plane/test_chaos.py",
    "BATON_DATA": "baton/program/local.py",
    "BATON_DRILL": "baton/program/drill/plan.py",
    "BATON_PARAMS": "baton/program/local.py",
    "BATON_PROJECT": "baton/client/connection.py",
    "BATON_PROGRAM_SECRET": "baton/program/protocol.py",
    "BATON_PROGRAM_SOCKET": "baton/program/protocol.py",
    "BATON_RUN_DIR": "baton/program/local.py",
    "BATON_SAVE_EVERY": "baton/program/local.py",
    "BATON_SAVE_KEEP": "baton/program/local.py",
    "BATON_TAG": "docker-compose.yml",
    "BATON_GPU": "docker-compose.yml",
}
"""Variables that are in no settings class, with the file that reads each."""
VARIABLE = re.compile(r"\bBATON_[A-Z][A-Z0-9_]*[A-Z0-9]\b")
HEREDOC = re.compile(r"<<-?\s*'?(\w+)'?[^\n]*\n.*?^\s*\1$", re.DOTALL | re.MULTILINE)
BEGINS = {"&&", "||", "|", ";", "&", "(", "exec", "then", "do"}
ENDS = {"&&", "||", "|", ";", "&", ")", ">", ">>", "<", "2>", ";;"}
BASE: dict[str, Any] = {
    "name": "page",
    "network": {"name": "network-2"},
    "dataset": {"name": "digits"},
    "stages": [{"epochs": 1, "image_size": 16}],
}
DATASET = {"name": "tiny-imagenet-200", "path": "."}
EXTENSIONS = ("network/small-cnn", "dataset/squares", "augmentation/mirror")
"""The extensions of examples/own_network, which the pages use."""


def shell(block: Block) -> list[str]:
    """Check the syntax, and whether the command line accepts each `baton ...`."""
    checked = subprocess.run(["bash", "-n"], input=block.script, capture_output=True, text=True, check=False)
    wrong = [checked.stderr] if checked.returncode else []
    return wrong + [found for words in invocations(block.script) if (found := usage(words))]


def invocations(script: str) -> Iterator[list[str]]:
    """The words of each `baton ...` in a script."""
    plain = HEREDOC.sub("", script).replace("\\\n", " ")
    begun = ""
    for line in re.sub(r"\$\(|`", " ( ", plain).splitlines():
        lexer = shlex.shlex(begun + line, posix=True, punctuation_chars=True)
        lexer.commenters, lexer.whitespace_split = "#", True
        try:
            words = list(lexer)
        except ValueError:  # a quotation that continues in the next line
            begun += line + "\n"
            continue
        begun = ""
        yield from _of_line(words)


def _of_line(words: list[str]) -> Iterator[list[str]]:
    for at, word in enumerate(words):
        first = at == 0 or words[at - 1] in BEGINS or re.fullmatch(r"\w+=.*", words[at - 1])
        if first and re.fullmatch(r"([\w.~-]*/)*baton", word):
            rest = words[at + 1 :]
            end = next((k for k, one in enumerate(rest) if one in ENDS), len(rest))
            yield rest[:end]


def usage(words: list[str]) -> str:
    """The error of the command line for these arguments, or "". Nothing is run."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("baton", [], resilient_parsing=True)
    rest = words
    try:
        while hasattr(command, "resolve_command") and not {"--help", "-h"} & set(rest[:1]):
            name, command, rest = command.resolve_command(context, rest)
            context = command.make_context(name, list(rest), parent=context, resilient_parsing=True)
        if not {"--help", "-h"} & set(rest) and not hasattr(command, "resolve_command"):
            command.make_context(command.name, list(rest), parent=context)
    except Exception as error:
        return f"baton {' '.join(words)}: {getattr(error, 'message', '') or error}"
    return ""


def variables(text: str) -> list[str]:
    """BATON_ variables that nothing reads."""
    return sorted(set(VARIABLE.findall(text)) - SERVICE - WORKER - set(OTHERS))


def python(block: Block) -> list[str]:
    """Check the syntax, and whether the names that are imported from Baton exist."""
    try:
        tree = ast.parse(block.text)
    except SyntaxError as error:
        return [str(error)]
    named = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and _ours(node.module)]
    return [
        f"{node.module} has no {alias.name}"
        for node in named
        for alias in node.names
        if not hasattr(importlib.import_module(str(node.module)), alias.name)
    ]


def _ours(module: str | None) -> bool:
    return str(module).partition(".")[0] in ("baton", "worker", "service", "models")


def specs(block: Block) -> list[str]:
    """The errors of the spec's model for each spec, or part of a spec."""
    wrong = []
    for text in block.text.splitlines() if block.marker == "one a line" else [block.text]:
        try:
            parse_spec(_whole(block, read_yaml(text)), EXTENSIONS)
        except (SpecError, BadYaml) as error:
            wrong.append(f"{text.strip()}: {error}")
    return wrong


def _whole(block: Block, part: Any) -> dict[str, Any]:
    if block.marker == "part of":
        return {**BASE, block.argument: {**DATASET, **part}}
    return {"name": "page", **part} if "program" in part else {**BASE, **part}


def findings(block: Block) -> list[str]:
    """Everything that is wrong with a block."""
    if block.language in COMMANDS:
        return shell(block)
    if block.language == "python":
        return python(block)
    if block.language == "yaml" and block.marker != "not a spec":
        return specs(block)
    if block.language == "yaml":
        yaml.compose(block.text)
    return []
