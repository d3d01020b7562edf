"""The usual dataset types and data formats of an IBL lab, for labs made without a recording."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from sandbox.alyx.seeding import Seed


@cache
def _facts() -> dict[str, Any]:
    text = files("sandbox.alyx").joinpath("reference.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def seed() -> Seed:
    """A seed with repository types, dataset types (name, pattern) and formats (name, extension)."""
    facts = _facts()
    return {
        "data-repository-type": [{"name": "Fileserver", "json": None}],
        "dataset-types": [
            {"name": name, "filename_pattern": pattern} for name, pattern in facts["dataset_types"]
        ],
        "data-formats": [{"name": name, "file_extension": ext} for name, ext in facts["data_formats"]],
    }
