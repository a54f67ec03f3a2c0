# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a secret lives: read it, put another in its place, put the old one back."""

from __future__ import annotations

__metaclass__ = type

from abc import ABC, abstractmethod
from typing import Any, Dict, List, Optional

#: what has to be known to take a rotation back, as plain data; never a secret
Receipt = Dict[str, Any]


class Destination(ABC):
    """One place of one secret. No method puts a value into a message."""

    kind = ""
    #: whether the place itself keeps the old value, so that no copy of it is needed
    keeps_old = False

    @property
    @abstractmethod
    def place(self) -> str:
        """What is changed, for messages."""

    @abstractmethod
    def current(self) -> Optional[str]:
        """Return the secret, None when there is none; raises OncallError when it cannot be read."""

    @abstractmethod
    def store(self, value: str) -> Receipt:
        """Put `value` in place, whole or not at all, and read it back."""

    @abstractmethod
    def put_back(self, old: str, receipt: Receipt) -> None:
        """Put the secret from before in place again."""

    def old_of(self, receipt: Receipt) -> Optional[str]:  # noqa: ARG002 - the shared signature
        """Return the secret from before a rotation where the place keeps it, None where it does not."""
        return None

    def forget(self, receipt: Receipt) -> None:  # noqa: B027 - nothing to do where the old one is not kept
        """Make sure that nobody takes the old secret from here again."""

    def copies(self, value: str) -> List[str]:  # noqa: ARG002 - the shared signature
        """Return where else nearby `value` is, as far as this can be seen."""
        return []
