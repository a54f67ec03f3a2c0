# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make an emergency write with a break-glass token, which never leaves this process."""

from __future__ import annotations

__metaclass__ = type

import getpass
import os
import socket
from typing import Any, Dict, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.access.calls import (
    Call,
    Why,
    require_objects,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.access.client import Administration
from ansible_collections.oncall.runbooks.plugins.module_utils.access.writes import Emergency, revoke_open
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction
from ansible_collections.oncall.runbooks.plugins.plugin_utils.progress_file import ProgressFile


class ActionModule(ControllerAction):
    """`oncall.runbooks.break_glass_write`."""

    MODULE = "oncall.runbooks.break_glass_write"
    SECRETS = frozenset({"password"})
    _work: Optional[Emergency] = None

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Write, take back, or revoke, and return the result without any token."""
        check_mode = bool(self._task.check_mode)
        if options["state"] == "revoked":
            return revoke_open(Administration(options), options["tokens"], check_mode=check_mode)
        run = os.environ.get("ONCALL_RUN_ID", "")
        call = Call.chosen(options["calls"], options["call"])
        why = Why.from_options(options, "%s@%s" % (getpass.getuser(), socket.gethostname()), run)
        progress = ProgressFile.from_environment(run, str(task_vars.get("inventory_hostname", "")))

        def keep(access: Mapping[str, Any]) -> None:
            # Should this process be killed now, the run's folder tells which token is good, and until when.
            text = "token %(id)s is good until %(until)s" % access
            progress.append({"phase": "access", "text": text})

        self._work = work = Emergency(Administration(options), call, why, keep)
        if options["state"] == "undone":
            return work.take_back(options["ledger"], check_mode=check_mode)
        objects = require_objects(options["objects"], options["limit"])
        return work.write(objects, check_mode=check_mode)

    def about_failure(self, error: OncallError) -> Dict[str, Any]:
        """Say whether something was written, how it is taken back, and which token there was."""
        told = {"undo": error.undo, "evidence": self._work.evidence if self._work else []}
        return {"left_unchanged": not error.changed, **{name: said for name, said in told.items() if said}}
