"""PyTorch with `baton.torch`: an ordinary training loop in which four lines are Baton's.

Run it: `python torch_track.py`. End it with Ctrl-C, run it again, and it continues.
"""

import math
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

import baton


def spirals(count, generator):
    """Points of two spirals, shape (count, 2), and to which spiral each belongs, 0.0 or 1.0."""
    labels = (torch.arange(count) % 2).float()
    turn = torch.rand(count, generator=generator).sqrt() * 3 * math.pi
    sign = 1 - 2 * labels
    return torch.stack([sign * turn * turn.cos(), sign * turn * turn.sin()], dim=1) / 10, labels


run = baton.init(params={"epochs": 60, "batch": 32, "learning_rate": 0.01, "dropout": 0.1, "width": 64, "seed": 0})
p = run.params
torch.manual_seed(p["seed"])
device = "cuda" if torch.cuda.is_available() else "cpu"
points = torch.Generator().manual_seed(p["seed"])
train = DataLoader(TensorDataset(*spirals(1024, points)), p["batch"], shuffle=True)
test_x, test_y = (one.to(device) for one in spirals(512, points))

model = nn.Sequential(
    nn.Linear(2, p["width"]), nn.Tanh(), nn.Linear(p["width"], p["width"]), nn.Dropout(p["dropout"]), nn.ReLU(),
    nn.Linear(p["width"], 1), nn.Flatten(0),
).to(device)  # fmt: skip
ema = AveragedModel(model, avg_fn=lambda mean, now, _: 0.98 * mean + 0.02 * now)
optimizer = torch.optim.AdamW(model.parameters(), lr=p["learning_rate"])
steps = p["epochs"] * len(train)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, p["learning_rate"], total_steps=steps)
loss_of = nn.BCEWithLogitsLoss()

training = baton.torch.track(run, model=model, optimizer=optimizer, scheduler=scheduler, ema=ema)
for _ in training.epochs(p["epochs"]):
    model.train()
    for x, y in training.batches(train):
        # Noise is drawn from the generators of PyTorch, which are restored too.
        noisy = x.to(device) + 0.02 * torch.randn(x.shape, device=device)
        loss = loss_of(model(noisy), y.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        ema.update_parameters(model)
        training.log({"loss": loss, "learning_rate": scheduler.get_last_lr()[0]})
    ema.eval()
    with torch.no_grad():
        logits = ema(test_x)
        accuracy = ((logits > 0) == (test_y > 0.5)).float().mean()
        training.row({"val_loss": loss_of(logits, test_y), "val_accuracy": accuracy})

with tempfile.TemporaryDirectory() as folder:
    weights = Path(folder) / "weights.pt"
    torch.save(ema.module.state_dict(), weights)
    run.publish("weights.pt", weights)
