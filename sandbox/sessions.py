"""Synthetic sessions: folders of real ALF files as a rig and its pipelines would leave them.

    <root>/<lab>/Subjects/DEMO_001/2026-03-02/001/alf/probe00/spikes.times.npy ...

Promises: the same arguments give the same names, bytes and modification times (with the same NumPy and
PyArrow); more sessions only add to fewer; a file that is there with the right size is left alone, so a second
call changes nothing; `raw_session.flag` is written last.  What Alyx can and cannot register is listed for
every session, after the dataset types and data formats of a real Alyx.

It does not make sense of the numbers: trials, spikes and wheel are drawn at random, each file by itself.

The surprise: a root belongs to one seed.  With another one, files of equal size keep their old bytes.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, islice
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.random import PCG64

from sandbox.alf_files import CONTENTS, OTHERS, Volume, noise, sized_npy

FLAG = "raw_session.flag"
"""Says that a session is complete.  A signal, not data: in neither list of `SyntheticSession`."""

LARGE = "raw_ephys_data/probe00/_spikeglx_ephysData_g0_t0.imec0.ap.cbin"

PIECE = 4 * 1024 * 1024
"""Bytes of the large file held in memory at once."""

FIRST_DAY = date(2026, 3, 2)

Place = tuple[int, Path, str, date]
"""Index, folder, subject and day of a session."""


@dataclass(frozen=True)
class SyntheticSession:
    """One session folder.  The two lists are sorted, relative to `path`, with forward slashes."""

    path: Path
    """`<root>/<lab>/Subjects/<subject>/<YYYY-MM-DD>/<NNN>`."""
    subject: str
    date: date
    number: int
    registrable: tuple[str, ...]
    """Exactly one dataset type matches, and the last suffix is a data format."""
    unregistrable: tuple[str, ...]


def write_sessions(
    root: Path,
    *,
    sessions: int,
    seed: int,
    lab: str = "demolab",
    large_bytes: int = 64 * 1024 * 1024,
    megabytes: float = 3,
    subjects: str = "DEMO",
) -> list[SyntheticSession]:
    """Write that many sessions of behaviour, one probe and one camera below `root`, and list them.

    Each takes about `megabytes` (of 10^6 bytes; at least 0.1 whatever is asked); the first also holds one
    incompressible file of exactly `large_bytes`, unless that is 0.  The subjects' names begin with `subjects`.
    """
    volume = Volume.of(megabytes)
    written = []
    for index, folder, subject, day in places(root, lab, subjects, sessions):
        for name, content in {**CONTENTS, **OTHERS}.items():
            stream = np.random.default_rng([seed, index, crc32(name.encode())])
            _keep_or_write(folder / name, content(stream, volume), day)
        registrable = set(CONTENTS)
        if index == 0 and large_bytes:
            registrable.add(LARGE)
            if _size(folder / LARGE) != large_bytes:
                _write(folder / LARGE, _pieces(PCG64([seed, index, crc32(LARGE.encode())]), large_bytes), day)
        _keep_or_write(folder / FLAG, b"", day)
        names = tuple(sorted(registrable)), tuple(sorted(OTHERS))
        written.append(SyntheticSession(folder, subject, day, 1, *names))
    return written


def write_many(
    root: Path,
    *,
    sessions: int,
    files_per_session: int,
    bytes_per_file: int,
    seed: int,
    lab: str = "demolab",
) -> list[SyntheticSession]:
    """Write sessions (subjects MANY_001 ...) of many registrable files, each of exactly `bytes_per_file`.

    The names are real ones, spread over `alf/probe00`, `alf/FOV_00`, `alf/probe01` and so on.  Files of 128
    bytes or more are arrays that `numpy.load` reads, shorter ones are noise; from 144 on all differ.
    """
    written = []
    for index, folder, subject, day in places(root, lab, "MANY", sessions):
        names = list(islice(_many_names(), files_per_session))
        for position, name in enumerate(names):
            if _size(folder / name) != bytes_per_file:
                _write(folder / name, [sized_npy(PCG64([seed, index, position]), bytes_per_file)], day)
        _keep_or_write(folder / FLAG, b"", day)
        written.append(SyntheticSession(folder, subject, day, 1, tuple(sorted(names)), ()))
    return written


def places(root: Path, lab: str, prefix: str, sessions: int) -> Iterator[Place]:
    """Yield where sessions go: two a subject, on two days, each the first of its day."""
    for index in range(sessions):
        subject = f"{prefix}_{index // 2 + 1:03d}"
        day = FIRST_DAY + timedelta(days=index)
        yield index, root / lab / "Subjects" / subject / day.isoformat() / "001", subject, day


_PROBE = (
    *(f"spikes.{name}" for name in ("amps", "clusters", "depths", "samples", "templates", "times")),
    *(f"clusters.{name}" for name in ("amps", "channels", "depths", "mlapdv", "peakToTrough", "waveforms")),
    *(f"channels.{name}" for name in ("labels", "localCoordinates", "mlapdv", "rawInd")),
    *(f"templates.{name}" for name in ("amps", "waveforms", "waveformsChannels")),
    *(f"_phy_spikes_subset.{name}" for name in ("channels", "spikes", "waveforms")),
)
_FIELD = (
    *(f"mpci.{name}" for name in ("badFrames", "mpciFrameQC", "times")),
    *(f"mpci.{name}" for name in ("ROIActivityDeconvolved", "ROIActivityF", "ROINeuropilActivityF")),
    *(f"mpciROIs.{name}" for name in ("cellClassifier", "mlapdv", "mpciROITypes", "stackPos")),
    *(f"mpciMeanImage.{name}" for name in ("brainLocationIds", "images", "mlapdv")),
)


def _many_names() -> Iterator[str]:
    """Yield names without end: as many probes and fields of view as it takes."""
    for number in count():
        yield from (f"alf/probe{number:02d}/{name}.npy" for name in _PROBE)
        yield from (f"alf/FOV_{number:02d}/{name}.npy" for name in _FIELD)


def _pieces(source: PCG64, length: int) -> Iterator[bytes]:
    for start in range(0, length, PIECE):
        yield noise(source, min(PIECE, length - start))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _keep_or_write(path: Path, content: bytes, day: date) -> None:
    if _size(path) != len(content):
        _write(path, [content], day)


def _write(path: Path, pieces: Iterable[bytes], day: date) -> None:
    """Write a file as of noon of its session's day."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(pieces)
    noon = datetime.combine(day, time(12), UTC).timestamp()
    os.utime(path, (noon, noon))
