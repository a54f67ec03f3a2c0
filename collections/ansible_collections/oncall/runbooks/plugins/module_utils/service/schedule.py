# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have a change of settings taken back later, by the target itself, whatever becomes of the controller."""

from __future__ import annotations

__metaclass__ = type

import inspect
import os
import subprocess
import sys
import time
import zipfile
from typing import Any, Dict, List, Set

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.command import run
from ansible_collections.oncall.runbooks.plugins.module_utils.service.preimage import Preimage

SCHEDULERS = ("auto", "systemd", "process")
_PACKAGE = "ansible_collections.oncall.runbooks.plugins.module_utils"
_ENTRY = "service.settings_undo"
# Needs Ansible itself, which a target has not; whoever undoes on schedule does not come through it.
_LEFT_OUT = (_PACKAGE + ".module",)
_TIMEOUT = 10.0
# Nothing that is installed, or set in the environment, may come between the program and its own modules.
_ALONE = ("-I", "-S")


def arm(kept: Preimage, scheduler: str) -> Preimage:
    """Schedule the undo of a saved change at its `until`; return it with who will do it. Raises OncallError.

    systemd does it where it runs the host, with a timer; elsewhere a process in a session of its own.
    """
    program = os.path.splitext(kept.file)[0] + ".pyz"
    try:
        _write_program(program)
    except OSError as exc:
        raise _not_armed(kept, str(exc)) from None
    by_systemd = scheduler == "systemd" or (scheduler == "auto" and os.path.isdir("/run/systemd/system"))
    scheduled = _timer(kept, program) if by_systemd else _process(kept, program)
    kept = kept.now(state="armed", scheduled=scheduled)
    if not is_armed(kept):
        disarm(kept)
        raise _not_armed(kept, "it is gone right after it was scheduled")
    return kept


def _timer(kept: Preimage, program: str) -> Dict[str, Any]:
    unit = "oncall-undo-%s-%s" % (kept.run, os.path.splitext(os.path.basename(kept.file))[0])
    seconds = max(1, round((kept.until or 0) - time.time()))
    command = ["systemd-run", "--unit", unit, "--on-active", "%d" % seconds]
    command += ["--timer-property=AccuracySec=1s"]
    command += ["--description", "Take back a temporary change of %s" % kept.path]
    # A unit starts with next to nothing: without these it would not find the engine that we found.
    command += ["--setenv=%s=%s" % pair for pair in sorted(kept.environment.items())]
    done = run([*command, sys.executable, *_ALONE, program, kept.file, "now"], timeout=_TIMEOUT)
    if done.rc != 0:
        raise _not_armed(kept, (done.err or done.out).strip()[-300:])
    return {"by": "systemd", "unit": unit}


def _process(kept: Preimage, program: str) -> Dict[str, Any]:
    with open(os.path.splitext(kept.file)[0] + ".log", "ab") as log:
        os.fchmod(log.fileno(), 0o600)
        child = subprocess.Popen(
            [sys.executable, *_ALONE, program, kept.file, "wait"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=kept.environment,
            cwd="/",
            start_new_session=True,
        )
    return {"by": "process", "pid": child.pid}


def is_armed(kept: Preimage) -> bool:
    """Whether the scheduled undo of a change is still going to happen."""
    if kept.state != "armed":
        return False
    if kept.scheduled.get("by") == "systemd":
        done = run(["systemctl", "is-active", "%s.timer" % kept.scheduled["unit"]], timeout=_TIMEOUT)
        return done.rc == 0
    try:
        with open("/proc/%d/cmdline" % kept.scheduled["pid"], "rb") as handle:
            # The number may be used again by somebody else.
            return kept.file in handle.read().decode("utf-8", "replace").split("\0")
    except (OSError, KeyError):
        return False


def disarm(kept: Preimage) -> None:
    """Take the schedule away; a process that waits sees by itself that the change is not open any more."""
    if kept.scheduled.get("by") == "systemd":
        run(["systemctl", "stop", "%s.timer" % kept.scheduled["unit"]], timeout=_TIMEOUT)


def _write_program(path: str) -> None:
    """Pack what takes a change back into one file that needs nothing but Python."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700)
    with open(descriptor, "wb") as handle, zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED) as archive:
        folders: Set[str] = set()
        for name in _needed():
            archive.writestr(name.replace(".", "/") + ".py", inspect.getsource(sys.modules[name]))
            parts = name.split(".")
            folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
        for folder in sorted(folders):
            archive.writestr(folder + "/__init__.py", "")
        start = "import sys\nfrom %s.%s import main\nsys.exit(main(sys.argv[1:]))\n" % (_PACKAGE, _ENTRY)
        archive.writestr("__main__.py", start)


def _needed() -> List[str]:
    """Every module of ours that is loaded now: the entry point and all that it needs are among them."""
    loaded = [name for name in list(sys.modules) if name.startswith(_PACKAGE + ".")]
    return sorted(n for n in loaded if n not in _LEFT_OUT and not hasattr(sys.modules[n], "__path__"))


def _not_armed(kept: Preimage, got: str) -> OncallError:
    return OncallError(
        "schedule the undo of the change",
        on=kept.path,
        got="%s; nothing was changed" % got,
        next_step="set the option scheduler to process or systemd, or leave out for_minutes",
        kind="not_scheduled",
    )
