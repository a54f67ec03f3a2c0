"""What the database and the backups of each system's stand-in are called, and what services do with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runbook.rehearsal.processes import StandInError

BACKUP_PREFIX = "postgres/"


@dataclass(frozen=True)
class Shape:
    """One system; its schema and rows are in `data/<system>_*.sql`.

    roles: who may log in beside the superuser, the application first. dress: statements for what lives
    outside a dump. settled: statements after the last row. work: what every service does all day. damaged:
    tables that every service reads. dropped: a table that every service needs.
    """

    system: str
    database: str
    superuser: str
    roles: tuple[str, ...]
    dress: tuple[str, ...]
    work: tuple[str, ...]
    damaged: tuple[str, ...]
    dropped: str
    bucket: str
    settled: tuple[str, ...] = ()

    @property
    def app_role(self) -> str:
        """The role that the services log in as."""
        return self.roles[0]

    def key_of(self, moment: datetime, database: str = "") -> str:
        """Return the key of the backup made at `moment`, of this system's database or of another."""
        return f"{BACKUP_PREFIX}{database or self.database}-{moment:%Y-%m-%dT%H-%M-%SZ}.sql.gz"


# A temporary table needs a disk that takes a write.
_WRITE = "CREATE TEMP TABLE probe AS SELECT repeat('x', 100) FROM generate_series(1, 100000)"

ROOST = Shape(
    system="roost",
    database="roost_prod",
    superuser="roost",
    roles=("roost_app", "roost_readonly"),
    dress=(
        "ALTER DATABASE roost_prod CONNECTION LIMIT 60",
        "ALTER DATABASE roost_prod SET statement_timeout = '30s'",
        'ALTER DATABASE roost_prod SET search_path = "$user", public, billing',
        "ALTER ROLE roost_readonly IN DATABASE roost_prod SET default_transaction_read_only = on",
        "REVOKE ALL ON DATABASE roost_prod FROM PUBLIC",
        "GRANT CONNECT, TEMPORARY ON DATABASE roost_prod TO roost_app",
        "GRANT CONNECT ON DATABASE roost_prod TO roost_readonly",
        "COMMENT ON DATABASE roost_prod IS 'Roost: subscribers and owls'",
    ),
    work=(
        "SELECT count(*) FROM public.subscribers s JOIN public.subscriptions p ON p.subscriber_id = s.id",
        _WRITE,
    ),
    damaged=("public.subscribers", "public.subscriptions"),
    dropped="public.subscriptions",
    bucket="roost-backups",
    settled=("REFRESH MATERIALIZED VIEW billing.monthly_revenue",),
)
CLEANING = Shape(
    system="cleaning",
    database="cleaning_prod",
    superuser="cleaning",
    roles=("cleaning_app",),
    dress=(
        "ALTER DATABASE cleaning_prod CONNECTION LIMIT 60",
        "REVOKE ALL ON DATABASE cleaning_prod FROM PUBLIC",
        "GRANT CONNECT, TEMPORARY ON DATABASE cleaning_prod TO cleaning_app",
    ),
    work=(
        "SELECT count(*) FROM public.customers c JOIN public.bookings b ON b.customer_id = c.id",
        _WRITE,
    ),
    damaged=("public.customers", "public.bookings"),
    dropped="public.bookings",
    bucket="cleaning-backups",
)
_ALL = {shape.system: shape for shape in (ROOST, CLEANING)}


def of(system: str) -> Shape:
    """Return the shape of `system`; raises StandInError naming the systems that have a stand-in."""
    if system not in _ALL:
        raise StandInError(f"there is no stand-in of {system!r}; there are: {', '.join(_ALL)}")
    return _ALL[system]
