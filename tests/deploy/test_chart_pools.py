"""The chart's pools of workers: GPUs, spot nodes, time for a shutdown, and scaling by KEDA."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.deploy.chart import POOLS, environment, of_kind, pod, workers


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
        # The dot keeps the workers of the pools "l4" and "l4-big" apart, because one pool name is a prefix of the
        # other.
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
