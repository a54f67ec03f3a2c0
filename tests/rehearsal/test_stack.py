"""The stand-in: everything a real Roost has is there, and nothing of it outlives its owner."""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

from runbook.rehearsal import digest, stack, store
from runbook.rehearsal.processes import StandInError, alive, wait_until
from runbook.rehearsal.shapes import ROOST


def test_the_database_has_what_a_switch_must_carry_over(standing: stack.Stack) -> None:
    with contextlib.closing(standing.server().connect(ROOST.database)) as connection:
        identity = digest.take(connection)["identity"]
    assert identity["connection_limit"] == 60
    assert "roost_app=Tc/roost" in identity["rights"]
    assert "statement_timeout=30s" in identity["settings"]
    assert "roost_readonly: default_transaction_read_only=on" in identity["settings"]


def test_the_application_reaches_it_with_its_own_password(standing: stack.Stack) -> None:
    facts = standing.facts
    login = {"host": "127.0.0.1", "port": facts["postgres"]["port"], "dbname": ROOST.database}
    with contextlib.closing(psycopg2.connect(**login, **facts["app"])) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM public.subscribers")
        assert cursor.fetchone()[0] > 2000
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(**login, user="roost_app", password="canary-wrong")


def test_rows_are_newer_than_the_last_backup(standing: stack.Stack) -> None:
    sql = "SELECT count(*) FROM public.audit_log WHERE created_at > %s AND created_at <= now()"
    newest = standing.facts["backups"]["good_time"]
    assert standing.server().execute(sql, (newest,), database=ROOST.database) == [(600,)]


def test_awkward_text_is_there_as_it_is(standing: stack.Stack) -> None:
    rows = standing.server().execute("SELECT DISTINCT notes FROM public.subscribers", database=ROOST.database)
    notes = {row[0] for row in rows}
    assert {None, "", "\\N", "\\.", "🦉 Grüße, 日本語, ﷽"} <= notes
    assert "a tab\there,\na new line\nand \\ a backslash" in notes


def test_the_bucket_holds_a_week_of_nights_and_the_decoys(standing: stack.Stack) -> None:
    listed = standing.store().client().list_objects_v2(Bucket=ROOST.bucket)["Contents"]
    times = {item["Key"]: item["LastModified"] for item in listed}
    sizes = {item["Key"]: item["Size"] for item in listed}
    backups = standing.facts["backups"]
    newest = datetime.fromisoformat(backups["good_time"])
    for ago in range(store.NIGHTS):
        moment = newest - timedelta(days=ago)
        assert times[ROOST.key_of(moment)] == moment + timedelta(seconds=95)
    decoys = {why: key for key, why in backups["decoys"].items()}
    assert sizes[decoys["empty dump"]] == 20
    assert sizes[decoys["truncated dump"]] < sizes[backups["good"]] / 2
    assert datetime.now(UTC) - times[decoys["old dump uploaded again today"]] < timedelta(days=1)
    assert max(times) == max(decoys.values()), "what sorts last must be a decoy"
    uploads = standing.store().client().list_multipart_uploads(Bucket=ROOST.bucket)["Uploads"]
    assert [upload["Key"] in times for upload in uploads] == [False]


def test_the_newest_dump_is_whole(standing: stack.Stack) -> None:
    answer = standing.store().client().get_object(Bucket=ROOST.bucket, Key=standing.facts["backups"]["good"])
    text = gzip.decompress(answer["Body"].read())
    assert b"PostgreSQL database dump complete" in text[-400:]


def test_two_stacks_do_not_see_each_other(standing: stack.Stack, fresh: stack.Stack) -> None:
    one, two = standing.facts, fresh.facts
    assert one["postgres"]["port"] != two["postgres"]["port"]
    fresh.server().execute("DROP TABLE public.audit_log", database=ROOST.database)
    assert standing.server().execute("SELECT to_regclass('public.audit_log')", database=ROOST.database) != [
        (None,)
    ]
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(
            host="127.0.0.1",
            port=one["postgres"]["port"],
            user="roost",
            password=two["postgres"]["password"],
            dbname="postgres",
        )


def test_down_leaves_nothing() -> None:
    made = stack.up(stack.Options(scale=0.2))
    folder, pids = made.folder, _pids(made)
    assert all(alive(pid) for pid in pids)
    stack.down(made)
    assert not folder.exists()
    wait_until(lambda: not any(map(alive, pids)), timeout=5, what="the end of every process")
    stack.down(made)


@pytest.mark.parametrize("victim", ["driver", "keeper"])
def test_nothing_outlives_a_killed(victim: str, tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    program = (
        "import sys, time, pathlib, runbook.rehearsal.stack as s\n"
        "s.up(s.Options(scale=0.2), pathlib.Path(sys.argv[1]), keep=False)\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"up\n"
        made = stack.Stack(path)
        folder, pids = made.folder, _pids(made)
        os.kill(driver.pid if victim == "driver" else made.facts["keeper_pid"], signal.SIGKILL)
        wait_until(lambda: not folder.exists(), timeout=10, what="the end of the stack")
        wait_until(lambda: not any(map(alive, pids)), timeout=5, what="the end of all")
        driver.kill()


def test_what_is_left_when_the_guard_was_killed_too_goes_with_the_next_start() -> None:
    lost = stack.up(stack.Options(scale=0.2))
    folder, pids = lost.folder, _pids(lost)
    keeper = pids[0]
    # The guard never executed a program of its own, so it looks like the keeper that forked it.
    program = Path(f"/proc/{keeper}/cmdline").read_bytes()
    children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    guards = [int(pid) for pid in children if Path(f"/proc/{pid}/cmdline").read_bytes() == program]
    assert len(guards) == 1
    for pid in (guards[0], keeper):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, pids)), timeout=5, what="the end of all")
    assert folder.exists()
    os.utime(folder, (0, 0))
    with stack.running(stack.Options(scale=0.2)) as made:
        assert not folder.exists()
        assert made.folder.exists()


def test_an_unknown_postgres_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StandInError, match="no PostgreSQL system-7 runs here"):
        stack.up(stack.Options("system-7"))


def _pids(made: stack.Stack) -> list[int]:
    s3 = int((made.folder / "s3" / "pid").read_text())
    return [made.facts["keeper_pid"], made.server().pid, s3]
