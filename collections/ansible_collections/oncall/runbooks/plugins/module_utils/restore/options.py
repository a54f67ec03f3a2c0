# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore was asked to do, and the names it gives to the databases it makes."""

from __future__ import annotations

__metaclass__ = type

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Mapping, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import Login

_MAX_NAME = 63  # bytes: PostgreSQL cuts longer names silently
RUN_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")


def database_name(database: str, role: str, run: str) -> str:
    """Return `<database>_<role>_<run>` in at most 63 bytes of UTF-8; a hash replaces what was cut.

    `role` is `restore` (being loaded), `before` (the old one) or `after` (the restored one after undo).
    """
    tail = "_%s_%s" % (role, run.replace("-", "_"))
    whole = database + tail
    if len(whole.encode()) <= _MAX_NAME:
        return whole
    mark = "_" + hashlib.sha256(whole.encode()).hexdigest()[:8]
    room = _MAX_NAME - len((mark + tail).encode())
    if room < 8:  # a very long run id: the role must stay readable, the run becomes its hash
        tail = "_%s%s" % (role, mark)
        mark, room = "", _MAX_NAME - len(tail.encode())
    return database.encode()[:room].decode(errors="ignore") + mark + tail


@dataclass(frozen=True)
class Check:
    """One SQL query of the caller that must return exactly one row with true in its first column."""

    name: str
    sql: str


@dataclass(frozen=True)
class RestoreOptions:
    """Everything the job on the target needs to know; the bucket's credentials are not among it."""

    database: str
    run: str
    login: Login
    key: str = ""
    etag: str = ""
    who: str = ""  # the operator, as the controller knows them
    backup_at: float = 0.0  # Unix time the backup was taken, 0 when unknown
    jobs: int = 2
    switch: bool = True
    in_place: bool = False
    confirm_in_place: str = ""
    force: bool = False
    checks: Tuple[Check, ...] = ()
    stall_timeout: float = 30.0
    switch_timeout: float = 30.0
    lease: float = 15.0
    timeout: float = 0.0
    allow_other_database: bool = False
    keep_failed: bool = False
    check_mode: bool = False
    container: str = ""
    container_engine: str = "docker"
    client_dir: str = ""

    @property
    def restored_name(self) -> str:
        """The database that is loaded beside the live one."""
        return database_name(self.database, "restore", self.run)

    @property
    def before_name(self) -> str:
        """What the old database is called after the switch."""
        return database_name(self.database, "before", self.run)

    @property
    def after_name(self) -> str:
        """What the restored database is called after an undo."""
        return database_name(self.database, "after", self.run)

    @classmethod
    def from_params(cls, params: Mapping[str, Any], check_mode: bool = False) -> "RestoreOptions":
        """Return the options that the module's parameters mean; raise UsageError for what cannot be."""
        _refuse_unusable(params)
        names = set(cls.__dataclass_fields__) - {"login", "checks", "check_mode"}
        plain = {name: params[name] for name in names if params.get(name) is not None}
        return cls(
            login=Login.from_params(params, application_name="oncall-%s" % params["run"]),
            checks=tuple(Check(c["name"], c["sql"]) for c in params.get("checks") or ()),
            check_mode=check_mode,
            **plain,
        )


def _refuse_unusable(params: Mapping[str, Any]) -> None:
    database, run = params.get("database") or "", params.get("run") or ""
    if not database or "\0" in database or len(database.encode()) > _MAX_NAME:
        raise _usage("database", database, "name an existing database, 1 to %d bytes" % _MAX_NAME)
    if database in ("template0", "template1", params.get("maintenance_db") or "postgres"):
        raise _usage("database", database, "name the application's database, not one the server itself needs")
    if not RUN_ID.match(run):
        raise _usage("run", run, "use letters, digits, - and _ only")
    if params.get("jobs") is not None and int(params["jobs"]) < 1:
        raise _usage("jobs", str(params["jobs"]), "use 1 or more")
    if params.get("in_place") and params.get("confirm_in_place") != database:
        raise _usage(
            "confirm_in_place",
            str(params.get("confirm_in_place") or ""),
            "in_place drops the live database before the new one is verified: "
            "set confirm_in_place to the database's name (%s) to accept that" % database,
        )


def _usage(option: str, value: str, next_step: str) -> UsageError:
    return UsageError(
        "use the option %s" % option, on=option, got="its value is %r" % value, next_step=next_step
    )
