"""What is refused before anything is made, or stopped before the switch: each says why and what to do."""

from __future__ import annotations

import gzip
import subprocess

import pytest
from psycopg2 import sql
from restoring import SCHEMA, Restoring

from runbook.rehearsal.fault_proxy import S3FaultProxy


def test_wrong_options_and_places_are_told_apart(restoring: Restoring) -> None:
    live = restoring.digest()
    key = restoring.backup("other/app_20261120T030000Z.sql.gz")
    with S3FaultProxy(restoring.s3.endpoint) as proxy:
        proxy.rules.add("status", status=403, code="AccessDenied", times=0)
        cases = {
            "no_backup": {},
            "bucket_missing": {"bucket": "no-such-bucket"},
            "unreachable": {"endpoint_url": "http://127.0.0.1:9"},
            "no_permission": {"endpoint_url": proxy.url},
        }
        said = restoring.run_all(list(cases.values()))
    for kind, outcome in zip(cases, said, strict=True):
        restoring.failed(outcome, kind, live)
    wrong = [
        {"bucket": ""},
        {"state": "nonsense"},
        {"jobs": 0},
        {"jobs": "many"},
        {"run": "no good; id"},
        {"no_such_option": 1},
        {"key": key, "pattern": "(unclosed"},
        {"before": "yesterday-ish"},
        {"in_place": True, "confirm_in_place": "other"},
        {"in_place": True},
        {"database": "postgres"},
        {"backup": {"look": True}},
    ]
    for options, outcome in zip(wrong, restoring.run_all(wrong), strict=True):
        assert outcome["error"]["kind"] == "usage", (options, outcome)
        restoring.failed(outcome, "usage", live)
    assert restoring.others() == []


def test_a_missing_extension_is_named(restoring: Restoring) -> None:
    text = restoring.dump().decode()
    extension = "CREATE EXTENSION IF NOT EXISTS no_such_extension WITH SCHEMA public;\n\nCREATE TABLE"
    live = restoring.digest()
    restoring.upload(gzip.compress(text.replace("CREATE TABLE", extension, 1).encode()))
    said = restoring.run()
    restoring.failed(said, "missing_extension", live, "no_such_extension", "package")
    assert restoring.others() == []


def test_a_prepared_transaction_on_live(restoring: Restoring) -> None:
    restoring.backup()
    live = restoring.digest()
    connection = restoring.server.connect(restoring.database)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO users VALUES (-1, 'in doubt')")
        cursor.execute(f"PREPARE TRANSACTION 'doubt-{restoring.database}'")
    connection.close()
    try:
        said = restoring.run()
        restoring.failed(
            said, "prepared_transactions", live, f"doubt-{restoring.database}", "ROLLBACK PREPARED"
        )
    finally:
        restoring.server.execute(
            f"ROLLBACK PREPARED 'doubt-{restoring.database}'", database=restoring.database
        )


