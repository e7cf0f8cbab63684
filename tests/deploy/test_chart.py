"""The Helm chart: linted and rendered by Helm itself, and what comes out held to Kubernetes' and KEDA's own schemas."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import helm_python
import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus

from tests.deploy.settings import SERVICE, WORKER
from tests.support.service import ROOT

CHART = str(ROOT / "deploy/helm/baton")
VERSIONS = ("1.27", "1.31", "1.37")
BASE: dict[str, Any] = {"image": {"registry": "registry.example/team"}, "store": "gs://bucket/baton"}
POOLS: list[dict[str, Any]] = [
    {"name": "l4", "image": "worker-gpu", "gpus": 1, "cloud": "gke", "accelerator": "nvidia-l4", "max": 8},
    {"name": "l4-big", "image": "other.example/mine:3", "gpus": 1, "cloud": "aks", "extensions": ["network/my-net"]},
    {"name": "a10", "image": "worker-gpu", "gpus": 1, "cloud": "eks", "grace": 110, "queues": ["default", "big"]},
    {"name": "fixed", "scale": "fixed", "spot": False, "replicas": 2, "settings": {"BATON_REPORTS": 0}},
]
FULL = {
    **BASE,
    "workers": POOLS,
    "ingress": {"enabled": True, "className": "nginx", "host": "baton.example", "tlsSecret": "baton-tls"},
    "service": {
        "replicas": 3,
        "settings": {"BATON_QUEUE_LIMITS": '{"default": 8}'},
        "secretSettings": ["BATON_NOTIFY_URLS"],
        "forwardedAllowIps": "10.0.0.0/8",
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "metricsToken": {"secret": "baton-metrics", "key": "token"},
    "workerServiceAccount": {"annotations": {"iam.gke.io/gcp-service-account": "w@p.iam.gserviceaccount.com"}},
}
OPERATORS = ("keda.sh/", "monitoring.coreos.com/")
"""Whose objects Kubernetes' own schemas do not know."""
ENVIRONMENTS = [BASE, FULL]


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(values, name="baton", namespace="prod")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


@pytest.fixture(scope="module")
def full() -> list[dict[str, Any]]:
    return rendered(FULL)


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each pod's template, with the name of what makes it."""
    for name, one in of_kind(objects, "Deployment").items():
        yield name, one["spec"]["template"]["spec"]
    for name, one in of_kind(objects, "ScaledJob").items():
        yield name, one["spec"]["jobTargetRef"]["template"]["spec"]


