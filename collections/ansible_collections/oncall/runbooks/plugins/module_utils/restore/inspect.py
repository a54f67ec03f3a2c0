# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looking before leaping: everything that would stop a restore, found before anything is written."""

from __future__ import annotations

__metaclass__ = type

import os
import subprocess
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    DeniedError,
    OncallError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database as db
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database_marks as marks
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.events import DumpHeader
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.progress import human_bytes

# How many bytes of database one byte of backup becomes: at least (refuse) and usually (predict).
_EXPANSION = {
    "none": (0.6, 1.3),
    "gzip": (2.0, 4.7),
    "zstd": (2.0, 5.0),
    "bzip2": (2.0, 5.0),
    "xz": (2.0, 6.0),
}
_SECONDS_PER_BYTE = 1 / 75e6  # of restored database, measured on two small cores with jobs: 2
_NEXT_ROOM = (
    "free disk first, give the database's tablespace another volume, or restore in_place "
    "(with confirm_in_place; it takes a safety copy to the bucket first)"
)


@dataclass
class Plan:
    """What a look at the server says a restore would do."""

    facts: pg.ServerFacts
    live: Optional[marks.MarkedDatabase]
    shape: Optional[db.DatabaseShape]
    already: bool = False  # the live database was restored from this very backup
    resume: str = ""  # a database that holds this backup, loaded and verified
    remove: List[str] = field(default_factory=list)  # leftovers of runs that died
    estimate: int = 0  # bytes the restored database needs
    free: Optional[int] = None  # bytes on its file system, None when it cannot be measured
    warnings: List[str] = field(default_factory=list)

    @property
    def duration(self) -> float:
        """Seconds a restore of this size takes, roughly."""
        return round(2.0 + self.estimate * _SECONDS_PER_BYTE, 1)


def inspect(connection: Any, options: RestoreOptions, header: Optional[DumpHeader], backup_size: int) -> Plan:
    """Look at everything (read-only) and return the plan; raise the first thing that makes it impossible.

    `connection` is to the maintenance database, `backup_size` the bytes of the backup in the bucket.
    """
    facts = pg.server_facts(connection)
    plan = Plan(facts, marks.find(connection, options.database), db.shape(connection, options.database))
    if facts.in_recovery:
        raise ConflictError(
            "restore into the server",
            on=options.login.address,
            got="it is a standby, which takes no writes",
            next_step="restore on its primary, or promote it first",
            kind="standby",
        )
    plan.already = _is_already(plan.live, options)
    if plan.already and not options.force:
        return plan
    _check_rights(facts, plan, options)
    if header is not None:
        _check_dump(connection, facts, header)
    _check_blockers(connection, plan, options)
    _look_for_leftovers(connection, plan, options)
    plan.estimate = _estimate(plan, header, backup_size)
    plan.free = free_bytes(connection, plan, options)
    _check_room(plan, header, backup_size, options)
    return plan


def _is_already(live: Optional[marks.MarkedDatabase], options: RestoreOptions) -> bool:
    mark = live.mark if live else None
    if mark is None or mark.role != "live" or mark.phase != "switched":
        return False
    return bool(mark.key) and (mark.key, mark.etag) == (options.key, options.etag)


def _check_rights(facts: pg.ServerFacts, plan: Plan, options: RestoreOptions) -> None:
    if facts.superuser:
        return
    missing = []
    if not facts.createdb:
        missing.append("CREATEDB")
    if not facts.signal_backend and options.switch:
        missing.append("membership in pg_signal_backend")
    if plan.shape is not None and plan.shape.owner != facts.role:
        missing.append("ownership of %s (its owner is %s)" % (options.database, plan.shape.owner))
    if missing:
        raise DeniedError(
            "restore as role %s" % facts.role,
            on=options.login.address,
            got="it lacks " + ", ".join(missing),
            next_step="grant that, or log in as a superuser",
            kind="rights",
        )


def _check_dump(connection: Any, facts: pg.ServerFacts, header: DumpHeader) -> None:
    if header.server_major > facts.major:
        raise ConflictError(
            "load a dump of PostgreSQL %s" % header.server_version,
            on="server %s" % facts.version_text,
            got="the dump comes from a newer server: it may use what this one does not know",
            next_step="restore on a server of version %d or newer" % header.server_major,
            kind="newer_dump",
        )
    names = [name for name in header.extensions if name != "plpgsql"]
    known = {n for (n,) in pg.rows(connection, "SELECT name FROM pg_available_extensions")}
    missing = sorted(set(names) - known)
    if missing:
        raise OncallError(
            "load the dump's extensions",
            on="server %s" % facts.version_text,
            got="not installed: " + ", ".join(missing),
            next_step="install them on the server (package postgresql-contrib, or the extension's own)",
            kind="missing_extension",
        )


_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = %s ORDER BY prepared"
_SLOTS = "SELECT slot_name::text, active FROM pg_replication_slots WHERE database = %s ORDER BY 1"
_SUBSCRIPTIONS = """
SELECT s.subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
WHERE d.datname = %s AND s.subenabled ORDER BY 1
"""


