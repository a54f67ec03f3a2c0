# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a run or a step was stopped, in words, and where its hosts are found afterwards."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runbook_engine.state import RunFolder
from runbook_engine.sweep import Place, Secret


def timed_out(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return `msg` and `error` of a step whose time was over."""
    period = told.get("period")
    error = {
        "kind": "timeout",
        "tried": f"end the step within {period} s",
        "object": "run_step_timeout_s of the inventory, or timeout_s of the mitigation",
        "got": "it was stopped then, with all its processes",
        "next_step": "find out what it waits for, or give it more time",
    }
    return {"msg": f"it was stopped after {period} s, its time limit ({error['object']})", "error": error}


def stop_reason(folder: RunFolder) -> dict[str, str]:
    """Return `{reason}` when whoever stopped the run left a word."""
    try:
        text = folder.stop.read_text("utf-8").strip()
    except OSError:
        return {}
    return {"reason": text} if text else {}


def place(
    given: Mapping[str, Any], config: str | None, variables: Mapping[str, Any], play: Any, loader: Any
) -> Place:
    """Return where the hosts of this run are described and how they are reached.

    `given` are Ansible's own options and `variables` the extra ones; `play` is the play context, which holds
    the passwords that were asked for or read, and `loader` knows those of the vault.
    """
    named = [f"--{flag}={given[name]}" for name, flag in _OPTIONS.items() if given.get(name)]
    return Place(
        inventories=tuple(str(path) for path in given.get("inventory") or ()),
        config=config,
        folder=_FOLDER,
        options=(*named, *(("--become",) if given.get("become") else ())),
        secrets=tuple(_secrets(variables, play, loader)),
    )


def _secrets(variables: Mapping[str, Any], play: Any, loader: Any) -> Iterator[Secret]:
    if variables:
        # What is encrypted by a vault becomes text here.
        yield Secret("--extra-vars=@", json.dumps(dict(variables), default=str).encode())
    for name, flag in (("password", "connection"), ("become_pass", "become")):
        if getattr(play, name, None):
            yield Secret(f"--{flag}-password-file=", str(getattr(play, name)).encode())
    for label, secret in getattr(getattr(loader, "_vault", None), "secrets", None) or ():
        yield Secret(f"--vault-id={label}@", bytes(secret.bytes))


_OPTIONS = {
    "remote_user": "user",
    "private_key_file": "private-key",
    "connection": "connection",
    "timeout": "timeout",
    "ssh_common_args": "ssh-common-args",
    "ssh_extra_args": "ssh-extra-args",
    "become_method": "become-method",
    "become_user": "become-user",
}
_FOLDER = os.environ.get("PWD") or str(Path.cwd())
