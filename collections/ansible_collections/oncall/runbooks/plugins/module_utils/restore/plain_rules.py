# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Statements of a dump that would act outside the database being loaded: left out, or refused by name."""

from __future__ import annotations

__metaclass__ = type

import re
from typing import List, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.restore.events import Skipped
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.plain_statements import unquoted
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import RefusedError

_NAME = r'((?:"(?:[^"]|"")*"|[^\W\d][\w$]*))'
_FLAGS = re.IGNORECASE | re.DOTALL
_CREATE_DATABASE = re.compile(r"CREATE\s+DATABASE\s+" + _NAME, _FLAGS)
_DROP_DATABASE = re.compile(r"DROP\s+DATABASE\s+(?:IF\s+EXISTS\s+)?" + _NAME, _FLAGS)
_ABOUT_DATABASE = re.compile(
    r"(?:ALTER\s+DATABASE|COMMENT\s+ON\s+DATABASE|SECURITY\s+LABEL\s+(?:FOR\s+\S+\s+)?ON\s+DATABASE"
    r"|(?:GRANT|REVOKE)\s[A-Z\s,]+?\sON\s+DATABASE|ALTER\s+(?:ROLE|USER)\s+\S+\s+IN\s+DATABASE)\s+" + _NAME,
    _FLAGS,
)
_CATALOG_ROW = re.compile(r"UPDATE\s+(?:pg_catalog\.)?pg_database\b", _FLAGS)
_REFUSED = [
    (
        re.compile(r"(CREATE|ALTER|DROP)\s+(ROLE|USER(?!\s+MAPPING)|GROUP)\b", _FLAGS),
        "it changes a role, which belongs to the whole server",
    ),
    (
        re.compile(r"(CREATE|ALTER|DROP)\s+TABLESPACE\b", _FLAGS),
        "it changes a tablespace, which belongs to the whole server",
    ),
    (re.compile(r"ALTER\s+SYSTEM\b", _FLAGS), "it changes the settings of the whole server"),
    (re.compile(r"COPY\b", _FLAGS), "this COPY does not read rows in text format from the dump itself"),
    (
        re.compile(r"(GRANT|REVOKE)\s+(?:(?!\bON\b)[^'(])+\s+(TO|FROM)\s", _FLAGS),
        "it changes who is a member of a role, which belongs to the whole server",
    ),
]
_DROP = re.compile(
    r"(?:DROP\s|ALTER\s+(?:TABLE|DOMAIN|FOREIGN\s+TABLE)\s.*?\sDROP\s+(?:CONSTRAINT|DEFAULT|IDENTITY)\b"
    r"|ALTER\s+(?:TABLE|INDEX)\s.*?\sDETACH\s+PARTITION\s|ALTER\s+PUBLICATION\s.*?\sDROP\s"
    r"|SELECT\s+(?:pg_catalog\.)?lo_unlink\s*\(|ALTER\s+TABLE\s.*?\sALTER\s+COLUMN\s.*?\sDROP\s)",
    _FLAGS,
)
_PLACEHOLDER_VIEW = re.compile(r"CREATE\s+OR\s+REPLACE\s+VIEW\s.*?\sAS\s+SELECT\s+NULL::", _FLAGS)
_PUBLIC = re.compile(r"CREATE\s+SCHEMA\s+(?:public|\"public\")\s*;", _FLAGS)
_QUIET = re.compile(r"(?:SET|RESET|SELECT\s+pg_catalog\.set_config)\b", _FLAGS)

_OTHER_DATABASE = "it would act on the database of that name; another one is being loaded"
_FRESH = "it drops something of a database that is new and empty"


class Rules:
    """What is left out and what is refused, over one dump from its first statement on."""

    def __init__(self) -> None:
        self.skipped: List[Skipped] = []
        self.database = ""
        self._dropped = ""
        self._connected = False
        self._clean = True

    def passes(self, text: str, line: int) -> bool:
        """Tell whether a statement is to be executed; raise RefusedError for what must not be in a dump."""
        reason = self._about_a_database(text, line)
        if not reason:
            _refuse(text, line)
            reason = self._unneeded(text)
        if reason:
            self._skip(text, line, reason)
            return False
        if not _QUIET.match(text):
            self._clean = False
            self._no_foreign_drop(line)
        return True

    def connect(self, name: str, line: int) -> None:
        r"""Judge a `\connect`: the one of `pg_dump -C` is left out, any other is refused."""
        if self._connected or not self.database or (name and name != self.database):
            raise refused(
                line,
                r"\connect " + name,
                "the dump goes on in another database; a dump of several databases (pg_dumpall) cannot be "
                "restored into one",
            )
        self._connected = True
        self._skip(r"\connect " + name, line, _OTHER_DATABASE)

    def _about_a_database(self, text: str, line: int) -> Optional[str]:
        created = _CREATE_DATABASE.match(text)
        if created:
            self._created(unquoted(created.group(1)), text, line)
            return _OTHER_DATABASE
        dropped = _DROP_DATABASE.match(text)
        if dropped:
            if self.database or self._dropped or not self._clean:
                raise refused(line, text, "it drops a database")
            self._dropped = unquoted(dropped.group(1))
            return _OTHER_DATABASE
        about = _ABOUT_DATABASE.match(text)
        if about:
            if unquoted(about.group(1)) != self.database:
                raise refused(line, text, "it changes another database")
            return _OTHER_DATABASE
        return _OTHER_DATABASE if _CATALOG_ROW.match(text) else None

    def _unneeded(self, text: str) -> Optional[str]:
        if self._clean and (_DROP.match(text) or _PLACEHOLDER_VIEW.match(text)):
            return _FRESH
        return "every new database has it" if _PUBLIC.match(text) else None

    def _created(self, name: str, text: str, line: int) -> None:
        if self.database or (self._dropped and self._dropped != name):
            raise refused(line, text, "the dump holds more than one database (pg_dumpall)")
        self.database, self._dropped = name, ""

    def _no_foreign_drop(self, line: int) -> None:
        if self._dropped:
            raise refused(line, "DROP DATABASE " + self._dropped, "it drops a database it does not create")

    def _skip(self, text: str, line: int, reason: str) -> None:
        self.skipped.append(Skipped(line, " ".join(text.split())[:200], reason))


def _refuse(text: str, line: int) -> None:
    for pattern, why in _REFUSED:
        if pattern.match(text):
            raise refused(line, text, why)


def refused(line: int, text: str, why: str) -> RefusedError:
    """Return the error that names a statement of the dump and why it is not executed."""
    shown = " ".join(text.split())
    return RefusedError(
        "restore this dump",
        on="line %d: %s" % (line, shown if len(shown) <= 120 else shown[:117] + "..."),
        got="refused: " + why,
        next_step="make the dump with pg_dump of one database, or restore this one by hand",
    )
