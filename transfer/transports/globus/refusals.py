"""What the service answers to a request, as one of our errors.

The texts of the service are repeated in a shortened form; request headers, which hold the token, never are.  Codes
of the form `ExternalError.<operation>.<reason>` come from a collection's server; the SDK does not repeat them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from globus_sdk import (
    AuthAPIError,
    GlobusAPIError,
    GlobusError,
    GlobusSDKUsageError,
    GlobusTimeoutError,
    NetworkError,
)

from transfer.errors import (
    CertificateRefused,
    MoverConsentRequired,
    MoverDenied,
    MoverLoginExpired,
    MoverOffline,
    MoverPaused,
    MoverRefused,
    MoverThrottled,
    MoverUnavailable,
    PathTooLong,
    QuotaExceeded,
    StoreDenied,
    StoreFull,
    TransferError,
)
from transfer.transports.globus.events import one_line

_NO_SUCH_FILE = re.compile(r"(?:^|\.)(?:(?:File|Path|Dir|Directory)?NotFound|NotDirectory)$")
_NO_SUCH_TASK = re.compile(r"(?:^|\.)(?:Task)?NotFound$")
_BY_CODE: tuple[tuple[re.Pattern[str], type[TransferError]], ...] = (
    (re.compile(r"GCDisconnected|NotConnected"), MoverOffline),
    (re.compile(r"Paused"), MoverPaused),
    (re.compile(r"TooMany|LimitExceeded"), MoverThrottled),
    (re.compile(r"Quota"), QuotaExceeded),
    (re.compile(r"NoSpace"), StoreFull),
    (re.compile(r"^ExternalError.*PermissionDenied$"), StoreDenied),
    (re.compile(r"PermissionDenied|LoginFailed|Forbidden"), MoverDenied),
    (re.compile(r"ConnectFailed|Timeout|ServiceUnavailable|TooBusy"), MoverUnavailable),
    (re.compile(r"NameTooLong|PathTooLong"), PathTooLong),
    (re.compile(r"Endpoint(?:NotFound|Deleted)"), MoverDenied),
)
_BY_WORDS: tuple[tuple[re.Pattern[str], type[TransferError]], ...] = (
    (re.compile(r"quota", re.I), QuotaExceeded),
    (re.compile(r"no space left", re.I), StoreFull),
    (re.compile(r"permission denied|path not allowed", re.I), StoreDenied),
    (re.compile(r"name too long", re.I), PathTooLong),
)
_UNKNOWN_COLLECTION = "Correct the collection in the config, or ask its owner to share it with our identity."
_UNKNOWN_SCOPE = (
    "Correct data_access in the config: only mapped collections that ask for the consent belong there."
)


@contextmanager
def asking(to: object) -> Iterator[None]:
    """Whatever the SDK raises in here about `to` becomes one of our errors."""
    try:
        yield
    except GlobusError as error:
        raise explained(error, to=to) from error


def explained(error: GlobusError, *, to: object) -> TransferError:
    """The error of ours for one of the SDK's."""
    match error:
        case NetworkError():
            return _network(error, to)
        case AuthAPIError():
            return _login(error, to)
        case GlobusAPIError():
            return _service(error, to)
        case GlobusSDKUsageError():
            raise error  # a defect of ours
        case _:
            return MoverUnavailable(f"Globus cannot be used ({type(error).__name__})", to=to)


def is_no_such_file(error: GlobusAPIError) -> bool:
    """Whether the service says that a file or its folder is not there; an unknown collection is something else."""
    return bool(_NO_SUCH_FILE.search(error.code or ""))


def is_no_such_task(error: GlobusAPIError) -> bool:
    """Whether the service says that it knows no such task; any other 404 (a proxy's page) says nothing."""
    return error.http_status == 404 and bool(_NO_SUCH_TASK.search(error.code or ""))


