"""The stand-in's cluster and dumps: made once per generator, server version and scale, then cached."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.rehearsal import digest
from runbook.rehearsal.postgres_server import PostgresBinaries, PostgresServer
from runbook.rehearsal.processes import StandInError, unprivileged_prefix

SUPERUSER = "roost"
DATABASE = "roost_prod"
APP_ROLE = "roost_app"
_DATA = Path(__file__).parent / "data"
# Shares of the rows that existed when each of the three dumps was made: nights ago, last but one, last.
_STAGES = (0.97, 0.985, 1.0)
_BUILD_SETTINGS = {
    "autovacuum": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "synchronous_commit": "off",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    "listen_addresses": "",
}


@dataclass(frozen=True)
class Seed:
    """What the cache holds: a stopped cluster (tar), its dumps, and what is true of the last of them."""

    folder: Path

    @property
    def cluster(self) -> Path:
        """Archive of the data directory at the moment of the last dump."""
        return self.folder / "cluster.tar"

    @property
    def dumps(self) -> list[Path]:
        """Gzipped plain dumps of the database, oldest first."""
        return [self.folder / f"dump-{number}.sql.gz" for number in range(len(_STAGES))]

    @property
    def foreign_dump(self) -> Path:
        """Dump of a database of another system."""
        return self.folder / "foreign.sql.gz"

    @property
    def facts(self) -> dict[str, Any]:
        """Digest of the database at the last dump (`truth`), its size in bytes (`size`)."""
        loaded: dict[str, Any] = json.loads((self.folder / "facts.json").read_text())
        return loaded


def cache_folder() -> Path:
    """Return where seeds are kept: RUNBOOK_CACHE, `.cache` of the checkout, or the user's cache folder."""
    if given := os.environ.get("RUNBOOK_CACHE"):
        return Path(given) / "rehearsal"
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").exists() and os.access(checkout, os.W_OK):
        return checkout / ".cache" / "rehearsal"
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "runbook" / "rehearsal"


def seed_for(binaries: PostgresBinaries, scale: float) -> Seed:
    """Return the seed for these binaries at `scale` (1 = about 50 MB), making it when it is not there yet.

    Two that ask at once make it once: the second waits for the first.
    """
    root = cache_folder()
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"{binaries.label}-{_fingerprint(binaries, scale)}"
    with _locked(folder.with_suffix(".lock")):
        if not folder.exists():
            _build(binaries, scale, folder)
    return Seed(folder)


def _fingerprint(binaries: PostgresBinaries, scale: float) -> str:
    state = hashlib.sha256(f"{binaries.version} {scale:g}".encode())
    for source in (Path(__file__), Path(digest.__file__), *sorted(_DATA.iterdir())):
        state.update(source.read_bytes())
    return state.hexdigest()[:16]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(binaries: PostgresBinaries, scale: float, target: Path) -> None:
    # The server may run as another user, who has to reach its folder.
    work = Path(tempfile.mkdtemp(prefix="oncall-seed-"))
    work.chmod(0o711)
    made = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent))
    made.chmod(0o755)
    server = PostgresServer(
        binaries,
        work,
        superuser=SUPERUSER,
        settings=_BUILD_SETTINGS,
        initdb_options=("--auth-local=trust", "--data-checksums"),
        over_socket=True,
    )
    try:
        server.create()
        server.start()
        try:
            facts = _fill(server, scale, made)
        finally:
            server.stop()
        (made / "facts.json").write_text(json.dumps(facts))
        pack(server.data, made / "cluster.tar")
        made.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(made, ignore_errors=True)


def pack(folder: Path, archive: Path) -> None:
    """Put a data directory into an archive."""
    _tar("-cf", str(archive), "-C", str(folder), ".")


