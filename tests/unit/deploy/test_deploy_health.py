"""What a diagnosis says of a deployment."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.deploy import deploy, undo
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.health import CHECKS, measure
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from deploy_world import MIGRATIONS, World

from runbook.rehearsal.postgres_server import PostgresServer


def found(world: World, **options: Any) -> dict[str, dict[str, Any]]:
    """Measure, and return the findings by check."""
    findings = measure(world.options(**options))
    made = {finding["check"]: finding for finding in findings}
    assert len(made) == len(findings)
    return made


def status(world: World, **options: Any) -> dict[str, str]:
    """The same, statuses only."""
    return {check: finding["status"] for check, finding in found(world, **options).items()}


def apply(world: World, postgres: PostgresServer, *versions: int) -> None:
    """Have the database say that these are applied."""
    for version in versions:
        postgres.execute(
            "INSERT INTO public.schema_migrations VALUES (%s)", (version,), database=world.login["database"]
        )


def test_a_clean_checkout_that_runs_is_well(world: World) -> None:
    said = status(world, recent_hours=0.0)
    assert said == {
        "deploy_checkout": "ok",
        "deploy_script": "ok",
        "deploy_recent": "ok",
        "deploy_running": "ok",
        "deploy_target": "warn",
    }


def test_uncommitted_files_and_a_detached_head_are_told(world: World) -> None:
    (world.app / "app.py").write_text("hot fix\n")
    checkout = found(world)["deploy_checkout"]
    assert checkout["status"] == "warn"
    assert "1 uncommitted files, which a reset would lose: M app.py" in checkout["summary"]
    world.git("stash")
    world.git("checkout", "--quiet", "--detach")
    checkout = found(world)["deploy_checkout"]
    assert (checkout["status"], "detached" in checkout["summary"]) == ("warn", True)


def test_measuring_writes_nothing(world: World) -> None:
    (world.app / "app.py").write_text("hot fix\n")
    index = (world.app / ".git" / "index").stat().st_mtime_ns
    before = sorted(str(path) for path in world.folder.rglob("*"))
    found(world)
    assert (world.app / ".git" / "index").stat().st_mtime_ns == index
    assert sorted(str(path) for path in world.folder.rglob("*")) == before


def test_a_deployment_is_as_old_as_the_checkout_not_as_the_commit(world: World) -> None:
    old = "2020-01-01T00:00:00Z"
    world.git("commit", "--quiet", "--allow-empty", "-m", "Old", "--date", old)
    recent = found(world)["deploy_recent"]
    assert recent["status"] == "warn"
    assert recent["observed"]["age_minutes"] < 5
    assert time.strftime("%Y") in recent["observed"]["deployed_at"]


def test_what_runs_and_what_is_checked_out_are_compared(world: World) -> None:
    world.commit("Not deployed", {"app.py": "two\n"})
    running = found(world)["deploy_running"]
    assert (running["status"], "did not come to its end" in running["summary"]) == ("fail", True)
    (world.folder / "live").unlink()
    assert status(world)["deploy_running"] == "unknown"
    unset = {**world.options()["running"], "kind": "none"}
    assert "nobody told" in found(world, running=unset)["deploy_running"]["summary"]


def test_nothing_but_a_checkout_is_measured(world: World) -> None:
    said = found(world, path=str(world.folder), migrations=MIGRATIONS)
    assert said["deploy_checkout"]["status"] == "fail"
    assert "no git checkout" in said["deploy_checkout"]["summary"]
    assert set(said) == set(CHECKS)
    assert {said[check]["status"] for check in CHECKS[1:]} == {"unknown"}


def test_a_commit_that_is_asked_for_and_unknown_is_told_before_anything_is_tried(world: World) -> None:
    said = found(world, sha="0123456789")["deploy_target"]
    assert (said["status"], "no such commit" in said["summary"]) == ("fail", True)


def test_a_database_that_is_behind(with_database: World, postgres: PostgresServer) -> None:
    world = with_database
    files = {"migrations/0001_a.sql": "", "migrations/0002_b.sql": "ALTER TABLE t DROP COLUMN c;"}
    world.commit("Migrations", files, deploy=True)
    apply(world, postgres, 1)
    said = found(world, migrations=MIGRATIONS)["migrations_state"]
    assert (said["status"], said["observed"]["state"]) == ("fail", "behind")
    assert said["observed"]["pending"] == ["migrations/0002_b.sql"]
    assert said["observed"]["destructive"] == ["migrations/0002_b.sql"]
    assert said["observed"]["code_is"] == "what runs"


def test_migrations_are_held_against_what_runs_not_against_the_checkout(
    with_database: World, postgres: PostgresServer
) -> None:
    world = with_database
    world.commit("One", {"migrations/0001_a.sql": ""}, deploy=True)
    world.commit("Two", {"migrations/0002_b.sql": ""})
    apply(world, postgres, 1)
    assert status(world, migrations=MIGRATIONS)["migrations_state"] == "ok"
    assert status(world, migrations=MIGRATIONS)["deploy_running"] == "fail"


def test_a_database_that_is_ahead_names_the_code_that_fits(
    with_database: World, postgres: PostgresServer
) -> None:
    world = with_database
    old = world.commit("One", {"migrations/0001_a.sql": ""}, deploy=True)
    fits = world.commit("Two", {"migrations/0002_b.sql": ""}, deploy=True)
    world.commit("Three", {"migrations/0003_c.sql": ""}, deploy=True)
    apply(world, postgres, 1, 2)
    world.git("checkout", "--quiet", "--detach", old)
    (world.folder / "live").write_text(old)
    said = found(world, migrations=MIGRATIONS)
    assert said["migrations_state"]["observed"]["state"] == "ahead"
    assert said["migrations_state"]["observed"]["matching"] == fits
    assert "no migration may be run" in said["migrations_state"]["summary"]


def test_code_that_fits_and_is_checked_out_but_does_not_run_is_named_by_its_id(
    with_database: World, postgres: PostgresServer
) -> None:
    world = with_database
    world.commit("One", {"migrations/0001_a.sql": ""}, deploy=True)
    fits = world.commit("Two", {"migrations/0002_b.sql": ""})
    apply(world, postgres, 1, 2)
    assert found(world, migrations=MIGRATIONS)["migrations_state"]["observed"]["matching"] == fits


def test_a_rollback_below_the_schema_is_refused_and_the_migrations_are_named(
    with_database: World, postgres: PostgresServer
) -> None:
    world = with_database
    old = world.git("rev-parse", "HEAD")
    fits = world.commit("One", {"migrations/0001_a.sql": ""}, deploy=True)
    bad = world.commit("Two", {"app.py": "two\n"}, deploy=True)
    apply(world, postgres, 1)
    target = found(world, migrations=MIGRATIONS)["deploy_target"]
    assert (target["status"], target["observed"]["sha"]) == ("ok", fits)
    asked = found(world, migrations=MIGRATIONS, sha=old)["deploy_target"]
    assert (asked["status"], "migrations/0001_a.sql" in asked["summary"]) == ("warn", True)
    with pytest.raises(OncallError) as caught:
        deploy(world.options(migrations=MIGRATIONS, sha=old), check_mode=True)
    assert caught.value.kind == "code_older_than_schema"
    assert "migrations/0001_a.sql is applied" in caught.value.message
    assert world.live == bad
    done = deploy(world.options(migrations=MIGRATIONS), check_mode=False)
    assert done["sha"] == fits


def test_what_was_there_may_come_back_although_it_is_older_than_the_schema(
    with_database: World, postgres: PostgresServer
) -> None:
    world = with_database
    old = world.git("rev-parse", "HEAD")
    fits = world.commit("One", {"migrations/0001_a.sql": ""}, deploy=True)
    apply(world, postgres, 1)
    world.git("checkout", "--quiet", "--detach", old)
    (world.folder / "live").write_text(old)
    done = deploy(world.options(migrations=MIGRATIONS, sha=fits), check_mode=False)
    given = world.options(migrations=MIGRATIONS, run="later", receipt=done["undo"]["args"])
    assert undo(given, check_mode=True)["sha"] == old
    apply(world, postgres, 2)
    with pytest.raises(OncallError, match="2 "):
        undo(given, check_mode=True)


def test_without_the_database_no_commit_is_deployed(with_database: World) -> None:
    world = with_database
    world.commit("Two", {"app.py": "two\n"}, deploy=True)
    world.login["login_port"] = 9
    said = found(world, migrations=MIGRATIONS)
    assert said["deploy_target"]["status"] == said["migrations_state"]["status"] == "unknown"
    with pytest.raises(OncallError, match="connect to PostgreSQL"):
        deploy(world.options(migrations=MIGRATIONS), check_mode=False)


def test_an_index_that_was_never_ended_is_told(with_database: World, postgres: PostgresServer) -> None:
    world = with_database
    world.commit("One", {"migrations/0001_a.sql": ""}, deploy=True)
    apply(world, postgres, 1)
    name = world.login["database"]
    postgres.execute("CREATE TABLE t AS SELECT 1 AS a FROM generate_series(1, 2)", database=name)
    with pytest.raises(Exception, match="could not create unique index"):
        postgres.execute("CREATE UNIQUE INDEX CONCURRENTLY half ON t (a)", database=name)
    partial = found(world, migrations=MIGRATIONS)["migrations_partial"]
    assert (partial["status"], partial["observed"]["invalid_indexes"]) == ("warn", ["public.half"])
