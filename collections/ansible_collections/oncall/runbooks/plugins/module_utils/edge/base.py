# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every provider that directs traffic can be asked and told."""

from __future__ import annotations

__metaclass__ = type

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

#: What decides where traffic goes, as plain data in the provider's own words. Equal settings, same traffic.
Settings = Dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """One place that traffic can go to; `healthy` is None where the provider cannot say."""

    name: str
    healthy: Optional[bool]
    note: str = ""

    @property
    def word(self) -> str:
        """Its health in a word, for a human."""
        word = {True: "healthy", False: "NOT healthy", None: "of unknown health"}[self.healthy]
        return "%s is %s%s" % (self.name, word, " (%s)" % self.note if self.note else "")


@dataclass(frozen=True)
class EdgeState:
    """Where traffic goes at one moment: `active` is the origin's name, empty when it is no single one."""

    active: str
    origins: Tuple[Origin, ...]
    settings: Settings

    def origin(self, name: str) -> Optional[Origin]:
        """Return the origin called `name`."""
        return next((one for one in self.origins if one.name == name), None)

    def describe(self) -> str:
        """Every origin with its health, in one phrase."""
        return ", ".join(one.word for one in self.origins) or "no origin is known"


class EdgeProvider(ABC):
    """One load balancer, CDN or API that directs traffic."""

    kind = ""
    #: whether `apply` itself sees the new origin healthy before anything is taken from the old one
    waits_for_health = False

    @property
    @abstractmethod
    def place(self) -> str:
        """What is switched, for messages."""

    @abstractmethod
    def state(self) -> EdgeState:
        """Ask where traffic goes and how the origins are; raises OncallError when that cannot be known."""

    @abstractmethod
    def planned(self, state: EdgeState, target: str) -> Settings:
        """Return the settings that send all traffic to `target`; asks nobody."""

    @abstractmethod
    def apply(self, state: EdgeState, wanted: Settings, *, careful: bool) -> None:
        """Make the settings `wanted`; `state` is what was there.

        careful: take nothing from an origin before the new one is seen healthy, where that can be seen.
        Raises OncallError; what it has changed until then shows in `state()`.
        """

    def same(self, now: Settings, wanted: Settings) -> bool:
        """Whether `now` directs traffic as `wanted` does."""
        return now == wanted

    def before_of(self, now: Settings, wanted: Settings) -> Settings:  # noqa: ARG002 - for those that switch a part
        """Return the part of `now` that `wanted` changes: what has to be put back."""
        return dict(now)
