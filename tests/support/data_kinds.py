"""Kinds of sources for `baton.data.batches`, and the contract that each of them keeps.

Run as a program, it checks the kinds that are named on its command line: for interpreters that have what they need.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import baton
from baton.data import Batches

EPOCHS = 3
NUMBERS = itertools.count()
Given = tuple[int, int, Any]
"""The epoch, the index, and the batch as lists."""


@dataclass(frozen=True)
class Kind:
    """How a program makes its data: each call makes all of it anew, as after a restart."""

    make: Callable[..., Batches]
    resumes: str = "index"
    notes: tuple[str, ...] = ()
    """What a note after a restart says. A kind without it says nothing."""
    every: int = 1
    """Stop at each, or each second, ... position."""
    options: dict[str, Any] = field(default_factory=dict)


class Listed:
    """A map-style data set that draws random numbers for each sample, from the generators of the process."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        drawn = [random.random(), float(np.random.random())]
        return {"x": np.arange(2) + index, "drawn": drawn, "name": str(index)}


class Fetched(Listed):
    """One that reads several samples at once."""

    def __getitems__(self, indices: list[int]) -> list[Any]:
        assert all(type(index) is int for index in indices)
        return [(index, float(index) / 2) for index in indices]


class Counter:
    """An iterable with states, whose order depends on how often it was read. It hands out its live state."""

    def __init__(self) -> None:
        self.live = {"rounds": 0, "next": 0}

    def __iter__(self) -> Iterator[int]:
        if self.live["next"] >= 10:
            self.live.update(rounds=self.live["rounds"] + 1, next=0)
        while self.live["next"] < 10:
            self.live["next"] += 1
            yield self.live["rounds"] * 100 + self.live["next"]

    def state_dict(self) -> dict[str, Any]:
        return self.live

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.live = state


