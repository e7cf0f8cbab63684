"""The files for contributors: everything that they name exists, and forms and workflow are valid."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.docs.blocks import read
from tests.support.service import ROOT

PAGES = ("CONTRIBUTING.md", "RELEASING.md", "CODE_OF_CONDUCT.md")
FOLDERS = "baton|bench|deploy|docs|migrations|models|requirements|scripts|service|tests|worker"
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")
PLACEHOLDER = re.compile(r"NNNN|X\.Y\.Z")
YAML = (
    ".github/ISSUE_TEMPLATE/bug_report.yml",
    ".github/ISSUE_TEMPLATE/feature_request.yml",
    ".github/workflows/ci.yml",
    ".pre-commit-config.yaml",
)


def parsed(name: str) -> Any:
    return yaml.safe_load(read(name))


@pytest.mark.parametrize("page", PAGES)
def test_paths_links_and_targets_exist(page: str) -> None:
    text = read(page)
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    named = [path for path in PATH.findall(text) if not PLACEHOLDER.search(path)]
    assert [path for path in (*links, *named) if not (ROOT / path).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) - targets == set()


def test_names_in_a_recipe_are_in_the_file_next_to_them() -> None:
    """`NAME` in `path`, `NAME` of `path`, `NAME` (`path`)."""
    pairs = re.findall(r"`(\w{3,})(?:\(\))?` (?:in |of |\()`([\w./-]+\.py)`", read("CONTRIBUTING.md"))
    assert len(pairs) > 25
    assert [f"{name}: {path}" for name, path in pairs if not re.search(rf"\b{name}\b", read(path))] == []


@pytest.mark.parametrize("name", YAML)
def test_it_is_yaml(name: str) -> None:
    assert isinstance(parsed(name), dict)


def test_the_workflow_runs_ci_and_each_version_of_python() -> None:
    jobs = parsed(".github/workflows/ci.yml")["jobs"]
    classifiers = tomllib.loads(read("pyproject.toml"))["project"]["classifiers"]
    versions = [one.rpartition(" ")[2] for one in classifiers if re.search(r"Python :: 3\.\d+$", one)]
    assert jobs["check"]["strategy"]["matrix"]["python"] == versions
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert runs == {"check": ["make lint", "make check"], "test-all": [".ci/run"]}
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert [one for one in used if not re.fullmatch(r"actions/[\w-]+@v\d+", one)] == []


def test_hooks_use_the_locked_environment() -> None:
    (repository,) = parsed(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert all(hook["entry"].startswith(".venv/bin/") for hook in repository["hooks"])


def test_the_dev_container_installs() -> None:
    assert json.loads(read(".devcontainer/devcontainer.json"))["postCreateCommand"] == "make install"
