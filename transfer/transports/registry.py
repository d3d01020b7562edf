"""The kinds of transport there are: one line each, and nowhere else is a kind told from another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from transfer.planning import Limits
from transfer.transports.base import StreamingTransport
from transfer.transports.delegated import DelegatedTransport
from transfer.transports.ftp.options import FtpOptions
from transfer.transports.globus.options import GlobusOptions
from transfer.transports.local import LocalOptions, LocalTransport
from transfer.transports.sftp.options import SftpOptions


@dataclass(frozen=True, slots=True)
class Kind:
    """What a config may say about an endpoint of this kind, and how to make its transport."""

    options: type[BaseModel]
    open: Callable[[Any], StreamingTransport | DelegatedTransport]
    limits: Callable[[Any], Limits] | None = None  # how large a batch may be, where its own options say so
    delegated: bool = False  # the bytes do not flow through us: a mover carries them


def _sftp(options: SftpOptions) -> StreamingTransport:
    """paramiko is imported when a store is opened, not when a config is read."""
    from transfer.transports.sftp.transport import SftpTransport

    return SftpTransport(options)


def _globus(options: GlobusOptions) -> DelegatedTransport:
    """The Globus SDK is imported when a store is opened."""
    from transfer.transports.globus.transport import GlobusTransport

    return GlobusTransport(options)


def _globus_limits(options: GlobusOptions) -> Limits:
    return Limits(
        files=options.batch_files, bytes=int(options.batch_bytes), large_bytes=int(options.large_bytes)
    )


def _ftp(options: FtpOptions) -> StreamingTransport:
    from transfer.transports.ftp.transport import FtpTransport

    return FtpTransport(options)


KINDS: dict[str, Kind] = {
    "ftp": Kind(FtpOptions, _ftp),
    "globus": Kind(GlobusOptions, _globus, _globus_limits, delegated=True),
    "local": Kind(LocalOptions, LocalTransport.open),
    "sftp": Kind(SftpOptions, _sftp),
}


def options_model(kind: str) -> type[BaseModel]:
    """The model that an endpoint's options must satisfy.  Raises ValueError for an unknown kind."""
    return _kind(kind).options


def is_delegated(kind: str) -> bool:
    """Whether a mover carries the bytes.  Raises ValueError for an unknown kind."""
    return _kind(kind).delegated


def limits_of(kind: str, options: BaseModel) -> Limits | None:
    """How large a batch for this endpoint may be, if its options say so."""
    limits = _kind(kind).limits
    return limits(options) if limits else None


def open_transport(kind: str, options: BaseModel) -> StreamingTransport | DelegatedTransport:
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
