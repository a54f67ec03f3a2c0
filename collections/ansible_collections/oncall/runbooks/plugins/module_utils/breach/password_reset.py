# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Require a new password of subscribers of whom none is required yet, and take exactly that back."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.batches import Pace, carry_out, working
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import (
    Relation,
    find,
    require,
    require_fit,
    split_name,
)

MODULE_ROLE = "oncall.runbooks.breach"
_CREATE = (
    "CREATE SCHEMA IF NOT EXISTS oncall",
    "CREATE TABLE IF NOT EXISTS oncall.password_reset"
    " (run text, place text, key text, PRIMARY KEY (run, place, key))",
    "REVOKE ALL ON oncall.password_reset FROM PUBLIC",
)
_SCOPE = (
    "NOT coalesce({flag}, false) AND ({every} OR {key}::text = ANY({only})) AND NOT {key}::text = ANY({keep})"
)
_COUNT = "SELECT count(*) FROM {table} WHERE {scope}"
# What is set and the ledger entry are one statement: both or nothing. A row that somebody holds is left to a
# later pass. The walk follows the key's index.
_REQUIRE = """
WITH due AS (SELECT {key} AS key FROM {table} WHERE {scope} AND {beyond}
             ORDER BY {key} LIMIT {batch} FOR UPDATE SKIP LOCKED),
done AS (UPDATE {table} t SET {flag} = true FROM due WHERE t.{key} = due.key RETURNING t.{key} AS key),
kept AS (INSERT INTO oncall.password_reset (run, place, key) SELECT {run}, {place}, key::text FROM done
         ON CONFLICT DO NOTHING)
SELECT count(*), (array_agg(key::text ORDER BY key DESC))[1] FROM done
"""
_RESTORE = """
WITH due AS (SELECT key FROM oncall.password_reset WHERE run = {run} AND place = {place} LIMIT {batch}),
done AS (UPDATE {table} t SET {flag} = false FROM due WHERE t.{key} = due.key::{kind} AND t.{flag}),
gone AS (DELETE FROM oncall.password_reset p USING due
         WHERE p.run = {run} AND p.place = {place} AND p.key = due.key RETURNING 1)
SELECT count(*) FROM gone
"""
_KEPT = "SELECT count(*) FROM oncall.password_reset WHERE run = {run} AND place = {place}"
_PASSES = 5


@dataclass(frozen=True)
class Subscribers(Relation):
    """The table whose `flag` makes the application ask for a new password."""

    key: str
    flag: str

    def check(self, connection: Any) -> str:
        """Raise unless the table fits; return the type of its key."""
        _oid, columns = find(connection, self)
        require(connection, self, columns, [self.key, self.flag], [self.flag])
        if columns[self.flag].base != "boolean":
            got = "column %s is of type %s, not boolean" % (self.flag, columns[self.flag].type_text)
            raise self.wrong("wrong_type", got, "name the column that the application checks")
        return columns[self.key].type_text


