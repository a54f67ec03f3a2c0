"""What the log of Redis says is still wrong: lines as its versions and container engines write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.redis.log import (
    measure_redis_log,
    still_wrong,
    time_of,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import (
    LogText,
    Provider,
    ServiceState,
)

OWN = "9:M 21 Nov 2026 13:04:19.123 # "
ENGINE = "2026-11-21T13:04:19.123456789Z 1:M 21 Nov 2026 13:04:19.123 # "


class Logged(Provider):
    """A platform with this log."""

    kind = "docker"

    def __init__(self, text: str) -> None:
        super().__init__("redis", timeout=1)
        self.text = text

    def state(self) -> ServiceState:
        raise AssertionError("the log alone is asked for")

    def logs(self, *, hours: float, max_bytes: int) -> LogText:
        return LogText(self.text, "docker logs redis")

    thaw = restart = state  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Bad file format reading the append only file: make a backup of your AOF file", "corrupt_aof"),
        ("Unexpected end of file reading the append only file. You can: 1) Make a backup", "corrupt_aof"),
        ("Short read or OOM loading DB. Unrecoverable error, aborting now.", "corrupt_snapshot"),
        ("Wrong signature trying to load DB from file", "corrupt_snapshot"),
        ("Write error saving DB on disk: No space left on device", "disk_full"),
        ("Can't save in background: fork: Cannot allocate memory", "out_of_memory"),
        ("Background saving error", "save_failed"),
        ("Failed opening the temp RDB file temp-7.rdb (in server root dir /data) for saving", "save_failed"),
        ("*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***", "configuration"),
        (
            "Could not create server TCP listening socket *:6379: bind: Address in use",
            "configuration",
        ),
        ("=== REDIS BUG REPORT START: Cut & paste starting from here ===", "crash"),
        ("Error condition on socket for SYNC: Connection refused", "replication"),
    ],
)
@pytest.mark.parametrize("start", [OWN, ENGINE])
def test_each_complaint_has_a_class(start: str, line: str, name: str) -> None:
    assert [group.name for group in still_wrong([start + line])] == [name]


@pytest.mark.parametrize(
    "line",
    [
        "Server initialized",
        "WARNING Memory overcommit must be enabled! Without it, a background save may fail",
        "Ready to accept connections",
        "Background saving terminated with success",
    ],
)
def test_what_every_start_says_is_no_complaint(line: str) -> None:
    assert still_wrong([OWN + line]) == []


def test_what_is_over_is_not_told() -> None:
    lines = [
        "Background saving error",
        "Background saving terminated with success",
        "Bad file format reading the append only file",
        "Ready to accept connections",
    ]
    assert still_wrong([OWN + line for line in lines]) == []
    assert [g.name for g in still_wrong([OWN + line for line in lines[:3]])] == ["corrupt_aof"]


def test_the_gravest_comes_first_with_its_time() -> None:
    found = still_wrong(
        [ENGINE + "Background saving error", OWN + "Bad file format reading the append only file"]
    )
    assert [group.name for group in found] == ["corrupt_aof", "save_failed"]
    assert found[1].last == datetime(2026, 11, 21, 13, 4, 19, tzinfo=UTC)


def test_a_time_of_redis_itself_is_the_local_time_of_the_host() -> None:
    local = datetime(2026, 11, 21, 13, 4, 19).astimezone()
    assert time_of(OWN + "x") == local
    assert time_of("no time at all") is None


def test_old_complaints_and_secrets_are_not_told() -> None:
    text = ENGINE + "Background saving error with canary-password-of-redis\n"
    now = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)
    (found,) = measure_redis_log(Logged(text), 2.0, ["canary-password-of-redis"], now)
    assert (found["status"], found["observed"]["worst"]) == ("fail", "save_failed")
    assert "canary-password" not in str(found)
    (found,) = measure_redis_log(Logged(text), 0.5, (), now)
    assert found["status"] == "ok"
