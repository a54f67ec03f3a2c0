# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every platform that runs services can be asked and told."""

from __future__ import annotations

__metaclass__ = type

import hashlib
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any, Collection, Dict, Iterable, Mapping, Optional

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


_NOUN = {
    "docker": "container",
    "compose": "container",
    "systemd": "unit",
    "process": "server in",
    "supervisor": "program",
}


@dataclass(frozen=True)
class LogText:
    """The end of a service's log: `source` says where it was read."""

    text: str
    source: str


@dataclass(frozen=True)
class EnvironmentFact:
    """What may be told of one setting: never its value.

    `length` is in characters, without a line end. `number` is set only for a setting that is declared to be
    a plain number, such as a lifetime in seconds. `digest` is for comparing two places inside one process;
    it is not part of `as_dict`, because a short secret could be guessed from it.
    """

    present: bool
    length: int = 0
    number: Optional[int] = None
    digest: str = field(default="", repr=False)

    @classmethod
    def of(cls, value: Optional[str], *, number: bool = False) -> EnvironmentFact:
        """Return the fact of a value, None = there is no such setting."""
        if value is None:
            return cls(False)
        text = value.rstrip("\r\n")
        known = int(text) if number and text.isdigit() and len(text) <= 12 else None
        return cls(True, len(text), known, hashlib.sha256(text.encode("utf-8", "replace")).hexdigest())

    def as_dict(self) -> Dict[str, Any]:
        """The same as plain data, without what could tell the value."""
        told: Dict[str, Any] = {"present": self.present, "length": self.length}
        return told if self.number is None else dict(told, number=self.number)


def facts_of(
    values: Mapping[str, str], names: Iterable[str], numbers: Collection[str] = ()
) -> Dict[str, EnvironmentFact]:
    """Return the facts of `names` in an environment; only those in `numbers` may tell their number."""
    return {name: EnvironmentFact.of(values.get(name), number=name in numbers) for name in names}


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

    @property
    def can_create(self) -> bool:
        """Whether `restart` also brings back a service that does not exist any more."""
        return False

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

    def stop(self, *, stop_timeout: float) -> None:  # noqa: ARG002 - the shared signature
        """End it, also one that the platform starts again and again; `restart` starts it."""
        raise self._cannot("stop it and leave it down")

    def recreate(self, *, stop_timeout: float) -> str:  # noqa: ARG002 - the shared signature
        """Start it again so that changed settings are read; return what was done."""
        raise self._cannot("start it again with changed settings")

    def environment(self, names: Iterable[str], numbers: Collection[str] = ()) -> Dict[str, EnvironmentFact]:
        """Return what may be told of variables of the service as it was started; see EnvironmentFact."""
        return facts_of(self.read_environment(), names, numbers)

    def read_environment(self) -> Dict[str, str]:
        """Return the whole environment, secrets included: to compare in this process, never to be told."""
        raise self._cannot("see the settings that it runs with")

    def _cannot(self, what: str) -> ServiceError:
        return ServiceError(
            what,
            on="%s %s" % (_NOUN.get(self.kind, self.kind), self.name),
            got="a runtime of kind %s cannot do this" % self.kind,
            next_step="do it by hand, or name the real runtime of the service",
            kind="unsupported",
        )
