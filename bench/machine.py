"""Where and with what it was measured: figures mean little without."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.lines import CIPHER, clean_environment

_ASK: dict[str, Sequence[str]] = {
    "rclone": ("rclone", "version"),
    "rsync": ("rsync", "--version"),
    "lftp": ("lftp", "--version"),
    "ssh": ("ssh", "-V"),
    "cp": ("cp", "--version"),
}


def described(folder: Path) -> dict[str, str]:
    """The machine, its load just now, and the versions; `folder` is where the files lie."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} CPUs, {_memory() / 1e9:.0f} GB, {platform.system()} "
        f"{platform.release()}, load {os.getloadavg()[0]:.2f} at the start",
        "files": f"{folder} ({_file_system(folder)}), source and destination",
        "cipher": f"{CIPHER} for everybody",
        "python": f"{platform.python_version()}, paramiko {importlib.metadata.version('paramiko')}",
        **{name: _version(argv) for name, argv in _ASK.items()},
    }


def installed(program: str) -> bool:
    return shutil.which(program, path=clean_environment()["PATH"]) is not None


def _version(argv: Sequence[str]) -> str:
    if not installed(argv[0]):
        return "not installed"
    # A process that reads no terminal: lftp would adjust ours.
    said = subprocess.run(
        argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=clean_environment()
    )
    return next((line.strip() for line in (said.stdout + said.stderr).splitlines() if line.strip()), "")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _file_system(folder: Path) -> str:
    """The kind of the file system that holds `folder`."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    real = folder.resolve()
    above = [(mount[1], mount[2]) for mount in mounts if real.is_relative_to(mount[1])]
    return max(above, key=lambda mount: len(mount[0]))[1]
