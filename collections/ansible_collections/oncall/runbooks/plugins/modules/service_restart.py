#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restart a service on any platform, with evidence before and proof after."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: service_restart
short_description: Restart a service, with evidence before and proof after
version_added: 0.1.0
description:
  - Keeps the end of the service's log, restarts it, and waits until it serves again.
  - A frozen service (stopped by a signal, or paused) is continued first, so that it can stop in order.
  - Fails with the last state seen when it does not serve within O(timeout).
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
attributes:
  check_mode:
    description: Can run in check mode and predict what it would do.
    support: full
    details: It looks at the service and predicts the downtime.
  diff_mode:
    description: Returns what has changed.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: none
    details: Each run restarts.
options:
  runtime:
    description: What runs the service.
    type: dict
    required: true
    suboptions:
      kind:
        description: Container engine, init system, or neither.
        type: str
        required: true
        choices: [docker, systemd, process]
      name:
        description: Exact name of the container or unit.
        type: str
      data_dir:
        description: Data directory of a PostgreSQL server of kind V(process).
        type: path
      engine:
        description: Program of the container engine.
        type: str
        default: docker
      bin_dir:
        description: Folder of C(pg_ctl). Default is the running server's own.
        type: path
  log_path:
    description: Log file of a server of kind V(process). Default is the file its standard error goes to.
    type: path
    default: ""
  database:
    description: When given, the service is PostgreSQL, and well only when a query in this database is answered.
    type: str
    default: ""
  evidence_dir:
    description: Folder on the target for the log. Without it the log is returned in C(evidence).
    type: path
  stop_timeout:
    description: Seconds the service gets to stop in order.
    type: float
    default: 30
  timeout:
    description: Seconds after which it has to serve again.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Restart PostgreSQL and wait until it answers a query
  oncall.runbooks.service_restart:
    runtime: {kind: docker, name: roost-postgres}
    database: roost_prod
    login_host: 127.0.0.1
    login_user: roost
    login_password: "{{ postgres_login_password }}"
"""

RETURN = r"""
before:
  description: State before the restart.
  returned: always
  type: dict
state:
  description: State after the restart.
  returned: when restarted
  type: dict
done:
  description: What was done, as a command.
  returned: when restarted
  type: str
downtime_s:
  description: Seconds from the request to stop until it served again.
  returned: when restarted
  type: float
prediction:
  description: What happens, how long it usually takes (seconds), what is lost.
  returned: always
  type: dict
evidence:
  description: The end of the log from before the restart.
  returned: when restarted
  type: list
  elements: dict
undo:
  description: Why there is nothing to take back.
  returned: always
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import Login, argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import (
    RUNTIME_SPEC,
    choose_provider,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.restart import (
    always_healthy,
    postgres_predicate,
    restart_service,
)


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Restart the service that `params` name and return the module's result."""
    provider = choose_provider(params["runtime"], timeout=10.0, log_path=params["log_path"])
    healthy = always_healthy
    if params["database"]:
        healthy = postgres_predicate(Login.from_params(params, "oncall-restart"), params["database"])
    return restart_service(provider, healthy, params, check_mode=check_mode)


def main() -> None:
    """Validate the options, restart, exit."""
    spec: Dict[str, Any] = dict(
        argument_spec(),
        runtime={"type": "dict", "options": RUNTIME_SPEC, "required": True},
        log_path={"type": "path", "default": ""},
        database={"type": "str", "default": ""},
        evidence_dir={"type": "path"},
        stop_timeout={"type": "float", "default": 30.0},
        timeout={"type": "float", "default": 60.0},
    )
    run_module(spec, run)


if __name__ == "__main__":
    main()
