# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the engine does to a step before it begins: not twice, not for ever, and findable on its host.

Ansible hands the callback the very task that its workers get, before any host gets it. So every runbook has
this, at every door, and none has to do anything for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook_engine import lineage
from runbook_engine.pick import PHASES, effect_of, is_formality, phase_of, step_name

try:
    # Since ansible-core 2.19 a condition or template has to say that it may be evaluated.
    from ansible.template import trust_as_template as _trusted
except ImportError:

    def _trusted(value: str) -> str:
        return value


MARK = "ONCALL_STEP"
"""Environment variable of every process that a step starts on its host: `<run>/<host>`."""


class Steering:
    """Steers the tasks of one run."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._limits: Mapping[str, int] = {}
        self._ask = ""
        self._applies = False
        self._done: dict[lineage.Identity, str] = {}
        self._seen = lineage.Identities()

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take over what an event says: time limits, who is asked about a step, and what is not repeated."""
        if kind == "run.opened":
            self._limits, self._ask = data.get("timeouts") or {}, str(data.get("outcome") or "")
        elif kind == "gate":
            self._applies = data.get("mode") == "apply"
            done = (data.get("resume") or {}).get("done") or ()
            self._done = {lineage.identity_of(told): f"{told['run']}/{told['step']}" for told in done}

    def steer(self, task: Any) -> None:
        """Add to a task that is about to be handed to its hosts what the run demands of it."""
        phase, effect = phase_of(task.tags), effect_of(task.tags)
        if phase in ("", "engine"):
            return
        if lineage.is_counted(phase, effect):
            self._skip_where_done(task)
        if is_formality(task.action):
            return
        limit = self.limit_of(phase, effect)
        if limit and not task.timeout:
            task._timeout = limit
        # Whatever has to be ended early is found by this, also what left its process group.
        mark = {MARK: _trusted(self._run + "/{{ inventory_hostname }}")}
        task._environment = [*_own(task, "_environment"), mark]

    def limit_of(self, phase: str, effect: str) -> int:
        """Return the seconds that such a step may take, 0 = no limit; the mitigation's own counts first."""
        own = self._limits.get("mitigation", 0) if lineage.is_counted(phase, effect) else 0
        return (own or self._limits.get("step", 0)) if phase in PHASES else 0

    def begun(self, task: Any, host: str) -> dict[str, Any]:
        """Count a step that begins; return `{intent}` when its host can be asked later what it did."""
        phase, effect = phase_of(task.tags), effect_of(task.tags)
        if not lineage.is_counted(phase, effect):
            return {}
        self._seen.count(step_name(task.name or task.action), task.action, host)
        role = task._role.get_name() if task._role else ""
        asked = self._ask.partition("/")[0]
        known = self._applies and role and role.rsplit(".", 1)[-1] == asked.rsplit(".", 1)[-1]
        return {"intent": {"ask": self._ask}} if known else {}

    def done_before(self, task: Any, host: str) -> str:
        """Return which step of which run did this already (`RUN/STEP`); "" when none did."""
        name, action = step_name(task.name or task.action), task.action
        # It was counted when it began: the one that is meant is the last one counted.
        return self._done.get(self._seen.last(name, action, host), "")

    def _skip_where_done(self, task: Any) -> None:
        name, action = step_name(task.name or task.action), task.action
        hosts = sorted(i[2] for i in self._done if self._seen.next(name, action, i[2]) == i)
        if hosts:
            task._when = [*_own(task, "_when"), _trusted(f"inventory_hostname not in {hosts!r}")]


def _own(task: Any, attribute: str) -> list[Any]:
    """What the task itself says, without what it inherits: that stays in force by itself."""
    value = getattr(task, attribute, None)
    return list(value) if isinstance(value, list) else []
