"""The Dockerfile follows hadolint's rules, and every image has the documented properties."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import dockerfile
from tests.deploy.compose import GIVEN, read_compose
from tests.deploy.dockerfile import FILE, instructions, last
from tests.support.service import ROOT

TARGETS = ("service", "worker-cpu", "worker-gpu")
HADOLINT = Path(sys.executable).parent / "hadolint"


def hadolint(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HADOLINT, "--no-color", file], capture_output=True, text=True, check=False)


@pytest.mark.process
def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    done = hadolint(FILE)
    assert (done.returncode, done.stdout) == (0, "")
    spoiled = tmp_path / "Dockerfile"
    spoiled.write_text(FILE.read_text() + "\nUSER root\nCMD python -m worker\n")
    assert {"DL3002", "DL3025"} <= {word for word in hadolint(spoiled).stdout.split() if word.startswith("DL")}


@pytest.mark.parametrize("target", TARGETS)
def test_nobody_is_root_and_signals_reach_the_process(target: str) -> None:
    user, group = last(target, "USER").split(":")
    assert (int(user), int(group)) == (10001, 10001)
    command = dockerfile.command(target)
    assert command[:2] == ["tini", "--"]
    assert command[2:] == ["python", "-m", "service" if target == "service" else "worker"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_lock_and_the_code_of_its_part_are_in_it_and_nothing_else(target: str) -> None:
    copied = [rest.split() for word, rest in instructions(target) if word == "COPY"]
    assert [f"--from=build-{target}", "/venv", "/venv"] in copied
    code = {words[0].split("/")[0] for words in copied if not words[0].startswith("--")}
    assert code == (
        {"baton", "service", "migrations", "models"} if target == "service" else {"baton", "worker", "models"}
    )
    build = [rest for word, rest in instructions(f"build-{target}") if word in ("COPY", "RUN")]
    assert f"requirements/{target}.txt /tmp/lock.txt" in build
    assert any("--require-hashes --no-deps -r /tmp/lock.txt" in rest for rest in build)


def test_no_image_names_the_package_index_of_its_build() -> None:
    text = FILE.read_text()
    assert "--secret" in text
    assert not any(word in text for word in ("index-url", "INDEX_URL", "proxy=", "PROXY=", "trusted-host"))
    assert all(
        "type=secret,id=pip," in rest for name, rest in instructions("build-worker-gpu") if "pip install" in rest
    )


@pytest.mark.process
@pytest.mark.parametrize("target", TARGETS)
def test_what_the_health_check_runs_is_in_the_image(target: str, tmp_path: Path) -> None:
    """Here the check must fail, because nothing runs. test_compose_runs shows that it passes next to a running
    process.
    """
    command = dockerfile.health_command(target)
    assert command[0] == "python"
    environment = {**os.environ, **dockerfile.environment(target), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    environment |= {"BATON_PORT": "1", "BATON_HEALTH_FILE": str(tmp_path / "none")}
    done = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ModuleNotFoundError" not in done.stderr
    assert "refused" in done.stderr or "no liveness file" in done.stderr


DIGEST = "sha256:" + "5f" * 32
ENGINES = {
    "docker": 'echo "$@" >> "$ASKED"; echo "$DIGEST"',
    "skopeo": 'echo "$@" >> "$ASKED"; echo "$DIGEST"',
}


@pytest.mark.process
@pytest.mark.parametrize("engine", ENGINES)
def test_every_image_can_be_pinned_by_its_digest(tmp_path: Path, engine: str) -> None:
    """No registry is used: a replacement of the container engine responds."""
    done, pinned = pin(tmp_path, engine, DIGEST)
    assert done.returncode == 0, done.stderr
    found = dict(line.split("=", 1) for line in pinned.read_text().splitlines())
    names = set(re.findall(r"\$\{(\w+_IMAGE):-", (ROOT / "docker-compose.yml").read_text()))
    assert set(found) == {"BASE", *names}
    assert names == {"POSTGRES_IMAGE", "REDIS_IMAGE", "CADDY_IMAGE", "GCS_IMAGE"}
    assert all(value.endswith(f"@{DIGEST}") for value in found.values())
    assert len((tmp_path / "asked").read_text().splitlines()) == len(found)


@pytest.mark.process
def test_what_is_no_digest_pins_nothing(tmp_path: Path) -> None:
    done, pinned = pin(tmp_path, "docker", "latest")
    assert done.returncode == 2
    assert "python:3.12-slim" in done.stderr
    assert not pinned.exists()


def pin(folder: Path, engine: str, digest: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    tools = folder / "bin"
    tools.mkdir()
    for name in ("bash", "sed", "mktemp", "rm", "mv", "chmod", "dirname"):
        (tools / name).symlink_to(str(shutil.which(name)))
    stand_in = tools / engine
    stand_in.write_text(f"#!/bin/bash\n{ENGINES[engine]}\n")
    stand_in.chmod(0o755)
    environment = {"PATH": str(tools), "ASKED": str(folder / "asked"), "DIGEST": digest, "TMPDIR": str(folder)}
    command = [ROOT / "scripts/pin_images.sh", folder / "images.env"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done, folder / "images.env"


def test_every_external_base_image_is_pinned() -> None:
    found = dockerfile.stages()
    assert {stage.base for stage in found.values() if stage.base not in found} == {"${BASE}"}
    compose = read_compose(GIVEN | {"BASE": f"python@{DIGEST}"})
    built = [one["build"] for one in compose.services.values() if "build" in one]
    assert built
    assert {one["args"]["BASE"] for one in built} == {f"python@{DIGEST}"}
    default = re.findall(r"^ARG BASE=(.*)$", FILE.read_text(), re.M)
    assert [one["build"]["args"]["BASE"] for one in read_compose(GIVEN).services.values() if "build" in one][
        :1
    ] == default


def test_the_health_of_the_service_does_not_hang_on_redis_or_the_store() -> None:
    command = dockerfile.health_command("service")[-1]
    assert "/healthz" in command
    assert "/readyz" not in command


@pytest.mark.parametrize("target", ["worker-cpu", "worker-gpu"])
def test_what_libraries_write_goes_where_a_read_only_container_can_be_written(target: str) -> None:
    environment = dockerfile.environment(target)
    for name in ("MPLCONFIGDIR", "KERAS_HOME", "CUDA_CACHE_PATH", "BATON_HEALTH_FILE"):
        assert environment[name].startswith(("/tmp/", "/home/baton/.cache/baton/")), name
