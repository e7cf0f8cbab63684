"""`make chaos N=200`: random jobs that are killed at random points. Each must end as if nothing had happened.

N classifiers, and a program for every four of them. The exit status is 1 if a job did not end so. `make chaos SEED=...`
runs the classifier and the program of that seed again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from tests.resume import draws, program_draws
from tests.resume.campaign import Campaign, Outcome, share_that_fell, table
from tests.resume.draws import Schedule
from tests.resume.harness import Harness, running_stand
from tests.support.store_servers import KINDS, store_server
from tests.support.zygote import running_zygote

CLASSIFIERS_A_PROGRAM = 4


def main() -> int:
    """Run the schedules, and return the exit status."""
    options = _arguments()
    number = options.n or (1 if options.seed is not None else 20)
    first = options.seed if options.seed is not None else int(time.time())
    folder = Path(tempfile.mkdtemp(prefix="baton-chaos-"))
    with ExitStack() as stack:
        harness = _harness(stack, folder, options.store)
        failed = 0
        if options.kind != "program":
            failed += _run(harness, "classifier", first, number, lambda seed: draws.schedule(seed, options.specs))
            number = max(1, number // CLASSIFIERS_A_PROGRAM)
        if options.kind != "classifier":
            failed += _run(harness, "program", first, number, program_draws.program_schedule)
    if failed:
        print(f"service, store and logs are left in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("-n", type=int, help="how many schedules of classifiers, or of `--kind program`")
    parser.add_argument("--seed", type=int, help="of the first schedule; alone it runs that one")
    parser.add_argument("--kind", choices=("both", "classifier", "program"), default="both", help="(%(default)s)")
    parser.add_argument("--specs", type=int, default=draws.SPECS, help="how many different classifiers (%(default)s)")
    parser.add_argument("--store", choices=("directory", *KINDS), default="directory", help="(%(default)s)")
    return parser.parse_args()


def _harness(stack: ExitStack, folder: Path, store: str) -> Harness:
    """A harness on this kind of store, until the stack is closed."""
    settings: dict[str, str] = {}
    if store != "directory":
        server = stack.enter_context(store_server(store))
        settings = {**server.environ, "BATON_STORE": server.store_url("chaos")}
        os.environ.update(settings)
    zygote = stack.enter_context(running_zygote(folder))
    harness = stack.enter_context(running_stand(folder, zygote, **settings))
    harness.service.store_url = settings.get("BATON_STORE", harness.service.store_url)
    return harness


def _run(harness: Harness, kind: str, first: int, number: int, schedule: Callable[[int], Schedule]) -> int:
    """Run this many schedules from this seed on. Returns how many differ."""
    print(f"{number} schedules of kind {kind}, seeds {first} to {first + number - 1}", flush=True)
    begun, failed, campaign = time.monotonic(), 0, Campaign(harness)
    for k, outcome in enumerate(campaign.run(schedule(first + k) for k in range(number)), start=1):
        failed += bool(outcome.differences)
        _tell(f"{kind} {k} of {number}", outcome, failed)
    _sum_up(campaign, time.monotonic() - begun, failed)
    return failed


def _tell(which: str, outcome: Outcome, failed: int) -> None:
    fell = ", ".join(f"{shot.point} ({shot.signal} {shot.nth})" for shot in outcome.run.fired)
    seed = f"seed {outcome.schedule.seed}"
    print(f"{which}: {seed}, {outcome.seconds:.1f} s, {failed} differ so far; {fell or 'nothing fell'}", flush=True)
    if outcome.differences:
        print(f"DIFFERS: {seed}, job {outcome.run.job}\n{json.dumps(asdict(outcome.schedule), indent=1)}")
        print("\n".join(outcome.differences), flush=True)


def _sum_up(campaign: Campaign, seconds: float, failed: int) -> None:
    outcomes = campaign.outcomes
    attempts = sum(one.run.attempts for one in outcomes)
    expired = sum(one.run.expired for one in outcomes)
    print(table(outcomes))
    print(
        f"{failed} of {len(outcomes)} differ. {share_that_fell(outcomes):.0%} of the shots fell; {attempts} attempts, "
        f"{campaign.references} uninterrupted runs, {expired} leases expired; {seconds:.0f} s in all, "
        f"{sum(one.seconds for one in outcomes) / len(outcomes):.1f} s a schedule"
    )


if __name__ == "__main__":
    sys.exit(main())
