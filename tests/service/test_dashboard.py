"""The page and the files of the dashboard, and the parts of the API that it uses: curves, the end of the history,
the report.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from scripts.vendor import FOLDER as VENDOR
from scripts.vendor import LIST, differences
from service.web.assets import FOLDER, load_assets
from service.web.pages import VIEWS
from tests.service.helpers import Api, WorkerHand, assert_problem

ROOT = Path(__file__).resolve().parents[2]
OWN = [path for path in sorted(FOLDER.rglob("*.js")) if VENDOR not in path.parents]


class Page(HTMLParser):
    """The files that a page names, and the inline scripts and styles that a content security policy would have to
    allow.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.names += [value for name in ("src", "href") if (value := found.get(name)) and tag in ("script", "link")]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in found) else []
        self.inline += [name for name in found if name == "style" or name.startswith("on")]


def test_each_view_is_the_same_page_for_a_stranger_too(api: Api) -> None:
    api.http.headers.pop("Authorization")
    answers = {api.http.get(view.format(job_id="0" * 32, tab="logs")).text for view in VIEWS}
    assert len(answers) == 1
    assert '<meta name="baton-session" content="no">' in answers.pop()
    assert api.http.head("/").status_code == 200
    assert_problem(api.http.get("/nonesuch"), 404, "not-found")


def test_the_page_allows_only_files_of_the_service(api: Api) -> None:
    answer = api.http.get("/")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    page = Page(answer.text)
    assert page.inline == []
    assert len(page.names) > 20
    assert all(name.startswith("/assets/") for name in page.names)


def test_every_file_that_the_page_names_is_there_for_ever(api: Api) -> None:
    for name in Page(api.http.get("/").text).names:
        answer = api.http.get(name)
        assert answer.status_code == 200, name
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.content == load_assets().files[name.split("/", 3)[3]].content
    plain = api.http.get(name, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_files_of_another_state_are_not_there(api: Api) -> None:
    assets = load_assets()
    assert_problem(api.http.get("/assets/0123456789abcdef/js/app.js"), 404, "not-found")
    for path in ("nonesuch.js", "../pages.py", "vendor/vendor.json", "js"):
        assert api.http.get(f"{assets.root}/{path}").status_code == 404


def test_a_module_imports_only_what_is_there() -> None:
    for path in OWN:
        for wanted in re.findall(r'^(?:import|export)[^;]*? from "([^"]+)"', path.read_text(), re.MULTILINE):
            assert (path.parent / wanted).resolve().is_file(), f"{path.name} imports {wanted}, which does not exist"


def test_no_module_makes_markup_of_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|unsafe(HTML|-html)|\beval\(|new Function|javascript:"
    )
    assert [path.name for path in OWN if forbidden.search(path.read_text())] == []
    assert [path.name for path in OWN if re.search(r"https?://", path.read_text())] == []


def test_third_party_files_match_the_list() -> None:
    packages = json.loads(LIST.read_text())
    assert differences(packages) == []
    for name, one in packages.items():
        assert "LICENSE" in one["files"], name
        assert one["integrity"].startswith("sha512-"), name


def test_a_changed_library_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.js").write_text("1")
    (tmp_path / "lib" / "b.js").write_text("2")
    digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    assert differences({"lib": {"files": {"a.js": digest, "c.js": digest}}}, tmp_path) == ["lib/b.js", "lib/c.js"]


BELOW = "baton/_programs/service/web"


def test_the_wheel_has_the_dashboard() -> None:
    packed = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    wanted = {f"{BELOW}/{path.relative_to(FOLDER.parent).as_posix()}" for path in FOLDER.rglob("*") if path.is_file()}
    assert {f"{BELOW}/index.html", *wanted} <= packed


def trained(api: Api, epochs: int, **row: float | str) -> WorkerHand:
    """A running job of one stage with this many recorded epochs."""
    stages = [{"image_size": 16, "batch_size": 64, "epochs": 200}]
    hand = api.running(stages=stages)
    for epoch in range(1, epochs + 1):
        assert hand.epoch(epoch, 1, epoch, row={"val_accuracy": epoch / 1000, **row}).status_code == 200
    return hand


def test_curves_of_many_jobs_are_thinned_out_and_end_with_the_newest_epoch(api: Api) -> None:
    long, short = trained(api, 31), trained(api, 2)
    query = {"job": [long.job_id, short.job_id, "0" * 32], "points": 10}
    found = {one["job_id"]: one["points"] for one in api.http.get("/v1/curves", params=query).json()["items"]}
    assert [epoch for epoch, _ in found[long.job_id]] == [3, 7, 11, 15, 19, 23, 27, 31]
    assert found[long.job_id][-1] == [31, 0.031]
    assert found[short.job_id] == [[1, 0.001], [2, 0.002]]
    assert found["0" * 32] == []


def test_a_curve_shows_what_diverged(api: Api) -> None:
    hand = trained(api, 1, val_loss="NaN")
    query = {"job": hand.job_id, "metric": "val_loss"}
    assert api.http.get("/v1/curves", params=query).json()["items"][0]["points"] == [[1, "NaN"]]


@pytest.mark.parametrize("query", ["", "?job=x", f"?job={'0' * 32}&metric=a%20b", f"?job={'0' * 32}&points=1"])
def test_bad_queries_for_curves_are_refused(api: Api, query: str) -> None:
    assert_problem(api.http.get(f"/v1/curves{query}"), 422, "invalid-request")


def test_the_end_of_a_history(api: Api) -> None:
    hand = trained(api, 4)
    rows = api.http.get(f"/v1/jobs/{hand.job_id}/history", params={"after": 2}).json()["items"]
    assert [row["epoch"] for row in rows] == [3, 4]


def test_a_job_says_how_many_events_it_has(api: Api) -> None:
    hand = trained(api, 1)
    events = api.http.get(f"/v1/jobs/{hand.job_id}/events").json()["items"]
    assert api.http.get(f"/v1/jobs/{hand.job_id}").json()["events"] == events[-1]["sequence"] == len(events)


def test_a_report_is_shown_without_scripts_and_of_an_origin_of_its_own(api: Api) -> None:
    hand = api.running()
    path = f"/v1/jobs/{hand.job_id}/report"
    assert_problem(api.http.get(path), 404, "not-found")
    hand.artifact("report.html", b"<h1>done</h1>", content_type="text/html")
    answer = api.http.get(path)
    assert (answer.status_code, answer.content) == (200, b"<h1>done</h1>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "content-disposition" not in answer.headers
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"sandbox", "default-src 'none'", "frame-ancestors 'self'"} <= set(policy)
    assert not any("script" in part for part in policy)
    assert api.http.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
