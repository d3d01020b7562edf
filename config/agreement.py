"""What the sections of a config say against one another.

Each section may be right by itself and the whole still wrong: a store that is not there, two labs that
would register the same folder, a store inside a lab's data.  Pure; values only, no disk.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from config.problems import did_you_mean
from config.sections import Lab, Store

Place = tuple[str, ...]


def disagreements(
    labs: Mapping[str, Lab], stores: Mapping[str, Store], *, named: set[str]
) -> Iterator[tuple[Place, str, str]]:
    """What the sections say against one another: the place, what is wrong, what to do.

    `named` are all stores of the file, those with problems of their own too.
    """
    for name, lab in labs.items():
        if lab.store not in named:
            yield (
                ("labs", name, "store"),
                f"there is no [stores.{lab.store}]",
                did_you_mean(lab.store, named) if named else f"Add [stores.{lab.store}].",
            )
        if lab.repository in named:
            yield (
                ("labs", name, "repository"),
                f'"{lab.repository}" is a store of this config',
                "Name the lab's own (personal) repository.",
            )
        for other, earlier in labs.items():
            if other == name:
                break
            if earlier.repository == lab.repository:
                what = f'"{lab.repository}" is already the repository of labs.{other}'
                yield ("labs", name, "repository"), what, "Give each lab its own repository."
            if earlier.root == lab.root and "disk" in (earlier.work, lab.work):
                what = f"{lab.root} is already the root of labs.{other}"
                yield ("labs", name, "root"), what, 'Use work = "alyx" for both, or two folders.'
        yield from _overlaps(name, lab, stores)
        yield from _unseen(name, lab, stores)


def _unseen(name: str, lab: Lab, stores: Mapping[str, Store]) -> Iterator[tuple[Place, str, str]]:
    """A mover must be told where it sees each lab that uses it."""
    store = stores.get(lab.store)
    sources = getattr(store.options, "sources", None) if store else None
    if sources is not None and lab.repository not in sources:
        yield (
            ("stores", lab.store, "sources"),
            f'does not say where Globus sees "{lab.repository}", the repository of labs.{name}',
            f"Add [stores.{lab.store}.sources.{lab.repository}] with its collection and root.",
        )


def _overlaps(name: str, lab: Lab, stores: Mapping[str, Store]) -> Iterator[tuple[Place, str, str]]:
    for store_name, store in stores.items():
        root = getattr(store.options, "root", None)
        if store.transport != "local" or root is None:
            continue
        place = Path(str(root))
        if place.is_relative_to(lab.root) or lab.root.is_relative_to(place):
            yield (
                ("stores", store_name, "root"),
                f"{place} and the root of labs.{name} ({lab.root}) lie inside one another",
                "A store must be a place of its own.",
            )
