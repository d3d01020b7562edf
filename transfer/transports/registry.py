"""The kinds of transport there are: one line each, and nowhere else is a kind told from another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from transfer.transports.base import StreamingTransport
from transfer.transports.local import LocalOptions, LocalTransport
from transfer.transports.sftp.options import SftpOptions


@dataclass(frozen=True, slots=True)
class Kind:
    """What a config may say about an endpoint of this kind, and how to make its transport."""

    options: type[BaseModel]
    open: Callable[[Any], StreamingTransport]


def _sftp(options: SftpOptions) -> StreamingTransport:
    """paramiko is imported when a store is opened, not when a config is read."""
    from transfer.transports.sftp.transport import SftpTransport

    return SftpTransport(options)


KINDS: dict[str, Kind] = {
    "local": Kind(LocalOptions, LocalTransport.open),
    "sftp": Kind(SftpOptions, _sftp),
}


def options_model(kind: str) -> type[BaseModel]:
    """The model that an endpoint's options must satisfy.  Raises ValueError for an unknown kind."""
    return _kind(kind).options


def open_transport(kind: str, options: BaseModel) -> StreamingTransport:
    """A transport, not yet connected: entering it connects.

    Raises ValueError for an unknown kind and TypeError for another kind's options.
    """
    found = _kind(kind)
    if not isinstance(options, found.options):
        raise TypeError(f"{kind} takes {found.options.__name__}, not {type(options).__name__}")
    return found.open(options)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise ValueError(f"no transport is called {name!r}; there are {', '.join(sorted(KINDS))}")
    return KINDS[name]
