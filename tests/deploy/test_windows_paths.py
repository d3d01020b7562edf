"""A lab on Windows: which roots are taken, and that what lies below them has one name everywhere.

Python's own model of Windows paths (`PureWindowsPath`) stands in for Windows.
"""

from datetime import date
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config import sections
from config.problems import Wrong
from transfer.errors import UntrustedPath
from transfer.ledger import finding
from transfer.paths import parse_session, refuse_unsafe, split_dataset_path

FOLDERS = st.text("abcXYZ019_-. äé", min_size=1, max_size=12).filter(lambda name: name.strip(" .") == name)
DRIVES = st.sampled_from(["C:\\", "d:\\", "E:/"])
SHARES = st.builds(
    lambda server, share: f"\\\\{server}\\{share}\\", *(st.text("abc01-", min_size=1, max_size=8),) * 2
)
ROOTS = st.builds(
    lambda anchor, folders: PureWindowsPath(anchor, *folders), DRIVES | SHARES, st.lists(FOLDERS, max_size=4)
)
SUBJECTS = st.from_regex(r"[A-Za-z0-9][\w.-]{0,10}[A-Za-z0-9_]", fullmatch=True).filter(str.isascii)
SESSIONS = st.builds(
    lambda subject, day, number: f"{subject}\\{day.isoformat()}\\{number:03}",
    SUBJECTS,
    st.dates(min_value=date(2000, 1, 1)),
    st.integers(1, 999),
)
NAMES = st.from_regex(r"[a-z_]{1,8}\.[a-z]{1,8}\.(npy|bin|cbin)", fullmatch=True)


def taken(root: PureWindowsPath) -> PureWindowsPath:
    """A lab's root as the config's check lets it through."""
    return PureWindowsPath(sections._absolute(cast(Path, root)))


@given(root=ROOTS)
def test_a_drives_folder_and_a_share_are_roots(root: PureWindowsPath) -> None:
    assert taken(root) == root


@pytest.mark.parametrize("root", ["D:Subjects", "D:", r"\Data\Subjects", "Subjects", r".\Subjects", r"..\x"])
def test_a_root_that_depends_on_where_one_stands_is_refused(root: str) -> None:
    with pytest.raises(Wrong, match="must be an absolute path"):
        taken(PureWindowsPath(root))


@given(root=ROOTS, session=SESSIONS, slashes=st.booleans())
def test_a_session_folder_is_the_same_session_on_every_system(
    root: PureWindowsPath, session: str, slashes: bool
) -> None:
    """However its folder was typed, its name in the ledger and in Alyx has forward slashes, and leads back to it."""
    folder = root / (session.replace("\\", "/") if slashes else session)

    key = parse_session(PurePosixPath(*folder.relative_to(root).parts), "cortexlab_SR")

    assert key is not None
    assert str(key.path) == session.replace("\\", "/")
    assert root / key.path == folder
    assert refuse_unsafe(str(key.path)) == key.path


@given(root=ROOTS, session=SESSIONS, folders=st.lists(SUBJECTS, max_size=3), name=NAMES)
def test_a_file_keeps_its_place_in_its_session(
    root: PureWindowsPath, session: str, folders: list[str], name: str
) -> None:
    """From the disk's path to collection and name, and back to the same file of the disk."""
    file = PureWindowsPath(root, session, *folders, name)
    below = PurePosixPath(*file.relative_to(PureWindowsPath(root, session)).parts)

    collection, revision, registered = split_dataset_path(below)

    assert (collection, revision, registered) == ("/".join(folders), "", name)
    assert "\\" not in str(below)
    assert PureWindowsPath(root, session) / below == file


@given(root=ROOTS, session=SESSIONS)
def test_a_person_may_type_a_windows_path_to_find_a_session(root: PureWindowsPath, session: str) -> None:
    """`why`, `cancel` and their like, asked on the lab's machine: with its root, or from the subject on."""
    with pytest.MonkeyPatch.context() as on_windows:
        on_windows.setattr(finding, "PurePath", PureWindowsPath)
        typed = [str(root / session), (root / session).as_posix(), session]
        found = [list(finding._relative(words, {"cortexlab_SR": root})) for words in typed]

    whole = PurePosixPath(session.replace("\\", "/"))
    assert found == [[(whole, "cortexlab_SR")], [(whole, "cortexlab_SR")], [(whole, None)]]


@given(root=ROOTS, session=SESSIONS)
def test_no_windows_path_is_taken_for_one_of_alyx(root: PureWindowsPath, session: str) -> None:
    for words in (str(root / session), session, f"C:{session}"):
        assume("\\" in words or ":" in words)
        with pytest.raises(UntrustedPath):
            refuse_unsafe(words)
