"""The chart's network policies: which pods may connect to the pods, and where the pods may connect."""

from __future__ import annotations

from typing import Any

import helm_python
import kubernetes_validate
import pytest

from tests.deploy.chart import BASE, FULL, of_kind, rendered, templates


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


DNS = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
METADATA = ("169.254.169.254/32", "169.254.169.252/32", "169.254.170.23/32", "fd00:ec2::254/128", "fd00:ec2::23/128")
EXTRA = {"to": [{"ipBlock": {"cidr": "10.20.0.5/32"}}], "ports": [{"protocol": "TCP", "port": 5432}]}


def with_egress(**changes: Any) -> dict[str, Any]:
    policy = {**FULL["networkPolicy"], "egress": {"enabled": True, **changes}}
    return {**FULL, "networkPolicy": policy}


def to(*addresses: str) -> list[dict[str, Any]]:
    return [{"ipBlock": {"cidr": one}} for one in addresses]


def test_egress_is_limited_to_what_each_part_needs() -> None:
    objects = rendered(with_egress(service=[EXTRA], workers=[{"to": to("10.9.0.0/16")}], addresses=["10.0.0.0/8"]))
    policies = of_kind(objects, "NetworkPolicy")
    for one in policies.values():
        kubernetes_validate.validate(one, "1.31", strict=True)
    service, worker = policies["baton-egress"]["spec"], policies["baton-worker-egress"]["spec"]
    assert service["policyTypes"] == worker["policyTypes"] == ["Egress"]
    web = {"ports": [{"protocol": "TCP", "port": 443}], "to": to("10.0.0.0/8")}
    metadata = service["egress"][2]
    assert metadata["to"] == to(*METADATA)
    redis = {"ports": [{"protocol": "TCP", "port": 6379}], "to": [{"podSelector": {"matchLabels": {"app": "redis"}}}]}
    assert service["egress"] == [DNS, web, metadata, redis, EXTRA]
    served = worker["egress"][3]
    assert worker["egress"] == [DNS, web, metadata, served, {"to": to("10.9.0.0/16")}]
    assert served["ports"] == [{"protocol": "TCP", "port": "http"}]
    for labels, component in templates(objects):
        chosen = service["podSelector"]
        (expression,) = chosen["matchExpressions"]
        assert chosen["matchLabels"].items() <= labels.items()
        assert (expression["operator"], component in expression["values"]) == ("NotIn", component == "worker")
        assert (worker["podSelector"]["matchLabels"].items() <= labels.items()) == (component == "worker")
        (peer,) = served["to"]
        assert (peer["podSelector"]["matchLabels"].items() <= labels.items()) == (component == "service")


def test_no_rule_of_egress_is_without_ports_or_addresses() -> None:
    """An empty list in a policy allows everything, not nothing."""
    objects = of_kind(rendered(with_egress(ports=[], metadata=None)), "NetworkPolicy")
    assert objects["baton-egress"]["spec"]["egress"][0] == DNS
    assert len(objects["baton-worker-egress"]["spec"]["egress"]) == 2
    assert all(rule for one in objects.values() for rule in one["spec"].get("egress", [{"ports": 1}]))


def test_egress_is_not_limited_unless_one_says_so(full: list[dict[str, Any]]) -> None:
    assert all("Egress" not in one["spec"]["policyTypes"] for one in of_kind(full, "NetworkPolicy").values())


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        ({"egress": {"enabled": True}}, "enabled"),
        ({**FULL["networkPolicy"], "egress": {"enabled": True, "addresses": []}}, "addresses"),
        ({**FULL["networkPolicy"], "egress": {"enabled": True, "addresses": ["here"]}}, "addresses"),
        ({**FULL["networkPolicy"], "egress": {"enabled": True, "ports": ["https"]}}, "ports"),
        ({**FULL["networkPolicy"], "egress": {"enabled": True, "service": [{"from": []}]}}, "service"),
    ],
)
def test_egress_that_makes_no_sense_is_refused(policy: dict[str, Any], word: str) -> None:
    with pytest.raises(helm_python.HelmError, match=word):
        rendered({**BASE, "networkPolicy": policy})
