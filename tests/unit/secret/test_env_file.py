"""A settings file is changed whole or not at all, and stays what it was in everything else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.env_file import EnvFile
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, OncallError

CONTENT = """# AUTH_JWT_SECRET=of-old-days
PORT=8082
AUTH_JWT_SECRET=canary-old
AUTH_JWT_SECRET_NEXT=other
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / ".env.prod"
    file.write_text(CONTENT)
    file.chmod(0o640)
    return file


def test_one_value_changes_and_nothing_else(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
    before = path.stat()
    read = EnvFile.read(str(path))
    assert read.value("AUTH_JWT_SECRET") == "canary-old"
    assert read.value("MISSING") is None
    read.write(read.with_values({"AUTH_JWT_SECRET": "n3w"}))
    after = path.stat()
    assert path.read_text() == CONTENT.replace("=canary-old", "=n3w")
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert [p.name for p in path.parent.iterdir()] == [".env.prod"], "no copy is left"


@pytest.mark.parametrize(
    ("line", "value", "written"),
    [
        ("K=old", "old", "K=new"),
        ("K=old  # why", "old", "K=new  # why"),
        ("K=a#b", "a#b", "K=new"),
        ('K="old # in"', "old # in", 'K="new"'),
        ("K='old' # why\n", "old", "K='new' # why\n"),
        ("export K = old\r\nL=1\r\n", "old", "export K = new\r\nL=1\r\n"),
        ("K=\n", "", "K=new\n"),
        ('K="unfinished\n', '"unfinished', "K=new\n"),
        ("L=1", None, "L=1\nK=new\n"),
        ("", None, "K=new\n"),
    ],
)
def test_every_way_to_write_a_line(tmp_path: Path, line: str, value: str | None, written: str) -> None:
    (tmp_path / "env").write_bytes(line.encode())
    read = EnvFile.read(str(tmp_path / "env"))
    assert read.value("K") == value
    assert read.with_values({"K": "new"}) == written
    read.write(written)
    assert (tmp_path / "env").read_bytes() == written.encode()


def test_a_setting_can_be_removed_and_several_changed(path: Path) -> None:
    read = EnvFile.read(str(path))
    assert read.with_values({"AUTH_JWT_SECRET": None, "PORT": "1", "NEW": "2"}) == (
        "# AUTH_JWT_SECRET=of-old-days\nPORT=1\nAUTH_JWT_SECRET_NEXT=other\nNEW=2\n"
    )


def test_a_setting_that_stands_twice_is_refused_without_its_value(path: Path) -> None:
    path.write_text(CONTENT + "export AUTH_JWT_SECRET=canary-second\n")
    with pytest.raises(OncallError, match=r"2 times \(lines 3, 5\)") as caught:
        EnvFile.read(str(path)).value("AUTH_JWT_SECRET")
    assert "canary" not in caught.value.message
    # Twice the very same line is twice, too.
    path.write_text("K=1\nK=1\n")
    with pytest.raises(OncallError, match="2 times"):
        EnvFile.read(str(path)).with_values({"K": "2"})


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(path: Path) -> None:
    read = EnvFile.read(str(path))
    path.write_text(CONTENT + "THEIRS=1\n")
    with pytest.raises(ConflictError, match="somebody else changed it"):
        read.write(read.with_values({"PORT": "1"}))
    assert "THEIRS=1" in path.read_text()
    assert len(list(path.parent.iterdir())) == 1


def test_a_symbolic_link_stays_one(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path.name)
    read = EnvFile.read(str(link))
    read.write(read.with_values({"PORT": "1"}))
    assert link.is_symlink()
    assert "PORT=1" in path.read_text()


@pytest.mark.parametrize("broken", ["missing", "folder", "binary", "hard link", "unreadable"])
def test_what_cannot_be_used_is_refused_before_anything_changes(
    path: Path, tmp_path: Path, broken: str
) -> None:
    if broken == "missing":
        path.unlink()
    elif broken == "folder":
        path.unlink()
        path.mkdir()
    elif broken == "binary":
        path.write_bytes(b"K=\xff\xfe")
    elif broken == "hard link":
        os.link(path, tmp_path / "twin")
    elif os.geteuid() == 0:
        pytest.skip("root reads everything")
    else:
        path.chmod(0)

    def change() -> None:
        read = EnvFile.read(str(path))
        read.write(read.with_values({"PORT": "1"}))

    with pytest.raises(OncallError, match="Next: ") as caught:
        change()
    assert str(path) in caught.value.message


@pytest.mark.parametrize("value", ["with space", "a'b", 'a"b', "a$b", "a\nb", "a#b"])
def test_a_value_that_programs_read_differently_is_refused(path: Path, value: str) -> None:
    with pytest.raises(OncallError, match="characters that programs read differently"):
        EnvFile.read(str(path)).with_values({"PORT": value})
