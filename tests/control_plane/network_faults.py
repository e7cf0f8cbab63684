"""Faults of the connections between members, and of Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.control_plane.fault_schedule import ScheduledFault
from tests.support.proxy import Fault, Proxy

if TYPE_CHECKING:
    from tests.control_plane.fault_injector import FaultInjector

LOSSES = {Fault.LOSE_REQUEST: 0.1, Fault.LOSE_ANSWER: 0.2, Fault.CUT_ANSWER: 0.1}
_Act = Callable[[], None]


def kill_redis(injector: FaultInjector, fault: ScheduledFault) -> _Act:
    """Kill Redis, and start an empty one in its place."""
    redis = injector.cluster.redis
    injector.whole("redis")
    redis.stop()
    return injector.hit("redis", redis.start)


def reset_link(injector: FaultInjector, fault: ScheduledFault) -> _Act:
    """Reset all connections through a proxy."""
    _link(injector, fault).reset_all()
    return lambda: None


def stall_link(injector: FaultInjector, fault: ScheduledFault) -> _Act:
    """Hold back all bytes."""
    proxy = _link(injector, fault)
    proxy.stall()
    return injector.hit(proxy, proxy.flow)


def refuse_link(injector: FaultInjector, fault: ScheduledFault) -> _Act:
    """Reset open connections, and refuse new ones."""
    proxy = _link(injector, fault)
    proxy.refuse()
    proxy.reset_all()
    return injector.hit(proxy, proxy.accept)


def lose_on_link(injector: FaultInjector, fault: ScheduledFault) -> _Act:
    """Lose requests and responses."""
    proxy = _link(injector, fault)
    proxy.inject(LOSSES)
    return injector.hit(proxy, lambda: proxy.inject({}))


def _link(injector: FaultInjector, fault: ScheduledFault) -> Proxy:
    proxies = list(injector.cluster.links.values())
    proxy = proxies[fault.target % len(proxies)]
    injector.whole(proxy)
    return proxy
