"""A container engine of our own, and images made of what this machine has: no registry is asked."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from runbook.rehearsal import engine_view
from runbook.rehearsal.postgres_server import PostgresBinaries
from runbook.rehearsal.processes import Process, StandInError

TOOLS = ("sh", "df", "id", "cat", "sleep", "test", "kill")
POSTGRES_FOLDER = "opt/postgres"
_NOT_NEEDED = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "ensurepip",
    "turtledemo",
}
_LOCALES = (Path("/usr/lib/locale/C.utf8"), Path("/usr/lib/locale/C.UTF-8"))
_STOP_S = 20


def docker(*arguments: str, host: str = "", timeout: float = 120) -> str:
    """Run one command of docker and return what it prints; raises StandInError with what docker said.

    host: the engine's address; "" for the one at the usual place.
    """
    environment = {**os.environ, "DOCKER_HOST": host or f"unix://{engine_view.SOCKET}"}
    done = subprocess.run(
        ["docker", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=timeout
    )
    if done.returncode != 0:
        raise StandInError(f"docker {arguments[0]}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout.strip()


def inspect(container: str) -> dict[str, Any]:
    """Return what the engine knows of a container."""
    found: dict[str, Any] = json.loads(docker("inspect", "--type", "container", container))[0]
    return found


def pid_of(container: str) -> int:
    """Return the process id of a container's first process, as this side sees it."""
    pid = int(inspect(container)["State"]["Pid"])
    if not pid:
        raise StandInError(f"the container {container} does not run")
    return pid


def logs(container: str, lines: int = 5) -> str:
    """Return the end of a container's log."""
    command = ["docker", "logs", "--tail", str(lines), container]
    environment = {**os.environ, "DOCKER_HOST": f"unix://{engine_view.SOCKET}"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout.strip()


def compose(file: str, *arguments: str) -> str:
    """Run one command of docker compose on a project's file."""
    folder = str(Path(file).parent)
    return docker("compose", "--project-directory", folder, "--file", file, *arguments)


def recreate(file: str, service: str, container: str) -> None:
    """Make the container of a service again, with the settings that its file has now."""
    # One that was stopped by a signal would have to be waited for.
    docker("rm", "--force", container)
    compose(file, "up", "--detach", "--no-deps", service)


class Engine:
    """An engine with its data in `folder`/docker; only inside a namespace made for one."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "docker"
        self.log = folder / "engine.log"
        self._process: Process | None = None

    def launch(self) -> None:
        """Start it."""
        self.data.mkdir(parents=True, exist_ok=True)
        command = [engine_view.daemon(), "--host", f"unix://{engine_view.SOCKET}"]
        command += [
            "--exec-root",
            "/run/docker",
            "--pidfile",
            "/run/docker.pid",
            "--data-root",
            str(self.data),
        ]
        # Nothing can be reached from here, so any addresses will do.
        command += ["--bip", "10.88.0.1/24", "--default-address-pool", "base=10.89.0.0/16,size=24"]
        command += ["--cgroup-parent", engine_view.group()]
        self._process = Process(command, log=self.log)
        self._process.start()

    def wait_ready(self) -> None:
        """Wait until it answers."""
        assert self._process is not None
        self._process.ready(self._answers, timeout=30)

    @staticmethod
    def _answers() -> bool:
        try:
            docker("info", "--format", "{{.ServerVersion}}", timeout=10)
        except StandInError:
            return False
        return True

    def stop(self) -> None:
        """End every container, then the engine."""
        if self._process is None:
            return
        running = docker("ps", "--quiet").split()
        if running:
            docker("kill", *running)
        self._process.stop(timeout=_STOP_S)


def libraries(programs: Iterable[Path]) -> set[Path]:
    """Return the shared libraries that the programs are linked to."""
    asked = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False)
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", asked.stdout)}


class Image:
    """What goes into an image, packed as the one layer that `docker import` takes."""

    def __init__(self) -> None:
        self._folders: list[tuple[Path, str]] = []
        self._programs: dict[Path, str] = {}
        self._linked: list[Path] = []
        self._links: dict[str, str] = {}
        self._texts = {"etc/passwd": "root:x:0:0::/:/bin/sh\npostgres:x:1000:1000::/tmp:/bin/sh\n"}
        for name in TOOLS:
            found = shutil.which(name)
            if found:
                self._programs[Path(found)] = f"bin/{name}"

    def add_postgres(self, binaries: PostgresBinaries) -> str:
        """Add a server's own tree, and return the folder of its programs in the image.

        The tree and the folder of libraries beside its package stay in the same relation to each other.
        """
        tree = binaries.bin_dir.parent
        package = tree.parent
        self._folders.append((tree, f"{POSTGRES_FOLDER}/{tree.name}"))
        bundled = package.parent / f"{package.name}.libs"
        if bundled.exists():
            self._folders.append((bundled, f"opt/{bundled.name}"))
        self._linked += [*(tree / "bin").iterdir(), *(tree / "lib").rglob("*.so")]
        # The locale that the clusters are made with, where the C library does not have it built in.
        self._folders += [(folder, str(folder).lstrip("/")) for folder in _LOCALES if folder.exists()]
        return f"/{POSTGRES_FOLDER}/{tree.name}/bin"

    def add_python(self) -> str:
        """Add the Python that runs this, without its packages, and return its path in the image."""
        program = Path(sys.executable).resolve()
        library = Path(sysconfig.get_paths()["stdlib"])
        self._programs[program] = str(program).lstrip("/")
        self._folders.append((library, str(library).lstrip("/")))
        self._linked += [program, *library.rglob("*.so")]
        return str(program)

    def add_folder(self, source: Path, target: str) -> None:
        """Add a folder; `target` is its path in the image."""
        self._folders.append((source, target.lstrip("/")))

    def add_text(self, target: str, text: str) -> None:
        """Add a file; `target` is its path in the image."""
        self._texts[target.lstrip("/")] = text

    def add_link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._links[name.lstrip("/")] = target

    def load(self, name: str, scratch: Path, *, env: Sequence[str] = (), host: str = "") -> None:
        """Make the image `name` of it; `scratch` is a folder with room for it, `env` NAME=value settings."""
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            archive = Path(folder) / "image.tar"
            self._pack(archive)
            changes = [part for setting in env for part in ("--change", f"ENV {setting}")]
            docker("import", *changes, str(archive), name, host=host)

    def _pack(self, archive: Path) -> None:
        with tarfile.open(archive, "w") as tar:
            everybody = tarfile.TarInfo("tmp")
            everybody.type, everybody.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(everybody)
            for folder, target in self._folders:
                tar.add(folder, target, filter=_needed)
            for program, target in self._programs.items():
                tar.add(program.resolve(), target)
            own = [folder for folder, _ in self._folders]
            for library in libraries([*self._programs, *self._linked]):
                if not any(folder in library.parents for folder in own):
                    tar.add(library.resolve(), str(library).lstrip("/"))
            for name, target in self._links.items():
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, target
                tar.addfile(link)
            for target, text in self._texts.items():
                with tempfile.NamedTemporaryFile("w", dir=archive.parent) as file:
                    file.write(text)
                    file.flush()
                    tar.add(file.name, target, filter=_readable)


def _needed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    last = entry.name.split("/")[-2:]
    # What extensions are built with: the interpreter itself once more, as an archive.
    return None if _NOT_NEEDED & set(last) or last[-1].startswith("config-") else entry


def _readable(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mode = 0o644
    return entry
