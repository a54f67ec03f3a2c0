#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Change settings of services, also for a limited time."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: service_settings
short_description: Change settings of services where they are read, also for a limited time
version_added: 0.1.0
description:
  - Sets or removes keys of an env file in one step (a rename), keeping mode, owner, comments and every other line, and
    starts the services that read it again, one after the other, each well before the next. A restart alone would not
    read the file, and a variable exported inside a container is gone with that shell.
  - A service that does not come back, or does not run with the new settings, gets the old ones back before this fails.
  - With O(for_minutes) the host itself takes the change back at that time, even when the controller is gone. That is
    scheduled before anything is changed. A timer of systemd does not survive a reboot of the host; then
    O(state=pending) says that nothing is left that would take it back.
  - Idempotent, also for services that were not started again after somebody else changed the file.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.attributes.changes
attributes:
  diff_mode:
    details: Of O(secrets) only length and change are shown.
options:
  state:
    description:
      - V(present) sets O(values), O(secrets) and O(unset).
      - V(undone) takes the change back whose pre-image is in O(file).
      - V(pending) reads only, and tells which changes are in place for a limited time.
    type: str
    default: present
    choices: [present, undone, pending]
  path:
    description: The env file. Required for O(state=present).
    type: path
  values:
    description: Keys and what they are set to. A key that is in the file twice is refused.
    type: dict
    default: {}
  secrets:
    description: The same for values that are never shown.
    type: dict
    default: {}
  unset:
    description: Keys that are removed.
    type: list
    elements: str
    default: []
  consumers:
    description:
      - The services that read the file, in the order in which they are started again. Each is an entry as
        M(oncall.runbooks.service_health) takes them.
    type: list
    elements: dict
    default: []
  for_minutes:
    description: After so many minutes the host takes the change back. 0 means never.
    type: float
    default: 0
  scheduler:
    description: Who does that. V(auto) takes systemd where it runs the host, else a process in a session of its own.
    type: str
    default: auto
    choices: [auto, systemd, process]
  file:
    description: The pre-image to undo, as C(undo.args.file) named it. Required for O(state=undone).
    type: path
  run:
    description: Names the folder of the pre-image. Default is the time.
    type: str
    default: ""
  private_dir:
    description: Folder on the target for pre-images, which only its owner can read.
    type: path
    default: /var/lib/oncall-runbooks
  stop_timeout:
    description: Seconds each service gets to stop in order.
    type: float
    default: 30
  timeout:
    description: Seconds after which each service has to be well again.
    type: float
    default: 60
seealso:
  - module: oncall.runbooks.service_health
  - module: oncall.runbooks.service_restart
"""

EXAMPLES = r"""
- name: Let tokens live for a day, for two hours
  oncall.runbooks.service_settings:
    path: /opt/roost/.env.prod
    values: {AUTH_JWT_EXPIRY: 86400}
    for_minutes: 120
    consumers:
      - name: auth
        part: auth
        runtime: {kind: compose, name: roost-auth, service: auth, project_dir: /opt/roost, env_file: .env.prod}
        health: {url: "http://127.0.0.1:8082/health", json: {status: ok}}
"""

RETURN = r"""
keys:
  description: The keys concerned.
  returned: state is present
  type: list
  elements: str
consumers:
  description: Names of the services that are started again, in order; those that run with these settings are not.
  returned: state is present
  type: list
  elements: str
scheduled:
  description: Who takes the change back and when (UTC), and whether that is really armed. Null without O(for_minutes).
  returned: state is present and something changed
  type: dict
  sample: {by: systemd, unit: oncall-undo-20261121t064300z-7f3a9c-settings-3c1e9b02, until: "2026-11-21T08:43:00Z", armed: true}
prediction:
  description: What happens.
  returned: state is present or undone
  type: dict
undo:
  description: How the change is taken back before its time.
  returned: when something changes
  type: dict
findings:
  description: The check C(settings_temporary), one for each change that is in place for a limited time.
  returned: state is pending
  type: list
  elements: dict
"""

import time
from typing import Any, Callable, Dict

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.services import SERVICE_SPEC
from ansible_collections.oncall.runbooks.plugins.module_utils.service.schedule import SCHEDULERS
from ansible_collections.oncall.runbooks.plugins.module_utils.service.settings import (
    pending_settings,
    set_settings,
    undo_settings,
)


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Do what `state` says and return the module's result."""
    run_id = params["run"] or time.strftime("%Y%m%dt%H%M%Sz", time.gmtime())
    given = dict(params, run=run_id, consumers=[_valid(entry) for entry in params["consumers"]])
    if params["state"] == "pending":
        return pending_settings(given)
    change: Callable[..., Dict[str, Any]] = undo_settings if params["state"] == "undone" else set_settings
    return change(given, check_mode=check_mode)


def _valid(entry: Dict[str, Any]) -> Dict[str, Any]:
    """Return an entry of `consumers` as service_health would take it, with its defaults."""
    checked = ArgumentSpecValidator(SERVICE_SPEC).validate(entry)
    if checked.error_messages:
        raise UsageError(
            "use the option consumers",
            on=str(entry.get("name") or entry),
            got="; ".join(checked.error_messages),
            next_step="correct the service in the inventory",
        )
    valid: Dict[str, Any] = checked.validated_parameters
    return valid


def main() -> None:
    """Validate the options, act, exit."""
    spec = {
        "state": {"type": "str", "default": "present", "choices": ["present", "undone", "pending"]},
        "path": {"type": "path"},
        "values": {"type": "dict", "default": {}},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "unset": {"type": "list", "elements": "str", "default": []},
        "consumers": {"type": "list", "elements": "dict", "default": []},
        "for_minutes": {"type": "float", "default": 0.0},
        "scheduler": {"type": "str", "default": "auto", "choices": list(SCHEDULERS)},
        "file": {"type": "path"},
        "run": {"type": "str", "default": ""},
        "private_dir": {"type": "path", "default": "/var/lib/oncall-runbooks"},
        "stop_timeout": {"type": "float", "default": 30.0},
        "timeout": {"type": "float", "default": 60.0},
    }
    run_module(spec, run, required_if=[("state", "present", ["path"]), ("state", "undone", ["file"])])


if __name__ == "__main__":
    main()
