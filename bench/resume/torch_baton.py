"""PyTorch and Baton: a loop by index with all state in the save, as examples/programs/torch_spirals.py."""

from __future__ import annotations

import torch

import baton
from bench.resume.steps import BATCH, PER_EPOCH, SAMPLES, SAVE_EVERY, TOTAL, Steps
from bench.resume.torch_model import parts, spirals, step, steps_of


def main() -> None:
    """Train."""
    run, data = baton.init(), spirals()
    model, optimizer, schedule = parts()
    state = {"model": model, "optimizer": optimizer, "schedule": schedule}
    if saved := run.restore():
        found = torch.load(saved.folder / "state.pt")
        for name, one in state.items():
            one.load_state_dict(found[name])
        torch.set_rng_state(found["random"])
    steps = Steps(steps_of(optimizer))
    for number in range(saved.step if saved else 0, TOTAL):
        epoch, batch = divmod(number, PER_EPOCH)
        order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(epoch))
        points, labels, chosen = data[order[batch * BATCH : (batch + 1) * BATCH]]
        step(model, optimizer, schedule, points, labels)
        done = number + 1
        if run.save_due() or done % SAVE_EVERY == 0:
            with run.save(step=done) as folder:
                kept = {name: one.state_dict() for name, one in state.items()}
                torch.save({**kept, "random": torch.get_rng_state()}, folder / "state.pt")
        steps.done(done, chosen)
        run.check()
    torch.save(model.state_dict(), "final.pt")


if __name__ == "__main__":
    main()