def pod(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return dict(pods(objects))[name]


def environment(pod: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in pod["containers"][0]["env"]}


@pytest.mark.parametrize("values", ENVIRONMENTS, ids=["least", "full"])
def test_helm_lints_it(values: dict[str, Any]) -> None:
    found = helm_python.lint(CHART, values=values)
    assert found["errors"] == []
    assert [one["error"] for one in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", ENVIRONMENTS, ids=["least", "full"])
def test_kubernetes_takes_what_comes_out(values: dict[str, Any], version: str) -> None:
    judged = [one for one in rendered(values) if not one["apiVersion"].startswith(OPERATORS)]
    assert {"Deployment", "Service", "PodDisruptionBudget"} <= {one["kind"] for one in judged}
    for one in judged:
        kubernetes_validate.validate(one, version, strict=True)


def test_kubernetes_takes_the_pods_that_keda_makes(full: list[dict[str, Any]]) -> None:
    for name, one in of_kind(full, "ScaledJob").items():
        target = one["spec"]["jobTargetRef"]
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": target}
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)
        spoiled = copy.deepcopy(job)
        spoiled["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(spoiled, VERSIONS[-1], strict=True)


def test_keda_takes_what_is_its_own(full: list[dict[str, Any]]) -> None:
    """Its models leave out what they do not know: what comes back must be what went in."""
    kinds = {"ScaledJob": keda.ScaledJob, "TriggerAuthentication": keda.TriggerAuthentication}
    judged = [one for one in full if one["apiVersion"] == "keda.sh/v1alpha1"]
    assert {one["kind"] for one in judged} == set(kinds)
    for one in map(without_pod, judged):
        assert known(kinds[one["kind"]], one) == one
    spoiled = without_pod(next(one for one in judged if one["kind"] == "ScaledJob"))
    spoiled["spec"]["maxReplicas"] = 3
    assert known(keda.ScaledJob, spoiled) != spoiled


def test_the_operator_of_prometheus_takes_the_monitor(full: list[dict[str, Any]]) -> None:
    (monitor,) = of_kind(full, "ServiceMonitor").values()
    assert known(prometheus.ServiceMonitor, monitor) == monitor
    spoiled = copy.deepcopy(monitor)
    spoiled["spec"]["endpoints"][0]["intervall"] = "30s"
    assert known(prometheus.ServiceMonitor, spoiled) != spoiled
    assert of_kind(rendered(BASE), "ServiceMonitor") == {}


def test_the_monitor_finds_the_replicas_by_what_they_bear(full: list[dict[str, Any]]) -> None:
    """Its selector is of the Service's labels, its port one of the Service's, its job what the alerts ask for."""
    (monitor,) = of_kind(full, "ServiceMonitor").values()
    (service,) = of_kind(full, "Service").values()
    spec, labels = monitor["spec"], service["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["authorization"]["credentials"] == {"name": "baton-metrics", "key": "token"}
    assert labels[spec["jobLabel"]] == "baton"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_secret_settings_come_from_the_secret(full: list[dict[str, Any]]) -> None:
    found = environment(pod(full, "baton"))["BATON_NOTIFY_URLS"]
    assert found == {"secretKeyRef": {"name": "baton", "key": "BATON_NOTIFY_URLS"}}


def without_pod(given: dict[str, Any]) -> dict[str, Any]:
    """Of a ScaledJob what is KEDA's: its pod is held to Kubernetes' schema above; the models err in its quantities."""
    found = copy.deepcopy(given)
    if "jobTargetRef" in found["spec"]:
        found["spec"]["jobTargetRef"]["template"]["spec"] = {"containers": [{"name": "worker"}]}
    return found


def known(model: Any, given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = model.model_validate(given).model_dump(by_alias=True, exclude_unset=True, mode="json")
    return found


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"store": "file:///data"}, "store"),
        ({"image": {"registry": ""}}, "registry"),
        ({"workers": [{"name": "x", "gpus": 2}]}, "gpus"),
        ({"workers": [{"image": "worker-cpu"}]}, "name"),
        ({"workers": [{"name": "x", "maximum": 3}]}, "maximum"),
        ({"ingress": {"enabled": True, "host": "b"}}, "tlsSecret"),
        ({"serviceMonitor": {"interval": "often"}}, "interval"),
        ({"service": {"secretSettings": ["baton notify"]}}, "secretSettings"),
    ],
)
def test_values_that_make_no_sense_are_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(helm_python.HelmError, match=word):
        rendered({**BASE, **changes})


def test_every_variable_is_a_setting_of_who_gets_it(full: list[dict[str, Any]]) -> None:
    for name, spec in pods(full):
        assert set(environment(spec)) <= (SERVICE if name == "baton" else WORKER), name


