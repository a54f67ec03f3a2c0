# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs that belong together: a run, the ones that it resumes, and what later runs took back of them.

A step keeps its identity from run to run by its name, action, host and how often that came before in its
run: numbers of steps do not serve, because a resumed run may skip what came before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook_engine import record, state
from runbook_engine.changes import CHANGING, own_changes
from runbook_engine.errors import EngineError

Identity = tuple[str, str, str, int]
"""Name, action, host, and which one of that name this is (from 1)."""

GONE = ("not_done", "undone")
"""Outcomes that leave nothing in place."""


class Identities:
    """Counts the changing steps of a run as they come."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def next(self, name: str, action: str, host: str) -> Identity:
        """Return what the next step of that name would be called, without counting it."""
        return (name, action, host, self._seen[name, action, host] + 1)

    def last(self, name: str, action: str, host: str) -> Identity:
        """Return what the last step of that name was called."""
        return (name, action, host, self._seen[name, action, host])

    def count(self, name: str, action: str, host: str) -> Identity:
        """Return the identity of the step that begins now."""
        self._seen[name, action, host] += 1
        return (name, action, host, self._seen[name, action, host])


def identified(result: Mapping[str, Any]) -> Iterator[tuple[Identity, dict[str, Any]]]:
    """Yield the changing steps of a result in their order, each with its identity."""
    seen = Identities()
    for step in result["steps"]:
        if is_counted(step["phase"], step["effect"]):
            yield seen.count(step["name"], step["action"], step["host"]), step


def is_counted(phase: str, effect: str) -> bool:
    """Whether a step is one that changes the system, and so must not be repeated."""
    return phase == "mitigate" and effect in CHANGING


def family(folder: Path, run: str) -> list[dict[str, Any]]:
    """Return the results of `run` and of the runs that it resumes, the newest first, from their events.

    A run that was killed gets its end first. Raises UsageError for a run that does not exist and RecordError
    for a record that was edited.
    """
    results: list[dict[str, Any]] = []
    while run and run not in {r["run"] for r in results}:
        results.append(record.settled(state.existing_run(folder, run)))
        run = results[-1].get("resumes") or ""
    return results


@dataclass
class Later:
    """What runs did after another one, and with which of the changes before them: each read once.

    `gone`: `(run, step)` of changes that they took back, or found not made; `anew`: of changes whose end
    nobody knew and that they made again; `related`: results of those that resumed a run or took one back, the
    newest first.
    """

    related: list[dict[str, Any]] = field(default_factory=list)
    gone: set[tuple[str, str]] = field(default_factory=set)
    anew: set[tuple[str, str]] = field(default_factory=set)

    @property
    def settled(self) -> set[tuple[str, str]]:
        """Changes of which nothing is left to be done: gone or made anew."""
        return self.gone | self.anew

    def add(self, result: dict[str, Any]) -> None:
        """Count what one more run did, the one before those that are counted."""
        if result.get("resumes") or result.get("undo"):
            self.related.append(result)
        for told in result.get("undone_elsewhere") or ():
            run, _, step = told.rpartition("/")
            self.gone.add((run or result["undo"], step))
        self.gone |= {(t["run"], t["step"]) for t in result.get("reconciled") or () if t["state"] in GONE}
        self.anew |= _made_anew(result)

    def after(self, run: str) -> list[dict[str, Any]]:
        """Return those of `related` that came after `run`."""
        return [result for result in self.related if result["run"] > run]


def later(folder: Path, since: str) -> Later:
    """Return what the runs after `since` did."""
    made = Later()
    for result in _newer(folder, since):
        made.add(result)
    return made


def resumed_by(folder: Path, run: str, done: Later) -> str:
    """Return the newest run that resumed `run` and has changes of its own in place; "" when none has.

    `done`: what the runs after `run` did, or those after a run before it.
    """
    for other in done.after(run):
        if other.get("resumes") and run in {r["run"] for r in family(folder, other["run"])}:
            left = {(other["run"], step["id"]) for step in own_changes(other)} - done.settled
            if left:
                return str(other["run"])
    return ""


def _newer(folder: Path, since: str) -> Iterable[dict[str, Any]]:
    """Yield the results of the runs after `since`, the newest first; a run that was killed may have none."""
    for other in state.list_runs(folder):
        if other.run <= since:
            return
        try:
            yield state.load_result(other) or record.settled(other)
        except (ValueError, OSError, EngineError):
            continue


def _made_anew(result: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Steps of which nobody knew what became of them, and which this run then did again."""
    if result["check_mode"]:
        # A plan to go on has done nothing yet: who then goes on has to ask as it did.
        return set()
    ran = {identity for identity, step in identified(result) if step["status"] not in ("skipped", "started")}
    return {(told["run"], told["step"]) for told in _again(result) if identity_of(told) in ran}


def begun_before(result: Mapping[str, Any]) -> set[Identity]:
    """Return the steps that a run before this one had begun, and whose end nobody knew."""
    return {identity_of(told) for told in _again(result)}


def _again(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return ((result.get("gate") or {}).get("resume") or {}).get("again") or ()


def identity_of(told: Mapping[str, Any]) -> Identity:
    """Return the identity that a gate recorded."""
    return (told["name"], told["action"], told["host"], int(told["nth"]))
