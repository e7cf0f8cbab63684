"""What the loops of `baton.torch` do with loaders of all kinds. Each case gets an empty folder. It needs PyTorch."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)

import baton
import baton.torch
from baton.adapters.state_files import read_tree, write_tree
from baton.program.errors import Stopped
from baton.program.protocol import Stop
from baton.torch.loaders import loader_source
from tests.support.raised import raised
from tests.support.torch_programs import Noisy, NoisyStream

SIZE = 20


class Counted:
    """Remembers which samples were read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> int:
        self.read.append(index)
        return index


class OfWorker(Counted):
    """A data set that each worker has to open."""

    opened = False

    def __getitem__(self, index: int) -> int:
        assert self.opened
        return index


def open_data(_: int) -> None:
    """The `worker_init_fn` of a script."""
    information = get_worker_info()
    assert information is not None
    information.dataset.opened = True


def orders(loader: Any, seed: int = 1, start: int = 0, epochs: int = 2) -> list[Any]:
    """The batches of some epochs as lists, the first one from `start` on."""
    source = loader_source(loader, seed)
    return [
        [
            np.asarray(batch[0] if isinstance(batch, list) else batch).tolist()
            for batch in source.epoch(epoch, start * (not epoch))
        ]
        for epoch in range(epochs)
    ]


def case_the_order_depends_on_the_seed_and_the_epoch_only(folder: Path) -> None:
    data = TensorDataset(torch.arange(SIZE))
    makers = [
        lambda: DataLoader(data, 6, shuffle=True),
        lambda: DataLoader(data, 6, shuffle=True, generator=torch.Generator().manual_seed(3)),
        lambda: DataLoader(data, 6, sampler=RandomSampler(data, replacement=True, num_samples=30)),
        lambda: DataLoader(data, 6, sampler=WeightedRandomSampler(torch.ones(SIZE), 15)),
        lambda: DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data), 7, drop_last=True)),
        lambda: DataLoader(data, batch_size=None, sampler=RandomSampler(data)),
        lambda: DataLoader(Subset(data, range(0, SIZE, 2)), 4, shuffle=True),
    ]
    for make in makers:
        first = orders(make())
        torch.rand(3), random.random(), np.random.rand()
        loader = make()
        assert orders(loader) == first == orders(loader)
        assert first[0] != first[1]
        assert orders(make(), seed=2) != first
        assert orders(make(), start=2)[0] == first[0][2:]
    assert orders(DataLoader(data, 6), epochs=1) == [[[*range(k, min(k + 6, SIZE))] for k in range(0, SIZE, 6)]]
    seeded = [orders(DataLoader(data, 6, shuffle=True, generator=torch.Generator().manual_seed(k))) for k in (3, 4)]
    assert seeded[0] != seeded[1]


def case_a_sampler_is_told_the_epoch(folder: Path) -> None:
    class Told:
        epoch = -1

        def __len__(self) -> int:
            return SIZE

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __iter__(self) -> Any:
            return iter(np.random.default_rng(self.epoch).permutation(SIZE).tolist())

    found = orders(DataLoader(TensorDataset(torch.arange(SIZE)), SIZE, sampler=Told()))
    assert found == [[np.random.default_rng(epoch).permutation(SIZE).tolist()] for epoch in range(2)]


def case_batches_before_the_position_are_not_read(folder: Path) -> None:
    data = Counted()
    found = [batch.tolist() for batch in loader_source(DataLoader(data, 4, shuffle=True), 1).epoch(0, 3)]
    assert [index for batch in found for index in batch] == data.read
    assert len(data.read) == SIZE - 12


def case_workers_change_nothing(folder: Path) -> None:
    alone = orders(DataLoader(Noisy(), 8, shuffle=True))
    for options in ({"num_workers": 2}, {"num_workers": 3, "persistent_workers": True, "prefetch_factor": 1}):
        assert orders(DataLoader(Noisy(), 8, shuffle=True, **options)) == alone
    assert orders(DataLoader(Noisy(), 8, shuffle=True, num_workers=2), start=3)[0] == alone[0][3:]
    stream = [orders(DataLoader(NoisyStream(), 8, num_workers=workers)) for workers in (2, 2)]
    assert stream[0] == stream[1]
    assert orders(DataLoader(NoisyStream(), 8, num_workers=2), start=3)[0] == stream[0][0][3:]


