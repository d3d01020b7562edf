"""What it means when ssh ends: its words, read once and for all.

ssh says why it failed on its standard error, in English, and ends with status 255.  Only fixed sentences of it
are looked for, and none of it is repeated but a key's fingerprint: it may quote anything.
"""

import re

from transfer.errors import (
    ConnectionLost,
    EndpointUnreachable,
    HostKeyChanged,
    HostKeyUnknown,
    LoginRefused,
    StoreRefused,
    TransferError,
)
from transfer.transports.sftp.options import SftpOptions

_FINGERPRINT = r"(?:SHA256:[A-Za-z0-9+/=]+|MD5:[0-9a-f:]+)"
_CHANGED = re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .+ has changed|REVOKED HOST KEY")
_UNKNOWN = re.compile(r"No \S+ host key is known for|Host key verification failed")
_NO_SUCH_TYPE = re.compile(r"no matching host key type found")
_SENT = re.compile(rf"fingerprint for the (\S+) key sent by the remote host is\s+({_FINGERPRINT})")
_SHOWN = re.compile(rf"^debug1: Server host key: (\S+) ({_FINGERPRINT})\s*$", re.MULTILINE)
_BAD_KEY = re.compile(r"^Load key |UNPROTECTED PRIVATE KEY FILE|bad permissions: ignore key", re.MULTILINE)
_REFUSED = re.compile(r"Permission denied|Too many authentication failures|No more authentication methods")
_NO_SERVICE = re.compile(
    r"(?:subsystem|exec|shell) request failed|open failed|administratively prohibited|Session open refused"
)
_LATER = re.compile(
    r"^(?:Connection to .+ closed by remote host|Read from remote host|client_loop: |Timeout, server .+ not responding"
    r"|packet_write_(?:wait|poll): |Write failed)",
    re.MULTILINE,
)
_OUR_CONFIG = re.compile(
    r"Bad configuration option|bad configuration options|Bad owner or permissions|Can't open user config file"
    r"|No user exists for uid|Bad SSH2 cipher|command-line line|[Mm]issing argument|[Uu]nsupported option"
)
NO_REASON = "no connection"
_REASONS = (
    ("Could not resolve hostname", "its name is not known here"),
    ("Connection refused", "connection refused"),
    ("timed out|timeout|Timeout", "no answer"),
    ("No route to host|Network is unreachable|Host is down", "no route to it"),
    ("Unable to negotiate|no matching", "no encryption that both sides accept"),
    ("Not allowed at this time|Exceeded MaxStartups", "it takes no more connections now"),
    ("Connection reset|Connection closed|closed by|Broken pipe", "it closed the connection"),
)


def explain(text: str, options: SftpOptions, *, shown: str | None = None) -> TransferError:
    """The error that ended an ssh that had not spoken yet; `shown` is the key the server showed, if known."""
    if _CHANGED.search(text):
        return _changed(shown or key_sent(text), options)
    if _UNKNOWN.search(text):
        # A pinned key is known: whatever else the server shows is another one.
        return _changed(shown, options) if options.host_key else _unknown(shown, options)
    if _NO_SUCH_TYPE.search(text) and options.host_key:
        return HostKeyChanged("the server has no key of the kind we know", to=options.address)
    if _REFUSED.search(text):
        return _refused(text, options)
    if _NO_SERVICE.search(text):
        return StoreRefused("the server opens no further channel, or offers none", to=options.address)
    if _OUR_CONFIG.search(text):
        return EndpointUnreachable(
            "ssh does not accept its configuration",
            to=options.address,
            do='Try ssh by hand and correct ~/.ssh/config, or set carrier = "paramiko" in the config.',
        )
    return EndpointUnreachable(f"the server cannot be reached ({_reason(text)})", to=options.address)


def explain_command(text: str, options: SftpOptions) -> TransferError | None:
    """The same for an ssh that was to run a command; None if it was the command that ended like this."""
    if _LATER.search(text):
        return ConnectionLost("the connection was lost", to=options.address)
    error = explain(text, options)
    if isinstance(error, EndpointUnreachable) and _reason(text) == NO_REASON and not _OUR_CONFIG.search(text):
        return None
    return error


def is_about_the_key(error: TransferError) -> bool:
    return isinstance(error, HostKeyChanged | HostKeyUnknown)


def key_shown(text: str) -> str | None:
    """Type and fingerprint of the server's key, from what ssh says at LogLevel DEBUG1."""
    found = _SHOWN.search(text)
    return f"{found[1]} {found[2]}" if found else None


def key_sent(text: str) -> str | None:
    """The same from ssh's warning about a changed key."""
    found = _SENT.search(text)
    return f"{found[1]} {found[2]}" if found else None


def _changed(shown: str | None, options: SftpOptions) -> TransferError:
    what = f"the server shows {shown}, which" if shown else "the server shows a key that"
    return HostKeyChanged(f"{what} is not the key we know", to=options.address)


def _unknown(shown: str | None, options: SftpOptions) -> TransferError:
    where = options.known_hosts or "this account's known_hosts"
    what = f"the server shows {shown}, and" if shown else "the server's key is not known:"
    return HostKeyUnknown(f"{what} {where} does not know it", to=options.address)


def _refused(text: str, options: SftpOptions) -> TransferError:
    if options.key is not None and _BAD_KEY.search(text):
        return unusable_key(options)
    return LoginRefused("login refused", to=options.address)


def unusable_key(options: SftpOptions) -> LoginRefused:
    return LoginRefused(
        "the key file cannot be used",
        to=options.key,
        do="Correct key in the config and the file's rights (readable for its owner only), then release.",
    )


def _reason(text: str) -> str:
    return next((plain for words, plain in _REASONS if re.search(words, text)), NO_REASON)
