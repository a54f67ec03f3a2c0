# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a statement of a dump does, and on which tables: from its text alone."""

from __future__ import annotations

__metaclass__ = type

import re
from dataclasses import dataclass
from typing import List, Optional, Pattern, Tuple

_NAME = r'(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)'
_QUALIFIED = _NAME + r"(?:\." + _NAME + r")*"
_FLAGS = re.IGNORECASE | re.DOTALL

_POST_KINDS = frozenset(
    (
        "INDEX",
        "INDEX ATTACH",
        "CONSTRAINT",
        "FK CONSTRAINT",
        "TRIGGER",
        "EVENT TRIGGER",
        "RULE",
        "POLICY",
        "STATISTICS",
        "SUBSCRIPTION",
        "MATERIALIZED VIEW DATA",
    )
)
_DATA_KINDS = frozenset(("INSERT", "SEQUENCE SET", "LARGE OBJECT DATA", "STATISTICS DATA"))
_NEUTRAL_IN_DATA = frozenset(
    ("SET", "SELECT", "TRANSACTION", "TRIGGER STATE", "LARGE OBJECT", "SESSION AUTHORIZATION")
)
_MEANINGFUL_SETTINGS = frozenset(
    (
        "client_encoding",
        "standard_conforming_strings",
        "search_path",
        "role",
        "session_replication_role",
        "default_tablespace",
        "check_function_bodies",
        "xmloption",
        "row_security",
    )
)
_HARMLESS_VALUES = {"default_table_access_method": "heap", "default_with_oids": "false"}


@dataclass(frozen=True)
class Meaning:
    """What `classify` found: see `events.Sql`."""

    kind: str
    names: Tuple[str, ...] = ()
    creates: str = ""


def _rule(pattern: str) -> Pattern[str]:
    text = pattern.replace("<q>", "(" + _QUALIFIED + ")").replace("<n>", "(" + _NAME + ")")
    return re.compile(text.replace(" ", r"\s+").replace("~", " "), _FLAGS)


