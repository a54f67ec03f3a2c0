# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Emergency writes to an application whose administrators may only read, by a token for a short time."""

from __future__ import annotations

__metaclass__ = type
