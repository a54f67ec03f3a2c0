"""Tokens on a real server: the right ones are revoked, the others stay, an undo brings back exactly these."""

from __future__ import annotations

import json
from typing import Any

import pytest
from owl_tokens import ACTIVE, API, REFRESH, Owl

EARLIER = "SELECT count(*) FROM api_tokens WHERE revoked_at = '2026-02-01' AND revoked_reason = 'non-payment'"


def test_all_active_tokens_of_all_tables_and_no_earlier_revocation(owl: Owl) -> None:
    before = owl.state()
    planned = owl.revoke(tables=[API, REFRESH], check_mode=True)
    assert owl.state() == before
    assert owl.sql("SELECT to_regnamespace('oncall')") == [(None,)]
    done = owl.revoke(tables=[API, REFRESH])
    assert owl.sql(ACTIVE) == [(0,)]
    assert owl.sql(EARLIER) == [(60,)]
    assert owl.sql("SELECT count(*) FROM api_tokens WHERE revoked_reason = 'breach run-1'") == [(240,)]
    assert [t["revoked"] for t in done["tables"]] == [240, 40]
    for key in ("changed", "diff", "prediction", "scope", "undo"):
        assert planned[key] == done[key], key
    assert set(planned) == set(done)
    assert {f["status"] for f in planned["findings"]} == {"warn"}
    assert {f["status"] for f in done["findings"]} == {"ok"}
    assert done["ledger"]["rows"] == 280


def test_a_second_run_changes_nothing(owl: Owl) -> None:
    first = owl.revoke()
    state = owl.state()
    for run in ("run-1", "run-2"):
        again = owl.revoke(run=run)
        assert (again["changed"], again["tables"][0]["revoked"]) == (False, 0)
    assert owl.state() == state
    assert again["ledger"]["rows"] == 0
    assert owl.sql("SELECT run FROM oncall.token_run") == [("run-1",)]
    assert owl.revoke()["ledger"]["sha256"] == first["ledger"]["sha256"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"scope": "subscriber", "subscriber": "2"}, "subscriber_id = 2"),
        ({"scope": "subscriber", "subscriber": "OWL.2@example.org"}, "subscriber_id = 2"),
        ({"scope": "issued_before", "issued_before": "2026-01-05"}, "created_at < '2026-01-05 00:00+00'"),
        (
            {"scope": "session_ids", "session_ids": ["c4ca4238-a0b9-2382-0dcc-509a6f75849b"]},
            "session_id = md5('1')::uuid",
        ),
    ],
    ids=["id", "e-mail", "issued before", "session"],
)
def test_each_scope_touches_its_own_tokens_only(owl: Owl, options: dict[str, Any], expected: str) -> None:
    meant = owl.sql(f"SELECT id FROM api_tokens WHERE revoked_at IS NULL AND {expected} ORDER BY id")
    assert meant
    done = owl.revoke(subscribers={"table": "subscribers", "key": "id", "email": "email"}, **options)
    assert owl.sql("SELECT id FROM api_tokens WHERE revoked_reason = 'breach run-1' ORDER BY id") == meant
    assert owl.sql(ACTIVE) == [(240 - len(meant),)]
    assert done["tables"][0]["in_scope_after"] == 0


def test_break_glass_access_stays(owl: Owl) -> None:
    session = "c4ca4238-a0b9-2382-0dcc-509a6f75849b"
    exclude = {"subscribers": ["owl.3@example.org"], "session_ids": [session], "reason": "the responders"}
    done = owl.revoke(subscribers={"table": "subscribers", "key": "id", "email": "email"}, exclude=exclude)
    kept = owl.sql(
        f"SELECT count(*), bool_and(subscriber_id = 3 OR session_id = '{session}') "
        "FROM api_tokens WHERE revoked_at IS NULL"
    )
    assert kept == [(done["tables"][0]["excluded"], True)]
    assert done["tables"][0]["excluded"] > 4
    assert "the responders" in done["findings"][0]["summary"]
    assert "the responders" in done["evidence"][0]["content"]