_RULES: List[Tuple[Pattern[str], str]] = [
    (_rule(r"INSERT INTO <q>"), "INSERT"),
    (_rule(r"SELECT (?:pg_catalog\.)?setval\s*\("), "SEQUENCE SET"),
    (_rule(r"SELECT (?:pg_catalog\.)?set_config\s*\("), "SET"),
    (_rule(r"SELECT (?:pg_catalog\.)?(?:lo_open|lowrite|lo_close|lo_from_bytea)\s*\("), "LARGE OBJECT DATA"),
    (_rule(r"SELECT (?:pg_catalog\.)?lo_\w+\s*\("), "LARGE OBJECT"),
    (_rule(r"SELECT .{0,20}?pg_restore_\w+_stats\s*\("), "STATISTICS DATA"),
    (_rule(r"SELECT\b"), "SELECT"),
    (_rule(r"(?:SET|RESET) (?:SESSION AUTHORIZATION|ROLE)\b"), "SESSION AUTHORIZATION"),
    (_rule(r"(?:SET|RESET)\b"), "SET"),
    (_rule(r"(?:BEGIN|COMMIT|ROLLBACK|END|START TRANSACTION)\b"), "TRANSACTION"),
    (
        _rule(r"(?:COMMENT ON|ALTER|GRANT|REVOKE|SECURITY LABEL)\b[^'\"]{0,80}?\bLARGE OBJECT\b"),
        "LARGE OBJECT",
    ),
    (_rule(r"CREATE (?:UNLOGGED |FOREIGN )?TABLE (?:IF NOT EXISTS )?<q>"), "TABLE"),
    (_rule(r"REFRESH MATERIALIZED VIEW (?:CONCURRENTLY )?<q>"), "MATERIALIZED VIEW DATA"),
    (_rule(r"CREATE MATERIALIZED VIEW (?:IF NOT EXISTS )?<q>"), "MATERIALIZED VIEW"),
    (_rule(r"CREATE (?:OR REPLACE )?(?:RECURSIVE )?VIEW <q>"), "VIEW"),
    (_rule(r"CREATE (?:UNLOGGED )?SEQUENCE (?:IF NOT EXISTS )?<q>"), "SEQUENCE"),
    (_rule(r"ALTER SEQUENCE <q> OWNED BY"), "SEQUENCE OWNED BY"),
    (_rule(r"CREATE (?:CONSTRAINT )?TRIGGER <n> .*? ON <q>(?: FROM <q>)?"), "TRIGGER"),
    (_rule(r"CREATE (?:OR REPLACE )?RULE <n> AS ON \w+ TO <q>"), "RULE"),
    (_rule(r"CREATE POLICY <n> ON <q>"), "POLICY"),
    (_rule(r"CREATE STATISTICS <q> .*? FROM <q>"), "STATISTICS"),
    (_rule(r"CREATE EVENT TRIGGER\b"), "EVENT TRIGGER"),
    (_rule(r"CREATE EXTENSION (?:IF NOT EXISTS )?<n>"), "EXTENSION"),
    (_rule(r"CREATE SCHEMA\b"), "SCHEMA"),
    (_rule(r"CREATE TYPE\b"), "TYPE"),
    (_rule(r"CREATE DOMAIN\b"), "DOMAIN"),
    (_rule(r"CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE|AGGREGATE)\b"), "FUNCTION"),
    (_rule(r"CREATE PUBLICATION\b"), "PUBLICATION"),
    (_rule(r"CREATE SUBSCRIPTION\b"), "SUBSCRIPTION"),
    (_rule(r"ALTER PUBLICATION <n> ADD TABLE(?: ONLY)? <q>"), "PUBLICATION TABLE"),
    (_rule(r"ALTER DEFAULT PRIVILEGES\b"), "DEFAULT ACL"),
    (_rule(r"ALTER INDEX <q> ATTACH PARTITION <q>"), "INDEX ATTACH"),
    (_rule(r"COMMENT ON (?:TABLE|VIEW|MATERIALIZED VIEW|FOREIGN TABLE) <q>"), "COMMENT"),
    (_rule(r"COMMENT ON\b"), "COMMENT"),
    (_rule(r"(?:GRANT|REVOKE) [^'\"]*? ON TABLE <q>"), "ACL"),
    (_rule(r"(?:GRANT|REVOKE)\b"), "ACL"),
    (_rule(r"SECURITY LABEL\b"), "SECURITY LABEL"),
    (_rule(r"ALTER (?:TABLE|VIEW|MATERIALIZED VIEW|SEQUENCE|FOREIGN TABLE) <q> OWNER TO"), "OWNER"),
    (_rule(r"ALTER \w.*? OWNER TO <n>\s*;\Z"), "OWNER"),
    (_rule(r"DROP\b"), "DROP"),
]
_NAMED_OBJECT = frozenset(("TRIGGER", "RULE", "POLICY", "STATISTICS", "PUBLICATION TABLE"))
"""Kinds whose first name is the object's own, not a table's."""
_NO_TABLES = frozenset(("EXTENSION", "SEQUENCE", "SEQUENCE OWNED BY", "OWNER"))

_INDEX = _rule(r"CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?(?:<n> )?ON (?:ONLY )?<q>")
_ALTER_TABLE = _rule(r"ALTER (?:FOREIGN )?TABLE (?:IF EXISTS )?(?:ONLY )?<q>\s+")
_ALTERATIONS: List[Tuple[Pattern[str], str]] = [
    (_rule(r"ADD CONSTRAINT <n> FOREIGN KEY.*? REFERENCES <q>"), "FK CONSTRAINT"),
    (_rule(r"ADD CONSTRAINT <n> (?:PRIMARY KEY|UNIQUE|EXCLUDE)\b"), "CONSTRAINT"),
    (_rule(r"ADD CONSTRAINT <n>"), "CHECK CONSTRAINT"),
    (_rule(r"ATTACH PARTITION <q>"), "TABLE ATTACH"),
    (_rule(r"OWNER TO\b"), "OWNER"),
    (_rule(r"(?:ENABLE|DISABLE) (?:REPLICA |ALWAYS )?TRIGGER\b"), "TRIGGER STATE"),
    (_rule(r"(?:ENABLE|DISABLE|FORCE|NO FORCE) ROW LEVEL SECURITY"), "ROW SECURITY"),
    (_rule(r"CLUSTER ON\b"), "CLUSTER"),
    (_rule(r"REPLICA IDENTITY\b"), "REPLICA IDENTITY"),
    (_rule(r"INHERIT <q>"), "TABLE INHERIT"),
    (_rule(r"ALTER (?:COLUMN )?<n> SET DEFAULT\b"), "DEFAULT"),
    (_rule(r"ALTER (?:COLUMN )?<n> ADD GENERATED\b"), "IDENTITY"),
]
_COPY = re.compile(
    r"COPY\s+(" + _QUALIFIED + r")\s*(\((?:[^()\"]|\"(?:[^\"]|\"\")*\")*\))?\s+FROM\s+stdin\s*;", _FLAGS
)
_SETTING = re.compile(r"SET\s+(?:SESSION\s+)?([\w.]+)\s*(?:=|TO)\s*(.*?)\s*;", _FLAGS)


