"""What is to be rehearsed, and how thoroughly."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from runbook.project import Project
from runbook.rehearsal import stack
from runbook.rehearsal.score import TARGET_S


@dataclass(frozen=True)
class Wanted:
    """What to rehearse.

    `fault`: "" for the default of the runbook's case. `target_s`: seconds from the alarm to verified that the
    system promises. `control`: first prove that the runbook finds nothing to do on a healthy stand-in, and
    that it is not verified without its changes. `undo`: take back whatever can be taken back, also where the
    fault does not ask for it. `abort_each`: kill runs at each changing step and resume them; `in_turn`:
    all on one stand-in, each the run that resumes the one before it; `in_steps`:
    in the steps only, not after the last one, too. `straight`: no run of its own that only
    diagnoses, because the plan does so too, and no second plan once the first apply has failed. `standing`:
    the stack.json of a stand-in that is up already, and stays; else one is made.
    """

    project: Project
    system: str
    runbook: str
    state: Path
    fault: str = ""
    stack: stack.Options = field(default_factory=stack.Options)
    target_s: float = TARGET_S
    control: bool = False
    undo: bool = False
    abort_each: bool = False
    in_turn: bool = False
    in_steps: bool = False
    straight: bool = False
    standing: Path | None = None
