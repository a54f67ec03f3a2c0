"""The stand-in of a system: a real PostgreSQL with its data, a real S3 API with its backups, one description.

A *keeper* process of its own owns the servers. It writes `stack.json`, waits, and takes everything down when
it is told to, or when the process that it must not outlive dies. A *guard* (a second, tiny process) does the
same should the keeper itself be killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook.rehearsal import isolation, seed, shapes, store
from runbook.rehearsal.parts import Part, vendors
from runbook.rehearsal.parts.backups import Backups
from runbook.rehearsal.parts.cleaning_services import CleaningServices
from runbook.rehearsal.parts.container_database import ContainerDatabase
from runbook.rehearsal.parts.database import Database
from runbook.rehearsal.parts.deployments import Deployments
from runbook.rehearsal.parts.redis import Redis
from runbook.rehearsal.parts.roost_containers import Containers, RoostContainers
from runbook.rehearsal.parts.roost_services import RoostServices
from runbook.rehearsal.parts.services import Services
from runbook.rehearsal.postgres_server import PostgresServer, choose_binaries
from runbook.rehearsal.processes import StandInError, alive, die_with_parent, wait_until
from runbook.runner_private import sweep

_PREFIX = "oncall-stack-"
PARTS = ("database", "backups", "redis", "deployments", "services", *vendors.NAMES)
"""What a stack can be made of; see Options."""
_SERVICES = {"roost": RoostServices, "cleaning": CleaningServices}


@dataclass(frozen=True)
class Options:
    """What a stack is made of.

    `postgres` is a label as in choose_binaries; `scale` 1 is about 50 MB; `disk` is in bytes,
    0 for a fitting one. `parts`: what of PARTS is started; the database always is. `system`: whose stand-in
    it is.
    """

    postgres: str | None = None
    scale: float = 1.0
    disk: int = 0
    parts: frozenset[str] = frozenset({"database", "backups"})
    system: str = "roost"

    def __post_init__(self) -> None:
        unknown = self.parts - frozenset(PARTS)
        if unknown:
            raise StandInError(f"no part is called {', '.join(unknown)}; there are: {', '.join(PARTS)}")
        if "redis" in self.parts and "services" not in self.parts:
            raise StandInError("Redis runs under the supervisor of the services: add the part services")


@dataclass(frozen=True)
class Stack:
    """A stack that is up, as its `stack.json` describes it."""

    path: Path

    @property
    def facts(self) -> dict[str, Any]:
        """Everything in the file, as `_start` writes it; raises StandInError when no stand-in is there."""
        try:
            loaded: dict[str, Any] = json.loads(self.path.read_text())
        except (OSError, ValueError) as error:
            raise StandInError(f"no stand-in is described by {self.path}: {error}") from None
        return loaded

    @property
    def folder(self) -> Path:
        """Folder with the data, the logs and the secrets of this stack."""
        return Path(self.facts["folder"])

    @property
    def system(self) -> str:
        """The system that it stands in for."""
        return str(self.facts["system"])

    def require(self, runbook: str, parts: frozenset[str]) -> Stack:
        """Return it; raises StandInError when it lacks one of the `parts` that `runbook` is about."""
        missing = parts - set(self.facts["parts"])
        if missing:
            raise StandInError(
                f"{runbook} is about {', '.join(sorted(missing))}, which this stand-in of {self.system} has "
                "not.\n  Next: take it down and bring up one for that runbook: "
                f"python -m runbook.rehearsal up --system {self.system} --parts {runbook}"
            )
        return self

    @property
    def shape(self) -> shapes.Shape:
        """What its database and its backups are called."""
        return shapes.of(self.system)

    @property
    def database(self) -> str:
        """The name of the system's database."""
        return self.shape.database

    def server(self) -> PostgresServer:
        """Return a handle on the PostgreSQL (its own keeper owns the process)."""
        facts = self.facts["postgres"]
        return PostgresServer(
            choose_binaries(facts["label"]),
            Path(facts["folder"]),
            superuser=facts["user"],
            password=facts["password"],
            port=facts["port"],
        )

    def store(self) -> store.Store:
        """Return a handle on the backup store."""
        facts = self.facts["s3"]
        return store.Store(
            self.folder / "s3", facts["port"], access_key=facts["access_key"], secret_key=facts["secret_key"]
        )


def up(options: Options, path: Path | None = None, *, keep: bool = True) -> Stack:
    """Bring a stack up and return it; `path` is where its description goes (default: into its own folder).

    keep: it stays until `down`; otherwise it ends with the calling process. Raises StandInError.
    """
    sweep(Path(tempfile.gettempdir()), _PREFIX)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    folder.chmod(0o711)
    # Held by the keeper and its guard: where neither lives any more, the next start clears up.
    hold = os.open(folder, os.O_RDONLY)
    fcntl.flock(hold, fcntl.LOCK_EX)
    target = (path or folder / "stack.json").absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "runbook.rehearsal",
        "keep",
        "--folder",
        str(folder),
        "--stack",
        str(target),
    ]
    command += ["--scale", f"{options.scale:g}", "--disk", str(options.disk)]
    command += ["--parts", ",".join(sorted(options.parts)), "--system", options.system]
    command += ["--postgres", options.postgres] if options.postgres else []
    with (folder / "keeper.log").open("ab") as log:
        keeper = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            pass_fds=(hold,),
            preexec_fn=None if keep else die_with_parent,  # noqa: PLW1509 - one system call
        )
    os.close(hold)
    assert keeper.stdout is not None
    said = keeper.stdout.readline().decode()
    if said.strip() != "ready":
        keeper.wait(20)
        raise StandInError(f"the stand-in did not come up: {said.strip() or _tail(folder / 'keeper.log')}")
    return Stack(target)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-600:].strip() if log.exists() else "no output"


