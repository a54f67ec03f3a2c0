"""Runs of the real playbook on a stand-in: with the shipped inventory of the system and its overlay."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook_engine.ids import new_run_id
from runbook_engine.state import RunFolder, run_folder

from runbook import runner
from runbook.project import Project
from runbook.rehearsal import isolation, outside
from runbook.rehearsal.processes import die_with_parent
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.stages import StageFailedError, must
from runbook.runner_environment import child_environment


class Quiet:
    """An observer of a run that shows nothing."""

    def started(self, folder: RunFolder) -> None:
        """Nothing to show."""

    def poll(self) -> None:
        """Nothing to show."""

    def stopping(self, now: bool) -> None:
        """Nothing to show."""

    def ended(self) -> None:
        """Nothing to show."""


def quiet(_phase: str) -> runner.Observer:
    """Return an observer that shows nothing."""
    return Quiet()


def ended(result: dict[str, Any], *exits: str) -> dict[str, Any]:
    """Return the result of a run; raise StageFailedError when it ended with none of `exits`; none: any."""
    found = result["exit"]
    must(
        not exits or found["name"] in exits,
        f"{found['name']} instead of {''.join(exits[:1])}: {found['reason']}",
    )
    return result


@dataclass
class Runs:
    """Runs `runbook` of `system`; `done` collects their ids."""

    project: Project
    system: str
    runbook: str
    state: Path
    observer: Callable[[str], runner.Observer] = quiet
    done: list[str] = field(default_factory=list)

    @property
    def inventories(self) -> tuple[Path, ...]:
        """The shipped inventory, and what lies over it; for containers one layer more."""
        shipped, over = self.project.inventories / self.system, self.project.inventories / "rehearsal"
        tier = isolation.tier()
        more = [] if tier == isolation.TIERS[0] else [over / f"{self.system}-{tier}"]
        return (shipped, over / self.system, *more)

    def folders(self) -> list[Path]:
        """Return the folders of the records of the runs so far."""
        return [run_folder(self.state, run).path for run in self.done]

    def run(
        self,
        stack: Stack,
        phase: str,
        variables: Mapping[str, Any],
        *,
        exits: Sequence[str],
        check: bool = False,
        skip: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Run it to its end and return its result, as `ended` does.

        check: predict only. skip: tags of tasks that are left out.
        """
        playbook = self.project.playbook(self.runbook)
        request = runner.Request(
            self.project, playbook, self.inventories, self.state, variables, check, skip_tags=tuple(skip)
        )
        with outside.environment(REHEARSAL_STACK=str(stack.path)):
            outcome = runner.execute(request, self.observer(phase))
        self.done.append(outcome.run)
        if outcome.result is None:
            raise StageFailedError(f"no record of run {outcome.run}: {outcome.output[-800:]}")
        return ended(outcome.result, *exits)

    @contextmanager
    def started(
        self, stack: Stack, variables: Mapping[str, Any]
    ) -> Iterator[tuple[RunFolder, subprocess.Popen[bytes]]]:
        """Start `ansible-playbook` itself, as one would without the wrapper; it ends with the block."""
        folder = run_folder(self.state, new_run_id())
        self.done.append(folder.run)
        with tempfile.TemporaryDirectory(prefix="rehearse-") as private:
            given = Path(private) / "variables.json"
            given.touch(mode=0o600)
            given.write_text(json.dumps(dict(variables)))
            command = [str(runner.program("ansible-playbook"))]
            command += [part for path in self.inventories for part in ("-i", str(path))]
            command += [str(self.project.playbook(self.runbook)), "--diff", "-e", f"@{given}"]
            # A file, because what outlives it when it is killed keeps its output open.
            with (Path(private) / "output").open("wb") as output:
                process = subprocess.Popen(
                    command, env=self._environment(stack, folder, Path(private)), stdin=subprocess.DEVNULL,
                    stdout=output, stderr=output, cwd=self.project.root, preexec_fn=die_with_parent,  # noqa: PLW1509
                )  # fmt: skip
                try:
                    yield folder, process
                finally:
                    process.kill()
                    process.wait()

    def _environment(self, stack: Stack, folder: RunFolder, private: Path) -> dict[str, str]:
        known = {**os.environ, "REHEARSAL_STACK": str(stack.path)}
        return child_environment(self.project, self.inventories, private, known) | {
            "RUNBOOK_RUN_ID": folder.run,
            "RUNBOOK_STATE": str(self.state),
        }
