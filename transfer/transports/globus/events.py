"""What Globus says of a file or a task, as one of our errors.

The codes are those of the service's events; a task's `fatal_error`, its skipped paths and its `nice_status` use
the same ones.  The list is the one its developers gave (group developer-discuss of globus.org, April 2020).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from transfer.errors import (
    ArrivedDamaged,
    MoverDenied,
    MoverLoginExpired,
    MoverOffline,
    MoverOutOfTime,
    MoverPaused,
    MoverRefused,
    MoverUnavailable,
    NameRefused,
    QuotaExceeded,
    SourceChanged,
    SourceUnreadable,
    SourceVanished,
    StoreDenied,
    StoreFull,
    TransferError,
    UnsafeSource,
)

_AT_SOURCE: dict[str, type[TransferError]] = {
    "FILE_NOT_FOUND": SourceVanished,
    "FILE_ACCESS": SourceUnreadable,
    "PERMISSION_DENIED": SourceUnreadable,
    "INVALID_SYMLINK": UnsafeSource,
    "IS_A_DIRECTORY": UnsafeSource,
    "NOT_A_FILE": UnsafeSource,
}
_ANYWHERE: dict[str, type[TransferError]] = {
    "ACL_CHANGED": MoverDenied,
    "AMBIGUOUS_PATH": NameRefused,
    "AUTH": MoverDenied,
    "CONNECT_FAILED": MoverUnavailable,
    "CONNECTION_BROKEN": MoverUnavailable,
    "CONNECTION_RESET": MoverUnavailable,
    "ENDPOINT_TOO_BUSY": MoverUnavailable,
    "EXPIRED": MoverOutOfTime,
    "EXTERNAL_CHECKSUM_MISMATCH": ArrivedDamaged,
    "FILE_ACCESS": StoreDenied,
    "FILE_SIZE_CHANGED": SourceChanged,
    "GC_NOT_CONNECTED": MoverOffline,
    "GC_PAUSED": MoverPaused,
    "GSI_DN_MISMATCH": MoverDenied,
    "INVALID_PATH_NAME": NameRefused,
    "INVALID_SERVICE_CREDENTIAL": MoverUnavailable,
    "NO_CREDENTIALS": MoverLoginExpired,
    "NO_SPACE_LEFT": StoreFull,
    "PAUSED": MoverPaused,
    "PERMISSION_DENIED": StoreDenied,
    "QUOTA_EXCEEDED": QuotaExceeded,
    "TIMEOUT": MoverUnavailable,
    "VERIFY_CHECKSUM": ArrivedDamaged,
}
_REMEDIES: dict[str, str] = {
    "GC_PAUSED": "Resume Globus Connect Personal on the lab's machine; work goes on by itself.",
    "CONNECT_FAILED": "Check that the collection's server runs and can be reached; work goes on by itself.",
    "CANCELED": "Nothing yet: it is submitted again; ask who canceled it if it stays.",
}
_UNREADABLE = "Give the account that Globus uses at the lab the right to read the file, then release it."
_FILE_LINE = re.compile(r"^(?:File|Path)(?: \S+)?: (/.*?)\s*$", re.MULTILINE)


def error_of(code: str, *, to: object, at_source: bool = False, said: str = "") -> TransferError:
    """The error for an event's code.  `said` is the service's own description, for people."""
    kind = (_AT_SOURCE.get(code) if at_source else None) or _ANYWHERE.get(code, MoverRefused)
    remedy = _UNREADABLE if kind is SourceUnreadable else _REMEDIES.get(code)
    return kind(f"Globus says {code}{_in_brackets(said, code)}", to=to, do=remedy)


def _in_brackets(said: str, code: str) -> str:
    words = one_line(said)
    return f" ({words})" if words and words.upper().replace(" ", "_") != code else ""


def one_line(text: str, length: int = 200) -> str:
    """The service's words as part of a sentence of ours."""
    words = " ".join(text.split()).rstrip(".")
    return words if len(words) <= length else words[:length] + "..."


def files_of(event: Mapping[str, Any]) -> Iterator[str]:
    """The absolute paths that an event's details name, as the collection writes them."""
    yield from _FILE_LINE.findall(str(event.get("details") or ""))
