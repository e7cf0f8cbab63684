"""docker-compose.yml follows its schema, and its services are wired correctly."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from compose_spec import PyCompose

from service.settings import Settings
from tests.deploy import dockerfile
from tests.deploy.compose import FILE, GIVEN, Compose, read_compose
from tests.deploy.settings import NOT_OF_A_FLEET, SERVICE, WORKER
from worker.settings import WorkerSettings

REPLICAS = ("service-1", "service-2")
WORKERS = ("worker", "worker-gpu")


@pytest.fixture(scope="module")
def compose() -> Compose:
    return read_compose(GIVEN)


def validate(data: dict[str, Any]) -> None:
    """Validate with the Compose Specification. Raises ValueError with the violation."""
    PyCompose.from_json(json.dumps(data)).validate()


def seconds(text: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([smh])", text))


def test_it_is_of_the_specifications_form(compose: Compose) -> None:
    validate(compose.data)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda services: services["worker"].update(restrat="always"),
        lambda services: services["proxy"]["healthcheck"].update(interval="5 parsecs"),
        lambda services: services["worker"]["depends_on"]["proxy"].update(condition="service_fine"),
    ],
)
def test_what_is_not_of_that_form_is_found(compose: Compose, spoil: Callable[[dict[str, Any]], None]) -> None:
    data = copy.deepcopy(compose.data)
    spoil(data["services"])
    with pytest.raises(ValueError, match=r"restrat|parsecs|service_fine"):
        validate(data)


@pytest.mark.parametrize("name", GIVEN)
def test_a_secret_that_is_missing_is_asked_for(name: str) -> None:
    with pytest.raises(KeyError, match=f"set {name}"):
        read_compose({other: value for other, value in GIVEN.items() if other != name})


def test_no_secret_stands_in_the_file_or_on_a_command_line(compose: Compose) -> None:
    assert not [name for name, one in compose.services.items() if GIVEN["REDIS_PASSWORD"] in str(one.get("command"))]
    text = FILE.read_text()
    assert not [
        match for match in re.findall(r"^ *\w+(?:PASSWORD|TOKEN): *(\S+)", text, re.M) if not match.startswith("${")
    ]


def test_every_variable_is_a_setting_of_who_gets_it(compose: Compose) -> None:
    for name in REPLICAS:
        assert set(compose.services[name]["environment"]) <= SERVICE
    for name in WORKERS:
        assert set(compose.services[name]["environment"]) <= WORKER
    caddyfile = (FILE.parent / "deploy/compose/Caddyfile").read_text()
    assert all(f"{{${name}:" in caddyfile for name in compose.environment("proxy"))


def test_what_the_containers_get_is_accepted(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**compose.environment("service-1"), **dockerfile.environment("service")}.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.host, settings.port) == ("::", 8080)
    for name in SERVICE:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**compose.environment("worker"), **dockerfile.environment("worker-cpu")}.items():
        monkeypatch.setenv(name, value)
    given = WorkerSettings()  # type: ignore[call-arg]  # from the environment
    assert (given.url, given.token) == ("http://proxy:8080", GIVEN["BATON_WORK_TOKEN"])


def test_what_is_named_is_there(compose: Compose) -> None:
    volumes, services = set(compose.data["volumes"]), compose.services
    used = {mount.split(":")[0] for one in services.values() for mount in one.get("volumes", [])}
    assert {name for name in used if not name.startswith(".")} == volumes
    assert all((FILE.parent / name).is_file() for name in used if name.startswith("."))
    for one in services.values():
        for other, how in one.get("depends_on", {}).items():
            # Images that are built here have their health check in the Dockerfile.
            ends = "service_completed_successfully"
            assert how["condition"] == (ends if other == "migrate" else "service_healthy")
            assert "healthcheck" in services[other] or "build" in services[other]


def test_the_schema_is_brought_up_to_date_once_before_the_replicas_start(compose: Compose) -> None:
    one = compose.services["migrate"]
    assert one["command"] == ["python", "-m", "service.migrate"]
    assert one["restart"] == "no"
    assert one["image"] == compose.services["service-1"]["image"]
    assert set(compose.environment("migrate")) == {"BATON_DATABASE_URL"}
    for name in REPLICAS:
        assert compose.environment(name)["BATON_MIGRATE"] == "0"
        assert "migrate" in compose.services[name]["depends_on"]


def test_every_host_in_a_url_is_a_service(compose: Compose) -> None:
    values = {value for name in (*REPLICAS, "migrate", *WORKERS) for value in compose.environment(name).values()}
    hosts = {host for value in values for host in re.findall(r"(?:@|http://)([a-z0-9-]+)", value)}
    assert hosts == {"postgres", "redis", "proxy"}
    upstreams = compose.environment("proxy")["BATON_UPSTREAMS"].split()
    assert upstreams == [f"{name}:{dockerfile.environment('service')['BATON_PORT']}" for name in REPLICAS]


def test_only_the_proxy_can_be_reached_and_only_from_here_unless_asked(compose: Compose) -> None:
    published = {name: one["ports"] for name, one in compose.services.items() if "ports" in one}
    assert published == {"proxy": ["127.0.0.1:80:80", "127.0.0.1:443:443"]}
    open_to_all = read_compose({**GIVEN, "BATON_ADDRESS": "0.0.0.0"}).services["proxy"]["ports"]
    assert open_to_all == ["0.0.0.0:80:80", "0.0.0.0:443:443"]


@pytest.mark.parametrize("name", [*REPLICAS, "migrate", *WORKERS])
def test_what_is_built_is_built_from_a_target_and_runs_without_rights(compose: Compose, name: str) -> None:
    one = compose.services[name]
    target = one["build"]["target"]
    assert one["image"] == f"baton-{target}:latest"
    assert int(dockerfile.last(target, "USER").split(":")[0]) > 0
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert (one["read_only"], one["tmpfs"]) == (True, ["/tmp"])


def test_nobody_but_the_service_has_the_administrators_token(compose: Compose) -> None:
    for name, one in compose.services.items():
        tokens = {variable for variable, value in compose.environment(name).items() if value == GIVEN["BATON_TOKEN"]}
        assert tokens == ({"BATON_TOKEN"} if name in REPLICAS else set()), name
        assert GIVEN["BATON_TOKEN"] not in str({key: value for key, value in one.items() if key != "environment"})
    for name in REPLICAS:
        assert {compose.environment(name)[f"BATON_{kind}_TOKEN"] for kind in ("WORK", "READ")} == {
            GIVEN["BATON_WORK_TOKEN"],
            GIVEN["BATON_READ_TOKEN"],
        }
    for name in WORKERS:
        assert compose.environment(name)["BATON_TOKEN"] == GIVEN["BATON_WORK_TOKEN"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_needs_the_services_url_and_a_token_and_no_store(compose: Compose, name: str) -> None:
    assert {"BATON_URL", "BATON_TOKEN"} <= set(compose.environment(name))
    assert not NOT_OF_A_FLEET & set(compose.services[name]["environment"])
    assert "command" not in compose.services[name]
    assert [mount.split(":")[0] for mount in compose.services[name]["volumes"]] == ["images"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_has_more_time_than_it_takes(compose: Compose, name: str) -> None:
    grace = float(compose.environment(name)["BATON_GRACE"])
    assert seconds(compose.services[name]["stop_grace_period"]) >= grace + 10


def test_a_gpu_worker_has_one_gpu_and_comes_only_when_asked_for(compose: Compose) -> None:
    one = compose.services["worker-gpu"]
    (device,) = one["deploy"]["resources"]["reservations"]["devices"]
    assert (one["profiles"], device["device_ids"]) == (["gpu"], ["0"])
    assert "profiles" not in compose.services["worker"]


def test_redis_keeps_what_it_has_and_asks_for_a_password(compose: Compose) -> None:
    content = compose.data["configs"]["redis"]["content"].splitlines()
    assert content == [f"requirepass {GIVEN['REDIS_PASSWORD']}", "appendonly yes", "maxmemory-policy noeviction"]
