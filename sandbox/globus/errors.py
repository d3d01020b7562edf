"""What can be refused: a request by the service, and a file operation by a collection."""

from typing import Any


class Refused(Exception):
    """An answer that is no success, as the service words it: status, code and message."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.more = status, code, message, more


class RefusedLogin(Exception):
    """An answer of the OAuth2 endpoints, which word their errors otherwise."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(f"{status} {error}: {description}")
        self.status = status
        self.body = {"error": error, "error_description": description}


class Trouble(Exception):
    """A collection could not do a file operation.  `code` is the event code a task would show.

    `at_source` says whether the source of a transfer is to blame.
    """

    def __init__(self, code: str, details: str, *, at_source: bool = False) -> None:
        super().__init__(f"{code}: {details}")
        self.code, self.details, self.at_source = code, details, at_source


DESCRIPTIONS = {
    "CANCELED": "canceled",
    "CONNECT_FAILED": "connection failed",
    "CONNECTION_RESET": "connection reset",
    "ENDPOINT_ERROR": "endpoint error",
    "ENDPOINT_TOO_BUSY": "endpoint too busy",
    "EXPIRED": "expired",
    "EXTERNAL_CHECKSUM_MISMATCH": "external checksum mismatch",
    "FILE_NOT_FOUND": "file not found",
    "FILE_SIZE_CHANGED": "file size changed",
    "GC_NOT_CONNECTED": "Globus Connect not connected",
    "GC_PAUSED": "Globus Connect paused",
    "INVALID_PATH_NAME": "invalid path name",
    "IS_A_DIRECTORY": "is a directory",
    "NOT_A_DIRECTORY": "not a directory",
    "NO_CREDENTIALS": "no credentials",
    "NO_SPACE_LEFT": "no space left on device",
    "PAUSED": "paused",
    "PERMISSION_DENIED": "permission denied",
    "PROGRESS": "progress",
    "QUOTA_EXCEEDED": "quota exceeded",
    "SKIPPED_ERRORS": "skipped errors",
    "STARTED": "started",
    "SUCCEEDED": "succeeded",
    "TIMEOUT": "timeout",
    "UNKNOWN": "unknown",
    "UNPAUSED": "unpaused",
    "VERIFY_CHECKSUM": "checksum verification failed",
}
"""Event codes and their short words.  The codes are the service's own list; of the words only those of
CANCELED and VERIFY_CHECKSUM were seen in recorded task documents."""
