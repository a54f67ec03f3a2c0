# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ledger: which rows a run revoked, and when. Undo takes back what is in it, and nothing else."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Protocol, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.tokens.tables import TokenTable

REVOKING, REVOKED, RESTORED = "revoking", "revoked", "restored"


@dataclass(frozen=True)
class RunRecord:
    """One run in the ledger: what it was asked for, how far it is, what the epoch was before."""

    run: str
    state: str = REVOKING
    options: Dict[str, Any] = field(default_factory=dict)
    epoch: Optional[Dict[str, Any]] = None


@dataclass(frozen=True)
class Batch:
    """Rows of one table that were revoked in one transaction: columns of keys, and the reasons they had."""

    place: str
    stamp: str
    reason: Optional[str]
    keys: List[List[str]]
    befores: Optional[List[Optional[str]]] = None

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.keys[0])

    def slices(self, size: int) -> Iterator["Batch"]:
        """Yield the batch in parts of at most `size` rows."""
        for at in range(0, self.rows, size):
            keys = [column[at : at + size] for column in self.keys]
            befores = self.befores[at : at + size] if self.befores else None
            yield Batch(self.place, self.stamp, self.reason, keys, befores)

    def key_rows(self) -> List[Tuple[str, ...]]:
        """The keys, one tuple for each row."""
        return list(zip(*self.keys))  # noqa: B905 - Python 3.8


class Ledger(Protocol):
    """Where a run is kept. Looking uses `reader`, a session that cannot write."""

    kind: str
    #: where it is, for people
    place: str

    def check(self, reader: Any) -> None:
        """Raise unless a run could be written; writes nothing."""

    def find(self, reader: Any, run: str) -> Optional[RunRecord]:
        """Return the run, None when it is not there."""

    def begin(self, writer: Any, record: RunRecord) -> None:
        """Add a run."""

    def note_epoch(self, writer: Any, run: str, epoch: Dict[str, Any]) -> None:
        """Keep what the epoch was, durably, before it is changed."""

    def revoke(self, writer: Any, run: str, table: TokenTable, done: Any) -> int:
        """Run the CTE `done` and keep what it revoked, both or nothing; return how many rows."""

    def settle(self, *, committed: bool) -> None:
        """Learn how the transaction ended that the caller of `revoke` had opened."""

    def finish(self, writer: Any, run: str, state: str) -> None:
        """Note the state; when this returns, everything before it is durable too."""

    def batches(self, reader: Any, run: str) -> Iterator[Batch]:
        """Yield what the run revoked, in order."""

    def entries(self, reader: Any, run: str) -> Iterator[Tuple[str, int, bytes]]:
        """Yield the same for a checksum: place, rows, and everything that was kept, as bytes."""


@dataclass(frozen=True)
class Summary:
    """What the ledger holds of a run: rows by table, and a checksum over every key and time."""

    rows: Dict[str, int]
    sha256: str

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


def summarize(ledger: Ledger, reader: Any, run: str) -> Summary:
    """Read the run's whole ledger, a batch at a time."""
    rows: Dict[str, int] = {}
    digest = hashlib.sha256()
    for place, count, whole in ledger.entries(reader, run):
        rows[place] = rows.get(place, 0) + count
        digest.update(whole + b"\n")
    return Summary(rows, digest.hexdigest())


def evidence(ledger: Ledger, record: RunRecord, summary: Summary) -> Dict[str, Any]:
    """Return the manifest of what was revoked as an entry of evidence."""
    manifest = {
        "run": record.run,
        "ledger": ledger.place,
        "options": record.options,
        "epoch": record.epoch,
        "revoked": summary.rows,
        "sha256": summary.sha256,
    }
    content = json.dumps(manifest, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
    return {
        "name": "tokens-revoked-%s.json" % record.run,
        "content": content,
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
        "summary": "%d tokens revoked; their keys are in %s." % (summary.total, ledger.place),
    }


def require_same(found: RunRecord, wanted: RunRecord) -> None:
    """Raise ConflictError unless the run may be continued with these options."""
    if found.state == RESTORED:
        raise ConflictError(
            "continue the revocation",
            on="run %s" % found.run,
            got="it was taken back",
            next_step="revoke under a new run",
            kind="already_restored",
        )
    other = [name for name in wanted.options if wanted.options[name] != found.options.get(name)]
    if other:
        raise ConflictError(
            "continue the revocation",
            on="run %s" % found.run,
            got="it was started with other values of %s" % ", ".join(other),
            next_step="give the same options again, or revoke under a new run",
            kind="other_options",
        )


def unknown_run(ledger: Ledger, run: str) -> OncallError:
    """Return the error for a run that the ledger does not have."""
    return OncallError(
        "take the revocation back",
        on="run %s" % run,
        got="%s has no such run" % ledger.place,
        next_step="correct run, or the ledger it is in",
        kind="unknown_run",
    )
