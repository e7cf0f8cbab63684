"""PyTorch: a model, an optimizer, a schedule, and the random generators that dropout uses.

Run it: `python torch_spirals.py`. End it with Ctrl-C, run it again, and it continues.
"""

import math
import tempfile
from pathlib import Path

import torch
from torch import nn

import baton


def spirals(count, generator):
    """Points of two spirals, shape (count, 2), and to which spiral each belongs, 0.0 or 1.0."""
    labels = (torch.arange(count) % 2).float()
    turn = torch.rand(count, generator=generator).sqrt() * 3 * math.pi
    sign = 1 - 2 * labels
    return torch.stack([sign * turn * turn.cos(), sign * turn * turn.sin()], dim=1) / 10, labels


def random_states():
    """The states of the generators of the CPU and of all GPUs."""
    return {"cpu": torch.get_rng_state(), "gpus": torch.cuda.get_rng_state_all()}


run = baton.init(params={"epochs": 60, "batch": 32, "learning_rate": 0.01, "dropout": 0.1, "width": 64, "seed": 0})
p = run.params
torch.manual_seed(p["seed"])
device = "cuda" if torch.cuda.is_available() else "cpu"
data = torch.Generator().manual_seed(p["seed"])
train_x, train_y = (one.to(device) for one in spirals(1024, data))
test_x, test_y = (one.to(device) for one in spirals(512, data))
per_epoch = len(train_x) // p["batch"]
total = p["epochs"] * per_epoch

model = nn.Sequential(
    nn.Linear(2, p["width"]), nn.Tanh(), nn.Linear(p["width"], p["width"]), nn.Dropout(p["dropout"]), nn.ReLU(),
    nn.Linear(p["width"], 1), nn.Flatten(0),
).to(device)  # fmt: skip
optimizer = torch.optim.Adam(model.parameters(), lr=p["learning_rate"])
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
loss_of = nn.BCEWithLogitsLoss()
parts = {"model": model, "optimizer": optimizer, "schedule": schedule}

if saved := run.restore():
    state = torch.load(saved.folder / "state.pt", map_location="cpu")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    torch.set_rng_state(state["random"]["cpu"])
    torch.cuda.set_rng_state_all(state["random"]["gpus"])

for step in range(saved.step if saved else 0, total):
    epoch, batch = divmod(step, per_epoch)
    # The order is a function of the epoch: after a restore there is nothing to replay.
    order = torch.randperm(len(train_x), generator=torch.Generator().manual_seed(p["seed"] * 100_000 + epoch))
    chosen = order[batch * p["batch"] : (batch + 1) * p["batch"]].to(device)
    model.train()
    loss = loss_of(model(train_x[chosen]), train_y[chosen])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()

    done = step + 1
    run.log({"loss": loss, "learning_rate": optimizer.param_groups[0]["lr"]}, step=step)
    if done % per_epoch == 0:
        model.eval()
        with torch.no_grad():
            logits = model(test_x)
            accuracy = ((logits > 0) == (test_y > 0.5)).float().mean()
            run.epoch({"val_loss": loss_of(logits, test_y), "val_accuracy": accuracy}, epoch=epoch + 1, step=done)
        run.progress(step=done, total=total)
    if run.save_due() or done == total:
        with run.save(step=done, epoch=epoch) as folder:
            state = {name: part.state_dict() for name, part in parts.items()}
            torch.save({**state, "random": random_states()}, folder / "state.pt")
    run.check()

with tempfile.TemporaryDirectory() as folder:
    weights = Path(folder) / "weights.pt"
    torch.save(model.state_dict(), weights)
    run.publish("weights.pt", weights)
