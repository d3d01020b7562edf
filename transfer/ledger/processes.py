"""Which process it was, and whether it is gone for certain.

A partial may be taken over by a rename only when nobody can write to it any more.  A process is named by its
host, the host's boot, its pid, its start time and the pid namespace in which that pid counts, so that a reused pid is
not mistaken for it and one container's process not looked for in another's.  Where the system does not tell (no /proc,
or one that hides others' processes), or on another host, nothing is certain and the answer is no.
"""

import functools
import os
import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_STARTED = 19  # the field of /proc/<pid>/stat after the command's name: proc(5), field 22


def this_process() -> str:
    """`host boot pid start namespace`, or '' where the system does not tell."""
    return _named(os.getpid())


@functools.cache
def _named(pid: int) -> str:
    boot, started, namespace = _boot(), _start_of(pid), _namespace()
    known = boot and started and namespace
    return f"{socket.gethostname()} {boot} {pid} {started} {namespace}" if known else ""


def has_ended(process: str | None) -> bool:
    """Whether the process of that name is known to be gone."""
    match (process or "").split(" "):
        case [host, boot, pid, started, *namespace] if host == socket.gethostname() and _boot():
            if boot != _boot():
                return True
            return namespace in ([], [_namespace()]) and _is_gone(int(pid), started)
        case _:
            return False


def _is_gone(pid: int, started: str) -> bool:
    """Whether no process of this pid and start is here; one that is only hidden from us is not gone."""
    found = _start_of(pid)
    if found:
        return found != started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _namespace() -> str:
    """The number of the namespace in which our pids count; '' where the system does not tell."""
    try:
        return str(_NAMESPACE.readlink()).partition("[")[2].rstrip("]")
    except OSError:
        return ""


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """When the process started, in the kernel's ticks; '' if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    # The command's name is in parentheses and may hold spaces and parentheses itself.
    return stat.rpartition(")")[2].split()[_STARTED]
