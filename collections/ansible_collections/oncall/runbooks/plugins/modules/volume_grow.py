#!/usr/bin/python
# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name: nothing runs on a target."""

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: volume_grow
short_description: Enlarge a volume of Hetzner Cloud
version_added: 0.1.0
description:
  - Looks at the volume, refuses what would make it smaller, asks for the new size, waits until the vendor's
    action has ended well, and reads the size back.
  - An action of somebody else on the same volume is waited for.
  - Grows the block device only; M(oncall.runbooks.filesystem_grow) makes the space usable.
  - Runs on the controller; the token never leaves it.
author:
  - the oncall.runbooks authors (@oncall-runbooks)
extends_documentation_fragment:
  - oncall.runbooks.attributes.changes
options:
  volume:
    description: Name or id of the volume.
    type: str
    required: true
  size:
    description: Size in GB that it has to have. Less than it has is refused.
    type: int
    required: true
  token:
    description: API token of the project, with read and write. Never shown or logged.
    type: str
    default: ""
  url:
    description: Address of the API. Empty means Hetzner's own.
    type: str
    default: ""
  price_per_gb_month:
    description: What a GB costs in a month, so that the plan can say what changes. 0 means not known.
    type: float
    default: 0
  currency:
    description: Currency of that price.
    type: str
    default: EUR
  timeout:
    description: Seconds for the whole.
    type: float
    default: 120
  request_timeout:
    description: Seconds for one request.
    type: float
    default: 10
  attempts:
    description: So often a request that may be repeated is sent at most.
    type: int
    default: 4
"""

EXAMPLES = r"""
- name: Give the data 80 GB
  oncall.runbooks.volume_grow:
    volume: roost-data
    size: 80
    token: "{{ hcloud_token }}"
"""

RETURN = r"""
size_before:
  description: Size in GB before.
  returned: always
  type: int
size:
  description: Size in GB that it has (in check mode would have) now.
  returned: always
  type: int
bytes:
  description: The same in bytes, for M(oncall.runbooks.filesystem_grow).
  returned: always
  type: int
volume:
  description: Its id, name, server and device.
  returned: always
  type: dict
prediction:
  description: What changes, and what it costs.
  returned: always
  type: dict
undo:
  description: Why it cannot be taken back.
  returned: when changed
  type: dict
"""
