"""Which process it was, and whether it is gone for certain.

A partial may be taken over by a rename only when nobody can write to it any more.  A process is named by its
host, the host's boot, its pid and its start time, so that a reused pid is not mistaken for it.  Where the system
does not tell (no /proc), or on another host, nothing is certain and the answer is no.
"""

import functools
import os
import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STARTED = 19  # the field of /proc/<pid>/stat after the command's name: proc(5), field 22


def this_process() -> str:
    """`host boot pid start`, or '' where the system does not tell."""
    return _named(os.getpid())


@functools.cache
def _named(pid: int) -> str:
    boot, started = _boot(), _start_of(pid)
    return f"{socket.gethostname()} {boot} {pid} {started}" if boot and started else ""


def has_ended(process: str | None) -> bool:
    """Whether the process of that name is known to be gone."""
    match (process or "").split(" "):
        case [host, boot, pid, started] if host == socket.gethostname() and _boot():
            return boot != _boot() or _start_of(int(pid)) != started
        case _:
            return False


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
