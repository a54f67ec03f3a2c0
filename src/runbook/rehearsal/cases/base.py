"""What a rehearsal needs to know of one runbook: a *case*. `rehearse.py` knows the order of stages and this.

A new case is one file `cases/<system>/<runbook, with _ for ->.py` that ends in `CASE = <its subclass of
Case>`; it is found by its name. A new fault is one function (or two: break, take back) in `symptoms/` and
one `Symptom` in the case's list. A `Case` lives for one rehearsal, so it may remember things between calls.

| stage | asks the case | passes when |
| --- | --- | --- |
| up and healthy | `healthy` | it returns a phrase (`problem_outside` said "") |
| control (on request) | `always_fails` | diagnose finds nothing else failing, and recommends nothing |
| fault | `picture`, `Symptom.inject`, `problem_outside` | somebody outside notices the fault |
| diagnose | `always_fails` | each check in `Symptom.finds` fails, each in `unsure` could not be measured |
| recommend | | `Symptom.expects` is the first mitigation advised (`expects=""`: none is) |
| plan (if there is a mitigation) | `parameters` | predicted; problem and picture are still the same |
| control (on request) | | with its changing steps left out, a run is not verified |
| apply | `parameters`, `loss`, `Symptom.later` | the run ends as `Symptom.ends` says |
| predicted = applied | | of each step that changed something, the plan had said so, with its diff |
| verify (`ends` verified) | `verified` | it returns no problem |
| left as declared (other `ends`) | `differences` | nothing differs, if the run says so |
| go on (if `then`) | `Symptom.relief`, `verified` | the run is resumed, or started again, and now verified |
| undo (if `undoes`) | `Symptom.heal` before it (if `heals_first`) | the run ends `undone` |
| compare (if `undoes`) | `picture`, `differences` | nothing differs from the picture before the mitigation |

The picture is taken before the fault; with `damages` again with the fault in. After the plan it is compared
only for `damages` and `undoes`, because a server that is down cannot be looked at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from runbook.rehearsal.processes import StandInError
from runbook.rehearsal.score import KINDS
from runbook.rehearsal.stack import Stack

Action = Callable[[Stack], None]

ENDS = {
    "verified": "verified",
    "not verified": "verification_failed",
    "refused": "refused",
    "failed, undone": "failed_undone",
    "failed": "failed",
}
"""How an applied run may have to end, and what its record calls that."""


@dataclass(frozen=True)
class Symptom:
    """One fault, as the people who are called see it.

    inject breaks the stack; heal undoes exactly that (None: only the runbook can).
    kind: one of score.KINDS.
    expects: the mitigation that is right for it. "" for none: then it is rehearsed only with `finds` or
    `unsure`, as one that is found and for which this runbook rightly has nothing.
    asks: the mitigation that a person decides for although it is not advised (then `expects` is ""), or
    although another one comes first.
    finds: checks that must be among those that fail; unsure: among those that could not be measured.
    damages: it changes what the picture shows, so what follows is compared with the picture that has it in.
    undoes: the mitigation is taken back, and the picture has to be as before.
    heals_first: not before the cause is gone, as when traffic goes back to an origin.
    later: breaks something more when the plan is made, just before it is applied.
    ends: one of ENDS; in the plan already if `in_plan`. says: words that the reason of that end must have.
    parts: what of the stack it needs beside those of its case.
    then: how the operator goes on once `relief` has taken the cause away, `resume` or `again`; it has to end
    verified. "" where nothing has to follow.
    """

    name: str
    describe: str
    inject: Action
    heal: Action | None = None
    kind: str = KINDS[0]
    expects: str = ""
    asks: str = ""
    finds: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    damages: bool = False
    undoes: bool = False
    heals_first: bool = False
    later: Action | None = None
    ends: str = "verified"
    in_plan: bool = False
    says: str = ""
    parts: frozenset[str] = frozenset()
    relief: Action | None = None
    then: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.ends not in ENDS or self.then not in ("", "resume", "again"):
            raise ValueError(f"{self.name}: no such kind, end or way to go on")

    def run(self, what: str, stack: Stack) -> None:
        """Inject (`fault`) or take back (`heal`); raises StandInError where it cannot be taken back."""
        action = self.inject if what == "fault" else self.heal
        if action is None:
            raise StandInError(f"{self.name} cannot be taken back: that is what the runbook is for")
        action(stack)

    @property
    def mitigation(self) -> str:
        """The mitigation that is applied, "" for none."""
        return self.asks or self.expects


@dataclass(frozen=True)
class Loss:
    """What a mitigation gives up: everything written in the last `window_s` seconds, `rows` rows of it."""

    window_s: float = 0.0
    rows: int = 0


class Case(ABC):
    """How one runbook is rehearsed. Whatever of it needs the stack may raise StandInError.

    runbook: its name. parts: what of the stack it needs (see stack.PARTS).
    default: the fault of a plain rehearsal. symptoms: every fault, in the order in which they are listed.
    includes: mitigation → others that it does, too, each step with the same options: whoever rehearses and
    kills its runs has done so with theirs. same_steps: mitigation → others of which each step is the same
    task as one of its own, with other options: only the kills count for them.
    always_fails: checks that rightly fail on the healthy stand-in, because it holds such a thing on purpose.
    """

    runbook: ClassVar[str]
    parts: ClassVar[frozenset[str]]
    default: ClassVar[str]
    symptoms: ClassVar[tuple[Symptom, ...]]
    includes: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    same_steps: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    always_fails: ClassVar[frozenset[str]] = frozenset()
    # Folders of the records of the runs that changed the stack, the newest last.
    records: Sequence[Path] = ()

    @classmethod
    def needs(cls, fault: Symptom) -> frozenset[str]:
        """Return what of the stack it needs to be rehearsed with `fault`."""
        return cls.parts | fault.parts

    @abstractmethod
    def problem_outside(self, stack: Stack) -> str:
        """Do what a user of the system does; return what goes wrong, "" when all is well."""

    def healthy(self, stack: Stack) -> str:
        """Prove that the stand-in is well before anything is broken; return one phrase about it."""
        problem = self.problem_outside(stack)
        if problem:
            raise StandInError(f"the healthy stand-in does not serve: {problem}")
        return str(stack.facts["isolation"])

    def picture(self, stack: Stack) -> Any:  # noqa: ARG002
        """Take the state that belongs to this runbook: rows, schema, files, settings; plain data."""
        return None

    def differences(self, before: Any, after: Any, *, undone: bool = False) -> list[str]:  # noqa: ARG002
        """Return one sentence per difference; undone: after an undo, which may leave things beside."""
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            return changed(before, after, before.keys() | after.keys())
        return [] if before == after else ["the state is not what it was"]

    def parameters(self, stack: Stack, fault: Symptom) -> dict[str, Any]:  # noqa: ARG002
        """Return the extra variables that the mitigation needs from the operator."""
        return {}

    def loss(self, stack: Stack, fault: Symptom) -> Loss:  # noqa: ARG002
        """Return what the mitigation will give up; asked just before it is applied."""
        return Loss()

    def verified(self, stack: Stack, fault: Symptom, before: Any) -> list[str]:
        """Return what is still wrong after the mitigation; `before` is the picture to compare with."""
        problem = self.problem_outside(stack)
        found = [f"outside still sees: {problem}"] if problem else []
        if fault.undoes or fault.damages:
            return found
        return found + self.differences(before, self.picture(stack))

    @property
    def proof(self) -> str:
        """One sentence on what an empty `verified` proves."""
        return "the system serves, and nothing of it is another"


def changed(before: Mapping[str, Any], after: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return one sentence for each of `names` that is another after than before."""
    return [f"{name} is not what it was" for name in sorted(names) if before.get(name) != after.get(name)]
