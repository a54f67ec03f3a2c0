# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copy rows out of a database as evidence: one moment, whole, private, with checksums."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import os
import shutil
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO, Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import parse_time
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.units import size
from ansible_collections.oncall.runbooks.plugins.module_utils.relation import (
    Relation,
    find,
    require,
    split_name,
)

SUMS = "SHA256SUMS"
_COPY = {
    "csv": "COPY ({}) TO STDOUT WITH (FORMAT csv, HEADER true)",
    # One JSON object for each line: COPY's text format would double each backslash; its CSV format, with a
    # quote and a delimiter that this JSON never contains, leaves a line as it is.
    "json": "COPY (SELECT to_jsonb(e)::text FROM ({}) e) TO STDOUT"
    " WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')",
}
# A consistent picture: every table as it was at the same moment.
_ONE_MOMENT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@dataclass(frozen=True)
class Export(Relation):
    """What is copied from one table: columns (none: all), and rows from a time on where that is given."""

    label: str
    columns: Sequence[str]
    time_column: str
    since: str

    @classmethod
    def from_option(cls, option: Mapping[str, Any], since: str) -> "Export":
        """Return what one entry of the option `exports` declares; `since` is for those with a time column."""
        label = option["name"]
        if not label or os.path.basename(label) != label or label.startswith("."):
            raise UsageError(
                "name an export",
                on=repr(label),
                got="it names a file",
                next_step="use a plain name without slashes and a leading dot",
            )
        column = option.get("time_column") or ""
        return cls(
            *split_name(option["table"]), label, option["columns"] or (), column, since if column else ""
        )

    def check(self, connection: Any) -> None:
        """Raise unless the table and its columns are there and every row is readable."""
        _oid, columns = find(connection, self)
        used = [*(self.columns or columns), *([self.time_column] if self.time_column else [])]
        require(connection, self, columns, used)

    @property
    def query(self) -> Any:
        """The SELECT of its rows."""
        names = pg.raw(", ").join(pg.ident(name) for name in self.columns) if self.columns else pg.raw("*")
        query = pg.statement("SELECT {} FROM {}", names, self.ident)
        if not self.since:
            return query
        column = pg.ident(self.time_column)
        return query + pg.statement(" WHERE {} >= {} ORDER BY {}", column, self.since, column)


def export(params: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Write the exports and return the module's result; in check mode only count.

    Raises an OncallError when a table cannot be read or a file not be written; no half of a file is left.
    """
    since = params.get("since") or ""
    since = parse_time(since, option="since").isoformat() if since else ""
    exports = [Export.from_option(option, since) for option in params["exports"]]
    login = pg.Login.from_params(params, "oncall-evidence")
    options = "-c statement_timeout=%d" % (params["timeout"] * 1000)
    with closing(login.connect(params["database"], options=options)) as session:
        pg.rows(session, _ONE_MOMENT)
        for one in exports:
            one.check(session)
        counts = {one.label: pg.value(session, _count(one)) for one in exports}
        entries: List[Dict[str, Any]] = []
        if not check_mode:
            entries = _write_all(session, exports, counts, params)
    return _result(exports, counts, entries, params)


def _count(one: Export) -> Any:
    return pg.statement("SELECT count(*) FROM ({}) e", one.query)


def _write_all(
    session: Any, exports: Sequence[Export], counts: Mapping[str, int], params: Mapping[str, Any]
) -> List[Dict[str, Any]]:
    folder, form = params["folder"], params["format"]
    with _said_clearly(folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        entries = [_write(session, one, counts[one.label], folder, form) for one in exports]
        lines = "".join("%s  %s\n" % (entry["sha256"], entry["name"]) for entry in entries)
        with _private(os.path.join(folder, SUMS)) as handle:
            handle.write(lines.encode())
    return entries


def _write(session: Any, one: Export, rows: int, folder: str, form: str) -> Dict[str, Any]:
    name = "%s.%s" % (one.label, form)
    path = os.path.join(folder, name)
    with _private(path) as handle:
        hashing = _Hashing(handle)
        with session.cursor() as cursor:
            cursor.copy_expert(pg.statement(_COPY[form], one.query), hashing)
    summary = "%d rows of %s%s, %s" % (
        rows,
        one.place,
        " since %s" % one.since if one.since else "",
        size(hashing.bytes),
    )
    return {"name": name, "path": path, "sha256": hashing.digest, "summary": summary}


class _Hashing:
    """A file for COPY that knows what was written to it."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle, self._sha256, self.bytes = handle, hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        """Take what the server sends (psycopg2 hands bytes to a binary file, text to others)."""
        raw = data if isinstance(data, bytes) else data.encode()
        self._sha256.update(raw)
        self.bytes += len(raw)
        return self._handle.write(raw)

    @property
    def digest(self) -> str:
        """Checksum of all of it."""
        return self._sha256.hexdigest()


@contextmanager
def _private(path: str) -> Iterator[IO[bytes]]:
    """Write a file of mode 0600 whole: it gets its name when all of it is on the disk."""
    part = path + ".part"
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(part, path)
    finally:
        if os.path.lexists(part):
            os.unlink(part)


@contextmanager
def _said_clearly(folder: str) -> Iterator[None]:
    """Turn what the disk or the server refuses into an error that names it."""
    try:
        yield
    except (OSError, pg.Error) as error:
        got = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise OncallError(
            "write the evidence",
            on=folder,
            got=got,
            next_step="free space there (%s are free), or set the option folder to another place"
            % _free(folder),
        ) from error


def _free(folder: str) -> str:
    there: Optional[str] = folder
    while there and not os.path.isdir(there):
        there = os.path.dirname(there)
    return size(shutil.disk_usage(there or "/").free)


def _result(
    exports: Sequence[Export],
    counts: Mapping[str, int],
    entries: List[Dict[str, Any]],
    params: Mapping[str, Any],
) -> Dict[str, Any]:
    summary = "%d rows of %d tables are copied to %s" % (sum(counts.values()), len(exports), params["folder"])
    files = "".join("%s.%s: %d rows\n" % (e.label, params["format"], counts[e.label]) for e in exports)
    return {
        "changed": True,
        "rows": dict(counts),
        "evidence": entries,
        "prediction": {"summary": summary, "data_loss": "none"},
        "diff": {"before": "", "after": files},
        "undo": {
            "summary": "Nothing to take back: the database was only read. The files hold personal data:"
            " remove them when the law no longer asks for them.",
            "reversible": False,
        },
    }
