# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The live view of a run, drawn from its record: one line per step, a bar for long ones."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from runbook_engine import record, state
from runbook_engine.reduce import PHASES

from runbook.output_text import SEVERITY_ORDER, STATUS_STYLE, clock, is_formality, seconds, shorten

_PLAIN_PROGRESS_S = 5.0
_PHASE_WIDTH = 9
_FIRST = 6  # findings of one step that are told at once
_WORST_FIRST = ("unreachable", "failed", "rescued", "ignored", "started", "changed", "ok", "skipped")


@dataclass
class StepView:
    """One step on all its hosts, as far as it is."""

    key: int
    name: str
    phase: str
    action: str
    hosts: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)
    duration_s: float = 0.0

    @property
    def status(self) -> str:
        """The worst status among the hosts."""
        return next((status for status in _WORST_FIRST if status in self.hosts.values()), "started")

    @property
    def shown(self) -> bool:
        """Whether the operator wants to read it: what failed, and the runbook's own steps that ran."""
        if self.status in ("failed", "unreachable"):
            return True
        return (
            self.phase in PHASES and self.status != "skipped" and not is_formality(self.action, self.status)
        )

    def alarming(self) -> list[dict[str, Any]]:
        """What a diagnosing step found that is not as it should be, the worst first."""
        alarming = SEVERITY_ORDER[:-1] if self.phase == "diagnose" else ()
        return [f for status in alarming for f in self.findings if f.get("status") == status]

    def counts(self) -> str:
        """How many hosts ended how, e.g. `2 ok, 1 failed`; with one host only the word."""
        if len(self.hosts) == 1:
            return next(iter(self.hosts.values()))
        values = list(self.hosts.values())
        return ", ".join(f"{values.count(s)} {s}" for s in _WORST_FIRST if s in values)


class Steps:
    """Folds the events of a run into steps, which come one after the other: a new one ends the one before."""

    def __init__(self) -> None:
        self.current: StepView | None = None

    def feed(self, event: dict[str, Any]) -> StepView | None:
        """Take one event; return the step that it brought to its end."""
        kind, data = event["type"], event["data"]
        ended = None
        if kind == "step.started":
            if self.current is None or self.current.key != data["step"]:
                ended = self.current
                self.current = StepView(data["step"], data["name"], data["phase"], data["action"])
            self.current.hosts[data["host"]] = "started"
        elif kind == "step.finished" and self.current is not None and self.current.key == data["step"]:
            self.current.hosts[data["host"]] = data["status"]
            self.current.findings += data.get("findings") or []
            self.current.duration_s = max(self.current.duration_s, data.get("duration_s") or 0.0)
            if data["status"] in ("failed", "ignored", "unreachable"):
                self.current.messages[data["host"]] = str(data.get("msg") or "no message")
        elif kind in ("run.finished", "run.refused"):
            ended, self.current = self.current, None
        return ended


