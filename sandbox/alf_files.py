"""What is inside synthetic ALF files: one function per file, from a random stream to bytes.

Every function is pure: the same stream and volume give the same bytes (with the same NumPy and PyArrow), and
the formats are real: `numpy.load`, `pyarrow.parquet.read_table` and `json.loads` read them.  The numbers have
the right shapes and units, and mean nothing.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import PCG64, Generator

TRIALS, CLUSTERS, CHANNELS, FRAMES = 100, 50, 384, 300
SECONDS = 3600.0
"""How long every session lasted."""

NPY_HEADER = 128
"""Bytes in front of a one-dimensional array in a .npy file of version 1."""


@dataclass(frozen=True)
class Volume:
    """How long the long arrays of a session are."""

    spikes: int
    wheel: int
    frame_rows: int

    @classmethod
    def of(cls, megabytes: float) -> "Volume":
        """Divide `megabytes` (of 10^6 bytes) among them: 60 % spikes, 15 % wheel, 22 % camera."""
        total = megabytes * 1e6
        # Per spike: two float64 of times (one is a revision), amps and depths, and int32 clusters.
        # Per wheel sample: two float64. Per camera frame: four float64.
        return cls(
            spikes=max(1, int(total * 0.60 / 36)),
            wheel=max(1, int(total * 0.15 / 16)),
            frame_rows=max(1, int(total * 0.22 / 32)),
        )


Content = Callable[[Generator, Volume], bytes]


def noise(source: PCG64, length: int) -> bytes:
    """Draw `length` bytes that no compressor shortens, at over 1 GB/s."""
    return source.random_raw((length + 7) // 8).astype("<u8").tobytes()[:length]


def sized_npy(source: PCG64, length: int) -> bytes:
    """Draw a .npy file of exactly `length` bytes (mere noise if that is less than its header)."""
    if length < NPY_HEADER:
        return noise(source, length)
    return npy(np.frombuffer(noise(source, length - NPY_HEADER), dtype=np.uint8))


def npy(array: "np.ndarray[Any, Any]") -> bytes:
    """Return the array as a .npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _table(columns: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), file)
    return file.getvalue()


def _lines(rows: list[list[object]], separator: str) -> bytes:
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator="\n").writerows(rows)
    return file.getvalue().encode()


def _times(stream: Generator, length: int) -> "np.ndarray[Any, Any]":
    """Return that many moments within the session in seconds, in order."""
    return np.sort(stream.random(length)) * SECONDS


def _trials(stream: Generator, _volume: Volume) -> bytes:
    start = np.arange(TRIALS) * (SECONDS / TRIALS)
    shown = start + 0.5
    moved = shown + stream.exponential(0.3, TRIALS)
    left = stream.random(TRIALS) < 0.5
    contrast = stream.choice([0.0, 0.0625, 0.125, 0.25, 1.0], TRIALS)
    columns = {
        "intervals_0": start,
        "intervals_1": start + 30.0,
        "goCue_times": shown,
        "stimOn_times": shown,
        "firstMovement_times": moved,
        "response_times": moved + 0.2,
        "feedback_times": moved + 0.2,
        "contrastLeft": np.where(left, contrast, np.nan),
        "contrastRight": np.where(left, np.nan, contrast),
        "choice": stream.choice([-1, 1], TRIALS),
        "feedbackType": stream.choice([-1, 1], TRIALS),
        "probabilityLeft": stream.choice([0.2, 0.5, 0.8], TRIALS),
    }
    return _table(columns)


def _task_data(stream: Generator, _volume: Volume) -> bytes:
    """A .jsonable file: one JSON object a line."""
    rows = [
        {"trial_num": number, "contrast": float(stream.choice([0.25, 1.0])), "position": side}
        for number, side in enumerate(stream.choice([-35, 35], TRIALS).tolist())
    ]
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def _task_settings(stream: Generator, _volume: Volume) -> bytes:
    settings = {
        "PYBPOD_PROTOCOL": "_iblrig_tasks_trainingChoiceWorld",
        "SUBJECT_WEIGHT": round(float(stream.normal(24, 1)), 1),
        "SESSION_DURATION_SECONDS": SECONDS,
        "NTRIALS": TRIALS,
    }
    return json.dumps(settings, indent=1).encode()


def _description(_stream: Generator, _volume: Volume) -> bytes:
    return (
        b"version: 1.0.0\n"
        b"procedures:\n- Behavior training/tasks\n"
        b"tasks:\n- trainingChoiceWorld:\n    collection: raw_task_data_00\n    sync_label: bpod\n"
        b"devices:\n  cameras:\n    left:\n      collection: raw_video_data\n      sync_label: audio\n"
    )


