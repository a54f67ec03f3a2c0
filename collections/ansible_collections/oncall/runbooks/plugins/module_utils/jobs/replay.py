# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Queue dead letters again: chosen, a few at a time, each once; and take those back that still wait."""

from __future__ import annotations

__metaclass__ = type

import time
from contextlib import closing
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.batches import (
    read_session,
    server_error,
    write_session,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.letters import (
    WHAT,
    Choice,
    Letter,
    shown,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.settle import wait_until
from ansible_collections.oncall.runbooks.plugins.module_utils.jobs.tables import (
    DeadLetters,
    Queue,
    composed,
    joined,
)

MODULE_ROLE = "oncall.runbooks.jobs"
_LETTERS = """
SELECT {id}::text, coalesce({kind}::text, ''), {payload}::text, {key}::text, coalesce({error}::text, ''),
       extract(epoch FROM clock_timestamp() - {failed_at})::float,
       coalesce({expires_at} < clock_timestamp(), false)
FROM {table} WHERE {replayed_at} IS NULL ORDER BY {failed_at}, {id}
"""
# One statement: a letter is marked and queued, or neither. A key that is in the queue already stays one.
_REPLAY = """
WITH due AS (SELECT {dead.id} AS id, {dead.kind} AS kind, {dead.payload} AS payload, {dead.key} AS key
             FROM {dead} WHERE {dead.id}::text = ANY({ids}) AND {dead.replayed_at} IS NULL
             FOR UPDATE SKIP LOCKED),
put AS (INSERT INTO {queue} ({queue.kind}, {queue.payload}, {queue.key}, {queue.enqueued_at})
        SELECT kind, payload, key, clock_timestamp() FROM due ON CONFLICT ({queue.key}) DO NOTHING
        RETURNING {queue.key} AS key),
marked AS (UPDATE {dead} d SET {dead.replayed_at} = clock_timestamp() FROM due WHERE d.{dead.id} = due.id
           RETURNING due.id, due.key)
SELECT m.id::text, m.key::text, p.key IS NOT NULL FROM marked m LEFT JOIN put p ON p.key = m.key
"""
_BACK_AGAIN = """
SELECT count(*) FROM {dead} WHERE {dead.replayed_at} IS NULL AND {dead.key}::text = ANY({keys})
  AND {dead.failed_at} > to_timestamp({since})
"""
# Only what nobody has begun: a job that ran cannot be taken back.
_WITHDRAW = """
WITH gone AS (DELETE FROM {queue} WHERE {queue.key}::text = ANY({keys}) AND {queue.done_at} IS NULL
              AND {queue.taken_at} IS NULL RETURNING {queue.key}::text AS key)
UPDATE {dead} SET {dead.replayed_at} = NULL WHERE {dead.id}::text = ANY({ids})
  AND {dead.key}::text IN (SELECT key FROM gone) RETURNING {dead.id}::text
"""
_UNDONE = "SELECT count(*) FROM {queue} WHERE {queue.key}::text = ANY({keys}) AND {queue.done_at} IS NULL"
_WAITING = """
SELECT {queue.key}::text FROM {queue} WHERE {queue.key}::text = ANY({keys}) AND {queue.done_at} IS NULL
  AND {queue.taken_at} IS NULL
"""

_DELIVERED = {"summary": "workers have done all of them, which cannot be taken back", "reversible": False}


def replay(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Queue the chosen letters, or take back those of `ledger`, and return the module's result."""
    return _Replay(params).run(check_mode=check_mode)


class _Replay:
    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        dead, queue = DeadLetters.from_option(params["dead_letters"]), Queue.from_option(params["queue"])
        if dead is None or queue is None:
            raise UsageError(WHAT, got="dead_letters or queue is not given", next_step="name both tables")
        self.dead, self.queue = dead, queue
        self.login = pg.Login.from_params(params, "oncall-dead-letters")
        self.ledger: List[Dict[str, str]] = []

    def run(self, *, check_mode: bool) -> Dict[str, Any]:
        withdraw = self.params["state"] == "withdrawn"
        with closing(read_session(self.login, self.params["database"], self.params["timeout"])) as reader:
            try:
                self._check(reader)
                work = self._withdraw if withdraw else self._queue
                return work(reader, check_mode=check_mode)
            except pg.Error as error:
                raise self._taken_back_by(server_error(error, WHAT, self.dead.place, "")) from None

    def _check(self, reader: Any) -> None:
        self.dead.check(reader, changed=[self.dead.replayed_at])
        oid = self.queue.check(reader)
        self.queue.require_unique_key(reader, oid)

    def _queue(self, reader: Any, *, check_mode: bool) -> Dict[str, Any]:
        choice = Choice.from_params(self.params)
        rows = pg.rows(reader, composed(_LETTERS, self.dead))
        chosen = [letter for letter in (Letter(*row) for row in rows) if choice.means(letter)]
        reasons = {letter.id: letter.left_alone(choice) for letter in chosen}
        good = [letter for letter in chosen if not reasons[letter.id]]
        left = [dict(shown(one), reason=reasons[one.id]) for one in chosen if reasons[one.id]]
        picked = good[: choice.limit]
        left += [
            dict(shown(one), reason="the limit of %d is reached" % choice.limit)
            for one in good[choice.limit :]
        ]
        if picked and not check_mode:
            self._replay_all(reader, picked)
        return self._result(picked, left)

    def _replay_all(self, reader: Any, letters: Sequence[Letter]) -> None:
        started = float(pg.value(reader, "SELECT extract(epoch FROM clock_timestamp())::float"))
        size, rate = self.params["batch"], self.params["rate"]
        with closing(self._writer()) as writer:
            for at in range(0, len(letters), size):
                part = letters[at : at + size]
                rows = pg.rows(writer, self._joined(_REPLAY, ids=[letter.id for letter in part]))
                self.ledger += [{"id": row[0], "key": row[1]} for row in rows if row[2]]
                time.sleep(len(part) / rate)
                self._stop_when_they_come_back(reader, started, len(letters) - at - len(part))
        self._see_them_done(reader, started)

    def _see_them_done(self, reader: Any, started: float) -> None:
        """A letter that was queued is not delivered yet: it may fail again long after the last batch."""
        if not (self.ledger and self.params["settle_s"]):
            return
        keys = [entry["key"] for entry in self.ledger]

        def undone() -> int:
            self._stop_when_they_come_back(reader, started, 0)
            return int(pg.value(reader, self._joined(_UNDONE, keys=keys)))

        waiting = wait_until(undone, self.params["settle_s"])
        # What left the queue meanwhile may have failed.
        self._stop_when_they_come_back(reader, started, 0)
        if waiting:
            raise self._taken_back_by(
                VerificationError(
                    WHAT,
                    on=self.queue.place,
                    got="%d of %d that were queued are not done after %g s"
                    % (waiting, len(keys), self.params["settle_s"]),
                    next_step="see whether a worker runs and what it is at; a slow one needs more settle_s",
                    kind="not_done",
                )
            )

    def _stop_when_they_come_back(self, reader: Any, started: float, rest: int) -> None:
        """A cause that is still there would only fill the dead letters again."""
        keys = [entry["key"] for entry in self.ledger]
        back = int(pg.value(reader, self._joined(_BACK_AGAIN, keys=keys, since=started)))
        if back > self.params["max_failures"]:
            raise self._taken_back_by(
                VerificationError(
                    WHAT,
                    on=self.dead.place,
                    got="%d of %d that were queued failed again, so it stopped; %d were not queued"
                    % (back, len(keys), rest),
                    next_step="remove the cause that the dead letters name, then queue the rest",
                    kind="failed_again",
                )
            )

    def _withdraw(self, reader: Any, *, check_mode: bool) -> Dict[str, Any]:
        ledger = self.params["ledger"]
        chosen = {"ids": [entry["id"] for entry in ledger], "keys": [entry["key"] for entry in ledger]}
        waiting = {row[0] for row in pg.rows(reader, self._joined(_WAITING, keys=chosen["keys"]))}
        if not check_mode and waiting:
            with closing(self._writer()) as writer:
                pg.rows(writer, self._joined(_WITHDRAW, **chosen))
        left = [
            dict(entry, reason="a worker has begun it") for entry in ledger if entry["key"] not in waiting
        ]
        told = "%d messages leave the queue and are dead letters again, %d were worked on" % (
            len(waiting),
            len(left),
        )
        return {
            "changed": bool(waiting),
            "prediction": {"summary": told, "data_loss": "none"},
            "diff": {"before": "queued: %d\n" % len(waiting), "after": "queued: 0\n"} if waiting else {},
            "left_alone": left,
        }

    def _writer(self) -> Any:
        wait_ms = self.params["timeout"] * 1000
        return write_session(self.login, self.params["database"], wait_ms, what=WHAT, wait_for_disk=True)

    def _joined(self, template: str, **values: Any) -> Any:
        return joined(template, self.dead, self.queue, **values)

    def _taken_back_by(self, error: Any) -> Any:
        if self.ledger:
            error.changed = True
            error.undo = self._undo()
        return error

    def _undo(self) -> Dict[str, Any]:
        return {
            "summary": "%d messages leave the queue again, those that no worker has begun" % len(self.ledger),
            "reversible": True,
            "role": MODULE_ROLE,
            "entry_point": "replay_undo",
            "args": {"ledger": self.ledger},
        }

    def _result(self, letters: Sequence[Letter], left: List[Dict[str, Any]]) -> Dict[str, Any]:
        seconds = len(letters) / self.params["rate"]
        told = "%d dead letters are queued again within %d s, %d are left alone" % (
            len(letters),
            seconds,
            len(left),
        )
        lines = "".join("%s %s (%s)\n" % (letter.kind, letter.id, letter.error) for letter in letters)
        result: Dict[str, Any] = {
            "changed": bool(letters),
            "replayed": [shown(letter) for letter in letters],
            "left_alone": left,
            "prediction": {"summary": told, "data_loss": "none", "duration_s": seconds},
            "diff": {"before": lines, "after": ""} if letters else {},
        }
        if self.ledger:
            # Whoever waited has seen all of them done.
            result["undo"] = _DELIVERED if self.params["settle_s"] else self._undo()
        return result


def replay_spec() -> Dict[str, Any]:
    """Return the options of a replay."""
    texts: Dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    return {
        "state": {"type": "str", "default": "replayed", "choices": ["replayed", "withdrawn"]},
        "ids": texts,
        "kinds": texts,
        "error": {"type": "str", "default": ""},
        "max_age_hours": {"type": "float", "default": 24},
        "limit": {"type": "int", "default": 100},
        "batch": {"type": "int", "default": 10},
        "rate": {"type": "float", "default": 10},
        "max_failures": {"type": "int", "default": 0},
        "settle_s": {"type": "float", "default": 60},
        "ledger": {"type": "list", "elements": "dict", "default": []},
    }
