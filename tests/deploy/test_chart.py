"""The Helm chart: Helm lints and renders it, and the objects are validated with Kubernetes' and KEDA's own schemas."""

from __future__ import annotations

import copy
from typing import Any

import helm_python
import kubernetes_validate
import pytest
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus

from service.settings import Settings
from tests.deploy.chart import BASE, CHART, ENVIRONMENTS, FULL, environment, of_kind, pod, pods, rendered, workers
from tests.deploy.settings import NOT_OF_A_FLEET, SERVICE, WORKER

VERSIONS = ("1.27", "1.31", "1.37")
OPERATORS = ("keda.sh/", "monitoring.coreos.com/")
"""API groups whose objects are not in Kubernetes' own schemas."""


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
    """KEDA's models drop unknown fields, so the parsed object must equal the original."""
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


def test_the_monitor_selects_the_replicas_by_their_labels(full: list[dict[str, Any]]) -> None:
    """The monitor selects by labels of the Service, uses a port of the Service, and sets the job name that the
    alerts use.
    """
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
    # The hook runs before the release's own objects exist. It only needs the Secret that the operator created before.
    assert environment(spec) == {"BATON_DATABASE_URL": {"secretKeyRef": {"name": "baton", "key": "BATON_DATABASE_URL"}}}
    assert "serviceAccountName" not in spec
    assert environment(pod(full, "baton"))["BATON_MIGRATE"] == "0"


def test_secret_settings_come_from_the_secret(full: list[dict[str, Any]]) -> None:
    found = environment(pod(full, "baton"))["BATON_NOTIFY_URLS"]
    assert found == {"secretKeyRef": {"name": "baton", "key": "BATON_NOTIFY_URLS"}}


def without_pod(given: dict[str, Any]) -> dict[str, Any]:
    """KEDA's part of a ScaledJob.

    The pod is validated with Kubernetes' schema above, because KEDA's models reject valid quantities.
    """
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
        ({"ingress": {**FULL["ingress"], "path": "/baton/"}}, "path"),
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


def test_workers_know_neither_database_nor_redis_nor_store(full: list[dict[str, Any]]) -> None:
    for name, spec in [("baton", pod(full, "baton")), *workers(full)]:
        secrets = {
            one for one, value in environment(spec).items() if isinstance(value, dict) and "secretKeyRef" in value
        }
        tokens = {"BATON_TOKEN", "BATON_WORK_TOKEN", "BATON_READ_TOKEN"}
        everything = {*tokens, "BATON_DATABASE_URL", "BATON_REDIS_URL", "BATON_NOTIFY_URLS"}
        assert secrets == (everything if name == "baton" else {"BATON_TOKEN"})
        if name != "baton":
            assert {"BATON_URL", "BATON_TOKEN"} <= set(environment(spec))
            assert not NOT_OF_A_FLEET & set(environment(spec))
            assert all(argument.startswith("--queue=") for argument in spec["containers"][0]["args"])


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
    """Workers send the work token, KEDA and Prometheus send the read token, and the service gets both."""
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


def test_the_service_has_the_path_of_its_ingress(full: list[dict[str, Any]]) -> None:
    objects = rendered({**BASE, "ingress": {**FULL["ingress"], "path": "/tools/baton"}})
    (rule,) = of_kind(objects, "Ingress")["baton"]["spec"]["rules"]
    assert rule["http"]["paths"][0]["path"] == "/tools/baton"
    assert Settings(token="token-of-the-chart", root_path=environment(pod(objects, "baton"))["BATON_ROOT_PATH"]).prefix
    assert "BATON_ROOT_PATH" not in environment(pod(full, "baton"))


def test_the_service_has_addresses_of_every_kind_that_the_cluster_has(full: list[dict[str, Any]]) -> None:
    assert of_kind(full, "Service")["baton"]["spec"]["ipFamilyPolicy"] == "PreferDualStack"


def test_only_volumes_can_be_written(full: list[dict[str, Any]]) -> None:
    for name, spec in pods(full):
        (container,) = spec["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        mounted = {one["mountPath"] for one in container["volumeMounts"]}
        trains = name not in ("baton", "baton-migrate")
        assert mounted == ({"/tmp", "/home/baton/.cache/baton"} if trains else {"/tmp"})
        assert all("emptyDir" in one for one in spec["volumes"])


def test_load_balancing_does_not_depend_on_redis(full: list[dict[str, Any]]) -> None:
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
