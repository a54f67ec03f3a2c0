# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which migrations a commit knows, which the database has, and what the difference means."""

from __future__ import annotations

__metaclass__ = type

import re
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Pattern, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.server import read_session

DESTRUCTIVE = (
    r"(?i)\bDROP\b|\bTRUNCATE\b|\bDELETE\s+FROM\b|\bRENAME\b"
    r"|\bALTER\s+(?:COLUMN\s+)?\S+\s+(?:SET\s+DATA\s+)?TYPE\b"
)
PATTERN = r"(?!.*\.down\.)(?P<version>\d+)[^/]*\.(?:sql|py|rb|js|ts)"

MIGRATIONS_SPEC: Dict[str, Any] = {
    "path": {"type": "str", "required": True},
    "pattern": {"type": "str", "default": PATTERN},
    "revision": {"type": "str", "default": ""},
    "parent": {"type": "str", "default": ""},
    "table": {"type": "str", "default": "public.schema_migrations"},
    "column": {"type": "str", "default": "version"},
    "applied": {"type": "str", "default": "all", "choices": ["all", "heads"]},
    "compatible": {"type": "str", "default": ""},
    "destructive": {"type": "str", "default": DESTRUCTIVE},
}

_INVALID_INDEXES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = c.oid)
ORDER BY 1
"""


@dataclass(frozen=True)
class Migration:
    """One migration of a commit: how it is known to the database, its file, what has to be before it."""

    version: str
    path: str
    parents: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """The migrations of one commit, in the order in which they are applied."""

    sha: str
    known: Tuple[Migration, ...]
    twice: Tuple[str, ...] = ()
    graph: bool = False

    @property
    def versions(self) -> FrozenSet[str]:
        """Keys of all (see `key`)."""
        return frozenset(key(migration.version) for migration in self.known)

    @property
    def heads(self) -> List[str]:
        """Versions that no other one follows; more than one means that two lines were never joined."""
        if not self.graph:
            return [self.known[-1].version] if self.known else []
        parents = {parent for migration in self.known for parent in migration.parents}
        return [migration.version for migration in self.known if migration.version not in parents]

    def named(self, keys: Iterable[str]) -> List[Migration]:
        """Return those of this commit with these keys, in order."""
        wanted = set(keys)
        return [migration for migration in self.known if key(migration.version) in wanted]


@dataclass(frozen=True)
class State:
    """How code and database relate.

    `word` is current, behind, ahead or diverged. `pending` are the code's migrations that the database has
    not, in order; `extra` what the database has and the code does not know; `reason` says why in words.
    """

    word: str
    pending: Tuple[Migration, ...]
    extra: Tuple[str, ...]
    reason: str


def key(version: str) -> str:
    """Return a version for comparing: `0007` in a file's name is 7 in a column of numbers."""
    text = version.strip()
    return str(int(text)) if text.isdigit() else text


def in_order(versions: Iterable[str]) -> List[str]:
    """Return versions in the order of their numbers, texts behind them."""
    return sorted(versions, key=lambda v: (not v.isdigit(), int(v) if v.isdigit() else 0, v))


def code_at(git: Git, sha: str, options: Mapping[str, Any]) -> Code:
    """Return the migrations of a commit, read from the repository: the working tree may be another one.

    Raises UsageError for a pattern that is no regular expression, or that finds nothing in the folder.
    """
    folder = options["path"].strip("/") + "/"
    names = [
        name for name in git.ask("ls-tree", "-r", "-z", "--name-only", sha, "--", folder).split("\0") if name
    ]
    pattern = _compiled(options, "pattern")
    matched = [(name, pattern.match(name[len(folder) :])) for name in names]
    found = [(name, match) for name, match in matched if match]
    if options["revision"]:
        return _graph(git, sha, [name for name, _match in found], options)
    made = [Migration(match.group("version"), name) for name, match in found]
    made.sort(
        key=lambda m: (not m.version.isdigit(), int(m.version) if m.version.isdigit() else 0, m.version)
    )
    keys = [key(migration.version) for migration in made]
    twice = tuple(dict.fromkeys(m.version for m in made if keys.count(key(m.version)) > 1))
    return Code(sha, tuple(made), twice)


def _compiled(options: Mapping[str, Any], name: str) -> Pattern[str]:
    try:
        made = re.compile(options[name], re.MULTILINE)
        if name == "pattern" and "version" not in made.groupindex and not options["revision"]:
            raise re.error("it has no group called version")
    except re.error as exc:
        raise UsageError(
            "read the migrations",
            on="migrations.%s" % name,
            got="%s is no such regular expression: %s" % (options[name], exc),
            next_step="correct the option in the inventory",
        ) from None
    return made


