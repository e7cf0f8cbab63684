"""Small training programs with `baton.torch`. Each builds everything anew, as a program that is started again.

`python -m tests.support.torch_programs NAME FOLDER` trains one in the folder FOLDER/run, and writes the final state to
FOLDER/final.npz and final.json. It needs PyTorch.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, IterableDataset

import baton
import baton.torch
from baton.adapters.state_files import write_tree

SAMPLES, EPOCHS, BATCH = 44, 3, 8


class Noisy:
    """A map-style data set that draws from all generators of the process. The third item is the index."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self.x = draw.normal(size=(SAMPLES, 6)).astype("float32")

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[Any, Any, int]:
        x = torch.from_numpy(self.x[index]) + 0.1 * torch.randn(6)
        x = x * random.uniform(0.9, 1.1) + np.random.uniform(-0.1, 0.1)
        return x.float(), x.sum().float().unsqueeze(0), index


class NoisyStream(IterableDataset):  # type: ignore[misc]
    """The same samples in a fixed order."""

    def __iter__(self) -> Any:
        source = Noisy()
        worker = torch.utils.data.get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        return (source[index] for index in range(first, SAMPLES, step))


class Schedule:
    """A loader with states: what torchdata's StatefulDataLoader promises, without its workers."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.given = 0
        self.resumed = False

    def __len__(self) -> int:
        return math.ceil(SAMPLES / BATCH)

    def state_dict(self) -> dict[str, Any]:
        return {"order": torch.tensor(self.order), "given": self.given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order, self.given = state["order"].tolist(), state["given"]
        self.resumed = self.given < len(self.order)

    def __iter__(self) -> Any:
        if not self.resumed:
            self.order, self.given = torch.randperm(SAMPLES).tolist(), 0
        self.resumed = False
        source = Noisy()
        while self.given < len(self.order):
            chosen = self.order[self.given : self.given + BATCH]
            self.given += len(chosen)
            yield torch.utils.data.default_collate([source[index] for index in chosen])


class Parts:
    """A model with dropout and normalisation, AdamW, OneCycleLR and an average of the weights."""

    def __init__(self, total: int) -> None:
        torch.manual_seed(1)
        random.seed(2)
        np.random.seed(3)
        self.model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 0.05, total_steps=total)
        self.ema = AveragedModel(self.model, avg_fn=lambda mean, now, count: 0.9 * mean + 0.1 * now)
        self.loss_of = nn.MSELoss()

    def tracked(self) -> dict[str, Any]:
        """What `track` takes."""
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "ema": self.ema,
        }

    def loss(self, batch: Any) -> Any:
        """The loss of a batch, with its gradient."""
        x, y = batch[0], batch[1]
        loss = self.loss_of(self.model(x), y)
        loss.backward()
        return loss

    def update(self) -> None:
        """The rest of a step."""
        self.optimizer.step()
        self.scheduler.step()
        self.ema.update_parameters(self.model)
        self.optimizer.zero_grad(set_to_none=False)


def loop(run: baton.Run, loader: Any) -> Any:
    """Two nested loops, a sum over the epoch that is tracked, an evaluation that draws from the global generators."""
    parts = Parts(total=EPOCHS * math.ceil(SAMPLES / BATCH))
    totals = {"loss": 0.0, "seen": torch.zeros(SAMPLES, dtype=torch.int64)}
    training = baton.torch.track(run, **parts.tracked(), totals=totals)
    for _ in training.epochs(EPOCHS):
        totals["loss"] = 0.0
        parts.model.train()
        for batch in training.batches(loader):
            loss = parts.loss(batch)
            parts.update()
            totals["loss"] += loss.item()
            totals["seen"][batch[2]] += 1
            training.log({"loss": loss, "rate": parts.scheduler.get_last_lr()[0], "order": _order(batch[2])})
        parts.model.eval()
        with torch.no_grad():
            value = sum(parts.loss_of(parts.model(x), y).item() for x, y, _ in DataLoader(Noisy(), BATCH, shuffle=True))
        training.row({"val_loss": value, "loss": totals["loss"], "drawn": random.random()})
    return training._copied()


def accumulating(run: baton.Run) -> Any:
    """One flat loop that updates the model in each third step; the data comes from workers."""
    parts = Parts(total=100)
    training = baton.torch.track(run, **parts.tracked(), noise=np.random.default_rng(5))
    loader = DataLoader(Noisy(), BATCH, shuffle=True, num_workers=2, drop_last=True)
    for _, step, batch in training.loop(loader, epochs=EPOCHS):
        loss = parts.loss(batch)
        if step % 3 == 2:
            parts.update()
        training.log({"loss": loss, "order": _order(batch[2])})
        if training.ends_epoch:
            training.row({"loss": loss})
    return training._copied()


def phases(run: baton.Run) -> Any:
    """A loop of steps without a loader, then frozen layers, then epochs over `baton.data.batches`."""
    parts, source = Parts(total=100), Noisy()
    training = baton.torch.track(run, **parts.tracked())
    for step in training.steps(7):
        samples = [source[(step * BATCH + k) % SAMPLES] for k in range(BATCH)]
        parts.loss(torch.utils.data.default_collate(samples))
        parts.update()
        training.log({"first": samples[0][0].sum()})
    batches = baton.data.batches((source.x, source.x.sum(1, keepdims=True)), batch_size=BATCH, seed=4)
    for epoch in training.epochs(2):
        parts.model[0].requires_grad_(epoch > 0)
        for x, y in training.batches(batches):
            loss = parts.loss((torch.from_numpy(x), torch.from_numpy(y)))
            parts.update()
            training.log({"loss": loss})
            if training.batch == 4:
                break  # the last batch of each epoch is left out
    return training._copied()


PROGRAMS: dict[str, Callable[[baton.Run], Any]] = {
    "loop": lambda run: loop(run, DataLoader(Noisy(), BATCH, shuffle=True)),
    "accumulating": accumulating,
    "phases": phases,
    "stream": lambda run: loop(run, DataLoader(NoisyStream(), BATCH)),
    "state": lambda run: loop(run, Schedule()),
}


def _order(indices: Any) -> int:
    """A number that tells the order of the samples."""
    return int(sum((int(index) + 1) * 7**k for k, index in enumerate(indices)) % 1_000_003)


def main(name: str, folder: str) -> None:
    """Train, and write the final state."""
    torch.set_num_threads(1)
    with baton.init(Path(folder) / "run") as run:
        final = PROGRAMS[name](run)
    write_tree(Path(folder), "final", final)


if __name__ == "__main__":
    main(*sys.argv[1:])
