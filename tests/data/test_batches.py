"""What `baton.data.batches` promises beside the contract: order, augmentation, positions, events and errors."""

from __future__ import annotations

import itertools
import json
import random
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grain
import numpy as np
import pytest

import baton
from baton.adapters.batch_source import BatchSource, batches_per_epoch
from baton.data import Batches
from baton.data.seeds import generator
from baton.data.trees import checksum
from tests.support.data_kinds import KINDS, Counter, Listed, arrays, given, listed, turned


def drawn(data: Batches, epochs: int = 2) -> list[list[int]]:
    return [batch.tolist() for _, part in data.epochs(epochs) for _, batch in part]


@pytest.mark.parametrize("name", KINDS)
def test_each_is_what_adapters_take(name: str) -> None:
    data = KINDS[name].make(**KINDS[name].options)
    assert isinstance(data, BatchSource)
    number = batches_per_epoch(data)
    assert number is None or number == len(list(data.epoch(0)))


def test_an_epoch_has_each_sample_once_and_the_next_has_another_order() -> None:
    data = baton.data.batches(np.arange(1000), batch_size=64, seed=1)
    first, second = ([int(x) for batch in data.epoch(epoch) for x in batch] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(1000))
    assert first != second
    assert len({tuple(np.concatenate(list(data.epoch(epoch))).tolist()) for epoch in range(50)}) == 50


def test_the_seed_decides_the_order() -> None:
    orders = {json.dumps(drawn(baton.data.batches(np.arange(50), batch_size=8, seed=seed))) for seed in (0, 1, 1, -1)}
    assert len(orders) == 3