def is_of_the_collection(error: GlobusAPIError) -> bool:
    """Whether the collection's server was asked and refused, or may have: what it did must be looked at."""
    code = error.code or ""
    return code.startswith(("ExternalError", "EndpointError")) or is_no_such_file(error) or "Exists" in code


def field(answer: Any, name: str) -> Any:
    """A field of an answer.  Raises `MoverUnavailable` when the answer is not of the service's making."""
    try:
        return answer[name]
    except (KeyError, TypeError, ValueError) as error:
        raise MoverUnavailable(
            f"the answer has no {name}", to="Globus", do="Check that no proxy answers in the place of Globus."
        ) from error


def _network(error: NetworkError, to: object) -> TransferError:
    said = repr(error.underlying_exception)
    if "CERTIFICATE_VERIFY_FAILED" in said or "SSLCertVerificationError" in said:
        return CertificateRefused(
            "the certificate of Globus was not accepted",
            to=to,
            do="Update this machine's authorities (certifi), or see whether a proxy answers for Globus.",
        )
    how = "did not answer in time" if isinstance(error, GlobusTimeoutError) else "cannot be reached"
    return MoverUnavailable(f"Globus {how} ({type(error.underlying_exception).__name__})", to=to)


def _login(error: AuthAPIError, to: object) -> TransferError:
    raw = error.raw_json if isinstance(error.raw_json, dict) else {}
    code = str(raw.get("error") or error.code or error.http_status)
    if error.http_status == 429:
        return _throttled(error, to)
    if error.http_status >= 500:
        return MoverUnavailable(f"Globus Auth answered {error.http_status}", to=to)
    if "scope" in code.lower():
        return MoverConsentRequired(
            f"Globus Auth does not know what we ask for ({code})", to=to, do=_UNKNOWN_SCOPE
        )
    return MoverLoginExpired(f"Globus Auth refused the login ({code})", to=to)


def _service(error: GlobusAPIError, to: object) -> TransferError:
    consent = error.info.consent_required
    if consent or error.code == "ConsentRequired":
        scopes = ", ".join(consent.required_scopes or []) or "which was not said"
        return MoverConsentRequired(f"Globus asks for a consent ({scopes})", to=to)
    if error.http_status == 401:
        return MoverLoginExpired(f"Globus does not accept the login{_said(error)}", to=to)
    if error.info.authorization_parameters:
        message = error.info.authorization_parameters.session_message or "a session of another kind"
        return MoverLoginExpired(f"Globus asks for a new login ({one_line(message)})", to=to)
    if error.http_status == 429:
        return _throttled(error, to)
    return _by_kind(error, to)


def _by_kind(error: GlobusAPIError, to: object) -> TransferError:
    code = error.code or ""
    kind = next((kind for pattern, kind in _BY_CODE if pattern.search(code)), None)
    if kind is None and error.http_status != 404:
        kind = next((kind for pattern, kind in _BY_WORDS if pattern.search(error.message or "")), None)
    if kind is None and error.http_status == 403:
        kind = MoverDenied
    if kind is None and error.http_status >= 500 and not is_of_the_collection(error):
        kind = MoverUnavailable
    remedy = _UNKNOWN_COLLECTION if re.search("Endpoint(?:NotFound|Deleted)", code) else None
    if kind is MoverThrottled:
        return _throttled(error, to)
    return (kind or MoverRefused)(f"Globus answered {error.http_status}{_said(error)}", to=to, do=remedy)


def _throttled(error: GlobusAPIError, to: object) -> TransferError:
    asked = error.headers.get("Retry-After", "")
    after = timedelta(seconds=int(asked)) if asked.isdecimal() else None
    return MoverThrottled(f"Globus asks for patience{_said(error)}", to=to, after=after)


def _said(error: GlobusAPIError) -> str:
    said = ": ".join(part for part in (error.code, one_line(error.message or "")) if part)
    return f" ({said})" if said else ""
