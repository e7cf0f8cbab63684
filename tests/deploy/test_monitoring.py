"""The Grafana dashboard and the alerts are well formed, and use metrics that a running service has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.service.helpers import Api
from tests.support.redis import running_redis
from tests.support.service import ROOT, running_service

pytestmark = pytest.mark.process

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/baton.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
SCRAPING: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
REFERENCE = (ROOT / "docs/how-to/observe.md").read_text()
# Prometheus itself adds this metric. All others must be in the scrape.
SYNTHETIC = {"up"}
FUNCTIONS = {"sum", "max", "min", "rate", "increase", "absent", "histogram_quantile"}
WORDS = FUNCTIONS | {"by", "and", "on", "unless", "or"}

Metrics = dict[str, set[frozenset[str]]]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    """The names of samples with the sets of their labels, from a service that has processed some jobs."""
    with (
        running_redis() as redis,
        running_service(tmp_path_factory.mktemp("scraped"), redis.url) as service,
        service.client() as http,
    ):
        api = Api(http)
        hand = api.running()
        hand.finish("succeeded")
        api.running("w2")
        found: Metrics = {}
        for family in text_string_to_metric_families(http.get("/metrics").text):
            for sample in family.samples:
                found.setdefault(sample.name, set()).add(frozenset(sample.labels))
        yield found


def panels() -> list[dict[str, Any]]:
    return [one for one in DASHBOARD["panels"] if one["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


EXPRESSIONS = {
    **{f"{one['title']} {target['refId']}": target["expr"] for one in panels() for target in one["targets"]},
    **{rule["alert"]: rule["expr"] for rule in rules()},
}


def used(expression: str) -> dict[str, set[str]]:
    """The metrics of a PromQL expression, with the labels that it selects by."""
    found: dict[str, set[str]] = {}
    bare = re.sub(r"\b(by|on)\s*\([^)]*\)", "", expression)
    for name, choice in re.findall(r"\b([a-z_:][a-z0-9_:]*)\b(?!\s*\()(?:\{([^}]*)\})?", _without_strings(bare)):
        if name not in WORDS and not _is_label(bare, name):
            found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", choice))
    return found


def _without_strings(text: str) -> str:
    return re.sub(r'"[^"]*"', '""', re.sub(r"\[[^\]]*\]", "", text))


def _is_label(text: str, name: str) -> bool:
    return not re.search(rf"\b{name}\b", re.sub(r"\{[^}]*\}", "", _without_strings(text)))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_what_is_asked_for_is_there(metrics: Metrics, name: str) -> None:
    asked = used(EXPRESSIONS[name])
    assert asked
    for metric, labels in asked.items():
        assert metric in SYNTHETIC | set(metrics), metric
        if metric not in SYNTHETIC:
            own = labels - {"job", "instance"}
            assert any(own <= seen for seen in metrics[metric]), (metric, own)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_are_closed_and_group_by_what_there_is(metrics: Metrics, name: str) -> None:
    text = _without_strings(EXPRESSIONS[name])
    for opening, closing in ("()", "{}"):
        assert text.count(opening) == text.count(closing)
    assert set(re.findall(r"\b([a-z_]+)\s*\(", re.sub(r"\bby\s*\(", "", text))) <= FUNCTIONS | {"and"}
    grouped = {label.strip() for part in re.findall(r"\bby\s*\(([^)]*)\)", text) for label in part.split(",")}
    labels = {label for metric in used(text) for seen in metrics.get(metric, ()) for label in seen}
    assert grouped <= labels | {"job", "instance"}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_no_replica_is_counted_twice(name: str) -> None:
    """All replicas report the same values of these metrics, so a sum must be over max()."""
    own = r"baton_(jobs|workers|queue_\w+|running_\w+|live_jobs_seconds)\b(?!_ended|_submitted)"
    for found in re.finditer(own, EXPRESSIONS[name]):
        if not re.match(r"baton_jobs_(ended|submitted)", EXPRESSIONS[name][found.start() :]):
            assert re.search(r"max(\s+by\s*\([^)]*\))?\s*\($", EXPRESSIONS[name][: found.start()]), found[0]


def test_a_wrong_name_is_seen(metrics: Metrics) -> None:
    assert used('sum by (le) (rate(baton_x_total{job=~"a b",status!="5.."}[5m])) / up > 3') == {
        "baton_x_total": {"job", "status"},
        "up": set(),
    }
    assert "baton_x_total" not in metrics


def test_the_dashboard_can_be_imported() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", DASHBOARD["uid"])
    assert "id" not in DASHBOARD  # Grafana assigns the id
    ids = [one["id"] for one in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    text = json.dumps(DASHBOARD)
    assert set(re.findall(r"\$\{?([a-z]\w*)", text)) <= set(variables)
    for one in panels():
        assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert one["title"]
        refs = [target["refId"] for target in one["targets"]]
        assert len(refs) == len(set(refs)) > 0
        for target in one["targets"]:
            assert target["datasource"] == one["datasource"]


def test_panels_lie_beside_each_other() -> None:
    for one in DASHBOARD["panels"]:
        assert 0 <= one["gridPos"]["x"] <= one["gridPos"]["x"] + one["gridPos"]["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)


def test_alerts_are_prometheus_rules() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["alert"] in REFERENCE
    assert SCRAPING["rule_files"] == ["alerts.yml"]
    (job,) = SCRAPING["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("baton", "/metrics")
    assert Path(job["authorization"]["credentials_file"]).is_absolute()


def test_the_guide_names_every_metric_and_no_other(metrics: Metrics) -> None:
    told = set(re.findall(r"^\| `(baton_\w+)", REFERENCE, re.M))
    assert told == {re.sub(r"_(bucket|count|sum)$", "", name) for name in metrics if name.startswith("baton_")}
