"""PyTorch, as its tutorials show it: at the end of each epoch torch.save of model, optimizer and epoch.

It is done as well as tutorials do: the schedule is saved too, the file is written under another name and renamed. The
states of the random generators are not saved, and the loader shuffles by the global one.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.utils.data import DataLoader

from bench.resume.steps import BATCH, EPOCHS, PER_EPOCH, Steps
from bench.resume.torch_model import parts, spirals, step, steps_of

FILE = Path("checkpoint.pt")


def main() -> None:
    """Train."""
    model, optimizer, schedule = parts()
    loader, begin = DataLoader(spirals(), BATCH, shuffle=True), 0
    if FILE.exists():
        saved = torch.load(FILE)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        begin = saved["epoch"] + 1
    steps = Steps(steps_of(optimizer))
    for epoch in range(begin, EPOCHS):
        for batch, (points, labels, numbers) in enumerate(loader):
            step(model, optimizer, schedule, points, labels)
            steps.done(epoch * PER_EPOCH + batch + 1, numbers)
        state = {"model": model, "optimizer": optimizer, "schedule": schedule}
        torch.save({**{name: one.state_dict() for name, one in state.items()}, "epoch": epoch}, "new.pt")
        Path("new.pt").replace(FILE)
    torch.save(model.state_dict(), "final.pt")


if __name__ == "__main__":
    main()
