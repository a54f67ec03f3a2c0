"""Background jobs that have stopped, a lock that a dead scheduler left behind, and messages that failed."""

from __future__ import annotations

import time
import uuid

from runbook.rehearsal.stack import Stack

_DEAD_OWNER = "cleaning-worker-of-yesterday"
_UNDELIVERED = """
SELECT count(*) FROM public.dead_letters
WHERE kind <> 'probe' AND replayed_at IS NULL AND coalesce(expires_at > now(), true)
  AND left(payload, 1) = '{'"""


def _sql(stack: Stack, statement: str, *values: object) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = stack.server().execute(statement, values, database=stack.database)
    return found


def silence(stack: Stack) -> None:
    """Let the last heartbeat of every job be an hour old."""
    _sql(stack, "UPDATE public.job_heartbeats SET beat_at = now() - interval '1 hour'")


def leave_lock(stack: Stack) -> None:
    """Let a scheduler that is long gone hold the lock."""
    _held_by_the_dead(stack, "scheduler")
    silence(stack)


def silence_backup(stack: Stack) -> None:
    """Let the last heartbeat of the backup job be a little older than it may be."""
    _sql(stack, "UPDATE public.job_heartbeats SET beat_at = now() - interval '27 h' WHERE job = 'backup'")


def leave_backup_lock(stack: Stack) -> None:
    """Let a backup job that is long gone hold its lock."""
    _held_by_the_dead(stack, "backup")
    silence_backup(stack)


def backup_locked_out(stack: Stack) -> str:
    """Return who without a session holds the lock of the backup job, "" for nobody."""
    found = _sql(
        stack,
        """
        SELECT owner FROM public.locks WHERE name = 'backup' AND owner IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = owner)""",
    )
    return str(found[0][0]) if found else ""


def backup_beat(stack: Stack) -> str:
    """Return when the backup job last reported."""
    (row,) = _sql(stack, "SELECT beat_at::text FROM public.job_heartbeats WHERE job = 'backup'")
    return str(row[0])


def _held_by_the_dead(stack: Stack, name: str) -> None:
    held = "UPDATE public.locks SET owner = %s, beat_at = now() - interval '1 hour' WHERE name = %s"
    _sql(stack, held, _DEAD_OWNER, name)
    # The one that lives may have been in the middle of renewing it.
    time.sleep(0.3)
    _sql(stack, held, _DEAD_OWNER, name)


def fill_dead_letters(stack: Stack) -> None:
    """Leave six receipts undelivered, a login code that is of no use any more, and rubbish."""
    _sql(
        stack,
        """
        INSERT INTO public.dead_letters (kind, payload, idempotency_key, error, failed_at, expires_at)
        SELECT kind, payload, key, 'provider timed out', now() - interval '2 h', now() + lives * interval '1h'
        FROM (SELECT 'receipt', '{"booking": ' || i || '}', 'receipt-' || i, 20 FROM generate_series(1, 6) i
              UNION ALL SELECT 'login_code', '{"customer": 7}', 'code-7', -1
              UNION ALL SELECT 'receipt', 'no json', 'receipt-x', 20) AS one (kind, payload, key, lives)""",
    )


def undelivered(stack: Stack) -> int:
    """Return how many messages failed, are still of use, and were never queued again."""
    (row,) = _sql(stack, _UNDELIVERED)
    return int(str(row[0]))


def worked_on(stack: Stack, within_s: float = 3.0) -> str:
    """Queue a message and wait until it is worked on, once; return what goes wrong, "" for nothing."""
    key = "probe-" + uuid.uuid4().hex[:12]
    _sql(stack, "INSERT INTO public.jobs (kind, payload, idempotency_key) VALUES ('probe', '{}', %s)", key)
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if _sql(stack, "SELECT 1 FROM public.job_runs WHERE idempotency_key = %s", key):
            return ""
        time.sleep(0.05)
    return f"a message that was queued is not worked on within {within_s:g} s"


def ran_twice(stack: Stack) -> list[str]:
    """Return the keys of the messages that were worked on more than once."""
    twice = "SELECT idempotency_key FROM public.job_runs GROUP BY 1 HAVING count(*) > 1 ORDER BY 1"
    return [str(row[0]) for row in _sql(stack, twice)]


def owner(stack: Stack) -> str:
    """Return who holds the scheduler's lock, "" when nobody does."""
    (row,) = _sql(stack, "SELECT coalesce(owner, '') FROM public.locks WHERE name = 'scheduler'")
    return str(row[0])