def classify(text: str) -> Meaning:
    """Return the kind, the tables and the index made of one statement."""
    if text[:12].upper().startswith("ALTER TABLE") or text[:14].upper().startswith("ALTER FOREIGN"):
        return _alteration(text)
    index = _INDEX.match(text)
    if index:
        name, table = index.groups()
        return Meaning("INDEX", (table,), _beside(table, name) if name else "")
    for pattern, kind in _RULES:
        match = pattern.match(text)
        if match:
            return Meaning(kind, _tables(kind, match.groups()))
    return Meaning("OTHER")


def _tables(kind: str, groups: Tuple[Optional[str], ...]) -> Tuple[str, ...]:
    if kind in _NO_TABLES:
        return ()
    return tuple(name for name in groups[kind in _NAMED_OBJECT :] if name)


def _alteration(text: str) -> Meaning:
    head = _ALTER_TABLE.match(text)
    if head is None:
        return Meaning("OTHER")
    table = head.group(1)
    for pattern, kind in _ALTERATIONS:
        match = pattern.match(text, head.end())
        if match is None:
            continue
        if kind == "CONSTRAINT":
            return Meaning(kind, (table,), _beside(table, match.group(1)))
        if kind in ("FK CONSTRAINT", "TABLE ATTACH", "TABLE INHERIT"):
            return Meaning(kind, (table, str(match.groups()[-1])))
        return Meaning(kind, (table,))
    return Meaning("ALTER TABLE", (table,))


def _beside(table: str, name: str) -> str:
    """Qualify `name` with the schema of `table`."""
    parts = re.findall(_NAME, table)
    return ".".join([*parts[:-1], name])


def extension_name(text: str) -> str:
    """Return the name in CREATE EXTENSION, unquoted (empty for any other statement)."""
    match = _rule(r"CREATE EXTENSION (?:IF NOT EXISTS )?<n>").match(text)
    return unquoted(match.group(1)) if match else ""


def unquoted(name: str) -> str:
    """Return the name that SQL text stands for: folded to lower case unless quoted."""
    if name.startswith('"') and name.endswith('"') and len(name) > 1:
        return name[1:-1].replace('""', '"')
    return name.lower()


def unquoted_parts(name: str) -> Tuple[str, ...]:
    """Return the parts of a qualified name, each unquoted."""
    return tuple(unquoted(part) for part in re.findall(_NAME, name))


def copy_target(text: str) -> Optional[Tuple[str, str]]:
    """Return (table, column list) of a COPY ... FROM stdin in text format; None for any other COPY."""
    match = _COPY.fullmatch(text)
    return (match.group(1), match.group(2) or "") if match else None


def setting(text: str) -> Tuple[str, str]:
    """Return (name, value) of a SET statement in lower case, unquoted; empty when it is something else."""
    match = _SETTING.match(text)
    return (match.group(1).lower(), match.group(2).strip("'").lower()) if match else ("", "")


def is_optional(text: str) -> bool:
    """Tell whether a setting may be left out where the server does not know it: it cannot change the data."""
    name, value = setting(text)
    if not name or name in _MEANINGFUL_SETTINGS:
        return False
    return _HARMLESS_VALUES.get(name, value) == value


def next_section(section: str, kind: str) -> str:
    """Return the section a statement of this kind belongs to, when the one before was in `section`."""
    if section == "pre-data":
        return "data" if kind in _DATA_KINDS else "post-data" if kind in _POST_KINDS else section
    if section == "data" and kind not in _DATA_KINDS and kind not in _NEUTRAL_IN_DATA:
        return "post-data"
    return section