def test_nobody_is_root(full: list[dict[str, Any]]) -> None:
    for _, spec in pods(full):
        assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsNonRoot"]) == (10001, True)
        (container,) = spec["containers"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_workers_know_neither_database_nor_redis(full: list[dict[str, Any]]) -> None:
    for name, spec in pods(full):
        secrets = {
            one for one, value in environment(spec).items() if isinstance(value, dict) and "secretKeyRef" in value
        }
        everything = {"BATON_TOKEN", "BATON_DATABASE_URL", "BATON_REDIS_URL", "BATON_NOTIFY_URLS"}
        assert secrets == (everything if name == "baton" else {"BATON_TOKEN"})
        assert ("--poll" in spec["containers"][0].get("args", [])) == (name != "baton")


def test_workers_and_keda_may_have_tokens_of_their_own() -> None:
    objects = rendered({**FULL, "workerToken": {"secret": "mine", "key": "work"}, "scalerToken": {"secret": "look"}})
    assert environment(pod(objects, "baton-l4"))["BATON_TOKEN"] == {"secretKeyRef": {"name": "mine", "key": "work"}}
    assert environment(pod(objects, "baton"))["BATON_TOKEN"] == {
        "secretKeyRef": {"name": "baton", "key": "BATON_TOKEN"}
    }
    (scaler,) = of_kind(objects, "TriggerAuthentication").values()
    assert scaler["spec"]["secretTargetRef"] == [{"parameter": "token", "name": "look", "key": "BATON_TOKEN"}]


def test_a_pod_has_one_gpu_or_none(full: list[dict[str, Any]]) -> None:
    for name, spec in pods(full):
        gpus = int(spec["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", 0))
        assert gpus == (0 if name in ("baton", "baton-fixed") else 1)
        tolerated = [one["key"] for one in spec.get("tolerations", [])]
        assert ("nvidia.com/gpu" in tolerated) == bool(gpus)


def test_spot_nodes_are_asked_for_in_each_clouds_words(full: list[dict[str, Any]]) -> None:
    assert pod(full, "baton-l4")["nodeSelector"] == {
        "cloud.google.com/gke-spot": "true",
        "cloud.google.com/gke-accelerator": "nvidia-l4",
    }
    assert pod(full, "baton-l4-big")["nodeSelector"] == {"kubernetes.azure.com/scalesetpriority": "spot"}
    assert pod(full, "baton-a10")["nodeSelector"] == {"eks.amazonaws.com/capacityType": "SPOT"}
    assert "nodeSelector" not in pod(full, "baton-fixed")
    for name, key in (
        ("baton-l4", "cloud.google.com/gke-spot"),
        ("baton-l4-big", "kubernetes.azure.com/scalesetpriority"),
    ):
        assert key in [one["key"] for one in pod(full, name)["tolerations"]]


def test_a_worker_has_more_time_than_it_takes(full: list[dict[str, Any]]) -> None:
    graces = {name: int(environment(spec)["BATON_GRACE"]) for name, spec in pods(full) if name != "baton"}
    assert graces == {"baton-l4": 15, "baton-l4-big": 15, "baton-a10": 110, "baton-fixed": 15}
    for name, grace in graces.items():
        assert pod(full, name)["terminationGracePeriodSeconds"] >= grace + 10


def test_keda_asks_the_service_what_each_pool_should_have(full: list[dict[str, Any]]) -> None:
    jobs = of_kind(full, "ScaledJob")
    assert set(jobs) == {"baton-l4", "baton-l4-big", "baton-a10"}
    for name, one in jobs.items():
        spec, pool = one["spec"], next(pool for pool in POOLS if f"baton-{pool['name']}" == name)
        asked = [urlsplit(trigger["metadata"]["url"]) for trigger in spec["triggers"]]
        assert [url.path for url in asked] == [f"/v1/queues/{queue}" for queue in pool.get("queues", ["default"])]
        for url in asked:
            assert url.netloc == "baton.prod.svc:8080"
            assert parse_qs(url.query) == {"worker": [f"{name}."], **with_extensions(pool)}
        # Names of one pool's workers never begin as another's: l4 and l4-big.
        assert environment(spec["jobTargetRef"]["template"]["spec"])["BATON_WORKER_NAME"] == f"{name}.$(POD_NAME)"
        assert spec["maxReplicaCount"] == pool.get("max", 4)


def with_extensions(pool: dict[str, Any]) -> dict[str, list[str]]:
    return {"extension": pool["extensions"]} if "extensions" in pool else {}


def test_no_change_and_no_scaling_ends_a_worker_that_trains(full: list[dict[str, Any]]) -> None:
    for one in of_kind(full, "ScaledJob").values():
        assert one["spec"]["rollout"] == {"strategy": "gradual"}
        template = one["spec"]["jobTargetRef"]["template"]
        assert template["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
        assert template["spec"]["restartPolicy"] == "Never"
        assert environment(template["spec"])["BATON_IDLE"] == "10m"
    assert "BATON_IDLE" not in environment(pod(full, "baton-fixed"))


def test_what_balances_does_not_ask_for_redis(full: list[dict[str, Any]]) -> None:
    (service,) = pod(full, "baton")["containers"]
    paths = {probe: service[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/readyz", "readiness": "/healthz", "liveness": "/healthz"}


def test_selectors_find_their_pods(full: list[dict[str, Any]]) -> None:
    for one in of_kind(full, "Deployment").values():
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
    labels = of_kind(full, "Deployment")["baton"]["spec"]["template"]["metadata"]["labels"]
    service = of_kind(full, "Service")["baton"]
    assert service["spec"]["selector"].items() <= labels.items()
    workers = [
        of_kind(full, "ScaledJob")[name]["spec"]["jobTargetRef"]["template"] for name in ("baton-l4", "baton-a10")
    ]
    for template in (*workers, of_kind(full, "Deployment")["baton-fixed"]["spec"]["template"]):
        assert not service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
