# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules promise about check mode, differences and second runs, one section for each kind of module."""

from __future__ import annotations

__metaclass__ = type


class ModuleDocFragment:
    """The attributes; a module states only where it differs, such as more `details`."""

    # Modules that only read.
    READS = r"""
attributes:
  check_mode:
    description: Can run in check mode and return the same as without it.
    support: full
    details: It only reads.
  diff_mode:
    description: Returns what has changed.
    support: none
    details: It changes nothing.
  idempotent:
    description: A second run changes nothing.
    support: full
    details: It changes nothing.
"""

    # Modules that change something, and can say so beforehand.
    CHANGES = r"""
attributes:
  check_mode:
    description: Can run in check mode and predict what it would do.
    support: full
  diff_mode:
    description: Returns what has changed.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
"""
