# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Coverage: every step of a system's prose runbook against what carries it here, checked both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.catalog_systems import System
from runbook.catalog_yaml import Reader
from runbook.coverage_names import Carriers, Wrong, near
from runbook.coverage_tasks import ChangingTask, changing_tasks
from runbook.project import Project

STATES = ("covered", "planned", "not_automated")
_STATE_OF = {"carried_by": "covered", "planned": "planned", "not_automated": "not_automated"}
_KEYS = {"id", "meaning", "carried_by", "proved_by", "planned", "not_automated"}
_ID = re.compile(r"([A-Z][A-Z0-9]*)-(\d+(?:\.\d+)*)")

Rehearsals = Mapping[str, Set[str]]
"""The faults of each runbook that can be rehearsed."""


@dataclass(frozen=True)
class Step:
    """One step. `state` is one of STATES; `note` says what it is planned for, or why a person does it."""

    id: str
    meaning: str
    state: str
    carried_by: tuple[str, ...]
    proved_by: tuple[str, ...]
    note: str
    line: int


@dataclass(frozen=True)
class Excuse:
    """A changing entry point that carries no step, and why."""

    entry_point: str
    reason: str


@dataclass(frozen=True)
class Problem:
    """What does not map: `id` is the step or entry point, `file` is relative to the project, line 0: all."""

    file: str
    line: int
    id: str
    problem: str
    next_step: str


@dataclass(frozen=True)
class Coverage:
    """What is known of one system; it maps when there is no problem."""

    system: str
    steps: tuple[Step, ...]
    excuses: tuple[Excuse, ...]
    problems: tuple[Problem, ...]

    def of(self, state: str) -> list[Step]:
        """Return the steps in `state`."""
        return [step for step in self.steps if step.state == state]


def check(project: Project, system: System, rehearsals: Rehearsals) -> Coverage:
    """Check steps.yml and no_step.yml of `system` both ways; raise FileError where one is not even YAML."""
    book = _Book(project, system.folder / "steps.yml")
    steps = tuple(book.steps())
    carriers = Carriers(project, system)
    for step in steps:
        for text in step.carried_by:
            book.wrong(step, f"carried_by names {text!r}", carriers.wrong(text))
        for text in step.proved_by:
            book.wrong(step, f"proved_by names {text!r}", _unproved(project, system, rehearsals, text))
    book.order(steps)
    excused = _Book(project, system.folder / "no_step.yml")
    excuses = tuple(excused.excuses())
    tasks = list(changing_tasks(project, system))
    carried = {carriers.carries(text) for step in steps for text in step.carried_by}
    excused.tasks(tasks, carried, excuses)
    return Coverage(system.name, steps, excuses, (*book.problems, *excused.problems))


class _Book:
    """One file of the mapping, and the problems found in it."""

    def __init__(self, project: Project, path: Path) -> None:
        self._path, self._root = path, project.root
        self.file = path.relative_to(project.root).as_posix()
        self.problems: list[Problem] = []

    def steps(self) -> Iterator[Step]:
        """Yield what is a step; name what is none."""
        if not self._path.is_file():
            self.add(
                0, "-", "is missing", "list every step of the prose runbook there: id, meaning, carried_by"
            )
        for line, data in self._entries():
            name = str(data.get("id") or "-")
            for problem, next_step in _malformed(data):
                self.add(line, name, problem, next_step)
            kinds = [key for key in _STATE_OF if data.get(key)]
            if name != "-" and len(kinds) == 1:
                yield _step(data, kinds[0], line)

    def excuses(self) -> Iterator[Excuse]:
        """Yield what is excused with a reason; name what is not."""
        for line, data in self._entries():
            entry_point, reason = str(data.get("entry_point") or ""), str(data.get("reason") or "").strip()
            if not entry_point or not reason or data.keys() - {"entry_point", "reason"}:
                self.add(
                    line, entry_point or "-", "has no reason", "write {entry_point: role task, reason: why}"
                )
            else:
                yield Excuse(entry_point, reason)

    def order(self, steps: Iterable[Step]) -> None:
        """Name ids that are there twice or out of order."""
        before: tuple[str, list[int]] | None = None
        seen: dict[str, int] = {}
        for step in steps:
            if step.id in seen:
                self.add(
                    step.line, step.id, f"is there twice, first in line {seen[step.id]}", "keep one of them"
                )
            elif before is not None and _sorted_by(step.id) < before:
                self.add(step.line, step.id, "stands behind a later id", "sort the steps by id")
            seen.setdefault(step.id, step.line)
            before = max(before or _sorted_by(step.id), _sorted_by(step.id))

    def tasks(self, tasks: list[ChangingTask], carried: Set[str], excuses: tuple[Excuse, ...]) -> None:
        """Name changing tasks that no step carries and nothing excuses, and excuses without a use."""
        excused = {excuse.entry_point for excuse in excuses}
        for task in tasks:
            if task.entry_point not in carried | excused:
                self.problems.append(_uncarried(task, self._root, self.file))
        for name in sorted(excused - {task.entry_point for task in tasks}):
            self.add(0, name, "is excused and changes nothing here", "remove it, or correct the name")
        for name in sorted(excused & carried):
            self.add(0, name, "is excused, and a step is carried by it", "remove the excuse")

    def wrong(self, step: Step, what: str, found: Wrong | None) -> None:
        """Take note of what one reference of `step` does not find."""
        if found is not None:
            self.add(step.line, step.id, f"{what}: {found.problem}", found.next_step)

    def add(self, line: int, name: str, problem: str, next_step: str) -> None:
        """Take note of a problem of this file."""
        self.problems.append(Problem(self.file, line, name, problem, next_step))

    def _entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        if not self._path.is_file():
            return
        reader = Reader(self._path)
        if not isinstance(reader.value or [], list):
            raise reader.problem([], "is no list", "a list of mappings")
        lines = reader.lines()
        for number, data in enumerate(reader.value or []):
            if isinstance(data, dict):
                yield lines[number], data
            else:
                self.add(lines[number], "-", f"{data!r} is no mapping", "write {id: ..., meaning: ...}")


