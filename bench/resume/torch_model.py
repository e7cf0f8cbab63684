"""The model and the data of the PyTorch programs: a network with dropout that separates two spirals."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

from bench.resume.steps import SAMPLES, TOTAL


def spirals() -> TensorDataset:
    """Points of two spirals, to which one each belongs, and the number of each point."""
    labels = (torch.arange(SAMPLES) % 2).float()
    turn = torch.rand(SAMPLES, generator=torch.Generator().manual_seed(0)).sqrt() * 3 * math.pi
    sign = 1 - 2 * labels
    points = torch.stack([sign * turn * turn.cos(), sign * turn * turn.sin()], dim=1) / 10
    return TensorDataset(points, labels, torch.arange(SAMPLES))


def parts() -> tuple[nn.Module, Any, Any]:
    """Model, optimizer and schedule."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Dropout(0.1), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TOTAL)


def steps_of(optimizer: Any) -> int:
    """The number of steps in the state of the optimizer."""
    state = [*optimizer.state_dict()["state"].values()]
    return int(state[0]["step"]) if state else 0


def step(model: nn.Module, optimizer: Any, schedule: Any, points: Any, labels: Any) -> None:
    """One step."""
    loss = nn.functional.binary_cross_entropy_with_logits(model(points).flatten(), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