def _graph(git: Git, sha: str, names: Sequence[str], options: Mapping[str, Any]) -> Code:
    """Migrations that name themselves and what they follow, as Alembic's and Django's files do."""
    own, before = _compiled(options, "revision"), _compiled(options, "parent")
    made: List[Migration] = []
    for name in names:
        text = git.file(sha, name) or ""
        match = own.search(text)
        if match:
            parents = [p for found in before.finditer(text) for p in found.groups() if p]
            made.append(Migration(match.group(1), name, tuple(parents)))
    versions = [migration.version for migration in made]
    twice = tuple(dict.fromkeys(v for v in versions if versions.count(v) > 1))
    return Code(sha, tuple(_parents_first(made)), twice, graph=True)


def _parents_first(made: Sequence[Migration]) -> List[Migration]:
    ordered: List[Migration] = []
    left = sorted(made, key=lambda m: m.version)
    while left:
        waiting = {migration.version for migration in left}
        ready = [m for m in left if not waiting.intersection(m.parents)] or left
        ordered += ready
        left = [m for m in left if m not in ready]
    return ordered


def ancestors(code: Code, versions: Iterable[str]) -> FrozenSet[str]:
    """Return the keys of these versions and of all that has to be before them, as far as `code` knows."""
    parents = {key(m.version): [key(p) for p in m.parents] for m in code.known}
    found, left = set(), [key(version) for version in versions]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += parents.get(one, [])
    return frozenset(found)


@dataclass(frozen=True)
class Applied:
    """What the database's own table says: the versions, and indexes that a migration left unfinished."""

    versions: Tuple[str, ...]
    invalid_indexes: Tuple[str, ...] = ()

    def keys(self, code: Code, options: Mapping[str, Any]) -> FrozenSet[str]:
        """Return the keys of all that was applied; a head stands for what is before it, too."""
        if options["applied"] == "heads":
            return ancestors(code, self.versions)
        return frozenset(map(key, self.versions))


def read_applied(login: pg.Login, database: str, options: Mapping[str, Any], timeout: float) -> Applied:
    """Ask the database which migrations it has; raises OncallError (`no_migrations_table`)."""
    with closing(read_session(login, database, timeout)) as session:
        found = pg.rows(session, "SELECT to_regclass(%s)::text", (options["table"],))
        if found[0][0] is None:
            raise OncallError(
                "read the applied migrations",
                on="database %s on %s" % (database, login.address),
                got="it has no table %s" % options["table"],
                next_step="see whether this is the application's database (DATABASE_URL), and correct "
                "migrations.table otherwise",
                kind="no_migrations_table",
            )
        try:
            listed = pg.rows(
                session,
                pg.statement("SELECT {}::text FROM {}", pg.ident(options["column"]), pg.raw(found[0][0])),
            )
        except pg.Error as exc:
            raise OncallError(
                "read the applied migrations",
                on="%s of database %s" % (options["table"], database),
                got=" ".join(str(exc).split()),
                next_step="correct migrations.column, or grant SELECT on the table to the role",
            ) from None
        broken = pg.rows(session, _INVALID_INDEXES)
    return Applied(tuple(in_order(row[0] for row in listed)), tuple(row[0] for row in broken))


def judge(code: Code, applied: FrozenSet[str]) -> State:
    """Return how the database relates to the code; `applied` are keys."""
    pending = tuple(m for m in code.known if key(m.version) not in applied)
    extra = tuple(in_order(applied - code.versions))
    reason = _diverged(code, applied, pending, extra)
    if reason:
        return State("diverged", pending, extra, reason)
    if pending:
        return State("behind", pending, extra, "the database lacks %s" % names(m.version for m in pending))
    if extra:
        return State(
            "ahead", pending, extra, "the database has %s, which this code does not know" % names(extra)
        )
    return State("current", pending, extra, "the database has exactly the migrations of this code")


def _diverged(code: Code, applied: FrozenSet[str], pending: Sequence[Migration], extra: Sequence[str]) -> str:
    if code.twice:
        return "the code has more than one migration %s" % names(code.twice)
    if len(code.heads) > 1:
        return "the code has %d heads that were never joined: %s" % (len(code.heads), names(code.heads))
    if pending and extra:
        return "the database has %s, which this code does not know, and lacks %s" % (
            names(extra),
            names(m.version for m in pending),
        )
    late = _out_of_order(code, applied, pending)
    if late:
        return (
            "the database lacks %s and has later ones: to apply them now is another order than was tested"
            % (names(late))
        )
    return ""


def _out_of_order(code: Code, applied: FrozenSet[str], pending: Sequence[Migration]) -> List[str]:
    if code.graph:
        following = {key(p) for m in code.known if key(m.version) in applied for p in m.parents}
        return [m.version for m in pending if key(m.version) in following]
    there = [place for place, m in enumerate(code.known) if key(m.version) in applied]
    last = max(there) if there else -1
    return [m.version for place, m in enumerate(code.known) if m in pending and place < last]


def names(versions: Iterable[str], limit: int = 6) -> str:
    """Return versions for a sentence."""
    listed = list(versions)
    more = " and %d more" % (len(listed) - limit) if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more


def matching(text: str, expression: str) -> bool:
    """Whether a migration's text has a mark; an empty expression marks nothing."""
    return bool(expression) and re.search(expression, text, re.MULTILINE) is not None
