"""Stepping back behind the other programs of a machine: an acquisition program must never wait for us.

The surprise: on Linux a niceness belongs to a thread, and is handed on to the threads and processes that it starts.
So `step_back` is called first, in the main thread; what starts afterwards (workers' threads, ssh) has it too.  It
cannot be taken back without rights that we do not have.
"""

import ctypes
import os
import sys

_BELOW_NORMAL = 0x4000  # Windows' BELOW_NORMAL_PRIORITY_CLASS, which child processes inherit


def step_back(niceness: int) -> bool:
    """Have at least this niceness, 0 to 19, from now on; False where the system did not let us.

    Windows has no such number: anything above 0 is the class below normal.
    """
    if niceness <= 0:
        return True
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        return bool(kernel.SetPriorityClass(kernel.GetCurrentProcess(), _BELOW_NORMAL))
    try:
        missing = niceness - os.getpriority(os.PRIO_PROCESS, 0)
        if missing > 0:
            os.nice(missing)
    except OSError:
        return False
    return True
