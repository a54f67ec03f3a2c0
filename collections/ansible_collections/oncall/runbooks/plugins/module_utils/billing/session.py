# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One session with the database, one transaction, and errors that say what to do."""

from __future__ import annotations

__metaclass__ = type

from contextlib import closing, contextmanager
from typing import Any, Iterator, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres as pg
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    DeniedError,
    OncallError,
    UnreachableError,
)

LOCK_WAIT_S = 5
_OPTIONS = "-c statement_timeout=30000"
# Values look the same whatever the role's own settings are: they are compared as texts later.
_SETTINGS = ("TIME ZONE 'UTC'", "datestyle = 'ISO'", "intervalstyle = 'postgres'", "extra_float_digits = 3")


@contextmanager
def session(params: Mapping[str, Any]) -> Iterator[Any]:
    """Yield a connection to the application's database; the server's errors say what to do."""
    login = pg.Login.from_params(params, application_name="oncall-billing")
    with closing(login.connect(params["database"], options=_OPTIONS)) as connection:
        try:
            for setting in _SETTINGS:
                pg.rows(connection, "SET " + setting)
            pg.rows(connection, "SET lock_timeout = '%ds'" % LOCK_WAIT_S)
            yield connection
        except pg.Error as error:
            raise database_error(error) from None


@contextmanager
def transaction(connection: Any, *, read_only: bool) -> Iterator[None]:
    """One transaction: all of it or nothing. Errors of the server become ones that say what to do."""
    ending = False
    try:
        pg.rows(connection, "BEGIN" + (" READ ONLY" if read_only else ""))
        yield
        ending = True
        pg.rows(connection, "COMMIT")
    except pg.Error as error:
        if ending and connection.closed and not read_only:
            raise _unknown_end(error) from None
        raise database_error(error) from None
    finally:
        # Closed or broken, the server ends it by itself; after COMMIT there is nothing to end.
        if not connection.closed and connection.info.transaction_status:
            pg.rows(connection, "ROLLBACK")


def _unknown_end(error: Exception) -> OncallError:
    made = OncallError(
        "hear that the transaction was committed",
        got=" ".join(str(error).split()),
        next_step="run it again: what was done already is not done twice",
        kind="commit_unknown",
    )
    made.changed = True
    return made


def database_error(error: Exception) -> OncallError:
    """Return the domain error for what the server said to a statement."""
    code, text = getattr(error, "pgcode", None) or "", " ".join(str(error).split())
    if code in ("55P03", "40P01"):
        return ConflictError(
            "lock the rows of the subscriber",
            got="%s (waited %d s)" % (text, LOCK_WAIT_S),
            next_step="wait for whoever works on them (postgres_sessions shows who), then run it again"
            " (nothing was changed)",
            kind="locked",
        )
    if code == "42501":
        return DeniedError(
            "work on the database",
            got=text,
            next_step="grant the role what is missing, or set login_user (nothing was changed)",
        )
    if not code:
        return UnreachableError(
            "work on the database",
            got=text,
            next_step="see in the server's log why it ended the session (nothing was changed)",
        )
    return OncallError(
        "work on the database",
        got="%s (SQLSTATE %s)" % (text, code),
        next_step="compare the tables and columns of the inventory with the database (nothing was changed)",
        kind="database",
    )
