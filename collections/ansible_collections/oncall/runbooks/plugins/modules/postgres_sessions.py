#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""End sessions of PostgreSQL that hold others up."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: postgres_sessions
short_description: End sessions of PostgreSQL that hold others up
version_added: 0.1.0
description:
  - Ends the client sessions of one database that match every selector given, or only cancels their queries.
  - Cancels their queries first, and terminates what is still there after O(grace).
  - Never ends its own session, replication, background processes, restores of this collection, nor, unless asked, superusers.
  - Verifies that the very sessions are gone. Clients that connect again are counted and reported.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.postgres
  - oncall.runbooks.attributes.changes
attributes:
  check_mode:
    details: Lists exactly the sessions that would be ended.
  idempotent:
    details: As long as no new session matches.
options:
  database:
    description: Database whose sessions are looked at.
    type: str
    required: true
  all_databases:
    description: Look at the sessions of every database.
    type: bool
    default: false
  state:
    description:
      - What matching sessions shall be. V(terminated) cancels first and ends what is still there.
      - V(cancelled) cancels the very queries that match O(query_for), and leaves the sessions to their clients.
    type: str
    choices: [terminated, cancelled]
    default: terminated
  idle_for:
    description: Sessions that have been idle, outside of a transaction, for at least so many seconds.
    type: float
  idle_in_transaction_for:
    description: Sessions that have been idle inside a transaction for at least so many seconds.
    type: float
  query_for:
    description: Sessions whose query has run for at least so many seconds.
    type: float
  blocking:
    description: Sessions that others wait for.
    type: bool
    default: false
  role:
    description: Only sessions of this role.
    type: str
  application:
    description: Only sessions with this application name.
    type: str
  except_applications:
    description: No sessions with these application names, such as the dump that makes the backup.
    type: list
    elements: str
    default: []
  include_superusers:
    description: End sessions of superusers too.
    type: bool
    default: false
  grace:
    description: Seconds between the cancel and the termination, and to wait for the sessions to be gone.
    type: float
    default: 5
"""

EXAMPLES = r"""
- name: End what has held a transaction open for five minutes
  oncall.runbooks.postgres_sessions:
    database: roost_prod
    idle_in_transaction_for: 300
    login_host: 127.0.0.1
    login_user: roost
    login_password: "{{ postgres_login_password }}"
"""

RETURN = r"""
sessions:
  description: The sessions that were, or in check mode would be, ended; their queries without secrets.
  returned: always
  type: list
  elements: dict
  sample:
    - {pid: 4711, role: api, database: roost_prod, application: owl, state: idle in transaction, seconds: 512.3, query: "…"}
reconnected:
  description: Sessions of the same roles and applications that appeared meanwhile.
  returned: when sessions were ended
  type: int
prediction:
  description: What changes.
  returned: always
  type: dict
undo:
  description: Why this cannot be taken back.
  returned: when changed
  type: dict
"""

from typing import Any, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.module import run_module
from ansible_collections.oncall.runbooks.plugins.module_utils.postgres import argument_spec
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.sessions import end_sessions


def main() -> None:
    """Validate the options, end the sessions, exit."""
    spec: Dict[str, Any] = dict(
        argument_spec(),
        database={"type": "str", "required": True},
        all_databases={"type": "bool", "default": False},
        state={"type": "str", "choices": ["terminated", "cancelled"], "default": "terminated"},
        idle_for={"type": "float"},
        idle_in_transaction_for={"type": "float"},
        query_for={"type": "float"},
        blocking={"type": "bool", "default": False},
        role={"type": "str"},
        application={"type": "str"},
        except_applications={"type": "list", "elements": "str", "default": []},
        include_superusers={"type": "bool", "default": False},
        grace={"type": "float", "default": 5.0},
    )
    run_module(spec, end_sessions)


if __name__ == "__main__":
    main()