def test_a_billion_samples_begin_at_once_and_need_no_memory() -> None:
    class Endless:
        def __len__(self) -> int:
            return 10**9

        def __getitem__(self, index: int) -> int:
            return index

    tracemalloc.start()
    try:
        data = baton.data.batches(Endless(), batch_size=100, seed=1)
        last = list(data.epoch(3, len(data) - 2))
        first = list(itertools.islice(data.epoch(4), 2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(data) == 10**7
    assert len(last) == 2
    assert len(set(np.concatenate([*last, *first]).tolist())) == 400
    assert peak < 2 * 2**20


def test_augmentation_depends_on_seed_epoch_and_sample_only() -> None:
    def by_sample(**options: Any) -> list[dict[int, float]]:
        data = baton.data.batches(np.arange(30), transform=lambda x, rng: (x, rng.random()), **{"seed": 1, **options})
        pairs = ([pair for xs, ys in data.epoch(epoch) for pair in zip(xs, ys, strict=True)] for epoch in (0, 1))
        return [{int(x): float(y) for x, y in one} for one in pairs]

    alone = by_sample(batch_size=1)
    assert alone == by_sample(batch_size=7) == by_sample(batch_size=4, threads=3)
    assert alone == by_sample(batch_size=30, shuffle=False)
    assert len({*alone[0].values(), *alone[1].values(), *by_sample(batch_size=1, seed=2)[0].values()}) == 90


def test_the_generators_of_samples_never_change() -> None:
    # A job continues with them under a later version of Baton.
    assert generator(1, 2, 3).random(2).tolist() == [0.7732723422712604, 0.7744919190901463]


def test_what_a_data_set_draws_leaves_the_generators_of_the_training_alone() -> None:
    random.seed(1), np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1), np.random.seed(1)
    list(listed().epoch(0))
    assert (random.random(), np.random.random()) == expected


@pytest.mark.parametrize("make", [arrays, listed])
def test_threads_make_the_same_batches(make: Callable[..., Batches]) -> None:
    def without_global(sample: Any, rng: np.random.Generator) -> Any:
        return {"x": sample["x"], "turned": rng.random(2)}

    with make(transform=without_global) as here, make(transform=without_global, threads=3, ahead=5) as threads:
        assert list(given(here)) == list(given(threads))


class Text:
    """Samples of all forms that a batch is made of."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return {"name": str(index), "row": [index, 2.5], "pair": (index, np.float32(1)), "none": None}


def test_samples_become_a_batch() -> None:
    batch = next(baton.data.batches(Text(), batch_size=2, shuffle=False).epoch(0))
    assert batch["name"] == ["0", "1"]
    assert batch["none"] == [None, None]
    assert batch["row"].tolist() == [[0, 2.5], [1, 2.5]]
    assert [part.dtype for part in batch["pair"]] == [np.int64, np.float32]
    own = baton.data.batches(Text(), batch_size=2, shuffle=False, collate=len)
    assert list(own.epoch(0)) == [2, 2]


def test_the_rest_is_given_or_left_out() -> None:
    assert [len(batch) for batch in baton.data.batches(np.arange(10), batch_size=4).epoch(0)] == [4, 4, 2]
    data = baton.data.batches(np.arange(10), batch_size=4, drop_remainder=True)
    assert ([len(batch) for batch in data.epoch(0)], len(data)) == ([4, 4], 2)


def test_batches_that_are_made_ahead_do_not_count() -> None:
    with arrays(threads=2, ahead=8) as data:
        stream = data.epoch(1)
        next(stream)
        assert (data.state()["epoch"], data.state()["index"]) == (1, 1)
        assert data.state(epoch_done=True)["epoch"] == 2


def test_the_position_between_two_epochs() -> None:
    data = arrays()
    for epoch, part in data.epochs(2):
        list(part)
        state = data.state()
        assert (state["epoch"], state["index"]) == (epoch, 3)
        break
    again = arrays()
    again.restore(state)
    # The first epoch has no more batches: what follows them, such as a validation, is done after the restart.
    assert [(epoch, len(list(part))) for epoch, part in again.epochs(2)] == [(0, 0), (1, 3)]
    after = arrays()
    after.restore(data.state(epoch_done=True))
    assert [epoch for epoch, _ in after.epochs(2)] == [1]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"batch_size": 5}, "batch_size was 4 and is 5"),
        ({"seed": 6}, "seed was 5 and is 6"),
        ({"shuffle": False}, "order was 'shuffled-1' and is 'as the source'"),
        ({"drop_remainder": True}, "drop_remainder was False and is True"),
    ],
)
def test_a_position_of_other_data_is_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(baton.ProgramError, match=field):
        arrays(**options).restore(arrays().state())


def test_a_position_of_a_longer_data_set_is_refused() -> None:
    with pytest.raises(baton.ProgramError, match="samples was 11 and is 12"):
        baton.data.batches(Listed(12), batch_size=4, seed=5).restore(listed().state())


@pytest.mark.parametrize("state", [None, {}, {"data": {}}, {"data": None, "epoch": 0, "index": 0, "check": 1}, 5])
def test_what_is_no_position_is_refused(state: Any) -> None:
    with pytest.raises(baton.ProgramError, match="restore: "):
        arrays().restore(state)


def test_a_position_of_another_kind_is_refused() -> None:
    stream = baton.data.batches([[1]].__iter__, batch_size=4, seed=5)  # a function
    with pytest.raises(baton.ProgramError, match="restore: "):
        stream.restore({**stream.state(), "source": None})


class Changing:
    """A data set that gives other samples after a restart."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> int:
        return self.start + index


@pytest.mark.parametrize(
    "make",
    [
        lambda start, **options: baton.data.batches(Changing(start), batch_size=2, **options),
        lambda start, **options: baton.data.batches(Changing(start), batch_size=2, threads=2, **options),
        lambda start, **options: baton.data.batches(
            lambda epoch: iter(range(start, start + 9)), batch_size=2, **options
        ),
    ],
)
def test_data_that_is_not_the_same_is_told(make: Callable[..., Batches]) -> None:
    data = make(0)
    list(itertools.islice(data.epoch(0), 3))
    notes: list[str] = []
    again = make(1, note=notes.append)
    again.restore(data.state())
    assert len(list(again.epoch(0, 3))) == 2
    assert "batch 2 of epoch 0 differs from the one before the save" in notes[-1]
    strict = make(1, strict=True)
    strict.restore(data.state())
    with pytest.raises(baton.ProgramError, match="differs from the one before the save"):
        next(strict.epoch(0, 3))


def test_a_checksum_sees_values_all_over_a_batch_and_its_form() -> None:
    x = np.zeros((8, 100, 100))
    for number in range(8):
        for place in ((number, slice(None), 50), (number, 99)):
            changed = x.copy()
            changed[place] = 1
            assert checksum(changed) != checksum(x), place
    assert checksum(x.transpose(2, 0, 1)) == checksum(x.transpose(2, 0, 1).copy())
    assert (
        len({checksum(one) for one in (x, [x], (x, x), {"x": x}, x[:4], x.astype(np.float32), "x", b"x", None, 1)})
        == 10
    )
    assert checksum([1.0, {"a": "text"}]) == checksum([1.0, {"a": "text"}])


def test_threads_and_generators_of_the_process_are_told() -> None:
    data = listed(threads=2)
    next(data.epoch(0))
    notes: list[str] = []
    again = listed(threads=2, note=notes.append)
    again.restore(data.state())
    next(again.epoch(0, 1))
    data.close(), again.close()
    assert "use `transform(sample, rng)`" in notes[0]


def test_a_replay_becomes_an_event_of_the_run(tmp_path: Path) -> None:
    def stream(epoch: int) -> Iterator[int]:
        return iter(range(10))

    data = baton.data.batches(stream, batch_size=3)
    list(itertools.islice(data.epoch(0), 2))
    with baton.init(tmp_path / "run"):
        again = baton.data.batches(stream, batch_size=3)
        again.restore(data.state())
        assert [batch.tolist() for batch in again.epoch(0, 2)] == [[6, 7, 8], [9]]
    again.restore(data.state())  # a run that is closed gets no more events
    list(again.epoch(0, 2))
    (line,) = (tmp_path / "run/notes.txt").read_text().splitlines()
    assert "s to read 2 batches of epoch 0 again" in line


@pytest.mark.parametrize(
    ("odd", "why"),
    [(threading.Lock(), "the state of the source.odd has the type lock"), ("x" * 2**18, "more than 262,144")],
    ids=["a lock", "a long text"],
)
def test_states_that_cannot_be_stored_are_told_once_and_replayed(odd: Any, why: str) -> None:
    class Odd(Counter):
        def state_dict(self) -> dict[str, Any]:
            return {**self.live, "odd": odd}

    notes: list[str] = []
    data = baton.data.batches(Odd(), batch_size=2, note=notes.append)
    list(itertools.islice(data.epoch(0), 3))
    assert data.resumes == "replay"
    assert len(notes) == 1
    assert why in notes[0]
    again = baton.data.batches(Odd(), batch_size=2, note=notes.append)
    again.restore(json.loads(json.dumps(data.state())))
    assert next(again.epoch(0, 3)).tolist() == [7, 8]


def test_arrays_in_a_state_are_stored() -> None:
    class Own:
        def __init__(self) -> None:
            self.random, self.given = np.random.default_rng(1), 0

        def __iter__(self) -> Iterator[float]:
            while self.given < 9:
                self.given += 1
                yield self.random.random()
            self.given = 0

        def state_dict(self) -> dict[str, Any]:
            return {"random": self.random.bit_generator.state, "given": np.array(self.given), 1: (2, b"x")}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            assert state[1] == (2, b"x")
            self.random.bit_generator.state, self.given = state["random"], int(state["given"])

    whole = drawn(baton.data.batches(Own(), batch_size=2))
    data = baton.data.batches(Own(), batch_size=2)
    first = [batch.tolist() for batch in itertools.islice(data.epoch(0), 3)]
    again = baton.data.batches(Own(), batch_size=2)
    again.restore(json.loads(json.dumps(data.state())))
    assert first + drawn(again) == whole


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (np.arange(4), {}, "batch_size: is missing"),
        (Listed(4), {}, "batch_size: is missing"),
        (np.arange(4), {"batch_size": 0}, "batch_size: must be at least 1"),
        (np.arange(4), {"batch_size": 2.5}, "batch_size: must be a whole number, not float"),
        (np.arange(4), {"batch_size": 2, "seed": 1.5}, "seed: must be a whole number, not float"),
        (np.arange(4), {"batch_size": 2, "threads": -1}, "threads: must be from 0"),
        (np.arange(4), {"batch_size": 2, "threads": 1, "processes": 1}, "pass one of them"),
        (np.arange(4), {"batch_size": 2, "replay": "all"}, "replay: must be 'epoch' or 'run'"),
        (np.empty(0), {"batch_size": 2}, "source: has 0 samples"),
        (grain.MapDataset.range(4).repeat(), {"batch_size": 2}, "leave `repeat` out"),
        (grain.MapDataset.range(4).filter(lambda x: x > 3), {"batch_size": 2}, "a filter of a Grain MapDataset"),
        ((np.arange(4), np.arange(3)), {"batch_size": 2}, "source.0 has 4, source.1 has 3"),
        ({"x": 1}, {"batch_size": 2}, "source: dict is no data"),
        ("path", {"batch_size": 2}, "source: str is no data"),
        (5, {"batch_size": 2}, "source: int has neither"),
        (iter(range(4)), {"batch_size": 2}, "an iterator can be read only once"),
        (lambda epoch: iter([1]), {"batch_size": 2, "shuffle": True}, "shuffle: the source is an iterable"),
        (lambda epoch: iter([1]), {"batch_size": 2, "threads": 1}, "threads, processes: the source is an iterable"),
        ([[1], [1, 2]], {"batch_size": 2}, "batch: the samples of a batch cannot be stacked"),
        ([{"a": 1}, {"b": 1}], {"batch_size": 2}, "batch: the samples of a batch have different keys"),
    ],
)
def test_errors_name_the_field_and_the_remedy(source: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(baton.ProgramError, match=message):
        next(baton.data.batches(source, **options).epoch(0))


def test_an_error_of_a_sample_names_the_sample() -> None:
    class Broken(Listed):
        def __getitem__(self, index: int) -> Any:
            raise OSError("broken file")

    with pytest.raises(OSError, match="broken file") as raised:
        next(baton.data.batches(Broken(4), batch_size=2, shuffle=False).epoch(0))
    assert raised.value.__notes__ == ["it was raised by sample 0 of the source of baton.data.batches"]


def data_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("baton-data")]


