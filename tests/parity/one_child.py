"""Runs in the environment of the real ONE-api: answers one JSON line for each JSON line of [function, argument].

An error of ONE is answered as null.  This file imports nothing of ours, and nothing of ours imports it.
"""

import json
import logging
import sys
from pathlib import PurePosixPath
from types import SimpleNamespace

from one.alf import path as alf_path
from one.alf import spec
from one.registration import get_dataset_type

logging.disable(logging.CRITICAL)
types = []


def set_types(pairs):
    """The table of dataset types, as (name, pattern)."""
    types[:] = [SimpleNamespace(name=name, filename_pattern=pattern) for name, pattern in pairs]
    return len(types)


def dataset_type(name):
    """The name of the one type that matches."""
    return get_dataset_type(PurePosixPath(name), types).name


def add_uuid(pair):
    """Path and uuid to the central path."""
    return str(alf_path.add_uuid_string(PurePosixPath(pair[0]), pair[1]))


def remove_uuid(path):
    """The path without a uuid."""
    return str(alf_path.remove_uuid_string(PurePosixPath(path)))


def is_session(path):
    """Whether the whole path is a session's."""
    return spec.is_session_path(path)


def session_parts(path):
    """lab, subject, date, number."""
    return list(alf_path.session_path_parts(path))


def filename_parts(name):
    """namespace, object, attribute, timescale, extra, extension."""
    return list(alf_path.filename_parts(name)) if spec.is_valid(name) else None


for line in sys.stdin:
    function, argument = json.loads(line)
    try:
        answer = globals()[function](argument)
    except Exception:
        answer = None
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
