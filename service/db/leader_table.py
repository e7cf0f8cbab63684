"""The row that says which replica conducts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import Base


class Leader(Base):
    """Who does what one replica at a time does. `term` counts how often that changed."""

    __tablename__ = "leaders"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    holder: Mapped[str] = mapped_column(String(300))
    term: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime]
