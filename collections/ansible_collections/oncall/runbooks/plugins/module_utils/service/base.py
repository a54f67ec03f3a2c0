# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every platform that runs services can be asked and told."""

from __future__ import annotations

__metaclass__ = type

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, Dict, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError

# Restarted at least this often, and up for less than this: the platform is restarting it in a loop.
LOOP_RESTARTS = 2
LOOP_UPTIME = 60.0


@dataclass(frozen=True)
class ServiceState:
    """What a platform says about one service at one moment.

    `word` is the platform's own word for the state. `healthy` is None where no health check exists,
    `uptime` is in seconds, `frozen` means stopped by a signal or paused: it lives and does nothing.
    """

    kind: str
    name: str
    exists: bool
    running: bool
    word: str
    healthy: Optional[bool] = None
    frozen: bool = False
    pid: int = 0
    uptime: Optional[float] = None
    restarts: int = 0
    restarting: bool = False
    exit_code: Optional[int] = None
    oom_killed: bool = False
    note: str = ""

    @property
    def looping(self) -> bool:
        """Whether it is being restarted again and again."""
        young = self.uptime is not None and self.uptime < LOOP_UPTIME
        return self.restarting or (self.restarts >= LOOP_RESTARTS and young)

    @property
    def well(self) -> bool:
        """Running, not frozen, not restarted in a loop, and healthy as far as the platform can say."""
        return self.running and not self.frozen and not self.restarting and self.healthy is not False

    def as_dict(self) -> Dict[str, Any]:
        """The same as plain data, with the derived answers."""
        return dict(asdict(self), looping=self.looping, well=self.well)

    def describe(self) -> str:
        """One phrase for a human, e.g. `container roost-postgres: exited, exit code 137, 4 restarts`."""
        parts = [self.word]
        if self.exit_code is not None and not self.running:
            parts.append("exit code %d" % self.exit_code)
        for said, phrase in (
            (self.oom_killed, "killed because memory ran out"),
            (self.frozen, "frozen (it exists but does nothing until it is continued)"),
            (self.restarts, "%d restarts" % self.restarts),
            (self.uptime is not None and self.running, "up %.0f s" % (self.uptime or 0)),
            (self.note, self.note),
        ):
            if said:
                parts.append(phrase)
        return "%s %s: %s" % (_NOUN.get(self.kind, self.kind), self.name, ", ".join(parts))


_NOUN = {"docker": "container", "systemd": "unit", "process": "server in"}


@dataclass(frozen=True)
class LogText:
    """The end of a service's log: `source` says where it was read."""

    text: str
    source: str


class ServiceError(OncallError):
    """The platform refused or failed what was asked of a service."""

    kind = "service"


class Provider(ABC):
    """One service on one platform.

    A new platform implements the abstract methods, names its `kind`, and answers the capability
    questions; everything else (evidence, waiting, findings, undo) is shared.
    """

    kind = ""
    #: seconds of downtime that a restart usually costs, for the prediction
    usual_downtime = 5.0

    def __init__(self, name: str, *, timeout: float) -> None:
        self.name, self.timeout = name, timeout

    @property
    def has_logs(self) -> bool:
        """Whether `logs` can return anything."""
        return True

    @abstractmethod
    def state(self) -> ServiceState:
        """Ask the platform; raises OncallError when it cannot be asked."""

    @abstractmethod
    def logs(self, *, hours: float, max_bytes: int) -> LogText:
        """Return the end of the log: at most `max_bytes`, not older than `hours` where that is known."""

    @abstractmethod
    def thaw(self, state: ServiceState) -> None:
        """Continue a frozen service, so that it can hear a request to stop."""

    @abstractmethod
    def restart(self, *, stop_timeout: float) -> str:
        """Stop and start it, giving it `stop_timeout` seconds to stop; return what was done."""
