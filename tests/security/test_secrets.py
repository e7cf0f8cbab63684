"""Secrets are put into the settings of service and workers, and must not appear in any output."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from baton.storage import open_store
from service.__main__ import warnings
from service.settings import Settings
from tests.service.helpers import Api, eventually
from tests.support.fast_jobs import fast
from tests.support.jobs import Jobs
from tests.support.preloaded import output_of
from tests.support.redis import running_redis
from tests.support.service import ROOT, running_service
from tests.support.worker import workers

SECRET = "planted-7f3a9c"


@pytest.mark.process
def test_no_secret_is_in_what_comes_out(tmp_path: Path) -> None:
    """BATON_TOKEN and the password of Redis are not in responses, error bodies, logs, the store or the database."""
    token, password = f"{SECRET}-token-of-the-owner", f"{SECRET}-of-redis"
    with running_redis() as redis:
        redis.client().config_set("requirepass", password)
        url = redis.url.replace("redis://", f"redis://:{password}@")
        with running_service(tmp_path, url, BATON_TOKEN=token) as service, service.client() as http:
            http.headers["Authorization"] = f"Bearer {token}"
            api, jobs = Api(http), Jobs(http)
            read = api.token("read")["token"]
            with workers(service, tmp_path, "tests.support.fake_worker") as made:
                made.start()
                job = jobs.submit(fast())
                assert jobs.await_end(job)["status"] == "succeeded"
            redis.stop()
            eventually(lambda: http.get("/readyz").status_code == 503)
            shown = [http.get(path).text for path in ("/readyz", "/v1/audit", "/v1/tokens", "/v1/workers", "/docs")]
            shown += [
                http.get(f"/v1/jobs/{job}{what}").text for what in ("", "/events", "/attempts", "/attempts/1/log")
            ]
            shown += [http.get("/v1/jobs", headers={"Authorization": f"Bearer {one}x"}).text for one in (token, read)]
            assert service.terminate() == 0
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    for found in (*written, *(text.encode() for text in shown)):
        assert SECRET.encode() not in found
        assert read.encode() not in found
    assert any(open_store(service.store_url).list("jobs/"))


BAD = [
    ("BATON_DATABASE_URL", f"postgresql+psycopg://baton:{SECRET}@127.0.0.1:1/baton"),
    ("BATON_DATABASE_URL", f"postgresql://baton:{SECRET}@127.0.0.1:1/baton"),
    ("BATON_DATABASE_URL", f"postgresql+psycopg://baton:{SECRET}@127.0.0.1:port/baton"),
    ("BATON_REDIS_URL", f"http://:{SECRET}@127.0.0.1/0"),
    ("BATON_REDIS_URL", f"redis://:{SECRET}@127.0.0.1:port/0"),
    ("BATON_STORE", f"s3://key:{SECRET}@bucket"),
    ("BATON_STORE", f"ftp://key:{SECRET}@bucket"),
    ("BATON_LEASE_SECONDS", "0"),
]


@pytest.mark.process
@pytest.mark.parametrize("module", ["service", "worker"])
@pytest.mark.parametrize(("name", "value"), BAD, ids=range(len(BAD)))
def test_a_bad_setting_is_told_without_its_secret(tmp_path: Path, module: str, name: str, value: str) -> None:
    environment = {
        **os.environ,
        "BATON_TOKEN": f"{SECRET}-token-of-the-owner",
        "BATON_DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        "BATON_STORE": (tmp_path / "store").as_uri(),
        "BATON_PORT": "0",
        "BATON_URL": "ftp://nowhere",  # makes a worker end immediately, even if everything else is right
        name: value,
    }
    status, written = output_of(module, [], environment)
    assert status == 2, written
    assert SECRET not in written
    assert "Traceback" not in written


def test_no_secret_is_in_a_repr() -> None:
    from worker.settings import WorkerSettings

    service = Settings(
        token=SECRET, database_url=f"postgresql+psycopg://b:{SECRET}@h/b", redis_url=f"redis://:{SECRET}@h"
    )
    worker = WorkerSettings(token=SECRET, store="file:///x", redis_url=f"redis://:{SECRET}@h")
    assert SECRET not in f"{service!r} {service!s} {worker!r} {worker!s}"


SECRETS = ("token", "digest", "secret", "cookie", "csrf", "seal", "bootstrap", "code", "hmac")
PUBLIC = ("token_id", ".id", "shown.cookie", "status_code", "error.code")


def comparisons(path: Path) -> Iterator[tuple[int, str]]:
    """Each == and != that compares a name which sounds like a secret."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare) and any(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops):
            for side in (node.left, *node.comparators):
                text = ast.unparse(side)
                if any(word in text.lower() for word in SECRETS) and not any(text.endswith(one) for one in PUBLIC):
                    yield node.lineno, text


def test_secrets_are_compared_in_constant_time() -> None:
    checked = [*ROOT.glob("service/authn/*.py"), ROOT / "service/api/auth.py", ROOT / "service/api/browser_sessions.py"]
    assert [(path.name, *found) for path in checked for found in comparisons(path)] == []
    assert sum(path.read_text().count("hmac.compare_digest(") for path in checked) >= 4


def test_a_comparison_by_bytes_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("def f(shown, token, row):\n    return shown == token or row.digest != shown\n")
    assert [text for _, text in comparisons(tmp_path / "x.py")] == ["token", "row.digest"]


@pytest.mark.parametrize(
    ("host", "proxy", "warned"),
    [("127.0.0.1", False, False), ("::1", False, False), ("localhost", False, False), ("0.0.0.0", False, True),
     ("::", False, True), ("192.0.2.7", False, True), ("0.0.0.0", True, False)],
)  # fmt: skip
def test_a_listener_without_tls_is_warned_of(host: str, proxy: bool, warned: bool) -> None:
    settings = Settings(token="a-token-that-is-long-enough", host=host, tls_proxy=proxy)
    assert ["without TLS" in one for one in warnings(settings)] == [True] * warned
