"""The epoch, and where the ledger is kept."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import epoch, ledger_file
from owl_tokens import ACTIVE, API, REFRESH, Owl

SETTINGS = """
CREATE TABLE settings (name text PRIMARY KEY, moment timestamptz, seconds bigint, words text, other bool);
INSERT INTO settings VALUES
('tokens', '2026-01-01', 1700000000, '2026-01-01T00:00:00.000000Z'), ('x', '2026-01-01', 1, '2026-01-01');
ALTER TABLE subscribers ADD valid_after timestamptz;
"""
EPOCH = {"table": "public.settings", "column": "moment", "where": {"name": "tokens"}}


@pytest.fixture
def settings(owl: Owl) -> Owl:
    """The application with a table of settings."""
    owl.sql(SETTINGS)
    return owl


@pytest.mark.parametrize(
    ("column", "check"),
    [
        ("moment", "moment > now() - interval '1 minute' AND moment <= clock_timestamp()"),
        ("seconds", "abs(seconds - extract(epoch FROM now())) < 60"),
        ("words", "abs(extract(epoch FROM words::timestamptz - now())) < 60"),
    ],
)
def test_the_epoch_is_set_before_any_token_and_comes_back(
    settings: Owl, monkeypatch: pytest.MonkeyPatch, column: str, check: str
) -> None:
    owl, option = settings, dict(EPOCH, column=column)
    before = owl.sql("SELECT * FROM settings ORDER BY name")
    seen: list[Any] = []
    real = epoch.Epoch.apply

    def apply(self: Any, *rest: Any) -> bool:
        seen.append(owl.sql(ACTIVE)[0][0])
        return real(self, *rest)

    monkeypatch.setattr(epoch.Epoch, "apply", apply)
    planned = owl.revoke(epoch=option, check_mode=True)
    assert owl.sql("SELECT * FROM settings ORDER BY name") == before
    done = owl.revoke(epoch=option)
    assert seen == [240]
    assert owl.sql(f"SELECT {check} FROM settings WHERE name = 'tokens'") == [(True,)]
    assert owl.sql("SELECT * FROM settings WHERE name = 'x'") == [before[1]]
    assert planned["epoch"]["before"] == done["epoch"]["before"]
    assert "void at once" in done["prediction"]["summary"]
    assert owl.revoke(epoch=option)["changed"] is False  # the run's own epoch is not moved again
    owl.undo()
    assert owl.sql("SELECT * FROM settings ORDER BY name") == before


def test_an_epoch_that_somebody_moved_since_is_left_alone(settings: Owl) -> None:
    settings.revoke(epoch=EPOCH)
    settings.sql("UPDATE settings SET moment = '2026-11-11' WHERE name = 'tokens'")
    done = settings.undo()
    assert done["epoch"]["changed"] is False
    assert settings.sql("SELECT moment = '2026-11-11' FROM settings WHERE name = 'tokens'") == [(True,)]
    assert settings.sql(ACTIVE) == [(240,)]


def test_an_epoch_that_somebody_moves_in_between_is_said(
    settings: Owl, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = epoch.Epoch.apply

    def apply(self: Any, *rest: Any) -> bool:
        settings.sql("UPDATE settings SET moment = clock_timestamp() WHERE name = 'tokens'")
        return real(self, *rest)

    monkeypatch.setattr(epoch.Epoch, "apply", apply)
    with pytest.raises(OncallError, match="somebody else changed it") as caught:
        settings.revoke(epoch=EPOCH)
    assert caught.value.changed is False
    assert settings.sql(ACTIVE) == [(240,)]


def test_a_later_epoch_is_not_moved_back(settings: Owl) -> None:
    done = settings.revoke(scope="issued_before", issued_before="2025-01-01", epoch=EPOCH)
    assert done["epoch"]["changed"] is False
    assert settings.sql("SELECT moment = '2026-01-01' FROM settings WHERE name = 'tokens'") == [(True,)]


def test_a_subscriber_has_an_epoch_of_their_own(settings: Owl) -> None:
    option = {"table": "subscribers", "column": "valid_after", "where": {}, "subscriber": "id"}
    settings.revoke(scope="subscriber", subscriber="2", epoch=option)
    assert settings.sql("SELECT array_agg(id) FROM subscribers WHERE valid_after IS NOT NULL") == [([2],)]
    assert settings.revoke(run="run-2", epoch=option)["epoch"] is None  # not meant for everybody
    settings.undo()
    assert settings.sql("SELECT count(valid_after) FROM subscribers") == [(0,)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"where": {}}, "more than one row matches"),
        ({"where": {"name": "'; DROP TABLE settings"}}, "no row matches"),
        ({"column": "other"}, "is of type boolean"),
        ({"column": "gone"}, "no column gone"),
        ({"table": "gone"}, "no such table"),
    ],
)
def test_a_wrong_epoch_changes_nothing(settings: Owl, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(OncallError, match=message):
        settings.revoke(epoch=dict(EPOCH, **changed))
    assert settings.sql(ACTIVE) == [(240,)]


def test_an_epoch_would_lock_out_who_is_excluded(settings: Owl) -> None:
    with pytest.raises(OncallError, match=r"makes the excluded tokens void too.*leave epoch out"):
        settings.revoke(epoch=EPOCH, exclude={"subscribers": ["2"], "session_ids": [], "reason": "me"})


def test_a_file_keeps_the_ledger_and_the_database_gets_no_table(owl: Owl, tmp_path: Path) -> None:
    before = owl.state()
    ledger = {"kind": "file", "path": str(tmp_path)}
    owl.sql("UPDATE api_tokens SET revoked_reason = 'a note' WHERE id = 7")
    noted = owl.state()
    owl.revoke(tables=[API, REFRESH], ledger=ledger, check_mode=True)
    assert list(tmp_path.iterdir()) == []
    done = owl.revoke(tables=[API, REFRESH], ledger=ledger)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.name == "tokens-run-1.jsonl"
    assert owl.sql("SELECT to_regnamespace('oncall')") == [(None,)]
    assert done["ledger"]["rows"] == 280
    assert owl.revoke(tables=[API, REFRESH], ledger=ledger)["changed"] is False
    undone = owl.undo(ledger=done["undo"]["args"]["ledger"])
    assert [t["restored"] for t in undone["tables"]] == [240, 40]
    assert owl.state() == noted != before


def test_a_file_that_was_cut_in_the_middle_of_an_entry(owl: Owl, tmp_path: Path) -> None:
    """A crash may cut the last entry: its rows were not committed. The next one begins on a new line."""
    ledger = {"kind": "file", "path": str(tmp_path)}
    owl.revoke(ledger=ledger, scope="subscriber", subscriber="2")
    file = tmp_path / "tokens-run-1.jsonl"
    with file.open("ab") as end:
        end.write(b'{"batch": {"place": "public.api_tok')
    owl.sql(
        "UPDATE api_tokens SET revoked_at = NULL, revoked_reason = NULL WHERE subscriber_id = 2 AND id < 60"
    )
    owl.revoke(ledger=ledger, scope="subscriber", subscriber="2")
    assert all(json.loads(line) for line in file.read_text().splitlines())
    assert owl.undo(ledger=ledger)["tables"][0]["left"] == 0
    assert owl.sql(ACTIVE) == [(240,)]


def test_a_file_that_was_changed_by_hand_is_not_believed(owl: Owl, tmp_path: Path) -> None:
    ledger = {"kind": "file", "path": str(tmp_path)}
    owl.revoke(ledger=ledger)
    file = tmp_path / "tokens-run-1.jsonl"
    file.write_bytes(file.read_bytes().replace(b'{"batch"', b'{batch"', 1))
    with pytest.raises(OncallError, match=r"line \d+.*is not an entry"):
        owl.undo(ledger=ledger)
    assert owl.sql(ACTIVE) == [(0,)]


def test_a_link_or_an_open_file_is_not_written_to(owl: Owl, tmp_path: Path) -> None:
    ledger = {"kind": "file", "path": str(tmp_path)}
    path = tmp_path / "tokens-run-1.jsonl"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OncallError, match="not a file that only its owner can read"):
        owl.revoke(ledger=ledger)
    path.unlink()
    path.touch(0o644)
    with pytest.raises(OncallError, match="not a file that only its owner can read"):
        owl.revoke(ledger=ledger)
    assert owl.sql(ACTIVE) == [(240,)]


def test_no_room_for_the_entry_means_no_revocation(
    owl: Owl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(ledger_file.os, "fsync", full)
        with pytest.raises(OncallError, match="No space left on device"):
            owl.revoke(ledger={"kind": "file", "path": str(tmp_path)})
    revoked = 240 - owl.sql(ACTIVE)[0][0]
    assert 0 < revoked < 240
    owl.revoke(ledger={"kind": "file", "path": str(tmp_path)})
    undone = owl.undo(ledger={"kind": "file", "path": str(tmp_path)})
    assert undone["tables"][0]["restored"] == 240
    assert owl.sql(ACTIVE) == [(240,)]


def test_the_ledger_is_for_its_owner_alone(owl: Owl) -> None:
    """Default privileges may hand new tables to others; the keys of tokens are not for them."""
    role = owl.role("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ROLE, PUBLIC")["login_user"]
    owl.revoke()
    for table in ("oncall.token_run", "oncall.token_batch"):
        assert owl.sql("SELECT has_table_privilege(%s, %s, 'SELECT')", (role, table)) == [(False,)]
    assert owl.sql("SELECT has_schema_privilege(%s, 'oncall', 'USAGE')", (role,)) == [(False,)]


def test_a_schema_of_somebody_else_is_not_used(owl: Owl) -> None:
    owl.sql("CREATE SCHEMA oncall CREATE TABLE token_batch (id int)")
    with pytest.raises(OncallError, match="that table is somebody else's") as caught:
        owl.revoke()
    assert caught.value.kind == "foreign_ledger"
    assert owl.sql(ACTIVE) == [(240,)]