class Lossy:
    """One whose state does not have its buffer, as the iterable data sets of Hugging Face that shuffle."""

    def __init__(self) -> None:
        self.start, self.read = 0, 0

    def __iter__(self) -> Iterator[int]:
        self.read, self.start, buffer = self.start, 0, []
        while self.read < 10 or buffer:
            while self.read < 10 and len(buffer) < 4:
                buffer.append(self.read)
                self.read += 1
            yield buffer.pop(len(buffer) // 2)

    def state_dict(self) -> dict[str, Any]:
        return {"read": self.read}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.start = state["read"]


class Rounds:
    """An iterable without states, whose order depends on how often it was read, as that of tf.data with a seed."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(3)

    def __iter__(self) -> Iterator[int]:
        yield from self.random.permutation(7).tolist()


class Drawn:
    """A data set that draws from generators of its own, which have no seed."""

    def __init__(self) -> None:
        self.noise = np.random.default_rng()
        self.steps = [random.Random()]

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> float:
        return index + float(self.noise.random()) + self.steps[0].random()


class Continued:
    """An iterable that is told the epoch, with a generator that continues from one epoch to the next."""

    def __init__(self) -> None:
        self.random = np.random.RandomState(3)

    def set_epoch(self, epoch: int) -> None:
        pass

    def __iter__(self) -> Iterator[float]:
        return (number + float(self.random.random_sample()) for number in range(7))


class Told:
    """An iterable that is told the epoch, and is always the same otherwise."""

    number = 0

    def set_epoch(self, epoch: int) -> None:
        self.number = epoch

    def __iter__(self) -> Iterator[int]:
        return iter([self.number * 100 + item for item in range(7)])


def opened(epoch: int) -> Iterator[Any]:
    """A function of the epoch. It draws from the generators of the process."""
    for _ in range(7):
        yield epoch, random.random(), float(np.random.random())


def turned(sample: Any, rng: np.random.Generator) -> Any:
    """A random augmentation."""
    return {**sample, "turned": rng.random(2)} if isinstance(sample, dict) else (sample, rng.random(2))


def arrays(**options: Any) -> Batches:
    source = {"x": np.arange(22).reshape(11, 2), "y": (np.arange(11.0),)}
    return baton.data.batches(source, **{"batch_size": 4, "seed": 5, **options})


def listed(**options: Any) -> Batches:
    return baton.data.batches(Listed(11), batch_size=4, seed=5, **options)


def stored(**options: Any) -> Batches:
    import h5py

    file = h5py.File(f"{next(NUMBERS)}.h5", "w", driver="core", backing_store=False)
    file["x"] = np.arange(22).reshape(11, 2)
    return baton.data.batches((file["x"], np.arange(11)), batch_size=4, seed=5, **options)


def grain_map(**options: Any) -> Batches:
    import grain

    source = grain.MapDataset.range(11).seed(3).shuffle().random_map(lambda x, rng: (x, rng.random())).batch(4)
    return baton.data.batches(source, seed=5, **options)


def grain_samples(**options: Any) -> Batches:
    import grain

    return baton.data.batches(grain.MapDataset.range(11), batch_size=4, seed=5, shuffle=True, **options)


def grain_iterable(**options: Any) -> Batches:
    import grain

    source = grain.MapDataset.range(40).seed(3).shuffle().filter(lambda x: x % 3 > 0).to_iter_dataset().batch(4)
    return baton.data.batches(source, **options)


def keras_batches(**options: Any) -> Batches:
    import keras

    class Shuffled(keras.utils.PyDataset):  # type: ignore[misc,name-defined]  # Keras has no types
        def __init__(self) -> None:
            super().__init__()
            self.own, self.order = np.random.default_rng(4), np.arange(11)

        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return self.order[4 * index : 4 * index + 4], np.random.random()

        def on_epoch_end(self) -> None:
            self.own.shuffle(self.order)
            np.random.shuffle(self.order)

    return baton.data.batches(Shuffled(), seed=5, **options)


def hugging_face(**options: Any) -> Batches:
    import datasets

    source = datasets.Dataset.from_dict({"x": [[k, k + 1] for k in range(11)], "name": [str(k) for k in range(11)]})
    return baton.data.batches(source, batch_size=4, seed=5, **options)


def hugging_face_stream(buffer: int | None = None, **options: Any) -> Batches:
    import datasets

    rows = datasets.Dataset.from_dict({"x": list(range(22))}).to_iterable_dataset(num_shards=2)
    source = rows if buffer is None else rows.shuffle(seed=3, buffer_size=buffer)
    return baton.data.batches(source, batch_size=4, seed=5, **options)


def torch_tensors(**options: Any) -> Batches:
    import torch

    return baton.data.batches((torch.arange(11), np.arange(11)), batch_size=4, seed=5, **options)


def torch_data_set(**options: Any) -> Batches:
    import torch

    class Noisy(torch.utils.data.Dataset):  # type: ignore[misc,name-defined]  # torch is not in this environment
        def __len__(self) -> int:
            return 11

        def __getitem__(self, index: int) -> Any:
            return torch.full((2,), index), torch.rand(2), np.random.random()

    return baton.data.batches(torch.utils.data.Subset(Noisy(), range(10)), batch_size=4, seed=5, **options)


def torch_loader(own: bool = False, **options: Any) -> Batches:
    import torch

    generator = torch.Generator().manual_seed(3) if own else None
    data = torch.utils.data.TensorDataset(torch.arange(11))
    loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True, generator=generator)
    return baton.data.batches(loader, seed=5, **options)


def torch_stream(**options: Any) -> Batches:
    import torch

    class Stream(torch.utils.data.IterableDataset):  # type: ignore[misc,name-defined]
        def __len__(self) -> int:
            return 11

        def __iter__(self) -> Iterator[Any]:
            return (torch.rand(2) for _ in range(11))

    return baton.data.batches(Stream(), batch_size=4, seed=5, **options)


def stateful_loader(own: bool = False, workers: int = 0, **options: Any) -> Batches:
    import torch
    from torchdata.stateful_dataloader import StatefulDataLoader

    generator = torch.Generator().manual_seed(3) if own else None
    data = torch.utils.data.TensorDataset(torch.arange(11))
    loader = StatefulDataLoader(data, batch_size=4, shuffle=True, generator=generator, num_workers=workers)
    return baton.data.batches(loader, seed=5, **options)


SECONDS = "s to read"
KINDS = {
    "arrays": Kind(arrays),
    "arrays in order, without the rest": Kind(arrays, options={"shuffle": False, "drop_remainder": True}),
    "arrays, transformed": Kind(arrays, options={"transform": turned}),
    "arrays, by threads": Kind(arrays, options={"transform": turned, "threads": 3}),
    "one array": Kind(lambda **options: baton.data.batches(np.arange(11), batch_size=4, seed=5, **options)),
    "rows of a file": Kind(stored),
    "data set": Kind(listed),
    "data set with its own generators": Kind(lambda **o: baton.data.batches(Drawn(), batch_size=4, seed=5, **o)),
    "data set, transformed": Kind(listed, options={"transform": turned}),
    "data set that reads several": Kind(lambda **o: baton.data.batches(Fetched(11), batch_size=4, seed=5, **o)),
    "MapDataset of batches": Kind(grain_map, every=3),
    "MapDataset of samples": Kind(grain_samples),
    "IterDataset": Kind(grain_iterable, "state", every=3),
    "iterable with states": Kind(lambda **o: baton.data.batches(Counter(), batch_size=4, **o), "state"),
    "iterable whose states lack a buffer": Kind(
        lambda **o: baton.data.batches(Lossy(), batch_size=2, **o), "state", (SECONDS, "lack a buffer")
    ),
    "iterable": Kind(lambda **o: baton.data.batches(Rounds(), batch_size=3, **o), "replay", (SECONDS, "1 before it")),
    "iterable that is told the epoch": Kind(
        lambda **o: baton.data.batches(Told(), batch_size=3, **o), "replay", (SECONDS,)
    ),
    "iterable that is told the epoch, with its own generator": Kind(
        lambda **o: baton.data.batches(Continued(), batch_size=3, **o), "replay", (SECONDS,)
    ),
    "iterable of batches, transformed": Kind(
        lambda **o: baton.data.batches(Told(), **o), "replay", (SECONDS,), options={"transform": turned}
    ),
    "function of the epoch": Kind(lambda **o: baton.data.batches(opened, batch_size=3, **o), "replay", (SECONDS,)),
    "function, without the rest": Kind(
        lambda **o: baton.data.batches(opened, batch_size=3, **o),
        "replay",
        (SECONDS,),
        options={"drop_remainder": True},
    ),
}
PROCESSES = {
    "data set, by processes": Kind(listed, options={"transform": turned, "processes": 2}, every=4),
}
KERAS = {"PyDataset": Kind(keras_batches), "PyDataset, shuffled": Kind(keras_batches, options={"shuffle": True})}
HUGGING_FACE = {
    "Hugging Face": Kind(hugging_face),
    "Hugging Face, iterable": Kind(hugging_face_stream, "state"),
    "Hugging Face, iterable that shuffles": Kind(
        hugging_face_stream, "state", (SECONDS, "lack a buffer"), options={"buffer": 8}
    ),
}
TORCH = {
    "tensors": Kind(torch_tensors),
    "torch data set": Kind(torch_data_set),
    "DataLoader": Kind(torch_loader, "replay", (SECONDS,)),
    "DataLoader with a generator": Kind(torch_loader, "replay", (SECONDS, "1 before it"), options={"own": True}),
    "IterableDataset of torch": Kind(torch_stream, "replay", (SECONDS, "1 before it")),
}
TORCHDATA = {
    "StatefulDataLoader": Kind(stateful_loader, "state"),
    "StatefulDataLoader with a generator": Kind(stateful_loader, "state", options={"own": True}),
    "StatefulDataLoader with workers": Kind(stateful_loader, "state", options={"own": True, "workers": 1}, every=4),
}
ALL = {**KINDS, **PROCESSES, **KERAS, **HUGGING_FACE, **TORCH, **TORCHDATA}


def as_lists(batch: Any) -> Any:
    """The batch as lists, with the types of its arrays."""
    if isinstance(batch, dict):
        return {key: as_lists(one) for key, one in batch.items()}
    if isinstance(batch, list | tuple):
        return [type(batch).__name__, *map(as_lists, batch)]
    return [type(batch).__name__, str(batch.dtype), batch.tolist()] if hasattr(batch, "tolist") else batch


def given(data: Batches, epochs: int = EPOCHS) -> Iterator[Given]:
    """What the data gives from its position on. The training draws random numbers beside it."""
    for epoch, part in data.epochs(epochs):
        for index, batch in part:
            random.random(), np.random.random()
            yield epoch, index, as_lists(batch)


def check(kind: Kind) -> str:
    """Stop at each position, make everything anew, continue: the batches are those of one run. Returns a summary."""

    def made(**more: Any) -> Batches:
        random.seed(len(more))  # a restarted process has other states
        np.random.seed(len(more))
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(1)  # a StatefulDataLoader draws its seed when it is made
        return kind.make(**kind.options, **more)

    with made() as data:
        whole = list(given(data))
        assert data.resumes == kind.resumes, data.resumes
    by_epoch = [[batch for at, _, batch in whole if at == epoch] for epoch in range(EPOCHS)]
    number = len(by_epoch[0])
    assert [len(batches) for batches in by_epoch] == [number] * EPOCHS
    assert [index for _, index, _ in whole] == [*range(number)] * EPOCHS

    notes: list[str] = []
    for stop in range(0, len(whole) + 1, kind.every):
        with made() as data:
            stream = given(data)
            first = [next(stream) for _ in range(stop)]
            state = json.loads(json.dumps(data.state()))
            stream.close()
        begun = len(notes)
        with made(note=notes.append) as data:
            data.restore(state)
            assert first + list(given(data)) == whole, f"stopped at {stop}: {notes[begun:]}"
        assert len(notes) - begun <= 1, notes[begun:]
    if kind.notes:
        assert any(all(part in note for part in kind.notes) for note in notes), notes
    else:
        assert notes == []

    if kind.every == 1:
        _stopped_each_time(made, whole)
    return f"{len(whole)} batches"


def _stopped_each_time(made: Callable[..., Batches], whole: list[Given]) -> None:
    """One batch after each start. After an epoch, the position is that of the next."""
    chain: list[Given] = []
    state = None
    while len(chain) < len(whole):
        with made(note=lambda text: None) as data:
            if state is not None:
                data.restore(state)
            chain.append(next(given(data)))
            at_end = len(chain) == len(whole) or whole[len(chain)][0] > chain[-1][0]
            state = json.loads(json.dumps(data.state(epoch_done=at_end)))
    assert chain == whole


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {check(ALL[name])}", flush=True)