def work_password_reset(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Require new passwords, or take back what a run required, and return the module's result.

    Raises an OncallError before anything changes when the table does not fit, and VerificationError when
    somebody in scope is still without.
    """
    table = Subscribers(*split_name(params["table"]), params["key"], params["flag"])
    work = _Work(table, params)
    if not work.run:
        raise UsageError(work.what, got="run is empty", next_step="name the run that does it")
    return carry_out(work, check_mode=check_mode)


def _create(writer: Any) -> None:
    """Make the ledger. Nobody waits for it, so it may take longer than a batch on a server that is busy."""
    pg.rows(writer, "BEGIN")
    try:
        pg.rows(writer, "SET LOCAL lock_timeout = 10000; SET LOCAL statement_timeout = 10000")
        for statement in _CREATE:
            pg.rows(writer, statement)
        pg.rows(writer, "COMMIT")
    except BaseException:
        pg.rows(writer, "ROLLBACK")
        raise


class _Work:
    """One call: `kind` is the type of the key, `last` the key up to which a pass has come."""

    def __init__(self, table: Subscribers, params: Mapping[str, Any]) -> None:
        self.table, self.params, self.run = table, params, str(params["run"])
        self.back = params["state"] == "restored"
        self.what = "take back what was required of subscribers" if self.back else "require new passwords"
        self.login = pg.Login.from_params(params, "oncall-password-reset")
        self.pace = Pace(params["batch"], params["max_wait_ms"])
        self.changed = False
        self.way_back: Optional[Dict[str, Any]] = None if self.back else _taken_back(params, "those")
        self.kind = self.last = ""

    def do(self, reader: Any, *, check_mode: bool) -> Dict[str, Any]:
        self.reader = reader
        self.kind = self.table.check(reader)
        for value in (*self.params["only"], *self.params["exclude"]):
            require_fit(reader, self.table, (self.table.key, self.kind), value, "only or exclude")
        done = self.restore if self.back else self.require
        return done(check_mode=check_mode)

    def require(self, *, check_mode: bool) -> Dict[str, Any]:
        before = self._without()
        if check_mode or not before:
            return self._result(before, "required")
        with working(self, wait_for_disk=True) as writer:
            _create(writer)
            done = self._sweep(writer)
        left = self._without()
        if left:
            raise VerificationError(
                self.what,
                on=self.table.place,
                got="%d subscribers in scope are still without after %d passes" % (left, _PASSES),
                next_step="run it again: it goes on where it stopped; see who holds their rows (pg_locks)",
            )
        return self._result(done, "required")

    def _sweep(self, writer: Any) -> int:
        done = 0
        for _round in range(_PASSES):
            self.last = ""
            while True:
                found = self.pace.retried(lambda: self._batch(writer))
                if not found:
                    break
                done += found
            if not self._without():
                break
        return done

    def _batch(self, writer: Any) -> int:
        found, last = pg.rows(writer, self._compose(_REQUIRE))[0]
        self.last, self.changed = last, self.changed or bool(found)
        return int(found)

    def restore(self, *, check_mode: bool) -> Dict[str, Any]:
        there = pg.value(self.reader, "SELECT to_regclass('oncall.password_reset') IS NOT NULL")
        kept = int(pg.value(self.reader, self._compose(_KEPT))) if there else 0
        if kept and not check_mode:
            with working(self, wait_for_disk=True) as writer:
                while self.pace.retried(lambda: int(pg.value(writer, self._compose(_RESTORE)))):
                    self.changed = True
            self._require_all_restored()
        return self._result(kept, "no longer required")

    def _require_all_restored(self) -> None:
        left = int(pg.value(self.reader, self._compose(_KEPT)))
        if left:
            raise VerificationError(
                self.what,
                on=self.table.place,
                got="%d of them are held by others" % left,
                next_step="run the undo again: it goes on where it stopped",
            )

    def _without(self) -> int:
        return int(pg.value(self.reader, self._compose(_COUNT)))

    def _compose(self, template: str) -> Any:
        values = {
            "run": self.run,
            "place": self.table.place,
            "batch": self.pace.size,
            "every": not self.params["only"],
            "only": list(self.params["only"]),
            "keep": list(self.params["exclude"]),
        }
        parts: Dict[str, Any] = {name: pg.literal(value) for name, value in values.items()}
        parts.update(
            table=self.table.ident,
            key=pg.ident(self.table.key),
            flag=pg.ident(self.table.flag),
            kind=pg.raw(self.kind),
        )
        after = pg.statement("{} > {}::{}", parts["key"], self.last, parts["kind"])
        parts["beyond"] = after if self.last else pg.raw("true")
        parts["scope"] = pg.raw(_SCOPE).format(**parts)
        return pg.raw(template).format(**parts)

    def _result(self, rows: int, word: str) -> Dict[str, Any]:
        told = "a new password is %s of %d subscribers" % (word, rows)
        return {
            "changed": rows > 0,
            "rows": rows,
            "prediction": {"summary": told, "data_loss": "none", "rows": rows},
            "diff": {"before": "", "after": "%s: %d rows\n" % (self.table.place, rows) if rows else ""},
            "undo": _undo(self.params, told, rows),
        }


def _undo(params: Mapping[str, Any], told: str, rows: int) -> Dict[str, Any]:
    if params["state"] == "restored" or not rows:
        return {"summary": told, "reversible": False}
    return _taken_back(params, "these %d" % rows)


def _taken_back(params: Mapping[str, Any], whom: str) -> Dict[str, Any]:
    return {
        "summary": "A new password is no longer required of exactly %s subscribers." % whom,
        "reversible": True,
        "role": MODULE_ROLE,
        "entry_point": "password_reset_undo",
        "args": {"run": params["run"]},
    }


def argument_spec() -> Dict[str, Any]:
    """Return the module's own options."""
    texts: Dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    return {
        "database": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["required", "restored"], "default": "required"},
        "table": {"type": "str", "required": True},
        "key": {"type": "str", "default": "id", "no_log": False},
        "flag": {"type": "str", "default": "force_password_reset", "no_log": False},
        "only": texts,
        "exclude": texts,
        "run": {"type": "str", "required": True},
        "batch": {"type": "int", "default": 500},
        "max_wait_ms": {"type": "float", "default": 50.0},
        "timeout": {"type": "float", "default": 60.0},
    }
