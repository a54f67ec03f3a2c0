# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Making a database that is like another one from outside, and dropping one that is ours."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import ConflictError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import database_marks as marks


@dataclass(frozen=True)
class DatabaseShape:
    """What a database is from outside: everything a restore inside it does not bring."""

    name: str
    owner: str
    encoding: str
    provider: str  # c (libc), i (ICU) or b (builtin)
    collate: str
    ctype: str
    locale: str  # of ICU or the builtin provider
    icu_rules: str
    tablespace: str
    connection_limit: int
    is_template: bool
    acl: Optional[Tuple[str, ...]]
    comment: str
    settings: Tuple[Tuple[str, Tuple[str, ...]], ...]  # (role, "" for all roles; name=value options)
    labels: Tuple[Tuple[str, str], ...]  # (provider, label)


_SHAPE = """
SELECT d.datname, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), {provider}, d.datcollate,
       d.datctype, {locale}, {rules}, t.spcname, d.datconnlimit, d.datistemplate, d.datacl::text[],
       shobj_description(d.oid, 'pg_database'), d.oid
FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = %s
"""
_SETTINGS = """
SELECT coalesce(r.rolname, ''), s.setconfig
FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase = %s ORDER BY 1
"""
_LABELS = "SELECT provider, label FROM pg_shseclabel WHERE objoid = %s AND classoid = 'pg_database'::regclass"
_ACL = """
SELECT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable
FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = %s ORDER BY 1, 2
"""


def shape(connection: Any, name: str) -> Optional[DatabaseShape]:
    """Return the shape of a database, None when there is none of that name."""
    version = connection.server_version
    query = _SHAPE.format(
        provider="d.datlocprovider::text" if version >= 150000 else "'c'",
        locale="d.datlocale"
        if version >= 170000
        else ("d.daticulocale" if version >= 150000 else "NULL::text"),
        rules="d.daticurules" if version >= 160000 else "NULL::text",
    )
    found = pg.rows(connection, query, (name,))
    if not found:
        return None
    columns: List[Any] = list(found[0][:11])
    acl, comment, oid = found[0][11:]
    settings = tuple(
        (role, tuple(option for option in options if not option.startswith(marks.SETTING + "=")))
        for role, options in pg.rows(connection, _SETTINGS, (oid,))
    )
    columns[6], columns[7] = columns[6] or "", columns[7] or ""
    columns += [
        tuple(acl) if acl is not None else None,
        marks.unmarked_comment(comment),
        tuple((role, options) for role, options in settings if options),
        tuple((provider, label) for provider, label in pg.rows(connection, _LABELS, (oid,))),
    ]
    return DatabaseShape(*columns)


def _locale_clause(like: DatabaseShape, version: int) -> Tuple[str, List[Any]]:
    clause, parts = " LC_COLLATE {} LC_CTYPE {}", [like.collate, like.ctype]
    if like.provider == "i":
        clause += " LOCALE_PROVIDER icu ICU_LOCALE {}"
        parts.append(like.locale)
        if like.icu_rules and version >= 160000:
            clause += " ICU_RULES {}"
            parts.append(like.icu_rules)
    elif like.provider == "b":
        clause += " LOCALE_PROVIDER builtin BUILTIN_LOCALE {}"
        parts.append(like.locale)
    elif version >= 150000:
        clause += " LOCALE_PROVIDER libc"
    return clause, parts


def create(connection: Any, name: str, like: Optional[DatabaseShape], mark: marks.Mark) -> None:
    """Create the empty database `name`, like another one, and mark it as ours at once."""
    template, parts = "CREATE DATABASE {} TEMPLATE template0", [pg.ident(name)]
    if like is not None:
        clause, values = _locale_clause(like, connection.server_version)
        template += " OWNER {} ENCODING {}" + clause
        parts += [pg.ident(like.owner), like.encoding, *values]
        if (
            like.tablespace != "pg_default"
        ):  # template0's own: naming it would need a right that leaving it does not
            template += " TABLESPACE {}"
            parts.append(pg.ident(like.tablespace))
    try:
        pg.rows(connection, pg.statement(template, *parts))
    except pg.Error as error:
        raise _creation_error(name, error) from None
    marks.set_mark(connection, name, mark)


def _creation_error(name: str, error: Any) -> OncallError:
    if error.pgcode == "42P04":
        return ConflictError(
            "create the database %s" % name,
            got="a database of that name is there already",
            next_step="give another run id, or remove it when it is yours: DROP DATABASE",
            kind="name_taken",
        )
    return OncallError(
        "create the database %s" % name,
        got=str(error).strip(),
        next_step="give login_user the right CREATEDB (and membership in the owner's role)",
        kind="create_database",
    )


