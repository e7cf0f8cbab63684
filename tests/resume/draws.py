"""Draws small jobs from a limited set, and the faults of their attempts. A seed always gives the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.resume.harness import Kill
from tests.support.fault_points import FILES_FAIL, STALL, STORE_FULL, Shot

SPECS = 40
"""The number of different jobs. Each needs one uninterrupted run for the comparison."""
TEST_SPECS = 5
"""The number of these jobs from which the tests draw."""

PATIENT = {"max_failures": 1000, "max_attempts_without_progress": 1000, "backoff": 0}
_T = TypeVar("_T")


@dataclass(frozen=True)
class Schedule:
    """One job and its kills.

    `spec_number`: the number of the job in `SPECS`. `helpers`: the number of augmentation processes.
    `through_service`: the workers have no store of their own, and read and write objects through the service.
    """

    seed: int
    spec_number: int
    spec: dict[str, Any]
    kills: tuple[Kill, ...]
    helpers: int
    through_service: bool


def schedule(number: int, specs: int = SPECS) -> Schedule:
    """The schedule of this seed."""
    spec_number = _draw(st.integers(0, specs - 1), number)
    spec = job(spec_number)
    drawn = _draw(kills(spec), number)
    return Schedule(number, spec_number, spec, drawn, helpers=int(number % 4 == 0), through_service=number % 2 == 1)


@cache
def job(number: int) -> dict[str, Any]:
    """The job of this number. Those that the tests draw train a small network, which costs a fifth of the time."""
    drawn = _draw(jobs(), number)
    if number < TEST_SPECS:
        return {**drawn, "network": {**drawn["network"], "name": "tiny-cnn", "width": 0.2}}
    return drawn


def _draw(strategy: st.SearchStrategy[_T], number: int) -> _T:
    """Draw one value. Hypothesis generates the simplest values first, so a later one is taken."""
    drawn: list[_T] = []

    @seed(number)
    @settings(max_examples=10, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=HealthCheck)
    @given(strategy)
    def collect(value: _T) -> None:
        drawn.append(value)

    collect()
    return drawn[-1]


# --- jobs ---


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    """A job of a few seconds: either network, 1 to 3 stages, any schedule, augmentation and optimizer."""
    name = draw(st.sampled_from(["network-1", "network-2"]))
    dropout = draw(st.sampled_from([0.0, 0.3]))
    # Each size needs one compilation in each process.
    sizes = draw(st.sampled_from([(8,), (8,), (16,), (8, 16)]))
    stages = [draw(_stage(k, sizes)) for k in range(draw(st.integers(1, 3)))]
    return {
        "name": "chaos",
        "seed": draw(st.integers(0, 1000)),
        "network": {"name": name, "width": 0.02, "dropout": dropout},
        "dataset": {"name": "digits", "per_class": 20},
        "optimizer": draw(_optimizers()),
        "stages": stages,
        "checkpoint": {"every": f"{draw(st.integers(1, 4))} steps", "keep": draw(st.integers(1, 3))},
        "limits": {"stall": 30},
        "retry": PATIENT,
    }


@st.composite
def _stage(draw: st.DrawFn, number: int, sizes: tuple[int, ...]) -> dict[str, Any]:
    return {
        "image_size": sizes[number % len(sizes)],
        "batch_size": 16,
        "epochs": draw(st.integers(1, 3)),
        "steps_per_epoch": draw(st.integers(3, 6)),
        "augmentation": draw(st.sampled_from(["none", "paper-1", "paper-2"])),
        "schedule": draw(_schedules()),
        "start_from": draw(st.sampled_from(["best", "latest"])) if number else "latest",
    }


@st.composite
def _optimizers(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(["adam", "rmsprop", "sgd"]))
    momentum = 0.0 if name == "adam" else draw(st.sampled_from([0.0, 0.9]))
    return {"name": name, "learning_rate": draw(st.sampled_from([1e-3, 1e-2])), "momentum": momentum}


def _schedules() -> st.SearchStrategy[dict[str, Any]]:
    constant = st.fixed_dictionaries({"name": st.just("constant")}, optional={"learning_rate": st.just(2e-3)})
    plateau = st.fixed_dictionaries(
        {
            "name": st.just("reduce_on_plateau"),
            "monitor": st.sampled_from(["val_loss", "val_accuracy", "loss"]),
            "patience": st.integers(0, 1),
            "cooldown": st.integers(0, 1),
            # With 10, no epoch is an improvement: the rate also falls after the last step of a stage.
            "min_delta": st.sampled_from([1e-4, 10.0]),
        }
    )
    cyclic = st.fixed_dictionaries(
        {
            "name": st.just("cyclic"),
            "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
            "max_lr": st.just(5e-3),
            "step_size": st.integers(2, 5),
            "gamma": st.just(0.9),
        }
    )
    return st.one_of(constant, plateau, cyclic)


# --- kills ---

_FAMILIES = {
    "claim": ("claimed",),
    "restore": (
        "before reading a checkpoint",
        "after reading a checkpoint",
        "before loading the state",
        "after loading the state",
    ),
    "step": ("before a step", "after a step", "host copy", "after the host copy"),
    "save": (
        "serialisation",
        "after serialisation",
        "after a payload file",
        "before the manifest",
        "after the manifest",
        "before the commit",
        "after the commit",
    ),
    "epoch": ("validation", "after validation", "after an epoch", "before an epoch record", "after an epoch record"),
    "best file": ("before writing best.keras", "before committing best.keras", "after committing best.keras"),
    "stage": ("before entering a stage", "after entering a stage"),
    "best": ("before reading the best", "after reading the best"),
    "end": ("before the end", "evaluation", "after evaluation", "before finishing", "after finishing"),
}
_WEIGHTS = {"claim": 1, "restore": 3, "step": 4, "save": 5, "epoch": 4, "best file": 2, "stage": 2, "best": 1, "end": 3}
_SIGNALS = ("SIGKILL", "SIGKILL", "SIGTERM", "SIGTERM", STALL)
_FAULTS = ("", "", "", FILES_FAIL, STORE_FULL)
_LATE = {"stage": 1, "end": 2, "best": 2}
_LAST = 3
MOST_KILLS = 4


@st.composite
def kills(draw: st.DrawFn, spec: dict[str, Any]) -> tuple[Kill, ...]:
    """One to four kills, in an order in which most of them reach their point."""
    possible = [f for f in _FAMILIES if f != "stage" or len(spec["stages"]) > 1]
    families = st.sampled_from([family for family in possible for _ in range(_WEIGHTS[family])])
    chosen = draw(st.lists(families, min_size=1, max_size=MOST_KILLS))
    drawn = [(family, draw(_kill(family, _often(spec, family, len(chosen))))) for family in chosen]
    drawn.sort(key=_lateness)
    while len(drawn) > 1 and _lateness(drawn[-2]) == _LAST:
        drawn.pop()
    if drawn[0][0] in ("restore", "claim"):
        _put_first(drawn, draw(st.integers(1, _often(spec, "save", len(drawn)))))
    return tuple(kill for _, kill in drawn)


def _put_first(drawn: list[tuple[str, Kill]], nth: int) -> None:
    """Move a kill that comes after a checkpoint to the front: later attempts must have something to restore."""
    saving = next((one for one in drawn if one[0] in ("step", "save", "epoch")), None)
    if saving is not None:
        drawn.remove(saving)
    elif len(drawn) == MOST_KILLS:
        drawn.pop()
    drawn.insert(0, saving or ("save", Kill((Shot("after the commit", nth, "SIGKILL"),))))


def _lateness(drawn: tuple[str, Kill]) -> int:
    """The sort key of a kill.

    Points that are reached only once, or near the end, come in later attempts, because little training is left after
    them.
    """
    family, kill = drawn
    shot = kill.shots[0]
    warned_late = shot.signal == "SIGTERM" and shot.point in ("after evaluation", "before finishing")
    return _LAST if warned_late or shot.point == "after finishing" else _LATE.get(family, 0)


def _often(spec: dict[str, Any], family: str, shared: int) -> int:
    """How many times an attempt reaches the point at least, if this many attempts share the job."""
    epochs = sum(stage["epochs"] for stage in spec["stages"])
    steps = sum(stage["epochs"] * stage["steps_per_epoch"] for stage in spec["stages"])
    # A waiting save is replaced by a newer one, so only some of the due saves are written.
    saves = steps // int(spec["checkpoint"]["every"].split()[0]) // 3
    return max(1, min(5, {"step": steps, "save": saves, "epoch": epochs}.get(family, 1) // (shared + 1)))


@st.composite
def _kill(draw: st.DrawFn, family: str, often: int) -> Kill:
    point = draw(st.sampled_from(_FAMILIES[family]))
    shots = [Shot(point, draw(st.integers(1, often)), draw(st.sampled_from(_SIGNALS)))]
    if shots[0].signal == "SIGTERM" and family in ("step", "save", "epoch") and draw(st.integers(0, 3)) == 0:
        # The machine disappears while the warned process saves its state.
        shots.append(Shot(draw(st.sampled_from(_FAMILIES["save"])), 1, "SIGKILL"))
    return Kill(tuple(shots), draw(st.integers(0, 5)) > 0, draw(st.sampled_from(_FAULTS)))
