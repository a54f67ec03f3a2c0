# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Show a run calmly: see DOCUMENTATION."""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible import context
from ansible.plugins.callback import CallbackBase

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runbook_engine import current, render
from runbook_engine.errors import EngineError
from runbook_engine.pick import is_formality, phase_of, picked, step_name
from runbook_engine.reduce import findings_of
from runbook_engine.state import RunFolder, load_result

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

DOCUMENTATION = r"""
name: console
type: stdout
short_description: Shows a run calmly
version_added: 0.1.0
author: the oncall.runbooks authors (@oncall-runbooks)
description:
  - One line per step and host, a heading per phase, the findings as a table, the recommended mitigations,
    the plan, and at the end the state, the next step and the result's path. 80 columns; honours E(NO_COLOR).
  - Steps that were skipped and the engine's own steps are not shown, except with C(-v).
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Turns what Ansible reports into lines."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "console"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._color = render.use_color()
        self._phase = ""
        self._begun: dict[tuple[str, str], float] = {}
        self._runbook: dict[str, Any] | None = None
        self._closed = False
        self._folder: RunFolder | None = None
        self._pid = os.getpid()
        # The record registers later, so it has written the result of an interrupted run when this is called.
        atexit.register(self._interrupted)

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Say what runs."""
        plays = playbook.get_plays()
        header = plays[0].vars.get("runbook") if plays else None
        self._runbook = header if isinstance(header, dict) else None
        if self._runbook:
            mode = " (check: nothing is changed)" if context.CLIARGS.get("check") else ""
            self._say(f"{self._runbook.get('title')}{mode}")

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """A playbook that is no runbook gets its plays as headings."""
        if self._runbook and self._folder is None:
            with contextlib.suppress(EngineError):
                self._folder = current.current_run()
        if not self._runbook:
            self._say("", render.heading(play.get_name()))

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Never silent: an empty play is no success."""
        self._display.warning("A play has no host, so nothing of it ran.")

    def v2_runner_on_start(self, host: Any, task: Task) -> None:
        """Begin the step's clock."""
        self._begun[task._uuid, host.get_name()] = time.monotonic()

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """A step ended well."""
        # The names with an underscore are those that Ansible before 2.19 has, too.
        self._handle_warnings(result._result)
        facts = result._result.get("ansible_facts")
        role = result._task._role.get_name() if result._task._role else ""
        if role == "run" and isinstance(facts, dict):
            self._engine(facts)
        if self._is_shown(result._task) or self._display.verbosity:
            self._step(result, self._word(result))
            if context.CLIARGS.get("diff") and not context.CLIARGS.get("check"):
                kept = picked(result._result, result._host.get_name())
                self._say(*(line for d in kept.get("diff", ()) for line in render.diff(d)))
        self._more(result)

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        """Skipped steps are in the record; here only with -v."""
        if self._display.verbosity:
            self._step(result, "skipped")

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Say the message whole, first and readable."""
        if self._closed:
            # The failure that closes a run says what the last lines say anyway.
            return
        self._handle_warnings(result._result)
        self._step(result, "ignored" if ignore_errors else "failed")
        self._say(*render.paragraph(self._message(result)))
        self._more(result)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Say which host is lost and what the connection said."""
        self._step(result, "unreachable")
        self._say(*render.paragraph(self._message(result)))

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        """Waiting is said, or it looks like hanging."""
        self._say(f"  … {result._task.name}: again ({result._result.get('attempts')})")

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """End a playbook that is no runbook with its hosts; a runbook ends with its state."""
        if self._runbook and self._show_end():
            return
        for host in sorted(stats.processed):
            counts = ", ".join(f"{k} {v}" for k, v in stats.summarize(host).items() if v)
            self._say(f"{host}: {counts}")

    def _interrupted(self) -> None:
        """The run ended early: say what is changed and how to go on. Workers inherit this handler."""
        folder, self._folder = self._folder, None
        if folder is None or os.getpid() != self._pid:
            return
        result = load_result(folder)
        if result is not None:
            self._say("", *render.closing(result, _near(folder.result)))

    def _show_end(self) -> bool:
        """The record ends after this callback is called, so the end is reduced from the events so far."""
        self._folder = None
        try:
            result, folder = current.result_so_far(), current.current_run().path
        except EngineError:
            return False
        command = _apply_command(result) if result["exit"]["name"] == "planned" else ""
        if result["plan"] and result["mode"] == "plan":
            self._say("", render.heading("Plan: nothing was changed"), *render.plan(result, command))
        self._say("", *render.closing(result, _near(folder / "result.json"), told=bool(command)))
        return True

    def _engine(self, facts: dict[str, Any]) -> None:
        """The engine's decisions are shown by what they say, not as steps."""
        self._closed = self._closed or "run_closed" in facts
        advice = facts.get("run_recommendation")
        if advice:
            events, _head = current.current_events()
            title = render.findings_title(current.result_so_far())
            self._say("", render.heading(title), *self._findings(findings_of(events)))
            self._say("", render.heading("Recommendation"), *render.recommendation(advice))
        taken = facts.get("run_lock_taken")
        if taken:
            # The record is told after the console, so it does not know of the lock yet.
            result = {**current.result_so_far(), "lock": taken}
            self._say("", render.heading("Gate: passed, the lock is taken"), *render.plan(result))

    def _findings(self, found: list[dict[str, Any]]) -> list[str]:
        return render.findings(found, self._color, whole=bool(self._display.verbosity))

    def _word(self, result: CallbackTaskResult) -> str:
        """In check mode nothing is changed, so nothing may say that it was."""
        if not result.is_changed():
            return "ok"
        return "would change" if context.CLIARGS.get("check") else "changed"

    def _step(self, result: CallbackTaskResult, status: str) -> None:
        task, host = result._task, result._host.get_name()
        phase = phase_of(task.tags)
        if phase not in ("", "engine", self._phase):
            self._phase = phase
            self._say("", render.heading(phase.capitalize()))
        began = self._begun.pop((task._uuid, host), None)
        took = time.monotonic() - began if began is not None else None
        self._say(*render.step(step_name(task.name or task.action), host, status, took, self._color))

    def _is_shown(self, task: Task) -> bool:
        if phase_of(task.tags) == "engine" or (task._role and task._role.get_name() == "run"):
            return False
        return not is_formality(task.action)

    def _message(self, result: CallbackTaskResult) -> str:
        return str(
            picked(result._result, result._host.get_name(), failed=True).get("msg", "hidden by no_log")
        )

    def _more(self, result: CallbackTaskResult) -> None:
        if self._display.verbosity:
            self._say(self._dump_results(result._result, indent=2))

    def _say(self, *lines: str) -> None:
        for line in lines:
            self._display.display(line)


def _apply_command(result: dict[str, Any]) -> str:
    """The command that applies the plan on the screen, with its paths as short as they can be typed here."""
    inventories = [part for path in context.CLIARGS.get("inventory") or () for part in ("-i", _near(path))]
    what = f"undo={result['undo']}" if result["undo"] else f"mitigation={result['mitigation']}"
    given = [what, *(f"{k}={v}" for k, v in result["parameters"].items()), f"confirm={result['system']}"]
    if (result["approval"] or {}).get("required"):
        given.append(f"plan_digest={result['plan']['digest']}")
    options = [part for value in given for part in ("-e", value)]
    limit = ["--limit", context.CLIARGS["subset"]] if context.CLIARGS.get("subset") else []
    playbook = _near(context.CLIARGS["args"][0]) if context.CLIARGS.get("args") else result["playbook"]
    return shlex.join(["ansible-playbook", *inventories, playbook, *limit, *options])


def _near(path: Any) -> str:
    """Return a path below this folder without it; a list of hosts stays what it is."""
    text = str(path)
    here = f"{Path.cwd()}/"
    return text.removeprefix(here) if text.startswith(here) else text