def _check_blockers(connection: Any, plan: Plan, options: RestoreOptions) -> None:
    prepared = [gid for (gid,) in pg.rows(connection, _PREPARED, (options.database,))]
    if prepared and options.switch:
        raise ConflictError(
            "switch %s" % options.database,
            got="%d prepared transaction(s) hold it: %s" % (len(prepared), ", ".join(prepared[:5])),
            next_step="COMMIT PREPARED or ROLLBACK PREPARED each, or restore with switch: false",
            kind="prepared_transactions",
        )
    for slot, active in pg.rows(connection, _SLOTS, (options.database,)):
        plan.warnings.append(
            "logical replication slot %s (%s) stays with the old database: its consumer must be set up anew"
            % (slot, "active" if active else "idle")
        )
    for (name,) in pg.rows(connection, _SUBSCRIPTIONS, (options.database,)):
        plan.warnings.append(
            "subscription %s goes on in the old database; in the restored one it stays disabled:"
            " decide which of the two the publisher feeds" % name
        )


def _look_for_leftovers(connection: Any, plan: Plan, options: RestoreOptions) -> None:
    for found in marks.databases(connection):
        mark = found.mark
        if mark is not None and mark.of == options.database and mark.role == "restore":
            same = mark.key == options.key and mark.etag == options.etag
            if mark.phase == "verified" and same and not options.force and not plan.resume:
                plan.resume = found.name
            elif mark.phase == "loading":  # its maker is dead: we hold the lock of this database
                plan.remove.append(found.name)
            elif found.name == options.restored_name:
                _taken(found, plan)
        elif found.name in (options.restored_name, options.before_name):
            _taken(found, plan)


def _taken(found: marks.MarkedDatabase, plan: Plan) -> None:
    if found.mark is None and db.is_newborn(found):
        plan.remove.append(found.name)
        return
    raise ConflictError(
        "use the name %s" % found.name,
        got="a database of that name is there, and it is not the leftover of a restore that died",
        next_step="give another run id, or rename that database",
        kind="name_taken",
    )


def _compression(header: Optional[DumpHeader]) -> str:
    if header is None:
        return "gzip"
    return header.compression if header.format == "plain" or header.compression != "none" else "gzip"


def _expansion(header: Optional[DumpHeader]) -> Tuple[float, float]:
    return _EXPANSION.get(_compression(header), _EXPANSION["gzip"])


def _estimate(plan: Plan, header: Optional[DumpHeader], backup_size: int) -> int:
    by_backup = int(backup_size * _expansion(header)[1])
    live = plan.live.size if plan.live else 0
    # The live database is the better measure unless it is what was lost: then only the backup tells.
    return live if backup_size and live > backup_size * _expansion(header)[0] else by_backup


def free_bytes(connection: Any, plan: Plan, options: RestoreOptions) -> Optional[int]:
    """Return the free bytes of the file system the database's tablespace is on; None when not visible."""
    folder = plan.facts.data_directory
    if plan.shape is not None and plan.shape.tablespace not in ("pg_default", "pg_global"):
        where = "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = %s"
        folder = pg.value(connection, where, (plan.shape.tablespace,)) or folder
    if not folder:
        return None
    if options.container:
        return _free_in_container(options, folder)
    local = not options.login.host or options.login.host in ("localhost", "::1")
    local = local or options.login.host.startswith(("127.", "/"))
    try:
        stat = os.statvfs(folder) if local else None
    except OSError:
        return None
    return stat.f_bavail * stat.f_frsize if stat else None


def _free_in_container(options: RestoreOptions, folder: str) -> Optional[int]:
    command = [options.container_engine, "exec", options.container, "df", "-Pk", folder]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10, check=True
        )
        return int(done.stdout.decode().splitlines()[-1].split()[3]) * 1024
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


def _check_room(plan: Plan, header: Optional[DumpHeader], backup_size: int, options: RestoreOptions) -> None:
    if plan.resume:
        return
    if plan.free is None:
        plan.warnings.append("the free space of the server's disk could not be measured from here")
        return
    # Refuse only on what is certain: the least the backup can become, not what it usually becomes.
    least = int(backup_size * _expansion(header)[0])
    room = plan.free + (plan.live.size if plan.live and options.in_place else 0)
    if room < least:
        raise OncallError(
            "fit two databases on the disk",
            on=plan.facts.data_directory or options.login.address,
            got="%s are free, the restored database needs at least %s (about %s)"
            % (human_bytes(plan.free), human_bytes(least), human_bytes(plan.estimate)),
            next_step=_NEXT_ROOM,
            kind="no_room",
        )
    if room < plan.estimate * 1.1:
        plan.warnings.append(
            "%s are free and about %s are needed: it may not fit"
            % (human_bytes(plan.free), human_bytes(plan.estimate))
        )


def prediction(plan: Plan, options: RestoreOptions) -> Dict[str, Any]:
    """Return what a restore would do, for people and machines; sizes in bytes, times in seconds."""
    return {
        "database": options.database,
        "backup": options.key,
        "restored_as": options.database if options.switch else options.restored_name,
        "kept_as": options.before_name if options.switch and plan.live and not options.in_place else "",
        "resumes": plan.resume,
        "removes": list(plan.remove),
        "live_size": plan.live.size if plan.live else None,
        "estimated_size": plan.estimate,
        "free": plan.free,
        "duration_s": plan.duration,
        "server_version": plan.facts.version_text,
    }