def stop_at_three(data: Batches) -> None:
    for index, _ in enumerate(data.epoch(0)):
        if index == 2:
            assert data_threads()
            raise baton.Stopped("preempted", 3)


def test_threads_end_when_the_run_stops() -> None:
    data = baton.data.batches(np.arange(100), batch_size=2, transform=lambda x, rng: x, threads=3)
    with pytest.raises(baton.Stopped), data:
        stop_at_three(data)
    assert data_threads() == []


def test_threads_end_at_an_error_of_the_data_and_of_the_loop() -> None:
    def broken(sample: Any, rng: np.random.Generator) -> Any:
        if sample == 50:
            raise ValueError("broken sample")
        return sample

    data = baton.data.batches(np.arange(100), batch_size=2, transform=broken, threads=3, shuffle=False)
    seen = []
    with pytest.raises(ValueError, match="broken sample"):
        seen += list(data.epoch(0))
    assert data_threads() == []
    with pytest.raises(ZeroDivisionError):
        _ = [1 // int(x[0]) for x in data.epoch(0)]
    data.close()
    assert data_threads() == []


def test_another_epoch_ends_the_threads_of_the_open_one() -> None:
    data = baton.data.batches(np.arange(100), batch_size=2, transform=turned, threads=1)
    old = data.epoch(0)
    next(old)
    list(data.epoch(1))
    assert data_threads() == []
    assert list(old) == []
