"""What a rehearsal showed, as it is stored: `<state>/rehearsals/<id>/rehearsal.json` is one `Score`.

Fields may be added; none changes its meaning. None means: it was not looked at.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

KINDS = ("symptom", "failing step", "failing dependency")
"""What a fault breaks: the system, the mitigation while it works, or what the runbook itself relies on."""

TARGET_S = 15 * 60.0

IRREVERSIBLE = "irreversible"
NOTHING_TO_UNDO = "nothing to take back"


@dataclass(frozen=True)
class Stage:
    """One line of the score: what was proved (or not: `problem`), and how long it took."""

    name: str
    seconds: float
    detail: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Match:
    """Fidelity: changing steps whose prediction was compared with what they did, and those that differed.

    by_action: of each module, how many were compared and how many of them matched.
    """

    compared: int = 0
    matched: int = 0
    mismatches: list[str] = field(default_factory=list)
    by_action: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Kill:
    """One run that was killed, and what came after.

    step: its name; when: `before`, `middle` or `after` it. left: processes and database sessions that were
    still there after the time allowed. resumed: how the run ended that went on. repeated: steps that were
    done twice. problem: what else was not right, "" for nothing.
    """

    step: str
    when: str
    run: str = ""
    left: list[str] = field(default_factory=list)
    lock_free: bool = False
    freed_after_s: float = 0.0
    resumed: str = ""
    repeated: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing was left, the lock was free, and the run was resumed without repeating anything."""
        return self.lock_free and not (self.left or self.repeated or self.problem)


@dataclass
class Score:
    """What a rehearsal showed; `passed` only when every stage that belongs to it did.

    faults: every fault of this runbook's case. kind: one of KINDS. mitigation: the one that was applied, ""
    for none. control: nothing was found on the healthy stand-in. detected, recommended: the fault was found,
    and the right mitigation came first.
    ends: how the applied run had to end (see `cases.base.Symptom`); verified: it did, and outside agrees.
    undone: True or False, IRREVERSIBLE, or NOTHING_TO_UNDO; kept: steps that no undo takes back, and why;
    data_loss: what the mitigation says it loses.
    nothing_left, resumed_repeats_nothing: over all `kills`. recovery_s, target_s: from the alarm to verified.
    content: SHA-256 of each file of the project that the runs loaded, by its path.
    """

    rehearsal: str
    system: str
    runbook: str
    fault: str
    isolation: str
    faults: list[str] = field(default_factory=list)
    kind: str = KINDS[0]
    mitigation: str = ""
    ends: str = ""
    control: bool | None = None
    detected: bool | None = None
    recommended: bool | None = None
    predicted_matches: Match | None = None
    verified: bool | None = None
    undone: bool | str | None = None
    kept: list[str] = field(default_factory=list)
    data_loss: str = ""
    nothing_left: bool | None = None
    resumed_repeats_nothing: bool | None = None
    kills: list[Kill] = field(default_factory=list)
    postgres: str = ""
    stages: list[Stage] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    passed: bool = False
    target_s: float = TARGET_S
    recovery_s: float = 0.0
    loss_window_s: float = 0.0
    loss_rows: int = 0
    commit: str = ""
    machine: str = ""
    ended: str = ""
    content: dict[str, str] = field(default_factory=dict)
    content_sha256: str = ""

    def line(self, report: Path) -> str:
        """The one line that a rehearsal ends with."""
        if self.passed:
            clock = f"{_clock(self.recovery_s)} of {_clock(self.target_s)}"
            return f"{self._end()} · {clock} · {self._window()} · report: {report}"
        problem = " ".join(self.last.problem.split())[:300]
        return f"FAILED · {self.last.name}: {problem} · report: {report}"

    @property
    def last(self) -> Stage:
        """The stage that a failed rehearsal ended in."""
        return self.stages[-1] if self.stages else Stage("start", 0, problem="nothing ran")

    def _end(self) -> str:
        return "verified" if self.ends in ("", "verified") else f"{self.ends} as declared"

    def _window(self) -> str:
        if not self.loss_window_s:
            return "no data lost"
        return f"data-loss window {_span(self.loss_window_s)} ({self.loss_rows} rows)"


def machine() -> str:
    """Return what this machine is, in a few words: a time means nothing without it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = f"{platform.system()} {platform.release()}"
    cpus = f"{os.cpu_count()} CPUs {platform.machine()}"
    return f"{cpus}, {memory:.0f} GiB, {kernel}, Python {platform.python_version()}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"


def _span(seconds: float) -> str:
    return f"{int(seconds) // 3600} h {int(seconds) // 60 % 60} min"
