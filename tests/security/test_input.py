"""Input that holders of tokens may write into a spec, a filter or a message, and its effect."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.service.helpers import Api, assert_problem, spec, worker_info
from tests.support.service import ROOT, ServiceProcess

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
ITSELF = "a: &a [*a]\n"


@pytest.mark.process
@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        ITSELF,
        "!!python/object/apply:os.system [touch /tmp/x]",
        "name: !!python/name:os.system",
        "seed: !!int ''",
        "seed: !!bool x",
        "seed: !!timestamp x",
        "name: !<tag:example.org,2026:x> a",
        "name: 1" + ":0" * 2000,
        "seed: 1" + ":0" * 900 + ".5",
        "seed: 1" + ":0" * 100_000,
        "seed: " + "1" * 4000,
        "seed: .nan",
        "seed: .inf",
        "name: 2026-13-45",
        "name: 2026-01-01",
        "[" * 5000,
        "? {a: b}\n: c",
    ],
    ids=range(18),
)
def test_yaml_says_no_more_than_json(api: Api, text: str) -> None:
    answer = api.http.post("/v1/jobs", content=text.encode(), headers={"Content-Type": "application/yaml"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["code"] in ("malformed-body", "invalid-spec")


def baton(service: ServiceProcess, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "baton.cli", *arguments]
    environment = {**service.environment, "COLUMNS": "200"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.process
@pytest.mark.parametrize("text", [LAUGHS, ITSELF, "name: !!python/object/apply:os.system [touch trap]"], ids=range(3))
def test_a_file_from_somewhere_does_nothing_to_the_command_line(
    service: ServiceProcess, tmp_path: Path, text: str
) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    done = baton(service, "submit", "spec.yaml", cwd=tmp_path)
    assert (done.returncode, "is not valid YAML" in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "trap").exists()


NUMBERS = ("1e999", "-1e999", "NaN", "Infinity", "1" * 4000, "1" * 5000, "-1", "true")
FIELDS = (
    "seed", "stages.0.epochs", "stages.0.batch_size", "stages.0.image_size", "stages.0.steps_per_epoch",
    "optimizer.learning_rate", "retry.max_failures", "checkpoint.keep", "network.width", "dataset.classes",
)  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_no_number_is_too_odd_to_be_refused(api: Api, number: str) -> None:
    for field in FIELDS:
        body = f'{{"plan": "digits-demo", "set": {{"{field}": {number}}}}}'
        answer = api.http.post("/v1/plans:preview", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (field, answer.text)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"network": {"name": "os.system"}}, "network.name"),
        ({"network": {"name": "../../evil"}}, "network.name"),
        ({"network": {"name": "keras.applications:ResNet50"}}, "network.name"),
        ({"dataset": {"name": "builtins:eval"}}, "dataset.name"),
        ({"stages": [{"epochs": 1, "augmentation": "os:system"}]}, "stages.0.augmentation"),
        ({"stages": [{"epochs": 1, "augmentation": [{"name": "__import__"}]}]}, "stages.0.augmentation"),
        ({"stages": [{"epochs": 1, "augmentation": [{"name": "fliplr", "p": {"__class__": "x"}}]}]}, "stages.0"),
        ({"optimizer": {"name": "os.system"}}, "optimizer.name"),
        ({"name": "a\r\nSet-Cookie: b=c"}, "name"),
        ({"name": "../../etc/cron.d/x"}, "name"),
        ({"name": "x\u202e"}, "name"),
        ({"queue": "default\r\nFLUSHALL"}, "queue"),
        ({"labels": {"a": "<script>"}}, "labels"),
    ],
)
def test_a_spec_names_what_is_known_and_nothing_else(api: Api, change: dict[str, Any], field: str) -> None:
    problem = assert_problem(api.http.post("/v1/jobs", json=spec(**change)), 422, "invalid-spec")
    assert problem["errors"][0]["field"].startswith(field)


def test_a_plans_changes_reach_no_attribute(api: Api) -> None:
    for path in ("__class__.x", "stages.__len__", "stages.-1.epochs", "stages.99999999999999999999.epochs", "..", ""):
        body = {"plan": "digits-demo", "set": {path: 1}}
        assert_problem(api.http.post("/v1/jobs", json=body), 422, "invalid-spec")


SQL = ("'", "' OR '1'='1", "a:'; DROP TABLE jobs; --", '"', "a:%' --", "1; SELECT 1", "1 OR 1=1", "-1", "1e3", "٣")


@pytest.mark.parametrize("text", SQL)
def test_no_filter_is_part_of_a_query(api: Api, text: str) -> None:
    job = api.submit(labels={"a": "b"})["id"]
    shown = [("/v1/jobs", {"label": text}), ("/v1/jobs", {"label": f"a:{text}"}), ("/v1/jobs", {"cursor": text})]
    shown += [(f"/v1/jobs/{job}/events", {"after": text}), ("/v1/tokens", {"cursor": text})]
    shown += [("/v1/audit", {"cursor": text}), ("/v1/curves", {"job": text}), (f"/v1/jobs/{text}", {})]
    for path, query in shown:
        answer = api.http.get(path, params=query)
        assert answer.status_code in (200, 404, 422), (path, query, answer.text)
        if answer.status_code == 200:
            assert not answer.json().get("items"), (path, query, answer.text)
    assert api.job(job)["status"] == "queued"


def test_a_note_of_a_worker_replaces_nothing_of_the_events(api: Api) -> None:
    hand = api.running()
    for key in ("self", "job", "kind", "actor", "message", "attempt", "sequence", "__class__"):
        answer = hand.post("notes", kind="hello", message="m", data={key: "forged"})
        assert answer.status_code == 201, (key, answer.text)
        found = answer.json()
        assert (found["kind"], found["actor"], found["message"]) == ("hello", "worker:w1", "m")
        assert found["data"]["attempt"] == 1


COMMANDS = "a\x1b]0;owned\x07\x1b[2J\x9b1m\x08[/x][link=https://evil.example.org]b"


@pytest.mark.process
def test_what_workers_write_gives_a_terminal_no_commands(api: Api, service: ServiceProcess, tmp_path: Path) -> None:
    job = api.submit()["id"]
    body = {"claim_id": "c" * 8, "worker": {**worker_info(), "name": COMMANDS, "device": COMMANDS}}
    grant = api.http.post(f"/v1/attempts/{api.attempt(job)['id']}/claim", json=body).json()
    url, headers = f"/v1/attempts/{grant['attempt_id']}", {"Authorization": f"Bearer {grant['token']}"}
    note = {"fence": grant["fence"], "kind": "hello", "message": COMMANDS, "data": {}}
    assert api.http.post(f"{url}/notes", json=note, headers=headers).status_code == 201
    beat = {"fence": grant["fence"], "phase": "training", "metrics": {COMMANDS: 1.0}, "doing": COMMANDS}
    assert api.http.post(f"{url}/heartbeat", json=beat, headers=headers).status_code == 200
    for arguments in (["status", job], ["events", job], ["list"]):
        done = baton(service, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert not set(done.stdout) & set("\x1b\x07\x08\x9b"), arguments
    assert "[/x][link=" in baton(service, "status", job, cwd=tmp_path).stdout


@pytest.mark.process
def test_a_log_gives_a_terminal_colours_and_nothing_else() -> None:
    hostile = json.dumps("\x1b[31mred\x1b[0m 50%\r\t\x1b]0;owned\x07\x1b[2J\x1b]52;c;eA==\x07\x9b\x08\n")
    code = f"from baton.cli.follow import _write; _write({hostile})"
    master, slave = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=slave, check=True, timeout=120)
        shown = os.read(master, 4096).decode()
    finally:
        os.close(master)
        os.close(slave)
    assert shown == "\x1b[31mred\x1b[0m 50%\r\t\ufffd]0;owned\ufffd\ufffd[2J\ufffd]52;c;eA==\ufffd\ufffd\ufffd\r\n"
