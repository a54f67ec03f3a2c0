# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reaching a PostgreSQL server with psycopg2: login options, clear errors, quoting, server facts."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UnreachableError,
)

try:
    import psycopg2
    import psycopg2.extensions
    from psycopg2 import sql

    PSYCOPG2_ERROR: Optional[str] = None
    Error: Any = psycopg2.Error
    IDLE = psycopg2.extensions.TRANSACTION_STATUS_IDLE
except ImportError as _missing:  # the target lacks it: require_psycopg2() says what to install
    psycopg2 = None  # type: ignore[assignment]
    sql = None  # type: ignore[assignment]
    PSYCOPG2_ERROR = str(_missing)
    Error = Exception
    IDLE = 0

# What libpq and the server say, the kind of error it is, and what the operator does next. First match wins.
_CAUSES: Tuple[Tuple[str, str, str], ...] = (
    ("password authentication failed", "denied", "check login_user and login_password"),
    ("no password supplied", "denied", "set login_password"),
    ("no pg_hba.conf entry", "denied", "allow this host and user in pg_hba.conf, or set ssl_mode"),
    ("ident authentication failed", "denied", "use a role that pg_hba.conf admits, or set login_password"),
    ("peer authentication failed", "denied", "use become_user with the role's name, or set login_host"),
    ("permission denied for database", "denied", "grant CONNECT on the database to login_user"),
    ("too many clients", "too_many_clients", "end idle sessions or raise max_connections"),
    ("remaining connection slots", "too_many_clients", "end idle sessions or raise max_connections"),
    ("is starting up", "starting", "wait until crash recovery has ended; follow it in the server's log"),
    ("in recovery mode", "starting", "wait until crash recovery has ended; follow it in the server's log"),
    ("shutting down", "stopping", "wait for the stop to end, then start the server"),
    ("connection refused", "refused", "start PostgreSQL, or correct login_host and login_port"),
    ("no such file or directory", "refused", "start PostgreSQL, or correct login_unix_socket"),
    ("timeout expired", "timeout", "see whether the server is frozen or a firewall drops its port"),
    ("could not translate host name", "name", "correct login_host"),
    ("certificate", "tls", "check ca_cert and ssl_mode"),
    ("ssl", "tls", "check ssl_mode: the server may not speak TLS"),
)