def dress(connection: Any, name: str, like: DatabaseShape) -> None:
    """Give the database the settings, grants, limit, comment and labels of another one.

    Done before the switch, because a rename carries none of them over. One transaction: all or nothing.
    """
    target = pg.ident(name)
    pg.rows(connection, "BEGIN")
    try:
        pg.rows(
            connection,
            pg.statement("ALTER DATABASE {} WITH CONNECTION LIMIT {}", target, like.connection_limit),
        )
        for role, options in like.settings:
            _copy_settings(connection, target, role, options)
        if like.acl is not None:
            _copy_acl(connection, target, like)
        if like.comment:
            pg.rows(connection, pg.statement("COMMENT ON DATABASE {} IS {}", target, like.comment))
        for provider, label in like.labels:
            pg.rows(
                connection,
                pg.statement("SECURITY LABEL FOR {} ON DATABASE {} IS {}", pg.ident(provider), target, label),
            )
        pg.rows(connection, "COMMIT")
    except BaseException:
        pg.rows(connection, "ROLLBACK")
        raise


# Settings whose value is a list of names: quoted as a whole, the server would read one long name.
_LIST_SETTINGS = frozenset(
    ("search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries", "datestyle")
)


def _copy_settings(connection: Any, target: Any, role: str, options: Sequence[str]) -> None:
    for option in options:
        name, _sep, text = option.partition("=")
        where = pg.statement("ALTER ROLE {} IN DATABASE {}", pg.ident(role), target) if role else None
        where = where or pg.statement("ALTER DATABASE {}", target)
        value = pg.raw(text) if name.lower() in _LIST_SETTINGS and text else pg.literal(text)
        pg.rows(connection, pg.statement("{} SET {} = {}", where, pg.ident(*name.split(".")), value))


def _copy_acl(connection: Any, target: Any, like: DatabaseShape) -> None:
    """Repeat the live database's grants exactly, also the absence of the default ones to PUBLIC."""
    pg.rows(connection, pg.statement("REVOKE ALL ON DATABASE {} FROM PUBLIC", target))
    pg.rows(connection, pg.statement("REVOKE ALL ON DATABASE {} FROM {}", target, pg.ident(like.owner)))
    for grantee, privilege, grantable in pg.rows(connection, _ACL, (like.name,)):
        to = pg.ident(grantee) if grantee else pg.raw("PUBLIC")
        option = pg.raw(" WITH GRANT OPTION" if grantable else "")
        words = pg.raw(privilege)
        pg.rows(connection, pg.statement("GRANT {} ON DATABASE {} TO {}{}", words, target, to, option))


def drop(connection: Any, name: str, *, live: str, newborn: bool = False) -> bool:
    """Drop a database that a restore made; return whether it was there.

    Refuses the live database and anything that does not carry our mark. With `newborn` an unmarked empty one
    goes too: the caller knows by its name that its maker died the moment after creating it.
    """
    found = marks.find(connection, name)
    if found is None:
        return False
    ours = found.mark is not None and found.mark.of == live and found.mark.role != "live"
    if name == live or not (ours or (newborn and is_newborn(found))):
        raise ConflictError(
            "drop the database %s" % name,
            got="it is the live database" if name == live else "it does not carry the mark of a restore",
            next_step="leave it, or drop it by hand when you are sure",
            kind="not_ours",
        )
    _drop(connection, name)
    return True


def _drop(connection: Any, name: str) -> None:
    if connection.server_version >= 130000:
        pg.rows(connection, pg.statement("DROP DATABASE IF EXISTS {} WITH (FORCE)", pg.ident(name)))
    else:
        end_sessions(connection, name)
        pg.rows(connection, pg.statement("DROP DATABASE IF EXISTS {}", pg.ident(name)))


_SCHEMAS = """
SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
"""


def empty(login: pg.Login, name: str, *, live: str) -> None:
    """Drop what is in a database of ours: gives the disk back at once.

    DROP DATABASE begins with a checkpoint, which fails on a full disk and leaves the database unusable.
    """
    connection = login.connect(name)
    try:
        found = marks.find(connection, name)
        if name == live or found is None or found.mark is None or found.mark.role != "restore":
            return
        for (schema,) in pg.rows(connection, _SCHEMAS):
            pg.rows(connection, pg.statement("DROP SCHEMA {} CASCADE", pg.ident(schema)))
    finally:
        connection.close()


def drop_live(connection: Any, name: str, *, confirmed: str) -> None:
    """Drop the live database itself, for a restore in place; `confirmed` must be its name."""
    if confirmed != name:
        raise ConflictError(
            "drop the live database %s" % name,
            got="it was not confirmed",
            next_step="set confirm_in_place to its name",
            kind="not_confirmed",
        )
    _drop(connection, name)


def is_newborn(found: marks.MarkedDatabase) -> bool:
    """Whether it is as large as a template: created, never loaded, mark not written yet."""
    return found.mark is None and found.size < 16 * 1024 * 1024


def end_sessions(connection: Any, name: str, how: str = "terminate") -> int:
    """Cancel or terminate every client session of a database; return how many were told to."""
    query = (
        "SELECT count(pg_%s_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = %%s AND pid <> pg_backend_pid()"
    )
    return int(pg.value(connection, query % how, (name,)) or 0)
