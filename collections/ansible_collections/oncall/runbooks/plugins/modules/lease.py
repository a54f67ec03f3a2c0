#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: lease
short_description: A lock on a host that is free again soon after its holder is gone
version_added: 0.1.0
author: the oncall.runbooks authors (@oncall-runbooks)
description:
  - Takes, renews, gives back, breaks or shows a named lock that lives on the host.
  - The lock is leased. Its holder has to renew it; without that it is free after O(lease) seconds,
    also when the holder was killed or the network was cut. A restart of the host frees it too.
  - Time is the host's own uptime, so neither a wrong clock nor a changed one makes two holders.
  - Each new holder gets a larger O(token). Whoever lost the lock learns it when renewing.
  - Several controllers may use one lock, as long as they give the same O(name) and O(directory).
options:
  name:
    description: Name of the lock, for example the name of a system.
    type: str
    required: true
  state:
    description:
      - V(acquired) takes the lock, or fails and says who holds it.
      - V(renewed) extends the lease of O(run) and O(token), or fails when another had the lock meanwhile.
      - V(released) gives the lock back. A lock that is no longer held by O(run) and O(token) is left alone.
      - V(broken) takes the lock away. Only for a holder that certainly changes nothing any more.
      - V(info) only looks.
    type: str
    choices: [acquired, renewed, released, broken, info]
    default: info
  kind:
    description: How the lock is kept. V(file) is a file on the host.
    type: str
    choices: [file]
    default: file
  directory:
    description:
      - Directory of the file. It is made when it is missing.
      - The default is in memory on most systems, so that a full disk does not keep anybody from repairing it.
        Only root can write there. Users who do not become root need a directory that all of them can write.
    type: path
    default: /run/oncall-runbooks
  run:
    description:
      - Who takes, renews or releases the lock. The same run may not take it from two processes.
      - Required unless O(state) is V(info) or V(broken).
    type: str
  token:
    description: Number that taking the lock returned. Required for V(renewed) and V(released).
    type: int
  lease:
    description: Seconds that the lock stays taken without being renewed.
    type: float
    default: 12
  wait:
    description: Seconds to wait for a lock that is held before failing.
    type: float
    default: 0
  operator:
    description: The person who acts. Shown to whoever finds the lock taken or broken.
    type: str
    default: ""
  controller:
    description: Name of the machine that the run is started from. Shown to whoever finds the lock taken.
    type: str
    default: ""
  pid:
    description: Process of the run on O(controller).
    type: int
    default: 0
  what:
    description: What the lock is taken for. Shown to whoever finds the lock taken.
    type: str
    default: ""
  reason:
    description: Why the lock is broken. Required for V(broken), and told to the run that loses it.
    type: str
    default: ""
  expected_holder:
    description: Break the lock only when this run holds it.
    type: str
attributes:
  check_mode:
    description: Predicts and writes nothing. A lock that is held fails as for real.
    support: full
  diff_mode:
    description: Shows who holds the lock before and after.
    support: full
  idempotent:
    description: The same process may take the lock again. Changed means another holder, or none.
    support: full
"""

EXAMPLES = r"""
- name: Take the lock of the system
  oncall.runbooks.lease:
    name: roost
    state: acquired
    run: 20261121t064300z-7f3a9c
    operator: alice
    what: restore
  register: taken

- name: Say that the run still lives
  oncall.runbooks.lease:
    name: roost
    state: renewed
    run: 20261121t064300z-7f3a9c
    token: "{{ taken.lock.token }}"

- name: Give the lock back
  oncall.runbooks.lease:
    name: roost
    state: released
    run: 20261121t064300z-7f3a9c
    token: "{{ taken.lock.token }}"

- name: Break the lock of a run whose controller is gone
  oncall.runbooks.lease:
    name: roost
    state: broken
    operator: alice
    reason: the laptop of that run was closed; its operator is on the phone
    expected_holder: 20261121t064300z-7f3a9c
"""

RETURN = r"""
lock:
  description: The lock as it is now, in check mode as it would be.
  returned: success
  type: dict
  contains:
    name: {description: Name of the lock., type: str, returned: always, sample: roost}
    kind: {description: How it is kept., type: str, returned: always, sample: file}
    location: {description: Where it is kept., type: str, returned: always}
    held: {description: Whether somebody holds it., type: bool, returned: always}
    left_s: {description: Seconds until it is free unless renewed., type: float, returned: always, sample: 11}
    token:
      description: Number of the last holder; null when there never was one.
      type: int
      returned: always
      sample: 1795243380
    holder:
      description: Who holds it (run, operator, controller, pid, what, since, until); null when it is free.
      type: dict
      returned: always
    last:
      description: Who held it last and how that ended (ended = how, at, by, reason); null while it is held.
      type: dict
      returned: always
python:
  description: The Python that ran the module on the host.
  returned: success
  type: str
  sample: /usr/bin/python3
error:
  description: Why it failed; its kind is V(lock_held), V(lock_lost), V(lock_damaged), V(denied) or V(usage).
  returned: failure
  type: dict
"""

import re
import sys
from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.lease.protocol import (
    KINDS,
    LockProtocol,
    open_store,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def argument_spec() -> Dict[str, Any]:
    """Return the options that DOCUMENTATION describes."""
    return {
        "name": {"type": "str", "required": True},
        "state": {
            "type": "str",
            "choices": ["acquired", "renewed", "released", "broken", "info"],
            "default": "info",
        },
        "kind": {"type": "str", "choices": sorted(KINDS), "default": "file"},
        "directory": {"type": "path", "default": "/run/oncall-runbooks"},
        "run": {"type": "str"},
        "token": {"type": "int", "no_log": False},
        "lease": {"type": "float", "default": 12.0},
        "wait": {"type": "float", "default": 0.0},
        "operator": {"type": "str", "default": ""},
        "controller": {"type": "str", "default": ""},
        "pid": {"type": "int", "default": 0},
        "what": {"type": "str", "default": ""},
        "reason": {"type": "str", "default": ""},
        "expected_holder": {"type": "str"},
    }


REQUIRED_IF = [
    ("state", "acquired", ["run"]),
    ("state", "renewed", ["run", "token"]),
    ("state", "released", ["run", "token"]),
    ("state", "broken", ["reason"]),
]


def run(options: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Bring the lock to the state asked for and return the result; OncallError when that cannot be."""
    if not _NAME.fullmatch(options["name"]):
        raise UsageError(
            "use the lock %r" % options["name"],
            got="a name has letters, digits, `_`, `.` and `-` only, and at most 100 of them",
            next_step="correct the option name",
        )
    for option, least in (("lease", 1), ("wait", 0)):
        if not least <= options[option] <= 3600:
            raise UsageError(
                "use the lock %s" % options["name"],
                got="%s is %g" % (option, options[option]),
                next_step="give %s between %d and 3600 seconds" % (option, least),
            )
    result = LockProtocol(open_store(options), dry=check_mode).perform(options["state"], options)
    result["python"] = sys.executable
    return result


def main() -> None:
    """Run as an Ansible module."""
    run_module(argument_spec(), run, required_if=REQUIRED_IF)


if __name__ == "__main__":
    main()
