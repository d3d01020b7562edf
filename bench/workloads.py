"""The files that are moved: which names, which sizes, which bytes.

Promises: the same seed and scale give the same names, sizes and bytes on every machine; the bytes do not
compress.  Three workloads:

    one-file      a single file of 1 GiB
    small-files   2,000 files of log-normal sizes, 210 MB together, in 40 folders
    session       one Neuropixels recording as ALF keeps it: a few files hold nearly all bytes, hundreds hold
                  next to none.  Real sizes are shrunk by one factor to 2 GiB; what is below 1 MB keeps its size.

`scale` divides bytes and counts for a quick look.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SEED = 20240311
PIECE = 1 << 20  # bytes made at a time
MB, GIB = 10**6, 1 << 30

SMALL_FILES, SMALL_BYTES, FOLDERS = 2000, 210 * MB, 40
SPREAD = 1.5  # of the logarithm: the median is a third of the mean, a few files are a hundred times larger
SMALLEST = 64  # bytes
SESSION_BYTES = 2 * GIB

# Bytes of one real two-probe recording where one is published (the probe, its spikes, the left camera, trials,
# clusters, sync, wiring); lf.cbin, the other two cameras and the logs are estimates from rate and duration.
_PER_PROBE_LARGE = {
    "raw_ephys_data/{probe}/_spikeglx_ephysData_g0_t0.imec.ap.cbin": 17_283_416_064,
    "raw_ephys_data/{probe}/_spikeglx_ephysData_g0_t0.imec.lf.cbin": 1_440_000_000,
    "alf/{probe}/pykilosort/_phy_spikes_subset.waveforms.npy": 287_000_000,
    "alf/{probe}/pykilosort/spikes.times.npy": 40_900_000,
    "alf/{probe}/pykilosort/spikes.amps.npy": 40_900_000,
    "alf/{probe}/pykilosort/spikes.depths.npy": 40_900_000,
    "alf/{probe}/pykilosort/spikes.samples.npy": 40_900_000,
    "alf/{probe}/pykilosort/spikes.clusters.npy": 20_400_000,
    "alf/{probe}/pykilosort/spikes.templates.npy": 20_400_000,
}
_CAMERAS_LARGE = {
    "raw_video_data/_iblrig_leftCamera.raw.mp4": 11_169_028_095,
    "raw_video_data/_iblrig_rightCamera.raw.mp4": 7_000_000_000,
    "raw_video_data/_iblrig_bodyCamera.raw.mp4": 2_000_000_000,
    "alf/_ibl_leftCamera.dlc.pqt": 95_000_000,
    "alf/_ibl_rightCamera.dlc.pqt": 70_000_000,
    "alf/_ibl_bodyCamera.dlc.pqt": 44_000_000,
}
_PER_PROBE_SMALL = {
    "raw_ephys_data/{probe}/_spikeglx_ephysData_g0_t0.imec.ap.ch": 202_508,
    "raw_ephys_data/{probe}/_spikeglx_ephysData_g0_t0.imec.ap.meta": 17_790,
    "raw_ephys_data/{probe}/_spikeglx_ephysData_g0_t0.imec.lf.meta": 13_977,
    "raw_ephys_data/{probe}/_spikeglx_ephysData_g0_t0.imec.wiring.json": 95,
    "raw_ephys_data/{probe}/_spikeglx_sync.times.{probe}.npy": 103_688,
    "raw_ephys_data/{probe}/_spikeglx_sync.polarities.{probe}.npy": 103_688,
    "raw_ephys_data/{probe}/_spikeglx_sync.channels.{probe}.npy": 103_688,
}
_SMALL_KINDS = (  # folder, stem, suffix, how many, bytes at least, bytes at most
    ("alf/probe00/pykilosort", "clusters.measure{:02}", "npy", 40, 712, 5_696),
    ("alf/probe01/pykilosort", "clusters.measure{:02}", "npy", 40, 712, 5_696),
    ("alf/task_00", "_ibl_trials.column{:02}", "npy", 60, 2_800, 5_500),
    ("raw_task_data_00", "_iblrig_taskSettings.part{:02}", "json", 60, 1_000, 40_000),
    ("spectra", "_iblqc_ephysSpectral.power{:02}", "npy", 60, 4_000, 900_000),
    ("logs", "_ibl_log.info{:02}", "json", 60, 200, 20_000),
)


@dataclass(frozen=True, slots=True)
class WorkFile:
    """A file by its path below the source, and its size in bytes."""

    path: PurePosixPath
    size: int


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    files: tuple[WorkFile, ...]

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


def workloads(*, scale: int = 1) -> list[Workload]:
    return [one_file(scale=scale), small_files(scale=scale), session(scale=scale)]


def one_file(*, scale: int = 1) -> Workload:
    path = PurePosixPath(
        "SW_012/2024-03-11/001/raw_ephys_data/probe00/_spikeglx_ephysData_g0_t0.imec.ap.cbin"
    )
    return Workload("one-file", (WorkFile(path, GIB // scale),))


def small_files(*, scale: int = 1) -> Workload:
    rng = random.Random(SEED)
    count, total = max(FOLDERS, SMALL_FILES // scale), SMALL_BYTES // scale
    weights = [rng.lognormvariate(0, SPREAD) for _ in range(count)]
    spare = total - count * SMALLEST
    sizes = [SMALLEST + int(spare * weight / sum(weights)) for weight in weights]
    sizes[sizes.index(max(sizes))] += total - sum(sizes)
    files = (WorkFile(_small_path(number), size) for number, size in enumerate(sizes))
    return Workload("small-files", tuple(files))


def _small_path(number: int) -> PurePosixPath:
    """Ten sessions of four collections each."""
    folder = number % FOLDERS
    collection = ("alf", "alf/probe00/pykilosort", "alf/probe01/pykilosort", "raw_behavior_data")[folder % 4]
    return PurePosixPath(
        f"SW_012/2024-03-{1 + folder // 4:02}/001/{collection}/_bench_object{number:04}.values.npy"
    )


def session(*, scale: int = 1) -> Workload:
    small = dict(_small_of_session(scale))
    probes = ("probe00", "probe01")
    large = {name.format(probe=probe): size for probe in probes for name, size in _PER_PROBE_LARGE.items()}
    large |= _CAMERAS_LARGE
    shrink = (SESSION_BYTES // scale - sum(small.values())) / sum(large.values())
    shrunk = {path: int(size * shrink) for path, size in large.items()}
    root = PurePosixPath("SW_012/2024-03-11/001")
    files = (WorkFile(root / path, size) for path, size in sorted((shrunk | small).items()))
    return Workload("session", tuple(files))


def _small_of_session(scale: int) -> Iterator[tuple[str, int]]:
    rng = random.Random(SEED)
    for probe in ("probe00", "probe01"):
        for name, size in _PER_PROBE_SMALL.items():
            yield name.format(probe=probe), size
    for folder, stem, suffix, count, least, most in _SMALL_KINDS:
        for number in range(max(1, count // scale)):
            yield f"{folder}/{stem.format(number)}.{suffix}", rng.randint(least, most)


def write(workload: Workload, folder: Path) -> dict[PurePosixPath, str]:
    """Make the files below `folder`, which must not exist; answers the md5 of each."""
    folder.mkdir(parents=True)
    digests: dict[PurePosixPath, str] = {}
    for file in workload.files:
        place = folder / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.md5(usedforsecurity=False)
        with place.open("xb") as out:
            for piece in _content(file):
                digest.update(piece)
                out.write(piece)
        digests[file.path] = digest.hexdigest()
    return digests


def _content(file: WorkFile) -> Iterator[bytes]:
    rng = random.Random(f"{SEED}/{file.path}")
    for start in range(0, file.size, PIECE):
        yield rng.randbytes(min(PIECE, file.size - start))