class LiveView:
    """Shows a run while it runs. `target_s`: the recovery target in seconds, None when there is none."""

    def __init__(self, console: Console, target_s: float | None, began: float | None = None) -> None:
        self._console = console
        self._target = target_s
        self._began = time.monotonic() if began is None else began
        self._steps = Steps()
        self._offsets = [0, 0]
        self._folder: state.RunFolder | None = None
        self._progress: dict[str, Any] = {}
        self._said = 0.0
        self._note = ""
        self._noted = True
        self._live: Live | None = None

    def started(self, folder: state.RunFolder) -> None:
        """Begin to look at `folder`."""
        self._folder = folder
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._footer, console=self._console, transient=True, refresh_per_second=8
            )
            self._live.start()

    def poll(self) -> None:
        """Draw what is new."""
        if not self._noted:
            # Not in `stopping`: that is called from a signal handler, which may have cut into a print.
            self._noted = True
            self._console.print(Text(f"{self._clock()}  {self._note}"))
        if self._folder is None:
            return
        for event in self._new(self._folder.events, 0):
            ended = self._steps.feed(event)
            if ended is not None:
                self._line(ended)
        for progress in self._new(self._folder.progress, 1):
            self._progress = {**progress, "step": self._steps.current.key if self._steps.current else None}
        if self._live is None:
            self._plain_progress()

    def stopping(self, now: bool) -> None:
        """Say that a stop was asked for."""
        self._note = "stopping now" if now else "finishing the current step; Ctrl-C again to stop it now"
        self._noted = False

    def ended(self) -> None:
        """Draw the last step and leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
        if self._steps.current is not None:
            self._line(self._steps.current)
            self._steps.current = None

    def _new(self, path: Any, which: int) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        with contextlib.suppress(OSError):
            lines, self._offsets[which] = record.tail(path, self._offsets[which])
        return lines

    def _clock(self) -> str:
        return clock(time.monotonic() - self._began)

    def _line(self, step: StepView) -> None:
        if not step.shown:
            return
        style = STATUS_STYLE.get(step.status, "")
        width = self._console.width
        right = f"{step.counts()}  {seconds(step.duration_s):>6}"
        left = f"{self._clock()}  {step.phase:<{_PHASE_WIDTH}} "
        room = max(10, width - len(left) - len(right) - 2)
        name = shorten(step.name, room)
        line = Text(left, style="dim")
        line.append(f"{name:<{room}}  ", style="not dim")
        line.append(right, style=f"not dim {style}")
        self._console.print(line, no_wrap=True, overflow="crop")
        for host, message in step.messages.items():
            said = Text(f"{host}: {message}", style=style)
            self._console.print(Padding(said, (0, 0, 0, 7)))
        self._first_findings(step)

    def _first_findings(self, step: StepView) -> None:
        """Say what is wrong as soon as it is measured: all findings follow when the run has ended."""
        alarming = step.alarming()
        for finding in alarming[:_FIRST]:
            host = f"{finding.get('host')}: " if len(step.hosts) > 1 else ""
            line = Text("       ")
            line.append(f"{finding['status']:<8}", style=STATUS_STYLE[finding["status"]])
            line.append(f"{finding.get('check')}  {host}{finding.get('summary')}")
            line.truncate(self._console.width, overflow="ellipsis")
            self._console.print(line, no_wrap=True)
        if len(alarming) > _FIRST:
            more = f"       and {len(alarming) - _FIRST} more, listed at the end"
            self._console.print(Text(more, style="dim"))

    def _running(self) -> dict[str, Any]:
        """What the long step at hand says of itself."""
        current = self._steps.current
        return self._progress if current and self._progress.get("step") == current.key else {}

    def _plain_progress(self) -> None:
        said = self._running().get("text")
        if said and time.monotonic() - self._said >= _PLAIN_PROGRESS_S:
            self._said = time.monotonic()
            self._console.print(Text(f"{self._clock()}  {said}"))

    def _footer(self) -> RenderableType:
        current = self._steps.current
        name = current.name if current and current.phase in PHASES else "Preparing"
        first = Table.grid(padding=(0, 1), expand=True)
        first.add_column(width=1)
        first.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        first.add_column(justify="right", no_wrap=True)
        first.add_row(Spinner("dots"), Text(name, style="bold"), Text(self._against_target()))
        return Group(first, *self._details())

    def _details(self) -> list[RenderableType]:
        running = self._running()
        rows: list[RenderableType] = []
        if running.get("total"):
            bar = ProgressBar(total=running["total"], completed=running.get("bytes") or 0)
            # Padded: without colours a bar that is not full ends no line.
            rows.append(Padding(bar, 0))
        if running.get("text"):
            rows.append(Text(f"  {running['text']}", style="dim"))
        if self._note:
            rows.append(Text(f"  {self._note}", style="yellow"))
        return rows

    def _against_target(self) -> str:
        return f"{self._clock()} of {clock(self._target)}" if self._target else self._clock()
