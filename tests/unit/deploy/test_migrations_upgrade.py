"""What is pending is applied once, under a lock, and what cannot be applied is told."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.upgrade import lock_key, upgrade
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from deploy_world import MIGRATIONS, World

from runbook.rehearsal.postgres_server import PostgresServer

# A toy tool: each file in a transaction of its own, as most tools do. Its waits make two runners meet.
TOOL = """\
import os, pathlib, sys, time, psycopg2
session = psycopg2.connect(sys.argv[1])
for path in sorted(pathlib.Path("migrations").glob("*.sql")):
    with session, session.cursor() as cursor:
        cursor.execute("SELECT 1 FROM public.schema_migrations WHERE version = %s", (int(path.name[:4]),))
        if not cursor.fetchall():
            print("applying", path.name, flush=True)
            time.sleep(float(os.environ.get("TOY_PAUSE", "0")))
            cursor.execute(path.read_text())
            cursor.execute("INSERT INTO public.schema_migrations VALUES (%s)", (int(path.name[:4]),))
"""


@pytest.fixture
def project(with_database: World) -> World:
    """A project with a tool and two migrations, none of them applied."""
    with_database.commit(
        "Migrations",
        {
            "tool.py": TOOL,
            "migrations/0001_a.sql": "CREATE TABLE t (a int);",
            "migrations/0002_b.sql": "ALTER TABLE t ADD b int;",
        },
        deploy=True,
    )
    return with_database


def options(world: World, **given: Any) -> dict[str, Any]:
    """Return the module's options."""
    login = world.login
    dsn = "host=127.0.0.1 port={login_port} user={login_user} password={login_password} dbname={database}"
    return world.options(
        migrations=MIGRATIONS,
        **{
            "command": [sys.executable, "tool.py", dsn.format(**login)],
            "command_timeout": 20.0,
            "lock_timeout": 0.3,
            "lock_wait": 10.0,
            "allow_destructive": False,
            **given,
        },
    )


def applied(world: World, postgres: PostgresServer) -> list[int]:
    """Return what the database has."""
    rows = postgres.execute(
        "SELECT version FROM public.schema_migrations ORDER BY 1", database=world.login["database"]
    )
    return [row[0] for row in rows]


def refused(world: World, **given: Any) -> OncallError:
    """Apply, and return the error."""
    with pytest.raises(OncallError) as caught:
        upgrade(options(world, **given), check_mode=False)
    return caught.value


def test_the_plan_names_what_is_applied_then(project: World, postgres: PostgresServer) -> None:
    plan = upgrade(options(project), check_mode=True)
    assert applied(project, postgres) == []
    done = upgrade(options(project), check_mode=False)
    assert (plan["pending"], plan["diff"]) == (done["pending"], done["diff"])
    assert applied(project, postgres) == [1, 2]
    assert "applying 0002_b.sql" in Path(done["evidence"][0]["path"]).read_text()
    assert postgres.password not in str(done)
    assert done["undo"]["reversible"] is False
    assert not upgrade(options(project), check_mode=False)["changed"]


def test_a_second_runner_waits_and_finds_nothing_left(
    project: World, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git._INHERITED",
        ("PATH", "TOY_PAUSE"),
    )
    monkeypatch.setenv("TOY_PAUSE", "0.4")
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(upgrade, options(project, run=f"run{n}"), check_mode=False) for n in (1, 2)]
    assert sorted(one.result()["changed"] for one in both) == [False, True]
    assert applied(project, postgres) == [1, 2]


def test_who_waits_too_long_for_another_runner_is_told(project: World, postgres: PostgresServer) -> None:
    with closing(postgres.connect(project.login["database"])) as session, session.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (lock_key(options(project)),))
        error = refused(project, lock_wait=0.2)
    assert error.kind == "lock"
    assert applied(project, postgres) == []


def test_a_lock_that_is_not_given_leaves_nothing_half_done(project: World, postgres: PostgresServer) -> None:
    name = project.login["database"]
    postgres.execute("CREATE TABLE t (a int); INSERT INTO public.schema_migrations VALUES (1)", database=name)
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(postgres.connect(name)) as session, session.cursor() as cursor:
            cursor.execute("BEGIN; SELECT * FROM t")
            held.set()
            end.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    time.sleep(0.4)
    plan = upgrade(options(project), check_mode=True)
    started = time.monotonic()
    error = refused(project)
    end.set()
    holder.join()
    assert time.monotonic() - started < 10
    assert len(plan["prediction"]["in_the_way"]) == 1
    assert "lock timeout" in error.message
    assert "none was applied" in error.message
    assert not error.changed
    assert applied(project, postgres) == [1]
    columns = postgres.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 't'", database=name
    )
    assert columns == [("a",)]


def test_what_was_applied_before_a_failure_is_named(project: World, postgres: PostgresServer) -> None:
    project.commit("Broken", {"migrations/0002_b.sql": "ALTER TABLE nowhere ADD b int;"}, deploy=True)
    error = refused(project)
    assert "applied: migrations/0001_a.sql; still pending: migrations/0002_b.sql" in error.message
    assert "nowhere" in error.message
    assert error.changed
    assert postgres.password not in error.message


def test_a_tool_that_ends_well_and_applies_nothing_is_found_out(project: World) -> None:
    error = refused(project, command=["true"])
    assert error.kind == "verification"
    assert "none was applied" in error.message


def test_a_tool_that_is_not_there_or_hangs_is_told(project: World) -> None:
    assert "could not be started" in refused(project, command=["no-such-tool"]).message
    assert (
        "had not ended after 0.3 s" in refused(project, command=["sleep", "60"], command_timeout=0.3).message
    )


def test_nothing_is_applied_to_a_database_that_is_ahead_or_diverged(
    project: World, postgres: PostgresServer
) -> None:
    name = project.login["database"]
    postgres.execute("INSERT INTO public.schema_migrations VALUES (1), (2), (3)", database=name)
    ahead = refused(project)
    assert (ahead.kind, "deploy the code that belongs" in ahead.message) == ("ahead", True)
    postgres.execute("DELETE FROM public.schema_migrations WHERE version = 2", database=name)
    diverged = refused(project)
    assert (diverged.kind, "Backend Lead" in diverged.message) == ("diverged", True)
    assert applied(project, postgres) == [1, 3]


def test_a_migration_that_can_lose_data_has_to_be_allowed(project: World, postgres: PostgresServer) -> None:
    project.commit("Drop", {"migrations/0003_c.sql": "ALTER TABLE t DROP COLUMN b;"}, deploy=True)
    error = refused(project)
    assert (error.kind, "0003_c.sql" in error.message) == ("destructive", True)
    assert applied(project, postgres) == []
    upgrade(options(project, allow_destructive=True), check_mode=False)
    assert applied(project, postgres) == [1, 2, 3]


def test_migrations_of_code_that_does_not_run_are_not_applied(
    project: World, postgres: PostgresServer
) -> None:
    project.commit("Not deployed", {"migrations/0003_c.sql": "SELECT 1;"})
    assert refused(project).kind == "not_what_runs"
    assert applied(project, postgres) == []
