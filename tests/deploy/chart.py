"""The Helm chart, rendered by Helm for the tests: values, and the resulting objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import helm_python
import yaml

from tests.support.service import ROOT

CHART = str(ROOT / "deploy/helm/baton")
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
ENVIRONMENTS = [BASE, FULL]


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(values, name="baton", namespace="prod")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The template of each pod, with the name of the object that creates it."""
    for name, one in of_kind(objects, "Deployment").items():
        yield name, one["spec"]["template"]["spec"]
    for name, one in of_kind(objects, "ScaledJob").items():
        yield name, one["spec"]["jobTargetRef"]["template"]["spec"]
    for name, one in of_kind(objects, "Job").items():
        yield name, one["spec"]["template"]["spec"]


def workers(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods that train."""
    return ((name, one) for name, one in pods(objects) if name not in ("baton", "baton-migrate"))


def pod(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return dict(pods(objects))[name]


def environment(pod: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in pod["containers"][0]["env"]}


def templates(objects: list[dict[str, Any]]) -> Iterator[tuple[dict[str, str], str]]:
    """The labels of each pod, and the part of Baton that it runs."""
    for kind in ("Deployment", "ScaledJob"):
        for one in of_kind(objects, kind).values():
            spec = one["spec"]
            labels = (spec["template"] if kind == "Deployment" else spec["jobTargetRef"]["template"])["metadata"][
                "labels"
            ]
            yield labels, labels["app.kubernetes.io/component"]