def _malformed(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the form of one entry, and what to do."""
    if not _ID.fullmatch(str(data.get("id") or "")):
        yield f"id is {data.get('id')!r}", "give it the id of the prose step, such as SYSTEM-1.2.3"
    for key in sorted(map(str, data.keys() - _KEYS)):
        yield f"has {key!r}, which means nothing here", f"use {near(key, _KEYS) or 'one of the known keys'}"
    if not isinstance(data.get("meaning"), str):
        yield "has no meaning", "say in one sentence what the step is for"
    kinds = [key for key in _STATE_OF if key in data]
    if len(kinds) != 1:
        told = " and ".join(kinds) or "neither carried_by, planned nor not_automated"
        yield f"has {told}", "give exactly one of them"
    elif not data[kinds[0]]:
        yield f"{kinds[0]} is empty", "give it a value"
    elif bool(data.get("carried_by")) != bool(data.get("proved_by")):
        yield "has only one of carried_by and proved_by", "name what carries it and what proves that"
    yield from _mistyped(data)


def _mistyped(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("carried_by", "proved_by"):
        if data.get(key) and not _texts(data[key]):
            yield f"{key} is no list of texts", f"write {key}: [text, ...]"
    for key in ("planned", "not_automated"):
        if data.get(key) and not isinstance(data[key], str):
            yield f"{key} is no text", f"write {key}: a sentence"


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) and all(isinstance(text, str) for text in value) else ()


def _step(data: dict[str, Any], kind: str, line: int) -> Step:
    return Step(
        id=str(data["id"]),
        meaning=str(data.get("meaning", "")),
        state=_STATE_OF[kind],
        carried_by=_texts(data.get("carried_by")),
        proved_by=_texts(data.get("proved_by")),
        note="" if kind == "carried_by" else str(data[kind]),
        line=line,
    )


def _sorted_by(name: str) -> tuple[str, list[int]]:
    found = _ID.fullmatch(name)
    return (found[1], [int(part) for part in found[2].split(".")]) if found else (name, [])


def _uncarried(task: ChangingTask, root: Path, excuses: str) -> Problem:
    return Problem(
        task.path.relative_to(root).as_posix(),
        task.line,
        task.entry_point,
        f"the task {task.name!r} changes something ({task.effect}), and no step is carried by it",
        f"name {task.entry_point!r} in carried_by of its step, or say in {excuses} why it has none",
    )


def _unproved(project: Project, system: System, rehearsals: Rehearsals, text: str) -> Wrong | None:
    """What is wrong with one value of proved_by, None when it names a proof."""
    first, _, rest = text.partition(" ")
    if first == "rehearsal":
        return _unrehearsed(system, rehearsals, rest.split())
    path = project.root / text
    if not text.startswith(("tests/", "molecule/")) or ".." in path.parts:
        return Wrong("it is neither a test nor a rehearsal", "write tests/... or rehearsal RUNBOOK [fault]")
    if path.is_dir():
        holds = any(path.rglob("test_*.py"))
        return None if holds else Wrong("no test is in that folder", "name a folder with test_*.py")
    if not path.is_file():
        there = [p.relative_to(project.root).as_posix() for p in project.root.glob("tests/**/test_*.py")]
        return Wrong("there is no such file or folder", near(text, there) or "name an existing test")
    return None if path.match("test_*.py") else Wrong("it is no test", "name a file test_*.py")


def _unrehearsed(system: System, rehearsals: Rehearsals, words: list[str]) -> Wrong | None:
    if not 1 <= len(words) <= 2:
        return Wrong("it names no runbook", "write rehearsal RUNBOOK [fault]")
    runbook, fault = words[0], "".join(words[1:])
    if runbook not in rehearsals:
        return Wrong(f"there is no rehearsal of {runbook}", near(runbook, rehearsals) or "write its case")
    if runbook not in system.runbooks:
        return Wrong(f"{system.name} does not declare {runbook}", "name a rehearsal of this system")
    if fault and fault not in rehearsals[runbook]:
        return Wrong(f"{runbook} has no fault {fault}", near(fault, rehearsals[runbook]) or "see its case")
    return None
