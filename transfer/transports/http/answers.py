"""What a web server's answer, or its silence, means.  Pure.

Promised: every failure becomes a `TransferError` that names the file's address, never the login.  An error
with `after` may be gone in a moment: the transport asks again after so long, a few times.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx2

from transfer.errors import (
    CertificateRefused,
    ConnectionLost,
    EndpointUnreachable,
    LoginRefused,
    StoreDenied,
    StoredFileMissing,
    StoreRefused,
    TransferError,
)

_NOTHING_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_NOT_A_REQUEST = (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)
_BUSY = {429, 502, 503, 504}
_SOON = timedelta(seconds=1)
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")

Headers = Mapping[str, str]


def refusal(status: int, headers: Headers, *, to: str, with_login: bool) -> TransferError:
    """The error for an answer that brings no file."""
    match status:
        case 401 if with_login:
            do = "Correct user and password in [web]: they are those of the data server, not of Alyx."
            return LoginRefused("the web server refused user and password", to=to, do=do)
        case 401:
            do = "Write server, user and password of the data server into [web]."
            return LoginRefused("the web server asks for a login", to=to, do=do)
        case 403:
            do = "Give the web server's account the right to read the file and its folders."
            return StoreDenied("the web server does not give this file out (403)", to=to, do=do)
        case 404 | 410:
            do = "Compare data_url in Alyx with the folder the web server shows."
            return StoredFileMissing("the web server has no such file", to=to, do=do)
        case _ if status in _BUSY:
            after = _asked(headers.get("retry-after")) or _SOON
            return EndpointUnreachable(
                f"the web server is busy or being restarted ({status})", to=to, after=after
            )
        case _ if status >= 500:
            do = "Look into the web server's log; work goes on by itself."
            return EndpointUnreachable(f"the web server failed ({status})", to=to, do=do)
        case _:
            return StoreRefused(f"the web server answered {status} instead of the file", to=to)


def _asked(retry_after: str | None) -> timedelta | None:
    """How long a Retry-After wants us to wait; None when it says nothing we understand."""
    if not retry_after:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return timedelta(seconds=min(int(retry_after), 86_400))
    moment = _moment(retry_after)
    return max(moment - datetime.now(UTC), timedelta(0)) if moment else None


def failure(error: Exception, *, to: str) -> TransferError:
    """The error for a request that was not answered, or not to the end."""
    what = _name(error)
    if _of_certificate(error):
        return CertificateRefused(f"the web server's certificate is not accepted ({what})", to=to)
    if isinstance(error, _NOTHING_SENT):
        return EndpointUnreachable(f"the web server cannot be reached ({what})", to=to, after=_SOON)
    if isinstance(error, _NOT_A_REQUEST):
        return StoreRefused(f"the address cannot be asked for ({what})", to=to)
    return ConnectionLost(f"the line to the web server broke ({what})", to=to)


def _of_certificate(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return True
        seen = seen.__cause__ or seen.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A Content-Range: the answer's first byte, and how many bytes the whole file has; None where unsaid."""

    start: int | None
    total: int | None


def span(headers: Headers) -> Span | None:
    """The Content-Range of an answer, None when there is none that can be understood."""
    found = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if not found:
        return None
    return Span(start=int(found[1]) if found[1] else None, total=int(found[3]) if found[3] != "*" else None)


def length(headers: Headers) -> int | None:
    """The Content-Length, None when the server does not say."""
    said = headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() else None


def validator(headers: Headers) -> str | None:
    """What tells this version of a file from another: a strong ETag, else Last-Modified; None if neither is there."""
    etag = headers.get("etag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return headers.get("last-modified") or None


def mtime_ns(headers: Headers) -> int:
    """Last-Modified in nanoseconds (it has whole seconds); 0 when the server does not say."""
    moment = _moment(headers.get("last-modified", ""))
    return int(moment.timestamp()) * 1_000_000_000 if moment else 0


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
