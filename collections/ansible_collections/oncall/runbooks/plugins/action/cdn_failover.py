# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send traffic to another origin, from the controller: the credentials and the outside view are here."""

from __future__ import annotations

__metaclass__ = type

import os
from typing import Any, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.edge.choose import choose_provider
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.failover import Wish, switch
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.outside import Probe, prove
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction
from ansible_collections.oncall.runbooks.plugins.plugin_utils.progress_file import ProgressFile

SECRETS = frozenset({"token", "access_key", "secret_key", "session_token", "headers"})


class ActionModule(ControllerAction):
    """`oncall.runbooks.cdn_failover`."""

    MODULE = "oncall.runbooks.cdn_failover"
    SECRETS = SECRETS

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Switch and return the result; raises OncallError, `changed` when traffic may have moved."""
        if not options["probe"]:
            raise UsageError(
                "send traffic to another origin",
                got="there is no probe, so nobody would see whether it went there",
                next_step="set probe.url to an address that the origins serve",
            )
        host = str(task_vars.get("inventory_hostname", ""))
        progress = ProgressFile.from_environment(os.environ.get("ONCALL_RUN_ID", ""), host)
        probe = Probe.from_options(options["probe"])
        return switch(
            choose_provider(options),
            _wish(options),
            lambda target: prove(probe, target),
            check_mode=bool(self._task.check_mode),
            # Should this process be killed in mid-switch, the state before it is in the run's folder.
            keep=lambda undo: progress.append({"phase": "switch", "text": "switching", "undo": undo}),
        )

    def about_failure(self, error: OncallError) -> Dict[str, Any]:
        """Say whether traffic is as it was, and how it is taken back when it is not."""
        return {"left_unchanged": not error.changed, **({"undo": error.undo} if error.undo else {})}


def _wish(options: Mapping[str, Any]) -> Wish:
    before = options["before"]
    back = options["state"] == "failed_back"
    if before and (not back or not isinstance(before.get("settings"), dict) or "active" not in before):
        raise UsageError(
            "use the option before",
            got="it is only for failed_back, and has active and settings as an undo recorded them",
            next_step="hand over undo.args.before of the earlier switch, or leave it out",
        )
    return Wish(
        back=back,
        target=options["target"],
        primary=options["primary"],
        before=before,
        force_reason=options["force_reason"].strip(),
    )
