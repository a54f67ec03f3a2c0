"""pg_restore_r2 end to end: the good way, and everything that can be wrong with a backup or its way in."""

from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from restoring import Restoring

from runbook.rehearsal.fault_proxy import S3FaultProxy


def test_plan_restore_again_undo_release(restoring: Restoring) -> None:
    good = restoring.digest()
    restoring.backup()
    restoring.server.execute("DELETE FROM orders WHERE id > 10", database=restoring.database)
    damaged = restoring.digest()
    planned = restoring.run("--check", "--diff")
    assert planned["changed"], planned
    assert restoring.others() == []
    assert restoring.digest() == damaged
    done = restoring.run()
    assert done["changed"], done
    assert done["diff"] == planned["diff"]
    assert restoring.digest() == good
    assert done["tables"] == {"public.orders": 6000, "public.users": 3000}
    assert done["verification"]["end_marker"] is True
    assert done["backup"]["key"] == "daily/app_20261120T030000Z.sql.gz"
    assert restoring.digest(done["names"]["kept"]) == damaged
    progress = [json.loads(line) for line in (restoring.folder / "progress.jsonl").read_text().splitlines()]
    assert {"at", "run", "host", "phase", "bytes", "total", "text"} <= set(progress[0])
    again = restoring.run()
    assert not again["changed"]
    assert "was restored from daily/app_20261120T030000Z.sql.gz already" in again["msg"]
    assert again["data_loss"] == {}, "a restore that changes nothing loses nothing"
    undone = restoring.run(**done["undo"]["args"])
    assert undone["changed"]
    assert restoring.digest() == damaged
    assert restoring.run(state="released")["released"] == [
        done["names"]["restored"].replace("restore", "after")
    ]
    assert restoring.others() == []


def cut_gzip(content: bytes) -> bytes:
    return gzip.compress(content)[: len(gzip.compress(content)) // 2]


def cut_sql(content: bytes) -> bytes:
    return gzip.compress(content[: len(content) // 2])


def flipped(content: bytes) -> bytes:
    packed = bytearray(gzip.compress(content))
    packed[len(packed) // 2] ^= 0xFF
    return bytes(packed)


@pytest.mark.parametrize("damage", [cut_gzip, cut_sql, flipped])
def test_a_damaged_backup_named_by_its_key_is_an_error(restoring: Restoring, damage: Any) -> None:
    live = restoring.digest()
    key = restoring.upload(damage(restoring.dump()))
    said = restoring.run(key=key)
    assert said["failed"], said
    assert said["error"]["kind"] in ("dump_truncated", "dump", "checksum", "bad_data"), said["msg"]
    assert "Next:" in said["msg"]
    assert restoring.digest() == live
    assert restoring.others() == []


def test_a_wrong_checksum_beside_the_backup(restoring: Restoring) -> None:
    live = restoring.digest()
    key = restoring.backup()
    restoring.upload(b"0" * 64 + b"  " + key.encode().split(b"/")[-1] + b"\n", key + ".sha256")
    said = restoring.run()
    assert said["error"]["kind"] == "checksum", said
    assert restoring.digest() == live
    assert restoring.others() == []


@pytest.mark.slow
def test_nothing_to_restore(restoring: Restoring) -> None:
    assert restoring.run()["error"]["kind"] == "no_backup"
    assert "bucket" in restoring.run(bucket="no-such-bucket")["msg"]
    assert restoring.run(endpoint_url="http://127.0.0.1:9")["error"]["kind"]
    assert restoring.run(bucket="")["error"]["kind"] == "usage"
    assert restoring.run(state="nonsense")["error"]["kind"] == "usage"
    assert restoring.run(in_place=True, confirm_in_place="other")["failed"]
    assert restoring.others() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset", "after_bytes": 20_000, "times": 2},
        {"kind": "cut", "after_bytes": 20_000, "times": 2},
        {"kind": "stall", "after_bytes": 20_000, "times": 1},
        {"kind": "status", "status": 503, "times": 3},
    ],
)
def test_a_bad_connection_is_lived_through(restoring: Restoring, fault: dict[str, Any]) -> None:
    good = restoring.digest()
    restoring.backup()
    with S3FaultProxy(restoring.s3.endpoint) as proxy:
        # The first two requests are the controller's look at the head and the tail.
        proxy.rules.add(path=r"\.gz", method="GET", skip=2, **fault)
        restoring.server.execute("DELETE FROM orders", database=restoring.database)
        done = restoring.run(endpoint_url=proxy.url)
    assert done["changed"], done
    assert restoring.digest() == good


def test_missing_role_and_extension_are_named(restoring: Restoring) -> None:
    role = "owner_" + restoring.database
    restoring.server.execute(f"CREATE ROLE {role}")
    restoring.server.execute(f"ALTER TABLE orders OWNER TO {role}", database=restoring.database)
    restoring.backup()
    restoring.server.execute(f"REASSIGN OWNED BY {role} TO postgres", database=restoring.database)
    restoring.server.execute(f"DROP ROLE {role}")
    live = restoring.digest()
    said = restoring.run()
    assert said["error"]["kind"] == "missing_role"
    assert f'CREATE ROLE "{role}"' in said["msg"]
    assert restoring.digest() == live
    assert restoring.others() == []


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)],
    ids=lambda number: number.name,
)
def test_an_interrupted_controller_ends_the_job_at_once(restoring: Restoring, number: int) -> None:
    restoring.fill(
        "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 20) t FROM generate_series(1, 60000) i"
    )
    restoring.backup()
    live = restoring.digest()
    with S3FaultProxy(restoring.s3.endpoint) as proxy:
        proxy.rules.add("slow", path=r"\.gz", method="GET", rate=100_000, times=0, skip=2)
        # A lease that does not end within this test: the interrupt itself has to reach the job.
        process = restoring.start(endpoint_url=proxy.url, lease=600)
        assert _eventually(lambda: restoring.others() != [])
        process.send_signal(number)
        process.communicate(timeout=40)
        assert _eventually(lambda: restoring.others() == [])
        assert _eventually(lambda: restoring.sessions() == 0)
    assert restoring.digest() == live


def _eventually(condition: Any, seconds: float = 25) -> bool:
    import time

    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


NASTY = (Path(__file__).parents[1] / "data" / "nasty.sql").read_text()


@pytest.mark.parametrize("how", ["plain", "gzip", "custom", "tar"])
def test_everything_a_dump_may_hold_comes_back(restoring: Restoring, how: str) -> None:
    restoring.server.execute("DROP TABLE orders, users", database=restoring.database)
    psql = ("psql", "-qX", "-v", "ON_ERROR_STOP=1")
    restoring.server.run(*psql, input=NASTY.encode(), database=restoring.database)
    good = restoring.digest()
    if how == "plain":
        restoring.upload(restoring.dump(), "daily/app_20261120T030000Z.sql")
    elif how == "gzip":
        restoring.backup()
    else:
        flag, suffix = ("-Fc", "dump") if how == "custom" else ("-Ft", "tar")
        restoring.upload(restoring.dump(flag), f"daily/app_20261120T030000Z.{suffix}")
    restoring.server.execute("CREATE TABLE damage AS SELECT 1", database=restoring.database)
    done = restoring.run()
    assert done["changed"], done
    assert restoring.digest() == good
