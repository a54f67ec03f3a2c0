# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that every module which logs in to PostgreSQL shares."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """How to reach the server; mirrors `module_utils.postgres.argument_spec`."""

    DOCUMENTATION = r"""
options:
  login_host:
    description: Host of the server as the target sees it. Empty means the local socket.
    type: str
    default: ""
  login_port:
    description: Port of the server.
    type: int
    default: 5432
  login_user:
    description: Role to log in with. Empty means the name of the user that runs the module.
    type: str
    default: ""
  login_password:
    description: The role's password. Never shown, logged or put on a command line.
    type: str
    default: ""
  login_unix_socket:
    description: Folder of the server's socket. Wins over O(login_host).
    type: path
    default: ""
  maintenance_db:
    description: Database to connect to for work on other databases.
    type: str
    default: postgres
  ssl_mode:
    description: How to use TLS, as libpq's C(sslmode).
    type: str
    default: prefer
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: File with the certificates of the authorities to trust, as libpq's C(sslrootcert).
    type: path
    default: ""
requirements:
  - psycopg2 >= 2.7
notes:
  - Works with PostgreSQL 12 and newer.
"""

    # Of modules that run the server's own programs, where they are.
    CLIENT = r"""
options:
  container:
    description: Container the server lives in; its client programs are run inside it.
    type: str
    default: ""
  container_engine:
    description: Program that reaches O(container).
    type: str
    default: docker
  client_dir:
    description: Folder of the server's client programs on the target. Empty means E(PATH).
    type: path
    default: ""
"""