def down(stack: Stack) -> None:
    """Take a stack down and wait until nothing of it is left; one that is gone already is fine."""
    if not stack.path.exists():
        return
    facts = stack.facts
    with contextlib.suppress(ProcessLookupError):
        os.kill(facts["keeper_pid"], signal.SIGTERM)
    folder = Path(facts["folder"])
    wait_until(lambda: not folder.exists(), timeout=20, what=f"the end of the stand-in in {folder}")
    stack.path.unlink(missing_ok=True)


@contextlib.contextmanager
def running(options: Options, path: Path | None = None) -> Iterator[Stack]:
    """A stack for the length of a `with` block."""
    stack = up(options, path, keep=False)
    try:
        yield stack
    finally:
        down(stack)


def keep(options: Options, folder: Path, path: Path) -> None:
    """Be the keeper: servers up, `ready` on standard output, then wait for SIGTERM."""
    wanted = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    _post_guard(folder, path)
    try:
        started = _start(options, folder, path)
    except (StandInError, OSError) as error:
        print(" ".join(str(error).split()), flush=True)  # noqa: T201 - the protocol with `up`
        sys.exit(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    print("ready", flush=True)  # noqa: T201
    while signal.sigwait(wanted) == signal.SIGCHLD:
        # A dead postmaster that nobody collects would look alive to whoever wants to start the next one.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    for part in started:
        part.stop()
    sys.exit(0)


def _post_guard(folder: Path, path: Path) -> None:
    """Fork the guard: when this process ends, in whatever way, it ends the servers and removes the folder."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(reader)
        os.set_inheritable(writer, False)
        return
    os.setsid()
    os.close(writer)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    for stream in (0, 1, 2):
        os.close(stream)
    os.read(reader, 1)
    _clear(folder)
    with contextlib.suppress(OSError):
        if json.loads(path.read_text())["folder"] == str(folder):
            path.unlink()
    os._exit(0)


def _clear(folder: Path) -> None:
    # The one that starts the services goes before them.
    pids = [folder / "disk" / "pg" / "data" / "postmaster.pid", folder / "s3" / "pid"]
    pids += [folder / "run" / "supervisord.pid", *sorted((folder / "run").glob("*.pid"))]
    for pid_file in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(pid_file.read_text().split()[0])
            if pid == 1:
                continue  # it is a container's own count; containers end with their engine
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: not alive(pid), timeout=5, what="the end of a server")  # type: ignore[misc]
    with contextlib.suppress(OSError):
        subprocess.run(["umount", "--lazy", str(folder / "disk")], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _start(options: Options, folder: Path, path: Path) -> list[Part]:
    """Start the parts, those that need a while first, and describe them in `path`."""
    now = datetime.now(UTC)
    binaries = choose_binaries(options.postgres)
    made = seed.seed_for(binaries, options.scale, shapes.of(options.system))
    data = _database(options)(folder, binaries, made, options.disk)
    started = _parts(options, folder, made, data, now)
    for part in started:
        part.launch()
    data.start(now)
    facts = {
        "system": options.system,
        "parts": sorted(options.parts),
        "isolation": isolation.mode(),
        "tier": isolation.tier(),
        "folder": str(folder),
        "keeper_pid": os.getpid(),
        "python": sys.executable,
        "scale": options.scale,
        "seed": str(made.folder),
        **data.describe(),
    }
    for part in started:
        part.wait_ready()
        for key, told in part.describe().items():
            facts[key] = {**facts[key], **told} if key in facts else told
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts, indent=1))
    return started


def _database(options: Options) -> type[Database]:
    if isolation.tier() != "docker":
        return Database
    if options.system != shapes.ROOST.system:
        raise StandInError(f"the stand-in of {options.system} has no containers; leave --tier docker out")
    return ContainerDatabase


def _parts(options: Options, folder: Path, made: seed.Seed, data: Database, now: datetime) -> list[Part]:
    """Make what is wanted beside the database, which everything else stands on."""
    wanted: list[Part] = []
    accounts: dict[str, dict[str, str]] = {}
    # What the services are told of the other parts, by their file of settings.
    told: dict[str, str] = {}
    if "backups" in options.parts:
        wanted.append(Backups(folder, made, now))
    if "redis" in options.parts:
        store_of_sessions = Redis(folder)
        told["REDIS_URL"] = store_of_sessions.url
        wanted.append(store_of_sessions)
    if "deployments" in options.parts:
        wanted.append(Deployments(folder, data, told))
    if "messages" in options.parts:
        told["MESSAGES_KEY"] = "canary-" + secrets.token_hex(12)
        messages = vendors.Vendor(folder, "messages", {"api_key": told["MESSAGES_KEY"]})
        told["MESSAGES_URL"] = messages.url
        wanted.append(messages)
    own: Services | None = None
    if isinstance(data, ContainerDatabase):
        own = RoostContainers(folder, data, told) if "services" in options.parts else None
        wanted.append(Containers(folder, data, own))
    elif "services" in options.parts:
        own = _SERVICES[options.system](folder, data, told)
        wanted.append(own)
    if own is not None:
        accounts["stripe"] = own.stripe_account
    for name in vendors.NAMES:
        if name in options.parts and name != "messages":
            wanted.append(vendors.Vendor(folder, name, accounts.get(name, {})))
    return wanted
