# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Revoke every token in scope: pass after pass, until one finds nothing."""

from __future__ import annotations

__metaclass__ = type

import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.batches import Pace, busy
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import statements
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.ledger import Ledger
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.scope import Scope
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.statements import Key
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.tables import TokenTable

# From this pass on, tokens that are issued faster than they are found are stopped by a moment's lock.
_CLOSE_FROM = 3
_SWEEP_FROM = 10  # batches: fewer rows are found without walking the whole key


@dataclass
class Sweeper:
    """The work on one set of tables: `reader` only looks, `writer` changes, `pace` says how much at once."""

    reader: Any
    writer: Any
    ledger: Ledger
    run: str
    reason: str
    scope: Scope
    tables: Sequence[TokenTable]
    pace: Pace
    passes: int = 0

    def __post_init__(self) -> None:
        self.revoked: Dict[str, int] = {table.place: 0 for table in self.tables}
        self._committed: Dict[str, int] = {}
        self._look_ms: Dict[str, float] = {}

    def work(self, before: Dict[str, int], max_passes: int) -> None:
        """Revoke until a whole pass over all tables finds nothing; `before`: active tokens by table.

        Raises VerificationError with what is left after `max_passes`.
        """
        self.passes = 1
        for table in self.tables:
            if before[table.place] > _SWEEP_FROM * self.pace.limit:
                self._walk(table)
        while self.passes < max_passes:
            self.passes += 1
            revoked = sum(self.revoked.values())
            left = {table.place: self._tidy(table) for table in self.tables}
            if not any(left.values()):
                return
            if self.passes >= _CLOSE_FROM and self._close():
                return
            if sum(self.revoked.values()) == revoked:
                time.sleep(0.2)  # others hold what is left: they get time to end
        self._fail()

    def _revoke(self, table: TokenTable, done: Any) -> int:
        rows = self.ledger.revoke(self.writer, self.run, table, done)
        self.revoked[table.place] += rows
        return rows

    def _walk(self, table: TokenTable) -> None:
        """Go through the table once in the order of its key."""
        after: Optional[Key] = None
        last: Optional[Key] = ()
        while last is not None:
            end = statements.end_of_range(table, self.scope, after, self.pace.size)
            last = next((tuple(row) for row in pg.rows(self.reader, end)), None)
            self._range(table, after, last)
            after = last

    def _range(self, table: TokenTable, after: Optional[Key], last: Optional[Key]) -> None:
        done = statements.revoke_range(table, self.scope, self.reason, after, last)
        try:
            self.pace.run(lambda: self._revoke(table, done))
        except pg.Error as error:
            if not busy(error):
                raise
            self.pace.retries += 1
            self.pace.shrink()
            where = pg.statement(
                "{} AND {}", statements.between(table, after, last), statements.active(table, self.scope)
            )
            self._keys(table, self._look(self.reader, table, where))

    def _look(self, session: Any, table: TokenTable, where: Any) -> List[Key]:
        # The planner still believes in as many active rows as there were, and would read the whole table.
        for_how_long = pg.raw("LOCAL" if session is self.writer else "SESSION")
        steer = pg.statement("SET {} enable_seqscan = {}", for_how_long, "off" if table.indexed else "on")
        pg.rows(session, steer)
        found = pg.rows(session, statements.some_keys(table, where, self.pace.limit))
        return [tuple(row) for row in found]

    def _keys(self, table: TokenTable, keys: List[Key]) -> int:
        """Revoke rows by key, except those that somebody holds; return how many were."""
        rows = 0
        for part in self.pace.chunks(keys):
            done = statements.revoke_keys(table, self.scope, self.reason, part)
            revoked = self.pace.retried(lambda done=done: self._revoke(table, done))  # type: ignore[misc]
            if revoked is None:
                break  # the whole table is held: the rest would only wait in vain as well
            rows += revoked
        return rows

    def _tidy(self, table: TokenTable) -> int:
        """Revoke what is still, or again, active; return how many tokens were seen."""
        seen = 0
        while True:
            started = time.monotonic()
            keys = self._look(self.reader, table, statements.active(table, self.scope))
            self._look_ms[table.place] = (time.monotonic() - started) * 1000
            seen += len(keys)
            if not keys or not self._keys(table, keys) or len(keys) < self.pace.limit:
                return seen

    def _close(self) -> bool:
        """Look for the last time while nobody can issue; return whether nothing is left.

        Tried only where that look is so quick that whoever issues a token waits less than the bound.
        """
        if sum(self._look_ms.values()) > self.pace.max_wait_ms / 2:
            return False
        self._committed = dict(self.revoked)
        try:
            left = self.pace.run(self._closed)
        except pg.Error as error:
            self._drop_uncommitted()
            # A role that may only change some columns may not lock the table: the passes go on without it.
            if not busy(error) and getattr(error, "pgcode", None) != "42501":
                raise
            return False
        self.ledger.settle(committed=True)
        return left == 0

    def _drop_uncommitted(self) -> None:
        pg.rows(self.writer, "ROLLBACK")
        self.revoked = dict(self._committed)
        self.ledger.settle(committed=False)

    def _closed(self) -> int:
        """Return how many tokens in scope are left, in one transaction that keeps others from issuing."""
        left = 0
        names = pg.raw(", ").join([table.ident for table in self.tables])
        pg.rows(self.writer, "BEGIN")
        pg.rows(self.writer, pg.statement("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", names))
        for table in self.tables:
            keys = self._look(self.writer, table, statements.active(table, self.scope))
            left += len(keys)
            if 0 < len(keys) <= self.pace.size:
                done = statements.revoke_keys(table, self.scope, self.reason, keys)
                left -= self._revoke(table, done)
        pg.rows(self.writer, "COMMIT")
        return left

    def _fail(self) -> None:
        left = {
            table.place: pg.rows(self.reader, statements.counts(table, self.scope))[0][2]
            for table in self.tables
        }
        texts = ["%d in %s" % (count, place) for place, count in left.items() if count]
        wait = 2 * sum(self._look_ms.values()) + 1
        error = VerificationError(
            "revoke every token in scope",
            on=self.scope.text,
            got="after %d passes still active: %s; %d were revoked"
            % (self.passes, ", ".join(texts) or "new ones in every pass", sum(self.revoked.values())),
            next_step="end the sessions that hold them locked (postgres_sessions), stop what issues tokens, "
            "or set max_wait_ms to %d; then run again with run: %s" % (wait, self.run),
        )
        error.changed = any(self.revoked.values())
        raise error
