"""The baseline: both networks in PyTorch, as published. docs/reference/plans.md names the publication."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

L2 = 2e-4


def conv(inputs: int, filters: int, *, bias: bool) -> nn.Sequential:
    """3x3 convolution, batch normalisation, ReLU."""
    made = nn.Conv2d(inputs, filters, 3, padding=1, bias=bias)
    return nn.Sequential(made, nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01), nn.ReLU())


def convs(inputs: int, filters: Sequence[int], *, bias: bool) -> nn.Sequential:
    """The layers in sequence."""
    return nn.Sequential(*(conv(a, b, bias=bias) for a, b in zip((inputs, *filters), filters, strict=False)))


class Network1(nn.Module):  # type: ignore[misc]  # PyTorch is not installed where types are checked
    """Images [n, 3, h, w] in 0..1 -> logits [n, classes]."""

    def __init__(self, classes: int, width: float) -> None:
        super().__init__()
        first, second, third = (
            [max(1, round(f * width)) for f in filters]
            for filters in ((32, 64, 128, 256, 512), (64, 128, 256, 512, 1024), (32, 128, 256, 512, 1024))
        )
        joined = 4 * first[-1] + second[-1]
        self.first, self.second = convs(3, first, bias=False), convs(first[-1], second, bias=False)
        self.third = convs(joined, third, bias=False)
        self.last = nn.Conv2d(4 * joined + third[-1], classes, 1, bias=False)
        self.norm = nn.BatchNorm2d(classes, eps=1e-3, momentum=0.01)

    def forward(self, x: Any) -> Any:
        """The logits."""
        a = functional.max_pool2d(self.first(x), 2)
        b = torch.cat([functional.pixel_unshuffle(a, 2), functional.max_pool2d(self.second(a), 2)], 1)
        c = torch.cat([functional.pixel_unshuffle(b, 2), functional.max_pool2d(self.third(b), 2)], 1)
        return self.norm(self.last(c)).mean((2, 3))


class Network2(nn.Module):  # type: ignore[misc]
    """Images [n, 3, h, w] in 0..1 -> logits [n, classes]."""

    def __init__(self, classes: int, width: float) -> None:
        super().__init__()
        first, *filters = (max(1, round(f * width)) for f in (32, 128, 256, 512))
        self.stem, self.blocks, self.norms = conv(3, first, bias=True), nn.ModuleList(), nn.ModuleList()
        for count in filters:
            self.blocks.append(convs(first, [count] * 4, bias=True))
            first += count
            self.norms.append(nn.Sequential(nn.BatchNorm2d(first, eps=1e-3, momentum=0.01), nn.ReLU()))
        self.last = nn.Conv2d(first, classes, 1)

    def forward(self, x: Any) -> Any:
        """The logits."""
        x = self.stem(x)
        for block, norm in zip(self.blocks, self.norms, strict=True):
            x = functional.max_pool2d(norm(torch.cat([x, block(x)], 1)), 2)
        return self.last(x).mean((2, 3))


def make(name: str, classes: int, width: float) -> Any:
    """The network of that name."""
    return {"network-1": Network1, "network-2": Network2}[name](classes, width)


def groups(network: Any, name: str) -> list[dict[str, Any]]:
    """Parameter groups for Adam. Its weight decay is an L2 regulariser; only the kernels of network 2 have one."""
    kernels = [p for p in network.parameters() if p.dim() == 4]
    others = [p for p in network.parameters() if p.dim() != 4]
    decay = 2 * L2 if name == "network-2" else 0.0
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
