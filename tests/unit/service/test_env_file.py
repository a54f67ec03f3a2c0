"""The file of settings: one key changes, everything else stays, and the file is never half there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.env_file import EnvFile

TEXT = """# Roost
export DOMAIN="roost.example"  # public
AUTH_JWT_EXPIRY=3600 # an hour

PLAIN=a#b
QUOTED='it has $dollars'
EMPTY=
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / ".env.prod"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def test_values_are_read_as_compose_reads_them(file: Path) -> None:
    assert EnvFile.read(str(file)).values() == {
        "DOMAIN": "roost.example",
        "AUTH_JWT_EXPIRY": "3600",
        "PLAIN": "a#b",
        "QUOTED": "it has $dollars",
        "EMPTY": "",
    }


@pytest.mark.parametrize(
    ("values", "before", "after"),
    [
        ({"AUTH_JWT_EXPIRY": "86400"}, "EXPIRY=3600 # an", "EXPIRY=86400 # an"),
        ({"DOMAIN": "x.example"}, '"roost.example"  # public', "x.example  # public"),
        ({"PLAIN": None}, "PLAIN=a#b\n", ""),
        ({"NEW": "a b$c"}, "EMPTY=\n", "EMPTY=\nNEW='a b$c'\n"),
        ({"EMPTY": "1"}, "EMPTY=\n", "EMPTY=1\n"),
    ],
)
def test_only_the_key_changes(file: Path, values: dict[str, str | None], before: str, after: str) -> None:
    was = EnvFile.read(str(file))
    now = was.changed(values)
    assert now.text == TEXT.replace(before, after)
    now.replace(was)
    assert file.read_text() == now.text
    assert {key: EnvFile.read(str(file)).get(key) for key in values} == values
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in file.parent.iterdir()] == [".env.prod"]


def test_a_key_that_is_there_twice_is_left_to_a_person(file: Path) -> None:
    file.write_text("KEY=1\n# KEY=0\nKEY=2\n")
    with pytest.raises(ConflictError, match="2 lines"):
        EnvFile.read(str(file)).changed({"KEY": "3"})


@pytest.mark.parametrize("value", ["it's", "two\nlines"])
def test_a_value_that_readers_take_differently_is_refused(file: Path, value: str) -> None:
    with pytest.raises(UsageError, match="single quote"):
        EnvFile.read(str(file)).changed({"PLAIN": value})


def test_a_file_that_changed_meanwhile_is_not_overwritten(file: Path) -> None:
    was = EnvFile.read(str(file))
    file.write_text(TEXT + "OTHER=1\n")
    with pytest.raises(ConflictError, match="in the meantime"):
        was.changed({"PLAIN": "x"}).replace(was)
    assert file.read_text() == TEXT + "OTHER=1\n"


def test_a_symbolic_link_stays_one_and_a_hard_link_is_refused(file: Path) -> None:
    link = file.parent / "link"
    link.symlink_to(file)
    was = EnvFile.read(str(link))
    was.changed({"PLAIN": "x"}).replace(was)
    assert link.is_symlink()
    assert "PLAIN=x" in file.read_text()
    os.link(file, file.parent / "other")
    was = EnvFile.read(str(file))
    with pytest.raises(OncallError, match="hard links"):
        was.changed({"PLAIN": "y"}).replace(was)


@pytest.mark.parametrize("path", ["/nowhere/.env", "/"])
def test_a_file_that_cannot_be_read_is_named(path: str) -> None:
    with pytest.raises(UsageError, match="env_file"):
        EnvFile.read(path)
