"""`make bench-checkpoint`: what a checkpoint costs Baton's loop, and what Keras's own callbacks cost `fit`.

At one save every 60 s the cost is below 1 %. A run of some minutes cannot show such a small cost on a machine with
noise of several percent. Therefore short windows with and without a save measure the cost of one save (its stall and
the slower steps during it), and the result is divided by the interval. A direct run with frequent saves checks the
prediction.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from baton.domain.checkpoint_cadence import seconds_between_interruptions, young_daly
from baton.domain.history_table import COLUMNS
from baton.domain.spec import parse_classifier
from baton.domain.wire import ClassifierRow
from baton.system.cpus import cpus
from bench.baton_loop import OFTEN_SECONDS, Seen
from bench.figures import MS_COLUMNS, Spread, heading, percent, table
from bench.jobs import BATCH_SIZE, IMAGE_SIZE, job
from bench.windows import Kind, Rounds
from worker.training.environment import configure

WINDOW_SECONDS, DIRECT_SECONDS, FIT_SECONDS = 100.0, 50.0, 70.0
COPIES, FULL_COPIES, FULL_CLASSES = 50, 10, 200
FILE_SECONDS = 30.0
EPOCHS = 10_000


def main() -> None:
    """Measures and prints."""
    threads = cpus()
    configure(threads)
    spec = job()
    heading(f"checkpoints: network-2, width {spec['network']['width']}, {IMAGE_SIZE} px, batch {BATCH_SIZE}")
    from bench import baton_loop, keras_fit

    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        seen = baton_loop.run(spec, Path(folder), threads, (WINDOW_SECONDS, DIRECT_SECONDS))
        fit, stalls = keras_fit.run(spec, Path(folder), FIT_SECONDS)
    _print_baton(seen)
    _print_full_width()
    _print_history()
    _print_fit(fit, stalls)
    _print_overhead(seen, stalls)
    _print_direct(seen)
    _print_noise(seen, fit)


def _times(call: Callable[[], object], repetitions: int = COPIES) -> list[float]:
    """Seconds of each of `repetitions` calls."""
    found = []
    for _ in range(repetitions):
        begun = time.perf_counter()
        result = call()
        found.append(time.perf_counter() - begun)
        del result
    return found


def _print_full_width() -> None:
    """The cost of the copy at the published width, at which a small machine could not train."""
    from worker.training.step.engine import Engine

    engine = Engine(parse_classifier(job(width=1.0)), FULL_CLASSES)
    arrays = engine.arrays()
    size = sum(array.nbytes for array in arrays.values())
    rows = [
        ("the engine's copy of its state", _times(engine.arrays, FULL_COPIES)),
        ("one plain copy of the same arrays", _times(lambda: [a.copy() for a in arrays.values()], FULL_COPIES)),
    ]
    title = f"width 1, {FULL_CLASSES} classes: {size / 1e6:.0f} MB"
    table((title, *MS_COLUMNS), [(name, *Spread.of(values).ms()) for name, values in rows])


def _print_history() -> None:
    """The cost of a long history for each save and each epoch, in the loop and in the background."""
    from worker.training.state.cursor import Cursor
    from worker.training.state.history import History, history_writer

    known = dict.fromkeys(COLUMNS, 1)
    row = ClassifierRow.model_validate({**known, "finished_at": datetime.now(UTC)})
    cursor = Cursor(History([row] * EPOCHS))
    taken = cursor.history.taken()
    rows = [
        ("the loop, at a save", _times(lambda: (cursor.dump({}), cursor.history.taken()))),
        ("the loop, at the end of an epoch", _times(lambda: cursor.history.append(row))),
        ("the loop, history.csv", _times(lambda: history_writer(cursor.history.taken()))),
        ("in the background, the cursor", _times(taken.json)),
        ("in the background, history.csv", _times(taken.csv)),
    ]
    table((f"a history of {EPOCHS} epochs", *MS_COLUMNS), [(name, *Spread.of(values).ms()) for name, values in rows])


def _print_baton(seen: Seen) -> None:
    assert seen.snapshot is not None
    arrays = list(seen.snapshot.arrays.values())
    print(f"state: {len(arrays)} arrays, {seen.bytes / 1e6:.1f} MB\n")
    windows, file = seen.windows, Kind.STATE_AND_FILE
    rows = [
        ("a step without checkpoints (baseline 1)", windows.step_seconds()),
        ("one plain copy of the state, array.copy()", _times(lambda: [array.copy() for array in arrays])),
        ("stall: how long the loop waits for a save", seen.stalls),
        ("in the background: write and commit the state", seen.saves),
        ("in the background: make and store latest.keras", seen.files),
        ("a save's whole cost to training, state alone", windows.costs(Kind.STATE)),
        ("a save's whole cost to training, state and latest.keras", windows.costs(file)),
        ("its processor time, all cores: state alone", windows.cpu_costs(Kind.STATE)),
        ("its processor time, all cores: state and latest.keras", windows.cpu_costs(file)),
    ]
    table(("Baton's loop", *MS_COLUMNS), [(name, *Spread.of(values).ms()) for name, values in rows])


def _print_fit(fit: Rounds, stalls: dict[Kind, list[float]]) -> None:
    rows = [("a step without checkpoints (baseline 2)", fit.step_seconds())]
    for kind, values in stalls.items():
        rows += [(f"{kind}: stall", values), (f"{kind}: whole cost", fit.costs(kind))]
        rows.append((f"{kind}: its processor time, all cores", fit.cpu_costs(kind)))
    table(("model.fit", *MS_COLUMNS), [(name, *Spread.of(values).ms()) for name, values in rows])


def _print_overhead(seen: Seen, stalls: dict[Kind, list[float]]) -> None:
    auto = young_daly(Spread.of(seen.saves).median, seconds_between_interruptions(0.0, 0))
    intervals = (15.0, 60.0, auto)
    by_clock = [_share(seen.windows.costs, interval) for interval in intervals]
    by_cpu = [_share(seen.windows.cpu_costs, interval) for interval in intervals]
    rows = [
        ("Baton, against baseline 1, by the clock", *map(percent, by_clock)),
        ("Baton, against baseline 1, by processor time", *map(percent, by_cpu)),
    ]
    for kind, values in stalls.items():
        cost = Spread.of(values).median
        rows.append((f"{kind}, against baseline 2: its stall", *(percent(cost / interval) for interval in intervals)))
    table(("overhead at a save every", "15 s", "60 s", f"auto: {auto:.0f} s"), rows)
    print("overhead = whole cost of a save / interval; latest.keras at most every 30 s; auto without interruptions.")
    print("Processor time is an upper bound, because some of it may be on cores that training leaves idle. It varies")
    print("less if other programs are running. The cost of Keras's callbacks is their stall.")
    worst = max(by_clock[1], by_cpu[1])
    print(f"target: at most 1 % at 60 s: {'met' if worst <= 0.01 else 'MISSED'} ({percent(worst)})")
    print("target: a stall takes at most about as long as one copy; see the tables\n")


def _share(costs: Callable[[Kind], list[float]], interval: float) -> float:
    """Cost per interval. Not every save writes latest.keras."""
    state, both = (Spread.of(costs(kind)).median for kind in (Kind.STATE, Kind.STATE_AND_FILE))
    return (state + min(1.0, interval / FILE_SECONDS) * (both - state)) / interval


def _print_direct(seen: Seen) -> None:
    print(
        f"direct check, a save with latest.keras every {OFTEN_SECONDS:.0f} s against none ({seen.saves_often} saves):"
    )
    for name, costs, rounds in (
        ("by the clock", seen.windows.costs, seen.direct.seconds),
        ("by processor time", seen.windows.cpu_costs, seen.direct.cpu),
    ):
        quiet = sum(one[Kind.QUIET][0] for one in rounds)
        predicted = Spread.of(costs(Kind.STATE_AND_FILE)).median * seen.saves_often / quiet
        measured = Spread.of([one[Kind.OFTEN][0] / one[Kind.QUIET][0] - 1 for one in rounds])
        measured_text = f"measured {percent(measured.median)}, error {percent(measured.error)}"
        print(f"  {name}: predicted {percent(predicted)}, {measured_text}")
    print()


def _print_noise(seen: Seen, fit: Rounds) -> None:
    for name, rounds in (("Baton's loop", seen.windows), ("model.fit", fit)):
        quiet = Spread.of(rounds.step_seconds())
        width = (quiet.high - quiet.low) / quiet.median
        print(f"noise, {name}: quiet windows vary by {percent(width)} (quartiles); one half of them")
        print(f"  differs from the other half by {percent(rounds.halves())}")


if __name__ == "__main__":
    main()
