#!/usr/bin/env python3
"""Scales a Google Cloud managed instance group of workers between zero and a maximum, by the demand of a queue.

It needs Python 3.10 and gcloud, and runs until it is stopped. BATON_URL is the URL of the service, and BATON_TOKEN a
token with the scope read. In each pass it

1. deletes VMs whose workers have ended (a worker ends after BATON_IDLE without work), and VMs that had no worker for
   `--patience`. It never deletes a VM with a worker that is alive;
2. increases the group to the number of workers that `GET /v1/queues/QUEUE` wants, up to `--max` VMs.

The workers of a VM have names that begin with the VM's name and a dot (start-worker.sh). If a pass
fails, the time without a worker is measured again from zero, so no VM is deleted because of an outage of the service.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

REQUEST_SECONDS, COMMAND_SECONDS = 30, 300
LIVE = ("idle", "busy", "resting")
"""States of a worker that has work, or will take work."""


class Vm(NamedTuple):
    """A VM of the group. If the group replaces a VM by another one with the same name, their `key` differs."""

    key: str
    name: str
    running: bool


class GroupCalls(Protocol):
    """What the scaler needs of an instance group."""

    def vms(self) -> list[Vm]:
        """The VMs of the group."""

    def size(self) -> int:
        """The number of VMs that the group should have."""

    def resize(self, size: int) -> None:
        """Change that number."""

    def delete(self, names: Collection[str]) -> None:
        """Delete these VMs, and reduce the number by them."""


@dataclass(frozen=True)
class Group:
    """A managed instance group, through gcloud. `place`: --region=R or --zone=Z."""

    name: str
    place: str

    def vms(self) -> list[Vm]:
        """The VMs of the group."""
        return [_vm(one) for one in json.loads(self._gcloud("list-instances", "--format=json"))]

    def size(self) -> int:
        """The number of VMs that the group should have."""
        return int(json.loads(self._gcloud("describe", "--format=json"))["targetSize"])

    def resize(self, size: int) -> None:
        """Change that number."""
        self._gcloud("resize", f"--size={size}")

    def delete(self, names: Collection[str]) -> None:
        """Delete these VMs, and reduce the number by them."""
        self._gcloud("delete-instances", f"--instances={','.join(sorted(names))}")

    def _gcloud(self, verb: str, *options: str) -> str:
        command = ["gcloud", "compute", "instance-groups", "managed", verb, self.name, self.place, "--quiet", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
        if done.returncode:
            raise OSError(f"gcloud {verb}: {done.stderr.strip()}")
        return done.stdout


def _vm(found: Mapping[str, Any]) -> Vm:
    name = str(found["instance"]).rpartition("/")[2]
    running = (found.get("instanceStatus"), found.get("currentAction")) == ("RUNNING", "NONE")
    return Vm(str(found.get("id") or name), name, running)


@dataclass(frozen=True)
class Service:
    """A Baton service."""

    url: str
    token: str = field(repr=False)

    def wanted(self, queue: str, prefix: str) -> int:
        """How many workers whose names begin with `prefix` the queue could use."""
        return int(self._get(f"/v1/queues/{queue}?worker={prefix}")["wanted"])

    def workers(self) -> dict[str, str]:
        """The state of each worker by its name."""
        return {one["name"]: one["state"] for one in self._get("/v1/workers")["items"]}

    def _get(self, path: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"{self.url.rstrip('/')}{path}", headers=headers)  # noqa: S310  # the operator's
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
        return found


@dataclass(frozen=True)
class Limits:
    """`most`: VMs. `gpus`: workers of one VM. `patience`: seconds that a VM may be without a live worker."""

    most: int
    gpus: int = 1
    patience: float = 900.0


class Scaler:
    """Keeps the size of one group. `clock`: monotonic seconds."""

    def __init__(
        self,
        service: Service,
        group: GroupCalls,
        name: str,
        queue: str,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service, self._group, self._limits, self._clock = service, group, limits, clock
        self._name, self._queue = name, queue
        self._was_live: set[str] = set()
        self._silent_since: dict[str, float] = {}

    def run_pass(self) -> list[str]:
        """Delete VMs without work, then add VMs for waiting attempts. Returns what was done. Raises OSError."""
        try:
            return [*self._shrink(), *self._grow()]
        except Exception:
            self._silent_since.clear()
            raise

    def _shrink(self) -> list[str]:
        vms, workers = self._group.vms(), self._service.workers()
        kept = {vm.key for vm in vms}
        self._was_live &= kept
        self._silent_since = {key: since for key, since in self._silent_since.items() if key in kept}
        done = [vm.name for vm in vms if self._done(vm, _states_of(vm, workers))]
        if not done:
            return []
        self._group.delete(done)
        return [f"deleted {name}: it has no worker any more" for name in done]

    def _done(self, vm: Vm, states: Collection[str]) -> bool:
        if not vm.running or any(state in LIVE for state in states):
            self._silent_since.pop(vm.key, None)
            if vm.running:
                self._was_live.add(vm.key)
            return False
        silent = self._clock() - self._silent_since.setdefault(vm.key, self._clock())
        ended = vm.key in self._was_live and all(state == "ended" for state in states)
        return ended or silent >= self._limits.patience

    def _grow(self) -> list[str]:
        wanted = self._service.wanted(self._queue, f"{self._name}-")
        size = min(-(-wanted // self._limits.gpus), self._limits.most)
        now = self._group.size()
        if size <= now:
            return []
        self._group.resize(size)
        return [f"increased {self._name} from {now} to {size}: {wanted} workers are wanted"]


def _states_of(vm: Vm, workers: Mapping[str, str]) -> list[str]:
    return [state for name, state in workers.items() if name.startswith(f"{vm.name}.")]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--group", required=True, help="name of the managed instance group")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--region", help="region of the group")
    place.add_argument("--zone", help="zone of the group")
    parser.add_argument("--max", type=int, required=True, help="maximum number of VMs")
    parser.add_argument("--queue", default="default", help="the queue whose demand counts")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs of one VM; each has one worker")
    parser.add_argument("--patience", type=float, default=900, help="seconds that a VM may be without a worker")
    parser.add_argument("--every", type=float, default=30, help="seconds between two passes")
    return parser.parse_args()


def main() -> str | None:
    """Run until a signal ends it. Returns an error message."""
    options = _options()
    url, token = os.environ.get("BATON_URL"), os.environ.get("BATON_TOKEN")
    if not url or not token:
        return "set BATON_URL to the service and BATON_TOKEN to a token with the scope read"
    place = f"--region={options.region}" if options.region else f"--zone={options.zone}"
    limits = Limits(options.max, options.gpus, options.patience)
    scaler = Scaler(Service(url, token), Group(options.group, place), options.group, options.queue, limits)
    while True:
        try:
            for text in scaler.run_pass():
                print(text, flush=True)
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
            print(f"this pass failed, trying again in {options.every:g} s: {error!r}", file=sys.stderr, flush=True)
        time.sleep(options.every)


if __name__ == "__main__":
    sys.exit(main())
