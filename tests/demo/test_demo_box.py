"""A box opened again is the same lab."""

from pathlib import Path

import pytest

from sandbox.box import LAB, STORE, USER, Box, BoxRefused


def small(root: Path, sessions: int = 1, seed: int = 1) -> Box:
    return Box(root, sessions=sessions, seed=seed, transport="local", large_bytes=0)


def rows(box: Box) -> dict[str, list[str]]:
    tables = ("users", "labs", "subjects", "sessions", "data-repository")
    return {table: sorted(row["id"] for row in box.alyx.tables.rows(table)) for table in tables}


def test_opened_again_it_has_the_same_rows_password_and_port(tmp_path: Path) -> None:
    with small(tmp_path) as box:
        box.furnish()
        before = rows(box), box.password_file.read_text(), box.alyx.url
    with small(tmp_path) as box:
        box.furnish()
        assert (rows(box), box.password_file.read_text(), box.alyx.url) == before


def test_more_sessions_are_added_and_fewer_take_none_away(tmp_path: Path) -> None:
    for asked, there in ((1, 1), (3, 3), (2, 3)):
        with small(tmp_path, sessions=asked) as box:
            assert len(box.furnish()) == there
            assert len(box.alyx.tables.sessions()) == there


def test_a_process_that_died_while_furnishing_does_no_harm(tmp_path: Path) -> None:
    """Whatever was made is kept, whatever is missing is made."""
    with small(tmp_path) as box:
        box.furnish()
        whole = {table: len(ids) for table, ids in rows(box).items()}
    (tmp_path / "half" / "home").mkdir(parents=True)
    with small(tmp_path / "half") as box:
        box.alyx.add_repository(STORE)
        box.furnish()
        assert {table: len(ids) for table, ids in rows(box).items()} == whole
        assert {row["username"] for row in box.alyx.tables.rows("users")} >= {USER}
        assert {row["name"] for row in box.alyx.tables.rows("labs")} >= {LAB}


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with small(tmp_path), pytest.raises(BoxRefused, match="in use by another run"), small(tmp_path):
        pass


def test_another_seed_is_refused(tmp_path: Path) -> None:
    with small(tmp_path, seed=1):
        pass
    with pytest.raises(BoxRefused, match="made with --seed 1"), small(tmp_path, seed=2):
        pass


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BoxRefused, match="is no folder"), small(tmp_path / "file"):
        pass
