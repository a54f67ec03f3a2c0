"""The job that makes backups, by itself: a limit of its own, its lock, and its heartbeat written."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.beat import beat
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.look import health_spec, look

from runbook.rehearsal.postgres_server import PostgresServer

_SCHEMA = """
CREATE TABLE beats (job text PRIMARY KEY, beat_at timestamptz, interval_s int);
CREATE TABLE locks (name text PRIMARY KEY, owner text, beat_at timestamptz);
INSERT INTO beats VALUES ('backup', now() - interval '27 h', 86400), ('mail', now(), 60);
INSERT INTO locks VALUES ('backup', 'gone', now() - interval '1 day'),
  ('scheduler', 'gone', now() - interval '1 h');
"""


class Job:
    """The tables of one database, and the modules' work over them."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server, self.database = server, database

    def sql(self, statement: str) -> Any:
        return self.server.execute(statement, database=self.database)

    def params(self, **changes: Any) -> dict[str, Any]:
        limits = {name: spec["default"] for name, spec in health_spec().items()}
        return {
            **limits,
            "login_host": "127.0.0.1",
            "login_port": self.server.port,
            "login_user": self.server.superuser,
            "login_password": self.server.password,
            "database": self.database,
            "timeout": 5.0,
            "heartbeats": {
                "table": "public.beats",
                "job": "job",
                "beat_at": "beat_at",
                "interval": "interval_s",
            },
            "lock": {"table": "public.locks", "lock": "name", "owner": "owner", "beat_at": "beat_at"},
            "job": "backup",
            "beat_at": "",
            "expected": "",
            **changes,
        }

    def seen(self, **changes: Any) -> dict[str, str]:
        found = look(self.params(**changes), check_mode=False)["findings"]
        return {
            f"{one['check']} {one['observed'].get('job') or one['observed'].get('lock')}": one["status"]
            for one in found
        }


@pytest.fixture
def job(postgres: PostgresServer, database: str) -> Job:
    made = Job(postgres, database)
    made.sql(_SCHEMA)
    return made


def test_one_job_is_measured_apart_from_the_others(job: Job) -> None:
    alone = {"subject": "backup", "names": ["backup"], "max_age_s": 26 * 3600.0}
    assert job.seen(**alone) == {"backup_heartbeat backup": "fail", "backup_lock backup": "fail"}
    assert job.seen(**{**alone, "max_age_s": 28 * 3600.0})["backup_heartbeat backup"] == "ok"
    assert job.seen(except_names=["backup"]) == {"job_heartbeat mail": "ok", "job_lock scheduler": "fail"}


def test_a_job_without_a_heartbeat_is_no_healthy_one(job: Job) -> None:
    job.sql("DELETE FROM beats WHERE job = 'backup'")
    assert job.seen(subject="backup", names=["backup"])["backup_heartbeat None"] == "fail"
    with pytest.raises(ConflictError, match="0 rows of the job backup"):
        beat(job.params(), check_mode=False)


def test_a_heartbeat_is_written_and_taken_back(job: Job) -> None:
    (before,) = job.sql("SELECT beat_at::text FROM beats WHERE job = 'backup'")
    planned = beat(job.params(), check_mode=True)
    assert job.sql("SELECT beat_at::text FROM beats WHERE job = 'backup'") == [before]
    done = beat(job.params(), check_mode=False)
    assert done["diff"] == planned["diff"]
    assert job.seen(names=["backup"], max_age_s=60.0)["job_heartbeat backup"] == "ok"
    beat(job.params(**done["undo"]["args"]), check_mode=False)
    assert job.sql("SELECT beat_at::text FROM beats WHERE job = 'backup'") == [before]


def test_a_job_that_has_reported_since_keeps_its_time(job: Job) -> None:
    done = beat(job.params(), check_mode=False)
    job.sql("UPDATE beats SET beat_at = now() WHERE job = 'backup'")
    assert not beat(job.params(**done["undo"]["args"]), check_mode=False)["changed"]
    assert job.seen(names=["backup"], max_age_s=60.0)["job_heartbeat backup"] == "ok"


def test_without_a_table_nothing_is_tried(job: Job) -> None:
    with pytest.raises(UsageError, match="heartbeats is not given"):
        beat(job.params(heartbeats=None), check_mode=False)
