# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host has what runs need of it: programs, rights, disk, clock, database."""

from __future__ import annotations

__metaclass__ = type

import importlib.util
import os
import shutil
import sys
from typing import Any, Dict, Iterable, Iterator, List, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils import postgres
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import command
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.host import measure_disk
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import Probe, run_probes
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import DEFAULTS

Params = Mapping[str, Any]
Findings = Iterator[Dict[str, Any]]

OLDEST_PYTHON = (3, 8)
CLOCK_WARN, CLOCK_FAIL = 5.0, 60.0
# What a restore runs beside the server.
CLIENT_PROGRAMS = ("pg_restore", "pg_dump")
_CONTAINERS = ("docker", "compose")


def measure_ready(params: Params) -> List[Dict[str, Any]]:
    """Return what the host has and what it lacks; `params` are the options of the module host_ready."""
    seconds = params["timeout"]
    probes = [
        Probe(("host_python",), lambda: _python(params["packages"]), seconds),
        Probe(("host_programs",), lambda: _programs(params), seconds, "fail"),
        Probe(("host_folders",), lambda: _folders(params["folders"]), seconds),
    ]
    if params["paths"]:
        # A file system that does not answer is itself the failure.
        probes.append(Probe(("host_disk",), lambda: _disks(params["paths"]), seconds, "fail"))
    if params["database"]:
        probes.append(Probe(("postgres_rights",), lambda: _database(params), seconds, "fail"))
    return run_probes(probes)


def _python(packages: Iterable[str]) -> Findings:
    version = ".".join(map(str, sys.version_info[:3]))
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if sys.version_info[:2] < OLDEST_PYTHON:
        summary = "Python is %s; modules need %d.%d or newer." % (version, *OLDEST_PYTHON)
    elif missing:
        summary = "Python %s at %s lacks %s: install it there (python3-%s)." % (
            version, sys.executable, ", ".join(missing), missing[0],
        )  # fmt: skip
    else:
        yield finding("host_python", "ok", "Python is %s, and has what modules need." % version)
        return
    observed = {"version": version, "executable": sys.executable, "missing": missing}
    yield finding("host_python", "fail", summary, observed=observed, expected={"packages": list(packages)})


def _programs(params: Params) -> Findings:
    """Yield one finding for each program that is missing or may not be used, one for all when none is."""
    problems = list(_missing_programs(params))
    for what, summary in problems:
        yield finding("host_programs", "fail", summary, observed={"program": what})
    if not problems:
        yield finding(
            "host_programs", "ok", "Every program that a runbook starts here is there and may be used."
        )


def _missing_programs(params: Params) -> Iterator[Any]:
    runtimes, seconds = params["runtimes"], params["timeout"] / 2
    for engine in sorted({r.get("engine") or "docker" for r in runtimes if r.get("kind") in _CONTAINERS}):
        said = _refusal([engine, "version", "--format", "{{.Server.Version}}"], seconds)
        if said:
            yield engine, "%s does not answer this user: %s" % (engine, said)
    if any(r.get("kind") == "systemd" for r in runtimes):
        if not shutil.which("systemctl"):
            yield "systemctl", "systemctl is not installed, and services of this host run under systemd."
        elif os.geteuid() != 0:
            yield "systemctl", "This user is not root, so it may not restart services of systemd."
    if params["database"]:
        for program in CLIENT_PROGRAMS:
            said = _refusal(
                [*_inside(params), os.path.join(params["client_dir"], program), "--version"], seconds
            )
            if said:
                yield program, "%s cannot be started: %s" % (program, said)


def _inside(params: Params) -> List[str]:
    """The words before a client program: inside of the database's container, or nothing."""
    container = params["container"]
    return [params["container_engine"], "exec", container] if container else []


def _refusal(argv: List[str], seconds: float) -> str:
    """Return what is said against running `argv`, "" when it runs."""
    try:
        done = command.run(argv, timeout=seconds)
    except OncallError as error:
        return error.message
    return "" if done.rc == 0 else (done.err or done.out).strip()[-200:] or "it ended with %d" % done.rc


def _folders(folders: Iterable[str]) -> Findings:
    problems = [(folder, _unwritable(folder)) for folder in folders]
    bad = [(folder, said) for folder, said in problems if said]
    for folder, said in bad:
        yield finding("host_folders", "fail", said, observed={"path": folder})
    if not bad:
        yield finding("host_folders", "ok", "Every folder that a run writes to here can be written.")


def _unwritable(folder: str) -> str:
    """Return why nothing can be written to `folder`, or made where it is missing; nothing is written."""
    place = folder
    while place and not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        return "%s is no folder." % place
    if not os.access(place, os.W_OK | os.X_OK):
        return "This user may not write to %s%s." % (place, "" if place == folder else " (for %s)" % folder)
    return ""


def _disks(paths: Iterable[str]) -> Findings:
    for path in paths:
        if os.path.exists(path):
            yield from measure_disk("host_disk", path, DEFAULTS)
        else:
            yield finding("host_disk", "fail", "There is no %s on this host." % path, observed={"path": path})


def measure_clock(asked: float, answered: float, told: float) -> Dict[str, Any]:
    """Return how far the clock of a host is surely off; all in seconds since 1970.

    The host said `told` somewhere between `asked` and `answered` on the clock of the controller, so a
    slow way there and back is not taken for an offset.
    """
    surely = told - answered if told > answered else min(0.0, told - asked)
    status = "fail" if abs(surely) >= CLOCK_FAIL else "warn" if abs(surely) >= CLOCK_WARN else "ok"
    way = "ahead of" if surely > 0 else "behind"
    text = "The clock of this host is at least %.1f s %s that of the controller." % (abs(surely), way)
    if not surely:
        text = "The clock of this host agrees with that of the controller, to %.1f s." % (answered - asked)
    return finding(
        "host_clock",
        status,
        text,
        observed={"offset_at_least_s": round(surely, 1), "asked_for_s": round(answered - asked, 1)},
        expected={"offset_below_s": CLOCK_WARN},
    )


def _database(params: Params) -> Findings:
    login = postgres.Login.from_params(params, application_name="oncall-ready")
    try:
        connection = login.connect(params["database"], timeout=max(2, int(params["timeout"])))
    except OncallError as error:
        yield finding("postgres_rights", "fail", error.message, observed=error.as_dict())
        return
    try:
        facts = postgres.server_facts(connection)
    finally:
        connection.close()
    lacks = [
        right
        for right, has in (("CREATEDB", facts.createdb), ("pg_signal_backend", facts.signal_backend))
        if not (has or facts.superuser)
    ]
    text = "Role %s of PostgreSQL %s %s." % (
        facts.role,
        facts.version_text,
        "lacks %s: a restore cannot be done" % " and ".join(lacks)
        if lacks
        else "may do what a restore needs",
    )
    observed = {"role": facts.role, "superuser": facts.superuser, "lacks": lacks}
    yield finding("postgres_rights", "fail" if lacks else "ok", text, observed=observed)
