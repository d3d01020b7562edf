"""Who asks, and what they may do."""

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What somebody may do; each may do what the one before may."""

    VIEWER = 1  # look
    OPERATOR = 2  # retry, release, cancel, pause, resume, priority, bandwidth
    ADMIN = 3  # tokens, and what reaches every lab


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Who asks: an Alyx account, a machine's token, or whoever sits at this machine where no login is asked for."""

    name: str
    role: Role
    by_cookie: bool  # a browser's: its changes must carry the CSRF token

    @property
    def actor(self) -> str:
        """As the ledger's events name them."""
        return f"person:{self.name}"
