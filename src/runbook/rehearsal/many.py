"""Many rehearsals, some at the same time: each a process of its own, with a stand-in of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runbook.rehearsal.choice import Order
from runbook.rehearsal.processes import die_with_parent
from runbook.rehearsal.score import Score, Stage

_POLL_S = 0.1
_END_S = 30.0


def rehearse_all(
    wanted: Sequence[Order], options: Sequence[str], jobs: int, say: Callable[[Mapping[str, Any]], None]
) -> list[dict[str, Any]]:
    """Rehearse all of them, `jobs` at a time; return their scores as plain data in the order of `wanted`.

    options: what each one gets. say: is told each score as it comes. Whatever still runs ends with this call.
    """
    waiting, scores = list(wanted), dict[Order, dict[str, Any]]()
    with contextlib.ExitStack() as ends:
        place = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="rehearse-all-")))
        under_way: list[_Child] = []
        ends.callback(_end, under_way)
        while waiting or under_way:
            while waiting and len(under_way) < jobs:
                under_way.append(_Child(waiting.pop(0), options, place / str(len(waiting))))
            time.sleep(_POLL_S)
            for child in [child for child in under_way if child.process.poll() is not None]:
                under_way.remove(child)
                scores[child.order] = child.score()
                say(scores[child.order])
    return [scores[order] for order in wanted]


def _end(children: Iterable[_Child]) -> None:
    for child in children:
        child.end()


class _Child:
    """One rehearsal under way; what it prints goes to files."""

    def __init__(self, order: Order, options: Sequence[str], place: Path) -> None:
        self.order, self._place = order, place
        place.mkdir()
        command = [sys.executable, "-m", "runbook.cli", "rehearse", order.system, order.runbook]
        command += ["--fault", order.fault, "--json", *order.flags, *options]
        with (place / "score").open("wb") as score, (place / "said").open("wb") as said:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=score, stderr=said, start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call
            )  # fmt: skip

    def score(self) -> dict[str, Any]:
        """What it showed; one that ended without a score has failed."""
        told = (self._place / "score").read_text("utf-8", errors="replace")
        with contextlib.suppress(ValueError):
            found: dict[str, Any] = json.loads(told)
            if "stages" in found:
                return found
        # An error of the command goes there as well.
        order, said = self.order, (self._place / "said").read_text("utf-8", errors="replace") + told
        blank = Score("", order.system, order.runbook, order.fault, "")
        blank.stages.append(Stage("start", 0, problem=f"no score: {said.strip()[-600:]}"))
        return asdict(blank)

    def end(self) -> None:
        """End it and its stand-in."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_S)
        self.process.kill()
