"""Counts the parameters of a network at any width without building it, because the service has no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

RGB = 3
STEM, DENSE = 32, (128, 256, 512)
TINY = (32, 64)
DEEP = ((32, 64, 128, 256, 512), (64, 128, 256, 512, 1024), (32, 128, 256, 512, 1024))


@dataclass(frozen=True)
class Parameters:
    """Parameter counts. `total` includes the running means and variances of batch normalisation."""

    total: int
    trainable: int

    def __add__(self, other: Parameters) -> Parameters:
        return Parameters(self.total + other.total, self.trainable + other.trainable)


def count_parameters(network: str, width: float, classes: int) -> Parameters | None:
    """The parameters of a network at this width and number of classes. None for a network that is an extension.

    >>> count_parameters("network-1", 1.0, 200)
    Parameters(total=17927040, trainable=17916784)
    """
    formula = _FORMULAS.get(network)
    return formula(width, classes) if formula else None


def _scaled(filters: int, width: float) -> int:
    return max(1, round(filters * width))


def _conv(channels: int, filters: int, side: int, bias: bool) -> Parameters:
    weights = channels * filters * side * side + (filters if bias else 0)
    return Parameters(weights, weights)


def _norm(channels: int) -> Parameters:
    """Scale and offset are trained. Running mean and variance are not."""
    return Parameters(4 * channels, 2 * channels)


def _block(channels: int, filters: list[int], bias: bool) -> Parameters:
    """A chain of 3x3 convolutions, each with batch normalisation."""
    pairs = zip([channels, *filters], filters, strict=False)
    return sum((_conv(before, after, 3, bias) + _norm(after) for before, after in pairs), Parameters(0, 0))


def _network_1(width: float, classes: int) -> Parameters:
    channels, counted = RGB, Parameters(0, 0)
    for number, published in enumerate(DEEP):
        filters = [_scaled(count, width) for count in published]
        counted += _block(channels, filters, bias=False)
        # From the second block on, space-to-depth of the block's input (4 x its channels) joins the block's output.
        channels = filters[-1] + (4 * channels if number else 0)
    return counted + _conv(channels, classes, 1, bias=False) + _norm(classes)


def _network_2(width: float, classes: int) -> Parameters:
    channels = _scaled(STEM, width)
    counted = _block(RGB, [channels], bias=True)
    for published in DENSE:
        filters = _scaled(published, width)
        counted += _block(channels, [filters] * 4, bias=True)
        channels += filters
        counted += _norm(channels)
    return counted + _conv(channels, classes, 1, bias=True)


def _tiny_cnn(width: float, classes: int) -> Parameters:
    first, last = (_scaled(count, width) for count in TINY)
    return _block(RGB, [first, last], bias=True) + _conv(last, classes, 1, bias=True)


_FORMULAS: dict[str, Callable[[float, int], Parameters]] = {
    "network-1": _network_1,
    "network-2": _network_2,
    "tiny-cnn": _tiny_cnn,
}