def _encoder_positions(stream: Generator, _volume: Volume) -> bytes:
    moments = (_times(stream, 300) * 1e6).astype(np.int64).tolist()
    ticks = stream.integers(-512, 512, 300).tolist()
    return _lines([["P", moment, tick] for moment, tick in zip(moments, ticks, strict=True)], " ")


def _camera_stamps(stream: Generator, _volume: Volume) -> bytes:
    stamps = stream.integers(0, 2**32, FRAMES).tolist()
    return _lines([[index * 33, stamp] for index, stamp in enumerate(stamps)], " ")


def _cluster_metrics(stream: Generator, _volume: Volume) -> bytes:
    return _table(
        {
            "cluster_id": np.arange(CLUSTERS),
            "firing_rate": stream.gamma(2.0, 4.0, CLUSTERS),
            "label": stream.random(CLUSTERS),
        }
    )


def _cluster_uuids(stream: Generator, _volume: Volume) -> bytes:
    names = [str(UUID(bytes=stream.bytes(16), version=4)) for _ in range(CLUSTERS)]
    return "".join(f"{line}\n" for line in ["uuids", *names]).encode()


def _site_map(_stream: Generator, _volume: Volume) -> bytes:
    index = np.arange(CHANNELS)
    return npy(np.column_stack([16.0 + 32.0 * (index % 2), 20.0 * (index // 2)]))


CONTENTS: Mapping[str, Content] = {
    "_ibl_experiment.description.yaml": _description,
    "raw_task_data_00/_iblrig_taskData.raw.jsonable": _task_data,
    "raw_task_data_00/_iblrig_taskSettings.raw.json": _task_settings,
    "raw_task_data_00/_iblrig_encoderPositions.raw.ssv": _encoder_positions,
    # Empty and legal: the encoder saw no event.
    "raw_task_data_00/_iblrig_encoderEvents.raw.ssv": lambda _s, _v: b"",
    "raw_video_data/_iblrig_leftCamera.timestamps.ssv": _camera_stamps,
    "raw_video_data/_iblrig_leftCamera.frameData.bin": lambda s, v: s.random((v.frame_rows, 4)).tobytes(),
    "alf/_ibl_trials.table.pqt": _trials,
    "alf/_ibl_wheel.position.npy": lambda s, v: npy(np.cumsum(s.normal(0, 0.01, v.wheel))),
    "alf/_ibl_wheel.timestamps.npy": lambda s, v: npy(_times(s, v.wheel)),
    "alf/_ibl_wheelMoves.intervals.npy": lambda s, _v: npy(_times(s, 2 * TRIALS).reshape(-1, 2)),
    "alf/_ibl_leftCamera.times.npy": lambda s, _v: npy(_times(s, FRAMES)),
    "alf/licks.times.npy": lambda s, _v: npy(_times(s, 250)),
    "alf/probe00/spikes.times.npy": lambda s, v: npy(_times(s, v.spikes)),
    "alf/probe00/#2024-05-06#/spikes.times.npy": lambda s, v: npy(_times(s, v.spikes)),
    "alf/probe00/spikes.clusters.npy": lambda s, v: npy(s.integers(0, CLUSTERS, v.spikes, np.int32)),
    "alf/probe00/spikes.amps.npy": lambda s, v: npy(s.gamma(4.0, 2e-5, v.spikes)),
    "alf/probe00/spikes.depths.npy": lambda s, v: npy(s.random(v.spikes) * 3840.0),
    "alf/probe00/clusters.channels.npy": lambda s, _v: npy(s.integers(0, CHANNELS, CLUSTERS)),
    "alf/probe00/clusters.depths.npy": lambda s, _v: npy(s.random(CLUSTERS) * 3840.0),
    "alf/probe00/clusters.metrics.pqt": _cluster_metrics,
    "alf/probe00/clusters.uuids.csv": _cluster_uuids,
    "alf/probe00/channels.localCoordinates.npy": _site_map,
    "alf/probe00/channels.rawInd.npy": lambda _s, _v: npy(np.arange(CHANNELS)),
}
"""The registrable files of every session, relative to its folder."""

OTHERS: Mapping[str, Content] = {
    "Thumbs.db": lambda s, _v: s.bytes(512),  # no type, no format
    "notes.txt": lambda _s, _v: b"Licked less after the break.\n",  # no type, no format
    "alf/mystery.thing.npy": lambda s, _v: npy(s.random(10)),  # a format, but no type
    "alf/probe00/params.py": lambda _s, _v: b"n_channels_dat = 384\n",  # no type, no format
    "raw_video_data/_iblrig_leftCamera.raw.avi": lambda s, _v: s.bytes(4096),  # a type, but no format
    "raw_widefield_data/widefield.raw.meta.json": lambda _s, _v: b'{"fps": 30}\n',  # two types
}
"""The files of every session that Alyx cannot register, and why."""
