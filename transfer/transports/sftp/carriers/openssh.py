"""SSH by the system's own program: one process, and one connection, for each stream and each command.

Cryptography in C and in processes of their own, and everything that ssh knows: `~/.ssh/config`, jump hosts, agents,
certificates, keys in hardware.  Nothing is reached before the first stream is asked for, and what is wrong is told
at the first use of the stream.

The surprise: a server's limit of sessions for one connection does not matter here, its limit of connections does.
"""

import base64
import contextlib
import functools
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.errors import (
    EndpointUnreachable,
    StoreRefused,
    TransferError,
)
from transfer.transports.sftp.carrier import Outcome
from transfer.transports.sftp.carriers import complaints
from transfer.transports.sftp.carriers.command_line import (
    PINNED,
    Knowledge,
    Version,
    command_line,
    preferences,
    question,
    question_without_files,
    unfit_for_a_line,
    version_of,
)
from transfer.transports.sftp.carriers.process import SshProcess, SshStream, environment
from transfer.transports.sftp.options import SftpOptions, split_public_key
from transfer.transports.sftp.protocol import Stream

LOGIN_TAKES = 30.0  # seconds beyond connect_timeout: a jump host, a hardware key, a slow directory
_FAILED = 255  # ssh's own status; a command has others
_MOST_OUTPUT = 256 << 20  # bytes of a command's output
_LOOK_UP = 0.1  # seconds
_TELLS_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class Program:
    """An OpenSSH client."""

    path: str
    version: Version


def find_ssh() -> Program | None:
    """The OpenSSH client on the PATH, or None."""
    path = shutil.which("ssh")
    return None if path is None else _program(str(Path(path).absolute()))


@functools.cache
def _program(path: str) -> Program | None:
    version = version_of(_answer([path, "-V"]))
    return None if version is None else Program(path, version)


@functools.cache
def _without_files(path: str) -> str:
    return _answer(question_without_files(path))


def _answer(words: Sequence[str]) -> str:
    """What a program says that only tells; nothing where it cannot be asked."""
    try:
        told = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TELLS_WITHIN,
            check=False,
            env=environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (told.stdout or told.stderr).decode(errors="replace")


class SshCarrier:
    """Every stream is an ssh of its own."""

    def __init__(self, options: SftpOptions, program: Program) -> None:
        self._options = options
        self._program = program
        self._folder = contextlib.ExitStack()
        self._knowledge = self._known_server()
        self._preferred = preferences(
            program.version, _answer(question(program.path, options)), _without_files(program.path)
        )
        self._running: set[SshProcess] = set()
        self._guard = threading.Lock()

    def stream(self) -> Stream:
        patience = self._options.connect_timeout + LOGIN_TAKES
        return SshStream(self._start(None), patience=patience, explain=self._explain)

    def begin(self, command: str) -> Stream:
        patience = self._options.connect_timeout + LOGIN_TAKES
        return SshStream(self._start(command), patience=patience, explain=self._explain)

    def run(self, command: str, given: bytes, *, timeout: float) -> Outcome:
        return self._run(self._start(command), given, timeout)

    def _run(self, process: SshProcess, given: bytes, timeout: float) -> Outcome:
        try:
            out = self._converse(process, given, timeout)
            if not process.ended(timeout):
                raise StoreRefused("a remote command does not end", to=self._options.address)
            if process.status == _FAILED and (error := self._command_failed(process.said)):
                raise error
            return Outcome(out=out, err=process.said.encode(), status=process.status)
        finally:
            process.close()

    def close(self) -> None:
        with self._guard:
            running, self._running = self._running, set()
        for process in running:
            process.stop()
        for process in running:
            process.close()
        self._folder.close()

    # ---- one ssh -----------------------------------------------------------------------------------------

    def _start(self, command: str | None) -> SshProcess:
        self._require_key_file()
        try:
            process = SshProcess(self._words(command))
        except OSError as error:
            what = f"ssh cannot be started ({error.strerror or type(error).__name__})"
            raise EndpointUnreachable(what, to=self._options.address) from error
        with self._guard:
            self._running = {known for known in self._running if not known.closed} | {process}
        return process

    def _words(self, command: str | None, log_level: str | None = None) -> list[str]:
        # Of a connection that is lost later ssh tells at INFO; at the beginning that would let a banner through.
        level = log_level or ("ERROR" if command is None else "INFO")
        return command_line(
            self._program.path,
            self._program.version,
            self._options,
            self._knowledge,
            command=command,
            preferred=self._preferred,
            log_level=level,
        )

    def _converse(self, process: SshProcess, given: bytes, timeout: float) -> bytes:
        """Give all, take all, whichever is possible first."""
        out = bytearray()
        try:
            for piece in process.converse(given, timeout):
                out += piece
                if len(out) > _MOST_OUTPUT:
                    raise StoreRefused("a remote command talks without end", to=self._options.address)
        except TimeoutError as error:
            raise StoreRefused(
                "a remote command was silent for too long", to=self._options.address
            ) from error
        except OSError:
            # It ended before it took all its input: its status says why.
            pass
        return bytes(out)

    # ---- what went wrong ---------------------------------------------------------------------------------

    def _explain(self, said: str) -> TransferError:
        return self._with_key(complaints.explain(said, self._options), said)

    def _command_failed(self, said: str) -> TransferError | None:
        """Status 255 is ssh's own, unless the command ended so; then None."""
        error = complaints.explain_command(said, self._options)
        return None if error is None else self._with_key(error, said)

    def _with_key(self, error: TransferError, said: str) -> TransferError:
        if complaints.is_about_the_key(error) and complaints.key_sent(said) is None:
            return complaints.explain(said, self._options, shown=self._key_shown())
        return error

    def _key_shown(self) -> str | None:
        """Ask once more, in order to tell which key the server shows: ssh says it only when it is talkative."""
        try:
            process = SshProcess(self._words(None, "DEBUG1"))
        except OSError:
            return None
        try:
            process.line.shutdown(socket.SHUT_WR)
            until = time.monotonic() + self._options.connect_timeout + LOGIN_TAKES
            while not process.ended(_LOOK_UP) and time.monotonic() < until:
                process.listen()
            return complaints.key_shown(process.said)
        finally:
            process.close()

    # ---- files -------------------------------------------------------------------------------------------

    def _require_key_file(self) -> None:
        """ssh goes on without a key file that it cannot read, and tries others."""
        if self._options.key is None:
            return
        try:
            with self._options.key.expanduser().open("rb"):
                pass
        except OSError as error:
            raise complaints.unusable_key(self._options) from error

    def _known_server(self) -> Knowledge | None:
        if self._options.host_key is not None:
            kind, blob = split_public_key(self._options.host_key)
            file = self._private_folder() / "known_hosts"
            file.write_text(f"{PINNED} {kind} {base64.b64encode(blob).decode()}\n", encoding="ascii")
            return Knowledge(file, pinned=True)
        if self._options.known_hosts is None:
            return None
        file = self._options.known_hosts.expanduser().absolute()
        if unfit_for_a_line(file):
            link = self._private_folder() / "known_hosts"
            link.symlink_to(file)
            file = link
        return Knowledge(file, pinned=False)

    def _private_folder(self) -> Path:
        """A folder (mode 0700) that is removed at the end."""
        return Path(self._folder.enter_context(tempfile.TemporaryDirectory(prefix="alyx-transfer-ssh-")))
