"""Who asks, and what they may do."""

from dataclasses import dataclass
from enum import IntEnum

from config.sections import Dashboard


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


def role_of(name: str, told: Dashboard) -> Role | None:
    """What the config lets an Alyx account do: the most that any list says; None for nothing."""
    if name in told.admins:
        return Role.ADMIN
    if name in told.operators:
        return Role.OPERATOR
    everybody = {"viewer": Role.VIEWER, "operator": Role.OPERATOR, "nothing": None}[told.everybody]
    if everybody is None and name in told.viewers:
        return Role.VIEWER
    return everybody


def role_named(word: str) -> Role | None:
    """The role of a token as the ledger has it; None for a word of another version."""
    return Role.__members__.get(word.upper())
