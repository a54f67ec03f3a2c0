"""An action with credentials: when it is refused its error quotes them, as a bad driver's does."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """`secrets` and `dsn` are used; with `refused` it fails and tells them all."""

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        if not str(self._task.args["secrets"]):
            return {"failed": True, "msg": "There is no secret."}
        if not self._task.args.get("refused"):
            return {"changed": False}
        told = f"could not connect to {self._task.args['dsn']} with {self._task.args['secrets']}"
        error = {"kind": "login", "tried": told, "object": told, "got": told, "next_step": told}
        return {"failed": True, "msg": told, "error": error, "evidence": [{"name": "log", "content": told}]}
