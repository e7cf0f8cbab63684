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

from service.settings import Settings
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
    "networkPolicy": {
        "enabled": True,
        "clients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}],
        "databases": [{"name": "redis", "podLabels": {"app": "redis"}, "port": 6379}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "readToken": {"secret": "baton-look", "key": "token"},
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
    for name, one in of_kind(objects, "Job").items():
        yield name, one["spec"]["template"]["spec"]


def workers(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of them that train."""
    return ((name, one) for name, one in pods(objects) if name not in ("baton", "baton-migrate"))


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
    assert endpoint["authorization"]["credentials"] == {"name": "baton-look", "key": "token"}
    assert labels[spec["jobLabel"]] == "baton"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_schema_is_brought_up_to_date_before_anything_new_starts(full: list[dict[str, Any]]) -> None:
    job = of_kind(full, "Job")["baton-migrate"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["args"] == ["python", "-m", "service.migrate", "--wait", "300"]
    assert container["image"] == pod(full, "baton")["containers"][0]["image"]
    # A hook runs before the release's own objects are there: it needs only the Secret that is there already.
    assert environment(spec) == {"BATON_DATABASE_URL": {"secretKeyRef": {"name": "baton", "key": "BATON_DATABASE_URL"}}}
    assert "serviceAccountName" not in spec
    assert environment(pod(full, "baton"))["BATON_MIGRATE"] == "0"


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
        ({"workToken": {"secret": ""}}, "workToken"),
        ({"readToken": {"secret": ""}}, "readToken"),
        ({"workToken": {"secret": "baton", "key": "BATON_TOKEN"}}, "workToken"),
        ({"readToken": {"secret": "baton", "key": "BATON_TOKEN"}}, "readToken"),
        ({"workToken": None}, "workToken"),
        ({"networkPolicy": {"enabled": True}}, "clients"),
        ({"networkPolicy": {"enabled": True, "clients": [{"pod": {}}]}}, "pod"),
        ({"networkPolicy": {"databases": [{"name": "redis", "port": 6379}]}}, "podLabels"),
    ],
)
def test_values_that_make_no_sense_are_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(helm_python.HelmError, match=word):
        rendered({**BASE, **changes})


def test_every_variable_is_a_setting_of_who_gets_it(full: list[dict[str, Any]]) -> None:
    for name, spec in pods(full):
        assert set(environment(spec)) <= (SERVICE if name in ("baton", "baton-migrate") else WORKER), name


def test_nobody_is_root(full: list[dict[str, Any]]) -> None:
    for _, spec in pods(full):
        assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsNonRoot"]) == (10001, True)
        (container,) = spec["containers"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_workers_know_neither_database_nor_redis(full: list[dict[str, Any]]) -> None:
    for name, spec in [("baton", pod(full, "baton")), *workers(full)]:
        secrets = {
            one for one, value in environment(spec).items() if isinstance(value, dict) and "secretKeyRef" in value
        }
        tokens = {"BATON_TOKEN", "BATON_WORK_TOKEN", "BATON_READ_TOKEN"}
        everything = {*tokens, "BATON_DATABASE_URL", "BATON_REDIS_URL", "BATON_NOTIFY_URLS"}
        assert secrets == (everything if name == "baton" else {"BATON_TOKEN"})
        assert ("--poll" in spec["containers"][0].get("args", [])) == (name != "baton")


@pytest.mark.parametrize(
    ("changes", "work", "read"),
    [
        ({}, ("baton-work", "BATON_WORK_TOKEN"), ("baton-read", "BATON_READ_TOKEN")),
        ({"workToken": {"secret": "w", "key": "a"}, "readToken": {"secret": "r", "key": "b"}}, ("w", "a"), ("r", "b")),
    ],
)
def test_nobody_but_the_service_has_the_administrators_token(
    changes: dict[str, Any], work: tuple[str, str], read: tuple[str, str]
) -> None:
    """Workers send the work token, KEDA and Prometheus the read token, and the service learns both."""
    objects = rendered({**{name: value for name, value in FULL.items() if name != "readToken"}, **changes})
    service = environment(pod(objects, "baton"))
    for name, (secret, key) in (("WORK", work), ("READ", read), ("", ("baton", "BATON_TOKEN"))):
        variable = f"BATON_{name}_TOKEN" if name else "BATON_TOKEN"
        assert service[variable] == {"secretKeyRef": {"name": secret, "key": key}}
    for name, spec in workers(objects):
        assert environment(spec)["BATON_TOKEN"] == {"secretKeyRef": {"name": work[0], "key": work[1]}}, name
    assert "BATON_TOKEN" not in environment(pod(objects, "baton-migrate"))
    (scaler,) = of_kind(objects, "TriggerAuthentication").values()
    assert scaler["spec"]["secretTargetRef"] == [{"parameter": "token", "name": read[0], "key": read[1]}]
    (monitor,) = of_kind(objects, "ServiceMonitor").values()
    assert monitor["spec"]["endpoints"][0]["authorization"]["credentials"] == {"name": read[0], "key": read[1]}
    named = [one for one in objects if "'BATON_TOKEN'" in str(one) and "'name': 'baton'," in str(one)]
    assert {one["kind"] for one in named if "'key': 'BATON_TOKEN'" in str(one)} <= {"Deployment", "Job"}


def test_behind_its_ingress_the_service_believes_the_proxy(
    full: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    least = rendered({**BASE, "ingress": FULL["ingress"]})
    for objects, proxies in ((full, ("10.0.0.0/8",)), (least, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))):
        given = environment(pod(objects, "baton"))
        monkeypatch.setenv("BATON_TOKEN", "token-of-the-chart")
        monkeypatch.setenv("BATON_TLS_PROXY", given["BATON_TLS_PROXY"])
        monkeypatch.setenv("BATON_FORWARDED_ALLOW_IPS", given["BATON_FORWARDED_ALLOW_IPS"])
        settings = Settings()
        assert settings.tls_proxy
        assert settings.forwarded_allow_ips[: len(proxies)] == proxies
    assert not {"BATON_TLS_PROXY", "BATON_FORWARDED_ALLOW_IPS"} & set(environment(pod(rendered(BASE), "baton")))


def test_policies_let_in_whom_they_name_and_nobody_else(full: list[dict[str, Any]]) -> None:
    policies = of_kind(full, "NetworkPolicy")
    assert set(policies) == {"baton", "baton-worker", "baton-redis"}
    assert all(one["spec"]["policyTypes"] == ["Ingress"] for one in policies.values())
    (rule,) = policies["baton"]["spec"]["ingress"]
    workers, ingress = rule["from"]
    assert ingress == FULL["networkPolicy"]["clients"][0]
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
    assert "ingress" not in policies["baton-worker"]["spec"]
    (redis,) = policies["baton-redis"]["spec"]["ingress"]
    assert policies["baton-redis"]["spec"]["podSelector"] == {"matchLabels": {"app": "redis"}}
    assert redis["ports"] == [{"protocol": "TCP", "port": 6379}]
    (only,) = redis["from"]
    for labels, component in templates(full):
        selected = policies["baton-worker" if component == "worker" else "baton"]["spec"]["podSelector"]["matchLabels"]
        assert selected.items() <= labels.items()
        assert (workers["podSelector"]["matchLabels"].items() <= labels.items()) == (component == "worker")
        assert only["podSelector"]["matchLabels"].items() <= labels.items()
        (expression,) = only["podSelector"]["matchExpressions"]
        assert (expression["operator"], component in expression["values"]) == ("NotIn", component == "worker")
    assert of_kind(rendered(BASE), "NetworkPolicy") == {}


def templates(objects: list[dict[str, Any]]) -> Iterator[tuple[dict[str, str], str]]:
    """The labels of each pod, and which part of Baton it is."""
    for kind in ("Deployment", "ScaledJob"):
        for one in of_kind(objects, kind).values():
            spec = one["spec"]
            labels = (spec["template"] if kind == "Deployment" else spec["jobTargetRef"]["template"])["metadata"][
                "labels"
            ]
            yield labels, labels["app.kubernetes.io/component"]


def test_only_volumes_can_be_written(full: list[dict[str, Any]]) -> None:
    for name, spec in pods(full):
        (container,) = spec["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        mounted = {one["mountPath"] for one in container["volumeMounts"]}
        trains = name not in ("baton", "baton-migrate")
        assert mounted == ({"/tmp", "/home/baton/.cache/baton"} if trains else {"/tmp"})
        assert all("emptyDir" in one for one in spec["volumes"])


def test_a_pod_has_one_gpu_or_none(full: list[dict[str, Any]]) -> None:
    for name, spec in [("baton", pod(full, "baton")), *workers(full)]:
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
    graces = {name: int(environment(spec)["BATON_GRACE"]) for name, spec in workers(full)}
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
