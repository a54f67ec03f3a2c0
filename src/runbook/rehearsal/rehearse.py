"""Rehearse a runbook: break the stand-in, run the real playbook, believe only what is seen from outside.

    up and healthy → [control →] fault → diagnose → recommend → plan → apply → verify → undo → compare → score

Every stage is one line of the score; the first that fails ends the rehearsal, because what follows would
prove nothing. What belongs to one runbook is asked of its case (`cases/base.py`).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook_engine import origin, proof, state
from runbook_engine.ids import new_run_id
from runbook_engine.state import write_whole

from runbook import runner
from runbook.rehearsal import cases, isolation
from runbook.rehearsal.act import Act
from runbook.rehearsal.cases.base import Case, Symptom
from runbook.rehearsal.kills import Killer, Point, points, turns
from runbook.rehearsal.runs import Runs, quiet
from runbook.rehearsal.score import Kill, Score, Stage, machine
from runbook.rehearsal.stages import StageFailedError, Stages, must
from runbook.rehearsal.wanted import Wanted


def rehearse(
    wanted: Wanted,
    *,
    observer: Callable[[str], runner.Observer] = quiet,
    say: Callable[[Stage], None] = lambda _stage: None,
) -> tuple[Score, Path]:
    """Rehearse once and return the score and the folder of its report.

    observer: makes the live view of each run, given what the run is for; say: is told each stage as it ends.
    The stand-in ends with this call, however it ends. A failed stage is in the score, not raised.
    """
    case = cases.find(wanted.system, wanted.runbook)
    fault = cases.find_fault(wanted.fault or case.default, wanted.system, wanted.runbook)
    score = _blank(wanted, case, fault)
    folder = wanted.state / "rehearsals" / score.rehearsal
    folder.mkdir(parents=True, mode=0o700)
    runs = Runs(wanted.project, wanted.system, wanted.runbook, wanted.state, observer, score.runs)
    act = Act(wanted, case(), fault, score, runs, Stages(score.stages, say))
    try:
        applied = act.play()
        if wanted.abort_each and applied and fault.ends == "verified":
            _abort_each(act, applied)
        _note_content(act)
        score.passed = True
    except StageFailedError:
        score.passed = False
    finally:
        score.ended = datetime.now(UTC).isoformat(timespec="seconds")
        write_whole(folder / "rehearsal.json", json.dumps(asdict(score), indent=1).encode())
    return score, folder


def _blank(wanted: Wanted, case: type[Case], fault: Symptom) -> Score:
    return Score(
        new_run_id(), wanted.system, wanted.runbook, fault.name, isolation.described(),
        faults=[one.name for one in case.symptoms], kind=fault.kind, mitigation=fault.mitigation,
        ends=fault.ends if fault.mitigation else "diagnosed", target_s=wanted.target_s,
        commit=origin.commit(wanted.project.root)[0] or "", machine=machine(),
    )  # fmt: skip


def _note_content(act: Act) -> None:
    """Note which files all this is a proof of."""
    wanted, score = act.wanted, act.score
    folders = [state.run_folder(wanted.state, run).path for run in score.runs]
    with act.stages.stage("content: what was rehearsed") as told:
        # A run that was killed at once may have noted nothing yet; the others loaded the same.
        whole = [folder for folder in folders if (folder / "loaded.json").exists()]
        must(bool(whole), "no run noted what it loaded: is the callback `loaded` on?")
        score.content = proof.content_of(wanted.project.root, whole)
        score.content_sha256 = proof.content_sha256(score.content)
        told(f"{len(score.content)} files and folders, {score.content_sha256[:12]}")


def _abort_each(act: Act, applied: Mapping[str, Any]) -> None:
    """Kill a run at each step that the applied one changed something in, and see what becomes of it."""
    wanted, score = act.wanted, act.score
    killer = Killer(act.runs, type(act.case), act.fault, wanted.stack)
    score.nothing_left = score.resumed_repeats_nothing = True
    in_turn = [turns(applied, behind=not wanted.in_steps)]
    # What belongs together shares a stand-in.
    for together in in_turn if wanted.in_turn else [[point] for point in points(applied)]:
        with contextlib.closing(killer.kill(together)) as kills:
            for point in together:
                _killed(act, point, kills)


def _killed(act: Act, point: Point, kills: Iterator[Kill]) -> None:
    score = act.score
    with act.stages.stage(f"killed {point.when}: {point.identity[0]}") as told:
        done = next(kills)
        score.kills.append(done)
        score.nothing_left = bool(score.nothing_left) and done.lock_free and not done.left
        score.resumed_repeats_nothing = bool(score.resumed_repeats_nothing) and done.good
        must(not done.left, f"left after the kill: {'; '.join(done.left)}")
        must(done.lock_free or bool(done.problem), "the lock is still held")
        must(not done.repeated, f"the resumed run repeated: {', '.join(done.repeated)}")
        must(not done.problem, done.problem)
        told(f"nothing left and the lock free after {done.freed_after_s:.1f} s; resumed, {done.resumed}")