def case_persistent_workers_outlast_a_break(folder: Path) -> None:
    loader = DataLoader(Noisy(), 8, shuffle=True, num_workers=2, persistent_workers=True)
    expected, source = orders(loader), loader_source(loader, 1)
    part = source.epoch(0)
    next(part)
    part.close()
    assert [batch[0].tolist() for batch in source.epoch(1)] == expected[1]


def case_an_interrupt_does_not_end_the_workers(folder: Path) -> None:
    # Ctrl-C reaches all processes of a terminal. The workers have to go on until the next save.
    for loader in (DataLoader(Noisy(), 2, num_workers=2), DataLoader(NoisyStream(), 2, num_workers=2)):
        batches = loader_source(loader, 1).epoch(0)
        next(batches)
        for worker in multiprocessing.active_children():
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGINT)
        assert sum(1 for _ in batches) == 21


def case_a_worker_sees_the_data_set_of_the_script(folder: Path) -> None:
    loader = DataLoader(OfWorker(), 4, num_workers=1, worker_init_fn=open_data)
    assert orders(loader, epochs=1)[0][0] == [0, 1, 2, 3]


def case_the_data_draws_apart_from_the_training(folder: Path) -> None:
    for loader in (DataLoader(Noisy(), 8, shuffle=True), DataLoader(NoisyStream(), 8)):
        torch.manual_seed(5)
        expected = torch.rand(2).tolist()
        torch.manual_seed(5)
        batches = loader_source(loader, 1).epoch(0)
        next(batches)
        drawn = [torch.rand(1).item()]
        next(batches)
        assert [*drawn, torch.rand(1).item()] == expected


