# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of a rotation: the run's id, and vendors, whose credentials stay here."""

from __future__ import annotations

__metaclass__ = type

import os
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.aws_secret import AwsSecret
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.render import (
    RenderDeploy,
    RenderSetting,
    client_of,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.rotate import Rotation, carry_out
from ansible_collections.oncall.runbooks.plugins.plugin_utils.action_support import ControllerAction, new_run


class ActionModule(ControllerAction):
    """`oncall.runbooks.secret_rotate`."""

    MODULE = "oncall.runbooks.secret_rotate"
    SECRETS = frozenset({"access_key", "secret_key", "session_token", "token", "login"})

    def act(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        """Rotate where the secret lives, and return the result."""
        if options["state"] == "rotated":
            options["run"] = options["run"] or os.environ.get("ONCALL_RUN_ID") or new_run()
        elif not options["run"]:
            next_step = "set run to the id of the run that rotated"
            raise UsageError("take a rotation back", got="no run is named", next_step=next_step)
        kind = options["destination"]["kind"]
        if kind == "env_file":
            return self._on_target(options, task_vars)
        rotation = (self._at_render if kind == RenderSetting.kind else self._at_aws)(options, task_vars)
        return carry_out(rotation, options, check_mode=bool(self._task.check_mode))

    def _on_target(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
        result: Dict[str, Any] = self._execute_module(
            module_name=self.MODULE, module_args=options, task_vars=dict(task_vars)
        )
        result.pop("invocation", None)
        if result.get("failed") and "error" in result:
            result["left_unchanged"] = not result.get("changed")
        return result

    def _at_render(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Rotation:  # noqa: ARG002
        if options["services"]:
            raise UsageError(
                "exchange a secret at Render",
                got="services of a host are named, and Render starts its own by a deploy",
                next_step="leave services empty",
            )
        where = options["destination"]
        client = client_of(where)
        deploy = RenderDeploy(where, client, timeout=options["timeout"])
        return Rotation.from_options(options, RenderSetting(where, client), deploy)

    def _at_aws(self, options: Dict[str, Any], task_vars: Mapping[str, Any]) -> Rotation:
        if not options["destination"]["secret_id"]:
            raise UsageError(
                "rotate a secret in AWS", got="no secret is named", next_step="set destination.secret_id"
            )
        consumers = _Remote(self, options, task_vars)
        return Rotation.from_options(options, AwsSecret(options["destination"]), consumers)

    def about_failure(self, error: OncallError) -> Dict[str, Any]:
        """Say whether the old secret is still in place, and how it is put back when it is not."""
        return {"left_unchanged": not error.changed, **({"undo": error.undo} if error.undo else {})}

    def restart(self, arguments: Dict[str, Any], task_vars: Mapping[str, Any], *, check_mode: bool) -> Any:
        """Run `service_restart` on the target; raises OncallError with what it says."""
        before, self._task.check_mode = self._task.check_mode, check_mode
        try:
            result = self._execute_module(
                module_name="oncall.runbooks.service_restart",
                module_args=arguments,
                task_vars=dict(task_vars),
            )
        finally:
            self._task.check_mode = before
        if result.get("failed"):
            told = result.get("error") or {}
            raise OncallError(
                "start %s again" % arguments["runtime"].get("name"),
                got=str(told.get("got") or result.get("msg")),
                next_step=str(told.get("next_step") or "look at the service"),
            )
        return result


class _Remote:
    """Services of the target; what is started again there is told no secret."""

    def __init__(
        self, action: ActionModule, options: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> None:
        self._action, self._options, self._task_vars = action, options, task_vars
        self.names = [str(one["name"]) for one in options["services"]]

    def look(self) -> None:
        for service in self._options["services"]:
            self._restart(service, check_mode=True)

    def recreate(self, secrets: Sequence[str]) -> List[Dict[str, Any]]:  # noqa: ARG002 - it never left here
        done = [self._restart(service, check_mode=False) for service in self._options["services"]]
        return [entry for one in done for entry in one["evidence"]]

    def _restart(self, service: Mapping[str, Any], *, check_mode: bool) -> Any:
        passed = {name: self._options[name] for name in ("evidence_dir", "stop_timeout", "timeout")}
        arguments = {"runtime": service["runtime"], "health": service["health"], "recreate": True, **passed}
        return self._action.restart(arguments, self._task_vars, check_mode=check_mode)
