# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a runbook of a system stands: proved by its rehearsals, and are these about the files that are here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook_engine import doors
from runbook_engine.errors import Refused
from runbook_engine.ids import id_time
from runbook_engine.loaded import LoadedError, paths_of, read_notes
from runbook_engine.plain import digest
from runbook_engine.project_files import Project

PROVED, STALE, FAILED, INCOMPLETE, NEVER = "proved", "stale", "failed", "incomplete", "never rehearsed"
STATES = (PROVED, STALE, INCOMPLETE, FAILED, NEVER)
"""How a runbook may stand, the best first. Only PROVED lets a change pass without a word of its own."""

WHY = "'WHY'"
_NAMED = 3
"""How many files or faults one line names before it only counts the rest."""


def content_of(project_root: Path, folders: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of every file of the project that the runs in `folders` loaded, by its path.

    A path that ends with `/` is a folder: its hash is over the names in it. Raises LoadedError when a run did
    not note what it loaded, or when a file was edited since the first of them began.
    """
    project = Project(project_root)
    content = {name: project.hash(name) for name in paths_of(project_root, map(read_notes, folders))}
    began = min((id_time(folder.name).timestamp() for folder in folders), default=0.0)
    edited = [name for name in content if _edited(project_root / name, began)]
    if edited:
        raise LoadedError(
            f"Edited while it was rehearsed: {_few(edited)}; so nothing is proved.",
            "rehearse again, in a checkout where nobody works",
        )
    return content


def _edited(path: Path, began: float) -> bool:
    try:
        # Run ids are cut to the second.
        return path.is_file() and path.stat().st_mtime >= began + 1
    except OSError:
        return True


def content_sha256(content: Mapping[str, str]) -> str:
    """Return the one hash of a whole content."""
    return digest(content).removeprefix("sha256:")


def differences(project: Project, content: Mapping[str, str]) -> list[str]:
    """Return the paths of `content` that are others now, or gone."""
    return [name for name, known in content.items() if project.hash(name) != known]


@dataclass(frozen=True)
class Standing:
    """How one runbook of one system stands.

    rehearsals: the newest of each fault, by fault. missing: faults that were never rehearsed. failed: faults
    whose rehearsal did not prove it. stale: fault → paths that differ. age_days: of the oldest of them.
    max_age_days: how old one may be, 0 = any age.
    """

    system: str
    runbook: str
    rehearsals: Mapping[str, Mapping[str, Any]]
    missing: tuple[str, ...] = ()
    stale: Mapping[str, list[str]] = field(default_factory=dict)
    age_days: float = 0.0
    max_age_days: float = 0.0

    @property
    def state(self) -> str:
        """One of STATES."""
        if not self.rehearsals:
            return NEVER
        if self.failed:
            return FAILED
        if self.missing:
            return INCOMPLETE
        return STALE if self.stale or self.too_old else PROVED

    @property
    def failed(self) -> tuple[str, ...]:
        """Faults whose newest rehearsal failed."""
        return tuple(fault for fault, found in self.rehearsals.items() if not found.get("passed"))

    @property
    def passed(self) -> int:
        """How many faults are proved for the files that are here."""
        return sum(fault not in self.stale and fault not in self.failed for fault in self.rehearsals)

    @property
    def total(self) -> int:
        """How many faults there are."""
        return len(self.rehearsals) + len(self.missing)

    @property
    def too_old(self) -> bool:
        """Whether the oldest proof is older than the system allows."""
        return bool(self.max_age_days) and self.age_days > self.max_age_days

    @property
    def newest(self) -> Mapping[str, Any]:
        """The newest rehearsal; empty when there is none."""
        return max(self.rehearsals.values(), key=lambda found: str(found.get("rehearsal")), default={})

    @property
    def files(self) -> list[str]:
        """Every path that differs from what was rehearsed."""
        return sorted({name for names in self.stale.values() for name in names})

    @property
    def p95_s(self) -> float | None:
        """The recovery time that 95 % of the faults stay within, in seconds; None when none recovered."""
        times = sorted(float(f["recovery_s"]) for f in self.rehearsals.values() if recovered(f))
        return times[math.ceil(0.95 * len(times)) - 1] if times else None

    @property
    def target_s(self) -> float | None:
        """The time that the system promises, in seconds."""
        return self.newest.get("target_s") or None

    @property
    def why(self) -> str:
        """What is wrong with it, as one sentence without its end; "" when it is proved."""
        told = {
            NEVER: "it was never rehearsed",
            FAILED: f"its rehearsal failed: {_few(self.failed)}",
            INCOMPLETE: f"never rehearsed: {_few(self.missing)}",
            STALE: f"changed since it was rehearsed: {_few(self.files)}",
            PROVED: "",
        }
        if self.state == STALE and not self.stale:
            return f"rehearsed {self.age_days:.0f} days ago, and the system allows {self.max_age_days:.0f}"
        return told[self.state]

    @property
    def line(self) -> str:
        """The proof in one line: state, day, commit, faults, time."""
        if self.state == NEVER:
            return NEVER
        day = id_time(str(self.newest["rehearsal"])).date().isoformat()
        commit = str(self.newest.get("commit") or "")[:7]
        parts = [
            f"{self.state} {day}" + (f" at {commit}" if commit else ""),
            f"{self.passed}/{self.total} faults",
            *(
                [f"p95 {_clock(self.p95_s)} of {_clock(self.target_s)}"]
                if self.p95_s and self.target_s
                else []
            ),
        ]
        return " · ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """The same for machines, without the rehearsals themselves."""
        return {
            "system": self.system,
            "runbook": self.runbook,
            "state": self.state,
            "line": self.line,
            "why": self.why,
            "rehearsed": str(self.newest.get("ended") or "") or None,
            "commit": self.newest.get("commit") or None,
            "faults": {"proved": self.passed, "all": self.total},
            "failed": list(self.failed),
            "missing": list(self.missing),
            "differs": self.files,
            "p95_s": self.p95_s,
            "target_s": self.target_s,
        }


def standing(
    project: Project,
    system: str,
    runbook: str,
    newest: Mapping[str, Mapping[str, Any]],
    *,
    faults: Iterable[str] = (),
    max_age_days: float = 0.0,
    now: datetime | None = None,
) -> Standing:
    """Return how `runbook` of `system` stands.

    newest: the newest rehearsal of each fault, with its `content`; faults: those that have to be proved, as
    far as the caller knows; the rehearsals themselves tell, too.
    """
    known = set(faults) or {str(name) for found in newest.values() for name in found.get("faults") or ()}
    counted = {fault: found for fault, found in sorted(newest.items()) if not known or fault in known}
    differ = {fault: differences(project, found.get("content") or {}) for fault, found in counted.items()}
    moment = now or datetime.now(UTC)
    ages = [(moment - id_time(str(found["rehearsal"]))).total_seconds() / 86400 for found in counted.values()]
    # Without a content nobody can say what was proved.
    unknown = {fault: ["what it loaded is not known"] for fault, f in counted.items() if not f.get("content")}
    return Standing(
        system,
        runbook,
        counted,
        tuple(sorted(known - counted.keys())),
        {fault: names for fault, names in differ.items() if names} | unknown,
        max(ages, default=0.0),
        max_age_days,
    )


def recovered(found: Mapping[str, Any]) -> bool:
    """Whether a rehearsal ended with the system back: only then its time is a time of recovery."""
    back = found.get("ends") in (None, "", "verified") and bool(found.get("mitigation"))
    return back and bool(found.get("passed")) and bool(found.get("recovery_s"))


def command(system: str, runbook: str) -> str:
    """Return the command that proves a runbook for a system with all its faults."""
    return f"runbook rehearse {system} {runbook} --all"


def refusal(door: str | None, stands: Mapping[str, Any]) -> Refused:
    """Return why a change is refused whose runbook stands so (`Standing.as_dict`), and both ways on."""
    system, runbook = stands["system"], stands["runbook"]
    return Refused(
        "proof",
        f"{runbook} is not proved for {system}: {stands['why']}. Nothing was changed.",
        f"rehearse it: {command(system, runbook)}; if it cannot wait: {doors.option(door, 'override', WHY)}",
    )


def _few(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