def unpack(archive: Path, folder: Path) -> None:
    """Lay a data directory out from an archive, owned by the user that the server runs as."""
    folder.mkdir(mode=0o700)
    _tar("-xf", str(archive), "-C", str(folder), "--no-same-owner")
    if "setpriv" in "".join(unprivileged_prefix()[:1]):
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 65534, 65534)


def _tar(*arguments: str) -> None:
    done = subprocess.run(["tar", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StandInError(f"tar {arguments[0]} {arguments[1]} failed: {done.stderr.strip()[-400:]}")


def _fill(server: PostgresServer, scale: float, made: Path) -> dict[str, Any]:
    for role in ("roost_app", "roost_readonly"):
        server.execute(f"CREATE ROLE {role} LOGIN")
    server.execute(f"CREATE DATABASE {DATABASE} OWNER {SUPERUSER}")
    _dress(server)
    _script(server, "roost_schema.sql", {})
    low = 0.0
    for number, high in enumerate(_STAGES):
        _script(server, "roost_rows.sql", {"scale": f"{scale:g}", "from": str(low), "to": str(high)})
        if high == _STAGES[-1]:
            server.execute("REFRESH MATERIALIZED VIEW billing.monthly_revenue", database=DATABASE)
        _dump(server, DATABASE, made / f"dump-{number}.sql.gz")
        low = high
    _foreign(server, made)
    server.execute("VACUUM (ANALYZE)", database=DATABASE)
    server.execute("CHECKPOINT")
    with contextlib.closing(server.connect(DATABASE)) as connection:
        truth = digest.take(connection)
    (size,) = server.execute("SELECT pg_database_size(%s)", (DATABASE,))[0]
    return {"truth": truth, "size": size}


def _dress(server: PostgresServer) -> None:
    """What lives outside a dump and has to survive a switch of databases."""
    for statement in (
        f"ALTER DATABASE {DATABASE} CONNECTION LIMIT 60",
        f"ALTER DATABASE {DATABASE} SET statement_timeout = '30s'",
        f'ALTER DATABASE {DATABASE} SET search_path = "$user", public, billing',
        f"ALTER ROLE roost_readonly IN DATABASE {DATABASE} SET default_transaction_read_only = on",
        f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC",
        f"GRANT CONNECT, TEMPORARY ON DATABASE {DATABASE} TO roost_app",
        f"GRANT CONNECT ON DATABASE {DATABASE} TO roost_readonly",
        f"COMMENT ON DATABASE {DATABASE} IS 'Roost: subscribers and owls'",
    ):
        server.execute(statement)


def _script(server: PostgresServer, name: str, settings: dict[str, str]) -> None:
    run_script(server, (_DATA / name).read_text(), settings)


def run_script(server: PostgresServer, sql: str, settings: dict[str, str]) -> None:
    """Run a script in the stand-in's database as one transaction; it reads `settings` as `seed.<name>`."""
    with (
        contextlib.closing(server.connect(DATABASE)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET LOCAL statement_timeout = 0")
        for key, value in settings.items():
            cursor.execute("SELECT set_config(%s, %s, true)", (f"seed.{key}", value))
        cursor.execute(sql)


def since_backup(server: PostgresServer, backup_time: str) -> None:
    """Let the time between the last backup and now pass: new rows, changed rows, deleted rows."""
    _script(server, "roost_since_backup.sql", {"backup_time": backup_time})


def _foreign(server: PostgresServer, made: Path) -> None:
    server.execute("CREATE DATABASE perch_prod")
    sql = "CREATE TABLE perches AS SELECT i AS id, md5(i::text) AS name FROM generate_series(1, 60000) i"
    server.execute(sql, database="perch_prod")
    _dump(server, "perch_prod", made / "foreign.sql.gz")
    server.execute("DROP DATABASE perch_prod")


def _dump(server: PostgresServer, database: str, target: Path) -> None:
    made = server.folder / target.name
    server.run("pg_dump", "--compress=1", f"--file={made}", f"--dbname={database}")
    shutil.move(made, target)
    target.chmod(0o644)
