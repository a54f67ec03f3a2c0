# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""End what a run left on its hosts, by the mark that its processes carry.

On this machine that is a look at /proc. On others it is one ad-hoc call of Ansible for all of them: whoever
sweeps may be the process that keeps the lock, when nobody else is left.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GRACE_S = 25.0
"""A job that is told to end cleans up first; it has this long before it is killed."""

_CONNECT_S = 20.0
_MEMORY = Path("/dev/shm")  # noqa: S108 - a 0700 folder is made in it
_UTILS = "ansible_collections.oncall.runbooks.plugins.module_utils.marked_processes"
# What only tidies up after the run is no part of it.
_NOT_OURS = ("ONCALL_", "RUNBOOK_", "ANSIBLE_CALLBACKS_ENABLED", "ANSIBLE_STDOUT_CALLBACK")


@dataclass(frozen=True)
class Secret:
    """An option of Ansible whose value may be secret, so that it goes through a file: `--extra-vars=@`."""

    option: str
    value: bytes = field(repr=False)


@dataclass(frozen=True)
class Place:
    """Where the hosts of a run are described and how they are reached.

    Inventories, Ansible's settings, the folder it began in, its options for connections, and what is secret.
    """

    inventories: tuple[str, ...]
    config: str | None
    folder: str
    options: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()


def local(run: str, host: str = "", grace: float = GRACE_S) -> dict[str, Any]:
    """End what is left on this machine; return `{ended, killed, left}`."""
    done: dict[str, Any] = importlib.import_module(_UTILS).end(run, host, grace)
    return done


def remote(place: Place, run: str, hosts: Sequence[str], grace: float = GRACE_S) -> dict[str, dict[str, Any]]:
    """End what is left on `hosts`; return per host `{ended, killed, left}` or `{problem}`. Never raises."""
    asked = json.dumps({"run": run, "grace": grace})
    command = [sys.executable, "-m", "ansible", "adhoc", ":".join(hosts), "-o"]
    command += [part for path in place.inventories for part in ("-i", path)]
    command += [*place.options, "-m", "oncall.runbooks.run_processes", "-a", asked]
    try:
        with _handed_over(place.secrets) as options:
            done = subprocess.run(
                [*command, *options], env=_environment(place), cwd=place.folder, capture_output=True,
                text=True, check=False, timeout=grace + _CONNECT_S, stdin=subprocess.DEVNULL,
            )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return {host: {"problem": f"could not be looked at: {error}"} for host in hosts}
    told = dict(answers(done.stdout.splitlines()))
    silent = (done.stderr or done.stdout).strip()[-300:] or "no answer"
    return {host: _summed_up(told.get(host), silent) for host in hosts}


@contextlib.contextmanager
def _handed_over(secrets: Sequence[Secret]) -> Iterator[list[str]]:
    """Yield the options that name a file for each secret: in memory where possible, and gone afterwards.

    Ansible wants real files. What a killed sweep leaves is removed by the next `runbook`: hence the name.
    """
    memory = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="runbook-", dir=memory) as folder:
        files = [Path(folder) / str(number) for number, _ in enumerate(secrets)]
        for file, secret in zip(files, secrets, strict=True):
            file.touch(mode=0o600)
            file.write_bytes(secret.value)
        yield [f"{secret.option}{file}" for file, secret in zip(files, secrets, strict=True)]


def answers(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield host and result from the lines of `ansible -o`: `host | SUCCESS => {…}`."""
    for line in lines:
        host, sign, rest = line.partition(" | ")
        start = rest.find("{")
        if not sign or start < 0:
            continue
        try:
            yield host.strip(), json.loads(rest[start:])
        except ValueError:
            continue


def _summed_up(said: Mapping[str, Any] | None, silent: str) -> dict[str, Any]:
    if said is None:
        return {"problem": f"could not be looked at: {silent}"}
    if said.get("failed") or said.get("unreachable"):
        return {"problem": str(said.get("msg") or "could not be looked at")}
    return {key: list(said.get(key) or ()) for key in ("ended", "killed", "left")}


def _environment(place: Place) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_OURS) or k == "RUNBOOK_MARK"}
    return kept | ({"ANSIBLE_CONFIG": place.config} if place.config else {})