def case_the_generator_of_a_loader_stays_as_it_was(folder: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    orders(DataLoader(TensorDataset(torch.arange(SIZE)), 6, shuffle=True, generator=generator))
    assert torch.equal(generator.get_state(), before) and generator.initial_seed() == 3


def stopped_after(folder: Path, loader: Any, steps: int) -> None:
    """A run that is stopped after some steps."""
    torch.manual_seed(0)
    with baton.init(folder / "run") as run:
        training = baton.torch.track(run)
        try:
            for _ in training.loop(loader, epochs=3):
                if training.step + 1 == steps:
                    run._control.request_stop(Stop("preempted"))
        except Stopped:
            return
    raise AssertionError("the run was not stopped")


def stopped_at_the_end(folder: Path, loader: Any, epochs: int) -> None:
    """A run that is stopped between two epochs, after so many."""
    torch.manual_seed(0)
    with baton.init(folder / "run") as run:
        training = baton.torch.track(run)
        try:
            for epoch in training.epochs(3):
                for _ in training.batches(loader):
                    pass
                if epoch + 1 == epochs:
                    run._control.request_stop(Stop("preempted"))
        except Stopped:
            return
    raise AssertionError("the run was not stopped")


def continued(folder: Path, loader: Any) -> list[tuple[int, int, Any]]:
    """The steps of the rest of the run."""
    with baton.init(folder / "run") as run:
        training = baton.torch.track(run)
        return [(epoch, step, batch) for epoch, step, batch in training.loop(loader, epochs=3)]


def case_other_data_than_at_the_save_is_told(folder: Path) -> None:
    def data(size: int) -> Any:
        return TensorDataset(torch.arange(size))

    stopped_after(folder, DataLoader(data(20), 4, shuffle=True), 2)
    others = [
        (DataLoader(data(21), 4, shuffle=True), "samples was 20 and is 21"),
        (DataLoader(data(20), 5, shuffle=True), "batch_size was 4 and is 5"),
        (DataLoader(data(20), 4), "the order of epoch 0 is not the one of the save"),
        (DataLoader(data(20), 4, shuffle=True, generator=torch.Generator()), "the order of epoch 0 is not"),
    ]
    for loader, says in others:
        raised(says, continued, folder, loader)
    raised("resumes by index, and this one resumes by replay", continued, folder, DataLoader(NoisyStream(), 8))
    rest = continued(folder, DataLoader(data(20), 4, shuffle=True))
    assert [step for _, step, _ in rest] == list(range(2, 15))


def case_the_seed_of_the_first_start_counts(folder: Path) -> None:
    loader = DataLoader(TensorDataset(torch.arange(SIZE)), 4, shuffle=True)
    stopped_after(folder / "one", loader, 5)
    torch.seed()
    rest = continued(folder / "one", loader)
    torch.manual_seed(0)
    whole = continued(folder / "other", loader)
    assert [batch[0].tolist() for *_, batch in rest] == [batch[0].tolist() for *_, batch in whole[5:]]


def case_what_cannot_be_resumed_is_told(folder: Path) -> None:
    raised("a generator cannot be resumed. Pass a DataLoader", loader_source, (k for k in range(3)), 1)

    class NoLength:
        def __iter__(self) -> Any:
            return iter([[0, 1], [2]])

    loader = DataLoader(TensorDataset(torch.arange(SIZE)), batch_sampler=NoLength())
    raised("the sampler of the DataLoader needs a length", loader_source, loader, 1)


def case_loops_that_are_used_wrongly_are_told(folder: Path) -> None:
    loader = DataLoader(TensorDataset(torch.arange(SIZE)), 4)
    with baton.init(folder / "run") as run:
        training = baton.torch.track(run)
        raised("batches: call it once in the body", next, training.batches(loader))
        raised("epochs: must be from 0", next, training.epochs(-1))
        for _ in training.epochs(1):
            for _ in training.batches(loader):
                raised("batches: call it once in the body", next, training.batches(loader))
        for _ in training.steps(1):
            raised("row: the loop has no epochs", training.row, {"loss": 1.0})
        for _ in training.epochs(1):
            for _ in training.batches(DataLoader(NoisyStream(), 8)):
                raised("ends_epoch: the loader has no length", lambda: training.ends_epoch)
    stopped_after(folder / "other", loader, 2)
    with baton.init(folder / "other/run") as run:
        epochs = baton.torch.track(run).epochs(3)
        next(epochs)
        raised("the save is inside epoch 0: in the body of epochs", next, epochs)
    with baton.init(folder / "other/run") as run:
        raised(
            r"the save was made in epochs\(...\), and loop 1 of the script is now steps",
            next,
            baton.torch.track(run).steps(3),
        )


def case_a_finished_run_has_no_steps_left(folder: Path) -> None:
    loader = DataLoader(TensorDataset(torch.arange(SIZE)), 4)
    assert len(continued(folder, loader)) == 15
    assert continued(folder, loader) == []


def case_a_stop_after_the_last_batch_does_not_begin_the_epoch_again(folder: Path) -> None:
    stopped_after(folder, DataLoader(TensorDataset(torch.arange(SIZE)), 4), 5)
    seen = []
    with baton.init(folder / "run") as run:
        training = baton.torch.track(run)
        for epoch in training.epochs(2):
            batches = training.batches(DataLoader(TensorDataset(torch.arange(SIZE)), 4))
            seen.append((epoch, sum(1 for _ in batches), training.step))
            training.row({"loss": 1.0})
    assert seen == [(0, 0, 5), (1, 5, 10)]
    assert (folder / "run/history.csv").read_text().splitlines()[1:] == ["1,5,1.0", "2,10,1.0"]


def case_a_replay_is_told(folder: Path) -> None:
    loader = DataLoader(NoisyStream(), 8)
    stopped_after(folder, loader, 3)
    continued(folder, loader)
    assert "loading 3 batches of epoch 0 again took" in (folder / "run/notes.txt").read_text()


def case_other_data_at_the_end_of_an_epoch_is_told(folder: Path) -> None:
    # No error: a script may change its data from epoch to epoch.
    def data(size: int) -> Any:
        return TensorDataset(torch.arange(size))

    others = [
        (DataLoader(data(21), 4, shuffle=True), "samples was 20 and is 21"),
        (DataLoader(data(20), 5, shuffle=True), "batch_size was 4 and is 5"),
        (DataLoader(data(20), 4), "the order of epoch 0 is not the one of the save"),
        (DataLoader(NoisyStream(), 4), "this one resumes by replay"),
        (baton.data.batches(np.arange(20), batch_size=4), "no state of baton.data.batches"),
    ]
    for number, (loader, says) in enumerate(others):
        stopped_at_the_end(folder / str(number), DataLoader(data(20), 4, shuffle=True), 1)
        assert next(epoch for epoch, *_ in continued(folder / str(number), loader)) == 1
        assert says in (folder / str(number) / "run/notes.txt").read_text()
    stopped_at_the_end(folder / "same", DataLoader(data(20), 4, shuffle=True), 1)
    continued(folder / "same", DataLoader(data(20), 4, shuffle=True))
    assert not (folder / "same/run/notes.txt").exists()


class OwnOrder:
    """A sampler, or a batch sampler, with a generator of its own."""

    def __init__(self, rng: Any, *, batched: bool = False) -> None:
        self.rng = rng
        self.batched = batched

    def __len__(self) -> int:
        return SIZE // 5 if self.batched else SIZE

    def __iter__(self) -> Any:
        order = [*range(SIZE)]
        self.rng.shuffle(order)
        return iter([order[k : k + 5] for k in range(0, SIZE, 5)] if self.batched else order)


class OwnNoise(Noisy):
    """A data set whose augmentation has a generator of its own."""

    def __init__(self, rng: Any) -> None:
        super().__init__()
        self.steps = [("scale", lambda x: x * rng.uniform(0.9, 1.1))]

    def __getitem__(self, index: int) -> tuple[Any, Any, int]:
        x, y, index = super().__getitem__(index)
        return self.steps[0][1](x), y, index


class OwnStream(NoisyStream):
    """An iterable data set with generators of its own, which it uses from epoch to epoch."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng()
        self.torch_rng = torch.Generator()
        self.torch_rng.seed()

    def __iter__(self) -> Any:
        order = [*self.rng.permutation(SIZE)]
        return (float(self.rng.random() + torch.rand(1, generator=self.torch_rng) + index) for index in order)


class KeptOrder(torch.utils.data.Sampler):  # type: ignore[type-arg]
    """A sampler with a state, and whose order depends on the epochs before."""

    def __init__(self) -> None:
        self.order, self.given = [*range(SIZE)], 0

    def __len__(self) -> int:
        return SIZE

    def __iter__(self) -> Any:
        if self.given in (0, SIZE):
            random.shuffle(self.order)
            self.given = 0
        while self.given < SIZE:
            self.given += 1
            yield self.order[self.given - 1]

    def state_dict(self) -> dict[str, Any]:
        return {"order": [*self.order], "given": self.given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order, self.given = [*state["order"]], state["given"]


def check_drawn_stops(folder: Path, makers: dict[str, Any]) -> None:
    """Runs that are stopped at drawn steps, and at the ends of epochs, have the rest of an uninterrupted run."""
    for name, make in makers.items():
        torch.manual_seed(0)
        whole = _plain(continued(folder / f"{name}-whole", make()))
        per_epoch = len(whole) // 3
        assert whole[0][2] != whole[per_epoch][2] or "fixed" in name, name
        few = name == "workers"  # which have to be started for each
        steps = random.Random(name).sample(range(1, len(whole)), 1 if few else 3)
        for stop in steps if few else sorted({*steps, per_epoch}):
            stopped_after(folder / f"{name}-{stop}", make(), stop)
            torch.seed()
            assert _plain(continued(folder / f"{name}-{stop}", make())) == whole[stop:], (name, stop)
        for epochs in (1,) if few else (1, 2):
            stopped_at_the_end(folder / f"{name}-end-{epochs}", make(), epochs)
            torch.seed()
            rest = _plain(continued(folder / f"{name}-end-{epochs}", make()))
            assert rest == whole[epochs * per_epoch :], (name, "end", epochs)
        notes = folder / f"{name}-end-1/run/notes.txt"
        assert not notes.exists() or "other data" not in notes.read_text(), notes.read_text()


def case_generators_of_samplers_and_data_sets_are_restored(folder: Path) -> None:
    data = TensorDataset(torch.arange(SIZE))
    generators = {
        "numpy": np.random.default_rng,
        "state": np.random.RandomState,
        "python": random.Random,
    }
    makers: dict[str, Any] = {}
    for name, rng in generators.items():
        makers[f"{name}-sampler"] = lambda rng=rng: DataLoader(data, 4, sampler=OwnOrder(rng()))
        makers[f"{name}-noise"] = lambda rng=rng: DataLoader(OwnNoise(rng()), 8, shuffle=True)
    makers["batches"] = lambda: DataLoader(data, batch_sampler=OwnOrder(np.random.default_rng(), batched=True))
    makers["workers"] = lambda: DataLoader(OwnNoise(np.random.default_rng()), 8, shuffle=True, num_workers=2)
    check_drawn_stops(folder, makers)
    alone, workers = (orders(DataLoader(OwnNoise(np.random.default_rng()), 8, num_workers=k)) for k in (0, 2))
    assert alone == workers


def case_generators_of_a_stream_continue(folder: Path) -> None:
    make = lambda: DataLoader(OwnStream(), 8)  # noqa: E731
    with_workers = lambda: DataLoader(OwnStream(), 8, num_workers=2, persistent_workers=True)  # noqa: E731
    for number, loader in enumerate([make(), make(), with_workers()]):
        source = loader_source(loader, 1)
        notes: list[str] = []
        source.note = notes.append
        first = [[batch.tolist() for batch in source.epoch(0)]]
        part = source.epoch(1)
        next(part), next(part)
        write_tree(folder, "inside", source.state())
        rest = [batch.tolist() for batch in part]
        between = {**source.state(), "epoch": 2, "index": 0}
        third = [batch.tolist() for batch in source.epoch(2)]
        assert first[0] != third
        if number == 2:
            assert any("dataset.rng" in note and "workers that are kept" in note for note in notes)
            continue
        assert not notes
        again = loader_source(make(), 1)
        again.restore(read_tree(folder, "inside"))
        assert [batch.tolist() for batch in again.epoch(1, 2)] == rest
        assert [batch.tolist() for batch in again.epoch(2)] == third
        again = loader_source(make(), 1)
        again.restore(between)
        assert [batch.tolist() for batch in again.epoch(2)] == third


def case_a_generator_that_cannot_be_restored_is_named(folder: Path) -> None:
    loader = DataLoader(TensorDataset(torch.arange(SIZE)), 4, sampler=OwnOrder(random.SystemRandom()))
    continued(folder, loader)
    assert "sampler.rng (SystemRandom)" in (folder / "run/notes.txt").read_text()


def case_the_kept_number_of_a_pair_is_restored(folder: Path) -> None:
    # numpy.random.normal makes two numbers and keeps the second one for its next call.
    def train(at: str, stop: int) -> list[float]:
        drawn = []
        np.random.seed(0)
        torch.manual_seed(0)
        with baton.init(folder / at) as run:
            training = baton.torch.track(run)
            try:
                for _ in training.loop(DataLoader(TensorDataset(torch.arange(SIZE)), 4), epochs=2):
                    drawn.append(float(np.random.normal()))
                    if training.step + 1 == stop:
                        run._control.request_stop(Stop("preempted"))
            except Stopped:
                pass
        return drawn

    whole = train("whole", 0)
    for stop in (1, 2, 5):
        assert train(str(stop), stop) + train(str(stop), 0) == whole


def case_a_stateful_data_loader_continues(folder: Path) -> None:
    try:
        from torchdata.stateful_dataloader import StatefulDataLoader
        from torchdata.stateful_dataloader.sampler import RandomSampler as StatefulSampler
    except ImportError:  # it needs a newer PyTorch than that of some distributions
        return
    data = TensorDataset(torch.arange(SIZE))
    check_drawn_stops(
        folder,
        {
            "map": lambda: StatefulDataLoader(data, 4, shuffle=True),
            "noisy": lambda: StatefulDataLoader(Noisy(), 4, shuffle=True),
            "generator": lambda: StatefulDataLoader(data, 4, shuffle=True, generator=torch.Generator()),
            "replaced": lambda: StatefulDataLoader(data, 4, sampler=StatefulSampler(data, True, 50)),
            "sampler": lambda: StatefulDataLoader(data, 4, sampler=RandomSampler(data)),
            "batches": lambda: StatefulDataLoader(data, batch_sampler=BatchSampler(RandomSampler(data), 4, False)),
            "own": lambda: StatefulDataLoader(data, 4, sampler=OwnOrder(np.random.default_rng())),
            "workers": lambda: StatefulDataLoader(Noisy(), 4, shuffle=True, num_workers=2),
            "kept": lambda: StatefulDataLoader(data, 4, sampler=KeptOrder()),
            "stream-fixed": lambda: StatefulDataLoader(NoisyStream(), 8),
        },
    )


def _plain(steps: list[tuple[int, int, Any]]) -> list[Any]:
    return [
        (epoch, step, [np.asarray(part).tolist() for part in (batch if isinstance(batch, list) else [batch])])
        for epoch, step, batch in steps
    ]
