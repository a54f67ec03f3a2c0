"""Evidence copied out of a real PostgreSQL."""

from __future__ import annotations

import csv
import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.breach.export import export
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError

from runbook.rehearsal.postgres_server import PostgresServer

_AWKWARD = 'a "quote", a\ttab,\na line, \\back\\slash, \x01 and Zoë 🦉'
Params = Callable[..., dict[str, Any]]


@pytest.fixture
def params(postgres: PostgresServer, database: str, tmp_path: Path) -> Params:
    """Options that copy one table with awkward text."""
    postgres.execute("CREATE TABLE log (id int, note text, at timestamptz)", database=database)
    postgres.execute(
        "INSERT INTO log VALUES (1, %s, '2026-11-20Z'), (2, NULL, '2026-11-21Z')",
        (_AWKWARD,),
        database=database,
    )

    def make(**changes: Any) -> dict[str, Any]:
        one = {"name": "log", "table": "log", "columns": [], "time_column": "at"}
        options = {
            "login_host": "127.0.0.1",
            "login_port": postgres.port,
            "login_user": postgres.superuser,
            "login_password": postgres.password,
            "database": database,
            "exports": [one],
            "folder": str(tmp_path / "evidence"),
            "format": "csv",
            "timeout": 10.0,
        }
        return {**options, **changes}

    return make


def test_csv_and_json_hold_every_row_as_it_is(params: Params) -> None:
    entry = export(params(), check_mode=False)["evidence"][0]
    with Path(entry["path"]).open(newline="", encoding="utf-8") as handle:
        assert [row["note"] for row in csv.DictReader(handle)] == [_AWKWARD, ""]
    entry = export(params(format="json"), check_mode=False)["evidence"][0]
    lines = Path(entry["path"]).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["note"] for line in lines] == [_AWKWARD, None]


def test_the_checksums_are_those_of_the_private_files(params: Params) -> None:
    entry = export(params(), check_mode=False)["evidence"][0]
    path = Path(entry["path"])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
    assert (path.parent / "SHA256SUMS").read_text() == f"{entry['sha256']}  log.csv\n"
    assert [stat.S_IMODE(p.stat().st_mode) for p in (path, path.parent)] == [0o600, 0o700]
    assert sorted(p.name for p in path.parent.iterdir()) == ["SHA256SUMS", "log.csv"]


def test_rows_from_a_time_on_and_only_the_columns_asked_for(params: Params) -> None:
    one = {"name": "log", "table": "log", "columns": ["id"], "time_column": "at"}
    entry = export(params(exports=[one], since="2026-11-21T00:00:00Z"), check_mode=False)["evidence"][0]
    assert Path(entry["path"]).read_text() == "id\n2\n"
    assert entry["summary"].startswith("1 rows of public.log since 2026-11-21T00:00:00+00:00")


def test_check_mode_counts_and_writes_nothing(params: Params, tmp_path: Path) -> None:
    result = export(params(), check_mode=True)
    assert (result["rows"], result["evidence"]) == ({"log": 2}, [])
    assert result["diff"] == export(params(folder=str(tmp_path / "real")), check_mode=False)["diff"]
    assert not (tmp_path / "evidence").exists()


def test_all_tables_are_of_the_same_moment(
    postgres: PostgresServer, database: str, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    one: dict[str, Any] = {"name": "a", "table": "log", "columns": [], "time_column": None}
    from ansible_collections.oncall.runbooks.plugins.module_utils.breach import export as module

    write = module._write

    def meanwhile(*given: Any) -> Any:
        postgres.execute("INSERT INTO log VALUES (3, 'meanwhile', now())", database=database)
        return write(*given)

    monkeypatch.setattr(module, "_write", meanwhile)
    result = export(params(exports=[one, {**one, "name": "b"}]), check_mode=False)
    first, second = (entry["sha256"] for entry in result["evidence"])
    assert first == second


def test_a_missing_table_fails_before_anything_is_written(params: Params, tmp_path: Path) -> None:
    good = params()["exports"][0]
    bad = {**good, "name": "x", "table": "gone"}
    with pytest.raises(OncallError, match=r"public\.gone"):
        export(params(exports=[good, bad]), check_mode=False)
    assert not (tmp_path / "evidence").exists()


@pytest.mark.parametrize("name", ["../log", "", ".hidden", "a/b"])
def test_a_name_that_leaves_the_folder_is_refused(params: Params, name: str) -> None:
    one: dict[str, Any] = {"name": name, "table": "log", "columns": [], "time_column": None}
    with pytest.raises(OncallError, match="use a plain name"):
        export(params(exports=[one]), check_mode=False)


def test_a_folder_that_cannot_be_made_is_named(params: Params, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OncallError, match="set the option folder"):
        export(params(folder=str(tmp_path / "file" / "below")), check_mode=False)


def test_no_half_of_a_file_is_left(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    from ansible_collections.oncall.runbooks.plugins.module_utils.breach import export as module

    monkeypatch.setattr(module._Hashing, "write", full)
    with pytest.raises(OncallError, match=r"No space left on device.*are free"):
        export(params(), check_mode=False)
    assert list((tmp_path / "evidence").iterdir()) == []
