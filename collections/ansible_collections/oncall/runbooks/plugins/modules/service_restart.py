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
  - oncall.runbooks.service.runtime
  - oncall.runbooks.service.health
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: It looks at the service and predicts the downtime.
  idempotent:
    support: none
    details: Each run restarts.
options:
  runtime:
    required: true
  database:
    description: When given, the service is PostgreSQL, and well only when a query in this database is answered.
    type: str
    default: ""
  redis:
    description:
      - The service is Redis at O(login_host) and O(login_port), and well only when it answers and has read its data.
      - An empty O(login_host) is the address of its own container. Of the other login options only O(login_user) and
        O(login_password) count.
    type: bool
    default: false
  precheck:
    description: Command that has to succeed before anything is stopped, such as a check of the configuration.
    type: list
    elements: str
    default: []
  recreate:
    description: Start it again so that changed settings are read. A container is made anew, which a restart does not.
    type: bool
    default: false
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

- name: Make the container of auth anew, so that it reads its settings, and wait for its health
  oncall.runbooks.service_restart:
    runtime: {kind: compose, name: roost-auth, service: auth, project_dir: /opt/roost, env_file: .env.prod}
    health: {url: "http://127.0.0.1:8082/health", json: {status: ok}}
    recreate: true
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
from ansible_collections.oncall.runbooks.plugins.module_utils.service.health import (
    HEALTH_SPEC,
    health_predicate,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.restart import (
    always_healthy,
    postgres_predicate,
    redis_predicate,
    restart_service,
)


def run(params: Dict[str, Any], *, check_mode: bool) -> Dict[str, Any]:
    """Restart the service that `params` name and return the module's result."""
    provider = choose_provider(params["runtime"], timeout=10.0, log_path=params["log_path"])
    healthy = health_predicate(params["health"]) if params["health"] else always_healthy
    if params["redis"]:
        healthy = redis_predicate(params)
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
        redis={"type": "bool", "default": False},
        health={"type": "dict", "options": HEALTH_SPEC},
        precheck={"type": "list", "elements": "str", "default": []},
        recreate={"type": "bool", "default": False},
        evidence_dir={"type": "path"},
        stop_timeout={"type": "float", "default": 30.0},
        timeout={"type": "float", "default": 60.0},
    )
    run_module(spec, run)


if __name__ == "__main__":
    main()
