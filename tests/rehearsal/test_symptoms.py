"""Every fault really breaks what it says, and heals where it says so."""

from __future__ import annotations

import contextlib

import psycopg2
import pytest
from botocore.exceptions import ClientError

from runbook.rehearsal import cases, digest, stack, store
from runbook.rehearsal.processes import StandInError
from runbook.rehearsal.shapes import ROOST


def _service_error(made: stack.Stack) -> str:
    """What a service of the system gets when it does its work: "" when all is well."""
    facts = made.facts
    options = "-c statement_timeout=2000"
    login = {
        "host": "127.0.0.1",
        "port": facts["postgres"]["port"],
        "dbname": ROOST.database,
        "options": options,
    }
    try:
        with contextlib.closing(psycopg2.connect(**login, **facts["app"], connect_timeout=2)) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT s.id, p.plan FROM public.subscribers s, public.subscriptions p LIMIT 1")
            cursor.execute("CREATE TEMP TABLE t AS SELECT repeat('x', 100) FROM generate_series(1, 300000)")
    except psycopg2.Error as error:
        return str(error)
    return ""


def _list(made: stack.Stack) -> list[str]:
    listed = made.store().client().list_objects_v2(Bucket=ROOST.bucket)
    return [item["Key"] for item in listed.get("Contents", [])]


def test_a_healthy_stack_serves(standing: stack.Stack) -> None:
    assert _service_error(standing) == ""


def test_corrupt_tables(fresh: stack.Stack) -> None:
    cases.find_fault("corrupt-tables", "roost").run("fault", fresh)
    assert "invalid page" in _service_error(fresh)
    assert "invalid page" in fresh.server().log.read_text()
    with pytest.raises(StandInError, match="cannot be taken back"):
        cases.find_fault("corrupt-tables", "roost").run("heal", fresh)


@pytest.mark.slow
def test_the_digest_measures_a_damaged_table_block_by_block(fresh: stack.Stack) -> None:
    cases.find_fault("corrupt-tables", "roost").run("fault", fresh)
    with contextlib.closing(fresh.server().connect(ROOST.database)) as connection:
        before = digest.take(connection)
        unreadable = [part[:2] for part in before["rows"]["public.subscribers"] if part[2] == "unreadable"]
        assert unreadable == [[0, 1], [1, 2], [7, 8]]
        assert digest.differences(before, digest.take(connection)) == []
        cursor = connection.cursor()
        cursor.execute("ALTER TABLE public.subscribers DISABLE TRIGGER ALL")
        cursor.execute("UPDATE public.subscribers SET notes = 'changed' WHERE ctid = '(9,1)'")
        changed = digest.differences(before, digest.take(connection))
    assert any(line.startswith("rows public.subscribers") for line in changed)


@pytest.mark.slow
def test_dropped_table(fresh: stack.Stack) -> None:
    cases.find_fault("dropped-table", "roost").run("fault", fresh)
    assert "does not exist" in _service_error(fresh)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("postmaster-stopped", "timeout expired"),
        ("postmaster-killed", "Connection refused"),
        ("connections-exhausted", "too many|remaining connection slots"),
    ],
)
def test_a_server_fault_breaks_and_heals(name: str, says: str, fresh: stack.Stack) -> None:
    cases.find_fault(name, "roost").run("fault", fresh)
    with pytest.raises(AssertionError, match=says):
        assert _service_error(fresh) == ""
    cases.find_fault(name, "roost").run("heal", fresh)
    fresh.server().answers()
    assert _service_error(fresh) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code"), [("s3-denied", "AccessDenied"), ("wrong-credentials", "InvalidAccessKeyId")]
)
def test_a_store_fault_breaks_and_heals(name: str, code: str, fresh: stack.Stack) -> None:
    before = _list(fresh)
    cases.find_fault(name, "roost").run("fault", fresh)
    with pytest.raises(ClientError, match=code):
        _list(fresh)
    cases.find_fault(name, "roost").run("heal", fresh)
    assert _list(fresh) == before


@pytest.mark.slow
def test_stale_backup_leaves_only_old_nights(fresh: stack.Stack) -> None:
    good = fresh.facts["backups"]["good"]
    cases.find_fault("stale-backup", "roost").run("fault", fresh)
    left = _list(fresh)
    assert len(left) == store.NIGHTS - 3
    assert max(left) < good


@pytest.mark.slow
def test_empty_bucket(fresh: stack.Stack) -> None:
    cases.find_fault("empty-bucket", "roost").run("fault", fresh)
    assert _list(fresh) == []


def test_disk_full_is_refused_where_the_disk_is_not_ours(standing: stack.Stack) -> None:
    if standing.facts["isolation"] == "namespace":
        pytest.skip("this test process is isolated itself")
    with pytest.raises(StandInError, match="only filled inside a namespace"):
        cases.find_fault("disk-full", "roost").run("fault", standing)


def test_an_unknown_fault_names_the_known(standing: stack.Stack) -> None:
    with pytest.raises(StandInError, match=r"there are: .*corrupt-tables"):
        cases.find_fault("gremlins", "roost")
