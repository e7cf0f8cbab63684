"""The table for leader election: which replica runs the reconciler."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from service.db.base import Base


class Leader(Base):
    """The replica that has a role, such as leader. `term` increases each time that another replica gets the role."""

    __tablename__ = "leaders"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    holder: Mapped[str] = mapped_column(String(300))
    term: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime]
