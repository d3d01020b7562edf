"""From a failure to one sentence on standard error and an exit code.

A person sees what happened, to which thing and what to do, never a stack trace: the traceback of a defect
goes to a file that the sentence names.  Scripts look at the exit code:

    0    done, nothing to complain about
    1    the work is not (all) done, or problems were found and printed
    2    the command was typed wrongly, or names something that does not exist
    3    the config cannot be used
    4    a login or a host key was refused
    5    something could not be reached, is full or busy: time will help
    6    held: a person must act first
    70   a defect of alyx-transfer
    130  interrupted from the keyboard
"""

import os
import sys
import tempfile
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path

from transfer import errors
from transfer.errors import Cure, TransferError
from transfer.secrecy import masked


class Exit(IntEnum):
    """What the shell is told."""

    FINE = 0
    NOT_DONE = 1
    USAGE = 2
    CONFIG = 3
    LOGIN = 4
    UNREACHABLE = 5
    HELD = 6
    DEFECT = 70
    INTERRUPTED = 130


_USAGE = (
    errors.NothingFound,
    errors.NotASession,
    errors.RequestMalformed,
    errors.ActionUnfitting,
    errors.ServerUnsafe,
)
_LOGIN = (
    errors.NotLoggedIn,
    errors.NotAllowed,
    errors.LoginRefused,
    errors.CatalogLoginRefused,
    errors.HostKeyUnknown,
    errors.HostKeyChanged,
    errors.CertificateRefused,
    errors.EncryptionRefused,
    errors.MoverLoginExpired,
    errors.MoverConsentRequired,
    errors.LedgerRefused,
    errors.BrokerRefused,
)


def exit_code(error: BaseException) -> Exit:
    """The exit code for a failure that ended a command."""
    match error:
        case KeyboardInterrupt():
            return Exit.INTERRUPTED
        case errors.ConfigProblems():
            return Exit.CONFIG
        case errors.Unexpected():
            return Exit.DEFECT
        case TransferError() if isinstance(error, _USAGE):
            return Exit.USAGE
        case TransferError() if isinstance(error, _LOGIN):
            return Exit.LOGIN
        case TransferError(cure=Cure.TIME | Cure.FRESH_CONNECTION):
            return Exit.UNREACHABLE
        case TransferError():
            return Exit.HELD
        case _:
            return Exit.DEFECT


def common_code(failures: Iterable[TransferError]) -> Exit:
    """The exit code for several failures: their own where they agree, else 1; 0 for none."""
    codes = {exit_code(failure) for failure in failures}
    if not codes:
        return Exit.FINE
    return codes.pop() if len(codes) == 1 else Exit.NOT_DONE


def sentence(error: TransferError) -> str:
    """What a person reads.  The problems of a config get a line each."""
    if isinstance(error, errors.ConfigProblems):
        return "\n".join([*error.problems, f"[{error.code}] {error.remedy}"])
    return f"[{error.code}] {error.sentence}"


def with_page(error: TransferError) -> str:
    """The sentence that ends a command, and where to read more."""
    return f"{sentence(error)} More: {error.page()}"


def defect_sentence(error: Exception, state: Path) -> str:
    """Write the traceback to a file below `state` (or, failing that, the temporary folder) and say where."""
    kind = type(error).__name__
    place = _keep_traceback(error, state) or _keep_traceback(error, Path(tempfile.gettempdir()))
    kept = f"The traceback is in {place}." if place else "The traceback could not be written anywhere."
    return f"alyx-transfer failed unexpectedly ({kind}). {kept} Please report it."


def _keep_traceback(error: Exception, folder: Path) -> Path | None:
    now = datetime.now(UTC)
    file = folder / f"defect-{now:%Y%m%dT%H%M%S.%f}-{os.getpid()}.txt"
    trace = masked("".join(traceback.format_exception(error)))
    text = f"{now.isoformat()}\nPython {sys.version}\n{trace}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A file of its own: in the temporary folder others may have put a link where we are going to write.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write(text)
    except OSError:
        return None
    return file
