"""The OpenAPI document: operation names for generated clients, enumerations, descriptions for users, and its page."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest

import service
import worker
from baton.domain import open_enums
from baton.domain.queues import PRIORITIES
from baton.domain.spec import JobSpec
from baton.domain.views import JobView
from scripts.reference.rest import document
from service.api.docs_page import POLICY
from service.api.openapi_texts import TAGS
from service.usecases.job_filters import Status
from tests.service.helpers import Api

STABLE = frozenset(
    re.findall(
        r"\w+",
        """
        actOnJobs addNote cancelJob changeJob claimAttempt closeSession commitArtifact commitCheckpoint createToken
        deleteData
        deleteDataVersion deleteJob fetchArtifact fetchInstallFile fetchManifest fetchObject fetchPack findMissingPacks
        finishAttempt getHealth getMetrics
        getReadiness listAllEvents listArtifacts listAttempts listAudit listCheckpoints listChildren listData
        listDataVersions listEvents
        listExtensions listJobs listNetworks listNotificationTargets listPlans listStages listTokens listWorkers
        makeLink nextAttempt openSession pauseJob previewPlan prune pushData putObject putPack
        quarantineCheckpoint recordEpoch
        reportWorker resumeJob retryJob revokeToken sendHeartbeat showAttempt showCurves showHistory showJob showLog
        showPlan listWaiting showQueue showUsage
        showReport showSession signObject submitJob testNotificationTargets
        """,
    )
)
NAMED = {"status", "state", "phase", "kind", "reason", "outcome", "priority", "roles", "directive", "code", "scopes"}


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    return document()


def operations(contract: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in contract["paths"].values():
        yield from item.values()


def test_each_operation_has_a_name_of_its_own_that_does_not_change(contract: dict[str, Any]) -> None:
    names = [one["operationId"] for one in operations(contract)]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name)] == []
    assert STABLE - set(names) == set()


def test_links_name_operations(contract: dict[str, Any]) -> None:
    names = {one["operationId"] for one in operations(contract)}
    linked = set(re.findall(r'"links": \{.*?"operationId": "(\w+)"', json.dumps(contract)))
    assert linked
    assert linked <= names


def test_fields_with_fixed_names_are_enumerations(contract: dict[str, Any]) -> None:
    """Each set also allows an unknown name, because a client of this release must read the responses of a later
    service.
    """
    schemas = contract["components"]["schemas"]
    for name, schema in schemas.items():
        for field, one in schema.get("properties", {}).items():
            if field in NAMED and (name, field) not in (("ProblemView", "status"), ("ProgramSpec", "code")):
                assert re.search(r'"enum"|"const"|"\$ref"', json.dumps(one)), f"{name}.{field} accepts any text"
    for name, field in (
        ("JobView", "status"),
        ("AttemptView", "state"),
        ("EventView", "kind"),
        ("WorkerView", "state"),
    ):
        known, other = schemas[name]["properties"][field]["anyOf"]
        assert known["enum"] == sorted(known["enum"])
        assert all(re.fullmatch(other["pattern"], value) for value in known["enum"])


def test_the_sets_are_those_of_the_code() -> None:
    assert set(open_enums.STATUSES) == set(get_args(Status))
    assert set(get_args(JobSpec.model_fields["priority"].annotation)) == set(PRIORITIES)
    notes = {kind for text in sources(worker) for kind in re.findall(r'\.note\("(\w+)"|^KIND = "(\w+)"', text, re.M)}
    assert {one for pair in notes for one in pair if one} == set(open_enums.WORKER_NOTES)
    told = {kind for text in sources(service) for kind in re.findall(r'audit\.record\([^"]*?"(\w+)",', text)}
    assert told | {f"job_{verb}_requested" for verb in ("pause", "resume", "cancel", "retry")} == set(
        open_enums.AUDITED
    )


def sources(package: Any) -> list[str]:
    return [path.read_text() for path in Path(inspect.getfile(package)).parent.rglob("*.py")]


def test_a_name_that_is_not_known_is_read(api: Api) -> None:
    view = {**api.submit(), "status": "hibernating", "reason": "out_of_tune", "phase": "dreaming", "priority": "urgent"}
    assert JobView.model_validate_json(json.dumps(view)).status == "hibernating"


def test_the_contract_is_written_for_users_and_describes_each_tag(contract: dict[str, Any]) -> None:
    told = contract["info"]["description"]
    assert "Submit a training job" in told
    assert "factory" not in told
    used = {tag for one in operations(contract) for tag in one["tags"]}
    assert used == set(TAGS) == {tag["name"] for tag in contract["tags"]}
    assert all(one["summary"] for one in operations(contract))


class Page(HTMLParser):
    """The files that a browser would fetch, and the scripts that it would run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_the_page_of_the_contract_runs_nothing_and_asks_nobody(api: Api, contract: dict[str, Any]) -> None:
    answer = api.http.get("/docs", headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "script" not in POLICY
    page = Page()
    page.feed(answer.text)
    assert not page.tags & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "style")]
    links = {value for name, value in page.attributes if name == "href"}
    anchors = {f"#{value}" for name, value in page.attributes if name == "id"}
    assert links <= anchors | {"/openapi.json", "/"}
    assert {f"#{one['operationId']}" for one in operations(contract)} <= anchors
    assert api.http.get("/redoc").status_code == 404
