"""Prices of devices and costs of attempts, as whole millionths of a currency unit: sums are exact in every grouping."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fnmatch import fnmatchcase

MICRO = 1_000_000
"""Millionths in a unit of money, and microseconds in a second."""

HOUR_US = 3600 * MICRO
MOST = 1_000_000
"""The highest price of an hour."""

CPU = "cpu"
"""The device of a worker without a GPU."""

_PRICE = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?")


@dataclass(frozen=True)
class Prices:
    """Prices of an hour of one device, in millionths, by pattern of its name. The first pattern that matches counts."""

    entries: tuple[tuple[str, int], ...] = ()
    currency: str | None = None

    def __bool__(self) -> bool:
        """Whether any device has a price."""
        return bool(self.entries)

    def of(self, device: str) -> int | None:
        """The price of an hour of all devices of a worker, in millionths. None if one of them has no price.

        >>> Prices((("nvidia h100*", 2_500_000), ("cpu", 20_000))).of("NVIDIA H100 PCIe, NVIDIA H100 PCIe")
        5000000
        """
        each = [self._of_one(name) for name in devices_of(device)]
        known = [one for one in each if one is not None]
        return sum(known) if len(known) == len(each) else None

    def _of_one(self, name: str) -> int | None:
        return next((price for pattern, price in self.entries if fnmatchcase(name.lower(), pattern.lower())), None)


def parse_prices(text: str) -> Prices:
    """Prices from text such as `NVIDIA H100*=2.50,*T4=0.35,cpu=0.02`, or with one entry a line.

    Raises:
        ValueError: an entry is not PATTERN=PRICE, or a pattern is given twice.
    """
    entries: dict[str, int] = {}
    for entry in filter(None, (part.strip() for part in re.split(r"[,\n]", text))):
        pattern, is_one, price = (part.strip() for part in entry.rpartition("="))
        if not is_one or not pattern:
            raise ValueError(f"has {entry[:100]!r}, which is not DEVICE=PRICE")
        if not _PRICE.fullmatch(price) or Decimal(price) > MOST:
            raise ValueError(
                f"has the price {price[:50]!r} of {pattern[:100]!r}, which is not a number from 0 to {MOST}"
            )
        if pattern.lower() in map(str.lower, entries):
            raise ValueError(f"has {pattern[:100]!r} twice")
        entries[pattern] = micro(price)
    return Prices(tuple(entries.items()))


def devices_of(device: str) -> tuple[str, ...]:
    """The names of a worker's devices: it reports its GPUs separated by commas, or `cpu`."""
    return tuple(name.strip() for name in device.split(",") if name.strip()) or (CPU,)


def gpus_of(device: str) -> int:
    """The number of a worker's GPUs.

    >>> gpus_of("cpu"), gpus_of("Tesla T4"), gpus_of("Tesla T4, Tesla T4")
    (0, 1, 2)
    """
    return sum(name.lower() != CPU for name in devices_of(device))


def micro(number: str | float) -> int:
    """An amount of money in millionths, rounded to the nearest."""
    return int((Decimal(str(number)) * MICRO).to_integral_value(ROUND_HALF_UP))


def cost(hourly: int, us: int) -> int:
    """What `us` microseconds cost at an hourly price, both amounts in millionths, rounded to the nearest.

    To divide a time, subtract the costs of its beginnings: `cost(p, b) - cost(p, a)`. Such parts add up exactly.
    """
    return (hourly * us + HOUR_US // 2) // HOUR_US


def amount(millionths: int) -> str:
    """An amount of money as text with six decimals.

    >>> amount(1_250_000), amount(-1)
    ('1.250000', '-0.000001')
    """
    return f"{Decimal(millionths) / MICRO:.6f}"


def exact(millionths: int) -> str:
    """An amount of money with all its decimals, at least two.

    >>> exact(3_000_000), exact(70_120)
    ('3.00', '0.07012')
    """
    whole, _, decimals = amount(millionths).partition(".")
    return f"{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def rounded(text: str) -> str:
    """An amount of money for people: to the cent.

    >>> rounded("1.255000"), rounded("0.001000")
    ('1.26', '0.00')
    """
    return f"{Decimal(text).quantize(Decimal('0.01'), ROUND_HALF_UP)}"
