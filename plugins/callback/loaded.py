# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Note what a rehearsal's run loads: see DOCUMENTATION."""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible import constants as C  # noqa: N812 - Ansible's own name for it
from ansible import context
from ansible.plugins.callback import CallbackBase

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runbook_engine import commands, current
from runbook_engine.loaded import Notes

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

DOCUMENTATION = r"""
name: loaded
type: aggregate
short_description: Notes what a rehearsal's run loads
version_added: 0.1.0
author: the oncall.runbooks authors (@oncall-runbooks)
description:
  - Writes C(loaded.json) into the folder of a run whose inventory is that of a stand-in. From it the
    rehearsal knows what it proved, to the file, so that an edit of any of them makes the proof stale. See
    C(docs/proof.md).
  - It notes names only, and nothing in any other run.
requirements:
  - enabled in C(callbacks_enabled), behind C(record)
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible ships no types
    """Collects paths and names while they are used."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "loaded"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._notes: Notes | None = None
        self._folder = Path()
        self._pid = os.getpid()
        atexit.register(self._write)

    def v2_playbook_on_play_start(self, _play: Play) -> None:
        """Begin with the first play of a run that is recorded, and goes to a stand-in."""
        inventories = {str(path) for path in context.CLIARGS.get("inventory") or ()}
        folder, playbook = os.environ.get(current.FOLDER), os.environ.get(current.PLAYBOOK)
        if self._notes is None and folder and playbook and commands.is_rehearsal(sorted(inventories)):
            self._folder = Path(folder)
            self._notes = Notes(Path(playbook).parent.parent, inventories=inventories)
            self._notes.files |= {playbook, *([str(C.CONFIG_FILE)] if C.CONFIG_FILE else [])}

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible's shape
        """Note the file that the task is in, its role and its action."""
        if self._notes is None:
            return
        path = task.get_path().rpartition(":")[0]
        if path:
            self._notes.files.add(path)
        self._notes.actions |= {str(task.action), str(task.resolved_action or task.action)}
        if task._role:
            self._notes.roles.add(str(task._role._role_path))

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """A handler is loaded like any other task."""
        self.v2_playbook_on_task_start(task, False)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:  # noqa: ARG002 - Ansible's shape
        """Write it at the end of the playbook."""
        self._write()

    def _write(self) -> None:
        """Also called when the process ends early; workers inherit it and must not."""
        notes, self._notes = self._notes, None
        if notes is None or os.getpid() != self._pid:
            return
        modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        notes.files |= {str(path) for path in modules if path and str(path).endswith(".py")}
        notes.write(self._folder)
