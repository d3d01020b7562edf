"""Making a line: reached, encrypted, verified, logged in, asked what it can do.

Promises: user and password are sent only over TLS 1.2 or newer to a server whose certificate is valid for the
host's name, and files only where data connections are encrypted as well; the one exception is a config that
gives up encryption in words.  A server that refuses encryption is `EncryptionRefused`, never spoken to in
clear text instead.
"""

import ftplib
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

from transfer.errors import (
    CertificateRefused,
    ConnectionLost,
    EncryptionRefused,
    EndpointUnreachable,
    LoginRefused,
    StoreRefused,
    TransferError,
)
from transfer.transports.ftp.line import Line, Refusal, shown
from transfer.transports.ftp.options import FtpOptions
from transfer.transports.ftp.wire import Ftp

_CERTIFICATE = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is signed by itself and by no authority we know",
    19: "its authority is not one we know",
    20: "its authority is not one we know",
    21: "its authority is not one we know",
    23: "it was revoked",
    62: "it is for another host name",
    64: "it is for another address",
}
_LOGIN = "Correct user and password in the config, then release."


def trust(options: FtpOptions) -> ssl.SSLContext | None:
    """What we believe of certificates; None for clear text.  Raises `CertificateRefused` for a bad ca_file."""
    if not options.encrypted:
        return None
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CertificateRefused(
            "the authorities' certificates cannot be read",
            to=options.ca_file,
            do="Name a readable PEM file as ca_file in the config.",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def dial(options: FtpOptions, context: ssl.SSLContext | None) -> Line:
    """A line ready for use.

    Raises `EndpointUnreachable`, `EncryptionRefused`, `CertificateRefused`, `LoginRefused`, `StoreRefused`.
    """
    ftp = Ftp(context, timeout=options.timeout)
    line = Line(ftp, options.address, options.password.get_secret_value())
    try:
        _reach(ftp, options)
        _encrypt(line, options)
        _log_in(line, options)
        _agree(line, options)
    except ConnectionLost as lost:
        line.close()
        raise EndpointUnreachable(lost.what, to=options.address) from lost
    except BaseException:
        line.close()
        raise
    return line


def _reach(ftp: Ftp, options: FtpOptions) -> None:
    def greet() -> None:
        ftp.open(
            options.host,
            options.at,
            connect_timeout=options.connect_timeout,
            implicit=options.tls == "implicit",
        )

    _shaking_hands(greet, options)


def _encrypt(line: Line, options: FtpOptions) -> None:
    if options.tls != "explicit":
        return

    def begin() -> None:
        try:
            line.ftp.auth()
        except (ftplib.error_temp, ftplib.error_perm, ftplib.error_reply) as error:
            what = f"the server refused to encrypt the connection ({shown(error)})"
            raise EncryptionRefused(what, to=options.address) from error

    _shaking_hands(begin, options)


def _shaking_hands(act: Callable[[], None], options: FtpOptions) -> None:
    """Translate what can go wrong before there is a line."""
    try:
        act()
    except ssl.SSLCertVerificationError as error:
        why = _CERTIFICATE.get(error.verify_code, error.verify_message)
        raise CertificateRefused(f"the server's certificate is refused: {why}", to=options.address) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        raise EndpointUnreachable("the server hung up", to=options.address) from error
    except ssl.SSLError as error:
        what = f"the server does not speak TLS 1.2 or newer with us ({error.reason or 'no agreement'})"
        raise EncryptionRefused(what, to=options.address) from error
    except (OSError, EOFError, ftplib.Error, ValueError) as error:
        raise _unreachable(error, options) from error


def _unreachable(error: Exception, options: FtpOptions) -> TransferError:
    match error:
        case socket.gaierror():
            why = "the host's name is unknown"
        case TimeoutError():
            why = "the server does not answer"
        case EOFError():
            why = "the server hung up"
        case ftplib.Error():
            why = f"the server does not let us in now ({shown(error)})"
        case _:
            why = f"the server cannot be reached ({getattr(error, 'strerror', None) or error})"
    return EndpointUnreachable(why, to=options.address)


def _log_in(line: Line, options: FtpOptions) -> None:
    try:
        reply = line.ask(f"USER {options.user}")
        if reply.code == 331:
            reply = line.ask(f"PASS {options.password.get_secret_value()}")
    except Refusal as refusal:
        if refusal.code < 500:
            raise EndpointUnreachable(f"no login now ({refusal})", to=options.address) from refusal
        raise LoginRefused(f"login refused ({refusal})", to=options.address, do=_LOGIN) from refusal
    if reply.code == 332:
        asked = line.refusal(reply.code, reply.text)
        what = "the server asks for an account (ACCT)"
        raise LoginRefused(what, to=options.address, do=_LOGIN) from asked


def _agree(line: Line, options: FtpOptions) -> None:
    """Encrypt the data too, learn what the server can do, and settle on UTF-8 names and binary files."""
    if options.encrypted:
        try:
            line.ask("PBSZ 0")
            line.ask("PROT P")
        except Refusal as refusal:
            what = f"the server refused to encrypt the files ({refusal})"
            raise EncryptionRefused(what, to=options.address) from refusal
    line.features = _features(line)
    line.ftp.offers_epsv = "EPSV" in line.features
    if "UTF8" in line.features:
        _try(line, "OPTS UTF8 ON")
    if not _try(line, "TYPE I"):
        raise StoreRefused("the server does not take binary files (TYPE I)", to=options.address)
    if "SIZE" not in line.features and not _knows_sizes(line, options):
        raise StoreRefused("the server does not tell a file's size (SIZE)", to=options.address)


def _features(line: Line) -> dict[str, str]:
    """None at all where the server knows no FEAT: only what every server has is used then."""
    try:
        lines = line.ask("FEAT").text.split("\n")[1:]
    except Refusal:
        return {}
    words = (entry.strip().partition(" ") for entry in lines)
    return {name.upper(): rest for name, _, rest in words}


def _knows_sizes(line: Line, options: FtpOptions) -> bool:
    try:
        line.ask(f"SIZE {options.root}")
    except Refusal as refusal:
        return refusal.code not in (500, 502, 504)
    return True


def _try(line: Line, command: str) -> bool:
    try:
        line.ask(command)
    except Refusal:
        return False
    return True


def certified_until(line: Line) -> datetime | None:
    """When the server's certificate ends; None in clear text."""
    if not isinstance(line.ftp.sock, ssl.SSLSocket):
        return None
    ends = (line.ftp.sock.getpeercert() or {}).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(ends)), UTC) if ends else None
