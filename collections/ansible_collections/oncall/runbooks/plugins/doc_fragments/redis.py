# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that modules for Redis share."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """How to reach the server, and what the inventory knows of it."""

    # Mirrors `module_utils.redis.client.argument_spec`.
    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Host of the server as the target sees it.
      - Empty means the address of its own container (option C(runtime)), whose port need not be published.
    type: str
    default: 127.0.0.1
  login_port:
    description: Port of the server.
    type: int
    default: 6379
  login_user:
    description: User of the ACL to log in as. Empty means the default user.
    type: str
    default: ""
  login_password:
    description: The password. Never shown, logged or put on a command line. Empty means that none is given.
    type: str
    default: ""
  login_unix_socket:
    description: Socket of the server. Wins over O(login_host).
    type: path
    default: ""
  tls:
    description: Connect with TLS, and check the server's certificate.
    type: bool
    default: false
  ca_cert:
    description: File with the certificates of the authorities to trust. Default is the system's.
    type: path
    default: ""
notes:
  - Works with Redis 5 and newer, through its own protocol. Nothing has to be installed on the target.
"""

    # What a server holds and may take.
    SERVER = r"""
options:
  cache_only:
    description: Whether all that the server holds can be made again, so that losing a key costs time only.
    type: bool
    default: false
  queues:
    description: Keys of database 0 whose length is told, such as lists that are queues.
    type: list
    elements: str
    default: []
  memory_limit:
    description:
      - Bytes that the server may take at all.
      - V(0) means that the limit of its control group and the memory of the host count alone.
    type: int
    default: 0
  timeout:
    description: Seconds each question to the server may take.
    type: float
    default: 3
"""
