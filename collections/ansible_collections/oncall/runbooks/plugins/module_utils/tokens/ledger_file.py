# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ledger as a file on the target, for a database that must not be altered: one line of JSON an entry."""

from __future__ import annotations

__metaclass__ = type

import errno
import json
import os
import stat
from dataclasses import asdict, replace
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.ledger import Batch, RunRecord
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.tables import TokenTable


class FileLedger:
    """One file for each run, `tokens-<run>.jsonl`, that only its owner can read.

    An entry is on the disk before its batch is committed, so a crash leaves at worst an entry whose rows were
    never revoked; undo finds that these do not carry the revocation and leaves them alone.
    """

    kind = "file"

    def __init__(self, folder: str, run: str) -> None:
        self.folder = folder
        self.path = os.path.join(folder, "tokens-%s.jsonl" % run)
        self.place = "the file %s" % self.path
        self._open: List[str] = []  # stamps of entries whose transaction has not ended

    def check(self, reader: Any) -> None:  # noqa: ARG002
        """Raise unless the folder is there and can be written to."""
        if not os.path.isdir(self.folder):
            raise self._unusable("the folder is not there", "make it, readable by its owner only")
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise self._unusable("the folder cannot be written to", "become a user who may, or name another")
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
            raise self._unusable(
                "it is not a file that only its owner can read", "look at it; name another run"
            )

    def _unusable(self, got: str, next_step: str) -> OncallError:
        return OncallError(
            "use the ledger", on=self.path, got=got, next_step=next_step, kind="unusable_ledger"
        )

    def _entries(self) -> Iterator[Dict[str, Any]]:
        try:
            with open(self.path, "rb") as file:
                for number, line in enumerate(file, 1):
                    if line.endswith(b"\n"):  # a crash may have cut the last one: its batch was not committed
                        yield self._parsed(line, number)
        except FileNotFoundError:
            return

    def _parsed(self, line: bytes, number: int) -> Dict[str, Any]:
        try:
            entry = json.loads(line)
            return dict(entry)
        except (ValueError, TypeError):
            raise VerificationError(
                "read the ledger",
                on="%s, line %d" % (self.path, number),
                got="it is not an entry: somebody or something changed the file",
                next_step="restore the file; nothing was changed",
            ) from None

    def find(self, reader: Any, run: str) -> Optional[RunRecord]:  # noqa: ARG002
        """Return the run, None when there is no file."""
        record: Optional[RunRecord] = None
        for entry in self._entries():
            if "options" in entry:
                record = RunRecord(run, options=entry["options"])
            elif record and "epoch" in entry:
                record = replace(record, epoch=entry["epoch"])
            elif record and "state" in entry:
                record = replace(record, state=entry["state"])
        return record

    def _append(self, entry: Dict[str, Any]) -> None:
        line = _line(entry) + b"\n"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(self.path, flags, 0o600), "r+b", buffering=0) as file:
                self._cut_torn_end(file)
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
        except OSError as error:
            got = error.strerror or str(error)
            raise self._unusable(got, "remove the cause, then run again with the same run") from None

    @staticmethod
    def _cut_torn_end(file: Any) -> None:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)

    def begin(self, writer: Any, record: RunRecord) -> None:  # noqa: ARG002
        """Make the file with the run's first entry."""
        self._append({"run": record.run, "options": record.options})

    def note_epoch(self, writer: Any, run: str, epoch: Dict[str, Any]) -> None:  # noqa: ARG002
        """Keep what the epoch was."""
        self._append({"epoch": epoch})

    def revoke(self, writer: Any, run: str, table: TokenTable, done: Any) -> int:  # noqa: ARG002
        """Revoke, write the entry, commit: an entry without its rows does no harm, rows without one would."""
        columns = pg.raw(", ").join(
            [pg.statement("array_agg({}::text)", pg.ident("k%d" % at)) for at in range(len(table.key))]
        )
        whole = pg.statement(
            "{} SELECT stamp::text, reason, ARRAY[{}], "
            "CASE WHEN count(before) > 0 THEN array_agg(before) END FROM done GROUP BY stamp, reason",
            done, columns,
        )  # fmt: skip
        inside = writer.get_transaction_status() != pg.IDLE
        if not inside:
            pg.rows(writer, "BEGIN")
        try:
            batches = [Batch(table.place, *row) for row in pg.rows(writer, whole)]
            for batch in batches:
                self._append({"batch": asdict(batch)})
            if inside:
                self._open += [batch.stamp for batch in batches]
            else:
                pg.rows(writer, "COMMIT")
        except BaseException:
            if not inside and not writer.closed:
                pg.rows(writer, "ROLLBACK")
            raise
        return sum(batch.rows for batch in batches)

    def settle(self, *, committed: bool) -> None:
        """Void the entries of a transaction that was rolled back."""
        if self._open and not committed:
            self._append({"void": self._open})
        self._open = []

    def finish(self, writer: Any, run: str, state: str) -> None:  # noqa: ARG002
        """Note the state; every commit has waited for the disk already."""
        self._append({"state": state})

    def batches(self, reader: Any, run: str) -> Iterator[Batch]:  # noqa: ARG002
        """Yield what the run revoked, in the order it was written."""
        void = {stamp for entry in self._entries() for stamp in entry.get("void", ())}
        for entry in self._entries():
            if "batch" in entry and entry["batch"]["stamp"] not in void:
                yield Batch(**entry["batch"])

    def entries(self, reader: Any, run: str) -> Iterator[Tuple[str, int, bytes]]:
        """Yield the same for a checksum."""
        for batch in self.batches(reader, run):
            yield batch.place, batch.rows, _line(asdict(batch))


def _line(entry: Dict[str, Any]) -> bytes:
    return json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
