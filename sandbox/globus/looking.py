"""What an item of a transfer is made of, and what of a destination it is not.

Links that are asked for are followed; links found in a folder are left out, as the real service does by default.
"""

import os
from fnmatch import fnmatchcase
from pathlib import Path

from sandbox.globus.carrying import remove
from sandbox.globus.collection import Collection
from sandbox.globus.errors import Trouble
from sandbox.globus.task import Item, Move, Task


def found(item: Item, source: Collection, task: Task) -> list[Move]:
    """The work below an item: one file, or a folder's files and folders.  Raises `Trouble`."""
    try:
        local = source.local(item.source)
        local.stat()
    except OSError as error:
        trouble = source.trouble(error, item.source)
        raise Trouble(trouble.code, trouble.details, at_source=True) from error
    except Trouble as trouble:
        raise Trouble(trouble.code, trouble.details, at_source=True) from trouble
    folder = local.is_dir()
    if item.recursive and not folder:
        raise Trouble("NOT_A_DIRECTORY", source.details(item.source, "Not a directory"), at_source=True)
    if item.recursive is False and folder:
        raise Trouble("IS_A_DIRECTORY", source.details(item.source, "Is a directory"), at_source=True)
    if not folder:
        return [Move(item, item.source, item.destination, folder=False)]
    return _below(item, local, task)


def _below(item: Item, local: Path, task: Task) -> list[Move]:
    start, end = item.source.rstrip("/"), item.destination.rstrip("/")
    moves = [Move(item, start + "/", end + "/", folder=True)]
    for here, folders, files in os.walk(local):
        inside = Path(here).relative_to(local).as_posix()
        prefix = "" if inside == "." else inside + "/"
        folders[:] = sorted(
            name for name in folders if not (Path(here) / name).is_symlink() and _wanted(task, name, "dir")
        )
        moves += [
            Move(item, f"{start}/{prefix}{name}/", f"{end}/{prefix}{name}/", folder=True) for name in folders
        ]
        moves += [
            Move(item, f"{start}/{prefix}{name}", f"{end}/{prefix}{name}", folder=False)
            for name in sorted(files)
            if not (Path(here) / name).is_symlink() and _wanted(task, name, "file")
        ]
    return moves


def _wanted(task: Task, name: str, kind: str) -> bool:
    """What the first filter rule that matches says; without one, yes."""
    for rule in task.document.get("filter_rules") or []:
        if rule.get("type") in (None, kind) and fnmatchcase(name, rule["name"]):
            return bool(rule.get("method") == "include")
    return True


def remove_extra(task: Task, destination: Collection) -> None:
    """Remove at the destination what the source's folders do not have."""
    kept = {destination.normal(move.destination) for move in task.moves}
    for top in [item for item in task.items if item.recursive is not False]:
        base = destination.normal(top.destination).rstrip("/")
        root = destination.local(base or "/")
        for folder, folders, files in os.walk(root, topdown=False):
            for name in [*folders, *files]:
                inside = (Path(folder) / name).relative_to(root).as_posix()
                if f"{base}/{inside}" not in kept:
                    remove(destination, Item(f"{base}/{inside}", "", True), ignore_missing=True)