def test_a_slot_and_a_subscription_on_live_are_told(restoring: Restoring) -> None:
    server, name = restoring.server, restoring.database
    server.execute(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')", database=name)
    publisher = "CONNECTION 'host=127.0.0.1 port=9' PUBLICATION theirs WITH (connect = false)"
    server.execute(f"CREATE SUBSCRIPTION {name} {publisher}", database=name)
    restoring.backup()
    server.execute(f"ALTER SUBSCRIPTION {name} ENABLE", database=name)
    try:
        done = restoring.run()
        assert done["changed"], done
        told = " ".join(restoring.output.split())  # Ansible breaks lines as wide as its screen
        assert f"logical replication slot {name} (idle) stays with the old database" in told
        assert f"subscription {name} goes on in the old database" in told
        held = restoring.run(state="released")
        assert held["error"]["kind"] == "release", held
        assert "pg_replication_slots" in held["msg"]
        assert held["left_unchanged"] is True
    finally:
        server.execute(f"SELECT pg_drop_replication_slot('{name}')")
        for database in (name, f"{name}_before_run_1"):
            server.execute(f"ALTER SUBSCRIPTION {name} DISABLE", database=database)
            server.execute(f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)", database=database)
            server.execute(f"DROP SUBSCRIPTION {name}", database=database)


def test_the_name_of_the_new_database_is_taken(restoring: Restoring) -> None:
    restoring.backup()
    live = restoring.digest()
    taken = restoring.database + "_restore_run_1"
    restoring.server.execute(f'CREATE DATABASE "{taken}"')
    filler = "CREATE TABLE theirs AS SELECT repeat(md5(i::text), 40) FROM generate_series(1, 20000) i"
    restoring.server.execute(filler, database=taken)
    said = restoring.run()
    restoring.failed(said, "name_taken", live, taken, "another run id")
    assert restoring.server.execute("SELECT count(*) FROM theirs", database=taken) == [(20000,)]


STRANGER = """
CREATE TABLE "Coops" (id bigint PRIMARY KEY); CREATE TABLE perches (id bigint);
INSERT INTO perches SELECT generate_series(1, 100)
"""


@pytest.fixture
def stranger(restoring: Restoring) -> str:
    """A database of another system on the same server."""
    name = restoring.database + "_stranger"
    restoring.server.execute(f'CREATE DATABASE "{name}"')
    restoring.server.execute(STRANGER, database=name)
    return name


@pytest.mark.parametrize("how", ["plain", pytest.param("custom", marks=pytest.mark.slow)])
def test_a_backup_of_another_database_is_stopped(restoring: Restoring, stranger: str, how: str) -> None:
    live = restoring.digest()
    others = restoring.others()
    flags = ("-Fc",) if how == "custom" else ()
    content = restoring.server.run("pg_dump", *flags, stranger).stdout
    suffix = "dump" if how == "custom" else "sql.gz"
    restoring.upload(content if flags else gzip.compress(content), f"daily/app_20261120T030000Z.{suffix}")
    passing = [{"name": "always", "sql": "SELECT true"}]
    said, checked = restoring.run_all([{}, {"checks": passing}])
    restoring.failed(said, "other_database", live, "allow_other_database", restoring.database)
    restoring.failed(checked, "other_database", live, "0 of the 2 tables that are live", '"Coops"')
    if how == "custom":
        assert f"of the database {stranger}" in said["msg"]
        planned = restoring.run("--check")
        assert planned["error"]["kind"] == "other_database"
    assert restoring.others() == others
    done = restoring.run(allow_other_database=True)
    assert done["changed"], done
    assert done["comparison"]["tables_missing_in_backup"] == ["public.orders", "public.users"]


def test_a_renamed_copy_with_the_same_tables_needs_a_proof(restoring: Restoring, stranger: str) -> None:
    """A dump of the staging database has every table of production: only its name tells."""
    restoring.server.execute('DROP TABLE "Coops", perches', database=stranger)
    restoring.server.execute(SCHEMA, database=stranger)
    live = restoring.digest()
    content = restoring.server.run("pg_dump", "-Fc", stranger).stdout
    restoring.upload(content, "daily/app_20261120T030000Z.dump")
    said, proved = restoring.run_all(
        [{}, {"checks": [{"name": "has orders", "sql": "SELECT count(*) = 6000 FROM orders"}]}]
    )
    assert said["error"]["kind"] == "other_database", said
    assert stranger in said["msg"]
    assert said["left_unchanged"] is True
    assert proved["changed"], proved
    assert restoring.digest(proved["names"]["kept"]) == live


def test_the_comparison_with_live_is_in_the_result(restoring: Restoring) -> None:
    restoring.backup()
    restoring.fill(
        "CREATE TABLE newer (id int); INSERT INTO users SELECT i FROM generate_series(9001, 9007) i"
    )
    restoring.fill("DELETE FROM orders WHERE id > 10")
    done = restoring.run()
    assert done["changed"], done
    assert done["comparison"] == {
        "live": "answers",
        "tables_missing_in_backup": ["public.newer"],
        "tables_missing_in_live": [],
        "tables_with_other_row_counts": [
            {"table": "public.orders", "live": 10, "restored": 6000, "exact": True},
            {"table": "public.users", "live": 3007, "restored": 3000, "exact": True},
        ],
    }
    assert "the backup lacks 1 table(s) that are live: public.newer" in restoring.output
    assert done["data_loss"]["rows_newer_total"] == 7
    assert "; 7 rows newer in 1 of 1 tables" in done["data_loss"]["summary"]


def test_credentials_that_expire_midway(restoring: Restoring) -> None:
    restoring.fill("CREATE TABLE noise AS SELECT md5(i::text) FROM generate_series(1, 30000) i")
    live = restoring.digest()
    restoring.backup()
    with S3FaultProxy(restoring.s3.endpoint) as proxy:
        # The controller's two looks pass, then the first bytes; the store takes its signatures no more.
        proxy.rules.add("cut", path=r"\.gz", method="GET", after_bytes=90_000, skip=2)
        refuse = proxy.rules.add
        refuse("status", path=r"\.gz", method="GET", status=400, code="ExpiredToken", skip=2, times=0)
        said = restoring.run(endpoint_url=proxy.url)
    restoring.failed(said, "url_expired", live, "ExpiredToken", "session_token on the controller")
    assert restoring.others() == []


@pytest.mark.parametrize(
    "name",
    [
        'it\'s "quoted" %s; DROP DATABASE postgres --',
        pytest.param("Ünïcode été 数据库 {}", marks=pytest.mark.slow),
    ],
)
def test_names_that_would_break_sql(restoring: Restoring, name: str) -> None:
    server, plain = restoring.server, restoring.database
    hostile = f"{plain}{name}"
    server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*map(sql.Identifier, (plain, hostile))))
    restoring.database = hostile
    try:
        connection = "dbname='{}'".format(hostile.replace("\\", "\\\\").replace("'", "\\'"))
        content = server.run("pg_dump", "-Fc", connection).stdout
        restoring.upload(content, "daily/app_20261120T030000Z.dump")
        server.execute("DELETE FROM orders", database=hostile)
        done = restoring.run()
        assert done["changed"], done
        count = "SELECT count(*) FROM orders"
        assert server.execute(count, database=hostile) == [(6000,)]
        undone = restoring.run(**done["undo"]["args"])
        assert undone["changed"], undone
        assert server.execute(count, database=hostile) == [(0,)]
        assert restoring.run(state="released")["changed"]
        assert restoring.others() == []
    finally:
        for (made,) in server.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (plain,)
        ):
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(made)))


@pytest.mark.parametrize("how", ["directory", pytest.param("zstd", marks=pytest.mark.slow)])
def test_directory_and_zstd(restoring: Restoring, how: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    good = restoring.digest()
    options: dict[str, object] = {}
    if how == "zstd":
        try:
            packed = subprocess.run(["zstd", "-q"], input=restoring.dump(), capture_output=True, check=True)
        except OSError:
            pytest.skip("no zstd program here")
        restoring.upload(packed.stdout, "daily/app_20261120T030000Z.sql.zst")
    else:
        folder = restoring.server.folder / f"dir-{restoring.database}"
        restoring.server.run("pg_dump", "-Fd", "-j2", "-f", str(folder), restoring.database)
        for file in sorted(folder.iterdir()):
            restoring.upload(file.read_bytes(), f"daily/app_20261120T030000Z/{file.name}")
        options = {"pattern": r"app_(?P<timestamp>\d{8}T\d{6}Z)/?"}
    restoring.server.execute("DELETE FROM orders", database=restoring.database)
    done = restoring.run(**options)
    assert done["changed"], done
    assert done["tables"] == {"public.orders": 6000, "public.users": 3000}
    assert restoring.digest() == good
