"""The audit log records who created and revoked tokens, who controlled jobs and who logged in."""

from __future__ import annotations

from datetime import datetime

from tests.service.audit_log import lines
from tests.service.browser import Browser
from tests.service.helpers import ON_BOTH, Api, bearer
from tests.service.query_recorder import asked

pytestmark = ON_BOTH


def test_it_tells_who_did_what(api: Api) -> None:
    made = api.token("read", "submit", name="ada", expires_seconds=60)
    headers = bearer(made["token"])
    job = api.http.post("/v1/jobs", json={"plan": "digits-demo"}, headers=headers).json()["id"]
    for verb in ("pause", "pause", "resume", "cancel", "retry"):
        api.http.post(f"/v1/jobs/{job}/{verb}", headers=headers)
    Browser(api).log_in(made["token"])
    api.http.post(f"/v1/tokens/{made['id']}/revoke")
    found = lines(api)[::-1]
    assert [(one["kind"], one["actor"], one["token_id"], one["subject"]) for one in found] == [
        ("token_created", "user", None, made["id"]),
        ("job_submitted", "ada", made["id"], job),
        ("job_pause_requested", "ada", made["id"], job),  # only one row: the second request changed nothing
        ("job_resume_requested", "ada", made["id"], job),
        ("job_cancel_requested", "ada", made["id"], job),
        ("job_retry_requested", "ada", made["id"], job),
        ("session_opened", "ada", made["id"], None),
        ("token_revoked", "user", None, made["id"]),
    ]
    told = found[0]["data"]
    assert (told["name"], told["scopes"]) == ("ada", ["read", "submit"])
    assert datetime.fromisoformat(told["expires_at"]) == datetime.fromisoformat(made["expires_at"])
    assert made["token"] not in str(found)


def test_refused_requests_are_not_recorded(api: Api) -> None:
    job = api.submit()["id"]
    key = {"Idempotency-Key": "again"}
    for _ in range(2):
        assert api.http.post("/v1/jobs", json={"plan": "digits-demo"}, headers=key).status_code in (200, 201)
    api.http.post("/v1/jobs", json={"plan": "nonesuch"})
    api.ask(job, "cancel")
    assert api.ask(job, "pause").status_code == 409
    assert [one["kind"] for one in lines(api)] == ["job_cancel_requested", "job_submitted", "job_submitted"]


def test_the_audit_log_is_read_in_pages_by_an_index(api: Api) -> None:
    for _ in range(7):
        api.submit()
    seen, cursor = [], {}
    while True:
        with asked() as statements:
            page = api.http.get("/v1/audit", params={"limit": 3, **cursor}).json()
        pages = [one for one in statements if "FROM audit" in one]
        assert pages
        assert all("LIMIT" in one for one in pages), pages
        seen += [one["number"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == list(range(7, 0, -1))
