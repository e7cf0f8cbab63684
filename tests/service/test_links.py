"""Links that sign a browser in. A link works once, for a short time, with the rights of its creator."""

from __future__ import annotations

from datetime import datetime, timedelta

from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from service.db.auth_tables import BrowserSession
from service.db.types import db_now
from tests.service.helpers import Api, assert_problem, bearer
from tests.support.service_client import another_client


def code_of(api: Api, **headers: str) -> str:
    answer = api.http.post("/v1/session/links", headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "private, no-store"
    path, _, code = answer.json()["path"].partition("=")
    assert path == "/#sign-in"
    return str(code)


def stranger(api: Api) -> TestClient:
    return another_client(api.http)


def test_a_link_opens_one_session_of_who_made_it(api: Api) -> None:
    code = code_of(api, **bearer(api.token("read", name="ada")["token"]))
    browser = stranger(api)
    answer = browser.post("/v1/session", json={"token": code})
    assert (answer.status_code, answer.json()["name"], answer.json()["scopes"]) == (201, "ada", ["read"])
    assert browser.get("/v1/jobs").status_code == 200
    again = stranger(api)
    problem = assert_problem(again.post("/v1/session", json={"token": code}), 401, "unauthorized")
    assert "baton dashboard" in problem["detail"]
    assert browser.get("/v1/jobs").status_code == 200


def test_a_session_lasts_longer_than_its_link(api: Api) -> None:
    answer = stranger(api).post("/v1/session", json={"token": code_of(api)})
    ends = datetime.fromisoformat(answer.json()["expires_at"])
    assert ends - datetime.now(ends.tzinfo) > timedelta(hours=11)


def test_a_session_ends_with_the_token_behind_its_link(api: Api) -> None:
    made = api.token("read", name="short", expires_seconds=3600)
    answer = stranger(api).post("/v1/session", json={"token": code_of(api, **bearer(made["token"]))})
    assert answer.json()["expires_at"] == made["expires_at"]


def test_a_link_is_too_old_after_a_while(api: Api) -> None:
    code = code_of(api)
    with api.services.database.write() as session:
        session.execute(update(BrowserSession).values(expires_at=db_now()))
    assert_problem(stranger(api).post("/v1/session", json={"token": code}), 401, "unauthorized")


def test_a_code_opens_nothing_by_itself(api: Api) -> None:
    code = code_of(api)
    assert_problem(stranger(api).get("/v1/jobs", headers=bearer(code)), 401, "unauthorized")
    assert_problem(stranger(api).get("/v1/jobs", headers={"Cookie": f"baton_session={code}"}), 401, "unauthorized")
    with api.services.database.read() as session:
        kept = session.scalars(select(BrowserSession.id)).all()
    assert code not in kept


def test_a_revoked_token_takes_its_links_along(api: Api) -> None:
    made = api.token("read", name="gone")
    code = code_of(api, **bearer(made["token"]))
    assert api.http.post(f"/v1/tokens/{made['id']}/revoke").status_code == 200
    assert_problem(stranger(api).post("/v1/session", json={"token": code}), 401, "unauthorized")
    with api.services.database.read() as session:
        assert session.scalar(select(func.count()).select_from(BrowserSession)) == 0


def test_a_session_makes_no_link(api: Api) -> None:
    browser = stranger(api)
    csrf = browser.post("/v1/session", json={"token": code_of(api)}).json()["csrf"]
    answer = browser.post("/v1/session/links", headers={"Baton-CSRF": csrf})
    assert_problem(answer, 403, "forbidden")


def test_guessing_links_is_counted(api: Api) -> None:
    wrong = {"token": "baton_link_" + "0" * 64}
    answers = [stranger(api).post("/v1/session", json=wrong).status_code for _ in range(30)]
    assert (answers[0], answers[-1]) == (401, 429)