@dataclass(frozen=True)
class Login:
    """How to reach one server. An unset option is left to libpq (PGHOST, PGPORT and so on)."""

    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    unix_socket: str = ""
    maintenance_db: str = "postgres"
    ssl_mode: str = ""
    ca_cert: str = ""
    application_name: str = "oncall"

    @classmethod
    def from_params(cls, params: Mapping[str, Any], application_name: str = "oncall") -> "Login":
        """Return the login that the module options of the doc fragment `postgres` describe."""
        return cls(
            host=params.get("login_host") or "",
            port=params.get("login_port") or 0,
            user=params.get("login_user") or "",
            password=params.get("login_password") or "",
            unix_socket=params.get("login_unix_socket") or "",
            maintenance_db=params.get("maintenance_db") or "postgres",
            ssl_mode=params.get("ssl_mode") or "",
            ca_cert=params.get("ca_cert") or "",
            application_name=application_name,
        )

    @property
    def address(self) -> str:
        """The server as a reader would name it, without a secret."""
        host = self.unix_socket or self.host or "the local socket"
        return "%s@%s:%s" % (self.user or "the default role", host, self.port or 5432)

    def _dsn(self, database: str, connect_timeout: int) -> Dict[str, Any]:
        options: Dict[str, Any] = {
            "host": self.unix_socket or self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "sslmode": self.ssl_mode,
            "sslrootcert": self.ca_cert,
        }
        known = {name: value for name, value in options.items() if value}
        known.update(
            dbname=database,
            application_name=self.application_name,
            connect_timeout=connect_timeout,
            # A peer that vanished (power, network) is noticed within half a minute instead of hours.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
        if psycopg2.extensions.libpq_version() >= 120000:
            known["tcp_user_timeout"] = 30000
        return known

    def connect(self, database: Optional[str] = None, *, timeout: int = 10, options: str = "") -> Any:
        """Return a psycopg2 connection in autocommit to `database` (default: the maintenance database).

        `timeout` is in seconds (libpq treats 1 as 2); `options` are server settings of this session, as
        libpq's `options` (`-c statement_timeout=5000`). Raises UnreachableError or DeniedError.
        """
        require_psycopg2()
        name = database or self.maintenance_db
        dsn = self._dsn(name, timeout)
        if options:
            dsn["options"] = options
        try:
            connection = psycopg2.connect(**dsn)
        except psycopg2.Error as error:
            raise connection_error(error, "database %s as %s" % (name, self.address)) from None
        connection.autocommit = True
        return connection


def require_psycopg2() -> None:
    """Raise an OncallError that names the packages when psycopg2 is not there."""
    if psycopg2 is None:
        raise OncallError(
            "import psycopg2",
            on="the target's Python",
            got=str(PSYCOPG2_ERROR),
            next_step="install the package python3-psycopg2 (or psycopg2-binary with pip)",
            kind="missing_psycopg2",
        )


def connection_error(error: Exception, where: str) -> OncallError:
    """Return the domain error for a connection that failed with a psycopg2 `error`."""
    low = " ".join(str(error).split()).lower()
    # What libpq adds in a line of its own is a question to the reader; in one sentence it ends with a stop.
    got = ": ".join(line.strip() for line in str(error).splitlines() if line.strip()).rstrip("?")
    kind, next_step = "unreachable", "see whether the server runs and read the end of its log"
    if "database" in low and "does not exist" in low:
        kind, next_step = "no_database", "check the database's name: list them with psql -l"
    else:
        for text, its_kind, its_step in _CAUSES:
            if text in low:
                kind, next_step = its_kind, its_step
                break
    made = DeniedError if kind == "denied" else UnreachableError
    return made("connect to PostgreSQL", on=where, got=got, next_step=next_step, kind=kind)


def rows(
    connection: Any, statement: Any, parameters: Optional[Sequence[Any]] = None
) -> List[Tuple[Any, ...]]:
    """Run one statement (text or psycopg2.sql) and return its rows; none for one without a result."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def value(connection: Any, statement: Any, parameters: Optional[Sequence[Any]] = None) -> Any:
    """Return the first column of the first row of a statement, None when there is no row."""
    found = rows(connection, statement, parameters)
    return found[0][0] if found else None


def ident(*names: str) -> Any:
    """Return a quoted (dotted) identifier for `statement`."""
    return sql.Identifier(*names)


def raw(text: str) -> Any:
    """Return SQL text as it is, for `statement`: only for words of our own or of the server's catalog."""
    return sql.SQL(text)


def literal(value: Any) -> Any:
    """Return a quoted literal for `statement`."""
    return sql.Literal(value)


def statement(template: str, *parts: Any) -> Any:
    """Return SQL composed of a fixed template and parts: `statement("DROP DATABASE {}", ident(name))`.

    A part that is not composable already (a text, a number, None) becomes a quoted literal.
    """
    made = [part if isinstance(part, sql.Composable) else sql.Literal(part) for part in parts]
    return sql.SQL(template).format(*made)


@dataclass(frozen=True)
class ServerFacts:
    """What one look at the server says about itself and about the role that looks."""

    version: int  # as server_version_num: 150018
    version_text: str  # as server_version: 15.18
    role: str
    superuser: bool
    createdb: bool
    signal_backend: bool
    data_directory: str  # "" when the role may not read it
    in_recovery: bool

    @property
    def major(self) -> int:
        """Major version: 15."""
        return self.version // 10000


_FACTS = """
SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_user,
       r.rolsuper, r.rolcreatedb, r.rolsuper OR pg_has_role(current_user, 'pg_signal_backend', 'USAGE'),
       CASE WHEN r.rolsuper OR pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')
            THEN current_setting('data_directory', true) ELSE '' END,
       pg_is_in_recovery()
FROM pg_roles r WHERE r.rolname = current_user
"""


def server_facts(connection: Any) -> ServerFacts:
    """Return the facts of the server behind `connection`, in one query."""
    return ServerFacts(*rows(connection, _FACTS)[0])


def argument_spec() -> Dict[str, Dict[str, Any]]:
    """Return the options of the doc fragment `postgres`."""
    return {
        "login_host": {"type": "str", "default": ""},
        "login_port": {"type": "int", "default": 5432},
        "login_user": {"type": "str", "default": ""},
        "login_password": {"type": "str", "default": "", "no_log": True},
        "login_unix_socket": {"type": "path", "default": ""},
        "maintenance_db": {"type": "str", "default": "postgres"},
        "ssl_mode": {
            "type": "str",
            "default": "prefer",
            "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        },
        "ca_cert": {"type": "path", "default": ""},
    }
