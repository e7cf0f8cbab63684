"""Faults of the lines between members, and of Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.control.blows import Blow
from tests.support.proxy import Fault, Proxy

if TYPE_CHECKING:
    from tests.control.storm import Storm

LOSSES = {Fault.LOSE_REQUEST: 0.1, Fault.LOSE_ANSWER: 0.2, Fault.CUT_ANSWER: 0.1}
_Act = Callable[[], None]


def kill_redis(storm: Storm, blow: Blow) -> _Act:
    """SIGKILL, and an empty one in its place."""
    redis = storm.town.redis
    storm.whole("redis")
    redis.stop()
    return storm.hit("redis", redis.start)


def reset_link(storm: Storm, blow: Blow) -> _Act:
    """All connections of a line break."""
    _link(storm, blow).reset_all()
    return lambda: None


def stall_link(storm: Storm, blow: Blow) -> _Act:
    """Nothing gets through."""
    proxy = _link(storm, blow)
    proxy.stall()
    return storm.hit(proxy, proxy.flow)


def refuse_link(storm: Storm, blow: Blow) -> _Act:
    """Nobody gets through: open connections break, and new ones are refused."""
    proxy = _link(storm, blow)
    proxy.refuse()
    proxy.reset_all()
    return storm.hit(proxy, proxy.accept)


def lose_on_link(storm: Storm, blow: Blow) -> _Act:
    """Requests and answers get lost."""
    proxy = _link(storm, blow)
    proxy.hurt(LOSSES)
    return storm.hit(proxy, lambda: proxy.hurt({}))


def _link(storm: Storm, blow: Blow) -> Proxy:
    proxies = list(storm.town.links.values())
    proxy = proxies[blow.target % len(proxies)]
    storm.whole(proxy)
    return proxy
