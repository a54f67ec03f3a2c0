"""The stand-in's cluster and dumps: made once per generator, server version and scale, then cached.

A seed whose generator has changed, or that nobody used for two weeks, is removed when another is made.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_engine.cache import cache_folder

from runbook.rehearsal import digest, shapes
from runbook.rehearsal.postgres_server import PostgresBinaries, PostgresServer
from runbook.rehearsal.processes import StandInError, unprivileged_prefix
from runbook.rehearsal.shapes import Shape
from runbook.runner_private import sweep

_DATA = Path(__file__).parent / "data"
_WORK, _BUILDING = "oncall-seed-", ".building-"
_KEPT_S = 14 * 86400
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
        """Digest of the database at the last dump (`truth`), its size in bytes (`size`), its `system`."""
        loaded: dict[str, Any] = json.loads((self.folder / "facts.json").read_text())
        return loaded

    @property
    def shape(self) -> Shape:
        """What it is a seed of."""
        return shapes.of(self.facts["system"])


def seed_for(binaries: PostgresBinaries, scale: float, shape: Shape) -> Seed:
    """Return the seed of `shape` at `scale` (1 = about 50 MB of Roost), making it when it is not there yet.

    Two that ask at once make it once: the second waits for the first. It stays as long as this process lives.
    """
    root = cache_folder() / "rehearsal"
    root.mkdir(parents=True, exist_ok=True)
    kind = f"{shape.system}-{binaries.label}-{scale:g}-"
    folder = root / f"{kind}{_fingerprint(binaries, scale, shape)}"
    while not _hold(folder):
        with _locked(root / "lock"):
            if not folder.exists():
                _build(binaries, scale, shape, folder)
                _prune(root, kind, folder)
    return Seed(folder)


def _fingerprint(binaries: PostgresBinaries, scale: float, shape: Shape) -> str:
    state = hashlib.sha256(f"{binaries.version} {scale:g} {shape}".encode())
    own = [*sorted(_DATA.glob(f"{shape.system}_*.sql")), *migrations(shape.system)]
    for source in (Path(__file__), Path(digest.__file__), _DATA / "digest_schema.sql", *own):
        state.update(source.read_bytes())
    return state.hexdigest()[:16]


def _hold(folder: Path) -> bool:
    """Lock the seed in `folder` against removal until this process ends; False when it is not there."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False
    fcntl.flock(handle, fcntl.LOCK_SH)
    # It may have been removed while we waited.
    if not folder.exists() or not os.path.samestat(os.fstat(handle), folder.stat()):
        os.close(handle)
        return False
    os.utime(folder)
    return True


def _prune(root: Path, kind: str, made: Path) -> None:
    """Remove the seeds that `made` replaces, those that nobody wanted for long, the rest of killed builds."""
    sweep(root, _BUILDING)
    sweep(Path(tempfile.gettempdir()), _WORK)
    for other in root.iterdir():
        old = other.name.startswith(kind) or time.time() - other.stat().st_mtime > _KEPT_S
        if old and other != made and other.is_dir():
            _remove_unheld(other)


def _remove_unheld(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _own_folder(prefix: str, parent: Path | None, mode: int) -> Iterator[Path]:
    """A folder for the length of a `with` block; what a killed process leaves of it is swept later."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        folder.chmod(mode)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _build(binaries: PostgresBinaries, scale: float, shape: Shape, target: Path) -> None:
    # The server may run as another user, who has to reach its folder.
    with _own_folder(_WORK, None, 0o711) as work, _own_folder(_BUILDING, target.parent, 0o755) as made:
        server = PostgresServer(
            binaries,
            work,
            superuser=shape.superuser,
            settings=_BUILD_SETTINGS,
            initdb_options=("--auth-local=trust", "--data-checksums"),
            over_socket=True,
        )
        server.create()
        server.start()
        try:
            facts = _fill(server, scale, shape, made)
        finally:
            server.stop()
        _drop_spare_wal(server)
        (made / "facts.json").write_text(json.dumps(facts))
        pack(server.data, made / "cluster.tar")
        made.rename(target)


def _drop_spare_wal(server: PostgresServer) -> None:
    """Keep of the log only the file that a start reads: the others are more than half of a small cluster."""
    told = server.run("pg_controldata", "-D", str(server.data)).stdout.decode()
    needed = re.findall(r"\b[0-9A-F]{24}\b", told)
    if len(needed) != 1:
        raise StandInError(f"pg_controldata does not say which log file is needed: {told[:400]}")
    for segment in (server.data / "pg_wal").glob("[0-9A-F]*"):
        if segment.name != needed[0]:
            segment.unlink()


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


def _fill(server: PostgresServer, scale: float, shape: Shape, made: Path) -> dict[str, Any]:
    for role in shape.roles:
        server.execute(f"CREATE ROLE {role} LOGIN")
    server.execute(f"CREATE DATABASE {shape.database} OWNER {shape.superuser}")
    for statement in shape.dress:
        server.execute(statement)
    _script(server, shape, "schema", {})
    _migrate(server, shape)
    low = 0.0
    for number, high in enumerate(_STAGES):
        _script(server, shape, "rows", {"scale": f"{scale:g}", "from": str(low), "to": str(high)})
        for statement in shape.settled if high == _STAGES[-1] else ():
            server.execute(statement, database=shape.database)
        _dump(server, shape.database, made / f"dump-{number}.sql.gz")
        low = high
    _foreign(server, made)
    server.execute("VACUUM (ANALYZE)", database=shape.database)
    server.execute("CHECKPOINT")
    with contextlib.closing(server.connect(shape.database)) as connection:
        truth = digest.take(connection)
    (size,) = server.execute("SELECT pg_database_size(%s)", (shape.database,))[0]
    return {"truth": truth, "size": size, "system": shape.system}


def _script(server: PostgresServer, shape: Shape, name: str, settings: dict[str, str]) -> None:
    sql = (_DATA / f"{shape.system}_{name}.sql").read_text()
    run_script(server, shape.database, sql, settings)


def migrations(system: str) -> list[Path]:
    """Return the migrations that the code of `system` brings, in their order; none where it has none."""
    return sorted((_DATA / f"{system}_migrations").glob("*.sql"))


def _migrate(server: PostgresServer, shape: Shape) -> None:
    for path in migrations(shape.system):
        noted = f"INSERT INTO public.schema_migrations VALUES ('{path.stem}', '2024-01-02 00:00+00')"  # noqa: S608
        run_script(server, shape.database, f"{path.read_text()};{noted}", {})


def run_script(server: PostgresServer, database: str, sql: str, settings: dict[str, str]) -> None:
    """Run a script in `database` as one transaction; it reads `settings` as `seed.<name>`."""
    with (
        contextlib.closing(server.connect(database)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET LOCAL statement_timeout = 0")
        for key, value in settings.items():
            cursor.execute("SELECT set_config(%s, %s, true)", (f"seed.{key}", value))
        cursor.execute(sql)


def since_backup(server: PostgresServer, shape: Shape, backup_time: str) -> None:
    """Let the time between the last backup and now pass: new rows, changed rows, deleted rows."""
    _script(server, shape, "since_backup", {"backup_time": backup_time})


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