def test_undo_is_exact(owl: Owl) -> None:
    """What was revoked for another reason since, or by another run, stays revoked."""
    owl.sql("UPDATE api_tokens SET revoked_reason = 'a note' WHERE id = 7")
    before = owl.state()
    owl.revoke(tables=[API, REFRESH], scope="all")
    owl.sql("UPDATE api_tokens SET revoked_at = now(), revoked_reason = 'by hand' WHERE id IN (1, 2)")
    owl.sql("UPDATE api_tokens SET revoked_reason = 'leaked' WHERE id = 3")
    owl.sql("DELETE FROM api_tokens WHERE id = 4")
    planned = owl.undo(check_mode=True)
    done = owl.undo()
    assert planned["tables"] != done["tables"]  # nothing is left to take back
    assert [(t["restored"], t["kept"]) for t in done["tables"]] == [(236, 4), (40, 0)]
    assert planned["diff"] == done["diff"]
    since = owl.sql("SELECT array_agg(id ORDER BY id) FROM api_tokens WHERE revoked_at > '2026-06-01'")
    assert since == [([1, 2, 3],)]
    after = owl.state()
    assert [r for r in after[0] if r[0] > 4] == [r for r in before[0] if r[0] > 4]
    assert after[1] == before[1]
    again = owl.undo()
    assert (again["changed"], again["tables"][0]["restored"]) == (False, 0)


def test_undo_leaves_what_another_run_revoked(owl: Owl) -> None:
    owl.revoke(run="one", scope="subscriber", subscriber="2")
    owl.revoke(run="two")
    owl.undo("two")
    reasons = owl.sql("SELECT DISTINCT revoked_reason FROM api_tokens WHERE subscriber_id = 2")
    assert reasons == [("breach one",)]
    owl.undo("one")
    assert owl.sql(ACTIVE) == [(240,)]


def test_an_undone_run_is_not_continued(owl: Owl) -> None:
    owl.revoke()
    owl.undo()
    with pytest.raises(Exception, match=r"it was taken back.*Next: revoke under a new run"):
        owl.revoke()
    assert owl.sql(ACTIVE) == [(240,)]


def test_a_run_is_not_continued_with_other_options(owl: Owl) -> None:
    owl.revoke(scope="subscriber", subscriber="2")
    with pytest.raises(Exception, match="other values of scope"):
        owl.revoke()
    assert owl.sql(ACTIVE) == [(225,)]


def test_evidence_names_the_ledger_and_its_checksum(owl: Owl) -> None:
    done = owl.revoke()
    manifest = json.loads(done["evidence"][0]["content"])
    assert manifest["revoked"] == {"public.api_tokens": 240}
    assert manifest["sha256"] == done["ledger"]["sha256"]
    owl.sql("UPDATE oncall.token_batch SET keys[1][1] = '999999' WHERE id = 1")
    assert owl.revoke()["ledger"]["sha256"] != manifest["sha256"]


def test_a_reason_column_that_is_never_null(owl: Owl) -> None:
    owl.sql("UPDATE api_tokens SET revoked_reason = coalesce(revoked_reason, '')")
    owl.sql("ALTER TABLE api_tokens ALTER revoked_reason SET NOT NULL")
    before = owl.state()
    owl.revoke()
    assert owl.sql(ACTIVE) == [(0,)]
    owl.undo()
    assert owl.state() == before


def test_partitions_are_revoked_through_their_table(owl: Owl) -> None:
    owl.sql(
        "CREATE TABLE parted (day date, id int, revoked_at timestamptz, PRIMARY KEY (day, id))"
        " PARTITION BY RANGE (day);"
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
        "CREATE TABLE parted_2 PARTITION OF parted DEFAULT;"
        "INSERT INTO parted SELECT date '2026-01-20' + i / 10, i FROM generate_series(1, 250) i"
    )
    table = {"table": "parted", "key": ["id", "day"], "revoked_at": "revoked_at"}
    assert owl.revoke(tables=[table])["ledger"]["rows"] == 250
    assert owl.sql("SELECT count(*) FROM parted WHERE revoked_at IS NULL") == [(0,)]
    owl.undo()
    assert owl.sql("SELECT count(*) FROM parted WHERE revoked_at IS NULL") == [(250,)]


def test_secrets_and_the_password_are_never_in_a_result(owl: Owl) -> None:
    assert owl.server.password not in json.dumps(owl.revoke()) + json.dumps(owl.undo())
