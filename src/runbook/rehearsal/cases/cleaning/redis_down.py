"""redis-down: Redis is gone, full, cannot save, follows another, or its services are not let in."""

from __future__ import annotations

import signal
from typing import Any, ClassVar

from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import disk, redis, services


def _wrong_file(stack: Stack) -> None:
    services.change_settings("api", REDIS_URL=redis.wrong_url(stack))(stack)


def _right_file(stack: Stack) -> None:
    services.change_settings("api", REDIS_URL=stack.facts["redis"]["url"])(stack)


def _wrong_process(stack: Stack) -> None:
    services.run_with("api", REDIS_URL=redis.wrong_url(stack))(stack)


_SYMPTOMS = (
    Symptom(
        "redis-killed",
        "Redis is gone: nobody can log in",
        services.kill("redis"),
        redis.start,
        expects="restart",
        finds=("redis_runtime", "redis_answers"),
    ),
    Symptom(
        "redis-frozen",
        "Redis is frozen: it takes connections and does not answer",
        services.send("redis", signal.SIGSTOP),
        services.send("redis", signal.SIGCONT),
        expects="restart",
        finds=("redis_runtime", "redis_answers"),
    ),
    Symptom(
        "memory-full",
        "maxmemory is used up and nothing may be evicted: PING answers, writes are refused",
        redis.fill_memory,
        redis.empty_memory,
        expects="raise-memory",
        finds=("redis_writes", "redis_memory"),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "save-failed",
        "a snapshot failed, so writes are refused, although there is nothing in its way any more",
        redis.fail_a_save,
        redis.save,
        expects="save-now",
        finds=("redis_writes", "redis_persistence"),
    ),
    Symptom(
        "accidental-replica",
        "Redis follows a server that is not there: it answers and refuses writes",
        redis.follow_nobody,
        redis.lead,
        expects="promote",
        finds=("redis_writes", "redis_role"),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "wrong-password-in-file",
        "a deployment brought another password: Redis is well and lets nobody in",
        _wrong_file,
        _right_file,
        expects="restore-settings",
        finds=("redis_credentials",),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "other-settings-in-process",
        "the API runs with an old password, the right one is in the file",
        _wrong_process,
        services.start("api"),
        expects="recreate-clients",
        finds=("redis_credentials",),
    ),
    Symptom(
        "connections-leaked",
        "the API holds every connection and gives none back",
        redis.take_all_connections,
        services.start("api"),
        expects="restart-clients",
        finds=("redis_answers",),
    ),
    Symptom(
        "corrupt-aof",
        "an entry of the append-only file is rubbish, so Redis does not start; all before it is good",
        redis.damage_files,
        expects="repair-aof",
        finds=("redis_runtime", "redis_log"),
        damages=True,
        undoes=True,
    ),
    Symptom(
        "disk-full",
        "no byte is free on the disk, so a snapshot failed and writes are refused",
        redis.fill_disk,
        disk.free,
        expects="free-disk",
        finds=("data_disk", "redis_persistence"),
    ),
    Symptom(
        "save-blocked",
        "something lies where the snapshot has to go: a save fails again",
        redis.block_saves,
        redis.unblock_saves,
        kind="failing step",
        expects="save-now",
        finds=("redis_writes", "redis_persistence"),
        ends="failed",
        says="it failed",
        relief=redis.unblock_saves,
        then="again",
    ),
    Symptom(
        "primary-lives",
        "Redis follows an address where something lives: nobody can say that it is not the primary",
        redis.follow_somebody,
        redis.lead,
        kind="failing dependency",
        expects="promote",
        finds=("redis_writes", "redis_role"),
        damages=True,
        ends="failed, undone",
        in_plan=True,
        says="something listens there",
    ),
)


class RedisDown(Case):
    """Outside is a customer who logs in; the picture is every key, the limits, the role, the settings."""

    runbook = "redis-down"
    parts: ClassVar = frozenset({"database", "services", "redis"})
    default = "memory-full"
    symptoms = _SYMPTOMS
    same_steps: ClassVar = {
        "free-disk": ("save-now",),
        "repair-aof": ("restart",),
        "recreate-clients": ("restart-clients",),
    }
    _well: dict[str, Any]

    def problem_outside(self, stack: Stack) -> str:
        """Log in by the public address, and use the session."""
        return redis.log_in(stack)

    def healthy(self, stack: Stack) -> str:
        """Also say which Redis it is, and remember what it holds."""
        self._well = self.picture(stack)
        return f"Redis {redis.of(stack).binary.version}, {super().healthy(stack)}"

    def picture(self, stack: Stack) -> dict[str, Any]:
        """Take keys, limits, role and settings."""
        return redis.picture(stack)

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """Also see that what the repaired files hold is what Redis held while it was well."""
        found = super().verified(stack, fault, before)
        if fault.name == "corrupt-aof" and not found:
            found += self.differences(self._well, self.picture(stack))
        return found

    @property
    def proof(self) -> str:
        """What was seen."""
        return "a customer can log in; no session, message or limit is lost, no setting is another"


CASE = RedisDown
