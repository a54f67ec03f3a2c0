# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at what the inventory sets for a host, on the controller: see docs/proof.md.

Returns `findings`, and `asks`: what the host and its backups are to be asked, made of the variables. It
returns no secret.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runbook_engine import preflight, preflight_roles

# Without these nothing can be asked there.
_DATABASE = ("postgres_database", "postgres_login_user", "postgres_login_password")
_BACKUPS = (
    "backup_bucket",
    "backup_endpoint_url",
    "backup_pattern",
    "backup_access_key",
    "backup_secret_key",
)
_CONTAINERS = ("docker", "compose")
_LOCKS = "/run/oncall-runbooks"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible ships no types
    """Looks at variables, as a task would see them."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what is there and what is missing."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        root = _root()
        system = self._value("system")
        runbooks = sorted(system.get("runbooks") or {})
        used = preflight_roles.uses(root, runbooks)
        inventory = preflight.Inventory.read(root / "inventories" / system["name"])
        findings = [
            *preflight.variables(inventory, self._value, used, preflight_roles.given(root, runbooks)),
            *preflight.secrets(inventory, self._value),
            *preflight.messages(used, self._value),
        ]
        return result | {"changed": False, "findings": findings, "asks": self._asks()}

    def _asks(self) -> dict[str, Any]:
        """What this host is to be asked; of its database only where that can be logged in to."""
        database = self._in_group("database") and all(map(self._has, _DATABASE))
        runtime = self._or("postgres_runtime", {}) if database else {}
        services = [service["runtime"] for service in self._or("service_list", []) if "runtime" in service]
        paths = (
            [self._or(name, "") for name in ("postgres_data_path", "postgres_docker_root")]
            if database
            else []
        )
        return {
            "backups": all(map(self._has, _BACKUPS)),
            "database": self._value("postgres_database") if database else "",
            "runtimes": [*services, *([runtime] if runtime else [])],
            "packages": ["psycopg2"] if database else [],
            "paths": [path for path in paths if path] or ["/"],
            "folders": [self._or("run_lock_directory", _LOCKS)],
            "container": runtime.get("name", "") if runtime.get("kind") in _CONTAINERS else "",
            "engine": runtime.get("engine") or "docker",
            "client_dir": self._or("postgres_client_dir", ""),
        }

    def _or(self, name: str, other: Any) -> Any:
        """The value of a variable, `other` where it has none."""
        try:
            return self._value(name)
        except preflight.MissingError:
            return other

    def _in_group(self, group: str) -> bool:
        return group in (self._vars.get("group_names") or ())

    def _has(self, name: str) -> bool:
        return self._or(name, None) not in (None, "")

    def _value(self, name: str) -> Any:
        if name not in self._vars:
            raise preflight.MissingError("nothing sets it")
        try:
            return self._templar.template(self._vars[name])
        except AnsibleError as error:
            # The first line says what is missing; further ones may quote what a template was made of.
            said = str(getattr(error, "message", "") or error).splitlines()
            raise preflight.MissingError(said[0] if said else type(error).__name__) from None


def _root() -> Path:
    """The project: the folder above the inventories that this run was given."""
    for path in context.CLIARGS.get("inventory") or ():
        for folder in Path(str(path)).absolute().parents:
            if folder.name == "inventories":
                return folder.parent
    return Path(os.environ.get("ONCALL_RUN_PLAYBOOK", "")).resolve().parents[2]
