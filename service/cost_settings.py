"""Settings of what devices cost. They are a part of service.settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_settings import BaseSettings, NoDecode

from baton.domain.prices import Prices, parse_prices

ADVICE = {
    "prices": "give the price of an hour by device, e.g. NVIDIA H100*=2.50,*T4=0.35,cpu=0.02",
    "currency": "give a short name or sign, e.g. USD",
}


def _read_prices(value: object) -> object:
    return parse_prices(value) if isinstance(value, str) else value


class CostSettings(BaseSettings):
    """The settings."""

    prices: Annotated[
        Prices, NoDecode, BeforeValidator(_read_prices), WithJsonSchema({"type": "string", "default": ""})
    ] = Prices()
    """Price of an hour of one device, by the name that `baton workers` shows; `*` stands for any text, and the first
    match counts. Without it nothing has a cost. A new price counts for attempts that begin later."""
    currency: Annotated[str, Field(pattern=r"^\S{1,10}$")] | None = None
    """Currency of BATON_PRICES, shown beside amounts, such as USD."""

    @property
    def in_currency(self) -> Prices:
        """The prices with their currency."""
        return replace(self.prices, currency=self.currency)
